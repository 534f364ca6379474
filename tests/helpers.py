"""Helpers of several tests: synthetic reviews, parameters of conf/base, runs of the CLI."""

import contextlib
import copy
import csv
import fcntl
import functools
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import psutil
import pytest
import rich
import yaml
from click.testing import CliRunner
from distributed import Client
from kedro.config import OmegaConfigLoader
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from omegaconf import OmegaConf

from commands import RUN, split_commands
from imdb_sentiment.network.model import KerasModel, build_model
from imdb_sentiment.parameters import Hyperparameters, NgramsParameters
from imdb_sentiment.settings import CONFIG_LOADER_ARGS
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.word_numbers import join_words, number_words, pack_numbers
from imdb_sentiment.text.words import get_rule

PROJECT = Path(__file__).parents[1]

# A network that trains in seconds; all other parameters are those of conf/base.
SMALL: dict[str, Any] = {
    "tokenizer": {"vocabulary_size": 50, "sequence_length": 12},
    "word_vectors": {"size": 4},
    "hyperparameters": {
        "epochs": 2,
        "learning_rate": 0.02,
        "batch_size": 16,
        "min_steps": 0,
        "min_steps_per_label": 0,
    },
    "tuning": {
        "folds": 1,
        "search_space": {
            "units": {"type": "int", "low": 2, "high": 4},
            "dropout_rate": {"type": "float", "low": 0.2, "high": 0.5},
            "optimizer": {"type": "categorical", "choices": ["adam", "rmsprop"]},
        },
    },
}

# Seconds after which a test that waits gives up. On a busy machine, what takes a second may take a
# minute.
PATIENCE = 300.0

VOCABULARY_SIZE = 30  # of the encoded reviews

_WORDS = {
    0: ["awful", "boring", "dreadful", "clumsy", "tedious"],
    1: ["lovely", "brilliant", "charming", "superb", "moving"],
    2: ["ordinary", "average", "passable", "middling", "plain"],
    3: ["strange", "baffling", "dreamlike", "surreal", "uncanny"],
}
_FILLER = ("the", "film", "was", "in", "a", "cinema", "with", "my", "sister", "one", "day")


def base_parameters() -> dict[str, Any]:
    """Return the parameters of conf/base as plain values, with the columns of `write_csv`."""
    return copy.deepcopy(_read_base_parameters())


@functools.cache
def _read_base_parameters() -> dict[str, Any]:
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"),
        base_env="base",
        default_run_env="base",
        custom_resolvers=CONFIG_LOADER_ARGS["custom_resolvers"],
    )
    parameters = dict(loader["parameters"])
    parameters["reviews"] |= {"text_column": "review", "label_column": "sentiment"}
    parameters["reviews"] |= {"labels": ["negative", "positive"]}
    return parameters


# A plain network that trains in seconds and needs no word vectors.
_SMALL_NETWORK = {
    "embedding_size": 4,
    "pretrained_embedding": False,
    "spatial_dropout_rate": 0.0,
    "units": 3,
    "chrono_initialization": 0,
    "learning_rate": 0.02,
    "learning_rate_schedule": "constant",
    "batch_size": 16,
    "epochs": 2,
    "min_steps": 0,
    "min_steps_per_label": 0,
    "initial_length_fraction": 1.0,
}


def small_hyperparameters(**changes: Any) -> Hyperparameters:
    """Return hyperparameters of a network that trains in seconds, with `changes`."""
    return Hyperparameters(**{**base_parameters()["hyperparameters"], **_SMALL_NETWORK, **changes})


def make_network(seed: int = 0, n_labels: int = 2, **changes: Any) -> KerasModel:
    """Return a network that is not trained, with random weights, biases included."""
    network = build_model(small_hyperparameters(**changes), VOCABULARY_SIZE, n_labels)
    network.optimizer.build(network.trainable_variables)
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0, 0.5, array.shape) for array in network.get_weights()])
    return network


def make_ngrams_parameters(**changes: Any) -> NgramsParameters:
    """Return the parameters of the n-grams of conf/base, with `changes`."""
    return NgramsParameters(**{**base_parameters()["training"]["ngrams"], **changes})


def make_reviews(
    n: int, labels: Sequence[str] = ("negative", "positive"), seed: int = 0
) -> list[tuple[str, str]]:
    """Return `n` distinct (review, label) pairs that a small model can tell apart."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        code = i % len(labels)
        words = rng.choices(_WORDS[code], k=3) + rng.choices(_FILLER, k=5) + [f"x{i}"]
        rng.shuffle(words)
        rows.append((" ".join(words), labels[code]))
    return rows


def with_words(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return a frame with the numbers of the words of its texts, and the words."""
    cut = map(get_rule("auto").split, frame["text"])
    numbers, lengths, words = number_words(map(join_words, cut))
    return frame.assign(words=pack_numbers(numbers, lengths)), words


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested parameters from values by dotted names."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, last = key.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return nested


def write_csv(
    path: Path, rows: Iterable[Sequence[str]], header: Sequence[str] = ("review", "sentiment")
) -> Path:
    """Write reviews and labels as a CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> Path:
    """Return a folder that `make` fills once for all processes of pytest-xdist.

    Tests must not change it; those that write take a copy.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the common parent of the processes' folders
    folder /= name
    made = folder.with_suffix(".made")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # left by an earlier failure
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def make_encoded(n: int, n_labels: int = 2, length: int = 6, seed: int = 0) -> EncodedReviews:
    """Return encoded reviews whose last token determines the label."""
    rng = np.random.default_rng(seed)
    codes = (np.arange(n) % n_labels).astype(np.uint8)
    sequences = rng.integers(2, 20, size=(n, length), dtype=np.uint8)
    for row, filled in zip(sequences, rng.integers(1, length + 1, size=n), strict=True):
        row[: length - filled] = 0
    sequences[:, -1] = 20 + codes
    labels = ("negative", "positive", "neutral", "mixed")[:n_labels]
    return EncodedReviews(
        sequences, codes, np.arange(1, n + 1), labels, VOCABULARY_SIZE, np.zeros(n, np.uint64)
    )


def make_study(evaluate_on: str = "validation", n_trials: int = 2) -> optuna.Study:
    """Return a finished study."""
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("protocol", {"evaluate_on": evaluate_on})

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_int("units", 50, 100)
        trial.report(0.5, 1)
        trial.report(0.6 + trial.number / 10, 2)
        return 0.6 + trial.number / 10

    study.optimize(objective, n_trials=n_trials)
    return study


def make_predictions(n: int, labels: tuple[str, ...], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(len(labels)), size=n)
    names = np.array(labels, dtype=object)
    frame = pd.DataFrame(
        {"row": np.arange(n), "sentiment": names[rng.integers(len(labels), size=n)]}
    )
    frame["predicted_sentiment"] = names[scores.argmax(axis=1)]
    frame["probability"] = scores.max(axis=1)
    for code, label in enumerate(labels):
        frame[f"probability_{label}"] = scores[:, code]
    return frame


def rank_auc(positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64]) -> float:
    """Return ROC AUC as the share of pairs in the right order (Hanley and McNeil, 1982)."""
    wins = (positive[:, None] > negative[None, :]).mean()
    return float(wins + (positive[:, None] == negative[None, :]).mean() / 2)


def lay_over(project: Path, env: str, changes: dict[str, Any]) -> None:
    """Override parameters of a preset, unless conf/local has others."""
    paths = sorted((project / "conf" / env).glob("parameters*.yml"))
    merged = OmegaConf.merge(*map(OmegaConf.load, paths), changes)
    for path in paths:
        path.unlink()
    OmegaConf.save(merged, project / "conf" / env / "parameters.yml")


def make_project(folder: Path, parameters: dict[str, Any] | None = None) -> Path:
    """Copy the files that a run needs into `folder`; `parameters` override conf/base."""
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, folder)
    shutil.copytree(PROJECT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copytree(PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data/01_raw").mkdir(parents=True)
    shutil.copy(PROJECT / "data/01_raw/custom_reviews.csv", folder / "data/01_raw")
    (folder / "conf/local").mkdir()
    text = yaml.safe_dump(SMALL if parameters is None else parameters)
    (folder / "conf/local/parameters.yml").write_text(text, encoding="utf-8")
    return folder


# `python -m kedro` that reacts to Ctrl-C even in a background job of a shell, where it is ignored.
KEDRO = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "kedro"
from kedro.framework.cli.cli import main
main()
"""


def start_kedro(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `kedro ARGUMENTS` in its own process group; stderr goes to stdout."""
    return _start(project, [sys.executable, "-c", KEDRO, *arguments], subprocess.PIPE)


def kedro(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `kedro ARGUMENTS` and return its output."""
    process = start_kedro(project, *arguments)
    output = wait_for_end(process)
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def wait_for_end(process: subprocess.Popen[str]) -> str:
    """Return the output of a run when it has ended; if that takes too long, kill it and fail."""
    try:
        return process.communicate(timeout=2 * PATIENCE)[0]
    except BaseException:  # Ctrl-C does not reach its process group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        print(process.communicate(timeout=60)[0])
        raise


def _as_run(commands: str, instead: Mapping[str, str] | None) -> str:
    """Record commands as documented; return them with the replacements of `instead`."""
    RUN.update(split_commands(commands))
    for documented, here in (instead or {}).items():
        assert documented in commands
        commands = commands.replace(documented, here)
    return commands


def run_shell(
    folder: Path,
    commands: str,
    instead: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run documented commands in bash and return their output.

    Args:
        folder: Working directory.
        commands: The commands as documented.
        instead: Replacements for parts of the commands, such as a path.
        environment: Environment variables to set.
    """
    process = _start(
        folder, ["bash", "-ec", _as_run(commands, instead)], subprocess.PIPE, environment
    )
    output = wait_for_end(process)
    assert process.returncode == 0, output
    return output


@contextlib.contextmanager
def same_python_path() -> Iterator[None]:
    """Undo what Kedro does to sys.path and PYTHONPATH, to which it adds a project's src for good.

    Processes that other tests start would otherwise import the copy of the project in that folder.
    """
    path, variable = sys.path[:], os.environ.get("PYTHONPATH")
    try:
        yield
    finally:
        sys.path[:] = path
        if variable is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = variable


def run_session(project: Path, *pipelines: str, env: str | None = None, **parameters: Any) -> None:
    """Run pipelines in this process, which saves the imports of a new one."""
    with same_python_path():
        bootstrap_project(project)
        with settings.SESSION_CLASS.create(project, env=env, runtime_params=parameters) as session:
            session.run(pipeline_names=pipelines or None)


def run_kedro(project: Path, command: str, instead: Mapping[str, str] | None = None) -> str:
    """Run a documented command of Kedro in this process, which saves its imports."""
    program, *arguments = shlex.split(_as_run(command, instead))
    assert program == "kedro"
    rich.reconfigure(width=200)
    with contextlib.chdir(project), same_python_path():
        done = CliRunner().invoke(KedroCLI(project), arguments)
    assert done.exit_code == 0, done.output
    return done.output


def run_benchmark(name: str, *arguments: str) -> str:
    """Run a script in benchmarks/ that ends with an error if it finds one; return its output."""
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    log: Path


def find_free_port() -> int:
    """Return a free port, so that several processes and checkouts can run tests at the same time.

    It is below the ports that the system gives to clients, so none takes it before the server does.
    Kedro-Viz refuses ports above 49151, which the system's own choice may be.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_768), k=100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def run_server(
    folder: Path,
    commands: str,
    instead: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a server by documented commands; yield it when it listens, then stop it.

    Args:
        folder: Working directory.
        commands: The commands as documented, with a fixed port.
        instead: Replacements for parts of the commands. PORT stands for a free port, as in
            `{"viz run": "viz run --port PORT"}`.
        environment: Environment variables to set.
    """
    port = find_free_port()
    here = {documented: text.replace("PORT", str(port)) for documented, text in instead.items()}
    path = folder / f"log of port {port}"
    with path.open("w", encoding="utf-8") as log:
        server = _start(folder, ["bash", "-ec", _as_run(commands, here)], log, environment)
    try:
        deadline = time.monotonic() + 240
        while not _is_open(port):
            assert server.poll() is None, path.read_text("utf-8")
            assert time.monotonic() < deadline, path.read_text("utf-8")
            time.sleep(0.1)
        yield Server(f"http://127.0.0.1:{port}", path)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _start(
    folder: Path,
    command: list[str],
    output: int | IO[str],
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start a command with this environment activated, in its own process group."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    active = {"PATH": programs, "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **(environment or {})}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | active,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_log(project: Path) -> str:
    """Return the log of the last run; empty if there is none yet."""
    logs = sorted((project / "logs").glob("*.log"))
    return logs[-1].read_text(encoding="utf-8") if logs else ""


def wait_for_log(process: subprocess.Popen[str], project: Path, text: str) -> str:
    """Wait until `text` appears in the log of a run; fail if the run ends first or takes long."""
    deadline = time.monotonic() + PATIENCE
    while text not in (log := read_log(project)):
        is_over = process.poll() is not None or time.monotonic() > deadline
        assert not is_over, f"{text!r} never appeared in:\n{log}"
        time.sleep(0.02)
    return log


THREE_LABELS = ("negative", "positive", "neutral")


def three_label_run(folder: Path) -> tuple[Path, str]:
    """Run the main job on a CSV with three labels, a duplicate row and a row to reject.

    Returns:
        The project and the output of the run.
    """
    changes = {
        "reviews": {"labels": list(THREE_LABELS)},
        "tuning": {**SMALL["tuning"], "folds": "auto"},
    }
    project = make_project(folder, SMALL | changes)
    rows = make_reviews(300, THREE_LABELS)
    rows += [("a text twice", "neutral"), ("a text twice", "neutral"), ("refused", "unheard of")]
    write_csv(project / "data/01_raw/IMDB Dataset.csv", rows)
    output = run_shell(project, 'kedro run --params "reviews_file=IMDB Dataset.csv"')
    return project, output


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail when `PATIENCE` ends."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def find_workers(run: psutil.Process) -> list[psutil.Process]:
    """Return the workers of the cluster that a run has started: forks of one of its processes."""
    workers = []
    for process in run.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = process.parent()
            if parent and "multiprocessing.forkserver" in " ".join(parent.cmdline()):
                workers.append(process)
    return workers


class Cluster:
    """A Dask scheduler and workers in separate processes, like those of other machines."""

    def __init__(self, folder: Path, workers: int) -> None:
        folder.mkdir()
        self._file = folder / "scheduler.json"
        self._folder = folder
        options = ("--no-dashboard", "--host", "127.0.0.1", "--port", "0")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", *options)
        self.address = ""
        try:
            for _ in range(workers):
                self.add_worker()
            wait_until(self._has_address)
            with Client(self.address, timeout=PATIENCE) as client:
                client.wait_for_workers(workers, timeout=PATIENCE)
        except BaseException:
            self.stop()
            raise

    def _has_address(self) -> bool:
        with contextlib.suppress(OSError, ValueError):  # the file is not there yet, or not complete
            self.address = json.loads(self._file.read_text())["address"]
        return bool(self.address)

    def add_worker(self) -> None:
        """Start one more worker."""
        self.workers.append(self._start("worker", "--nthreads", "1", "--no-dashboard"))

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", kind, "--scheduler-file", str(self._file), *options],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
