"""What the rows of the recipes are said to bear, from rows by hand."""

import math

import pandas as pd

from pivq.rivals.recipe.settings import CHANGES, IMPROVED
from pivq.runs.beyond.recipe_findings import MEASURES, helping, helps, recipes_frame, said, target
from pivq.runs.beyond.recipes import LONGER, TOGETHER, USUAL


def lines(name: str, distances: list[float], recalls: list[float], seconds: float = 100.0) -> pd.DataFrame:
    """Return the lines of a variant, a seed each."""
    usual = {"fd_own": 500.0, "psnr": 24.0, "seconds": seconds, "steps": 10 * seconds, "fd_decoder": 475.0}
    return pd.DataFrame([{"name": name, "seed": seed, "fd_real": distance, "recall": recall} | usual
                         for seed, (distance, recall) in enumerate(zip(distances, recalls, strict=True))])  # fmt: skip


def frame(**found: tuple) -> pd.DataFrame:
    """Return lines of the usual recipe, FD 900 to 1000 and recall 0.5 to 0.6, and of others."""
    usual = lines(USUAL, [900, 950, 1000], [0.5, 0.55, 0.6])
    return pd.concat([usual, *[lines(name.replace("_", " "), *of) for name, of in found.items()]], ignore_index=True)


def test_rows_become_lines_and_what_they_lack_is_missing():
    row = {"name": "recombined", "seed": 1, "steps": 10, "l1": 0.1, "real": {"distance": 5.0, "recall": 0.5}}
    (line,) = recipes_frame([row]).to_dict("records")
    assert (line["name"], line["steps"], line["l1"], line["fd_real"], line["recall"]) == ("recombined", 10, 0.1, 5, 0.5)
    assert math.isnan(line["fd_own"]) and set(MEASURES) <= line.keys()
    assert len(recipes_frame([])) == 0


def test_a_change_helps_if_all_seeds_are_nearer_at_a_recall_that_is_not_lower():
    found = frame(recombined=([800, 850, 890], [0.4, 0.5, 0.55]), projected_codes=([800, 850, 905], [0.6] * 3),
                  drawn_tokens=([700, 710, 720], [0.4, 0.45, 0.49]))  # fmt: skip
    assert helps(found, "recombined"), "recalls overlap"
    assert not helps(found, "projected codes"), "one seed is no nearer than the usual recipe's best"
    assert not helps(found, "drawn tokens"), "every recall is below the usual recipe's lowest"
    assert not helps(found, "noisy tokens"), "there are no rows"
    assert helping(found) == ("recombined",)


def test_of_two_values_of_a_setting_the_better_one_is_taken_whatever_their_order():
    for near, far in (("earlier T_q", "later T_q"), ("later T_q", "earlier T_q")):
        found = pd.concat([frame(rotation_trick=([500] * 3, [0.6] * 3)), lines(near, [700] * 3, [0.6] * 3),
                           lines(far, [800] * 3, [0.6] * 3)])  # fmt: skip
        assert helping(found) == ("rotation trick", near)


def test_the_target_needs_half_the_distance_and_no_lower_recall():
    met = frame(together=([450, 475, 500], [0.5, 0.55, 0.6]))
    assert "is met: the FD is 50% of the usual recipe's, the recall 0.55 instead of 0.55" in target(met)
    assert "is not met: the FD is 52%" in target(frame(together=([470, 490, 520], [0.6] * 3)))
    assert "is not met: the FD is 50%" in target(frame(together=([450, 475, 500], [0.5, 0.55, 0.59])))
    longer = pd.concat([met, lines(LONGER, [855] * 3, [0.6] * 3, seconds=150.0)])
    assert "With 1.5 times the steps of the usual recipe, and 1.50 times the seconds, the FD is 90%." in target(longer)
    assert "the usual recipe, the FD is 90%." in target(longer.assign(seconds=math.nan))


def test_sentences_are_of_each_variant_of_the_rule_and_of_the_target():
    found = pd.concat([frame(), lines(LONGER, [890] * 3, [0.6] * 3, 150.0),
                       *[lines(name, [850] * 3 if name == "recombined" else [950] * 3, [0.55] * 3, 130.0)
                         for name in CHANGES if name != USUAL],
                       lines(TOGETHER, [400] * 3, [0.6] * 3, 140.0)])  # fmt: skip
    sentences = said(found)
    assert len(sentences) == 1 + len(CHANGES) + 1 + 2  # floor, each variant but the usual one, rule, target
    by_name = {sentence.partition("**")[2].partition("**")[0]: sentence for sentence in sentences}
    better = "FD to real images 850 instead of 950 (better with all seeds; by seed -50, -100, -150)"
    same = "FD to real images 950 instead of 950 (no clear difference; by seed +50, +0, -50)"
    assert f"helps: {better}" in by_name["recombined"]
    assert "recall 0.55 instead of 0.55 (no clear difference)" in by_name["recombined"]
    assert by_name["recombined"].endswith("(3 seeds each; takes 1.30 times as long).")
    untimed = said(found.assign(seconds=math.nan))
    assert len(untimed) == len(sentences) and not any("nan" in one or "as long" in one for one in untimed)
    assert f"does not help: {same}" in by_name["rotation trick"]
    assert "is a control" in by_name[LONGER]
    assert "one at a time: recombined." in by_name["By the rule"]
    assert f"“improved” has others: {', '.join(IMPROVED)}." in by_name["By the rule"]
    assert "is met" in by_name["The target"]
    assert "have FD 475 to real images, 50% of its samples'." in by_name["The floor"]


def test_only_seeds_that_both_have_are_compared_in_words():
    found = frame(recombined=([890, 940], [0.6] * 2))
    _, sentence = said(found)
    assert "FD to real images 915 instead of 925 (no clear difference; by seed -10, -10)" in sentence
    assert "2 seeds each" in sentence
    _, alone = said(pd.concat([frame(), lines("recombined", [890], [0.6]).assign(seed=7)]))
    assert "FD to real images 890 instead of 950" in alone and "by seed" not in alone


def test_the_rule_is_not_stated_before_every_change_has_rows_and_one_seed_is_said():
    one = frame(recombined=([800], [0.6]))
    _, sentence = said(one[one["seed"] == 0])
    assert "helps" in sentence and "one seed, so small differences mean nothing" in sentence
    assert said(one[one["name"] != USUAL]) == [] and said(recipes_frame([])) == []
