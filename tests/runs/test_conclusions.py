"""Conclusions of the study: each sentence turns with the numbers, and is missing where they are."""

import re

import pandas as pd
import pytest
from stand_ins import study_row

from pivq.runs.competition import stored_study
from pivq.runs.conclusions import LONG, before_and_after, bullets, conclusions
from pivq.runs.findings import RANDOM, study_frame


def pair(near: dict, match: dict, **both) -> list[dict]:
    match = {"mean_codes_per_image": both.get("L", 64)} | match
    return [study_row(quantizer="nearest", **both, **near), study_row(quantizer="matching", **both, **match)]


def said(*rows: dict) -> dict[str, str]:
    return conclusions(study_frame(rows))


def learned(**values) -> dict:
    row = {"variation": "learned", "tokens": "learned", "mean_codes_per_image": 64.0, "codes_per_image": 64}
    return study_row(**row | values)


def test_learned_tokens_repeat_codes_or_do_not():
    assert said(learned(), learned(L=32, mean_codes_per_image=32.0))["learned"] == (
        "With the paper's learned tokens, nearest quantization repeats no code in any of 2 runs (L = 32, 64): every "
        "image has L different codes, and matching has nothing to decide."
    )
    found = said(learned(), learned(steps=6000, mean_codes_per_image=32.0))["learned"]
    assert "repeats codes in 1 of 2 runs" in found and "50.0% of an image's codes" in found
    assert "learned" not in said(learned(token_spread=0.02), learned(tokens="noisy")), "those are not the paper's"


def test_drawn_tokens_are_told_with_all_seeds():
    rows = [study_row(seed=seed, mean_codes_per_image=mean) for seed, mean in enumerate([18.3, 23.4, 20.2])]
    found = said(*rows)["drawn"]
    assert "in 3 of 3 runs" in found and "18.3, 23.4 and 20.2 codes of 64" in found and "(3 seeds)" in found
    assert "in 0 of 1 runs" in said(study_row(mean_codes_per_image=64.0))["drawn"]


@pytest.mark.parametrize("history, text", [
    ({"801": 42.0, "2000": 20.0, "6000": 12.0}, "falls as long as the model is trained: 42.0"),
    ({"801": 42.0, "2000": 20.0, "6000": 30.0}, "does not fall all the time"),
    ({"801": 42.0, "2000": 50.0, "6000": 60.0}, "does not fall all the time"),
])  # fmt: skip
def test_collapse_is_learned_only_if_it_goes_on(history, text):
    found = said(study_row(variation=LONG, steps=6000, history=history))["steps"]
    assert text in found and ("The collapse is learned" in found) == ("falls as long" in text)


def test_length_is_told_at_one_codebook_size():
    rows = [study_row(L=length, mean_codes_per_image=mean) for length, mean in ((32, 16.0), (256, 51.2))]
    found = said(*rows, study_row(L=512, K=1024, codes_per_image=128))["lengths"]
    assert "(K = 512), an image's different codes go from 16.0 to 51.2, from 50% to 20% of L: a smaller" in found
    assert "at most 49 of 512 (10%)" in found and "K = 1,024, 2,000 steps) has at most 128 (25%)" in found
    assert "no smaller share" in said(study_row(L=32), study_row(L=128, mean_codes_per_image=120.0))["lengths"]


@pytest.mark.parametrize("first, second, text", [
    (21.0, 21.5, "costs PSNR in all 2 pairs of runs: 0.50 to 1.00 dB"),
    (23.0, 23.0, "costs no PSNR: it has more in all 2 pairs"),
    (21.0, 23.0, "costs PSNR in 1 of 2 pairs of runs; nearest minus matching is -1.00 to 1.00 dB"),
])  # fmt: skip
def test_cost_of_matching(first, second, text):
    rows = pair({"psnr": 22.0}, {"psnr": first}) + pair({"psnr": 22.0}, {"psnr": second}, seed=1)
    assert text in said(*rows)["quality"]


@pytest.mark.parametrize("later, text", [(21.0, "has not passed"), (21.9, "has become smaller"), (22.5, "has passed")])
def test_cost_after_longer_training(later, text):
    rows = pair({"psnr": 22.0}, {"psnr": 21.0}) + pair({"psnr": 22.0}, {"psnr": later}, variation=LONG, steps=6000)
    assert f"The cost {text} after 6,000 steps (one seed)" in said(*rows)["longer"]
    assert "longer" not in said(*rows[2:]), "there is nothing to compare it with"


def test_capacity_counts_the_pairs_in_which_matching_holds_more():
    rows = pair({"bits_counted_once": 200.0, "bits_equation_2": 250.0}, {"bits_counted_once": 300.0})
    rows += pair({"bits_counted_once": 200.0, "bits_equation_2": 250.0}, {"bits_counted_once": 100.0}, L=32)
    found = said(*rows)["capacity"]
    assert "in 1 of 2 pairs, 0.50 to 1.50 times as much; by Eqs. (4) and (2) 0.40 to 1.20 times" in found
    assert "The most is at L = 64" in found


@pytest.mark.parametrize("matching, text", [
    ([200, 400, 400], "Matching is better with 1 of 3 seeds: neither wins consistently. The first seed alone would "
     "have shown matching's samples"),
    ([400, 200, 200], "better with 2 of 3 seeds: neither wins consistently. The first seed alone would have shown "
     "nearest's samples"),
    ([200, 200, 200], "Matching is better with each of the 3 seeds."),
    ([400, 400, 400], "Nearest is better with each of the 3 seeds."),
    ([200, 200], "Fewer than three seeds decide nothing."),
])  # fmt: skip
def test_samples_are_judged_by_all_seeds(matching, text):
    rows = [row for seed, value in enumerate(matching)
            for row in pair({"distance": 300.0}, {"distance": float(value)}, seed=seed)]  # fmt: skip
    assert text in said(*rows)["samples"]


def test_distances_to_real_images_stand_beside_those_to_reconstructions():
    rows = pair({"distance": 300.0}, {"distance": 200.0})
    assert "real images" not in said(*rows)["samples"], "an earlier version did not measure them"
    for row, value in zip(rows, (912.0, 989.0), strict=True):
        row["against_real"] = {"samples": {"distance": value}}
    told = said(*rows)["samples"]
    assert told.endswith("FD to real images, which counts what decoding costs, too: nearest 912, matching 989.")


def test_samples_of_both_kinds_of_tokens_are_told_with_their_psnr():
    assert "are nearer to" in said(study_row(distance=300.0), learned(distance=800.0))["decoders"]
    found = said(study_row(distance=900.0, psnr=20.0), learned(distance=800.0, psnr=24.0))["decoders"]
    assert "are not all nearer to" in found and "(20.0 against 24.0 dB)" in found


def test_traits_and_probes_are_told_by_kind():
    def traits(gained):
        return [{"sampler": "Algorithm 1", "attribute": "bald", "gained": gained, "neither": 100, "lost": 0.1,
                 "both": 50, "false_alarms": 0.01, "misses": 0.02}]  # fmt: skip

    rows = pair({"probe_gain": 0.1, "traits": traits(0.03)}, {"probe_gain": 0.08, "traits": traits(0.02)})
    found = said(*rows, learned(probe_gain=0.15, traits=traits(0.2)))
    most = "most come from nowhere with learned tokens: 19.0% on average, where the others have 1.0% to 2.0%"
    assert most in found["traits"]
    assert "Probes gain 15.0 points" in found["probing"] and "in 1 of 1 pairs" in found["probing"]
    found = said(*rows, learned(traits=traits(0.0)))["traits"]
    assert "most come from nowhere with drawn tokens, nearest: 2.0%" in found


def test_draw_codebook_and_other_tokens():
    rows = [study_row(draw_codes=0.6, draw_pixels=0.01, l1=0.04)]
    rows += [study_row(variation=RANDOM, psnr=16.5, codes_in_use=70)]
    found = said(*rows, study_row(variation="learned plus noise", tokens="noisy", mean_codes_per_image=50.0))
    assert "nearest keeps 60% of the codes, and its pictures change by 25% of their error" in found["draws"]
    assert "with nearest 16.5 dB and 70 codes in use, where a fitted one has 22.0 dB and 500" in found["codebook"]
    assert "learned plus noise: 50.0 of 64 codes are different with nearest" in found["others"]
    assert "codebook" not in said(rows[1]), "no fitted one to compare it with"
    collapsed = said(rows[0], study_row(variation=RANDOM, codes_in_use=1))["codebook"]
    assert "and 1 code in use, where" in collapsed


def test_the_whole_is_said_only_if_it_is_so():
    assert "do not go together in our models" in said(learned(), study_row())["whole"]
    found = said(learned(mean_codes_per_image=30.0), study_row())["whole"]
    assert found == "Nearest quantization repeats codes in 1 of 1 with learned tokens, 1 of 1 with drawn tokens."


@pytest.mark.parametrize("before, after, text", [
    (64.0, 64.0, "These latents do not compete, and did not before training."),
    (64.0, 20.0, "Training makes these latents compete."),
    (50.0, 64.0, "compete before training, and training ends it"),
    (60.0, 20.0, "before training, and more after"), (20.0, 40.0, "and less after"), (20.0, 20.0, "and as much after"),
])  # fmt: skip
def test_training_is_compared_with_the_untrained_model(before, after, text):
    rows = [{"model": f"drawn, {when}", "L": 64, "token": 0.995, "mean_codes_per_image_drawn": codes,
             "draw_codes": kept}
            for when, codes, kept in (("untrained", before, 0.125), ("nearest", after, 0.64))]  # fmt: skip
    found = before_and_after(pd.DataFrame(rows))
    assert text in found and "99.5% of the variance" in found and "keeps 12% of its codes before and 64% after" in found
    rows = [row | {"model": row["model"].replace("drawn", "learned"), "draw_codes": 1.0} for row in rows]
    assert "other tokens" not in before_and_after(pd.DataFrame(rows))


def test_stored_rows_say_something_of_everything_and_the_readme_says_the_same(checkout):
    found = conclusions(study_frame(stored_study()))
    for name in ("learned", "drawn", "steps", "lengths", "quality", "longer", "capacity", "samples", "decoders",
                 "traits", "probing", "draws", "whole"):  # fmt: skip
        assert found[name], name
    readme = (checkout / "README.md").read_text()
    shown = re.search("<!-- study -->\n(.*)\n<!-- /study -->", readme)[1]
    assert shown == " ".join(found[name] for name in ("learned", "drawn", "quality", "samples"))


def test_nothing_is_said_of_rows_that_are_missing():
    assert said(study_row(quantizer="matching", tokens="noisy", variation="x")) == {}
    assert bullets({"steps": "It falls."}, "steps", "lengths") == "- It falls."
    assert bullets({}, "steps") == "The stored runs do not show this."
