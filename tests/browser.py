"""Debian's Chromium, for tests of pages."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@contextlib.contextmanager
def run_browser() -> Iterator[Browser]:
    """Start Chromium without a window and close it at the end."""
    assert CHROMIUM, "Chromium is not installed; -m 'not browser' leaves out what needs it"
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *_QUIET]
        )
        yield browser
        browser.close()
