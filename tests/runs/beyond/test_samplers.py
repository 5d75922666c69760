"""Samplers beside Algorithm 1: which there are, what is counted, and what the sentences say."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from stand_ins import Colours, make_split

from pivq.data import ImageDataset
from pivq.metrics import frechet_distance, prdc
from pivq.runs.beyond import samplers as module
from pivq.runs.beyond.samplers import (
    ALGORITHM_1,
    NEAR,
    RECONSTRUCTIONS,
    Sampler,
    draw,
    empty_balls_in_words,
    group_sizes,
    measure_samplers,
    over_seeds,
    said,
    samplers,
)
from pivq.runs.evaluation import decoded_features
from pivq.sampling import sample_pairs
from pivq.usage import best_overlap, exchange_groups, near_images


@pytest.fixture
def run(finished):
    """Return a finished run that wants 20 samples."""
    config = finished[0]["matching"].config
    return replace(finished[0]["matching"], config=replace(config, evaluation=replace(config.evaluation, samples=20)))


def test_the_first_sampler_is_algorithm_1_and_small_data_have_no_near_images():
    assert samplers(8000)[0] == ALGORITHM_1 and ALGORITHM_1.name == "Algorithm 1"
    assert [way.name for way in samplers(8000)][1:4] == ["group by group", "code by code, 500 near",
                                                         "group by group, 500 near"]  # fmt: skip
    assert NEAR.among(8000) == NEAR and ALGORITHM_1.among(2) == ALGORITHM_1
    assert NEAR.among(21) == Sampler(10, by_group=True), "20 of 20 others are no choice"
    assert {way.partners for way in samplers(100)} == {0, 20} and {way.partners for way in samplers(21)} == {0}


def test_samples_are_those_of_their_parts():
    codes = torch.from_numpy(np.random.default_rng(0).random((60, 20)).argsort(axis=1)[:, :5])
    assert torch.equal(draw(codes, 20, ALGORITHM_1, 30, seed=4).codes, sample_pairs(codes, 30, seed=4).codes)
    near, groups = (torch.from_numpy(part) for part in (near_images(codes, 20, 7), exchange_groups(codes, 20)))
    expected = sample_pairs(codes, 30, seed=4, groups=groups, partners=near)
    assert torch.equal(draw(codes, 20, Sampler(7, by_group=True), 30, seed=4).codes, expected.codes)


def test_empty_balls_are_said_once_and_other_warnings_stay():
    with pytest.warns(UserWarning, match="another matter") as kept, empty_balls_in_words() as sentences:
        for _ in range(2):
            prdc(real=np.zeros((4, 2)), fake=np.eye(4, 2), k=1)
        warnings.warn("another matter", stacklevel=1)
    assert len(sentences) == len(kept) == 1 and "lowers precision" in sentences[0]
    with empty_balls_in_words() as sentences:
        prdc(real=np.eye(4), fake=np.eye(4), k=1)
    assert sentences == []


def test_group_sizes_by_hand():
    sizes = group_sizes(np.array([[0, 1, 4], [0, 2, 4]]), np.array([0, 0, 1, 1, 2]))
    assert sizes == {"no code": pytest.approx(1 / 6), "one code": pytest.approx(4 / 6), "more": pytest.approx(1 / 6)}


@pytest.mark.filterwarnings("ignore:.*balls are empty")
def test_rows_have_distance_and_novelty_of_each_sampler_and_of_held_out_images(run, monkeypatch):
    monkeypatch.setattr(module, "PARTNERS", (0, 4))
    network, config = Colours(), run.config
    made = {name: make_split(config, name) for name in ("train", "heldout")}
    splits = [ImageDataset(split.images, split.ids, "noise", name, fingerprint=name) for name, split in made.items()]
    frame = measure_samplers(run, network, *splits, seeds=(3, 5))
    assert len(frame) == 1 + 4 * 2 and frame["sampler"][0] == RECONSTRUCTIONS
    codes = {split: torch.from_numpy(run.codes(split)) for split in ("train", "heldout")}
    reference = decoded_features(run, network, codes["train"])[:20]
    size, length = config.model.codebook_size, codes["train"].shape[1]
    drawn = {RECONSTRUCTIONS: codes["heldout"], "Algorithm 1": sample_pairs(codes["train"], 20, seed=3).codes}
    for name, made in drawn.items():
        row = frame[frame["sampler"] == name].iloc[0]
        new = length - best_overlap(made, codes["train"], size)
        assert row["distance"] == frechet_distance(real=reference, fake=decoded_features(run, network, made))
        assert (row["new"], row["copies"]) == (new.mean(), (new == 0).mean())


def row(sampler: str, distance: float, **more: float) -> dict:
    return {"sampler": sampler, "distance": distance, "precision": 0.5, "recall": 0.5, "new": 2.0, "copies": 0.1} | more


def test_sentences_name_the_nearest_sampler_beside_algorithm_1_and_the_control():
    rows = [row(RECONSTRUCTIONS, 47), row("Algorithm 1", 700, new=12.0, gained=0.2, lost=0.1, seed=0),
            row("Algorithm 1", 800, new=13.0, gained=0.2, lost=0.1, seed=1),
            row("group by group", 640, gained=0.1, lost=0.1, seed=0),
            row("group by group, 20 near", 57, precision=0.86, gained=0.01, lost=0.02, seed=0)]  # fmt: skip
    means = over_seeds(pd.DataFrame(rows))
    assert means.set_index("sampler").loc["Algorithm 1", ["distance", "new"]].tolist() == [750, 12.5]
    told = said(means)
    assert "lies 750 from" in told[0] and "images lie 47" in told[0] and "it is 640" in told[0]
    assert told[1].startswith("**Group by group, 20 near** comes nearest: 57, precision 0.86")
    assert "of Algorithm 1's 12.5" in told[2] and told[3].startswith("**Traits.** 1.0% of the traits")
    assert len(said(means.drop(columns=["gained", "lost"]))) == 3
