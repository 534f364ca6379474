"""Take the picture of the beginning of a report for README.md and docs/; needs Chromium.

make run
.venv/bin/python scripts/draw_report.py
"""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

REPORT = Path("data/08_reporting/report.html")
TARGET = "docs/images/report.png"
REVIEW = (
    "I wanted to like this film, and the cast is wonderful, but the plot is predictable and the "
    "jokes are old. Two hours that I will never get back."
)


def main() -> None:
    """Open the report, type a review, and take the picture down to its explanation."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1500})
        page.goto(REPORT.resolve().as_uri())
        page.fill("#try textarea", REVIEW)
        page.wait_for_timeout(3000)  # the page predicts and explains
        box = page.locator("#try").bounding_box()
        assert box
        whole = {"x": 0, "y": 0, "width": 1100, "height": box["y"] + box["height"] + 20}
        page.screenshot(path=TARGET, clip=whole)  # type: ignore[arg-type]
        browser.close()


if __name__ == "__main__":
    main()
