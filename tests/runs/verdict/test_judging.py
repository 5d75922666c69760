"""Kinds, judgements and how they are counted, on made-up measurements."""

import pytest

from pivq import paper
from pivq.runs.verdict import RULES, Judgement, counts, judge, summary
from pivq.runs.verdict.judging import (
    CONSTRUCTION,
    DIFFERS,
    KINDS,
    MEASURED,
    NEEDS_SCALE,
    RECOMPUTED,
    REPRODUCED,
    UNDECIDED,
    Outcome,
    in_order,
    judges,
)


def test_every_claim_has_exactly_one_rule():
    assert RULES.keys() == {claim.id for claim in paper.CLAIMS}
    with pytest.raises(ValueError, match="claim 'discrete' has two rules: _discrete and another"):

        @judges(CONSTRUCTION, "discrete")
        def another(facts, claim):
            return Outcome("", DIFFERS, "")

    assert RULES["discrete"].check.__name__ == "_discrete"
    with pytest.raises(ValueError, match="unknown kind 'finding', expected one of measured"):
        judges("finding", "a new claim")


def test_every_claim_is_judged_once_and_gives_a_reason(facts):
    judgements = judge(facts)
    assert [judgement.id for judgement in judgements] == [claim.id for claim in paper.CLAIMS]
    assert all(j.why and j.ours and j.kind in KINDS for j in judgements)
    assert {j.judgement for j in judgements} == {REPRODUCED, DIFFERS, NEEDS_SCALE}


def test_a_finding_names_its_control(facts):
    """Only where it is decided: without a number of ours there is nothing to compare."""
    for row in judge(facts):
        if row.kind == MEASURED and row.judgement in (REPRODUCED, DIFFERS):
            assert row.control != "–", row.id
    assert all(row.control == "–" for row in judge(facts) if row.kind != MEASURED)


def test_no_number_of_ours_stands_where_the_papers_data_are_needed(facts):
    rows = [row for row in judge(facts) if row.judgement == NEEDS_SCALE]
    assert len(rows) == 18 and {row.ours for row in rows} == {"–"}


@pytest.mark.parametrize(
    "path, undecided",
    [
        ("reconstruction", "interpolation multiple_paths plausible_paths global_codes shared_traits novel_images "
                           "low_recall"),
        ("cost", "matching_cost"),
        ("capacity.untrained", "nearest_codes_per_image nearest_repeats matching_raises_capacity collapse_remains"),
        ("capacity.untrained.codes_in_use", "collapse_remains"),
        ("interpolation.smoothness.untrained_largest_step", "interpolation"),
        ("interpolation.smoothness.share_with_large_step", ""),
        ("interpolation.plausibility", "plausible_paths"),
        ("interpolation.spread", "global_codes"),
        ("interpolation.traits", "shared_traits"),
        ("probing.attributes", "probing_not_above probing_learned"),
        ("probing.above_untrained", "probing_above"),
    ],
)  # fmt: skip
def test_what_was_not_measured_is_not_decided(facts, path, undecided):
    usual = {row.id: row.judgement for row in judge(facts)}
    *before, last = path.split(".")
    part = facts
    for name in before:
        part = part[name]
    part[last] = None  # as where a notebook found nothing to measure
    changed = {row.id: row.judgement for row in judge(facts) if row.judgement != usual[row.id]}
    assert changed == dict.fromkeys(undecided.split(), UNDECIDED)
    del part[last]
    assert {row.id: row.judgement for row in judge(facts) if row.judgement != usual[row.id]} == changed


def test_nothing_measured_is_no_crash(facts):
    undecided = {row.id: row for row in judge({"config": facts["config"]}) if row.judgement == UNDECIDED}
    assert undecided["matching_cost"].why == "Not measured by this run (no cost)."
    assert not [row for row in undecided.values() if row.kind == RECOMPUTED and row.id != "path_count"]


def row(name, kind, judgement, variant="–"):
    return Judgement(name, "", "", kind, "", "", "", judgement, variant, "")


def test_claims_are_counted_by_kind():
    rows = [row("matching_bits", RECOMPUTED, REPRODUCED), row("nearest_bits", RECOMPUTED, DIFFERS),
            row("discrete", CONSTRUCTION, REPRODUCED), row("nearest_repeats", MEASURED, REPRODUCED),
            row("low_recall", MEASURED, UNDECIDED), row("celeba_fid", MEASURED, NEEDS_SCALE),
            row("interpolation", MEASURED, DIFFERS, "reproduced: 3")]  # fmt: skip
    assert counts(rows) == (
        "recomputed from the paper: 1 of 2 hold; by construction: 1 of 1 hold; "
        "measured with a control: 1 of 2 seen, 1 not decided by this run, 1 need the paper's data"
    )
    assert summary(rows) == (
        "- **Seen**: nearest repeats codes within an image.\n- **Not seen**: paths are about smooth.\n"
        "- **Not decided by this run**: recall is below precision.\n"
        "- **Seen only with drawn tokens, our variant**: paths are about smooth."
    )


def test_what_was_found_comes_first(facts):
    facts["interpolation"]["spread"] = None
    judgements = judge(facts)
    rows = in_order(judgements)
    assert sorted(rows) == sorted(judgements)
    assert list(dict.fromkeys(row.kind for row in rows)) == [MEASURED, CONSTRUCTION, RECOMPUTED]
    measured = [row.judgement for row in rows if row.kind == MEASURED]
    assert measured.index(UNDECIDED) > max(i for i, name in enumerate(measured) if name in (REPRODUCED, DIFFERS))
    assert set(measured[measured.index(NEEDS_SCALE) :]) == {NEEDS_SCALE}


def test_every_finding_has_a_short_form():
    short = {claim.id for claim in paper.CLAIMS if claim.short}
    scores = {claim.id for claim in paper.TABLE3_CLAIMS} | {"competitive", "dense_samples"}
    assert short == {name for name, rule in RULES.items() if rule.kind == MEASURED} - scores


def test_numbers_are_shown_as_the_paper_prints_them(facts):
    printed = {row.id: row.paper for row in judge(facts)}
    assert printed["average_coverage"] == "0.50 share" and printed["celebahq_recall"] == "0.10 share"
    assert printed["celeba_density"] == "0.60 ratio" and printed["capacity_ratio"] == "3.5×"
    assert printed["matching_bits"] == "2221 bits" and printed["celeba_fid"] == "73.2 FID"
