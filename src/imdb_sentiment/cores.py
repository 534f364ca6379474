"""The number of cores that this process may use."""

import os


def count_cores() -> int:
    """Return the number of cores that this process may use, which `taskset` and the like limit."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
