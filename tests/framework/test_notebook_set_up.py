import asyncio
import base64
import logging.config
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import kaleido
import plotly.graph_objects as go
import plotly.io as pio
import pytest
import yaml

from browser import CHROMIUM
from imdb_sentiment.framework import notebooks
from imdb_sentiment.framework.notebooks import IMAGES, SCRIPTS, set_up_notebook

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _own_renderers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KEDRO_LOGGING_CONFIG", "to be restored afterwards")
    monkeypatch.delenv("KEDRO_LOGGING_CONFIG")
    before = pio.renderers.default
    with warnings.catch_warnings():
        yield
    pio.renderers.default = before
    if notebooks._browser.cache_info().currsize:
        notebooks._browser().close()
        notebooks._browser.cache_clear()


class Drawer:
    """Stand-in for Kaleido, with a browser or without."""

    has_browser = True
    hangs = False

    def __init__(self, **options: object) -> None:
        if not self.has_browser:
            raise RuntimeError("no browser")

    async def open(self) -> None:
        pass

    async def calc_fig(self, figure: object, *, opts: object) -> bytes:
        if self.hangs:
            await asyncio.sleep(600)
        drawer = logging.getLogger("choreographer.channels.pipe")
        drawer.error("JSONError decoding message. Ignoring")  # as it may do when it closes
        return b"image"

    async def close(self) -> None:
        pass


def two_bars() -> go.Figure:
    return go.Figure(go.Bar(y=[1, 2]), {"title": {"text": "Two bars"}})


@pytest.mark.parametrize("has_browser", [True, False])
def test_figures_have_images_if_a_browser_starts(
    has_browser: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Drawer, "has_browser", has_browser)
    monkeypatch.setattr(kaleido, "Kaleido", Drawer)
    set_up_notebook()
    assert pio.renderers.default == (IMAGES if has_browser else SCRIPTS)
    assert not caplog.records
    settings = yaml.safe_load(Path(os.environ["KEDRO_LOGGING_CONFIG"]).read_text("utf-8"))
    logging.config.DictConfigurator(settings)
    assert settings["root"]["level"] == "WARNING"


def test_a_figure_that_no_browser_draws_has_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kaleido, "Kaleido", Drawer)
    set_up_notebook()
    assert base64.b64decode(two_bars()._repr_mimebundle_()["image/png"]) == b"image"

    monkeypatch.setattr(Drawer, "hangs", True)
    monkeypatch.setattr(notebooks, "SECONDS_TO_ANSWER", 0.1)
    bundle = two_bars()._repr_mimebundle_()
    assert "Plotly.newPlot" in bundle["text/html"]
    assert "image/png" not in bundle
    assert pio.renderers.default == SCRIPTS  # the next one does not wait


@pytest.mark.browser
def test_a_browser_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    script = f'[ "$(wc -l < {started})" -lt 2 ] && exec sleep 600\nexec {CHROMIUM} "$@"'
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho >> {started}\n{script}\n")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(browser))
    monkeypatch.setattr(notebooks, "SECONDS_TO_ANSWER", 20)
    monkeypatch.setattr(notebooks, "SECONDS_TO_CLOSE", 1)
    set_up_notebook()
    assert pio.renderers.default == IMAGES
    bundle = two_bars()._repr_mimebundle_()
    assert 'alt="Two bars"' in bundle["text/html"]
    assert base64.b64decode(bundle["image/png"]).startswith(PNG)
