"""What is said while a notebook runs: in a terminal one line, in a file a line at intervals."""

import io
import json
import time

import pytest

from pivq.commands import progress
from pivq.commands.progress import Pace, Progress, progress_of_each
from pivq.commands.run_all_arguments import Notebook
from pivq.commands.schedule import LOADED
from pivq.config import load_config
from pivq.runs.planned import run_dir, steps_left


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))


def log(step, run="trunk"):
    config = load_config("smoke")
    folder = run_dir(config, run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.as_dict()))
    (folder / "log.jsonl").write_text(json.dumps({"step": step}) + "\n")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_state_has_place_time_rest_and_training(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    shown = Progress("4/10 · 03_train", "smoke", expected=600.0, later=420.0)
    with shown:
        clock.now = 65.0
        assert shown.state() == "4/10 · 03_train · 1:05 · about 9 min left, whole run about 16 min"
        log(10)
        assert shown.state().endswith(f"16 min · learned tokens, before T_q: step 10 of {_tq()}")
        clock.now = 3725.0
        assert "03_train · 1:02:05 · longer than usual, whole run about 7 min" in shown.state()


def _tq():
    return load_config("smoke").train.quantize_from_step


@pytest.mark.parametrize(
    "expected, later, said",
    [
        (None, 60.0, " · …"),
        (600.0, None, " · about 10 min left"),
        (600.0, 0, " · about 10 min left"),
        (20.0, 10.0, " · under a minute left, whole run under a minute"),
        (9000.0, 60.0, " · about 2.5 hours left, whole run about 2.5 hours"),
    ],
)
def test_only_what_is_known_is_said(expected, later, said, capsys):
    with Progress("1/2 · 00_first", "smoke", expected, later):
        pass
    assert capsys.readouterr().out == f"1/2 · 00_first{said}\n"


def test_a_file_gets_a_line_at_intervals(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOGGED", 0.01)
    with Progress("1/1 · 00_first", "smoke", None, 0):
        time.sleep(0.3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and set(lines[1:]) == {"1/1 · 00_first · 0:00"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(text):
    """Return what a terminal shows of a text, line by line."""
    lines = [""]
    for part in text.replace("\n", "\r\n").split("\r")[:]:
        if part.startswith("\n"):
            lines.append("")
            part = part[1:]
        lines[-1] = part + lines[-1][len(part):]
    return [line.rstrip() for line in lines]


def test_a_terminal_has_one_line_which_is_gone_at_the_end(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stdout", terminal)
    monkeypatch.setattr(progress, "REWRITTEN", 0.01)
    monkeypatch.setenv("COLUMNS", "40")
    with Progress("1/1 · 00_a_long_name_of_a_notebook", "smoke", 600.0, 0):
        time.sleep(0.2)
        log(10)
        time.sleep(0.2)
        (during,) = screen(terminal.getvalue())
        assert during == "1/1 · 00_a_long_name_of_a_notebook · 0:"[:39], "cut, or it would begin a second line"
    print("00_a took 0.1 min", file=terminal)
    assert screen(terminal.getvalue()) == ["00_a took 0.1 min", ""]
    assert max(map(len, terminal.getvalue().replace("\n", "\r").split("\r"))) < 40


def test_a_closed_terminal_ends_nothing(monkeypatch):
    closed = Terminal()
    closed.close()
    monkeypatch.setattr(Terminal, "isatty", lambda self: True)
    monkeypatch.setattr(progress.sys, "stdout", closed)
    with Progress("1/1 · 00_first", "smoke", None, 0):
        pass


def test_the_pace_tells_the_rest_of_the_trainings():
    clock, config = Clock(), load_config("smoke")
    pace, total = Pace(config, clock), steps_left(config)
    assert pace() is None, "nothing is trained yet"
    clock.now = 30.0
    assert pace() is None
    log(5)
    clock.now = 40.0
    assert pace() == pytest.approx((total - 5) * 40 / 5 + LOADED)
    log(10)
    clock.now = 41.0
    assert pace() == pytest.approx((total - 10) * 41 / 10 + LOADED), "a mean, not the last second"
    clock.now = 400.0
    pace()
    log(15)
    clock.now = 420.0
    assert pace() == pytest.approx((total - 15) * (420 - 41) / 5 + LOADED), "of the last minutes alone"
    log(5)
    assert pace() is None, "begun again"


def test_there_is_no_pace_where_nothing_is_left_to_train():
    clock, config = Clock(), load_config("smoke")
    pace = Pace(config, clock)
    pace()
    for settings in (config, config.drawn()):
        for run in ("matching", "nearest"):
            run_dir(settings, run).mkdir(parents=True)
            (run_dir(settings, run) / "summary.json").write_text("{}")
    clock.now = 60.0
    assert pace() is None


def test_each_notebook_has_its_place_and_only_the_training_a_pace(tmp_path):
    names = ["00_meet_the_faces", "03_train", "04_capacity"]
    notebooks = [Notebook(tmp_path / f"{name}.ipynb", {}) for name in names]
    all_of_them = list(progress_of_each(notebooks, load_config("quick"), {}))
    assert [shown.place for shown in all_of_them] == [f"{i}/3 · {name}" for i, name in enumerate(names, 1)]
    assert [shown.later for shown in all_of_them] == [
        all_of_them[1].expected + all_of_them[2].expected, all_of_them[2].expected, 0
    ]  # fmt: skip
    assert [bool(shown.pace) for shown in all_of_them] == [False, True, False]
    first, second, _ = progress_of_each(notebooks, load_config("quick"), {"rerun_ablations": True})
    assert first.later is None and second.expected is None and not second.pace
