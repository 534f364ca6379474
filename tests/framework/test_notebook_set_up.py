import logging.config
import os
import warnings
from pathlib import Path

import kaleido
import plotly.io as pio
import pytest
import yaml

from imdb_sentiment.framework.notebooks import IMAGES, SCRIPTS, set_up_notebook


@pytest.mark.parametrize("has_browser", [True, False])
def test_figures_have_images_if_a_browser_starts(
    has_browser: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def draw(*args: object, **options: object) -> bytes:
        if not has_browser:
            raise RuntimeError("no browser")
        drawer = logging.getLogger("choreographer.channels.pipe")
        drawer.error("JSONError decoding message. Ignoring")  # as it may do when it closes
        return b"image"

    started: list[bool] = []
    monkeypatch.setattr(kaleido, "calc_fig_sync", draw)
    monkeypatch.setattr(kaleido, "start_sync_server", lambda **options: started.append(True))
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    before = pio.renderers.default
    try:
        with warnings.catch_warnings():
            set_up_notebook()
        assert pio.renderers.default == (IMAGES if has_browser else SCRIPTS)
    finally:
        pio.renderers.default = before
    assert started == [True] * has_browser
    assert not caplog.records
    settings = yaml.safe_load(Path(environment["KEDRO_LOGGING_CONFIG"]).read_text("utf-8"))
    logging.config.DictConfigurator(settings)
    assert settings["root"]["level"] == "WARNING"
