"""The number of cores that this process may use."""

import math
import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU time, and of time


def count_cores() -> int:
    """Return the number of cores that this process may use.

    `taskset`, the cores of a container (`--cpuset-cpus`) and its CPU time (`--cpus`) limit them.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = map(int, CPU_MAX.read_text().split())
    except (OSError, ValueError):  # without control groups, or "max": there is no limit
        return cores
    return min(cores, max(1, math.ceil(quota / period)))
