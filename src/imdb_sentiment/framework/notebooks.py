"""Notebooks whose cells show results only, in a form that viewers without scripts can show."""

import html
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer

# Figures to interact with, drawn by a script.
SCRIPTS = "plotly_mimetype+notebook"
# The same, and an image of each, which nbconvert and viewers without scripts show.
IMAGES = "plotly_mimetype+described_image"


class _DescribedImage(MimetypeRenderer):
    """Image of a figure; in HTML, with its title for people who do not see it.

    Pages made by nbconvert take the HTML, since they would have the image without a description.
    """

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        """Return the image, alone and in HTML."""
        layout = fig_dict.get("layout", {})
        opaque = {**fig_dict, "layout": {**layout, "paper_bgcolor": "white"}}  # also in the dark
        bundle: dict[str, str] = pio.renderers["png"].to_mimebundle(opaque)
        described = html.escape(_describe(layout))
        source = f"data:image/png;base64,{bundle['image/png']}"
        image = f'<img src="{source}" alt="{described}" style="max-width: 100%">'
        return {**bundle, "text/html": image}


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
    pio.renderers.default = IMAGES if _start_drawing() else SCRIPTS


def _start_drawing() -> bool:
    """Start the process that draws images; return whether it can."""
    # It drives the browser, and when that closes, it may log a message that was cut off.
    logging.getLogger("choreographer").setLevel(logging.CRITICAL)
    try:
        import kaleido

        # A browser that does not start fails here; the server would wait for it for ever.
        kaleido.calc_fig_sync({"data": []}, kopts={"mathjax": False, "timeout": 60})
    except Exception:  # whatever a browser may fail with
        return False
    kaleido.start_sync_server(mathjax=False, silence_warnings=True)
    pio.defaults.headers = {}  # the server has options of its own, and warns of others
    pio.renderers["png"].scale = 2
    pio.renderers["described_image"] = _DescribedImage()
    return True
