"""Whole runs, by the command line and in this process."""

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click import ClickException
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from kedro_telemetry.plugin import _check_for_telemetry_consent

from helpers import (
    PROJECT,
    SMALL,
    THREE_LABELS,
    kedro,
    lay_over,
    make_once,
    make_project,
    make_reviews,
    read_log,
    run_kedro,
    run_session,
    three_label_run,
    write_csv,
)
from imdb_sentiment.datasets import EncodedReviewsDataset, PickleStreamDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.lineage import flatten
from imdb_sentiment.pipelines.reporting import create_pipeline
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews

SMALL_BEST = {
    "hyperparameters": {"units": 8, "batch_size": 16, "min_steps": 200},
    "word_vectors": {"size": 16},
    "language_model": {"required_steps": 0},
    "tuning": {"n_trials": 1, "folds": 1},
}

OUTPUTS = [
    "data/02_intermediate/audit.json",
    "data/02_intermediate/rejected_reviews.csv",
    "data/04_feature/tokenizer.json",
    "data/05_model_input/test.npy",
    "data/06_models/best_hyperparameters.json",
    "data/06_models/calibration.json",
    "data/06_models/model.keras",
    "data/06_models/model_card.md",
    "data/06_models/network_held_out.pkl",
    "data/06_models/first_ngram_model.pkl",
    "data/06_models/ngram_model.pkl",
    "data/06_models/ngrams_held_out.pkl",
    "data/06_models/model.onnx",
    "data/06_models/study.db",
    "data/07_model_output/custom_reviews_with_predictions.csv",
    "data/07_model_output/part_predictions.csv",
    "data/07_model_output/test_predictions.csv",
    "data/08_reporting/confusion_matrix.json",
    "data/08_reporting/learning_curves.json",
    "data/08_reporting/metrics.json",
    "data/08_reporting/optimization_history.json",
    "data/08_reporting/parameter_importances.json",
    "data/08_reporting/report.html",
    "data/08_reporting/roc_curves.json",
    "data/08_reporting/run_history.json",
    "data/08_reporting/summary.md",
    "data/08_reporting/trials.csv",
]


def load_encoded(project: Path, name: str) -> EncodedReviews:
    filepath = str(project / f"data/05_model_input/{name}.npy")
    return EncodedReviewsDataset(filepath=filepath).load()


def test_every_output_is_there_and_whole(finished: tuple[Path, str]) -> None:
    project, _ = finished
    for name in OUTPUTS:
        assert (project / name).stat().st_size > 0, name
    assert not list((project / "data").rglob("*partial*"))


def test_three_labels_are_told_apart(finished: tuple[Path, str]) -> None:
    project, _ = finished
    metrics = json.loads((project / "data/08_reporting/metrics.json").read_text())
    assert metrics["file"] == "IMDB Dataset.csv"
    assert metrics["test_rows"] == 61
    assert metrics["test_accuracy"] > 0.6
    assert metrics["baseline_test_accuracy"] > 0.9
    predictions = pd.read_csv(project / "data/07_model_output/test_predictions.csv")
    columns = [f"probability_{label}" for label in THREE_LABELS]
    assert predictions.columns.tolist()[-3:] == columns
    assert predictions[columns].sum(axis=1).to_numpy() == pytest.approx(1)
    assert metrics["test_accuracy"] == pytest.approx(
        (predictions["sentiment"] == predictions["predicted_sentiment"]).mean()
    )


def test_the_average_is_fitted_to_the_reviews_of_a_cross_validation(
    finished: tuple[Path, str],
) -> None:
    models = finished[0] / "data/06_models"
    train, validation = (
        load_encoded(finished[0], name).rows.tolist() for name in ("train", "validation")
    )
    for name in ("network_held_out", "ngrams_held_out"):
        held_out = pd.read_pickle(models / f"{name}.pkl")
        assert sorted(held_out.rows.tolist()) == sorted([*train, *validation])
        assert held_out.logits.shape == (240, 3)
    calibration = json.loads((models / "calibration.json").read_text())
    assert calibration["uncalibrated_reason"] is None
    assert calibration["held_out_rows"] == 240
    assert 0 < calibration["ngram_share"] <= 1
    predictor = Predictor.load(models / "model.onnx")
    assert json.loads(predictor.facts["calibration"]) == calibration
    assert predictor.max_ngram == 3


def test_rows_add_up(finished: tuple[Path, str]) -> None:
    project, _ = finished
    audit = json.loads((project / "data/02_intermediate/audit.json").read_text())
    assert audit["rows_read"] == 303
    assert (audit["accepted"], audit["rejected"], audit["duplicates"]) == (301, 1, 1)
    refused = pd.read_csv(project / "data/02_intermediate/rejected_reviews.csv")
    assert refused.to_dict("records") == [
        {
            "row": 303,
            "reason": "unknown label: unheard of",
            "review": "refused",
            "sentiment": "unheard of",
        }
    ]


def test_with_other_labels_test_reviews_take_the_place_of_the_custom_ones(
    finished: tuple[Path, str],
) -> None:
    project, _ = finished
    test = pd.read_csv(project / "data/07_model_output/test_predictions.csv").set_index("row")
    shown = pd.read_csv(project / "data/07_model_output/custom_reviews_with_predictions.csv")
    assert shown.columns.tolist() == [
        *("row", "review", "expected_sentiment", "predicted_sentiment", "probability"),
        *(f"probability_{label}" for label in THREE_LABELS),
    ]
    assert len(shown) == 10
    assert set(shown["expected_sentiment"]) == set(THREE_LABELS)
    scored = test.loc[shown["row"]].reset_index()
    for name, shown_name in (("review", "review"), ("sentiment", "expected_sentiment")):
        assert scored[name].tolist() == shown[shown_name].tolist()
    assert scored["predicted_sentiment"].tolist() == shown["predicted_sentiment"].tolist()
    right = int((shown["expected_sentiment"] == shown["predicted_sentiment"]).sum())
    summary = (project / "data/08_reporting/summary.md").read_text(encoding="utf-8")
    assert summary.count("| ✓ |") == right
    report = (project / "data/08_reporting/report.html").read_text(encoding="utf-8")
    assert report.count("✓ right: ") == right
    assert f"{right} of 10 predictions match the label." in report
    # None of them is learnt from, and neither are the examples of the exported model.
    path = project / "data/05_model_input/train.npy"
    rows = EncodedReviewsDataset(filepath=str(path)).load().rows
    assert not set(shown["row"]) & set(rows)
    examples = Predictor.load(project / "data/06_models/model.onnx").examples
    assert len(examples) == 10
    assert set(examples) <= set(test["review"])


def test_the_console_ends_with_the_summary_and_stays_clean(finished: tuple[Path, str]) -> None:
    project, output = finished
    end = output[output.index("Done in ") :]
    for words in ("Best hyperparameters", "units", "LSTM", "TF-IDF", "Some test reviews", "✓"):
        assert words in end
    last = [line.strip() for line in end.splitlines()[-3:]]
    facts = json.loads((project / "data/08_reporting/facts.json").read_text())
    assert facts["may_be_constant"] is False
    assert last == [
        "Report  data/08_reporting/report.html",
        *(f"Next    {command}" for command in facts["next_steps"][0]["commands"]),
    ]
    for noise in ("WARNING", "I0000", "oneDNN", "cuda", "Warning"):
        assert noise not in output
    train, validation, test = (
        len(EncodedReviewsDataset(filepath=f"{project}/data/05_model_input/{name}.npy").load())
        for name in ("train", "validation", "test")
    )
    sizes = f"{train} reviews for training, {validation} for validation, {test} for the test"
    assert sizes in output
    assert "can't be described" not in read_log(project)


def generalise(line: str) -> str:
    """Return a line of the console without what differs between two runs."""
    words = re.sub(r" \([\dminsh ]+\)$|^[\d:]{8} |(?<=duplicate)s", "", line)
    return re.sub(r"[\d,.]+(e-\d+)?|adam|rmsprop", "…", re.sub(r"[ ─]+", " ", words)).strip()


def test_the_excerpt_in_the_readme_is_what_the_console_shows(finished: tuple[Path, str]) -> None:
    """Lines about the data and the verdict differ, as this run has another table."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    excerpt = readme.split("```text\n")[1].split("```")[0].splitlines()
    output = finished[1].replace("IMDB Dataset.csv", "sample_reviews.csv")
    shown = {generalise(line) for line in output.splitlines()}
    other = [line for line in excerpt if line.strip("…") and generalise(line) not in shown]
    assert {line.split()[0] for line in other} <= {"✓", "The", "Next"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_results(finished: tuple[Path, str], tmp_path: Path) -> None:
    first = finished[0]
    second, _ = three_label_run(tmp_path)
    for name in (
        "data/06_models/best_hyperparameters.json",
        "data/07_model_output/custom_reviews_with_predictions.csv",
        "data/07_model_output/test_predictions.csv",
        "data/08_reporting/metrics.json",
    ):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_study_is_not_searched_again(copy_of_finished: Path) -> None:
    run_kedro(copy_of_finished, "kedro run --pipelines tuning")
    again = read_log(copy_of_finished)
    assert "Running node: tune_hyperparameters" in again
    assert "epoch 1" not in again


@pytest.mark.slow
def test_every_run_leaves_a_record(copy_of_finished: Path) -> None:
    project = copy_of_finished
    run_kedro(project, "kedro run --pipelines reporting")
    records = sorted((project / "data/08_reporting/runs/record.json").glob("*/record.json"))
    accuracy = json.loads((project / "data/08_reporting/metrics.json").read_text())["test_accuracy"]
    assert [json.loads(path.read_text())["metrics"]["test_accuracy"] for path in records] == (
        [accuracy] * 2
    )
    history = json.loads((project / "data/08_reporting/run_history.json").read_text())
    assert history["data"] == []  # the same model each time


@pytest.mark.slow
def test_the_report_shows_the_doubtful_labels_of_the_same_rows(copy_of_finished: Path) -> None:
    project = copy_of_finished
    report = project / "data/08_reporting/report.html"
    assert "Doubtful labels" not in report.read_text("utf-8")
    run_kedro(project, "kedro run --pipelines label_check")
    checked = json.loads((project / "data/08_reporting/label_check.json").read_text("utf-8"))
    doubtful = pd.read_csv(project / "data/08_reporting/doubtful_labels.csv")
    assert (checked["checked"], checked["doubtful"]) == (301, len(doubtful))
    assert len(pd.read_csv(project / "data/08_reporting/rows_to_label.csv")) == 0
    run_kedro(project, "kedro run --pipelines reporting --only-missing-outputs")
    assert "<h2>Doubtful labels</h2>" in report.read_text("utf-8")
    run_kedro(project, "kedro run --pipelines reporting --tags page")
    assert "<h2>Doubtful labels</h2>" in report.read_text("utf-8")
    # To the rest of the project, nothing is out of date.
    run_kedro(project, 'kedro run --params "reviews_file=IMDB Dataset.csv" --only-missing-outputs')
    assert "<h2>Doubtful labels</h2>" in report.read_text("utf-8")


FIGURES = {
    name.replace("_figure", ".json")
    for name in create_pipeline().only_nodes_with_tags("figures").all_outputs()
}


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("kedro run --pipelines reporting --tags figures", FIGURES),
        (
            "kedro run --pipelines reporting --tags page",
            {
                *("doubtful_examples.json", "embedded_model.json", "run_changes.json"),
                *("report.html", "model_card.md", "summary.md"),
            },
        ),
    ],
)
def test_a_tag_writes_one_part_of_the_report_again(
    command: str, written: set[str], copy_of_finished: Path
) -> None:
    files = [path for path in (copy_of_finished / "data").glob("*/**/*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    run_kedro(copy_of_finished, command)
    assert {path.name for path in files if path.stat().st_mtime_ns != before[path]} == written


HEAVY = {"keras", "onnxruntime", "optuna", "plotly", "scipy", "sklearn", "sqlalchemy", "tensorflow"}


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        # Optuna and plotly are part of signatures, and take little time; Optuna also validates the
        # search space before any run.
        ("registry list", {"onnxruntime", "optuna", "plotly"}),
        ("run --pipelines data_processing", {"optuna", "scipy", "sklearn"}),
        pytest.param("viz build", {"optuna", "onnxruntime", "plotly"}, marks=pytest.mark.slow),
    ],
)
def test_a_command_starts_without_what_it_does_not_need(
    command: str, needed: set[str], tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(120))
    # An import of a module that is None in sys.modules fails.
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(HEAVY - needed)}))\n"
        "from kedro.framework.cli.cli import main\n"
        f"sys.argv = ['kedro', *{command.split()}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_telemetry_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEDRO_DISABLE_TELEMETRY", raising=False)  # settings.py has set it
    assert _check_for_telemetry_consent(PROJECT) is False


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("sessions"))
    raw = project / "data/01_raw"
    write_csv(raw / "sample_reviews.csv", make_reviews(150))
    doubtful = [(text, text.upper(), stars) for text, stars in make_reviews(150, ("1", "2", "3"))]
    write_csv(raw / "columns.csv", doubtful, ("text", "comment", "stars"))
    write_csv(raw / "labels.csv", make_reviews(150, ("bad", "good")))
    write_csv(raw / "once.csv", [*make_reviews(150)[1::2], ("one bad film", "negative")])
    own = [(*row, "test" if i < 50 else "train") for i, row in enumerate(make_reviews(150))]
    write_csv(raw / "imdb_reviews.csv", own, ("review", "sentiment", "split"))
    (raw / "empty.csv").write_bytes(b"")
    (raw / "cp1252.csv").write_bytes("review,sentiment\ncafé,positive\n".encode("cp1252"))
    (raw / "quote.csv").write_text('review,sentiment\n"never closed,positive\n')
    return project


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"reviews_file": "lables.csv"},
            r"lables.csv does not exist.*: in .*/data/01_raw, there is labels.csv. Put the file",
        ),
        ({"reviews_file": "missing.csv"}, "there are columns.csv, cp1252.csv, custom_reviews.csv,"),
        ({"reviews_file": "no/missing.csv"}, "there is no folder .*/data/01_raw/no"),
        ({"reviews_file": f"{'a' * 300}.csv"}, "can't be used: the file name is too long"),
        ({"reviews_file": "empty.csv"}, "empty.csv is empty"),
        ({"reviews_file": "cp1252.csv"}, "save it as UTF-8"),
        ({"reviews_file": "quote.csv"}, "row 1 is never closed"),
        ({"reviews_file": "columns.csv"}, "texts may be 'text' or 'comment'.*text, comment, stars"),
        (
            {"reviews_file": "labels.csv", "reviews": {"labels": ["negative", "positive"]}},
            "the column 'sentiment' has none of the labels of reviews.labels",
        ),
        (
            {"reviews_file": "labels.csv", "reviews": {"labels": ["bad", "positive"]}},
            r"75 of 150 rows can't be used \(unknown label: 75\)",
        ),
        ({"reviews_file": "once.csv"}, "'sentiment' has only 'positive' in 3 rows or more"),
        (
            {"reviews_file": "once.csv", "reviews": {"labels": ["negative", "positive"]}},
            "'negative' occurs in 1 usable row",
        ),
        (
            {"review_file": "labels.csv"},
            "no parameter 'review_file' in --params: did you mean reviews_file",
        ),
        (
            {"reviews": {"file": "labels.csv"}},
            "the table is sample_reviews.csv: name the table with reviews_file=labels.csv instead",
        ),
        (
            {"reviews_file": "labels.csv", "reviews": {"file": "once.csv"}},
            "reviews.file is once.csv, but the table is labels.csv: name the table with reviews_f",
        ),
        ({"split": {"test_fractoin": 0.1}}, "'split.test_fractoin': did you mean test_fraction"),
        # Of a group that this pipeline does not read.
        ({"tuning": {"n_trials": "many"}}, "is 'many': it must be a whole number of at least 1$"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    parameters: dict[str, Any], message: str, project: Path
) -> None:
    with pytest.raises(ClickException, match=message):
        run_session(project, "data_processing", **parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"training": {"class_weight": {"awful": 2}}},
            r"training\.class_weight names the label 'awful', .* choose from negative, positive",
        ),
        pytest.param(
            {"training": {"decision_target": {"label": "awful", "recall": 0.9}}},
            r"training\.decision_target names the label 'awful'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"tuning": {"metric": "f1", "metric_label": "awful"}},
            r"tuning\.metric_label names the label 'awful'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"tuning": {"metric": "quadratic_kappa"}},
            "needs ordinal labels",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_labels_that_do_not_exist_are_refused_once_the_labels_are_known(
    parameters: dict[str, Any], message: str, tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    with pytest.raises(ClickException, match=message):
        run_session(project, **parameters)
    assert not list((project / "data").glob("0[35]_*/*"))
    run_session(project, "data_processing", **parameters)  # which does not read them
    pipelines = "tuning,training" if "decision_target" in message else "tuning"
    with pytest.raises(ClickException, match=message):
        run_session(project, *pipelines.split(","), **parameters)
    command = f"kedro run --only-missing-outputs --pipelines data_processing,{pipelines}"
    with pytest.raises(AssertionError, match=message):
        run_kedro(project, f"{command} --params {as_option(parameters)}")


def as_option(parameters: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in flatten(parameters))


def test_weights_that_a_run_does_not_use_are_not_refused(copy_of_finished: Path) -> None:
    """Those in conf/local are of another table than that of the present results."""
    path = copy_of_finished / "conf/local/parameters_own.yml"
    path.write_text("training: {class_weight: {awful: 2}}\n", encoding="utf-8")
    run_kedro(copy_of_finished, "kedro run --nodes reporting.figures.plot_label_balance")
    with pytest.raises(ClickException, match="class_weight names the label 'awful'"):
        run_session(copy_of_finished, "data_processing", "tuning", reviews_file="IMDB Dataset.csv")


@pytest.mark.slow
def test_what_a_pretrained_lstm_determines_is_not_searched(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before the pretraining, which may take an hour, if the run does both."""
    name = "imdb_sentiment.pipelines.data_processing.nodes.pretrain_lstm"
    monkeypatch.setattr(name, lambda *_, **__: pytest.fail("the LSTM was pretrained"))
    passes: dict[str, Any] = {"language_model": {"passes": 1}}
    unusable: dict[str, Any] = {
        "reviews_file": "labels.csv",
        "reviews": {"labels": ["negative", "positive"]},
    }
    more = {"unlabelled_file": "columns.csv"}
    table = {"reviews_file": "sample_reviews.csv"}
    found = "search_space can't have units, which the pretrained LSTM determines: set it to null"
    with pytest.raises(ClickException, match=found):
        run_session(project, "data_processing", "tuning", **table, **more, **passes)
    with pytest.raises(ClickException, match="the column 'sentiment' has none"):  # it has gone on
        run_session(project, "data_processing", "tuning", **unusable, **passes)
    with pytest.raises(ClickException, match="the column 'sentiment' has none"):
        run_session(project, "data_processing", **unusable, **more, **passes)
    # Without unlabelled reviews, it depends on the number of reviews.
    alone = {"passes_without_unlabelled": 1, "required_steps": 0}
    with pytest.raises(ClickException, match=found):
        run_session(project, "data_processing", "tuning", **table, language_model=alone)
    too_few = alone | {"required_steps": 1000}
    run_session(project, "data_processing", "tuning", **table, language_model=too_few)


def test_a_misspelt_pipeline_is_refused(project: Path) -> None:
    with pytest.raises(ClickException, match=r"no pipeline 'tunning': did you mean tuning\?"):
        run_session(project, "tunning")


def test_a_misspelt_group_of_parameters_is_refused(project: Path) -> None:
    path = project / "conf/local/parameters_more.yml"
    path.write_text("tunning: {n_trials: 3}")
    try:
        with pytest.raises(ClickException, match=r"no parameter 'tunning' in conf/.*tuning"):
            run_session(project, "data_processing")
    finally:
        path.unlink()


def test_a_run_that_lacks_its_inputs_does_not_begin(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with pytest.raises(ClickException, match=r"does not exist.*--pipelines data_processing"):
        run_session(project, "reporting")


def test_how_to_make_what_a_run_lacks_is_said_for_its_parameters(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "conf").rename(project / "my conf")
    done = kedro(
        project,
        *("run", "--pipelines", "tuning", "--env", "imdb", "--conf-source", "my conf"),
        *("--params", "reviews_file=my reviews.csv,tuning.n_trials=3"),
    )
    command = (
        f"kedro run --pipelines data_processing --conf-source '{project}/my conf' --env imdb "
        "--params 'reviews_file=my reviews.csv,tuning.n_trials=3'"
    )
    assert f"the pipeline that makes it first: {command}" in " ".join(done.stdout.split())


def test_what_params_can_not_express_is_to_be_in_conf(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    said = r"data_processing \(with reviews\.labels: \[\"b, c\", \"a\"\] in conf/\)"
    with pytest.raises(ClickException, match=said):
        run_session(project, "tuning", reviews={"labels": ["b, c", "a"]})


def test_what_is_only_in_memory_is_to_be_made_by_the_same_run(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    bootstrap_project(project)
    with (
        settings.SESSION_CLASS.create(project) as session,
        pytest.raises(ClickException, match=r"add the node that creates it, tuning\.hold_out_r"),
    ):
        session.run(pipeline_names=["tuning"], from_nodes=["tuning.tune_hyperparameters"])


def test_an_archive_of_ones_own_is_a_parameter(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("aclImdb/train/pos/0_9.txt", "aclImdb/train/unsup/0_0.txt"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"fine"))
    raw = project / "data/01_raw/imdb_reviews.csv"
    before = raw.read_bytes()
    command = "kedro run --pipelines imdb_download --params imdb_archive=PATH"
    try:
        run_kedro(project, command, {"PATH": str(path)})
        assert pd.read_csv(raw).to_dict("records") == [
            {"review": "fine", "sentiment": "positive", "split": "train", "block": "train/pos/0"}
        ]
    finally:
        raw.write_bytes(before)


@pytest.mark.slow
def test_an_unknown_table_runs_end_to_end_by_its_name(tmp_path: Path) -> None:
    labels = (1, 2, 3, 4)
    project = make_project(tmp_path)
    rows = make_reviews(400, [str(label) for label in labels])
    write_csv(project / "data/01_raw/tickets.csv", rows, ("body", "stars"))
    parameters = "tickets.csv,tuning.n_trials=1,hyperparameters.epochs=6"
    command = "kedro run --params reviews_file=tickets.csv"
    output = run_kedro(project, command, {"tickets.csv": parameters})
    assert "texts in 'body', labels in 'stars': 1 (100), 2 (100)" in output
    metrics = json.loads((project / "data/08_reporting/metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.5
    assert metrics["test_roc_auc"] > 0.7
    predictions = pd.read_csv(project / "data/07_model_output/test_predictions.csv")
    assert set(predictions["sentiment"]) == set(labels)
    figure = json.loads((project / "data/08_reporting/confusion_matrix.json").read_text())
    assert sum(map(sum, figure["data"][0]["z"])) == metrics["test_rows"] == 80

    write_csv(project / "more.csv", rows[:5], ("body", "id"))  # named as in the training data
    files = {"input_file": str(project / "more.csv"), "output_file": str(project / "out.csv")}
    run_session(project, "inference", **files)
    assert pd.read_csv(project / "out.csv")["predicted_sentiment"].notna().all()


@pytest.mark.slow
def test_the_command_line_shows_that_line_and_no_traceback(project: Path) -> None:
    done = kedro(project, "run", "--params", "reviews_file=columns.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    last = done.stdout.strip().splitlines()[-6:]
    assert last[0].startswith("Error: columns.csv can't be used yet: the column with the texts may")
    assert last[5] == (
        "Command: kedro run --params reviews_file=columns.csv,reviews.text_column=text"
    )
    settings = yaml.safe_load("\n".join(last[1:5]))
    assert settings == {
        "reviews": {"text_column": "text", "label_column": "stars", "labels": ["1", "2", "3"]}
    }
    run_session(project, "data_processing", reviews_file="columns.csv", **settings)


def test_rejected_rows_can_be_looked_at_when_they_stop_the_run(project: Path) -> None:
    labels = {"labels": ["good", "positive"]}
    with pytest.raises(ClickException, match="row 1: unknown label: bad"):
        run_session(project, "data_processing", reviews_file="labels.csv", reviews=labels)
    refused = pd.read_csv(project / "data/02_intermediate/rejected_reviews.csv")
    assert len(refused) == 75


def test_the_file_with_the_settings_of_another_table_is_named(project: Path) -> None:
    path = project / "conf/local/parameters_table.yml"
    settings = {"text_column": "body", "labels": ["1", "2"]}
    path.write_text(yaml.safe_dump({"reviews": settings, "split": {"group_column": "film"}}))
    try:
        with pytest.raises(ClickException) as error:
            run_session(project, "data_processing", reviews_file="sample_reviews.csv")
    finally:
        path.unlink()
    message, *block, where = error.value.message.splitlines()
    lines = "Put these lines, with the right values, into conf/local/parameters.yml"
    assert f"{lines} (unless the settings there are for another table):" in message
    assert yaml.safe_load("\n".join(block))["reviews"]["labels"] == ["negative", "positive"]
    assert where == (
        "conf/local/parameters_table.yml sets reviews.text_column, reviews.labels, "
        "split.group_column."
    )
    parameters = {"reviews.text_column": "review", "reviews.labels": "auto"}
    assert isinstance(error.value.__cause__, InputError)
    assert error.value.__cause__.parameters == {**parameters, "split.group_column": None}


def test_columns_labels_and_paths_are_parameters(project: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "elsewhere.csv", make_reviews(150, ("bad", "good")), ("t", "l"))
    names = {"text_column": "t", "label_column": "l", "labels": ["bad", "good"]}
    run_session(project, "data_processing", reviews_file=str(path), reviews=names)
    audit = json.loads((project / "data/02_intermediate/audit.json").read_text())
    assert audit["accepted_by_label"] == {"bad": 75, "good": 75}


def test_another_encoding_is_a_parameter(project: Path) -> None:
    rows = "".join(f"café {text},{label}\n" for text, label in make_reviews(150))
    path = project / "data/01_raw/encoded.csv"
    path.write_bytes(f"review,sentiment\n{rows}".encode("cp1252"))
    run_session(project, "data_processing", reviews_file="encoded.csv", reviews_encoding="cp1252")
    tokenizer = json.loads((project / "data/04_feature/tokenizer.json").read_text())
    assert "café" in tokenizer["model"]["vocab"]


def test_the_file_with_an_encoding_that_does_not_fit_is_named(project: Path) -> None:
    path = project / "data/01_raw/utf8.csv"
    path.write_text("review,sentiment\n" + "café,good\nnaïve,bad\n" * 60, encoding="utf-8")
    config = project / "conf/local/globals.yml"
    config.write_text("reviews_encoding: cp1252\n")
    try:
        with pytest.raises(ClickException, match="is UTF-8 text, not cp1252") as error:
            run_session(project, "data_processing", reviews_file="utf8.csv")
    finally:
        config.unlink()
    assert "conf/local/globals.yml sets reviews_encoding." in error.value.message


def test_the_env_imdb_takes_the_official_split(project: Path) -> None:
    run_session(project, "data_processing", env="imdb")
    audit = json.loads((project / "data/02_intermediate/audit.json").read_text())
    assert audit["accepted_by_own_split"] == {"train": 100, "test": 50}
    run_session(project, "data_processing", env="imdb", split={"method": "random"})
    audit = json.loads((project / "data/02_intermediate/audit.json").read_text())
    assert audit["accepted_by_own_split"] == {}


def make_imdb(folder: Path) -> None:
    project = make_project(folder, {})
    lay_over(project, "imdb", {**SMALL, "tuning": {**SMALL["tuning"], "patience": 2}})
    quick = {**SMALL_BEST["hyperparameters"], "min_steps": 0, "min_steps_per_label": 0}
    lay_over(project, "best", SMALL_BEST | {"hyperparameters": quick})
    with tarfile.open(project / "archive.tar.gz", "w:gz") as tar:
        for i, (text, label) in enumerate(make_reviews(1420)):
            half = "train" if i < 200 else "test"
            subfolder = f"{half}/{label[:3]}" if i < 320 else "train/unsup"
            info = tarfile.TarInfo(f"aclImdb/{subfolder}/{i * 100}_1.txt")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    catalog = yaml.safe_load((project / "conf/base/catalog_imdb_download.yml").read_text())
    archive = catalog["imdb_archive"]
    archive["own_archive"] = str(project / "archive.tar.gz")
    (project / "conf/local/catalog.yml").write_text(yaml.safe_dump({"imdb_archive": archive}))
    run_kedro(project, "kedro run --pipelines imdb_download")


@pytest.fixture
def imdb(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """Return a project with small presets and the reviews of a small archive like IMDB's."""
    return shutil.copytree(make_once(tmp_path_factory, "imdb", make_imdb), tmp_path / "project")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("commands", "test_rows"),
    [
        (["kedro run --env imdb"], 120),
        (["kedro run --env imdb --params split.method=random"], 64),
        (
            [
                "kedro run --env best --params "
                "reviews_file=imdb_reviews.csv,tuning.study_name=random",
                "kedro run --env best --pipelines training,reporting --params "
                "reviews_file=imdb_reviews.csv,training.seed=1",
            ],
            64,
        ),
        (
            [
                "kedro run --env best --params "
                "reviews_file=imdb_reviews.csv,split.method=column,split.group_column=block"
            ],
            120,
        ),
        (
            [
                "kedro run --env best --params reviews_file=imdb_reviews.csv,"
                "unlabelled_file=imdb_unlabelled_reviews.csv,split.method=column,"
                "split.group_column=block,split.validation_fraction=0.2"
            ],
            120,
        ),
    ],
)
def test_the_presets_do_the_whole_job(commands: list[str], test_rows: int, imdb: Path) -> None:
    for command in commands:
        run_kedro(imdb, command)
    metrics = json.loads((imdb / "data/08_reporting/metrics.json").read_text())
    assert metrics["file"] == "imdb_reviews.csv"
    assert metrics["test_rows"] == test_rows
    if "--env best" in commands[0]:
        assert pd.read_pickle(imdb / "data/05_model_input/pretrained_weights.pkl")
        has_unlabelled = "unlabelled_file" in commands[0]
        labels = pd.read_pickle(imdb / "data/06_models/pseudo_labels.pkl")
        assert len(labels) == (2 if has_unlabelled else 0)  # for the search, and the final network
    if "split.group_column=block" in commands[0]:
        blocks = pd.read_csv(imdb / "data/01_raw/imdb_reviews.csv")["block"]
        train, validation = (
            set(blocks[load_encoded(imdb, name).rows - 1]) for name in ("train", "validation")
        )
        assert train
        assert validation
        assert not train & validation


@pytest.mark.slow
def test_the_ngrams_are_offered_what_the_networks_predict(imdb: Path) -> None:
    lay_over(imdb, "local", {**SMALL, "tuning": {**SMALL["tuning"], "folds": 2}})
    output = run_kedro(
        imdb,
        "kedro run --pipelines data_processing,tuning,training --params reviews_file="
        "imdb_reviews.csv,unlabelled_file=imdb_unlabelled_reviews.csv",
    )
    held_out = pd.read_pickle(imdb / "data/06_models/network_held_out.pkl")
    labels = pd.read_pickle(imdb / "data/06_models/pseudo_labels.pkl")
    assert [len(logits) for logits in held_out.unlabelled] == 2 * [len(labels[-1].rows)]
    model = pd.read_pickle(imdb / "data/06_models/ngram_model.pkl")
    is_taught = model.unlabelled_reviews > 0 and not model.latent_weight
    assert is_taught == ("unlabelled reviews as well, with pseudo-labels" in output)
    assert is_taught != ("the average would be no better" in output)


@pytest.mark.slow
def test_the_model_learns_from_unlabelled_reviews_and_says_so(imdb: Path) -> None:
    few = {"training": {"ngrams": {"latent_dimensions": 20}}}
    uncompared = {"tuning": {**SMALL["tuning"], "evaluate_on": "test"}}
    lay_over(imdb, "local", {**SMALL, **few, **uncompared})
    raw = imdb / "data/01_raw"
    (raw / "imdb_reviews.csv").rename(raw / "tickets.csv")
    (raw / "imdb_unlabelled_reviews.csv").rename(raw / "more_tickets.csv")
    command = "kedro run --params reviews_file=tickets.csv,unlabelled_file=more_tickets.csv"
    run_kedro(imdb, command)
    model = pd.read_pickle(imdb / "data/06_models/ngram_model.pkl")
    assert 20 <= model.unlabelled_reviews <= 1100
    labels = pd.read_pickle(imdb / "data/06_models/pseudo_labels.pkl")
    first = f"pseudo-labels for {len(labels[-1].sequences):,} unlabelled reviews, predicted by"
    words = f"fitted with the help of {model.unlabelled_reviews:,} unlabelled reviews"
    card = (imdb / "data/06_models/model_card.md").read_text()
    assert words in card
    assert first in card
    assert first in (imdb / "data/08_reporting/report.html").read_text()


@pytest.mark.slow
def test_the_env_imdb_does_the_whole_job_on_three_labels_of_another_domain(tmp_path: Path) -> None:
    project = make_project(tmp_path, {})
    three = {"reviews": {"labels": list(THREE_LABELS)}}
    lay_over(project, "imdb", {**SMALL, **three, "tuning": {**SMALL["tuning"], "patience": 1}})
    rows = [
        (text.replace("film", "room").replace("cinema", "hotel"), label)
        for text, label in make_reviews(400, THREE_LABELS)
    ]
    write_csv(project / "data/01_raw/hotels.csv", rows)
    parameters = "reviews_file=hotels.csv,split.method=random,hyperparameters.epochs=6"
    run_kedro(project, f"kedro run --env imdb --params {parameters}")
    metrics = json.loads((project / "data/08_reporting/metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.6
    predictor = Predictor.load(project / "data/06_models/model.onnx")
    assert predictor.predict("a superb room").label in THREE_LABELS


@pytest.mark.slow
def test_the_env_best_does_the_whole_job_on_three_labels(tmp_path: Path) -> None:
    project = make_project(tmp_path, {})
    lay_over(
        project,
        "best",
        SMALL_BEST | {"reviews": {"labels": list(THREE_LABELS)}},
    )
    (project / "conf/best/globals.yml").write_text("unlabelled_file: more.csv\n")
    raw = project / "data/01_raw"
    write_csv(raw / "IMDB Dataset.csv", make_reviews(400, THREE_LABELS))
    texts = [[text] for text, _ in make_reviews(200, THREE_LABELS, seed=1)]
    write_csv(raw / "more.csv", texts, ["review"])
    run_kedro(project, 'kedro run --env best --params "reviews_file=IMDB Dataset.csv"')
    unlabelled = PickleStreamDataset(
        filepath=str(project / "data/03_primary/clean_unlabelled_reviews.pkl")
    )
    assert sum(map(len, unlabelled.load())) == 200
    metrics = json.loads((project / "data/08_reporting/metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.6
    chosen = json.loads((project / "data/06_models/best_hyperparameters.json").read_text())
    assert chosen["bidirectional"]
    assert chosen["pooling"] == "max_mean"
    for name in ("06_models/model_card.md", "08_reporting/report.html"):
        says = (project / "data" / name).read_text()
        assert "linear model of n-grams" in says
    assert "| LSTM and n-grams |" in (project / "data/08_reporting/summary.md").read_text()
    predictor = Predictor.load(project / "data/06_models/model.onnx")
    scored = pd.read_csv(project / "data/07_model_output/test_predictions.csv")
    predictions = predictor.predict(scored["review"].tolist())
    labels = [prediction.label for prediction in predictions]
    assert labels == scored["predicted_sentiment"].tolist()  # the exported model predicts the same


@pytest.mark.slow
def test_unequal_ordered_labels_from_the_csv_to_the_exported_decision(tmp_path: Path) -> None:
    """The last label is rare; the metric, the thresholds and the refusals are of the same model."""
    rows = make_reviews(600, THREE_LABELS)
    rare = THREE_LABELS[-1]
    kept = [row for number, row in enumerate(rows) if row[1] != rare or number % 8 == 0]
    ordered = {
        **SMALL,
        "reviews": {"labels": list(THREE_LABELS), "ordered": True},
        "training": {"min_confidence": 0.4},
        "tuning": SMALL["tuning"] | {"folds": 2},
    }
    project = make_project(tmp_path, ordered)
    write_csv(project / "data/01_raw/sample_reviews.csv", kept)
    run_kedro(project, "kedro run --pipelines data_processing")
    run_kedro(
        project,
        "kedro run --pipelines tuning,training,reporting --params tuning.metric=f1_macro",
    )
    metrics = json.loads((project / "data/08_reporting/metrics.json").read_text())
    assert metrics["tuning_metric"] == "macro F1"
    assert {"test_mean_absolute_error", "test_quadratic_kappa", "metric_gain"} <= set(metrics)
    assert [row["rows"] for row in metrics["test_by_label"].values()] == pytest.approx(
        [len(kept) * 0.2 * share for share in (200 / len(kept), 200 / len(kept), 25 / len(kept))],
        abs=1,
    )
    decision = json.loads((project / "data/06_models/decision.json").read_text())
    assert decision["aim"] == "macro F1"
    assert decision["after"] >= decision["before"]
    predictor = Predictor.load(project / "data/06_models/model.onnx")
    assert predictor.rule.weights.tolist() == list(decision["label_weights"].values())
    assert predictor.rule.min_confidence == 0.4
    predictions = pd.read_csv(project / "data/07_model_output/test_predictions.csv")
    found = predictor.predict(predictions["review"].tolist())
    labels = [prediction.label for prediction in found]
    sure = predictions["probability"] >= 0.4
    assert [label is not None for label in labels] == sure.tolist()
    expected = predictions["predicted_sentiment"].where(sure, None).tolist()
    assert labels == expected
