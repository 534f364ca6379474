"""Parts of a table that any process can read without reading what comes before them."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from imdb_sentiment.errors import InputError

State = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """Some rows of a file on this machine; a call returns them as a data frame.

    Attributes:
        path: Path of the file.
        state: State of the file, from `find_state`, to notice that it has been replaced.
        before: Number of rows before this part, in this file and in earlier ones.
        rows: Number of rows.

    """

    path: str
    state: State
    before: int
    rows: int

    @abstractmethod
    def __call__(self) -> pd.DataFrame:
        """Return the rows."""

    @abstractmethod
    def read_columns(self) -> list[str]:
        """Return the names of the columns."""

    @property
    @abstractmethod
    def position(self) -> int:
        """Number of bytes of the file before this part; 0 if it is unknown."""

    def _open(self) -> BinaryIO:
        """Open the file, unless it has changed."""
        return open_unchanged(self.path, self.state)


def open_unchanged(path: str, state: State) -> BinaryIO:
    """Open a file, unless it is no longer in the state that `find_state` has returned."""
    file = Path(path).open("rb")  # noqa: SIM115  (the caller closes it)
    if find_state(os.fstat(file.fileno())) != state:
        file.close()
        raise InputError(
            f"{path} has changed while it was read: repeat the command when nothing "
            "writes to it any more"
        )
    return file


def find_state(found: os.stat_result) -> State:
    """Return the size of a file, and the time at which it was written."""
    return found.st_size, found.st_mtime_ns
