"""The race of two recipes: in turn, timed without the looks, and ended where the quality is reached."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pivq.config import load_config

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import time_to_quality  # noqa: E402
from time_to_quality import Reached, configurations, race, table  # noqa: E402


class Runner:
    """A trainer whose steps cost `cost` seconds of a clock and gain `gain` dB each."""

    def __init__(self, clock, cost, gain, steps=100, quantized_from=20):
        self.clock, self.cost, self.gain, self.step, self.quantized_from = clock, cost, gain, 0, quantized_from
        self.config = SimpleNamespace(train=SimpleNamespace(steps=steps))

    @property
    def quantizing(self):
        return self.step > self.quantized_from

    def fit(self, until):
        self.clock.append(self.clock[-1] + self.cost * (until - self.step))
        self.step = until


@pytest.fixture
def clock(monkeypatch):
    times = [0.0]

    def validate(trainer, images):
        times.append(times[-1] + 1000)
        return {"heldout_psnr": trainer.gain * trainer.step}, None

    monkeypatch.setattr(time_to_quality.time, "perf_counter", lambda: times[-1])
    monkeypatch.setattr(time_to_quality, "validate", validate)
    return times


def test_each_is_timed_alone_up_to_the_quality(clock):
    runners = {"slow": Runner(clock, 6, 0.5), "fast": Runner(clock, 3, 1.0), "never": Runner(clock, 1, 0.01)}
    reached = race(runners, None, target=25, every=10)
    assert reached == {"fast": Reached(30, 1.5, 30.0, True), "slow": Reached(50, 5.0, 25.0, True),
                       "never": Reached(100, 100 / 60, 1.0, False)}  # fmt: skip
    rows = table({name: reached[name] for name in runners}, 25).splitlines()[2:]
    assert rows == ["| slow | 50 | 5.0 | 25.00 | 100% |", "| fast | 30 | 1.5 | 30.00 | 30% |",
                    "| never | 100 | not in 1.7 | 1.00 | – |"]  # fmt: skip


def test_quality_before_the_codes_does_not_count(clock):
    assert race({"one": Runner(clock, 1, 10, quantized_from=35)}, None, 25, 10)["one"].step == 40


def test_the_earlier_recipe_has_no_muon_and_today_s_is_the_profile():
    earlier, today = configurations("quick", 0).values()
    assert today == load_config("quick") and today.train.muon_learning_rate > 0
    assert (earlier.train.muon_learning_rate, earlier.train.adversarial_limit) == (0.0, 0.2)
    assert earlier.model == today.model
