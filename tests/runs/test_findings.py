"""The study's rows as a frame, in tables and in pairs."""

import math

import pandas as pd
import pytest
from stand_ins import study_row

from pivq.runs.competition import stored_study
from pivq.runs.findings import RANDOM, common_attributes, pairs, repeated, spread, study_frame, study_tables


def trait(name: str, gained: float, misread: float) -> dict:
    return {"sampler": "Algorithm 1", "attribute": name, "gained": gained, "neither": 10, "lost": None, "both": 0,
            "false_alarms": misread, "misses": None}  # fmt: skip


def test_all_rows_count_the_same_traits():
    beard, bald = trait("beard", 0.9, 0.1), trait("bald", 0.2, 0.05)
    rows = [
        study_row(traits=[beard, bald]), study_row(quantizer="matching", traits=[bald]),
        study_row(variation=RANDOM, traits=[beard]), study_row(seed=1),
    ]  # fmt: skip
    assert common_attributes(rows) == ["bald"]
    frame = study_frame(rows)
    assert frame["gained"].tolist()[:2] == [0.2, 0.2] and frame["gained_reading"].tolist()[:2] == [0.05, 0.05]
    assert frame["gained"].isna().tolist() == [False, False, True, True]
    assert frame["lost"].isna().all(), "there was nothing to lose"


def test_frame_has_samples_and_history():
    row = study_frame([study_row(distance=321.5, history={"801": 40.0, "1800": 20.5})]).iloc[0]
    assert (row["distance"], row["precision"], row["recall"]) == (321.5, 0.5, 0.75)
    assert row["history"] == {801: 40.0, 1800: 20.5} and math.isnan(row["probe"])


@pytest.mark.parametrize("values, digits, unit, text", [
    ([1.25, 2.75, None], 1, "", "2.0 (1.2–2.8)"), ([0.5], 0, "%", "50%"), ([1.01, 1.02], 1, "", "1.0"),
    ([], 1, "", "–"),
])  # fmt: skip
def test_cells_have_mean_and_range(values, digits, unit, text):
    assert spread(pd.Series(values, dtype=float), digits, unit) == text


def test_tables_put_seeds_together_and_name_the_device():
    rows = [study_row(seed=seed, psnr=psnr) for seed, psnr in enumerate([21.0, 22.0, 24.5])]
    rows += [study_row(quantizer="matching", device="CPU", bits_counted_once=None)]
    codes, samples = study_tables(study_frame(rows))
    assert codes["PSNR (dB)"].tolist() == ["22.5 (21.0–24.5)", "22.0"] and codes["seeds"].tolist() == [3, 1]
    assert codes["device"].tolist() == ["NVIDIA H200", "CPU"]
    assert codes["bits, Eq. (2) / (4)"].tolist() == ["230", "–"], "Eq. (4) of matching"
    assert samples["quantizer"].tolist() == ["nearest", "matching"] and len(samples) == 2


def test_pairs_are_runs_that_compete():
    rows = [study_row(quantizer=quantizer, **which) for quantizer in ("nearest", "matching")
            for which in ({}, {"variation": RANDOM}, {"seed": 1, "mean_codes_per_image": 63.9})]  # fmt: skip
    rows += [study_row(seed=2)]
    both = pairs(study_frame(rows))
    assert both["seed"].tolist() == [0] and both["variation"].tolist() == ["drawn"]
    assert {"psnr nearest", "psnr matching", "mean nearest"} <= {*both.columns}


def test_repeated_are_the_rows_with_the_most_seeds():
    rows = [study_row(L=512), study_row(seed=2), study_row(seed=1), study_row(variation="learned", seed=3)]
    found = repeated(study_frame(rows))
    assert found["L"].tolist() == [64, 64] and found["seed"].tolist() == [1, 2]
    assert not len(repeated(study_frame(rows), "noisy"))


def test_stored_rows_make_a_frame():
    rows = stored_study()
    frame = study_frame(rows)
    assert len(frame) == len(rows) and frame["distance"].notna().all()
    assert len(repeated(frame)) >= 6 and common_attributes(rows)
