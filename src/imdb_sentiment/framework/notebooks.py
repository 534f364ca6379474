"""Notebooks whose cells show results only, in a form that viewers without scripts can show."""

import os
import warnings
from pathlib import Path

import plotly.io as pio

# Figures to interact with, drawn by a script.
SCRIPTS = "plotly_mimetype+notebook"
# The same, and an image of each, which nbconvert and viewers without scripts show.
IMAGES = "plotly_mimetype+png"


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
    try:
        import kaleido

        # A browser that does not start fails here; the server would wait for it for ever.
        kaleido.calc_fig_sync({"data": []}, kopts={"mathjax": False, "timeout": 60})
    except Exception:  # whatever a browser may fail with
        return False
    kaleido.start_sync_server(mathjax=False, silence_warnings=True)
    pio.defaults.headers = {}  # the server has options of its own, and warns of others
    pio.renderers["png"].scale = 2
    return True
