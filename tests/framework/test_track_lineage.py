"""Runs in parts give what one whole run would have given, or are refused in one line."""

import contextlib
import hashlib
import json
import logging
import os
import pickle
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from click import ClickException, Command, Context
from kedro.framework.cli.utils import _split_params
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from kedro.pipeline.node import Node
from kedro.runner import Task
from optuna.trial import FrozenTrial, TrialState

from helpers import (
    kedro,
    make_project,
    make_reviews,
    read_log,
    run_kedro,
    run_session,
    same_python_path,
    start_kedro,
    wait_until,
    write_csv,
)
from imdb_sentiment.command_line import quote_value
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.claims import Claim, ClaimRegistry
from imdb_sentiment.framework.lineage import Lineage
from imdb_sentiment.framework.locks import hold_lock
from imdb_sentiment.serving import Predictor

FILE = "data/01_raw/IMDB Dataset.csv"


def read(project: Path, name: str) -> Any:
    return json.loads((project / "data" / name).read_text(encoding="utf-8"))


def find_digests(project: Path) -> dict[str, str]:
    return {name: record.digest for name, record in Lineage(project).read().items()}


def change_conf(project: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = project / "conf/local/parameters.yml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


@contextlib.contextmanager
def change_records(project: Path) -> Iterator[dict[str, Any]]:
    path = project / "data/lineage.json"
    content = json.loads(path.read_text())
    yield content["records"]
    path.write_text(json.dumps(content))


@pytest.mark.slow
def test_reporting_shows_what_the_model_was_made_from(
    copy_of_finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = copy_of_finished
    before = read(project, "08_reporting/metrics.json")
    with caplog.at_level("INFO", "imdb_sentiment"):
        run_session(project, "reporting")
    assert before["file"] == "IMDB Dataset.csv"
    assert read(project, "08_reporting/metrics.json") == before
    assert "# Model card: classifier of IMDB Dataset.csv" in (
        project / "data/06_models/model_card.md"
    ).read_text(encoding="utf-8")
    told = "Using the parameters that the inputs were made with"
    (line,) = [r.getMessage() for r in caplog.records if told in r.message]
    assert "reviews.file=IMDB Dataset.csv" in line


def test_the_exported_model_and_its_card_have_the_lineage_in_short(
    copy_of_finished: Path,
) -> None:
    records = Lineage(copy_of_finished).read()
    digest = hashlib.sha256((copy_of_finished / FILE).read_bytes()).hexdigest()
    predictor = Predictor.load(copy_of_finished / "data/06_models/model.onnx")
    chain = json.loads(predictor.facts["lineage"])
    names = [step["name"] for step in chain]
    assert {"raw_reviews", "clean_reviews", "tokenizer", "model", "calibration"} < set(names)
    assert chain[0] == {
        "name": "raw_reviews",
        "file": "IMDB Dataset.csv",
        "sha256": digest,
        "made": "",
    }
    assert [step["sha256"] for step in chain[1:]] == [records[name].digest for name in names[1:]]
    assert f"trained on IMDB Dataset.csv (SHA-256 {digest[:12]}" in predictor.describe()
    card = (copy_of_finished / "data/06_models/model_card.md").read_text(encoding="utf-8")
    assert f"| IMDB Dataset.csv | `{digest}` |  |" in card
    report = (copy_of_finished / "data/08_reporting/report.html").read_text(encoding="utf-8")
    assert digest in report


@pytest.mark.slow
@pytest.mark.parametrize("is_better", [True, False])
def test_a_search_goes_on_with_the_file_and_the_study_of_its_inputs(
    *, is_better: bool, copy_of_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_best(study: optuna.Study) -> FrozenTrial | None:
        """Return the last trial if it is to be better, and else the best one before."""
        completed = study.get_trials(states=[TrialState.COMPLETE])
        if is_better:
            return completed[-1] if completed else None
        return max(completed[:2], key=lambda trial: trial.value or 0, default=None)

    monkeypatch.setattr("imdb_sentiment.pipelines.tuning.nodes.find_best_trial", find_best)
    run_session(copy_of_finished, "tuning", tuning={"n_trials": 3})
    trials = (copy_of_finished / "data/08_reporting/trials.csv").read_text(encoding="utf-8")
    assert len(trials.splitlines()) == 1 + 3
    record = Lineage(copy_of_finished).read()["best_hyperparameters"]
    assert record.parameters["tuning"]["study_name"] == "IMDB Dataset.csv"
    if is_better:
        with pytest.raises(ClickException, match=r"--pipelines training,reporting"):
            run_session(copy_of_finished, "reporting")
    else:  # the model is that of the best trial
        run_session(copy_of_finished, "reporting")


@pytest.mark.parametrize(
    ("pipelines", "parameters", "message"),
    [
        ("reporting", {"tokenizer": {"sequence_length": 5}}, "tokenizer.sequence_length=12"),
        ("reporting", {"split": {"seed": 7}}, r"split\.seed=42, which is 7 now"),
        (
            "reporting",
            {"reviews": {"labels": ["positive", "neutral", "negative"]}},
            r"reviews\.labels=",
        ),
        ("reporting", {"reviews_file": "sample_reviews.csv"}, r"reviews\.file="),
        ("training", {"hyperparameters": {"epochs": 1}}, r"hyperparameters\.epochs=2, which is 1"),
        ("tuning,training", {"tokenizer": {"vocabulary_size": 9}}, "tokenizer.vocabulary_size=50"),
        # The search was made with the other file.
        (
            "data_processing,training,reporting",
            {"reviews_file": "sample_reviews.csv"},
            r"reviews\.file=",
        ),
    ],
)
def test_parameters_that_contradict_the_inputs_are_refused(
    pipelines: str, parameters: dict[str, Any], message: str, copy_of_finished: Path
) -> None:
    write_csv(copy_of_finished / "data/01_raw/sample_reviews.csv", make_reviews(150))
    before = find_digests(copy_of_finished)
    with pytest.raises(
        ClickException, match=f"{message}.*recreate the outdated files with kedro run"
    ):
        run_session(copy_of_finished, *pipelines.split(","), **parameters)
    assert find_digests(copy_of_finished) == before


@pytest.mark.slow
def test_the_results_of_a_table_are_not_replaced_by_accident(copy_of_finished: Path) -> None:
    project = copy_of_finished
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    before = find_digests(project)

    def refuse(*pipelines: str, **parameters: Any) -> list[str]:
        with pytest.raises(ClickException, match=r"data/ contains the results of IMDB") as error:
            run_session(project, *pipelines, **parameters)
        assert find_digests(project) == before
        return re.findall(r"kedro run .*?(?=\. To run|$)", str(error.value))

    mine = "--params 'reviews_file=IMDB Dataset.csv"
    sample = "--params reviews_file=sample_reviews.csv"
    assert refuse() == [f"kedro run {mine}'", f"kedro run {sample}"]
    assert refuse("data_processing", "tuning", tuning={"n_trials": 3}) == [
        f"kedro run --pipelines data_processing,tuning {mine},tuning.n_trials=3'",
        f"kedro run --pipelines data_processing,tuning {sample},tuning.n_trials=3",
    ]
    options = "--runner ThreadRunner --runner-params max_workers=2 --async --only-missing-outputs"
    done = kedro(project, "run", *options.split())
    assert f"kedro run {mine}' {options}. To run" in done.stdout
    assert f"kedro run {sample} {options}\n" in done.stdout


@pytest.mark.slow
def test_a_table_that_is_refused_leaves_a_way_back_to_the_other(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    rows = make_reviews(150)
    write_csv(project / "data/01_raw/a.csv", rows)
    write_csv(project / "data/01_raw/b.csv", [*rows[:90], *[("", "positive")] * 60])
    run_session(project, "data_processing", reviews_file="a.csv", processing={"workers": 1})
    with pytest.raises(ClickException, match="60 of 150 rows"):
        run_session(project, "data_processing", reviews_file="b.csv")
    with pytest.raises(ClickException) as error:
        run_session(project, "label_check", label_check={"folds": 3})
    way = "those of a.csv with kedro run --params reviews_file=a.csv --only-missing-outputs"
    assert way in error.value.message
    assert "study_name" not in error.value.message  # which follows from the name of the table
    with pytest.raises(ClickException) as error:
        run_session(project, "label_check", reviews_file="b.csv")
    assert "those of a.csv" not in error.value.message


def refuse_parts_of_two_tables(folder: Path, last_node: str, parameters: str) -> str:
    """Return why a search is refused, if one table was processed and then a part of another."""
    project = make_project(folder)
    for name in ("a.csv", "b.csv"):
        write_csv(project / "data/01_raw" / name, make_reviews(150))
    run_session(project, "data_processing", reviews_file="a.csv", word_vectors={"size": 8})
    run_kedro(project, f"kedro run --to-nodes data_processing.{last_node} {parameters}")
    with pytest.raises(ClickException, match="recreate the outdated files") as error:
        run_session(project, "tuning")
    return error.value.message


@pytest.mark.slow
def test_parameters_of_another_table_are_not_proposed(tmp_path: Path) -> None:
    split = "--params reviews_file=b.csv,split.test_fraction=0.3"
    message = refuse_parts_of_two_tables(tmp_path, "split_reviews", split)
    assert f"kedro run --pipelines data_processing,tuning {split} --only" in message


@pytest.mark.slow
def test_there_is_no_way_back_if_the_record_of_a_parameter_is_replaced(tmp_path: Path) -> None:
    message = refuse_parts_of_two_tables(
        tmp_path, "fit_word_vectors", "--params reviews_file=b.csv"
    )
    assert "those of a.csv" not in message


def test_without_records_the_results_of_a_table_are_not_replaced_either(
    copy_of_finished: Path,
) -> None:
    (copy_of_finished / "data/lineage.json").unlink()
    write_csv(copy_of_finished / "data/01_raw/sample_reviews.csv", make_reviews(150))
    with pytest.raises(ClickException, match=r"results of IMDB Dataset\.csv.* To continue with"):
        run_session(copy_of_finished, "data_processing")


@pytest.mark.slow
def test_who_names_a_table_may_replace_the_results_of_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(tmp_path)
    for name in ("mine.csv", "sample_reviews.csv"):
        write_csv(project / "data/01_raw" / name, make_reviews(150))
    run_session(project, "data_processing", reviews_file="mine.csv")
    node = "data_processing.split_reviews"
    refused = kedro(project, "run", "--only-missing-outputs", "--to-nodes", node)
    assert refused.returncode == 1
    command = f"kedro run --to-nodes {node} --params reviews_file=mine.csv --only-missing-outputs"
    assert command in refused.stdout
    run_session(project, "label_check")  # which does not read the table
    with caplog.at_level("INFO", "imdb_sentiment"):
        run_session(project, "data_processing", reviews_file="sample_reviews.csv")
    assert "replace the results of mine.csv with those of sample_reviews.csv" in caplog.text
    run_session(project, "data_processing")
    for folder, env in (("local", None), ("other", "other")):
        run_session(project, "data_processing", reviews_file="mine.csv")
        path = project / "conf" / folder / "globals.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("reviews_file: sample_reviews.csv\n", encoding="utf-8")
        run_session(project, "data_processing", env=env)
        path.unlink()
    run_session(project, "data_processing", reviews_file="mine.csv")
    for made in (project / "data").glob("0[2-8]*"):
        shutil.rmtree(made)
    run_session(project, "data_processing")  # nothing is left to be replaced


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda project: change_conf(
                project, lambda conf: conf["tokenizer"].update(vocabulary_size=60)
            ),
            "tokenizer.vocabulary_size=50, which is 60 now",
        ),
        (
            lambda project: (project / FILE).write_text("review,sentiment\na,neutral\n"),
            "IMDB Dataset.csv has changed since review_settings",
        ),
        (
            lambda project: (project / "data/06_models/calibration.json").write_text("{}"),
            "calibration.json has changed since it was made",
        ),
        (
            lambda project: (project / "data/lineage.json").unlink(),
            "no record of how data/",
        ),
    ],
    ids=["conf", "csv", "by hand", "no lineage"],
)
def test_what_has_changed_since_is_noticed(
    change: Callable[[Path], object], message: str, copy_of_finished: Path
) -> None:
    change(copy_of_finished)
    with pytest.raises(ClickException, match=message):
        run_session(copy_of_finished, "reporting")


@pytest.mark.slow
@pytest.mark.parametrize("named", ["parts", "parts/*.csv"])
def test_a_change_inside_a_folder_of_raw_files_is_noticed(named: str, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    folder = project / "data/01_raw/parts"
    folder.mkdir()
    write_csv(folder / "p1.csv", make_reviews(150))
    write_csv(folder / "p2.csv", [("another one", "negative")])
    run_session(project, "data_processing", reviews_file=named)
    (folder / "_SUCCESS").write_text("")
    missing = "kedro run --pipelines data_processing --only-missing-outputs"
    assert "Skipping all 9 nodes" in run_kedro(project, f"{missing} --params reviews_file={named}")
    write_csv(folder / "p2.csv", [("another one", "positive")])
    with pytest.raises(
        ClickException, match=r"parts\S* has changed since review_settings"
    ) as error:
        run_session(project, "label_check")
    # The search is not needed for it.
    assert find_command(error).startswith("kedro run --pipelines data_processing --params ")
    run_kedro(project, find_command(error))


class Changing:
    """A hook that adds a row to a table after a node has run."""

    def __init__(self, table: Path, node: str) -> None:
        self.table = table
        self.node = node

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        if node.short_name == self.node:
            with self.table.open("a", encoding="utf-8") as file:
                file.write("a new review,positive\n")


def test_a_table_that_changes_during_a_run_is_noticed(copy_of_finished: Path) -> None:
    project = copy_of_finished
    bootstrap_project(project)
    params = {"reviews_file": FILE}
    says = r"IMDB Dataset\.csv has changed while this run was"
    with (
        same_python_path(),
        settings.SESSION_CLASS.create(project, runtime_params=params) as session,
    ):
        session._hook_manager.register(Changing(project / FILE, "find_columns"))
        with pytest.raises(ClickException, match=says):
            session.run(pipeline_names=["data_processing"])


@pytest.mark.slow
def test_custom_reviews_may_change_during_a_run(copy_of_finished: Path) -> None:
    project = copy_of_finished
    bootstrap_project(project)
    table = project / "data/01_raw/custom_reviews.csv"
    before = table.read_bytes()
    with same_python_path(), settings.SESSION_CLASS.create(project) as session:
        session._hook_manager.register(Changing(table, "find_custom_texts"))
        session.run(pipeline_names=["reporting"])
    assert table.read_bytes() != before


def find_command(error: pytest.ExceptionInfo[ClickException]) -> str:
    """Return the command that a refusal advises."""
    (command,) = re.findall(r"kedro run .*--only-missing-outputs", str(error.value))
    return str(command)


def test_a_search_that_was_killed_while_it_saved_goes_on_with_its_study(
    copy_of_finished: Path,
) -> None:
    with change_records(copy_of_finished) as records:
        records["study"]["run"] = "killed"
    with pytest.raises(ClickException, match="in a different run from") as error:
        run_session(copy_of_finished, "training")
    assert find_command(error) == (
        "kedro run --pipelines tuning,training --params 'reviews_file=IMDB Dataset.csv' "
        "--only-missing-outputs"
    )


@pytest.mark.slow
def test_another_split_makes_the_model_stale(copy_of_finished: Path) -> None:
    project = copy_of_finished
    file = {"reviews_file": "IMDB Dataset.csv"}
    run_session(project, "data_processing", split={"seed": 7}, **file)
    for pipeline in ("training", "reporting"):
        says = r"was made from a version of .* other than the current one"
        with pytest.raises(ClickException, match=says) as error:
            run_session(project, pipeline)
    command = find_command(error)
    assert command.startswith(
        "kedro run --pipelines tuning,training,reporting "
        "--params 'reviews_file=IMDB Dataset.csv,split.seed=7' "
    )
    run_kedro(project, command)
    records = Lineage(project).read()
    assert records["model"].inputs["train"].digest == records["train"].digest
    assert records["clean_reviews"].parameters["split"]["seed"] == 7


@pytest.mark.slow
def test_the_command_that_mends_has_the_parameters_and_files_of_the_run(
    copy_of_finished: Path,
) -> None:
    """It runs everything, so nothing is left to take the names of the files from.

    These are settings of the catalog, and parameters of no node.
    """
    project = copy_of_finished
    shutil.copy(project / FILE, project / "data/01_raw/more.csv")
    settings = {"reviews_file": "IMDB Dataset.csv", "unlabelled_file": "more.csv"}
    run_session(project, "data_processing", **settings)
    with pytest.raises(ClickException) as error:
        run_session(project, "reporting", split={"seed": 7})
    command = find_command(error)
    assert "unlabelled_file=more.csv" in command
    run_kedro(project, command)
    assert "Running node: fit_best_model" in read_log(project)
    assert read(project, "08_reporting/metrics.json")["file"] == "IMDB Dataset.csv"
    assert Lineage(project).read()["clean_reviews"].parameters["split"]["seed"] == 7
    chain = json.loads(Predictor.load(project / "data/06_models/model.onnx").facts["lineage"])
    assert [step["file"] for step in chain[:2]] == ["IMDB Dataset.csv", "more.csv"]
    with pytest.raises(ClickException, match=r"from data/01_raw/more.csv, not from data/01_raw/cu"):
        run_session(project, "reporting", unlabelled_file="custom_reviews.csv")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a name", "a name"),
        ("x #7", "'x #7'"),
        ("2026", "'2026'"),
        ("a: b", "'a: b'"),
        ("it's", "it's"),
        ("null", "'null'"),
        ("", "''"),
        (None, "null"),
        (True, "true"),
        (1e-5, "1e-05"),
        ("a, b", None),
        (["a"], None),
    ],
)
def test_values_are_quoted_for_kedro(value: Any, text: str | None) -> None:
    assert quote_value(value) == text
    if text is not None:
        assert _split_params(Context(Command("run")), None, f"key={text},other.key=1") == {
            "key": value,
            "other": {"key": 1},
        }


@pytest.mark.slow
def test_other_custom_reviews_are_scored_with_the_same_model(copy_of_finished: Path) -> None:
    project = copy_of_finished
    (project / "data/01_raw/custom_reviews.csv").write_text("review\nw1 w2\n", encoding="utf-8")
    before = (project / "data/06_models/model.onnx").read_bytes()
    run_session(project, "reporting")
    path = project / "data/07_model_output/custom_reviews_with_predictions.csv"
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1 + 1
    assert (project / "data/06_models/model.onnx").read_bytes() == before
    (project / "conf/local/globals.yml").write_text("reviews_file: IMDB Dataset.csv\n")
    output = run_kedro(project, "kedro run --only-missing-outputs")
    assert "export_model runs again: an input has changed" in output
    assert "render_report runs again" not in output  # which follows from it
    assert "render_report runs again: an input has changed" in read_log(project)
    assert "nodes with existing outputs: " not in output  # a long list
    model = Predictor.load(project / "data/06_models/model.onnx")
    assert model.examples == ("w1 w2",)


@pytest.mark.slow
def test_who_does_the_work_makes_nothing_stale(copy_of_finished: Path) -> None:
    change_conf(copy_of_finished, lambda conf: conf["tuning"].update(workers=2, max_retries=9))
    change_conf(copy_of_finished, lambda conf: conf.update(processing={"workers": 2}))
    run_session(copy_of_finished, "reporting")


def test_only_what_is_missing_or_stale_is_made_again(copy_of_finished: Path) -> None:
    project = copy_of_finished
    command = "kedro run --only-missing-outputs"
    lines = "reviews_file: IMDB Dataset.csv\nchunksize: 7\n"  # chunks of another size
    (project / "conf/local/globals.yml").write_text(lines)
    whole = find_digests(project)
    assert "Skipping all 60 nodes" in run_kedro(project, command)
    (project / "data/08_reporting/report.html").unlink()
    (project / "data/05_model_input/test.npy").write_bytes(b"half")
    output = run_kedro(project, command)
    assert "data_processing.encode_reviews runs again" in output
    assert "Running node: fit_tokenizer" not in read_log(project)
    assert (project / "data/08_reporting/report.html").exists()
    made = find_digests(project)
    same = ("train", "test", "best_hyperparameters", "metrics", "test_predictions")
    assert {name: made[name] for name in same} == {name: whole[name] for name in same}


@pytest.mark.slow
def test_a_threshold_is_chosen_without_training_again(copy_of_finished: Path) -> None:
    project = copy_of_finished
    (project / "conf/local/globals.yml").write_text("reviews_file: IMDB Dataset.csv\n")
    confidence = "training.decision=argmax,training.min_confidence=0.6"
    output = run_kedro(project, f"kedro run --only-missing-outputs --params {confidence}")
    assert "fit_decision runs again: a parameter has changed" in output
    made = re.findall(r"Running node: (\w+)", read_log(project))
    assert {"fit_decision", "export_model", "render_report"} <= set(made)
    assert not {"tune_hyperparameters", "fit_best_model"} & set(made)


@pytest.mark.slow
def test_a_search_goes_on_if_a_lost_trial_may_be_retried(copy_of_finished: Path) -> None:
    project = copy_of_finished
    (project / "conf/local/globals.yml").write_text("reviews_file: IMDB Dataset.csv\n")
    replace_last_trial(project, optuna.trial.create_trial(state=TrialState.FAIL))  # it has died
    before = find_digests(project)
    command = "kedro run --only-missing-outputs"
    storage = project / "data/06_models/study.db"
    content = storage.read_bytes()
    storage.unlink()
    assert "Skipping all 60 nodes" in run_kedro(project, f"{command} --params tuning.max_retries=0")
    assert not storage.exists()  # it need not be reached
    storage.write_bytes(content)
    output = run_kedro(project, command)
    assert "tune_hyperparameters runs again: the study 'IMDB Dataset.csv' lacks trials" in output
    made = re.findall(r"Running node: (\w+)", read_log(project))
    assert {"hold_out_reviews", "tune_hyperparameters"} <= set(made)
    assert "fit_best_model" not in made  # since the best trial is the same
    assert find_digests(project)["best_hyperparameters"] == before["best_hyperparameters"]
    assert "Skipping all 60 nodes" in run_kedro(project, command)


def test_a_search_that_a_timeout_has_ended_is_not_repeated(copy_of_finished: Path) -> None:
    project = copy_of_finished
    (project / "conf/local/globals.yml").write_text("reviews_file: IMDB Dataset.csv\n")
    replace_last_trial(project, None, timeout=60.0)
    (project / "data/06_models/study.db").unlink()
    change_conf(project, lambda conf: conf["tuning"].update(timeout=60.0))
    assert "Skipping all 60 nodes" in run_kedro(project, "kedro run --only-missing-outputs")


def replace_last_trial(project: Path, trial: FrozenTrial | None, **settings: Any) -> None:
    """Let a search have ended with another trial, or without it, and with other settings."""
    path = project / "data/06_models/study.pkl"
    study = optuna.create_study(study_name="IMDB Dataset.csv")
    study.add_trials(pickle.loads(path.read_bytes()).trials[:-1])
    if trial:
        study.add_trial(trial)
    path.write_bytes(pickle.dumps(study))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with change_records(project) as records:
        records["study"]["digest"] = digest
        for record in records.values():
            if "study" in record["inputs"]:
                record["inputs"]["study"]["digest"] = digest
            if "tuning" in record["parameters"]:
                record["parameters"]["tuning"] |= settings


@pytest.mark.slow
def test_a_table_that_a_file_url_names_is_checked_for_changes(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    table = tmp_path / "table.csv"
    write_csv(table, make_reviews(150))
    named = {"reviews_file": f"file://{table}"}
    run_session(project, "data_processing", **named)
    run_session(project, "label_check", **named)
    lineage = project / "data/lineage.json"
    new = lineage.read_text(encoding="utf-8")
    content = json.loads(new)
    for record in content["records"].values():
        for found in record["inputs"].values():
            if found["path"] == "table.csv":  # an earlier version recorded it otherwise
                found |= {"path": named["reviews_file"], "digest": ""}
    lineage.write_text(json.dumps(content), encoding="utf-8")
    run_session(project, "label_check", **named)
    lineage.write_text(new, encoding="utf-8")
    write_csv(table, make_reviews(140))
    with pytest.raises(ClickException, match=r"table\.csv has changed since"):
        run_session(project, "label_check", **named)


@pytest.mark.slow
def test_weights_of_labels_with_a_point_are_adopted_and_outdated_results_made_again(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path, {})
    rows = make_reviews(150, ("Django", "Node.js"))
    write_csv(project / "data/01_raw/sample_reviews.csv", rows)
    weights = {"class_weight": {"Node.js": 5}}
    run_session(project, "data_processing", "label_check", training=weights)
    node = "kedro run --pipelines label_check --nodes label_check.find_doubtful_labels"
    assert "training.class_weight={'Node.js': 5}" in run_kedro(project, node)
    other = f"{node} --params training.class_weight.Django=5"
    with pytest.raises(AssertionError) as error:
        run_kedro(project, other)
    message = str(error.value)
    assert "which is" in message
    assert "missing" not in message.partition("recreate")[0]
    advice = re.search(r"(kedro run --pipelines \S*label_check .*?--only-missing-outputs)", message)
    assert advice
    run_kedro(project, advice[1])
    run_kedro(project, other)


@pytest.mark.slow
def test_weights_of_labels_that_are_numbers_make_nothing_stale(tmp_path: Path) -> None:
    project = make_project(tmp_path, {"training": {"class_weight": {1: 2.0, 5: 1.0}}})
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150, ("1", "5")))
    run_session(project, "data_processing", "label_check")
    missing = "kedro run --pipelines label_check --only-missing-outputs"
    assert "Skipping all 3 nodes" in run_kedro(project, missing)
    # The next run adopts them from the first, if conf/ no longer has them.
    path = project / "conf/local/parameters.yml"
    content = yaml.safe_load(path.read_text())
    weights = content["training"].pop("class_weight")
    run_session(project, "data_processing", training={"class_weight": weights})
    path.write_text(yaml.safe_dump(content))
    run_session(project, "label_check")


@pytest.mark.slow
def test_only_what_uses_the_code_that_has_changed_runs_again(copy_of_finished: Path) -> None:
    project = copy_of_finished
    (project / "conf/local/globals.yml").write_text("reviews_file: IMDB Dataset.csv\n")
    nodes = project / "src/imdb_sentiment/pipelines"

    def change(file: str, old: str, new: str) -> list[str]:
        content = (nodes / file).read_text(encoding="utf-8")
        assert content.count(old) == 1
        (nodes / file).write_text(content.replace(old, new), encoding="utf-8")
        done = kedro(project, "run", "--only-missing-outputs")
        assert done.returncode == 0, done.stdout
        return re.findall(r"Running node: (\w+)", read_log(project))

    figure = "reporting/nodes/figures/curves.py"
    made = change(figure, '"ROC curve of', '"The ROC curve of')
    assert made == ["plot_roc_curves", "render_report"]
    template = "reporting/templates/report.css"
    # The others' templates are in the same folder.
    written = ["render_report", "summarise_run", "write_model_card"]
    assert change(template, "font-family", "font-weight: 400; font-family") == written
    # With the same result, so neither the network nor anything else is trained again.
    splits = "data_processing/nodes.py"
    assert change(splits, "def split_reviews(", "def split_reviews(  # here\n") == ["split_reviews"]


@pytest.mark.slow
def test_two_runs_do_not_use_the_same_files_at_once(copy_of_finished: Path) -> None:
    project = copy_of_finished
    first = start_kedro(project, "run", "--pipelines", "reporting")
    try:
        wait_until(lambda: bool(list((project / "data/.runs").glob("[!.]*.json"))))
        with hold_lock(project / "data/.runs/all.lock"):  # so that the first does not hold it
            os.kill(first.pid, signal.SIGSTOP)  # it must not end before the second has started
        second = kedro(project, "run", "--pipelines", "training")
        assert second.returncode == 1
        assert "another run is using data/" in " ".join(second.stdout.split())
        assert "Traceback" not in second.stdout
    finally:
        first.kill()
        first.communicate()
    run_session(project, "reporting", reviews_file="IMDB Dataset.csv")  # its claim is gone
    assert not list((project / "data/.runs").glob("*.json"))


@pytest.mark.parametrize("name", ["custom_reviews", "link"])
def test_a_file_is_not_read_and_written_by_one_run(copy_of_finished: Path, name: str) -> None:
    path = copy_of_finished / "data/01_raw/custom_reviews.csv"
    path.with_name("link.csv").symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(ClickException, match=rf"both read and write .*{name}\.csv:"):
        run_session(copy_of_finished, "inference", output_file=f"data/01_raw/{name}.csv")
    assert path.read_bytes() == before


def test_parallel_runner_is_refused(copy_of_finished: Path) -> None:
    done = kedro(copy_of_finished, "run", "--pipelines", "tuning", "--runner", "ParallelRunner")
    assert done.returncode == 1
    assert "use ThreadRunner, or omit --runner" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout


def test_inference_needs_the_exported_model_alone(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    (project / "data/06_models").mkdir()
    shutil.copy(finished[0] / "data/06_models/model.onnx", project / "data/06_models")
    run_session(project, "inference")
    scored = project / "data/07_model_output/scored_reviews.csv"
    (project / "data/01_raw/other.csv").write_text("review\nw1 w2\n", encoding="utf-8")
    command = "kedro run --pipelines inference --only-missing-outputs"
    run_kedro(project, f"{command} --params input_file=other.csv")
    assert "w1 w2" in scored.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_parameters_of_the_environment_of_the_inputs_are_used_again(
    copy_of_finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = copy_of_finished
    shutil.copytree(project / "conf/local", project / "conf/other")
    (project / "conf/other/globals.yml").write_text("reviews_file: IMDB Dataset.csv\nseed: 3\n")
    change_conf(project, lambda conf: conf["hyperparameters"].pop("batch_size"))
    other = project / "conf/other/parameters.yml"
    content = yaml.safe_load(other.read_text())
    content["hyperparameters"]["batch_size"] = 8
    content["tuning"]["study_name"] = "other"
    other.write_text(yaml.safe_dump(content))
    run_session(project, "data_processing", env="other")
    run_session(project, "tuning")
    record = Lineage(project).read()["best_hyperparameters"]
    assert record.env == "other"
    assert record.parameters["hyperparameters"]["batch_size"] == 8
    assert record.parameters["tuning"]["study_name"] == "other"
    assert record.parameters["tuning"]["seed"] == 3
    # Of its catalog, which is not used again, only what this run uses matters.
    catalog = project / "conf/other/catalog.yml"
    entry = "  type: imdb_sentiment.datasets.LinesDataset\n  filepath: data/elsewhere.txt\n"
    catalog.write_text(f"train:\n{entry}")
    with pytest.raises(ClickException, match=r"other entries for train: repeat --env other$"):
        run_session(project, "tuning")
    catalog.write_text(f"imdb_reviews:\n{entry}")
    run_session(project, "tuning")
    (project / "conf/other").rename(project / "conf/renamed")
    with pytest.raises(ClickException, match=r"inputs were made with --env other, and there is no"):
        run_session(project, "tuning")


@pytest.mark.slow
def test_a_file_that_is_named_now_must_be_that_of_the_inputs(copy_of_finished: Path) -> None:
    with pytest.raises(ClickException, match=r"was made from no file, not from .*more\.csv"):
        run_session(copy_of_finished, "tuning", unlabelled_file="more.csv")
    # also in the configuration
    globals_file = copy_of_finished / "conf/local/globals.yml"
    before = globals_file.read_text() if globals_file.exists() else ""
    (copy_of_finished / "data/01_raw/more.csv").write_text("text\nmore\n")
    globals_file.write_text(f"{before}\nunlabelled_file: more.csv\n")
    with pytest.raises(ClickException, match=r"was made from no file, not from .*more\.csv"):
        run_session(copy_of_finished, "tuning")
    (copy_of_finished / "data/01_raw/more.csv").unlink()  # or never there, by a misspelt name
    with pytest.raises(ClickException, match=r"was made from no file, not from .*more\.csv"):
        run_session(copy_of_finished, "tuning")


@pytest.mark.slow
def test_other_files_under_the_same_names_are_noticed(copy_of_finished: Path) -> None:
    """Also if conf/ names another file of custom reviews, or the table lies elsewhere."""
    project = copy_of_finished
    (project / "data/01_raw/mine.csv").write_text("review\nmine\n")
    globals_file = project / "conf/local/globals.yml"
    before = globals_file.read_text() if globals_file.exists() else ""
    globals_file.write_text(f"{before}\ncustom_reviews_file: mine.csv\n")
    with pytest.raises(AssertionError, match=r"made from \S+custom_reviews\.csv, not from \S+mine"):
        run_kedro(project, "kedro run --from-nodes reporting.scoring.score_custom_reviews")
    globals_file.write_text(before)
    (project / FILE).rename(project / "data/01_raw/old.csv")
    part = "kedro run --nodes data_processing.check_reviews"
    part += " --params 'reviews_file=IMDB Dataset.csv'"
    write_csv(project / "IMDB Dataset.csv", make_reviews(150))
    with pytest.raises(AssertionError, match=r"was made from data/01_raw/IMDB .*, not from IMDB"):
        run_kedro(project, part)
    (project / "data/01_raw/old.csv").replace(project / "IMDB Dataset.csv")  # the same content
    run_kedro(project, part)


@pytest.mark.slow
def test_a_table_is_not_said_to_be_read_in_another_way_than_it_was(copy_of_finished: Path) -> None:
    project, named = copy_of_finished, {"reviews_file": "IMDB Dataset.csv"}
    with pytest.raises(ClickException, match=r"reviews_delimiter=auto, not ;: .* leave reviews_"):
        run_session(project, "reporting", reviews_delimiter=";")
    both = {"reviews_encoding": "cp1252", "reviews_delimiter": "comma"}
    run_session(project, "data_processing", **named, **both)
    train = "kedro run --nodes data_processing.fit_tokenizer --params reviews_delimiter="
    run_kedro(project, f"{train}comma")  # one of the two
    with pytest.raises(AssertionError, match=r"with reviews_delimiter=comma, not semi"):
        run_kedro(project, f"{train}semicolon")


@pytest.mark.slow
def test_an_environment_with_another_file_is_not_that_of_the_inputs(
    copy_of_finished: Path,
) -> None:
    project = copy_of_finished
    for env, lines in (("mine", "unlabelled_file: more.csv"), ("other", "seed: 42")):
        (project / f"conf/{env}").mkdir()
        (project / f"conf/{env}/globals.yml").write_text(f"{lines}\n")
    (project / "data/01_raw/more.csv").write_text("text\nmore and more\n")
    with contextlib.chdir(project):
        run_session(project, "data_processing", env="mine", reviews_file="IMDB Dataset.csv")
        with pytest.raises(ClickException, match=r"made from data/01_raw/more.csv, not from no fi"):
            run_session(project, "tuning", env="other")


def test_files_of_every_pipeline_need_a_record(copy_of_finished: Path) -> None:
    (copy_of_finished / "data/07_model_output/label_check_logits.pkl").write_bytes(b"")
    part = "kedro run --pipelines label_check --nodes label_check.find_doubtful_labels"
    with pytest.raises(AssertionError, match=r"no record of how data/07_model_output/label_check"):
        run_kedro(copy_of_finished, part)


@pytest.mark.slow
def test_another_version_than_the_recorded_one_is_refused(copy_of_finished: Path) -> None:
    project = copy_of_finished
    (project / "conf/local/catalog.yml").write_text(
        "history: {type: imdb_sentiment.datasets.AtomicDataset, filepath: data/history.json, "
        "dataset: json.JSONDataset, versioned: true}\n"
    )
    for _ in range(2):
        run_session(project, "training")
    old, new = sorted((project / "data/history.json").iterdir())
    figure = "kedro run --nodes reporting.figures.plot_learning_curves"
    run_kedro(project, figure)
    says = f"the version of history that this run would load is {old.name}, and only {new.name}"
    with pytest.raises(AssertionError, match=says):
        run_kedro(project, f"{figure} --load-versions history:{old.name}")
    shutil.rmtree(new)
    with pytest.raises(AssertionError, match=says):
        run_kedro(project, figure)


@pytest.mark.slow
def test_the_exported_model_names_the_present_table(copy_of_finished: Path) -> None:
    """Also if a column was added to it that no node but the first ones reads."""
    path = copy_of_finished / FILE
    path.write_text(
        "".join(f"{line},1\n" for line in path.read_text("utf-8").splitlines()), "utf-8"
    )
    run_kedro(
        copy_of_finished,
        "kedro run --only-missing-outputs --params 'reviews_file=IMDB Dataset.csv'",
    )
    predictor = Predictor.load(copy_of_finished / "data/06_models/model.onnx")
    (table, *_) = json.loads(predictor.facts["lineage"])
    assert table["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_searches_with_the_same_parameters_are_the_same_whoever_names_them(
    copy_of_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[str] = []

    def refuse(self: ClaimRegistry, name: str, claim: Claim) -> None:
        claimed.append(claim.search)
        raise InputError("claimed")

    monkeypatch.setattr(ClaimRegistry, "make", refuse)
    for parameters in ({}, {"reviews_file": "IMDB Dataset.csv"}, {"tuning": {"seed": 9}}):
        with pytest.raises(ClickException, match="claimed"):
            run_session(copy_of_finished, "tuning", **parameters)
    first, named, other = claimed
    assert first == named != other


@pytest.mark.slow
def test_a_part_of_a_pipeline_reads_the_files_of_its_inputs(copy_of_finished: Path) -> None:
    project = copy_of_finished
    (project / "data/01_raw/more.csv").write_text("text\nmore and more\n")
    given = {"unlabelled_file": "more.csv", "unlabelled_encoding": "cp1252"}
    run_session(project, "data_processing", reviews_file=FILE, **given)
    part = "kedro run --from-nodes data_processing.split_reviews --to-outputs word_vectors"
    with pytest.raises(AssertionError, match="add --params") as error:
        run_kedro(project, part)
    named = re.findall(
        "add (--params unlabelled_file=more.csv,unlabelled_encoding=cp1252)", str(error.value)
    )
    run_kedro(project, f"{part} {named[0]}")


@pytest.mark.slow
def test_a_file_that_is_away_makes_nothing_outdated(copy_of_finished: Path) -> None:
    """conf/ names it without its folder, so it would be looked for in data/01_raw."""
    project = copy_of_finished
    (project / "more.csv").write_text("text\nmore and more\n")
    path = project / "conf/local/globals.yml"
    before = path.read_text() if path.exists() else ""
    with contextlib.chdir(project):
        path.write_text(f"{before}\nunlabelled_file: more.csv\n")
        run_session(project, "data_processing", reviews_file=FILE)
        (project / "more.csv").unlink()
        run_session(project, "tuning", tuning={"study_name": "with more"})
        path.write_text(f"{before}\nunlabelled_file: other.csv\n")
        with pytest.raises(ClickException, match=r"made from .*more\.csv, not from .*other\.csv"):
            run_session(project, "tuning", tuning={"study_name": "with more"})
        path.write_text(before)  # no file is named any more
        with pytest.raises(ClickException, match=r"made from more\.csv, not from no file"):
            run_session(project, "tuning", tuning={"study_name": "with more"})


def test_a_misspelt_name_in_a_group_is_refused_though_its_nodes_read_single_ones(
    copy_of_finished: Path,
) -> None:
    with pytest.raises(ClickException, match=r"'hyperparameters\.unit': did you mean units"):
        run_session(copy_of_finished, "data_processing", hyperparameters={"unit": 3})


def test_a_project_without_conf_local_and_with_own_entries_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    (project / "conf/local").rename(project / "conf/own")
    (project / "conf/own/catalog.yml").write_text(
        "raw_reviews:\n  type: imdb_sentiment.datasets.TableDataset\n"
        "  filepath: data/01_raw/sample_reviews.csv\n  load_args: {chunksize: 50}\n"
    )
    run_session(project, "data_processing", env="own")
    assert Lineage(project).read()["train"].env == "own"


@pytest.mark.slow
def test_an_interrupted_run_does_not_lock_its_process_out(
    copy_of_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kedro.runner.runner.Task.execute", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_session(copy_of_finished, "reporting")
    # In a notebook, the process lives on, and another run may need the files.
    assert not list((copy_of_finished / "data/.runs").glob("[!.]*.json"))
    logs = copy_of_finished / "logs"
    open_files = [str(getattr(log, "baseFilename", "")) for log in logging.getLogger().handlers]
    assert not [file for file in open_files if Path(file).is_relative_to(logs)]
    run_session(copy_of_finished, "reporting")


def test_a_second_run_of_a_process_does_not_disturb_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook with threads: both would share the hooks."""
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    has_begun, may_go_on = threading.Event(), threading.Event()
    execute = Task.execute

    def wait_and_execute(task: Task) -> Any:
        has_begun.set()
        assert may_go_on.wait(60)
        return execute(task)

    monkeypatch.setattr(Task, "execute", wait_and_execute)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run_session, project, "data_processing")
        assert has_begun.wait(60)
        with pytest.raises(ClickException, match="another run of this process has not ended yet"):
            run_session(project, "data_processing")
        may_go_on.set()
        first.result(60)
    assert "audit" in Lineage(project).read()


@pytest.mark.slow
def test_a_copied_project_keeps_its_lineage(copy_of_finished: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(copy_of_finished, moved)
    run_session(moved, "reporting")


@pytest.mark.slow
def test_a_file_elsewhere_is_known_by_the_run_that_saved_it(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    (project / "conf/local/catalog.yml").write_text(
        "audit:\n  type: imdb_sentiment.datasets.AtomicDataset\n"
        "  filepath: memory:///audit.json\n  dataset: json.JSONDataset\n"
    )
    run_session(project, "data_processing")
    first = Lineage(project).read()["audit"]
    assert first.path == "memory:///audit.json"
    missing = "kedro run --pipelines data_processing --only-missing-outputs"
    assert "Skipping all 9 nodes" in run_kedro(project, missing)
    run_session(project, "data_processing")
    assert Lineage(project).read()["audit"].digest != first.digest
