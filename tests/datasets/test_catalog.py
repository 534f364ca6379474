"""The catalog of conf/base."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, pipelines
from kedro.io import DataCatalog
from kedro_datasets._typing import PlotlyPreview

from helpers import PROJECT
from imdb_sentiment.datasets import AtomicDataset
from imdb_sentiment.framework.configuration import CATALOG_PARAMETERS
from imdb_sentiment.settings import CONFIG_LOADER_ARGS


def make_loader(**parameters: str) -> OmegaConfigLoader:
    return OmegaConfigLoader(
        str(PROJECT / "conf"),
        base_env="base",
        default_run_env="base",
        custom_resolvers=CONFIG_LOADER_ARGS["custom_resolvers"],
        runtime_params=parameters,
    )


@pytest.fixture(scope="module")
def catalog() -> DataCatalog:
    return DataCatalog.from_config(make_loader()["catalog"])


def test_unlabelled_reviews_have_an_encoding_of_their_own() -> None:
    parameters = {"reviews_encoding": "cp1252", "unlabelled_encoding": "cp1250"}
    for given in ({"reviews_encoding": "cp1252"}, parameters):
        entries = make_loader(**given)["catalog"]
        assert entries["raw_reviews"]["load_args"]["encoding"] == "cp1252"
        expected = given.get("unlabelled_encoding", "utf-8")
        assert entries["unlabelled_reviews"]["load_args"]["encoding"] == expected


@pytest.mark.slow
def test_tables_are_found_in_their_folder_and_by_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "data/01_raw").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    existing = ("data/01_raw/both.csv", "both.csv", "data/01_raw/raw.csv", "root.csv", "home/a.csv")
    for name in existing:
        (tmp_path / name).touch()
    here, raw, url = f"{tmp_path}/root.csv", "data/01_raw/raw.csv", "s3://bucket/root.csv"
    expected = {
        "both.csv": "data/01_raw/both.csv",
        "raw.csv": raw,
        raw: raw,
        "root.csv": here,
        here: here,
        "./both.csv": f"{tmp_path}/both.csv",
        "./raw.csv": f"{tmp_path}/raw.csv",
        "./data/01_raw/raw.csv": raw,
        "../raw.csv": f"{tmp_path}/../raw.csv",
        "none.csv": "data/01_raw/none.csv",
        "roo?.csv": f"{tmp_path}/roo?.csv",
        "**/roo?.csv": f"{tmp_path}/**/roo?.csv",
        "ra*.csv": "data/01_raw/ra*.csv",
        "no*.csv": "data/01_raw/no*.csv",
        url: url,
        "~/a.csv": f"{tmp_path}/home/a.csv",
    }
    for name, path in expected.items():
        entries = make_loader(reviews_file=name, input_file=name)["catalog"]
        assert entries["raw_reviews"]["filepath"] == path
        assert entries["input_reviews"]["filepath"] == path
    written = {
        "./out.csv": "out.csv",
        "../out.csv": "../out.csv",
        "~/out.csv": f"{tmp_path}/home/out.csv",
        "~out.csv": "~out.csv",
        url: url,
    }
    for name, path in written.items():
        entries = make_loader(output_file=name)["catalog"]
        assert entries["scored_reviews"]["filepath"] == path


def test_in_a_subfolder_tables_are_found_in_the_project_and_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n", encoding="utf-8")
    here = tmp_path / "notebooks"
    for file in ("data/01_raw/both.csv", "notebooks/both.csv", "notebooks/own.csv"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.chdir(here)
    expected = {
        "both.csv": "data/01_raw/both.csv",
        "data/01_raw/both.csv": "data/01_raw/both.csv",
        "own.csv": f"{here}/own.csv",
        "./both.csv": f"{here}/both.csv",
        "none.csv": "data/01_raw/none.csv",
    }
    for name, path in expected.items():
        assert make_loader(input_file=name)["catalog"]["input_reviews"]["filepath"] == path
    default = "data/07_model_output/scored_reviews.csv"
    assert make_loader()["catalog"]["scored_reviews"]["filepath"] == default
    for name in ("out.csv", "./out.csv", "../out.csv"):
        path = make_loader(output_file=name)["catalog"]["scored_reviews"]["filepath"]
        assert path == f"{here / name}"


def test_one_entry_is_for_all_figures_and_nothing_else(catalog: DataCatalog) -> None:
    configure_project("imdb_sentiment")
    pipelines.set_requested(None)
    names = {name for pipeline in pipelines.values() for name in pipeline.datasets()}
    figures = {
        output
        for node in pipelines["reporting"].nodes
        for output in node.outputs
        if node.func.__name__.startswith("plot_")
    }
    assert len(figures) == 16
    match = catalog.config_resolver.match_dataset_pattern
    assert {name for name in names | set(catalog.keys()) if match(name)} == figures
    for name in figures:
        dataset = catalog[name]
        assert isinstance(dataset, AtomicDataset)
        assert dataset.preview.__annotations__["return"] == PlotlyPreview.__name__
        assert name.removesuffix("_figure") + ".json" in str(dataset)


def test_everything_between_two_nodes_is_an_entry(catalog: DataCatalog) -> None:
    configure_project("imdb_sentiment")
    pipelines.set_requested(None)
    made = {name for pipeline in pipelines.values() for name in pipeline.all_outputs()}
    find_type = catalog.config_resolver.resolve_pattern
    in_memory = {name for name in made if find_type(name)["type"].endswith("MemoryDataset")}
    assert in_memory == {"held_out_sets"}  # each of them has most of the reviews


def test_reviews_that_are_kept_in_memory_are_not_copied(catalog: DataCatalog) -> None:
    reviews = [(object(), object())]
    catalog.save("held_out_sets", reviews)
    assert catalog.load("held_out_sets") is reviews


def test_all_parameters_of_the_catalog_are_known() -> None:
    text = "".join(path.read_text("utf-8") for path in (PROJECT / "conf").rglob("*.yml"))
    assert set(re.findall(r"\$\{runtime_params:\s*([\w.]+)", text)) == set(CATALOG_PARAMETERS)


SAVE = """
import json, sys
import pandas as pd
from kedro.io import AbstractDataset
for name, (entry, text) in json.load(sys.stdin).items():
    is_table = "CSV" in entry["dataset"]["type"]
    AbstractDataset.from_config(name, entry).save(pd.DataFrame({"a": [text]}) if is_table else text)
"""


def test_texts_are_utf_8_on_systems_with_another_encoding(tmp_path: Path) -> None:
    text = "caf\u00e9 \U0001f600"
    given = {
        name: ({**entry, "filepath": str(tmp_path / name)}, text)
        for name, entry in make_loader()["catalog"].items()
        if "Atomic" in entry["type"] and re.search("CSV|json.JSON", str(entry["dataset"]))
        if "save_args" in entry["dataset"] and name != "run_record@one"  # others write ASCII
    }
    assert {"metrics", "trials", "test_predictions", "doubtful_labels"} <= given.keys()
    environment = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    subprocess.run(
        [sys.executable, "-c", SAVE],
        input=json.dumps(given),
        text=True,
        check=True,
        env=os.environ | environment,
    )
    for name, (entry, _) in given.items():
        path = tmp_path / name
        is_table = "CSV" in entry["dataset"]["type"]
        saved = pd.read_csv(path)["a"][0] if is_table else json.loads(path.read_bytes())
        assert saved == text
        assert text.encode() in path.read_bytes()
