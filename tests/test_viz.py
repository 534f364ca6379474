"""Kedro-Viz and Optuna's dashboard in a real browser; skipped where none is installed."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import CHROMIUM, run_browser
from helpers import run_server
from imdb_sentiment.pipelines.reporting import create_pipeline

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

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def viz(finished: tuple[Path, str]) -> Iterator[tuple[str, Path]]:
    """Serve the finished project; give its address and the log of the server."""
    project, _ = finished
    with run_server(project, "kedro viz run", 4141, BROWSER="true") as log:
        yield "http://127.0.0.1:4141", project
    output = log.read_text("utf-8")
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
    sorted(name for name in create_pipeline().all_outputs() if name.endswith("_figure")),
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


def test_optunas_dashboard_opens_the_study(finished: tuple[Path, str], browser: Browser) -> None:
    project, _ = finished
    command = "optuna-dashboard sqlite:///data/06_models/study.db"
    with run_server(project, command, 8080), contextlib.closing(browser.new_page()) as page:
        page.goto("http://127.0.0.1:8080/dashboard")
        page.get_by_text("IMDB Dataset.csv").first.click()
        expect(page.get_by_text("Hyperparameter Importance").first).to_be_visible()
