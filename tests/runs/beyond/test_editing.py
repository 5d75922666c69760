"""Edits: the fewest exchanges by brute force, sets that stay sets, and a judge that reads pictures."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from stand_ins import Colours

from pivq.runs.beyond import editing as module
from pivq.runs.beyond.editing import (
    ADD,
    REMOVE,
    LinearProbe,
    beyond_control,
    edit_sets,
    fit_probe,
    goals_in_words,
    in_words,
    mean_edit,
    measure_editing,
    over_goals,
    random_exchanges,
)
from pivq.runs.evaluation import decoded_features

GROUPS = np.repeat(np.arange(4), 3)  # K = 12, three codes a group
LOGIT = np.log(9)  # of the goal, 0.9


def fewest(codes: np.ndarray, weights: np.ndarray, bias: float, allowed: np.ndarray, needed: float) -> int | None:
    """Return the fewest exchanges that reach a score, by trying every set; None if none does."""
    choices = [[code] + [other for other in np.flatnonzero(allowed & (GROUPS == GROUPS[code])) if other != code]
               for code in codes]  # fmt: skip
    ways = (np.array(way) for way in itertools.product(*choices))
    counts = [int((way != codes).sum()) for way in ways if bias + weights[way].sum() >= needed]
    return min(counts, default=None)


@pytest.mark.parametrize("add", [True, False])
def test_no_set_reaches_the_goal_with_fewer_exchanges(add):
    generator, reached = np.random.default_rng(0), 0
    for _ in range(60):
        weights, bias = generator.normal(0, 1.5, 12), generator.normal()
        allowed = generator.random(12) < 0.8
        codes = 3 * np.arange(4) + generator.integers(0, 3, (5, 4))
        edit = edit_sets(codes, GROUPS, weights, bias, add, allowed, most=4)
        sign = 1 if add else -1
        for before, after, exchanged, content in zip(codes, *edit, strict=True):
            best = fewest(before, sign * weights, sign * bias, allowed, LOGIT)
            assert content == (best is not None)
            assert sign * (bias + weights[after].sum()) >= LOGIT or not content
            assert exchanged.tolist() == (before != after).tolist()
            if content:
                reached += 1
                assert exchanged.sum() == best
            assert (GROUPS[before] == GROUPS[after]).all() and allowed[after[exchanged]].all()
    assert 60 < reached < 290, "both cases are there"


def test_at_most_so_many_exchanges_and_the_best_ones():
    weights = np.array([0, 1, 0, 0, 5, 0, 0, 3, 0, 0, 2, 0.0])
    codes = np.array([[0, 3, 6, 9]])
    edit = edit_sets(codes, GROUPS, weights, -100.0, True, np.ones(12, bool), most=2)
    assert edit.codes.tolist() == [[0, 4, 7, 9]] and not edit.reached[0]
    none = edit_sets(codes, GROUPS, weights, 50.0, True, np.ones(12, bool))
    assert none.codes.tolist() == codes.tolist() and none.reached[0] and not none.exchanged.any()
    worst = edit_sets(np.array([[1, 4, 7, 10]]), GROUPS, weights, -100.0, True, np.ones(12, bool))
    assert not worst.exchanged.any() and not worst.reached[0], "every exchange would lose"
    with pytest.raises(ValueError, match="goal must be a probability"):
        edit_sets(codes, GROUPS, weights, 0.0, True, np.ones(12, bool), goal=0.5)


def test_codes_that_share_their_group_stay():
    edit = edit_sets(np.array([[0, 1, 6]]), GROUPS, np.arange(12.0), -100.0, True, np.ones(12, bool))
    assert edit.codes.tolist() == [[0, 1, 8]]


def test_random_exchanges_are_at_the_same_places_in_the_same_groups():
    codes = 3 * np.arange(4) + np.random.default_rng(1).integers(0, 3, (200, 4))
    edit = edit_sets(codes, GROUPS, np.random.default_rng(2).normal(size=12), -3.0, True, np.ones(12, bool))
    changed = random_exchanges(codes, edit, GROUPS, np.ones(12, bool), seed=0)
    assert ((changed != codes) == edit.exchanged).all() and (GROUPS[changed] == GROUPS[codes]).all()
    alike = (changed == edit.codes)[edit.exchanged].mean()
    assert 0.35 < alike < 0.65, "of two others in each group, one is the edit's"


def test_the_probe_finds_the_code_that_is_the_attribute():
    codes = 3 * np.arange(4) + np.random.default_rng(3).integers(0, 3, (400, 4))
    hat = pd.Series((codes == 4).any(axis=1), dtype="Int8")
    hat[::5] = pd.NA
    probe = fit_probe(codes, pd.DataFrame({"hat": hat, "rare": [1] * 5 + [0] * 395}), 12)
    assert probe.names == ["hat"] and probe.weights.shape == (12, 1) and probe.weights[:, 0].argmax() == 4
    score = probe.bias[0] + probe.weights[codes, 0].sum(axis=1)
    assert ((score > 0) == (codes == 4).any(axis=1)).all()


def test_edits_of_a_run_are_judged_by_their_pictures(finished, monkeypatch):
    """The judge is one that reads the first colour, so that verdicts and distances can be computed again."""
    monkeypatch.setattr(module, "USES", 1)
    run, network = replace(finished[0]["matching"]), Colours()
    codes = run.codes("heldout")
    again = decoded_features(run, network, torch.from_numpy(codes))
    cut, groups = float(np.median(again[:, 0])), np.arange(12) % 4

    class Reads:
        names = ("red", "unknown to the probe")

        def __call__(self, features):
            return np.stack([features[:, 0] > cut] * 2, axis=1)

        def accuracy(self, features, attributes):
            return pd.DataFrame({"with": [0.9, 0.9], "without": [0.6, 0.9]}, index=self.names)

    labels = pd.DataFrame({"red": again[:, 0] > cut, "unknown to the probe": True}).astype("Int8")
    labels.loc[0, "red"] = pd.NA
    probe = LinearProbe(["red"], np.random.default_rng(0).normal(size=(12, 1)), np.zeros(1))
    table, edits, between = measure_editing(run, network, Reads(), probe, labels, groups, faces=3)
    assert table[["attribute", "edit"]].values.tolist() == [["red", ADD], ["red", REMOVE]]
    assert not table["readable"].any() and table["ceiling"].tolist() == [0.9, 0.6], "0.75 on average"
    for row in table.itertuples():
        made = edits["red", row.edit]
        rows = np.flatnonzero((labels["red"] == (row.edit == REMOVE)).fillna(False))[:3]
        assert (made.before == codes[rows]).all(), "the first that are known to be on the other side"
        features = [decoded_features(run, network, torch.from_numpy(part)) for part in made[:3]]
        assert row.success == ((features[1][:, 0] > cut) == (row.edit == ADD)).mean()
        assert row.control == ((features[2][:, 0] > cut) == (row.edit == ADD)).mean()
        moved = np.linalg.norm(features[1] - features[0], axis=1).mean() / between["distance"]
        assert row.identity == pytest.approx(moved, rel=1e-4)
        # Of the other attributes only "unknown to the probe" is read well enough; it is read as "red" is.
        assert row.others == ((features[1][:, 0] > cut) != (features[0][:, 0] > cut)).mean()
        assert row.exchanges == (made.before != made.after).sum(axis=1).mean()


def test_goals_are_compared_over_the_edits_that_can_be_judged(monkeypatch):
    asked = []

    def measure(*given):
        asked.append(given[-3:])
        readable = [row("hat", success, 0.1) | {"exchanges": 9 * given[-1]} for success in (0.2, 0.6)]
        return pd.DataFrame([*readable, row("smile", 1.0, 1.0, readable=False)]), {}, {}

    monkeypatch.setattr(module, "measure_editing", measure)
    frame = over_goals(None, None, None, None, None, None, goals=(0.6, 0.9), faces=4, seed=1)
    assert asked == [(4, 1, 0.6), (4, 1, 0.9)] and frame["edits"].tolist() == [2, 2]
    assert frame["success"].tolist() == [pytest.approx(0.4)] * 2 and frame["control"].tolist() == [0.1] * 2
    (told,) = goals_in_words(frame)
    assert "exchanges go from 5.4 to 8.1, success from 40% to 40%" in told
    monkeypatch.setattr(module, "measure_editing", lambda *given: (pd.DataFrame(), {}, {}))
    assert not len(over_goals(None, None, None, None, None, None)) and not goals_in_words(frame[:0])


def row(attribute: str, success: float, control: float, readable: bool = True) -> dict:
    return {"attribute": attribute, "edit": ADD, "faces": 30, "exchanges": 2.0, "reached": 1.0, "success": success,
            "control": control, "ceiling": 0.9, "identity": 0.4, "identity_control": 0.3, "others": 1.0,
            "others_control": 0.5, "readable": readable}  # fmt: skip


def test_sentences_tell_what_succeeds_what_fails_and_what_cannot_be_judged():
    table = pd.DataFrame([row("hat", 0.9, 0.1), row("red_hair", 0.3, 0.2), row("smile", 1.0, 0.0, readable=False)])
    told = in_words(table, {"distance": 5.0, "others": 6.0})
    of = mean_edit(table)
    assert (of["edits"], of["beyond"], of["success"], of["identity"]) == (2, 1, pytest.approx(0.6), pytest.approx(0.4))
    assert mean_edit(table[2:]) == mean_edit(table[:0]) == {}
    assert "Of 2 edits" in told[0] and ", 1 succeed" in told[0] and "60% of the" in told[0]
    assert told[3] == "**Not beyond the control:** add red hair." and told[4].endswith("reconstructions: smile.")
    assert in_words(table[2:], {"distance": 5.0, "others": 6.0})[0].startswith("**Nothing could be judged**")
    assert beyond_control(0.9, 0.1, 30) and not beyond_control(0.5, 0.4, 30) and not beyond_control(0.1, 0.9, 30)
