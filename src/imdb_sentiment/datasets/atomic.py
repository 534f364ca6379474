"""Files that appear under their name only when they are whole.

A run can be killed at any moment. Whatever is written here goes to a temporary file beside the
final one and is renamed at the end, so a later run never loads half a pickle or half a model.
"""

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.pickle import PickleDataset
from kedro_datasets.plotly import JSONDataset as PlotlyJSONDataset
from kedro_datasets.text import TextDataset


@contextlib.contextmanager
def atomic_write(path: str | PurePosixPath | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name `path` if the block succeeds.

    Args:
        path: The final path; its folder is made if missing. The temporary name keeps the
            suffix, since some libraries choose a format by it.

    Yields:
        The path to write to. It is removed if the block raises.

    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.stem}.partial{final.suffix}")
    try:
        yield partial
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


class AtomicSave:
    """Mixin, ahead of a file dataset of kedro-datasets: saves through `atomic_write`.

    Remote file systems are left as they are: an object store shows only complete objects anyway.
    """

    _protocol: str
    _partial: Path | None = None

    def save(self, data: Any) -> None:
        """Save `data` as the dataset behind this mixin does, under the final name once whole."""
        # The undecorated save: Kedro's logging and version checks already wrap this method.
        save = super().save.__wrapped__  # type: ignore[misc]
        if self._protocol != "file":
            save(self, data)
            return
        with atomic_write(super()._get_save_path()) as partial:  # type: ignore[misc]
            self._partial = partial
            try:
                save(self, data)
            finally:
                self._partial = None

    def _get_save_path(self) -> PurePosixPath:
        if self._partial is not None:
            return PurePosixPath(self._partial.as_posix())
        return super()._get_save_path()  # type: ignore[misc, no-any-return]


class AtomicCSVDataset(AtomicSave, CSVDataset):
    """`pandas.CSVDataset`, written atomically, and with all text in quotation marks.

    The csv module leaves a lone carriage return unquoted, and readers end a row at it.
    """

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {
        **CSVDataset.DEFAULT_SAVE_ARGS,
        "quoting": csv.QUOTE_NONNUMERIC,
    }


class AtomicFigureDataset(AtomicSave, PlotlyJSONDataset):
    """`plotly.JSONDataset`, written atomically."""


class AtomicJSONDataset(AtomicSave, JSONDataset):
    """`json.JSONDataset`, written atomically."""


class AtomicPickleDataset(AtomicSave, PickleDataset):
    """`pickle.PickleDataset`, written atomically."""


class AtomicTextDataset(AtomicSave, TextDataset):
    """`text.TextDataset`, written atomically."""
