"""Take the picture of a pipeline in Kedro-Viz for README.md and docs/; needs Chromium.

.venv/bin/python scripts/draw_pipeline.py
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from playwright.sync_api import Page, sync_playwright

PIPELINE = "data_processing"
TARGET = f"docs/images/{PIPELINE}.png"
MARGIN = 24  # pixels
SETTINGS = {"theme": "light", "showFeatureHints": False}  # of Kedro-Viz's page
ONLY_THE_GRAPH = """
* { visibility: hidden }
.pipeline-flowchart, .pipeline-flowchart * { visibility: visible }
"""


def main() -> None:
    """Start Kedro-Viz, take the picture, and stop it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with run_viz() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1500}, device_scale_factor=2)
        page.route(re.compile(r"^https://"), lambda route: route.abort())  # fonts and news
        page.add_init_script(f"localStorage.KedroViz = JSON.stringify({json.dumps(SETTINGS)})")
        page.goto(f"{address}/?pid={PIPELINE}&expandAllPipelines=true")
        page.wait_for_selector(".pipeline-node")
        page.add_style_tag(content=ONLY_THE_GRAPH)
        page.wait_for_timeout(3000)  # the graph moves into its place
        page.screenshot(path=TARGET, clip=find_graph(page))  # type: ignore[arg-type]
        browser.close()


def find_free_port() -> int:
    """Return a free port that Kedro-Viz takes, so none above 49151."""
    for port in range(20_000, 49_152):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    sys.exit("no port is free")


@contextlib.contextmanager
def run_viz() -> Iterator[str]:
    """Run Kedro-Viz; yield its address when it answers."""
    port = find_free_port()
    command = [sys.executable, "-m", "kedro", "viz", "run", "--no-browser", "--port", str(port)]
    server = subprocess.Popen(command, start_new_session=True)
    try:
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                sys.exit("Kedro-Viz has ended")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # with its child, which answers
        server.wait()


def find_graph(page: Page) -> dict[str, float]:
    """Return the rectangle that holds all nodes and the names of their layers."""
    boxes = [
        box
        for element in page.locator(".pipeline-node, .pipeline-layer-name").all()
        if (box := element.bounding_box())
    ]
    left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    right = max(box["x"] + box["width"] for box in boxes)
    bottom = max(box["y"] + box["height"] for box in boxes)
    return {
        "x": max(0, left - MARGIN),
        "y": max(0, top - MARGIN),
        "width": right - left + 2 * MARGIN,
        "height": bottom - top + 2 * MARGIN,
    }


if __name__ == "__main__":
    main()
