"""How long the notebooks are expected to take: this computer's times, typical ones, and 03 by what it has to do."""

import json

import pytest

from pivq.commands import schedule
from pivq.commands.run_all_arguments import Notebook
from pivq.commands.schedule import LOADED, expected_seconds, own_seconds, record_seconds, span, typical
from pivq.config import load_config
from pivq.runs.planned import planned, run_dir
from pivq.storage.paths import notebooks_dir

NAMES = ["00_meet_the_faces", "03_train", "09_when_codes_compete", "42_new"]


@pytest.fixture
def expected(tmp_path, monkeypatch):
    """Return a function that gives the seconds by notebook, after this computer took `own` seconds."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    notebooks = [Notebook(tmp_path / f"{name}.ipynb", {}) for name in NAMES]

    def seconds(own=(), profile="quick", seed=0, **parameters):
        for name, value in dict(own).items():
            record_seconds(notebooks_dir("quick", 0) / "timings.json", name, value)
        return expected_seconds(notebooks, load_config(profile, seed), parameters)

    return seconds


def finish_models():
    for job in planned(load_config("quick")).values():
        run_dir(*job).mkdir(parents=True)
        (run_dir(*job) / "summary.json").write_text("{}")


def test_own_times_come_before_typical_ones_and_unknown_is_none(expected):
    usual = {name: 60 * typical("quick")[name]["minutes"] for name in NAMES[:3]} | {"42_new": None}
    assert expected() == usual
    assert expected({"00_meet_the_faces": 3.14}) == usual | {"00_meet_the_faces": 3.1}
    assert expected(seed=1) == usual, "another seed has a folder of its own"
    assert set(expected(profile="celeba64").values()) == {None}


def test_training_takes_as_long_as_the_longest_known_and_loading_seconds(expected):
    usual = 60 * typical("quick")["03_train"]["minutes"]
    assert expected({"03_train": 6.0})["03_train"] == usual, "its last run loaded the models, and they are gone"
    assert expected({"03_train": usual + 100})["03_train"] == pytest.approx(usual + 100), "a slow computer"
    finish_models()
    assert expected()["03_train"] == LOADED, "its last run trained"
    assert expected({"03_train": 6.0})["03_train"] == 6.0
    assert expected(force=True)["03_train"] == usual


def test_what_is_trained_again_for_hours_has_no_time(expected):
    assert expected(rerun_ablations=True)["03_train"] is None
    assert expected(rerun_study=True)["09_when_codes_compete"] is None
    assert expected(retrain=True) == expected(), "of notebooks that are not run"
    assert None not in [expected(rerun_study=True)[name] for name in NAMES[:2]]


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": ', "\x00\x00", '{"a": "x", "b": NaN, "c": -3, "d": null}'])
def test_odd_times_are_no_times(tmp_path, content):
    path = tmp_path / "timings.json"
    path.write_text(content)
    assert own_seconds(path) == {}
    record_seconds(path, "04_capacity", 1.26)
    assert json.loads(path.read_text()) == {"04_capacity": 1.3}
    record_seconds(path, "03_train", 2)
    assert list(json.loads(path.read_text())) == ["03_train", "04_capacity"]


GOOD = {"minutes": 1.5, "gigabytes": 2}


@pytest.mark.parametrize(
    "content, left",
    [
        (None, {}), ("", {}), ("[1, 2]", {}), ("\x00\x00", {}), ('{"quick": 3}', {}), ('{"quick": {"a": "x"}}', {}),
        (json.dumps({"quick": {"a": GOOD, "b": {"minutes": -1, "gigabytes": 1}, "c": {"minutes": 1}}}), {"a": GOOD}),
        ('{"quick": {"a": {"minutes": NaN, "gigabytes": 1}}}', {}),
    ],
)  # fmt: skip
def test_a_damaged_file_of_typical_times_stops_nothing(expected, monkeypatch, tmp_path, content, left):
    monkeypatch.setattr(schedule, "TYPICAL", tmp_path / "timings.json")
    if content is not None:
        (tmp_path / "timings.json").write_text(content)
    assert typical("quick") == left
    assert expected()["00_meet_the_faces"] is None


@pytest.mark.parametrize(
    "seconds, said",
    [(0, "under a minute"), (44, "under a minute"), (46, "1 min"), (89, "1 min"), (91, "2 min"), (5999, "100 min"),
     (6000, "1.7 hours"), (47.9 * 3600, "47.9 hours"), (48 * 3600, "2 days"), (9.6 * 86400, "10 days")],
)  # fmt: skip
def test_times_in_words(seconds, said):
    assert span(seconds) == said


def test_the_readme_shows_the_typical_times(checkout):
    """Minutes and memory of the map in README.md are those of `docs/timings.json`, which the runner reads."""
    rows = [line.split("|") for line in (checkout / "README.md").read_text().splitlines()
            if line.startswith("| [`") and line.endswith(" GB |")]  # fmt: skip
    shown = {row[1].split("`")[1]: {"minutes": float(row[-3]), "gigabytes": float(row[-2].split()[0])} for row in rows}
    assert len(shown) > 5 and shown == typical("quick")
