"""Kedro-Viz and Optuna's dashboard in a real browser."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from browser import run_browser
from helpers import PROJECT, run_server

CATALOG = PROJECT / "conf/base/catalog_reporting.yml"

LAYERS = [
    "raw",
    "intermediate",
    "primary",
    "feature",
    "model_input",
    "models",
    "model_output",
    "reporting",
]


@pytest.fixture(scope="module")
def viz(
    finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Serve the finished project; give its address and folder."""
    project = shutil.copytree(finished[0], tmp_path_factory.mktemp("viz") / "project")
    free = {"viz run": "viz run --port PORT"}
    with run_server(project, "kedro viz run", free, {"BROWSER": "true"}) as server:
        yield server.url, project
    output = server.log.read_text("utf-8")
    assert "could not be previewed" not in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(viz: tuple[str, Path], browser: Browser) -> Iterator[Page]:
    """Open the main page; fail at the end if it reported an error of its own."""
    errors: list[str] = []
    page = browser.new_page(viewport={"width": 1600, "height": 1200})
    # Fonts and news from the net are none of ours.
    page.route(re.compile(r"^https://"), lambda route: route.fulfill(status=200, body=""))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(viz[0])
    page.wait_for_selector(".pipeline-node")
    yield page
    page.close()
    assert not errors


def open_node(page: Page, name: str) -> None:
    exact = re.compile(rf"^{name}$")
    page.locator(".pipeline-node", has_text=exact).first.dispatch_event("click")
    expect(page.locator(".pipeline-metadata__title")).to_have_text(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raw_reviews", "sentiment"),
        ("clean_reviews", "split"),
        ("custom_predictions", "predicted_sentiment"),
        ("trials", "params_units"),
    ],
)
def test_tables_are_previewed(name: str, words: str, page: Page) -> None:
    open_node(page, name)
    expect(page.locator(".preview-table__header", has_text=words)).to_be_visible()
    expect(page.locator(".preview-table__row").first).to_be_visible()


@pytest.mark.parametrize(
    ("name", "words"),
    [("metrics", "test_accuracy"), ("audit", "rows_read"), ("best_hyperparameters", "units")],
)
def test_figures_of_the_run_are_previewed(name: str, words: str, page: Page) -> None:
    open_node(page, name)
    expect(page.locator(".pipeline-metadata", has_text=words)).to_be_visible()


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, entry in yaml.safe_load(CATALOG.read_text()).items()
        if not name.startswith("_") and entry["type"].endswith("FigureDataset")
    ),
)
def test_plots_are_drawn(name: str, page: Page) -> None:
    open_node(page, name)
    expect(page.locator(".js-plotly-plot svg.main-svg").first).to_be_visible()


def test_every_pipeline_and_layer_is_drawn(page: Page, viz: tuple[str, Path]) -> None:
    assert page.locator(".pipeline-layer-name").all_text_contents() == LAYERS
    for name, node in {
        "data_processing": "encode_reviews",
        "tuning": "tune_hyperparameters",
        "training": "fit_best_model",
        "reporting": "compute_metrics",
        "imdb_download": "collect_reviews",
    }.items():
        page.goto(f"{viz[0]}/?pid={name}")
        page.wait_for_selector(".pipeline-node")
        exact = re.compile(rf"^{node}$")
        expect(page.locator(".pipeline-node", has_text=exact)).to_have_count(1)


def test_optunas_dashboard_opens_the_study(copy_of_finished: Path, browser: Browser) -> None:
    command = "optuna-dashboard sqlite:///data/06_models/study.db"
    free = {"optuna-dashboard": "optuna-dashboard --port PORT"}
    with (
        run_server(copy_of_finished, command, free) as server,
        contextlib.closing(browser.new_page()) as page,
    ):
        page.goto(f"{server.url}/dashboard")
        page.get_by_text("IMDB Dataset.csv").first.click()
        expect(page.get_by_text("Hyperparameter Importance").first).to_be_visible()
