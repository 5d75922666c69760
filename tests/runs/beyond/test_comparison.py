"""Rows side by side: what a frame takes from them, means and deviations, and when a difference counts."""

import math

import pandas as pd

from pivq.runs.beyond.comparison import (
    SAMPLE_MEASURES,
    better,
    comparison_facts,
    frame_of,
    means,
    seeds_each,
    seeds_in_words,
)

MEASURES = {"psnr": (("psnr",), "PSNR", True), "fd": (("real", "distance"), "FD", False)}


def row(seed: int, psnr: float) -> dict:
    return {"name": "VAE", "seed": seed, "passes": 1, "psnr": psnr, "real": {"distance": 7.0}}


def test_a_frame_has_the_facts_as_they_are_and_nan_for_a_measure_that_is_missing():
    found = frame_of([row(0, 20.0), {"name": "a", "seed": 1, "real": None}], ["passes"], MEASURES)
    assert list(found) == ["name", "seed", "passes", "psnr", "fd"] and found.loc[0].tolist() == ["VAE", 0, 1, 20.0, 7.0]
    assert math.isnan(found.loc[1, "fd"]) and math.isnan(found.loc[1, "psnr"])
    assert list(frame_of([], ["passes"], MEASURES)) == list(found)


def test_samples_are_measured_in_the_same_five_ways_against_both_references():
    by_reference = {of: [path[1] for path, *_ in SAMPLE_MEASURES.values() if path[0] == of] for of in ("real", "own")}
    assert by_reference["real"] == by_reference["own"] == ["distance", "precision", "recall", "density", "coverage"]
    less = {name for name, (*_, more) in SAMPLE_MEASURES.items() if not more}
    assert less == {"l1", "fd_decoder", "fd_real", "fd_own"}


def test_the_stamp_says_how_many_samples_were_compared(tiny_config):
    rows = [{"samples": 10, "device": "cpu"}, {"samples": 1200, "device": "cpu"}]
    found = comparison_facts(rows, tiny_config())
    assert found["protocol"] == "FD and PRDC: 1,200 samples against as many images, k = 3"
    assert found["devices"] == ["cpu"] and comparison_facts([], tiny_config())["devices"] == []


def test_seeds_are_counted_by_line():
    found = pd.DataFrame({"name": ["a", "a", "b"], "seed": [0, 1, 0]})
    assert seeds_in_words(found) == "1 to 2 seeds" and seeds_in_words(found[:2]) == "2 seeds"
    assert seeds_in_words(found[2:]) == "1 seed" and seeds_in_words(found[:0]) == "0 seeds"


def test_means_have_a_deviation_where_there_are_seeds():
    found = frame_of([row(seed, psnr) for seed, psnr in enumerate((20.0, 22.0, 24.0))], ["passes", "bits"], MEASURES)
    line = means(found, ["psnr", "passes", "bits"]).iloc[0]
    assert (line["seeds"], line["psnr"], line["bits"]) == (3, "22.0 ± 2.0", "–")
    alone = means(found[:1], ["psnr", "passes"]).iloc[0]
    assert (alone["seeds"], alone["psnr"], alone["passes"]) == (1, "20", "1")
    small = frame_of([row(seed, l1) for seed, l1 in enumerate((0.031, 0.033))], [], MEASURES)
    assert means(small, ["psnr"]).iloc[0]["psnr"] == "0.0320 ± 0.0014"


def test_a_difference_counts_where_no_seeds_overlap():
    series = pd.Series
    assert better(series([3.0, 4.0]), series([1.0, 2.0]), more=True)
    assert not better(series([3.0, 4.0]), series([1.0, 3.0]), more=True)
    assert better(series([1.0]), series([2.0]), more=False) and not better(series([2.0]), series([2.0]), more=False)
    assert not better(series([math.nan]), series([1.0]), more=True)
    assert not better(series([5.0]), series([math.nan]), more=True)


def test_the_seeds_of_two_lines_are_said_and_one_alone_warned_of():
    two, one = pd.DataFrame({"seed": [0, 1]}), pd.DataFrame({"seed": [0]})
    assert seeds_each(two, two) == "2 seeds each" and seeds_each(two, one).startswith("one seed, so small")
