"""The catalog of conf/base."""

import re

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, pipelines
from kedro.io import DataCatalog
from kedro_datasets._typing import PlotlyPreview

from helpers import PROJECT
from imdb_sentiment.datasets import AtomicDataset
from imdb_sentiment.framework.hooks import CATALOG_PARAMETERS
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
    assert len(figures) == 17
    match = catalog.config_resolver.match_dataset_pattern
    assert {name for name in names | set(catalog.keys()) if match(name)} == figures
    for name in figures:
        dataset = catalog[name]
        assert isinstance(dataset, AtomicDataset)
        assert dataset.preview.__annotations__["return"] == PlotlyPreview.__name__
        assert name.removesuffix("_figure") + ".json" in str(dataset)


def test_all_parameters_of_the_catalog_are_known() -> None:
    text = "".join(path.read_text("utf-8") for path in (PROJECT / "conf").rglob("*.yml"))
    assert set(re.findall(r"\$\{runtime_params:\s*([\w.]+)", text)) == set(CATALOG_PARAMETERS)
