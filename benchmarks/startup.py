"""How long Kedro's commands take to start, and where the time of a run on the sample goes.

Each command runs in its own process, in a temporary copy of the project:

- `registry list`, the shortest command;
- `run` on the sample;
- `run --only-missing-outputs` after it, when nothing has changed;
- the same when the code of one figure has changed.

The table has the median seconds of each process, and its CPU seconds divided into imports, the work
of the nodes, and the rest: what comes before the first node and between the nodes. With --before,
another checkout is measured in turn with this one.

    python benchmarks/startup.py --before ../before --runs 3
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from project import ROOT, describe_machine, make_project

# Runs a command of Kedro, and writes its CPU seconds in imports, in nodes, and altogether.
TIMED = """
import atexit, builtins, functools, importlib, json, sys, time
sys.path.insert(0, "src")
target, *sys.argv[1:] = sys.argv[1:]
seconds = {"imports": 0.0, "nodes": 0.0}
depth, began = 0, {}

def timed(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        global depth
        depth += 1
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            depth -= 1
            if not depth:
                seconds["imports"] += time.process_time() - start
    return call

builtins.__import__ = timed(builtins.__import__)
importlib.import_module = timed(importlib.import_module)
from kedro.framework.hooks import hook_impl

class Clock:
    @hook_impl
    def before_node_run(self):
        began["node"] = time.process_time() - seconds["imports"]

    @hook_impl
    def after_node_run(self):
        seconds["nodes"] += time.process_time() - seconds["imports"] - began["node"]

def write():
    with open(target, "w") as file:
        json.dump({**seconds, "all": time.process_time()}, file)

atexit.register(write)
from imdb_sentiment import settings
settings.HOOKS.append(Clock())
from kedro.framework.cli.cli import main
main()
"""
LIST, RUN = ("registry", "list"), ("run",)
AGAIN = ("run", "--only-missing-outputs")
FIGURE = "src/imdb_sentiment/pipelines/reporting/nodes/figures/curves.py"
TITLE = '"ROC curve of the test set'


def measure(project: Path, command: tuple[str, ...]) -> dict[str, float]:
    """Return the seconds of a command, and its CPU seconds by what they were spent on."""
    target, log = project / "seconds.json", project / "log"
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [sys.executable, "-c", TIMED, str(target), *command],
            cwd=project,
            stdout=output,
            stderr=output,
            check=False,
        )
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(log.read_text(encoding="utf-8"))
    cpu = json.loads(target.read_text(encoding="utf-8"))
    rest = cpu["all"] - cpu["imports"] - cpu["nodes"]
    return {"seconds": seconds, "CPU": cpu["all"], **cpu, "rest": rest}


def measure_all(project: Path, number: int) -> dict[str, dict[str, float]]:
    """Return the measurements of all commands."""
    for folder in (project / "data").iterdir():
        if folder.is_dir() and folder.name != "01_raw":
            shutil.rmtree(folder)
    (project / "data/lineage.json").unlink(missing_ok=True)
    found = {"registry list": measure(project, LIST), "run": measure(project, RUN)}
    found["nothing has changed"] = measure(project, AGAIN)
    figure = project / FIGURE
    before = figure.read_text(encoding="utf-8")
    figure.write_text(before.replace(TITLE, f"{TITLE} {number}"), encoding="utf-8")
    found["a figure has changed"] = measure(project, AGAIN)
    figure.write_text(before, encoding="utf-8")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout of the project")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    roots = [ROOT, *([options.before.resolve()] if options.before else ())]
    found: dict[Path, list[dict[str, dict[str, float]]]] = {root: [] for root in roots}
    with tempfile.TemporaryDirectory() as folder:
        projects = {
            root: make_project(Path(folder) / str(place), root) for place, root in enumerate(roots)
        }
        for root, project in projects.items():
            shutil.copy(root / "data/01_raw/sample_reviews.csv", project / "data/01_raw")
            measure(project, LIST)  # compiles the modules
        for number in range(options.runs):
            for root, project in projects.items():
                found[root].append(measure_all(project, number))
    print(f"{describe_machine()}, medians of {options.runs}\n")
    print("| checkout | command | seconds | CPU seconds | imports | nodes | rest |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for command in found[ROOT][0]:
        for root in roots:
            cells = (
                f"{median(run[command][key] for run in found[root]):.2f}"
                for key in ("seconds", "CPU", "imports", "nodes", "rest")
            )
            name = "this" if root == ROOT else "before"
            print(f"| {name} | {command} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
