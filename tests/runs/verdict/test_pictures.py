"""Judgements about decoded pictures, on made-up measurements."""

import pytest
from made_up_facts import scores, traits

from pivq.config import load_config
from pivq.runs.verdict import pictures
from pivq.runs.verdict.judging import DIFFERS, MEASURED, NEEDS_SCALE, REPRODUCED, UNDECIDED
from pivq.sampling import SMOOTH_STEP

SAMPLES, AMONG_MADE, MADE, REAL = range(4)  # rows of Table 3
PICTURES = ("interpolation", "multiple_paths", "plausible_paths", "global_codes", "shared_traits", "low_recall",
            "novel_images")  # fmt: skip


@pytest.mark.parametrize(
    "name, change",
    [
        ("interpolation", lambda f: f["interpolation"]["smoothness"].update(largest_step=0.5)),
        ("interpolation", lambda f: f["interpolation"]["smoothness"].update(untrained_largest_step=0.105)),
        ("multiple_paths", lambda f: f["interpolation"]["apart"].update(low=0.07)),
        ("multiple_paths", lambda f: f["interpolation"]["apart"].update(high=2.6)),
        ("plausible_paths", lambda f: f["interpolation"]["plausibility"].update(nearer=0.44)),
        ("global_codes", lambda f: f["interpolation"]["spread"].update(low=0.03)),
        ("shared_traits", lambda f: f["interpolation"]["traits"]["learned"].update(rows=[traits(0.45, 0.0)])),
        ("shared_traits", lambda f: f["interpolation"]["traits"]["learned"].update(rows=[traits(0.0, 0.4)])),
        ("low_recall", lambda f: f["sample_quality"]["rows"][SAMPLES].update(scores(recall=0.7))),
        ("low_recall", lambda f: f["sample_quality"]["rows"][REAL].update(scores(0.9, 0.4))),
        ("novel_images", lambda f: f["sample_quality"]["memorisation"].update(suspiciously_close=0.02)),
        ("novel_images", lambda f: f["sample_quality"]["memorisation"].update(copied_sets=0.02)),
    ],
)
def test_what_the_control_has_too_is_not_reproduced(facts, by_id, name, change):
    assert (by_id(facts)[name].judgement, by_id(facts)[name].kind) == (REPRODUCED, MEASURED)
    change(facts)
    assert by_id(facts)[name].judgement == DIFFERS


def test_pictures_no_better_than_the_mean_image_decide_nothing(facts, by_id):
    facts["reconstruction"]["learned"] = 16.9
    for name in PICTURES:
        found = by_id(facts)[name]
        assert (found.judgement, found.ours) == (UNDECIDED, "–")
        assert "reconstructions have 16.9 dB, the mean training image 14.0 dB" in found.why


def test_drawn_tokens_stand_beside_learned_ones(facts, by_id):
    same = {name: facts["interpolation"][name] for name in ("apart", "untrained_apart", "smoothness", "spread")}
    same["plausibility"] = facts["interpolation"]["plausibility"] | {"half_way": 30.0, "nearer": 0.3}
    facts["interpolation"]["drawn"] = same
    found = by_id(facts)
    assert found["interpolation"].variant == "reproduced: largest step 10% of the way (untrained: 200%)"
    said = "half way, 30% are nearer to a real face than their cross-fade (distances: 30.0, ends 24.5)"
    assert found["plausible_paths"].variant == f"differs: {said} (a coin: 50%; cross-fade half way: 27.5)"
    assert found["plausible_paths"].judgement == REPRODUCED
    del facts["reconstruction"]["drawn"]
    assert by_id(facts)["interpolation"].variant == "–"


def test_smooth_is_what_the_sampler_calls_so():
    assert pictures.SMOOTH == SMOOTH_STEP


def test_a_share_that_a_coin_gives_decides_nothing_about_paths(facts, by_id):
    """Of 400 pairs, 200 ± 20 is within two standard errors."""
    for nearer, judgement in ((0.45, UNDECIDED), (0.5475, UNDECIDED), (0.5525, REPRODUCED), (0.4475, DIFFERS)):
        facts["interpolation"]["plausibility"]["nearer"] = nearer
        assert by_id(facts)["plausible_paths"].judgement == judgement, nearer


def test_what_cross_fades_show_too_does_not_come_from_recombining(facts, by_id):
    """Glasses in 18% of the cross-fades are an error of reading, not of the samples."""
    rows = facts["interpolation"]["traits"]["learned"]["rows"]
    rows[:] = [traits(0.2, 0.0), traits(0.18, 0.0, "cross-fade")]
    assert by_id(facts)["shared_traits"].judgement == REPRODUCED
    rows[:] = [traits(0.4, 0.0), traits(0.18, 0.0, "cross-fade")]
    assert by_id(facts)["shared_traits"].judgement == DIFFERS


def test_traits_that_only_learned_tokens_show_leave_drawn_ones_undecided(facts, by_id):
    learned = [traits(0.45, 0.05), traits(0.4, 0.0) | {"attribute": "curly_hair"}]
    drawn = [traits(0.003, 0.0)]
    facts["interpolation"]["traits"] = {"learned": {"rows": learned}, "drawn": {"rows": drawn}}
    said = by_id(facts)["shared_traits"].variant
    assert said.startswith("not decided by this run, since its pictures do not show curly hair: 0% of possible")
    drawn.append(traits(0.003, 0.0) | {"attribute": "curly_hair"})
    assert by_id(facts)["shared_traits"].variant.startswith("reproduced: ")
    drawn[:] = [traits(0.4, 0.0)]
    assert by_id(facts)["shared_traits"].variant.startswith("differs: "), "one that fails is enough"


def test_traits_from_nowhere_are_named_with_their_control(facts, by_id):
    rows = [traits(0.45, 0.05), traits(0.01, 0.0, "slot by slot"), traits(0.031, 0.02, "cross-fade")]
    facts["interpolation"]["traits"] = {"learned": {"rows": rows}, "drawn": {"rows": [traits(0.24, 0.03)]}}
    found = by_id(facts)["shared_traits"]
    assert found.ours == "45% of possible traits come from nowhere, 5% of shared ones are lost"
    assert found.control == "errors on reconstructions: 0.2% and 1.0%; cross-fades: 3.1% and 2.0%"
    assert "Worst: beard: 45% of 2,666 samples have it and neither parent has (0.2%; cross-fades 3.1%)." in found.why
    assert found.why.endswith("slot by slot: 1% and 0%.")
    assert found.variant.startswith("differs: 24% of possible traits come from nowhere, 3% of shared ones are lost")


def test_how_far_codes_reach_before_training_is_said(facts, by_id):
    assert "Before training" not in by_id(facts)["global_codes"].why
    facts["interpolation"]["spread"]["untrained"] = 0.68
    assert by_id(facts)["global_codes"].why.endswith("68%: it comes with the architecture, and training narrows it.")


def test_few_samples_with_an_error_are_within_the_error_bars(facts, by_id):
    few = traits(0.0, 0.3) | {"both": 10}
    facts["interpolation"]["traits"]["learned"]["rows"] = [few]
    assert by_id(facts)["shared_traits"].judgement == REPRODUCED
    facts["interpolation"]["traits"]["learned"]["rows"] = [few | {"both": 1000}]
    assert by_id(facts)["shared_traits"].judgement == DIFFERS
    facts["interpolation"]["traits"]["learned"]["rows"] = [few | {"gained": None, "lost": None, "both": 0}]
    assert by_id(facts)["shared_traits"].judgement == UNDECIDED, "nothing to count"


def test_scores_of_the_papers_own_experiment_are_judged(facts, by_id):
    facts["config"] = load_config("celeba64")
    facts["sample_quality"]["rows"][SAMPLES] |= {"distance": 79.0, "precision (k=3)": 0.5}
    assert by_id(facts)["celeba_fid"].judgement == NEEDS_SCALE, "not in other features"
    facts["sample_quality"]["distance_name"] = "FID"
    judged = by_id(facts)
    assert judged["celeba_fid"].judgement == REPRODUCED, "73.2 and less than a tenth more"
    assert judged["celeba_precision"].judgement == DIFFERS, "0.58, and more than a tenth less"
    assert judged["celeba_precision"].control == "real held-out images: 0.9"
    assert judged["ffhq_fid"].judgement == judged["celebahq_fid"].judgement == NEEDS_SCALE
    assert judged["competitive"].ours == "precision, coverage" and judged["competitive"].judgement == REPRODUCED
    facts["sample_quality"]["rows"][SAMPLES] |= {"coverage (k=3)": 0.2}
    assert by_id(facts)["competitive"].judgement == DIFFERS


def test_density_is_judged_on_large_images(facts, by_id):
    facts["config"] = load_config("celebahq256")
    assert by_id(facts)["dense_samples"].judgement == NEEDS_SCALE, "the density is of other features"
    facts["sample_quality"]["distance_name"] = "FID"
    assert by_id(facts)["dense_samples"].judgement == DIFFERS
    facts["sample_quality"]["rows"][SAMPLES]["density (k=3)"] = 1.5
    assert by_id(facts)["dense_samples"].judgement == REPRODUCED


def test_scores_on_other_data_are_never_shown_beside_the_papers(facts, by_id):
    rows = [row for row in by_id(facts).values() if row.where == "Table 3" and row.kind == MEASURED]
    assert len(rows) == 15 and {(row.judgement, row.ours, row.control) for row in rows} == {(NEEDS_SCALE, "–", "–")}
    facts["sample_quality"]["rows"][MADE].update(scores(0.0325))
    assert "even reconstructions of held-out images have precision 0.033" in by_id(facts)["competitive"].why


def test_recall_means_nothing_when_hardly_a_sample_is_real(facts, by_id):
    facts["sample_quality"]["rows"][SAMPLES].update(scores(0.01, 0.0))
    found = by_id(facts)["low_recall"]
    assert found.judgement == UNDECIDED and "Against reconstructions, which leaves out" in found.why


def test_noise_is_new_and_no_novel_image(facts, by_id):
    facts["sample_quality"]["rows"][AMONG_MADE].update(scores(0.02))
    found = by_id(facts)["novel_images"]
    assert found.judgement == UNDECIDED and "new, but hardly images" in found.why
