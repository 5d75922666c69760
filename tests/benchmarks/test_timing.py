"""What the benchmarks measure with: medians of jobs that take turns, without the warm-up."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import timing  # noqa: E402


def test_jobs_take_turns_and_the_warm_up_does_not_count(monkeypatch):
    done, clock, costs = [], [0.0], {"a": [100, 1, 2, 9], "b": [100, 5, 4, 6]}
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def job(name):
        def work():
            clock[0] += costs[name][done.count(name)]
            done.append(name)

        return work

    assert timing.medians([job("a"), job("b")], repeats=3) == [2, 5]
    assert done == ["a", "b"] * 4
    done.clear()
    assert timing.once(job("a")) == 100 and done == ["a"]


@pytest.mark.skipif(timing.resource is None, reason="Windows")
@pytest.mark.parametrize("platform, unit", [("linux", 1024), ("darwin", 1)])
def test_peak_memory_is_in_bytes(monkeypatch, platform, unit):
    monkeypatch.setattr(timing.sys, "platform", platform)
    measured = unit * timing.resource.getrusage(timing.resource.RUSAGE_SELF).ru_maxrss
    assert timing.peak_memory() == pytest.approx(measured, rel=0.1) and measured > 0
