"""Times to train for: read, turned into steps of a whole schedule, and chosen once."""

import json

import pytest

from pivq.config import load_config
from pivq.runs import cost
from pivq.runs.budget import parse_budget, steps_within, whole_trainings
from pivq.runs.cost import Cost


@pytest.mark.parametrize(
    "text, seconds",
    [("2h", 7200), ("90min", 5400), ("90m", 5400), ("1.5h", 5400), ("1h 30m", 5400), ("1h30m", 5400), ("30s", 30)],
)
def test_times(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2x", "2h x", "0h", "nan h", "1e9h", "99999999h"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="is no time: expected one such as 2h"):
        parse_budget(text)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Make a step take a hundredth of a second on a card; return the devices that were measured."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    devices = []

    def measure(config, device):
        devices.append(device)
        return Cost(10**6, 10**5, 0.01, 20, None, config.train.steps, 8, 1000, "a card, fp16")

    monkeypatch.setattr(cost, "measure_cost", measure)
    return devices


def test_trainings_that_are_counted(measured):
    """Both quantizers share the steps before T_q for certain; more only where no two latents want the same code."""
    quick, short = load_config("quick"), load_config("celeba64_short")
    assert whole_trainings(short, 1) == 1 and whole_trainings(short, 2) == pytest.approx(2 - 12_000 / 60_000)
    assert whole_trainings(short) == whole_trainings(short, 2), "the profile has no drawn tokens"
    assert whole_trainings(quick) == pytest.approx(2 - 1200 / 3400 + 2 - 1360 / 3400)


def test_steps_that_fit_and_what_is_said(measured):
    steps, said = steps_within(load_config("celeba64_short"), "10min", "cuda")
    assert steps == 33_300 and steps * 1.8 * 0.01 <= 600 < (steps + 100) * 1.8 * 0.01
    assert measured == ["cuda"]
    assert said == (
        "budget 10min: 33,300 steps, of the profile's 60,000, with T_q, W and the rest of the schedule in proportion; "
        "at most 0.17 hours (0.01 s per step on a card, fp16, 1.8 trainings)"
    )
    assert load_config("celeba64_short", steps=steps).train.quantize_from_step == 6660


def test_more_than_enough_trains_the_profile(measured):
    steps, said = steps_within(load_config("celeba64_short"), "9h", quantizers=1)
    assert steps == 60_000 and "all of the profile's" in said


def test_a_choice_is_kept_so_that_trainings_are_resumed(measured, tmp_path, monkeypatch):
    config = load_config("celeba64_short")
    first, _ = steps_within(config, "10min")
    monkeypatch.setattr(cost, "measure_cost", None)  # a slower card after a disconnect would give other steps
    again, said = steps_within(config, "600s")
    assert again == first and "as chosen before" in said
    kept = tmp_path / "results" / "celeba64_short" / "budgets.json"
    assert list(json.loads(kept.read_text()).values()) == [first]


@pytest.mark.parametrize("damage", ["", "{}", "[", '{"x": -1}'])
def test_a_damaged_note_is_made_again(measured, tmp_path, damage):
    config = load_config("celeba64_short")
    kept = tmp_path / "results" / "celeba64_short" / "budgets.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(damage)
    assert steps_within(config, "10min")[0] == 33_300 and len(measured) == 1


def test_too_little_time_is_refused(measured):
    with pytest.raises(ValueError, match="budget 0.3s is too short for the profile celeba64_short .*16 steps are too"):
        steps_within(load_config("celeba64_short"), "0.3s")
