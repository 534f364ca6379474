"""The time that the report takes in Chromium to open, and to predict a text typed into it.

    .venv/bin/python benchmarks/report_in_browser.py data/08_reporting/report.html

Each run opens the file in a new page. `text` is the time until something is shown, `figures` that
until all figures are drawn, and `busy` the longest time for which the page does not react. Then a
text of 10 words and one of 231 words are typed at once: `verdict` is the time until the prediction
is shown, and `words` that until the effects of all words are known, both with the pause after the
last key press. The first verdict includes unpacking the model.
"""

import argparse
import shutil
import statistics
from collections import defaultdict
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from project import describe_machine

SHORT = "I wanted to like this film, but it was dull"
LONG = " ".join(["the acting is fine but this story has no end and"] * 21)  # 231 words

WATCH = """
globalThis.busy = 0;
new PerformanceObserver((found) => {
  for (const task of found.getEntries()) busy = Math.max(busy, task.duration);
}).observe({ type: "longtask", buffered: true });
"""
TYPE = """(text) => new Promise((resolve) => {
  const find = (id) => document.getElementById(id);
  const began = performance.now();
  let verdict;
  new MutationObserver((_, observer) => {
    if (find("read").textContent !== text) return;
    verdict ??= performance.now() - began;
    const said = find("strongest").textContent;
    if (!said || said.includes("…")) return;
    observer.disconnect();
    resolve([verdict, performance.now() - began]);
  }).observe(find("verdict"), { childList: true, subtree: true });
  find("typed").value = text;
  find("typed").dispatchEvent(new Event("input"));
})"""


def measure(browser: Browser, report: Path) -> dict[str, float]:
    """Return the milliseconds of one run."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.add_init_script(WATCH)
    page.goto(report.resolve().as_uri())
    page.wait_for_selector("html[data-drawn=all]")
    times = {
        "text": page.evaluate("performance.getEntriesByType('paint')[0].startTime"),
        "figures": page.evaluate("performance.now()"),
        "busy": page.evaluate("busy"),
    }
    if page.locator("#typed").count():
        for name, text in (("10 words", SHORT), ("231 words", LONG)):
            times[f"{name}: verdict"], times[f"{name}: words"] = page.evaluate(TYPE, text)
    page.close()
    return times


def main() -> None:
    """Run the measurements and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="report.html")
    parser.add_argument("--runs", type=int, default=5, help="prints the median")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    found = defaultdict(list)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(arguments.runs):
            for name, milliseconds in measure(browser, arguments.report).items():
                found[name].append(milliseconds)
        version = browser.version
        browser.close()
    size = arguments.report.stat().st_size / 1e6
    print(f"{describe_machine()}; Chromium {version}; {arguments.report} of {size:.1f} MB")
    print("| | seconds |\n| --- | ---: |")
    for name, values in found.items():
        print(f"| {name} | {statistics.median(values) / 1000:.2f} |")


if __name__ == "__main__":
    main()
