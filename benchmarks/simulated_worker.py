"""Functions for the simulated workers of data_path.py, in a module that they can import."""

import functools
import pickle
import time
import uuid
from pathlib import Path

from imdb_sentiment.pipelines.data_processing.row_checks import RowKeys


def sleep(part: object, seconds: float, keys: Path) -> tuple[int, RowKeys]:
    """Simulate `read_chunk`, and the reading of the part: return the same keys for any part."""
    time.sleep(seconds)
    return 0, read_keys(keys)


@functools.cache
def read_keys(path: Path) -> RowKeys:
    """Return the keys that the benchmark has pickled."""
    found: RowKeys = pickle.loads(path.read_bytes())
    return found


def finish(kept: int, decided: object, seconds: float, result: Path) -> str:
    """Simulate `finish_chunk`, and the writing of its result: return the path of the same bytes."""
    time.sleep(seconds)
    path = result.with_name(uuid.uuid4().hex)
    path.hardlink_to(result)
    return str(path)
