"""Kedro-Viz and Optuna's dashboard in a browser."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import open_page, run_browser
from helpers import run_server
from imdb_sentiment.pipelines.reporting import create_pipeline

LAYERS = [
    "01_raw",
    "02_intermediate",
    "03_primary",
    "04_feature",
    "05_model_input",
    "06_models",
    "07_model_output",
    "08_reporting",
]


@pytest.fixture(scope="module")
def viz(
    finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Serve the finished project; yield its URL and folder."""
    project = shutil.copytree(finished[0], tmp_path_factory.mktemp("viz") / "project")
    (project / "conf/local/globals.yml").write_text("reviews_file: IMDB Dataset.csv\n")
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


@contextlib.contextmanager
def open_tab(browser: Browser) -> Iterator[Page]:
    """Open a tab with an empty local storage; fail if its page reports an error."""
    errors: list[str] = []
    tab = open_page(browser, viewport={"width": 1600, "height": 1200})
    # Kedro-Viz loads fonts and news from the internet, which are not tested here.
    tab.route(re.compile(r"^https://"), lambda route: route.fulfill(status=200, body=""))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    tab.close()
    assert not errors


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    with open_tab(browser) as tab:
        yield tab


@pytest.fixture(scope="module")
def page(viz: tuple[str, Path], browser: Browser) -> Iterator[Page]:
    """Open the main page and expand all boxes."""
    with open_tab(browser) as tab:
        open_pipeline(tab, viz[0], "__default__", expanded=True)
        yield tab


def open_pipeline(tab: Page, address: str, name: str, *, expanded: bool) -> None:
    tab.goto(f"{address}/?pid={name}&expandAllPipelines={str(expanded).lower()}")
    tab.wait_for_selector(".pipeline-node")


def find_nodes(tab: Page, kind: str) -> set[str]:
    return set(tab.locator(f".pipeline-node--{kind}").all_text_contents())


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
    ("name", "words"),
    [
        ("summary", "Best hyperparameters"),
        ("model_card", "Intended use"),
        ("report", "How good is the model trained on IMDB Dataset.csv?"),
    ],
)
def test_documents_are_previewed(name: str, words: str, page: Page) -> None:
    open_node(page, name)
    text = page.locator(".pipeline-text-renderer__content", has_text=words)
    expect(text).to_be_visible()


@pytest.mark.parametrize(
    "name",
    sorted(create_pipeline().only_nodes_with_tags("figures").all_outputs()),
)
def test_plots_are_drawn(name: str, page: Page) -> None:
    open_node(page, name)
    expect(page.locator(".js-plotly-plot svg.main-svg").first).to_be_visible()


def test_the_main_job_opens_with_four_boxes(tab: Page, viz: tuple[str, Path]) -> None:
    tab.goto(viz[0])
    tab.wait_for_selector(".pipeline-node")
    boxes = {"data_processing", "tuning", "training", "reporting"}
    assert find_nodes(tab, "modularPipeline") == boxes
    assert not find_nodes(tab, "task")
    assert len(find_nodes(tab, "data")) <= 38  # so few that names can be read
    tab.locator(".pipeline-node--modularPipeline", has_text="reporting").dblclick()
    expect(tab.locator(".pipeline-node--modularPipeline")).to_have_count(9)  # after an animation
    parts = {
        f"reporting.{part}"
        for part in ("scoring", "metrics", "facts", "figures", "examples", "page")
    }
    assert find_nodes(tab, "modularPipeline") == boxes - {"reporting"} | parts
    assert not find_nodes(tab, "task")


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize(
    ("name", "node", "layers"),
    [
        ("__default__", "collect_metrics", LAYERS),
        ("data_processing", "encode_reviews", LAYERS[:5]),
        ("tuning", "tune_hyperparameters", [*LAYERS[1:6], LAYERS[7]]),
        ("training", "fit_best_model", LAYERS[:6]),
        ("reporting", "collect_metrics", LAYERS),
        ("imdb_download", "collect_reviews", LAYERS[:1]),
        ("inference", "score_reviews", [LAYERS[0], LAYERS[5], LAYERS[6]]),
    ],
)
def test_layers_are_in_the_order_of_the_folders(
    *, name: str, node: str, layers: list[str], expanded: bool, tab: Page, viz: tuple[str, Path]
) -> None:
    open_pipeline(tab, viz[0], name, expanded=expanded)
    shown = tab.locator(".pipeline-layer-name").all_text_contents()
    if expanded:
        assert node in find_nodes(tab, "task")
        assert shown == layers
    assert shown == [layer for layer in layers if layer in shown]


def test_optunas_dashboard_opens_the_study(copy_of_finished: Path, browser: Browser) -> None:
    command = "optuna-dashboard sqlite:///data/06_models/study.db"
    free = {"optuna-dashboard": "optuna-dashboard --port PORT"}
    with (
        run_server(copy_of_finished, command, free) as server,
        contextlib.closing(open_page(browser)) as page,
    ):
        page.goto(f"{server.url}/dashboard")
        page.get_by_text("IMDB Dataset.csv").first.click()
        expect(page.get_by_text("Hyperparameter Importance").first).to_be_visible()
        page.goto(f"{page.url}/trials?numbers=1")
        expect(page.get_by_text("dropout_rate").first).to_be_visible()
