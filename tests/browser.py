"""Debian's Chromium, for tests of pages."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


TIMEOUT = 120_000  # milliseconds that a step may take, on a busy machine


def open_context(browser: Browser, **options: Any) -> BrowserContext:
    """Open a window of its own, whose pages have time."""
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT)
    return context


def open_page(browser: Browser, **options: Any) -> Page:
    """Open a page that has time."""
    page = browser.new_page(**options)
    page.set_default_timeout(TIMEOUT)
    return page


@contextlib.contextmanager
def run_browser() -> Iterator[Browser]:
    """Start Chromium without a window and close it at the end."""
    assert CHROMIUM, "Chromium is not installed; -m 'not browser' leaves out what needs it"
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *_QUIET]
        )
        yield browser
        browser.close()
