"""What a run shows on a terminal, without one, and in its log."""

import errno
import io
import logging
import os
import pty
import re
import select
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fcntl import ioctl
from importlib import import_module
from pathlib import Path
from termios import TIOCSWINSZ
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rich
from click import Command, Context
from kedro.framework.cli.utils import _split_params
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text
from tokenizers.models import WordLevel

from helpers import (
    KEDRO,
    make_ngrams_parameters,
    make_project,
    make_reviews,
    read_log,
    write_csv,
)
from imdb_sentiment.command_line import SERVE
from imdb_sentiment.framework import console, outcomes
from imdb_sentiment.framework.console import (
    DEFAULT_MODEL,
    ShowRun,
    _propose_best,
    _propose_rest,
    _repeat_parameters,
)
from imdb_sentiment.framework.lineage import flatten
from imdb_sentiment.network.ngram_regression import fit_ngram_model
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.pipeline_registry import DEFAULT
from imdb_sentiment.pipelines.reporting.nodes.verdict import EXPORT_NGRAMS, search_longer
from imdb_sentiment.progress import Task
from imdb_sentiment.text.ngrams import hash_ngrams

logger = logging.getLogger("imdb_sentiment.test")


def fit_tokenizer(given: int) -> Any:
    return SimpleNamespace(get_vocab_size=lambda: given, model=WordLevel())


NODE = Node(fit_tokenizer, "given", "tokenizer", name="data_processing.fit_tokenizer")
PIPELINE = Pipeline([NODE])


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return the clock of the display, which goes on when the test says so."""
    clock = SimpleNamespace(now=100.0)
    for module in ("progress", "framework.console"):
        monkeypatch.setattr(
            f"imdb_sentiment.{module}.time", SimpleNamespace(monotonic=lambda: clock.now)
        )
    return clock


class Run:
    """A run of which the test calls the hooks."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.params: dict[str, Any] = {
            "project_path": str(project),
            "run_id": "2026-01-02T03:04:05.678Z",
            "env": None,
            "runtime_params": {},
            "pipeline_names": None,
            "only_missing_outputs": False,
        }
        self.hooks = ShowRun()

    def begin(self) -> None:
        list(self.hooks.before_pipeline_run(self.params, PIPELINE))

    def end(self) -> None:
        list(self.hooks.after_pipeline_run(self.params, PIPELINE, DataCatalog()))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.hooks.close()


def show(monkeypatch: pytest.MonkeyPatch, width: int) -> Terminal:
    """Return a terminal of that width, which is that of the run."""
    screen = Terminal()
    monkeypatch.setattr(
        rich, "get_console", lambda: Console(file=screen, force_terminal=True, width=width)
    )
    monkeypatch.setenv("TERM", "xterm")
    return screen


def read_lines(output: str) -> list[str]:
    """Return all lines that a terminal has shown, also those that were drawn over."""
    moves = re.compile(r"\r|\x1b\[[0-9?]*[a-ln-zA-Z]")
    lines = Text.from_ansi(moves.sub("\n", output)).plain.splitlines()
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("width", [80, 50])
def test_a_terminal_shows_steps_tasks_and_the_time_left(
    width: int, run: Run, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = show(monkeypatch, width)
    run.begin()
    run.hooks.before_node_run(NODE)
    with Task("Reading clean_reviews.pkl", 10, "MB") as task:
        for done in (1, 2):
            clock.now += 4
            task.update(done)
        assert run.hooks._bars
        run.hooks._bars._display.refresh()
    clock.now += 2
    run.hooks.after_node_run(NODE, {"tokenizer": fit_tokenizer(1236)})
    run.end()
    lines = read_lines(screen.getvalue())
    assert any("1 of 1, fit tokenizer, " in line for line in lines)
    (shown,) = {line[line.index("Reading") :].strip() for line in lines if "2 of 10 MB" in line}
    assert re.sub("[━╸╺ ]+", " ", shown) == (
        "Reading clean_reviews.pkl 2 of 10 MB, about 32 s left"
        if width == 80
        else "Reading clean… 2 of 10 MB, about 32 s left"
    )
    told = " ".join(" ".join(lines).split())
    assert "Vocabulary: 1,234 words (10 s)" in told
    assert "Done in 10 s; full log: logs/2026-01-02T03.04.05.678Z.log" in told
    assert max(map(len, lines)) <= width, max(lines, key=len)
    shown_again = screen.getvalue().rindex("\x1b[?25h")
    assert shown_again > screen.getvalue().rindex("\x1b[?25l")  # the cursor


def test_a_file_gets_plain_lines(
    run: Run, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run.begin()
    run.hooks.before_node_run(NODE)
    with Task("Reading", 100, "MB") as task, Task("Short", 2, "s") as short:
        for done in range(1, 21):
            clock.now += 4
            task.update(done)
            if done == 1:
                short.update(1)
    run.hooks.after_node_run(NODE, {"tokenizer": fit_tokenizer(1236)})
    run.hooks.close()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = [line.split(" ", 1)[1] for line in out.splitlines()]
    assert lines == [
        "Reading: 3 of 100 MB, about 6 min 28 s left; Short: 1 of 2 s",
        "Reading: 11 of 100 MB, about 5 min 56 s left; Short: 1 of 2 s",
        "Reading: 19 of 100 MB, about 5 min 24 s left; Short: 1 of 2 s",
        "Vocabulary: 1,234 words (1 min 20 s)",
    ]


def test_a_file_gets_no_bars_even_if_it_gets_colours(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rich, "get_console", lambda: Console(force_terminal=True))
    run.begin()
    run.hooks.before_node_run(NODE)
    logger.info("told")
    assert capsys.readouterr().out.endswith(" told\n")


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Return the logger of the project, which the test may change."""
    ours = logging.getLogger("imdb_sentiment")
    level = ours.level
    monkeypatch.setattr(ours, "handlers", [])
    yield ours
    ours.setLevel(level)


def test_the_level_of_the_log_decides(
    run: Run,
    ours: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours.setLevel("WARNING")
    for width in (None, 80):
        screen = width and show(monkeypatch, width)
        run.begin()
        run.hooks.before_node_run(NODE)
        logger.info("told")
        run.hooks.after_node_run(NODE, {"tokenizer": fit_tokenizer(1236)})
        run.end()
        assert capsys.readouterr().out == ""
        assert not screen or screen.getvalue() == ""


@pytest.mark.parametrize("make", [RichHandler, lambda: logging.StreamHandler(sys.stdout)])
def test_what_another_handler_shows_is_not_told_twice(
    make: Callable[[], logging.Handler],
    run: Run,
    ours: logging.Logger,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours.addHandler(make())
    run.begin()
    logger.info("told")
    assert capsys.readouterr().out.count("told") == 1


def test_a_task_of_unknown_size_has_no_share(
    run: Run, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(monkeypatch, 80)
    run.begin()
    with Task("Reading", 0, "MB") as task:
        for done in (1, 30, 150):
            clock.now += 4
            task.update(done)
        assert run.hooks._bars
        *_, row = run.hooks._bars._display.tasks
        assert (row.total, row.percentage, row.finished) == (None, 0, False)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_the_console_does_not_have_end_no_run(
    encoding: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    run.begin()
    logger.info("映画")
    console._print_end("✓ 映画", [("Report", "report.html")], [])
    run.end()
    sys.stdout.flush()
    shown = written.getvalue().decode(encoding)
    assert " ??" in shown
    assert "Report  report.html" in shown


@pytest.mark.parametrize("is_project", [True, False])
@pytest.mark.parametrize("conf_source", ["conf", "else where"])
def test_commands_are_those_of_the_place(is_project: bool, conf_source: str, run: Run) -> None:
    if is_project:
        (run.project / "pyproject.toml").touch()
    context: Any = SimpleNamespace(
        project_path=run.project,
        env=None,
        config_loader=SimpleNamespace(conf_source=str(run.project / conf_source)),
    )
    run.hooks.after_context_created(context)
    run.begin()
    elsewhere = f" --conf-source '{run.project / conf_source}'" if " " in conf_source else ""
    start = "kedro run" if is_project else "imdb-sentiment"
    adapted = run.hooks._adapt("kedro run --env best", DEFAULT_MODEL)
    assert adapted == f"{start}{elsewhere} --env best"
    assert run.hooks._adapt(SERVE, DEFAULT_MODEL) == SERVE


@pytest.mark.parametrize("has_datasets", [False, True])
def test_a_preset_is_repeated_if_its_files_are_elsewhere(has_datasets: bool, run: Run) -> None:
    (run.project / "pyproject.toml").touch()
    folder = run.project / "conf/mine"
    folder.mkdir(parents=True)
    (folder / ("catalog.yml" if has_datasets else "parameters.yml")).write_text("{}")
    context: Any = SimpleNamespace(
        project_path=run.project,
        env="best, mine",
        config_loader=SimpleNamespace(conf_source=str(run.project / "conf")),
    )
    run.hooks.after_context_created(context)
    run.begin()
    preset = " --env 'best, mine'" if has_datasets else ""
    model = "data/my model.onnx" if has_datasets else DEFAULT_MODEL
    score = "--pipelines inference --params input_file=a.csv"
    assert run.hooks._adapt(f"kedro run {score}", model) == f"kedro run{preset} {score}"
    assert run.hooks._adapt("kedro run --env other", model) == "kedro run --env other"
    where = " --model 'data/my model.onnx'" if has_datasets else ""
    assert run.hooks._adapt(SERVE, model) == f"{SERVE}{where}"


def test_the_log_has_everything_and_the_error(run: Run) -> None:
    run.begin()
    logger.debug("a detail")
    logging.getLogger("kedro.runner").info("Completed 1 out of 9 tasks")
    logging.getLogger("elsewhere").warning("a warning")
    with Task("Reading", 2, "MB"):
        pass
    try:
        raise ValueError("wrong")
    except ValueError as error:
        run.hooks.on_pipeline_error(error)
    logger.debug("later")
    log = read_log(run.project)
    for words in ("a detail", "Completed 1 out of 9 tasks", "a warning", "ValueError: wrong"):
        assert words in log
    assert "Traceback" in log
    assert "MB" not in log
    assert "later" not in log


def test_a_run_that_may_not_begin_leaves_nothing_open(run: Run) -> None:
    before = list(logging.getLogger().handlers)
    beginning = run.hooks.before_pipeline_run(run.params, PIPELINE)
    next(beginning)
    assert logging.getLogger().handlers != before
    with pytest.raises(ValueError, match="no"):
        beginning.throw(ValueError("no"))
    assert logging.getLogger().handlers == before
    assert "ValueError: no" in read_log(run.project)


def fill_disk(_: logging.Handler) -> None:
    raise OSError(errno.ENOSPC, "the disk is full")


def test_old_logs_are_removed_and_no_log_is_no_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "MAX_LOGS", 3)
    folder = run.project / "logs"
    folder.mkdir()
    for day in range(1, 6):
        (folder / f"2025-01-0{day}T01.02.03.004Z.log").touch()
    for name in ("mine.txt", "app.log", "2025-01-01.log"):
        (folder / name).touch()
    run.begin()
    run.end()
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == [
        "2025-01-01.log",
        "2025-01-04T01.02.03.004Z.log",
        "2025-01-05T01.02.03.004Z.log",
        "2026-01-02T03.04.05.678Z.log",
        "app.log",
        "mine.txt",
    ]
    monkeypatch.setattr(logging.FileHandler, "flush", fill_disk)
    run.begin()
    logger.info("told")
    run.end()
    out, err = capsys.readouterr()
    assert out.count("told\n") == 1
    assert err == ""
    monkeypatch.undo()
    run.params["project_path"] = str(folder / "mine.txt")  # no folder can be made there
    run.begin()
    run.end()
    assert "Done in 0 s\n" in capsys.readouterr().out


def test_every_described_node_exists() -> None:
    modules = (import_module(f"imdb_sentiment.pipelines.{name}") for name in DEFAULT)
    pipelines: list[Pipeline] = [module.create_pipeline() for module in modules]
    nodes = {node.name.rpartition(".")[2] for pipeline in pipelines for node in pipeline.nodes}
    assert outcomes.DESCRIPTIONS.keys() <= nodes
    assert outcomes.describe_outcome("plot_roc_curves", {}) is None


def test_the_outcome_of_the_decision_says_whether_thresholds_help() -> None:
    decision = {"aim": "macro F1", "before": 0.5, "after": 0.6, "unfitted_reason": None}
    decision |= {"is_median": False}

    def describe(**changes: Any) -> str | None:
        return outcomes.describe_outcome("fit_decision", {"decision": decision | changes})

    says = "Decision for the macro F1: 0.6000 on held-out reviews, 0.5000 without thresholds"
    assert describe() == says
    says = "0.6000 on held-out reviews with the median, 0.5000 without it"
    assert describe(is_median=True) == f"Decision for the macro F1: {says}"
    says = "Decision: no thresholds, since they do not improve the macro F1"
    assert describe(unfitted_reason="no_gain") == says
    nothing = {"before": None, "after": None}
    assert describe(aim=None, **nothing) is None
    aim = "recall of good of at least 0.9"
    for reason in ("out_of_reach", "too_few_rows_of_label", "too_few_rows"):
        says = f"Decision: no thresholds for the {aim} (see the model card)"
        assert describe(aim=aim, unfitted_reason=reason, before=0.5, after=0.5) == says
        assert describe(aim=aim, unfitted_reason=reason, **nothing) == says
    says = "Decision: no thresholds (see the model card)"
    assert describe(aim=None, unfitted_reason="too_few_rows", **nothing) == says


def test_the_outcome_of_the_ngrams_names_both_kinds_and_the_weight() -> None:
    texts, codes = (
        ["wonderful", "wonderful day", "terrible", "terrible day"],
        np.array([1, 1, 0, 0]),
    )

    def describe(**changes: Any) -> str | None:
        parameters = make_ngrams_parameters(max_ngram=1, **changes)
        hashes = [hash_ngrams(text, 1, "auto", parameters.character_ngram) for text in texts]
        model = fit_ngram_model(hashes, codes, 2, parameters)
        return outcomes.describe_outcome("fit_ngrams", {"first_ngram_model": model})

    characters = (
        "17 of 4 characters, with a weight of 0.25"  # 8 of wonderful, 7 of terrible, 2 of day
    )
    assert describe(character_weight=0.25) == f"N-grams: 3 of up to 1 words; {characters}"
    assert describe(character_weight=0) == "N-grams: 3 of up to 1 words"
    learnt = replace(NgramModel.empty(2), hashes=np.arange(3), latent_weight=0.5)
    learnt = replace(learnt, unlabelled_reviews=2000, max_ngram=2)
    assert outcomes.describe_outcome("fit_ngrams", {"first_ngram_model": learnt}) == (
        "N-grams: 3 of up to 2 words; learnt from 2,000 unlabelled reviews as well, with a weight "
        "of 0.5"
    )
    taught = replace(learnt, latent_weight=0.0)
    assert outcomes.describe_outcome("teach_ngrams", {"ngram_model": taught}) == (
        "N-grams after co-training: 3 of up to 2 words; learnt from 2,000 unlabelled reviews as "
        "well, with pseudo-labels"
    )
    empty = NgramModel.empty(2)
    assert outcomes.describe_outcome("fit_ngrams", {"first_ngram_model": empty}) is None
    for first in (empty, learnt):  # they have learnt nothing more
        assert outcomes.describe_outcome("teach_ngrams", {"ngram_model": first}) is None


@pytest.mark.parametrize(
    ("env", "params", "command"),
    [
        (None, {}, "kedro run --env best"),
        ("local", {"tuning": {"n_trials": 3}}, "kedro run --env best"),
        ("imdb", {}, "kedro run --env imdb,best"),
        (
            None,
            {"reviews_file": "my file.csv", "split": {"method": "column"}},
            "kedro run --env best --params 'reviews_file=my file.csv,split.method=column'",
        ),
        (
            None,
            {"reviews_file": "a.csv", "unlabelled_file": "b.csv"},
            "kedro run --env best --params reviews_file=a.csv,unlabelled_file=b.csv",
        ),
        (None, {"reviews_file": "a,b.csv"}, None),  # which --params can't express
        ("imdb,best", {}, None),
    ],
)
def test_the_next_command_has_the_same_data_if_they_are_many(
    env: str | None, params: dict[str, Any], command: str | None
) -> None:
    whole = Pipeline([Node(lambda raw: raw, "raw_reviews", "summary", name="n")])
    run_params = {"env": env, "runtime_params": params}
    assert _propose_best(run_params, whole, 10_000) == ([command] if command else [])
    assert _propose_best(run_params, whole, 9_999) == []
    assert _propose_best(run_params, PIPELINE, 10_000) == []


@pytest.mark.parametrize(
    ("command", "params", "repeated"),
    [
        ("imdb-sentiment serve", "training.use_validation_rows=false", None),
        (EXPORT_NGRAMS, "", None),
        (EXPORT_NGRAMS, "reviews_file=a.csv,split.seed=7,tuning.n_trials=3", None),
        (EXPORT_NGRAMS, "training.ngrams.share=0.5", None),
        (
            EXPORT_NGRAMS,
            "training.use_validation_rows=false,training.min_confidence=0.6",
            "kedro run --pipelines training,reporting --only-missing-outputs --params "
            "training.use_validation_rows=false,training.min_confidence=0.6,training.ngrams.share=1",
        ),
        (
            search_longer(2),
            "tuning.n_trials=2,tuning.study_name='my tweets',hyperparameters.epochs=9",
            "kedro run --pipelines tuning,training,reporting --params "
            "'tuning.study_name=my tweets,hyperparameters.epochs=9,tuning.n_trials=20'",
        ),
    ],
)
def test_the_next_command_repeats_what_its_pipelines_do_not_reuse(
    command: str, params: str, repeated: str | None
) -> None:
    given = dict(flatten(_split_params(Context(Command("run")), None, params)))
    assert _repeat_parameters(command, given) == (repeated or command)


@pytest.mark.parametrize(
    ("names", "has_report", "command"),
    [
        (["data_processing"], False, "kedro run --pipelines tuning,training,reporting"),
        (["tuning", "data_processing"], True, "kedro run --pipelines training,reporting"),
        (["training"], True, "kedro run --pipelines reporting"),
        (["imdb_download"], False, "kedro run --env imdb"),
        (["label_check"], True, "kedro run --pipelines reporting"),
        (["label_check"], False, None),
        (["inference"], True, None),
        (["reporting"], True, None),  # a part of it that makes no summary
        ([], True, None),
    ],
)
def test_a_part_of_the_job_is_followed_by_the_rest(
    names: list[str], has_report: bool, command: str | None
) -> None:
    assert _propose_rest(names, has_report=has_report) == ([command] if command else [])


def run_in_terminal(project: Path, width: int, until: str | None, *arguments: str) -> str:
    """Run kedro in a terminal of that width; press Ctrl-C when a text appears."""
    command = [sys.executable, "-c", KEDRO, *arguments]
    environment = {
        name: os.environ[name] for name in os.environ if name not in ("COLUMNS", "LINES")
    }
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execve(sys.executable, command, environment | {"TERM": "xterm-256color"})
    ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    seen = b""
    try:
        while select.select([terminal], [], [], 240)[0]:
            try:
                seen += os.read(terminal, 1 << 16)
            except OSError:  # it has ended
                break
            if until and until.encode() in seen:
                os.write(terminal, b"\x03")
                until = None
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
    return f"{seen.decode()}\nstatus {os.waitstatus_to_exitcode(status)}"


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_leaves_it_as_it_was(tmp_path: Path) -> None:
    width = 50  # less than the longest lines have
    project = make_project(tmp_path)
    write_csv(project / "data/01_raw/sample_reviews.csv", make_reviews(200))
    many = "tuning.n_trials=200,hyperparameters.epochs=9"
    shown = run_in_terminal(project, width, "best ", "run", "--params", many)
    assert shown.endswith("status 1")
    lines = read_lines(shown)
    too_long = [line for line in lines if len(line) > width]
    assert len(too_long) <= 1, too_long  # Ctrl-C may come while a line is being written
    words = " ".join(" ".join(lines).split())
    outcomes = "200 reviews, 0 duplicates, 0 rejected", "Trial 0: "
    for told in (*outcomes, "which are kept", "Aborted!"):
        assert told in words
    assert re.search(r"\d of 200 trials, about \d+ ", words)
    assert "Traceback" not in words
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
