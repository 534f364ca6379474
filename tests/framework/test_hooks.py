"""Misspelt parameters are refused, and freed memory is given back, whatever starts the run."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import ClickException
from fastapi.testclient import TestClient
from kedro.framework.project import settings
from kedro.framework.session import KedroServiceSession, KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Node
from kedro.server.http_server import create_http_server

from helpers import kedro, make_project, make_reviews, run_session, write_csv
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.hooks import _find_given
from imdb_sentiment.framework.presets import PresetsConfigLoader

MISSPELT = r"no parameter 'tunning' in --params: did you mean tuning\?"
PIPELINES = ["data_processing"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("project"))
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    write_csv(project / "data/01_raw/others.csv", make_reviews(120))
    bootstrap_project(project)
    return project


def count_rows(project: Path) -> int:
    audit = json.loads((project / "data/02_intermediate/audit.json").read_text())
    return int(audit["rows_read"])


def test_kedros_own_session_refuses_them(project: Path) -> None:
    session = KedroSession.create(project, runtime_params={"tunning": {"n_trials": 3}})
    with pytest.raises(InputError, match=MISSPELT):
        session.run(pipeline_names=PIPELINES)


def test_a_service_session_refuses_them_in_each_run(project: Path) -> None:
    session = KedroServiceSession.create(project_path=project)
    session.run(pipeline_names=PIPELINES)
    assert count_rows(project) == 150
    with pytest.raises(InputError, match=MISSPELT):
        session.run(pipeline_names=PIPELINES, runtime_params={"tunning": {"n_trials": 3}})
    session.run(pipeline_names=PIPELINES, runtime_params={"reviews_file": "others.csv"})
    assert count_rows(project) == 120


def test_kedro_server_refuses_them(project: Path) -> None:
    with TestClient(create_http_server(project)) as client:
        answer = client.post(
            "/run",
            json={"pipeline_names": PIPELINES, "params": {"tunning": {"n_trials": 3}}},
        )
    assert answer.json()["status"] == "failure"
    assert "did you mean tuning?" in answer.json()["error"]["message"]


def test_a_misspelt_setting_is_refused(tmp_path: Path) -> None:
    """Otherwise, the run would use the sample instead of the user's file."""
    project = make_project(tmp_path)
    (project / "conf/local/globals.yml").write_text("reviews_fil: mine.csv\n", encoding="utf-8")
    bootstrap_project(project)
    with pytest.raises(ClickException, match=r"'reviews_fil' in .*: did you mean reviews_file\?"):
        run_session(project, "data_processing")
    # A catalog of the user's own may need others.
    (project / "conf/local/globals.yml").write_text("archive: /data\n", encoding="utf-8")
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    run_session(project, "data_processing")


def test_settings_may_be_in_a_file_with_the_other_suffix_of_yaml(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/mine.csv", make_reviews(120))
    (project / "conf/local/globals.yaml").write_text("reviews_file: mine.csv\n", encoding="utf-8")
    run_session(project, "data_processing")
    assert count_rows(project) == 120


def test_a_catalog_entry_with_a_misspelt_name_is_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    entry = "{type: pandas.CSVDataset, filepath: data/01_raw/mine.csv}"
    lines = "".join(f"{name}: {entry}\n" for name in ("raw_review", "archive", "raw_reviews_2"))
    (project / "conf/local/catalog.yml").write_text(lines, encoding="utf-8")
    run_session(project, "data_processing")
    told = "No pipeline uses the entry raw_review of the catalog in conf/: did you mean raw_rev"
    assert caplog.text.count("No pipeline uses") == caplog.text.count(told) == 1

    caplog.clear()
    run_session(project, "label_check")  # which uses few of the entries
    assert caplog.text.count("No pipeline uses") == caplog.text.count(told) == 1


def test_a_file_in_conf_that_is_not_read_is_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    read = ["catalog_mine.yml", "parameters.json", "credentials.yaml", "parameters.yml.bak"]
    unread = {
        "local/parameter.yml": "parameters",
        "local/globals_mine.yml": "globals",
        "local/params.yml": "parameters",
        "local/parameters.yml.txt": "parameters",
        "local/catalogue.YAML": "catalog",
        "best/parameter.yml": "parameters",
        "credentials.yml": "credentials",
    }
    others = ["spark.yml", "cat.yml", "parameters_notes.txt", "README.md"]
    for name in (*unread, *(f"local/{name}" for name in [*read, *others])):
        (project / "conf" / name).write_text("{}\n", encoding="utf-8")
    run_session(project, "data_processing")
    for name, kind in unread.items():
        folder = "best" if name.startswith("best") else "local"
        told = f"conf/{name} is not read: did you mean conf/{folder}/{kind}.yml?"
        assert caplog.text.count(told) == 1
    assert caplog.text.count("is not read") == len(unread)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("input_file", "x.csv", "globals.yml can't set input_file: set it with --params"),
        ("seed", "abc", "^seed is 'abc' in conf/: it must be a whole number"),
        ("reviews_file", "null", "^reviews_file is empty: name the table"),
        ("custom_reviews_file", "null", "^custom_reviews_file is null: name the table"),
    ],
)
def test_a_setting_that_can_not_be_used_is_refused(
    name: str, value: str, says: str, tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(30))
    (project / "conf/local/globals.yml").write_text(f"{name}: {value}\n", encoding="utf-8")
    with pytest.raises(ClickException, match=says):
        run_session(project)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n_trials": 3}, r"'n_trials' in --params: did you mean tuning\.n_trials\?"),
        ({"hyperparameters": {"early_stopping_patience": 2}}, "needs rows that are held out"),
        ({"word_vectors": {"method": "none"}}, "pretrained_embedding needs word vectors"),
        (
            {"tuning": {"search_space": {"embedding_size": {"type": "int", "low": 3, "high": 8}}}},
            "has embedding_size, which has no effect in any trial",
        ),
        (
            {"tuning": {"scheduler_address": "tcp://127.0.0.1:1"}},
            r"there is no Dask scheduler at tcp://127\.0\.0\.1:1: start one",
        ),
    ],
)
def test_what_a_search_can_not_use_is_refused_before_the_work(
    given: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.cluster.CONNECT_TIMEOUT", 1)
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(30))
    with pytest.raises(ClickException, match=says):
        run_session(project, **given)
    assert not (project / "data/02_intermediate/audit.json").exists()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"filepath": "data/06_models/study.db"}, "file is not a database.*restore the file, or"),
        ({"url": "postgresql+psycopg://127.0.0.1:1/studies"}, "check filepath, or url and"),
    ],
    ids=["file", "server"],
)
def test_a_study_database_that_can_not_be_opened_is_refused_before_the_work(
    entry: dict[str, str], said: str, tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(60))
    kind = "imdb_sentiment.datasets.OptunaStorageDataset"
    content = yaml.safe_dump({"study_storage": {"type": kind, **entry}})
    (project / "conf/local/catalog.yml").write_text(content)
    (project / "data/06_models").mkdir(parents=True, exist_ok=True)
    (project / "data/06_models/study.db").write_bytes(b"not a database" * 99)
    with pytest.raises(ClickException, match=f"can't be opened .*{said}"):
        run_session(project)
    assert not (project / "data/02_intermediate/audit.json").exists()


@pytest.mark.slow
def test_a_search_that_has_ended_needs_no_scheduler(
    copy_of_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.cluster.CONNECT_TIMEOUT", 1)
    bootstrap_project(copy_of_finished)
    given = {"tuning": {"scheduler_address": "tcp://127.0.0.1:1"}}

    def run(*, only_missing_outputs: bool) -> None:
        with settings.SESSION_CLASS.create(copy_of_finished, runtime_params=given) as session:
            session.run(pipeline_names=["tuning"], only_missing_outputs=only_missing_outputs)

    run(only_missing_outputs=True)
    with pytest.raises(ClickException, match="there is no Dask scheduler"):
        run(only_missing_outputs=False)


def test_a_decision_that_does_not_fit_an_earlier_metric_is_refused_before_the_training(
    copy_of_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Node, "run", lambda node, inputs: ran.append(node.name))
    with pytest.raises(ClickException, match=r"training\.decision is median, which needs ordinal"):
        run_session(copy_of_finished, "training", training={"decision": "median"})
    assert not ran


def test_inference_may_follow_the_training_on_a_named_table(copy_of_finished: Path) -> None:
    """Then, `reviews_file` is not the table that is to be scored."""
    given = {"reviews_file": "nope.csv"}
    with pytest.raises(ClickException, match=r"nope\.csv does not exist"):
        run_session(copy_of_finished, "data_processing", "inference", **given)
    given = {"reviews_file": "IMDB Dataset.csv", "input_file": "custom_reviews.csv"}
    run_session(copy_of_finished, "inference", **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input_file": None}, "^input_file is null: name the table to read"),
        ({"reviews_file": "others.csv"}, r"input_file names: pass input_file=others\.csv"),
    ],
)
def test_inference_scores_no_other_table_than_meant(
    given: dict[str, Any], says: str, copy_of_finished: Path
) -> None:
    scored = copy_of_finished / "data/07_model_output/scored_reviews.csv"
    scored.write_text("earlier", encoding="utf-8")
    with pytest.raises(ClickException, match=says):
        run_session(copy_of_finished, "inference", **given)
    assert scored.read_text(encoding="utf-8") == "earlier"


@pytest.mark.parametrize("name", ["input_file", "output_file", "input_encoding"])
def test_a_table_to_score_is_not_for_another_pipeline(name: str, copy_of_finished: Path) -> None:
    says = f"{name} has an effect on inference only: add --pipelines inference"
    with pytest.raises(ClickException, match=says):
        run_session(copy_of_finished, "reporting", **{name: "custom_reviews.csv"})


def test_parameters_without_effect_on_inference_are_named(
    copy_of_finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {"inference": {"text_column": "auto"}}
    run_session(copy_of_finished, "inference", **given)
    assert "no effect" not in caplog.text
    run_session(copy_of_finished, "inference", **given, training={"min_confidence": 0.7})
    assert "training.min_confidence has no effect on inference" in caplog.text


def test_a_missing_file_is_made_as_the_others_were(copy_of_finished: Path) -> None:
    (copy_of_finished / "data/05_model_input/train.npy").unlink()
    says = r"makes it first: kedro run --pipelines data_processing --params 'reviews_file=IMDB "
    with pytest.raises(ClickException, match=says):
        run_session(copy_of_finished, "training")


def test_settings_for_files_alone_are_refused_as_parameters(project: Path) -> None:
    done = kedro(project, "run", "--params", "custom_reviews_file=mine.csv")
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "--params can't set custom_reviews_file: put it into conf/local/globals.yml" in told


def test_the_command_line_refuses_them_in_one_line(project: Path) -> None:
    done = kedro(project, "run", "--params", "tunning.n_trials=3")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert "there is no parameter 'tunning' in --params: did you mean tuning?" in done.stdout


FREE = """
import gc
import sys
import psutil
from imdb_sentiment.framework.hooks import ReleaseMemory
from imdb_sentiment.settings import HOOKS
(hook,) = [hook for hook in HOOKS if isinstance(hook, ReleaseMemory)]
process = psutil.Process()
before = process.memory_info().rss
blocks = [bytes(10_000) for _ in range(20_000)]
kept = blocks[::1_000]  # between them, memory is free, but not at the end of the heap
if sys.argv[1] == "networks":  # which refer to themselves, and which nothing else refers to
    sys.modules["keras"] = sys
    gc.disable()
    blocks.append(blocks)
del blocks
print(process.memory_info().rss - before)
hook.before_node_run()
print(process.memory_info().rss - before)
"""


def test_an_entry_that_reads_another_table_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(tmp_path)
    for name in ("sample_reviews.csv", "mine.csv"):
        write_csv(project / "data/01_raw" / name, make_reviews(150))
    (project / "conf/local/catalog.yml").write_text(
        "raw_reviews:\n  type: imdb_sentiment.datasets.TableDataset\n"
        "  filepath: data/01_raw/mine.csv\n"
        "  load_args: {chunksize: 5000, encoding: utf-8, sep: auto}\n",
        encoding="utf-8",
    )
    run_session(project, "data_processing")
    assert "data/01_raw/mine.csv, although this run names sample_reviews.csv" in caplog.text
    caplog.clear()
    run_session(project, "data_processing", reviews_file="mine.csv")
    assert "of the catalog reads" not in caplog.text
    said = "reviews_delimiter has no effect, since the entry raw_reviews in conf/ does not use it"
    with pytest.raises(ClickException, match=said):
        run_session(project, "data_processing", reviews_delimiter="semicolon")


def test_a_folder_may_have_a_number_as_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """YAML reads it as a number, in --params as well."""
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/2024/part.csv", make_reviews(120))
    run_session(project, "data_processing", reviews_file=2024)
    assert count_rows(project) == 120
    (project / "data/lineage.json").unlink()
    run_session(project, "data_processing", reviews_file=2024)
    assert "will replace the results" not in caplog.text


@pytest.mark.parametrize(
    ("group", "values", "says"),
    [
        ("hyperparameters", {"bidirectional": "n"}, "is 'n': it must be true or false"),
        ("hyperparameters", {"units": 64.0}, "is 64.0: it must be a whole number of at least 1"),
        ("hyperparameters", {"units": True}, "is true: it must be a whole number of at least 1"),
        ("training", {"use_validation_rows": 1}, "is 1: it must be true or false"),
        ("training", {"min_confidence": "0.5"}, "is '0.5': it must be a number of at least 0"),
        ("tuning", {"folds": "2"}, "is '2': it must be auto or a whole number"),
        ("tuning", {"n_trials": 1e1}, "is 10.0: it must be .*, without a point or an exponent"),
        (
            "tuning",
            {"search_space": {"units": {"type": "int", "low": "3", "high": 8}}},
            r"is '3': it must be a whole number",
        ),
    ],
)
def test_what_only_looks_like_a_value_is_refused(
    group: str, values: dict[str, Any], says: str, project: Path
) -> None:
    """A node that reads a single parameter would get it as it is."""
    (name,) = values
    with pytest.raises(ClickException, match=rf"{group}\.{name}(\.units\.low)? {says}"):
        run_session(project, "data_processing", env=None, **{group: values})


def test_hyperparameters_of_a_preset_are_not_taken_for_the_users(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    project = make_project(tmp_path / "local")
    (project / "conf/local/parameters.yml").write_text("hyperparameters: {units: 80}\n")
    bootstrap_project(project)
    given = {"hyperparameters": {"epochs": 2}}
    conf = str(project / settings.CONF_SOURCE)
    loader = PresetsConfigLoader(conf, "best", given, **settings.CONFIG_LOADER_ARGS)
    assert _find_given(loader) == {"units", "epochs"}


@pytest.mark.slow
def test_a_value_of_a_searched_hyperparameter_is_said_to_have_no_effect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(150))
    own = "hyperparameters: {units: 128}\ntuning: {search_space: {dropout_rate: null}}\n"
    (project / "conf/local/parameters_own.yml").write_text(own, encoding="utf-8")
    given: dict[str, Any] = {
        "tuning": {"n_trials": 1},
        "hyperparameters": {"optimizer": "sgd", "epochs": 1, "embedding_size": 32},
    }
    run_session(project, "data_processing", **given)
    assert "has no effect" not in caplog.text
    run_session(project, "tuning", **given)
    for name in ("optimizer", "units"):
        assert f"hyperparameters.{name} has no effect, since it is searched" in caplog.text
    assert "hyperparameters.embedding_size has no effect with" in caplog.text
    assert caplog.text.count("has no effect") == 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
@pytest.mark.parametrize("kind", ["other", "networks"])
def test_freed_memory_is_given_back_before_a_node_runs(kind: str) -> None:
    """In a process of its own, since others have free memory from which the blocks would come."""
    command = [sys.executable, "-c", FREE, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    held, left = map(int, done.stdout.split())
    assert held > 150e6
    assert left < 50e6
