"""Checks of what holds by construction."""

import pytest
from made_up_facts import model, scores

from pivq.runs.verdict.judging import CONSTRUCTION, DIFFERS, REPRODUCED

REAL = "held-out images (real)"


@pytest.mark.parametrize(
    "name, change",
    [
        ("decoder_invariance", lambda f: f["interpolation"].update(order_difference=0.1)),
        ("matching_codes_per_image", lambda f: f["capacity"]["models"].update(matching=model(31, 1.0))),
        ("one_pass_sampling", lambda f: f["sample_quality"]["properties"].update(one_pass_sampling=False)),
        ("discrete", lambda f: f["sample_quality"]["properties"].update(discrete=False)),
        ("density_one", lambda f: f["sample_quality"]["rows"][3].update(scores(density=0.85))),
    ],
)
def test_a_fault_would_show(facts, by_id, name, change):
    assert by_id(facts)[name].judgement == REPRODUCED and by_id(facts)[name].kind == CONSTRUCTION
    change(facts)
    assert by_id(facts)[name].judgement == DIFFERS


def test_both_kinds_of_tokens_are_counted(facts, by_id):
    facts["capacity"]["drawn"] = {"L": 64, "nearest": model(20, 1.0), "matching": model(64, 2.0)}
    found = by_id(facts)["matching_codes_per_image"]
    assert found.ours == "32 of 32 (learned tokens), 64 of 64 (drawn tokens)" and found.judgement == REPRODUCED
    facts["capacity"]["drawn"]["matching"] = model(63, 2.0)
    assert by_id(facts)["matching_codes_per_image"].judgement == DIFFERS
