"""The site of docs/, as `make docs` builds it."""

import logging
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import griffe
import pytest
from kedro.framework.project import configure_project
from playwright.sync_api import Browser, expect

from browser import open_page, run_browser
from helpers import PATIENCE, PROJECT
from imdb_sentiment import datasets
from imdb_sentiment.pipeline_registry import register_pipelines

pytestmark = pytest.mark.slow


class LinkParser(HTMLParser):
    """Collects what a page links to, what it loads, and what can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.ids: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a" and found.get("href"):
            self.links.add(found["href"] or "")
        elif tag == "link":
            self.loaded.add(found.get("href") or "")
        elif found.get("src"):
            self.loaded.add(found["src"] or "")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder by the command in the Makefile."""
    command = re.search(r"zensical (build .*)", (PROJECT / "Makefile").read_text("utf-8"))
    assert command
    return subprocess.run(
        [sys.executable, "-m", "zensical", *command[1].split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def copy_documents(folder: Path) -> Path:
    shutil.copy(PROJECT / "mkdocs.yml", folder)
    shutil.copytree(PROJECT / "docs", folder / "docs")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "src", folder / "src", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; return its folder."""
    folder = copy_documents(tmp_path_factory.mktemp("site"))
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, LinkParser]:
    """Return the pages by their addresses relative to the site."""
    return {
        path.relative_to(site).as_posix(): LinkParser(path)
        for path in site.rglob("*.html")
        if path.name != "404.html"  # its links are those of a server
    }


def test_every_page_is_in_the_navigation(pages: dict[str, LinkParser]) -> None:
    sources = (path.relative_to(PROJECT / "docs") for path in (PROJECT / "docs").rglob("*.md"))
    assert pages.keys() == {path.with_suffix(".html").as_posix() for path in sources}
    linked = {urldefrag(urljoin("/", link)).url.lstrip("/") for link in pages["index.html"].links}
    assert pages.keys() <= linked


def test_no_link_is_dead(site: Path, pages: dict[str, LinkParser]) -> None:
    for name, page in pages.items():
        for link in page.links | page.loaded:
            target, anchor = urldefrag(urljoin(name, link))
            if re.match(r"\w+:", target):
                assert link in page.links, f"{name} loads {link} from elsewhere"
                continue
            assert (site / unquote(target)).is_file(), f"{name} links to {link}"
            if anchor and target in pages:
                assert unquote(anchor) in pages[target].ids, f"{name} links to {link}"


def test_dead_links_fail_the_build(tmp_path: Path) -> None:
    folder = copy_documents(tmp_path)
    page = folder / "docs/index.md"
    dead = "[a](no-page.md) [b](data.md#no-anchor)"
    page.write_text(f"{page.read_text('utf-8')}\n{dead}\n", encoding="utf-8")
    done = build(folder)
    assert done.returncode != 0
    output = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    assert "page does not exist" in output
    assert "anchor does not exist" in output


def test_the_reference_has_all_nodes_and_datasets(pages: dict[str, LinkParser]) -> None:
    configure_project("imdb_sentiment")
    for pipeline in register_pipelines().values():
        for node in pipeline.nodes:
            name = f"{node.func.__module__}.{node.func.__name__}"
            assert name in pages["reference/pipelines.html"].ids
    for name in datasets.__all__:
        assert f"imdb_sentiment.datasets.{name}" in pages["reference/datasets.html"].ids
    predictor = "imdb_sentiment.serving.predictor.Predictor.predict"
    assert predictor in pages["reference/serving.html"].ids


def test_docstrings_have_the_sections_that_the_reference_expects(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Let griffe parse each docstring; it warns of unknown parameters and broken sections."""
    package = griffe.load(
        "imdb_sentiment", search_paths=[PROJECT / "src"], docstring_parser="google"
    )
    waiting: list[griffe.Object | griffe.Alias] = [package]
    parsed = 0
    with caplog.at_level(logging.WARNING):
        while waiting:
            found = waiting.pop()
            if not found.is_alias:
                waiting += found.members.values()
                parsed += len(found.docstring.parsed) if found.docstring else 0
    assert parsed > 500
    assert not caplog.messages


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_browser() as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_searched_without_a_server(scheme: str, site: Path, browser: Browser) -> None:
    asked: list[str] = []
    errors: list[str] = []
    tab = open_page(browser, color_scheme=scheme)
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((site / "index.html").as_uri())
    expect(tab.locator("body")).to_have_attribute(
        "data-md-color-scheme", {"light": "default", "dark": "slate"}[scheme]
    )
    tab.get_by_role("button", name="Search").click()
    # What it shows is in a closed shadow root, so only the focus tells that it is open.
    tab.wait_for_function("document.activeElement.tagName === 'DIV'")
    tab.keyboard.type("AtomicDataset", delay=50)
    deadline = time.monotonic() + PATIENCE
    while tab.url.endswith("index.html"):
        assert time.monotonic() < deadline
        tab.keyboard.press("Enter")  # opens the first result, once there is one
        tab.wait_for_timeout(500)
    assert re.search(r"reference/datasets\.html.*AtomicDataset", tab.url)
    tab.close()
    assert not errors
    assert all(url.startswith("file:") for url in asked)
