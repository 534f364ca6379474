"""Debian's Chromium, for tests of pages."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

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


def sort_from_left(place: Locator, words: Sequence[str]) -> list[str]:
    """Return words of an element in the order in which they are drawn, from left to right."""
    lefts = place.evaluate(
        """(element, words) => {
          const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
          const nodes = [];
          while (walker.nextNode()) nodes.push(walker.currentNode);
          return words.map((word) => {
            const node = nodes.find((node) => node.data.includes(word));
            const range = document.createRange();
            const start = node.data.indexOf(word);
            range.setStart(node, start);
            range.setEnd(node, start + word.length);
            return range.getBoundingClientRect().left;
          });
        }""",
        list(words),
    )
    return [word for _, word in sorted(zip(lefts, words, strict=True))]


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
