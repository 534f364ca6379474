"""Notebooks whose cells show results only, in a form that viewers without scripts can show."""

import asyncio
import atexit
import base64
import contextlib
import functools
import html
import logging
import os
import threading
import warnings
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer

# Figures to interact with, drawn by a script.
SCRIPTS = "plotly_mimetype+notebook"
# The same, and an image of each, which nbconvert and viewers without scripts show.
IMAGES = "plotly_mimetype+described_image"
SECONDS_TO_ANSWER = 60  # a browser starts or draws in two, and in more on a busy machine
SECONDS_TO_CLOSE = 5

_Answer = TypeVar("_Answer")


class _Browser:
    """A browser that draws figures, driven by an event loop in a thread of its own.

    If it does not answer in time, that is an error. Kaleido's synchronous functions would wait for
    ever for a browser that hangs when it starts, or between two figures.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._drawer: Any = None
        atexit.register(self.close)

    def draw(self, figure: dict[str, Any]) -> bytes:
        """Return a PNG image of a figure, with two pixels for each of its points."""
        return self._answer(self._draw(figure))

    async def _draw(self, figure: dict[str, Any]) -> bytes:
        if self._drawer is None:
            import kaleido

            self._drawer = kaleido.Kaleido(mathjax=False)
            await self._drawer.open()
        image: bytes = await self._drawer.calc_fig(figure, opts={"format": "png", "scale": 2})
        return image

    def close(self) -> None:
        """Close the browser, by force if it does not answer."""
        atexit.unregister(self.close)
        with contextlib.suppress(Exception):
            self._answer(self._close())

    async def _close(self) -> None:
        if self._drawer is not None:
            # A task that closes a browser kills it when cancelled.
            await asyncio.wait_for(self._drawer.close(), SECONDS_TO_CLOSE)

    def _answer(self, question: Coroutine[Any, Any, _Answer]) -> _Answer:
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return future.result(SECONDS_TO_ANSWER)
        finally:
            future.cancel()


@functools.cache
def _browser() -> _Browser:
    return _Browser()


def _draw(figure: dict[str, Any]) -> bytes | None:
    """Return an image of a figure, or None if no browser draws it, not even a second one."""
    for _ in range(2):
        browser = _browser()
        try:
            return browser.draw(figure)
        except Exception:  # whatever a browser may fail with
            browser.close()
            _browser.cache_clear()
    return None


class _DescribedImage(MimetypeRenderer):
    """Image of a figure; in HTML, with its title for people who do not see it.

    Pages made by nbconvert take the HTML, since they would have the image without a description.
    """

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        """Return the image, alone and in HTML, or the script if no browser draws it."""
        layout = fig_dict.get("layout", {})
        opaque = {**fig_dict, "layout": {**layout, "paper_bgcolor": "white"}}  # also in the dark
        image = _draw(opaque)
        if image is None:
            pio.renderers.default = SCRIPTS  # without waiting again for each figure that follows
            scripts = pio.renderers["notebook"]
            scripts.activate()
            bundle: dict[str, str] = scripts.to_mimebundle(fig_dict)
            return bundle
        encoded = base64.b64encode(image).decode()
        described = html.escape(_describe(layout))
        source = f"data:image/png;base64,{encoded}"
        element = f'<img src="{source}" alt="{described}" style="max-width: 100%">'
        return {"image/png": encoded, "text/html": element}


def _describe(layout: dict[str, Any]) -> str:
    """Return the title of a figure, or the titles of its axes."""
    places = (layout, layout.get("yaxis", {}), layout.get("xaxis", {}))
    title, *axes = (place.get("title", {}).get("text", "") for place in places)
    return title or " by ".join(filter(None, axes)) or "Figure"


def set_up_notebook() -> None:
    """Log only warnings, and let each figure be saved with an image of it.

    Call it before `%load_ext kedro.ipython`, which reads the settings of the log.

    Chrome or Chromium draws the images. Where there is none, figures are saved with the script that
    draws them, so that a page made from the notebook needs a browser that runs it.
    """
    settings = Path(__file__).with_name("notebook_logging.yml")
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(settings))
    warnings.filterwarnings("ignore", "IProgress not found")  # a bar that no notebook here shows
    # The browser may log a message that was cut off when it closed.
    logging.getLogger("choreographer").setLevel(logging.CRITICAL)
    pio.renderers["described_image"] = _DescribedImage()
    pio.renderers.default = SCRIPTS if _draw({"data": []}) is None else IMAGES
