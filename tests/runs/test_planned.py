"""What is planned, what of it is there, and how far the trainings are."""

import json
import os
import time

import pytest
from stand_ins import load_profile

from pivq.profiles import DRAWN
from pivq.runs.planned import Stage, last_step, planned, run_dir, steps_left, under_way, unfinished


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))


def log(config, run, *steps, tail=""):
    """Write the log of a run or stage up to some steps, and its settings; return its folder."""
    folder = run_dir(config, run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps({"step": step}) + "\n" for step in steps) + tail)
    (folder / "config.json").write_text(json.dumps(config.as_dict()))
    return folder


def finish(config, run):
    (log(config, run, config.train.steps) / "summary.json").write_text("{}")


@pytest.mark.parametrize("profile", ["quick", "smoke", "folder", "celeba64"])
def test_both_quantizers_of_each_kind_of_tokens(profile):
    config = load_profile(profile)
    kinds = ["learned", "drawn"] if profile in DRAWN else ["learned"]
    jobs = planned(config)
    assert list(jobs) == [f"{kind}, {quantizer}" for kind in kinds for quantizer in ("matching", "nearest")]
    assert unfinished(config) == list(jobs)
    finish(*jobs["learned, nearest"])
    assert unfinished(config) == [label for label in jobs if label != "learned, nearest"]


def test_the_last_step_is_that_of_the_last_whole_row(tmp_path):
    assert last_step(tmp_path / "nowhere") == 0
    config = load_profile("smoke")
    assert last_step(log(config, "trunk", *range(20, 4000, 20))) == 3980, "more than is read of the end"
    assert last_step(log(config, "trunk", 20, 40, tail='{"step": 60, "l1')) == 40, "a row that is being written"
    assert last_step(log(config, "trunk", 20, tail='"step"\n[3]\n{"l1": 1}\n\x00\n')) == 20


def test_steps_left_count_shared_steps_once_and_finished_runs_not():
    config = load_profile("smoke")
    drawn = config.drawn()
    steps, tq = drawn.train.steps, drawn.train.quantize_from_step
    learned_alone, drawn_alone = config.train.steps, tq + 2 * (steps - tq)
    assert steps_left(config) == learned_alone + drawn_alone
    log(config, "trunk", 10)
    log(drawn, "trunk", tq - 5)
    assert steps_left(config) == learned_alone - 10 + drawn_alone - (tq - 5)
    log(config, "shared", 30)  # beyond the trunk
    log(drawn, "trunk", tq)
    log(drawn, "matching", tq + 7)
    assert steps_left(config) == learned_alone - 30 + 2 * (steps - tq) - 7
    finish(drawn, "matching")
    assert steps_left(config) == learned_alone - 30 + steps - tq
    log(config, "matching", 40)  # the quantizers have parted: each has its own steps
    log(config, "nearest", 35)
    assert steps_left(config) == 2 * learned_alone - 40 - 35 + steps - tq
    for run in ("matching", "nearest"):
        finish(config, run)
    finish(drawn, "nearest")
    assert steps_left(config) == 0


def test_trainings_under_way_are_those_whose_logs_grow():
    config = load_profile("smoke", seed=3)
    log(config.drawn(), "trunk", 5)
    log(config, "shared", 20)
    old = log(config, "nearest", 25) / "log.jsonl"
    os.utime(old, (1000, 1000))
    finish(config, "matching")
    (log(config.drawn(), "matching", 8) / "config.json").write_text("{")
    assert under_way("smoke", time.time() - 600) == [
        Stage("learned tokens, both quantizers", 20, config.train.steps),
        Stage("drawn tokens, before T_q", 5, config.drawn().train.quantize_from_step),
    ]
    assert under_way("quick", 0) == []
