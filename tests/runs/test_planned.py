"""What is planned, what of it is there, and how far the trainings are."""

import json
import os
import time

import pytest
from stand_ins import load_profile

from pivq.profiles import DRAWN
from pivq.runs.planned import Stage, last_step, planned, run_dir, steps_left, steps_of, under_way, unfinished


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


# --- Different steps --------------------------------------------------------------------------------------------------

LAST, T_Q = 8, 3  # steps of the tiny configuration


@pytest.fixture
def learned(tiny_config):
    return tiny_config()


@pytest.fixture
def drawn(tiny_config):
    return tiny_config(model__tokens="drawn")


def counted(configs, quantizers=("matching", "nearest"), **reached):
    """Return what `steps_of` counts if the folders of the first configuration have reached these steps."""
    steps = {run_dir(configs[0], run): step for run, step in reached.items()}
    return steps_of([(config, quantizer) for config in configs for quantizer in quantizers],
                    lambda folder: steps.get(folder, 0))  # fmt: skip


def test_steps_that_runs_share_count_once(learned, drawn):
    assert counted([learned]) == (0, LAST), "learned tokens: all steps are shared until the quantizers part"
    assert counted([drawn]) == (0, T_Q + 2 * (LAST - T_Q)), "drawn tokens: shared up to T_q"
    assert counted([learned, drawn]) == (0, LAST + T_Q + 2 * (LAST - T_Q))
    assert counted([learned], ["nearest"]) == (0, LAST)
    assert counted([learned, learned]) == (0, LAST), "the same job twice is one"


def test_settings_that_act_later_share_the_steps_before_t_q(tiny_config):
    both = [tiny_config(), tiny_config(train__commitment_weight=0.5)]
    assert counted(both, ["nearest"]) == (0, T_Q + 2 * (LAST - T_Q))
    assert counted(both, ["nearest"], trunk=2) == (2, T_Q + 2 * (LAST - T_Q))


@pytest.mark.parametrize(
    "reached, expected",
    [
        (dict(trunk=2), (2, LAST)),
        (dict(trunk=3, shared=5), (5, LAST)),
        (dict(trunk=3, shared=8), (8, LAST)),
        (dict(trunk=3, shared=8, matching=8), (8, LAST)),
        (dict(trunk=3, shared=8, matching=8, nearest=8), (8, LAST)),
        (dict(trunk=3, shared=5, matching=5), (5, 5 + 2 * (LAST - 5))),
        (dict(trunk=3, shared=5, matching=7, nearest=6), (5 + 2 + 1, 5 + 2 * (LAST - 5))),
        (dict(matching=4), (4, T_Q + 2 * (LAST - T_Q))),
    ],
    ids=["before T_q", "shared", "shared to the end", "one is copied", "one model", "they part", "parted", "alone"],
)
def test_done_and_all_of_learned_tokens(learned, reached, expected):
    assert counted([learned], **reached) == expected


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
