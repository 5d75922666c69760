"""What the benchmarks share: medians of the time that jobs take, and the peak memory of a process."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence

try:
    import resource
except ImportError:  # Windows
    resource = None

Job = Callable[[], object]


def medians(jobs: Sequence[Job], repeats: int, warm_up: int = 1) -> list[float]:
    """Return the median seconds of each job over `repeats` turns; the jobs take turns, `warm_up` of which do not count.

    Taking turns keeps the ratios of the medians right when the speed of the machine changes.
    """
    seconds: list[list[float]] = [[] for _ in jobs]
    for _ in range(warm_up + repeats):
        for job, taken in zip(jobs, seconds, strict=True):
            start = time.perf_counter()
            job()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[warm_up:]) for taken in seconds]


def median(job: Job, repeats: int = 3, warm_up: int = 1) -> float:
    """Return the median seconds of a job; see `medians`."""
    return medians([job], repeats, warm_up)[0]


def once(job: Job) -> float:
    """Return the seconds of a job that can be done once only."""
    return median(job, repeats=1, warm_up=0)


def peak_memory() -> int:
    """Return the greatest memory of this process so far, in bytes; 0 on Windows, where it is unknown."""
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes on macOS, KiB elsewhere
