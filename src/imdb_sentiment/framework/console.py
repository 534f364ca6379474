"""The console output of a run: the outcome of each step, progress, and the final summary.

Everything that is logged goes into a file in `logs/`, one per run. On the console, the handlers of
conf/logging.yml show warnings and errors. Handlers of this module show the project's own messages
of the level INFO, unless a handler of conf/logging.yml shows them already.
"""

import atexit
import contextlib
import io
import logging
import shlex
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import rich
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
)
from rich.progress import Task as Row
from rich.table import Column
from rich.text import Text

from imdb_sentiment.command_line import SERVE, join_values, join_words, quote_value, quote_word
from imdb_sentiment.framework.hooks import find_path
from imdb_sentiment.framework.lineage import flatten
from imdb_sentiment.framework.outcomes import describe_outcome
from imdb_sentiment.pipeline_registry import DEFAULT
from imdb_sentiment.progress import Estimate, describe, format_seconds, get_progress

logger = logging.getLogger(__name__)

PACKAGE = __name__.partition(".")[0]
FOLDER = "logs"
LOG_NAMES = "[0-9]*-[0-9]*-[0-9]*T*Z.log"  # ids of runs; other files in the folder are left alone
MAX_LOGS = 50  # number of files that are kept, the newest ones
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
TIME_FORMAT = "%H:%M:%S"

MIN_SECONDS_TOLD = 1.0  # minimum duration of a node that is shown in its line
MIN_SECONDS_SHOWN = 0.5  # minimum duration of a task before it gets a progress bar
# Without a terminal: seconds before the first line of progress, and between two lines.
SECONDS_TO_LINE, SECONDS_BETWEEN_LINES = 10.0, 30.0
MIN_WIDTH = 70  # minimum width of a terminal that has room for bars, in characters
MAX_NAME = 14  # maximum length of the name of a task on a narrower terminal

RUN = "kedro run"
DEFAULT_MODEL = "data/06_models/model.onnx"  # that `imdb-sentiment serve` loads without --model
# Results that are listed at the end of a run: a word for each, by its dataset.
RESULTS = {
    "report": "Report",
    "scored_reviews": "Scored",
    "doubtful_labels": "Labels",
    "imdb_reviews": "Table",
}
# Prefixes of parameters that choose the data: the proposed next run gets them, too.
ABOUT_DATA = ("reviews.", "reviews_", "split.", "unlabelled_", "custom_reviews")
# Groups of parameters that a pipeline does not reuse from earlier runs, or only some of them.
OWN_PARAMETERS = {
    "tuning": ("tuning", "hyperparameters", "pseudo_labels"),
    "training": ("training", "baseline", "custom_reviews"),
    "reporting": ("report", "custom_reviews"),
}
MIN_ROWS_FOR_BEST = 10_000  # training reviews; with fewer, `--env best` is often not better


class ShowRun:
    """Shows what a run does, and keeps its log."""

    def __init__(self) -> None:
        self._handlers: list[tuple[logging.Logger, logging.Handler]] = []
        self._log: _Log | None = None
        self._bars: _Bars | None = None
        self._started: dict[str, float] = {}  # of the nodes, by their name
        self._begun = 0
        self._n_nodes: int | None = None
        self._run_started = 0.0
        self._project = Path()
        self._conf_source = ""
        self._env = ""  # the presets of the run, if they have datasets of their own
        atexit.register(self.close)  # Kedro's own sessions call no hook after Ctrl-C

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Take note of where the configuration is, for the commands to type next."""
        given = Path(context.config_loader.conf_source)
        is_usual = given == context.project_path / settings.CONF_SOURCE
        self._conf_source = "" if is_usual else f" --conf-source {quote_word(str(given))}"
        presets = {name.strip() for name in (context.env or "").split(",")} - {"", "local"}
        has_datasets = any(any((given / name).rglob("catalog*")) for name in presets)
        self._env = f" --env {quote_word(str(context.env))}" if has_datasets else ""

    @hook_impl(wrapper=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline
    ) -> Generator[None, Any, Any]:
        """Open the log and the display, before other hooks look at the run."""
        self.close()  # what an interrupted run of this process has left
        self._run_started = time.monotonic()
        self._started.clear()
        # Hooks do not learn which nodes Kedro leaves out.
        self._n_nodes = None if run_params["only_missing_outputs"] else len(pipeline.nodes)
        self._begun = 0
        self._open(run_params)
        try:
            return (yield)
        except BaseException as error:
            self._note(error)
            self.close()
            raise

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Show which node runs."""
        self._started[node.name] = time.monotonic()
        self._begun += 1
        if self._bars:
            words = node.name.rpartition(".")[2].replace("_", " ")
            self._bars.show_step(self._begun, self._n_nodes, words)

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Log the outcome of a node, and how long it took if that was long."""
        seconds = time.monotonic() - self._started.pop(node.name)
        try:
            words = describe_outcome(node.name.rpartition(".")[2], outputs)
        except Exception:  # a run must not fail because of a message
            logger.debug("The outcome of %s can't be described", node.name, exc_info=True)
            return
        if words:
            took = f" ({format_seconds(seconds)})" if seconds >= MIN_SECONDS_TOLD else ""
            logger.info("%s%s", words, took)

    @hook_impl(wrapper=True)
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> Generator[None, Any, Any]:
        """Show the summary, where everything is, and what to do next, after all other hooks."""
        try:
            result = yield
            if self._bars:
                self._bars.close()
            duration = format_seconds(time.monotonic() - self._run_started)
            log = f"; full log: {self._name(self._log.baseFilename)}" if self._log else ""
            logger.info("Done in %s%s", duration, log)
            if logger.isEnabledFor(logging.INFO):
                self._show_end(run_params, pipeline, catalog)
            return result
        finally:
            self.close()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Note the error in the log, with its traceback."""
        self._note(error)
        self.close()

    def close(self) -> None:
        """End the display and the log."""
        for owner, handler in self._handlers:
            owner.removeHandler(handler)
            with contextlib.suppress(OSError):  # the disk is full
                handler.close()
        self._handlers.clear()
        self._log = self._bars = None

    def _open(self, run_params: dict[str, Any]) -> None:
        ours, root = logging.getLogger(PACKAGE), logging.getLogger()
        self._project = Path(run_params["project_path"]).resolve()
        self._log = _open_log(self._project, str(run_params["run_id"]))
        if self._log:
            for owner in (root, *_list_cut_off()):
                self._add(owner, self._log)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Not every encoding has all characters of reviews and of the summary.
            sys.stdout.reconfigure(errors="replace")
        is_quiet = not ours.isEnabledFor(logging.INFO)
        if is_quiet or any(map(_shows_info, [*ours.handlers, *root.handlers])):
            return
        console = rich.get_console()
        if _is_interactive(console):
            self._bars = _Bars(console)
            self._add(ours, self._bars)
            messages: logging.Handler = RichHandler(
                console=console,
                show_level=False,
                show_path=False,
                log_time_format=TIME_FORMAT,
                keywords=[],
            )
        else:
            self._add(ours, _Lines())
            messages = logging.StreamHandler(sys.stdout)
            messages.setFormatter(logging.Formatter("%(asctime)s %(message)s", TIME_FORMAT))
        messages.setLevel(logging.INFO)
        messages.addFilter(_is_shown)
        self._add(ours, messages)
        self._add(logging.getLogger("kedro.runner"), messages)

    def _show_end(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Print the summary, if the run has made one, its results, and what to type next."""
        made = pipeline.all_outputs()
        given = dict(flatten(run_params["runtime_params"]))
        repeat = partial(_repeat_parameters, given=given)
        summary = None
        if "summary" in made:
            summary = str(catalog.load("summary"))
            facts = catalog.load("facts")
            step, *_ = facts["next_steps"]
            n_rows = facts["data"]["splits"]["train"]["reviews"]
            commands = [
                *_propose_best(run_params, pipeline, n_rows),
                *map(repeat, step["commands"]),  # of which a useless model has none
            ]
        else:
            has_report = catalog.exists("report")
            names = list(run_params["pipeline_names"] or ())
            commands = [*map(repeat, _propose_rest(names, has_report=has_report))]
        files = [
            (title, self._name(find_path(catalog, name)))
            for name, title in RESULTS.items()
            if name in made
        ]
        model = self._name(find_path(catalog, "onnx_model"))
        if "://" in model:  # which the service can't load
            commands = [command for command in commands if command != SERVE]
        _print_end(summary, files, [self._adapt(command, model) for command in commands])

    def _add(self, owner: logging.Logger, handler: logging.Handler) -> None:
        owner.addHandler(handler)
        self._handlers.append((owner, handler))

    def _name(self, path: str) -> str:
        """Return the path of a file relative to the project's folder, where commands are run."""
        place = Path(path)
        is_inside = place.is_relative_to(self._project)
        return place.relative_to(self._project).as_posix() if is_inside else path

    def _adapt(self, command: str, model: str) -> str:
        """Return a command as it is typed here, for the exported model of this run."""
        if command == SERVE and model != DEFAULT_MODEL:
            return f"{command} --model {quote_word(model)}"
        if not command.startswith(RUN):
            return command
        env = "" if " --env " in command else self._env
        return f"{name_command(self._project)}{self._conf_source}{env}{command.removeprefix(RUN)}"

    def _note(self, error: BaseException) -> None:
        if self._log:
            raised = (type(error), error, error.__traceback__)
            record = (__name__, logging.ERROR, __file__, 0, "The run has failed", (), raised)
            self._log.emit(logging.LogRecord(*record))


def name_command(project: Path) -> str:
    """Return the command that starts runs in a folder; outside a project, it is the package's."""
    return RUN if (project / "pyproject.toml").is_file() else "imdb-sentiment"


class _Log(logging.FileHandler):
    """The log of a run. If it can no longer be written, the run continues without it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do nothing: on a full disk, the first file that can't be saved ends the run."""


def _open_log(project: Path, run_id: str) -> _Log | None:
    """Return the handler that writes a run's log; None where nothing can be written."""
    folder = project / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        log = _Log(folder / f"{run_id.replace(':', '.')}.log", encoding="utf-8")
    except OSError:
        return None
    for old in sorted(folder.glob(LOG_NAMES))[:-MAX_LOGS]:
        with contextlib.suppress(OSError):  # another run removes it, too, or has it open
            old.unlink()
    log.setFormatter(logging.Formatter(LOG_FORMAT))
    log.addFilter(lambda record: get_progress(record) is None)
    return log


def _list_cut_off() -> list[logging.Logger]:
    """Return the loggers of Kedro whose records do not reach the root logger."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("kedro")]
    return [found for name in names if not (found := logging.getLogger(name)).propagate]


def _shows_info(handler: logging.Handler) -> bool:
    """Return whether a handler shows records of the level INFO on the console."""
    streams = (sys.stdout, sys.stderr)
    is_console = isinstance(handler, RichHandler) or getattr(handler, "stream", None) in streams
    return is_console and handler.level <= logging.INFO


def _is_shown(record: logging.LogRecord) -> bool:
    """Return whether to show a record; warnings have another handler.

    Of the messages of Kedro's runner, only the number of nodes that run is shown.
    """
    message = record.getMessage()
    is_ours = record.name.partition(".")[0] == PACKAGE
    is_number_of_nodes = message.startswith(("Skipping all", "Running"))
    # Kedro also lists all nodes that are skipped, with the logger of the project's runner.
    is_wanted = is_number_of_nodes or (is_ours and not message.startswith("Skipping"))
    return record.levelno < logging.WARNING and is_wanted


def _is_interactive(console: Console) -> bool:
    """Return whether a console is a terminal on which lines can be drawn again.

    With FORCE_COLOR, as in many CI systems, Rich alone would take a file for a terminal.
    """
    return console.is_interactive and console.file.isatty()


class _Bars(logging.Handler):
    """Draws the progress of each task below the log, and which node runs.

    Args:
        console: A terminal.

    """

    def __init__(self, console: Console) -> None:
        super().__init__(logging.DEBUG)
        is_wide = console.width >= MIN_WIDTH
        bar = [BarColumn(20)] if is_wide else []
        self._display = Progress(
            SpinnerColumn(),
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=_one_line(None if is_wide else MAX_NAME),
            ),
            *bar,
            _Words(table_column=_one_line()),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        self._step = self._display.add_task("Step", total=None, words="")
        self._rows: dict[str, tuple[Estimate, TaskID | None]] = {}
        self.addFilter(lambda record: get_progress(record) is not None)

    def show_step(self, number: int, total: int | None, words: str) -> None:
        """Show which node runs, and the number of nodes that have begun with it."""
        of_total = f" of {total}" if total else ""
        self._display.reset(
            self._step, total=total, completed=number - 1, words=f"{number}{of_total}, {words}"
        )
        self._display.start()

    def emit(self, record: logging.LogRecord) -> None:
        progress = get_progress(record)
        if not progress:
            return
        estimate, row = self._rows.get(progress["task"], (None, None))
        estimate = estimate or Estimate()
        if progress["total"]:
            estimate.update(progress["done"] / progress["total"])
        if progress["ended"]:
            self._rows.pop(progress["task"], None)
            if row is not None:
                self._display.remove_task(row)
            return
        if row is None and time.monotonic() - estimate.started >= MIN_SECONDS_SHOWN:
            row = self._display.add_task(
                progress["task"], total=None, progress=progress, estimate=estimate
            )
        self._rows[progress["task"]] = estimate, row
        if row is not None:
            self._display.update(
                row,
                completed=progress["done"],
                total=progress["total"] or None,
                progress=progress,
            )

    def close(self) -> None:
        self._display.stop()
        super().close()


def _one_line(max_width: int | None = None) -> Column:
    return Column(no_wrap=True, overflow="ellipsis", max_width=max_width)


class _Words(ProgressColumn):
    """Progress in words; for a node, the time since it began."""

    def render(self, row: Row) -> Text:
        progress = row.fields.get("progress")
        if progress is None:
            return Text(f"{row.fields['words']}, {format_seconds(row.elapsed or 0)}")
        left = row.fields["estimate"].seconds_left()
        return Text(describe(progress, left), style="progress.remaining")


class _Lines(logging.Handler):
    """Logs the progress of long tasks in a line now and then, where no bars can be drawn."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._tasks: dict[str, tuple[Estimate, str]] = {}
        self._next_line = 0.0
        self.addFilter(lambda record: get_progress(record) is not None)

    def emit(self, record: logging.LogRecord) -> None:
        progress = get_progress(record)
        if not progress:
            return
        if progress["ended"] or progress["done"] >= progress["total"] > 0:
            self._tasks.pop(progress["task"], None)
            return
        estimate, _ = self._tasks.get(progress["task"], (Estimate(), ""))
        if progress["total"]:
            estimate.update(progress["done"] / progress["total"])
        words = f"{progress['task']}: {describe(progress, estimate.seconds_left())}"
        self._tasks[progress["task"]] = estimate, words
        now = time.monotonic()
        long = [w for e, w in self._tasks.values() if now - e.started >= SECONDS_TO_LINE]
        if long and now >= self._next_line:
            self._next_line = now + SECONDS_BETWEEN_LINES
            logger.info("%s", "; ".join(long))


def _print_end(summary: str | None, files: list[tuple[str, str]], commands: list[str]) -> None:
    from rich.markdown import Markdown

    console = Console()
    if summary:
        console.print("", Markdown(summary), "", sep="\n")
    for title, text in [*files, *(("Next", command) for command in commands)]:
        console.print(Text.assemble((f"{title:<8}", "bold"), text), soft_wrap=True)


def _propose_rest(names: Sequence[str], *, has_report: bool) -> list[str]:
    """Return the next command after a run without a summary, if there is one.

    Args:
        names: The pipelines of the run.
        has_report: Whether there is a report already.

    """
    if "imdb_download" in names:
        return [f"{RUN} --env imdb"]
    if names == ["label_check"] and has_report:  # which shows the doubtful labels
        return [f"{RUN} --pipelines reporting"]
    last = max((DEFAULT.index(name) for name in names if name in DEFAULT), default=len(DEFAULT))
    rest = ",".join(DEFAULT[last + 1 :])
    return [f"{RUN} --pipelines {rest}"] if rest else []


def _repeat_parameters(command: str, given: Mapping[str, Any]) -> str:
    """Return a command with the parameters of this run that its own pipelines would not reuse.

    Args:
        command: The command.
        given: Parameters that were passed to this run, by dotted name.

    """
    arguments = shlex.split(command)
    if "--pipelines" not in arguments:
        return command
    groups = [
        group
        for name in arguments[arguments.index("--pipelines") + 1].split(",")
        for group in OWN_PARAMETERS.get(name, ())
    ]
    own = {name: value for name, value in given.items() if name.partition(".")[0] in groups}
    if "--params" not in arguments:
        arguments += ["--params", ""]
    place = arguments.index("--params") + 1
    changed = {pair.partition("=")[0] for pair in arguments[place].split(",")}
    kept = join_values({name: value for name, value in own.items() if name not in changed})
    if not kept:
        return command
    arguments[place] = ",".join(filter(None, [kept, arguments[place]]))
    return join_words(arguments)


def _propose_best(run_params: dict[str, Any], pipeline: Pipeline, n_rows: int) -> list[str]:
    """Return the command for the best quality on the same data, unless it was this one.

    Args:
        run_params: Parameters of the run that ends, as Kedro passes them to hooks.
        pipeline: The nodes of this run.
        n_rows: Number of training reviews; with few, the command is not worth its time.

    """
    presets = [name for name in (run_params["env"] or "").split(",") if name not in ("", "local")]
    given = dict(flatten(run_params["runtime_params"]))
    data = {key: quote_value(value) for key, value in given.items() if key.startswith(ABOUT_DATA)}
    if "best" in presets or "raw_reviews" not in pipeline.inputs() or not all(data.values()):
        return []
    if n_rows < MIN_ROWS_FOR_BEST:
        return []
    command = f"{RUN} --env {quote_word(','.join([*presets, 'best']))}"
    if data:
        listed = ",".join(f"{key}={text}" for key, text in data.items())
        command += f" --params {quote_word(listed)}"
    return [command]
