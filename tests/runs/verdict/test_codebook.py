"""Judgements about codes, on made-up measurements."""

import pytest
from made_up_facts import model, probed

from pivq.config import load_config
from pivq.runs.verdict.judging import DIFFERS, MEASURED, NEEDS_SCALE, REPRODUCED, UNDECIDED

COLLAPSE = ("nearest_codes_per_image", "nearest_repeats", "matching_raises_capacity")


def spread_out(facts):
    """Let nearest be as matching is."""
    facts["capacity"]["models"]["nearest"] = model(32, 226.0) | {"bits_counted_once": 169.0}
    facts["capacity"]["untrained"]["mean_codes_per_image"] = 32.0
    facts["capacity"] |= {"ratio": 0.74, "ratio_counted_once": 0.98}


@pytest.mark.parametrize(
    "name, change",
    [
        ("nearest_repeats", spread_out),
        ("nearest_repeats", lambda f: f["capacity"]["untrained"].update(mean_codes_per_image=4.2)),
        ("matching_raises_capacity", spread_out),
        ("matching_raises_capacity", lambda f: f["capacity"].update(ratio_counted_once=0.9)),
        ("matching_raises_capacity", lambda f: f["capacity"]["untrained"].update(mean_codes_per_image=3.0)),
        ("collapse_remains", lambda f: f["capacity"]["models"]["matching"].update(codes_in_use=461)),
        ("matching_cost", lambda f: f["cost"][0].update(matching_exponent=2.1)),
        ("quantized_from_start", lambda f: f["ablations"]["rows"][-1].update({"PSNR (dB)": 22.5})),
        ("repeated_initialisation", lambda f: f["ablations"]["rows"][3].update({"codes in use": 500})),
        ("probing_above", lambda f: f["probing"].update(above_untrained=[])),
        ("probing_not_above", lambda f: f["probing"].update(not_significant=[])),
        ("probing_learned", lambda f: f["probing"]["attributes"][1].update(untrained=0.79)),
    ],
)
def test_what_the_control_has_too_is_not_reproduced(facts, by_id, name, change):
    assert (by_id(facts)[name].judgement, by_id(facts)[name].kind) == (REPRODUCED, MEASURED)
    change(facts)
    assert by_id(facts)[name].judgement == DIFFERS


def test_one_rule_for_every_row_about_collapse(facts, by_id):
    spread_out(facts)
    variant = {"L": 64, "nearest": model(30, 50.0), "matching": model(64, 200.0)}
    ratios = {"ratio": 4.0, "ratio_counted_once": 4.0}
    facts["capacity"]["drawn"] = variant | ratios | {"untrained": {"mean_codes_per_image": 60.0}}
    said = {name: by_id(facts)[name] for name in COLLAPSE}
    assert {row.judgement for row in said.values()} == {DIFFERS}, "the paper's setting decides"
    for name, row in said.items():
        assert row.why.startswith("Not seen at L = 32: already so before training (notebook 02).")
        found = "matching 200.0, nearest 50.0 bits (counted once: 200.0 against 50.0)"
        codes = "30.0 of 64 differ on average, at most 30 (before training: 60.0)"
        assert row.variant == f"reproduced: {found if name == 'matching_raises_capacity' else codes}"
    assert said["nearest_repeats"].control == "before training: 32.0"
    facts["capacity"]["drawn"]["untrained"]["mean_codes_per_image"] = 30.0
    assert all(by_id(facts)[name].variant.startswith("differs: ") for name in COLLAPSE), "no more than before training"
    facts["capacity"]["drawn"]["nearest"] = model(40, 50.0)
    assert by_id(facts)["nearest_repeats"].variant.startswith("differs: 40.0 of 64")
    del facts["capacity"]["drawn"]
    assert {by_id(facts)[name].variant for name in COLLAPSE} == {"–"}


@pytest.mark.parametrize("codes, judgement", [(47, REPRODUCED), (140, DIFFERS), (300, DIFFERS)])
def test_the_papers_own_sizes_are_judged(facts, by_id, codes, judgement):
    assert by_id(facts)["nearest_codes_per_image"].judgement == NEEDS_SCALE, "seen, but 49 is of other sizes"
    facts["config"] = load_config("celebahq256")
    facts["capacity"] |= {"L": 512, "models": {"nearest": model(codes, 600.0), "matching": model(512, 2200.0)}}
    facts["capacity"]["untrained"]["mean_codes_per_image"] = 512.0
    found = by_id(facts)["nearest_codes_per_image"]
    assert (found.ours, found.judgement) == (f"{codes} of 512", judgement)
    assert "Table 2 says CelebA-HQ, Section 4.2 CelebA" in found.why


def test_codes_out_of_use_are_counted_for_both_kinds_of_tokens(facts, by_id):
    drawn = {"K": 512, "matching": model(64, 1.0, in_use=454), "untrained": {"codes_in_use": 480}}
    facts["capacity"]["drawn"] = drawn | {"L": 64, "nearest": model(9, 1.0)}
    found = by_id(facts)["collapse_remains"]
    assert found.ours == "400 of 512 codes in use" and found.control.endswith("before training: 512")
    assert found.judgement == REPRODUCED
    assert found.variant.startswith("differs: 454 of 512 codes in use (a codebook just fitted")


def test_an_early_fit_says_what_fails(facts, by_id):
    assert "it is the random codebook that fails" in by_id(facts)["quantized_from_start"].why
    for row in facts["ablations"]["rows"]:
        if row["variation"].startswith("fitted"):
            row["PSNR (dB)"] = 15.0
    found = by_id(facts)["quantized_from_start"]
    assert "random codebook" not in found.why and "fitted early: 15.0 dB." in found.why
    facts["ablations"]["rows"] = [row for row in facts["ablations"]["rows"] if not row["variation"].startswith("fit")]
    assert "early" not in by_id(facts)["quantized_from_start"].why


def test_every_seed_counts(facts, by_id):
    assert "2 seeds" in by_id(facts)["repeated_initialisation"].why
    assert by_id(facts)["quantized_from_start"].control == "with the delay: 23.0 dB"
    facts["ablations"]["rows"][1]["PSNR (dB)"] = 23.5
    assert by_id(facts)["quantized_from_start"].control == "with the delay: 23.0 to 23.5 dB"
    facts["ablations"]["rows"][1]["PSNR (dB)"] = 14.0
    assert by_id(facts)["quantized_from_start"].judgement == DIFFERS


def test_ablations_of_another_seed_or_data_are_called_so(facts, by_id):
    facts["ablations"] |= {"dataset": "avatars", "seed": 0}
    assert ", profile quick, 2 seeds" in by_id(facts)["repeated_initialisation"].why
    facts["ablations"] |= {"dataset": "celeba", "seed": 4}
    assert ", profile quick, dataset celeba, seed 4, 2 seeds" in by_id(facts)["repeated_initialisation"].why
    assert "profile quick, dataset celeba, seed 4" in by_id(facts)["quantized_from_start"].why
    del facts["ablations"]["rows"][1::2]
    assert ", one seed" in by_id(facts)["repeated_initialisation"].why


def test_what_no_codes_show_decides_nothing(facts, by_id):
    facts["probing"]["attributes"][2]["untrained"] = 0.505
    found = by_id(facts)["probing_not_above"]
    assert found.judgement == UNDECIDED and found.control == "codes of an untrained encoder predict 0 of these"


def test_what_training_loses_is_named(facts, by_id):
    facts["probing"]["attributes"].append(probed("mouth_open", 0.55, 0.73))
    found = by_id(facts)["probing_learned"]
    assert found.ours == "training raises 2 of 4 attributes" and found.judgement == DIFFERS
    assert "2 lose: brow, mouth open." in found.why
    assert "The images show them, the codes do not: brow." in by_id(facts)["probing_not_above"].why
