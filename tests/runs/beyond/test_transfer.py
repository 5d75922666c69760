"""The rules: each can hold and fail; numbers are means over seeds; the drawn faces are the stored ones."""

import copy
import json
import math

import pytest

from pivq.runs.beyond.transfer import (
    DM,
    DN,
    DOES_NOT,
    FACES,
    FINDINGS,
    HEADLINES,
    HOLDS,
    LM,
    LN,
    MEASURES,
    by_set,
    headline_frame,
    in_percent,
    in_words,
    judge,
    measures_frame,
    stored_faces,
    transfer_table,
    value_at,
)


def distances(samples, reconstructions):
    return {"samples": {"distance": samples}, "reconstructions": {"distance": reconstructions}}


def made_up() -> dict[str, dict]:
    """Return rows by tokens and quantizer for which every finding holds, by the smallest margin worth the name."""
    spread = {"participation": 0.30, "cell": 0.05}
    learned = {
        "psnr": 20.0, "nearest_image": {"psnr": 19.0}, "mean_image": {"psnr": 10.0}, "order": 1e-6,
        "slots": {"dominant_share": 0.95}, "L": 32, "mean_codes_per_image": 30.0, "shared_steps": 100, "steps": 100,
        "against_reconstructions": distances(300.0, 90.0), "near": {"distance": 190.0}, "spread": spread,
        "path": {"largest_step": 0.2, "nearer": 0.39, "pairs": 100, "half_way": 3.0, "cross_fade": 2.0},
        "probing": {"gain": 0.2, "untrained_gain": 0.1},
        "untrained": {"dominant_share": 0.9, "spread": {"participation": 0.5}, "path": {"largest_step": 0.9}},
    }  # fmt: skip
    drawn = {"psnr": 19.4, "L": 64, "mean_codes_per_image": 64.0, "bits_counted_once": 260.0,
             "against_reconstructions": distances(250.0, 90.0)}  # fmt: skip
    nearest = drawn | {"mean_codes_per_image": 31.0, "bits_counted_once": 250.0,
                       "untrained": {"mean_codes_per_image": 60.0}}  # fmt: skip
    return {LM: learned, LN: copy.deepcopy(learned), DM: drawn, DN: nearest}


# Of each finding, in their order: what to change so that it fails.
FAILS = [
    (LM, ("psnr",), 18.9), (LM, ("order",), 0.01), (LM, ("slots", "dominant_share"), 0.85),
    (LN, ("mean_codes_per_image",), 28.0), (LM, ("shared_steps",), 99), (DN, ("mean_codes_per_image",), 33.0),
    (DM, ("bits_counted_once",), 249.0), (DM, ("psnr",), 19.6),
    (LM, ("against_reconstructions", "samples", "distance"), 260.0), (LM, ("near", "distance"), 200.0),
    (DM, ("against_reconstructions", "samples", "distance"), 301.0), (LM, ("spread", "cell"), 0.07),
    (LM, ("path", "largest_step"), 0.95), (LM, ("path", "nearer"), 0.61), (LM, ("probing", "gain"), 0.1),
]  # fmt: skip


@pytest.mark.parametrize(("number", "change"), list(enumerate(FAILS)))
def test_each_rule_can_hold_fail_and_be_unmeasured(number, change):
    finding, (run, path, value) = FINDINGS[number], change
    assert len(FAILS) == len(FINDINGS)
    assert judge(finding, [made_up()]).startswith(HOLDS + ": ")
    rows = made_up()
    place = rows[run]
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert judge(finding, [rows]).startswith(DOES_NOT + ": ")
    assert judge(finding, [made_up(), rows]).startswith("by seed (1 of 2): ")
    place[path[-1]] = None
    assert judge(finding, [rows]) == "not measured" and judge(finding, [rows, made_up()]).startswith(HOLDS)


def test_a_share_that_a_coin_gives_decides_nothing():
    """Of 100 pairs, 40 to 60 are within two standard errors of one half."""
    (middle,) = (finding for finding in FINDINGS if finding.says.startswith("Half way"))
    rows = made_up()
    rows[LM]["path"]["nearer"] = 0.46
    assert judge(middle, [rows]) == "not decided: 46% of 100; distance 3.0, cross-fade 2.0"
    assert judge(middle, [rows, made_up()]).startswith("by seed (1 of 2): ")
    (sentence,) = in_words(labelled(rows, "digits"))
    assert sentence == (
        f"**Digits**: {len(FINDINGS) - 1} of {len(FINDINGS)} findings hold, 4 of them without any training. "
        "1 cannot be decided."
    )


def test_mixtures_of_a_model_that_rebuilds_nothing_are_not_judged():
    """Samples that are all alike are near to reconstructions that are all alike."""
    (mixed,) = (finding for finding in FINDINGS if finding.says == "Drawn tokens mix better")
    rows = made_up()
    rows[DM]["psnr"] = 12.9
    assert judge(mixed, [rows]) == "not decided: 250; learned 300; drawn tokens' PSNR 12.9, mean 10.0"
    rows[DM]["psnr"] = 13.1
    assert judge(mixed, [rows]).startswith(HOLDS)


def test_numbers_of_a_cell_are_means_over_the_seeds():
    other = made_up()
    other[LN]["mean_codes_per_image"] = 32.0
    assert judge(FINDINGS[3], [made_up(), other]) == "holds: 31.0 of 32"


def labelled(rows: dict[str, dict], title: str, seed: int = 0) -> list[dict]:
    names = {name: dict(zip(("tokens", "quantizer"), name.split(", "), strict=True)) for name in rows}
    return [{"title": title, "seed": seed} | names[name] | row for name, row in rows.items()]


def test_tables_have_a_column_or_a_line_for_each_set():
    worse = made_up()
    worse[LM]["psnr"] = 1.0
    rows = [*labelled(made_up(), FACES), *labelled(worse, "digits"), *labelled(made_up(), "digits", 1)]
    assert [len(seeds) for seeds in by_set(rows).values()] == [1, 2]
    table = transfer_table(rows)
    assert list(table.columns) == ["finding", "rule", FACES, "digits"] and len(table) == len(FINDINGS)
    assert table["digits"][0].startswith("by seed") and table[FACES].str.startswith(HOLDS).all()
    (sentence,) = in_words(rows)
    held = f"{len(FINDINGS) - 2} of {len(FINDINGS)} findings hold, 4 of them without any training."
    assert sentence == f"**Digits**: {held}", "two depend on the seed"
    (sentence,) = in_words(labelled(worse, "digits"))
    assert " Not: a model rebuilds pictures that it has not seen; drawn tokens with" in sentence
    worse[LM]["against_reconstructions"] = distances(100.0, 90.0)
    assert "; Algorithm 1's samples" in in_words(labelled(worse, "digits"))[0], "a name keeps its capital"
    frame = headline_frame(rows)
    assert frame["name"].tolist() == [FACES, "digits", "digits"] and frame["seed"].tolist() == [0, 0, 1]
    assert frame["algorithm"][0] == 300 / 90 and frame["drawn"][0] == 31 / 64 and [*HEADLINES] == [*frame.columns[2:]]
    measures = measures_frame(rows[:2])
    assert measures["name"].tolist() == [f"{FACES}: {LM}", f"{FACES}: {LN}"] and [*measures.columns[2:]] == [*MEASURES]
    assert in_percent(measures)["nearer"].tolist() == [39, 39] and in_percent(measures)["psnr"].tolist() == [20, 20]
    assert measures["fd_own"].tolist() == [300, 300] and math.isnan(measures["entropy"][0])


def test_without_rows_there_is_nothing_to_say():
    assert in_words([]) == [] and list(headline_frame([])) == ["name", "seed", *HEADLINES]
    assert list(transfer_table([]).columns) == ["finding", "rule"] and not len(measures_frame([]))


def test_a_number_that_is_not_there_is_nan():
    assert value_at({"a": {"b": 2}}, ("a", "b")) == 2.0
    assert math.isnan(value_at({"a": {"b": None}}, ("a", "b"))) and math.isnan(value_at({"a": None}, ("a", "b")))


def test_the_faces_are_the_stored_numbers(checkout):
    rows = {f"{row['tokens']}, {row['quantizer']}": row for row in stored_faces()}
    found = {path.stem: json.loads(path.read_text()) for path in (checkout / "figures" / "quick").glob("*.json")}
    assert list(rows) == [LN, LM, DN, DM]
    assert rows[DN]["mean_codes_per_image"] == found["capacity"]["drawn"]["nearest"]["mean_codes_per_image"]
    assert rows[LM]["slots"]["entropy_bits"] == found["capacity"]["models"]["matching"]["slot_entropy_bits"]
    samplers = {row["sampler"]: row for row in found["samplers"]["drawn, matching"]}
    assert rows[DM]["against_reconstructions"]["samples"]["distance"] == samplers["Algorithm 1"]["distance"]
    assert rows[LM]["path"]["nearer"] == found["interpolation"]["plausibility"]["nearer"]
    probes = found["probing"]["attributes"]
    gain = sum(row["untrained"] - row["baseline"] for row in probes) / len(probes)
    assert rows[LM]["probing"]["untrained_gain"] == pytest.approx(gain)
    assert "against_real" not in rows[LM] and "near" not in rows[LN]
    cells = transfer_table([*rows.values()])[FACES]
    assert cells[0] == "not measured" and cells[1:].str.startswith(HOLDS).all()
