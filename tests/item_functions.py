"""Functions of items for tests of the engine, in a module that workers can import."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imdb_sentiment.engine.mapping import _call_second
from imdb_sentiment.errors import InputError


def add_slowly(item: int, one: int) -> int:
    time.sleep(0.2 if item == 0 else 0)
    return item + one


def refuse(item: int) -> int:
    if item == 3:
        raise InputError("there is no column 'review'", "reviews:\n  text_column: ?")
    return item


def hang_once(item: int, folder: Path) -> tuple[int, int]:
    """Write the process id and wait for ever, if item 0 is called for the first time."""
    file = folder / "pid"
    if item == 0 and not file.exists():
        file.write_text(str(os.getpid()))
        time.sleep(999)
    return item, os.getpid()


def die(item: int) -> None:
    os._exit(1)


def wait_for_ever(item: int, folder: Path) -> None:
    (folder / "begun").touch()
    time.sleep(999)


def double(item: int) -> tuple[int, int]:
    return 2 * item, item


def append(kept: int, decision: int) -> tuple[int, int, int]:
    return kept, decision, os.getpid()


def hang_once_then_double(item: int, folder: Path) -> tuple[int, int]:
    """Do as `hang_once`, and return what `double` does."""
    hang_once(item, folder)
    return double(item)


def give(item: int) -> int:
    return item


def finish_before_death(item: int, folder: Path) -> int:
    """Item 0 ends after another worker was killed, whose results take long to be made again."""
    killed = folder / "killed"
    while not item and not killed.exists():
        time.sleep(0.05)
    if item:
        time.sleep(2.5 if killed.exists() else 0)
        (folder / str(item)).write_text(str(os.getpid()))
    return item


def call_second_blindly_once(
    second: Callable[[Any, Any], Any], result: tuple[Any, bytes], decision: bytes, folder: str
) -> bytes | str | None:
    """Do once as if the first step had been repeated by a worker that can't read the files."""
    flag = Path(folder) / "has been blind"
    if flag.exists():
        return _call_second(second, result, decision, folder)
    flag.touch()
    return _call_second(second, (None, None), decision, folder)
