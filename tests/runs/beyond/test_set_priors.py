"""Priors of a run: kept with the codes they are of; bits, samples, in-filling and anomalies by hand where possible."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from stand_ins import Colours

from pivq.capacity import matching_bits
from pivq.data.faces import draw_split
from pivq.metrics import frechet_distance
from pivq.rivals.any_order import at_temperature, draw_sets, leave_one_out_bits, set_bits, tightened
from pivq.rivals.set_prior import PriorSettings, frequencies, train_set_prior
from pivq.runs.beyond import set_priors as module
from pivq.runs.beyond.face_bits import face_bits
from pivq.runs.beyond.samplers import ALGORITHM_1, RECONSTRUCTIONS
from pivq.runs.beyond.set_priors import (
    RECIPE,
    at,
    drawers,
    exchange_one,
    halves,
    has_prior,
    in_words,
    measure_anomalies,
    measure_bits,
    measure_draws,
    measure_filling,
    trained_prior,
)
from pivq.runs.evaluation import decoded_features
from pivq.sampling import sample_pairs
from pivq.usage import best_overlap, code_usage

SMALL = PriorSettings(dim=8, feedforward=8, layers=1, heads=2, steps=3, batch_size=4, warmup_steps=1, validations=3)


@pytest.fixture
def run(finished):
    """Return a finished run that wants 20 samples."""
    config = finished[0]["matching"].config
    return replace(finished[0]["matching"], config=replace(config, evaluation=replace(config.evaluation, samples=20)))


def codes_of(run, split: str) -> torch.Tensor:
    return torch.from_numpy(run.codes(split))


def test_a_prior_is_trained_once_and_kept_for_its_codes_settings_and_seed(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    asked = []
    monkeypatch.setattr(module, "train_set_prior", lambda *given: asked.append(given) or train_set_prior(*given))
    assert not has_prior(run, 0, SMALL)
    first, again = trained_prior(run, 0, SMALL), trained_prior(run, 0, SMALL)
    assert has_prior(run, 0, SMALL) and not has_prior(run, 1, SMALL) and first.seconds == again.seconds > 0
    assert len(asked) == 1 and first.log == again.log and [row["step"] for row in first.log] == [1, 2, 3]
    direct = train_set_prior(codes_of(run, "train"), run.config.model.codebook_size, 0, SMALL, progress=False)
    for name, value in direct.prior.state_dict().items():
        assert torch.equal(value, again.prior.state_dict()[name])
    trained_prior(run, 1, SMALL)
    trained_prior(run, 0, replace(SMALL, steps=2))
    assert len(asked) == 3
    trained_prior(run, 0, SMALL, force=True)
    assert len(asked) == 4, "force trains again"
    (file, *_) = (tmp_path / "results").rglob("prior-*.npz")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.warns(UserWarning, match="the weights of the prior are made again"):
        for seed, settings in ((0, SMALL), (1, SMALL), (0, replace(SMALL, steps=2))):
            trained_prior(run, seed, settings)
    assert len(asked) == 5


def test_a_prior_of_other_codes_is_never_used(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    trained_prior(run, 0, SMALL)
    monkeypatch.setattr(type(run), "codes", lambda self, split: np.tile(np.arange(4), (9, 1)), raising=True)
    trained_prior(run, 0, SMALL)
    assert len(list((tmp_path / "results").rglob("prior-*.npz"))) == 2


def test_bits_begin_with_equation_4_and_frequencies(run):
    size, predict = run.config.model.codebook_size, lambda given: given[:, :1] * torch.linspace(0, 0.1, size)
    frame = measure_bits(run, {"mine": predict}, images=5, orders=3)
    train, heldout = codes_of(run, "train"), codes_of(run, "heldout")
    used = code_usage(train, size).codes_in_use
    assert frame["bits"][0] == matching_bits(used, train.shape[1])
    assert list(zip(frame["predictor"], frame["split"], strict=True))[1:] == [
        ("frequencies", "train"), ("frequencies", "heldout"), ("mine", "train"), ("mine", "heldout"),
        (RECIPE, "train"), (RECIPE, "heldout"),
    ]  # fmt: skip
    drawn = [face_bits(face) for face in draw_split("heldout", 5)]
    row = frame.iloc[-1]
    assert row["bits"] == row["tightened"] == pytest.approx(sum(drawn) / 5) and row["images"] == 5
    assert row["error"] == pytest.approx(np.std(drawn, ddof=1) / 5**0.5)
    of_others = replace(run, config=replace(run.config, dataset="folder", data="pictures"))
    assert RECIPE not in set(measure_bits(of_others, {}, images=5, orders=1)["predictor"]), "nobody knows theirs"
    bits = set_bits(predict, heldout[:5], size, 3)
    row = frame.iloc[-3]
    assert row["bits"] == pytest.approx(float(bits.mean())) and row["images"] == 5
    assert row["tightened"] == pytest.approx(float(tightened(bits).mean()))
    assert row["error"] == pytest.approx(float(bits.mean(dim=1).std()) / 5**0.5)
    known = set_bits(frequencies(train, size), train[:5], size, 3)
    assert frame.iloc[1]["bits"] == pytest.approx(float(known.mean()))


@pytest.mark.filterwarnings("ignore:.*balls are empty")
def test_draws_are_measured_beside_held_out_images(run, monkeypatch):
    monkeypatch.setattr(module, "FEW_PASSES", 2)
    size, network = run.config.model.codebook_size, Colours()
    slope = torch.arange(float(size))
    priors = [lambda given: torch.zeros(len(given), size), lambda given: slope.expand(len(given), -1)]
    train, heldout = codes_of(run, "train"), codes_of(run, "heldout")
    length = train.shape[1]
    frame = measure_draws(run, network, drawers(run, priors, {"pairs alone": priors[1]}), seeds=(0, 1))
    many, few = f"prior, {length} passes", "prior, 2 passes"
    assert frame["sampler"][0] == RECONSTRUCTIONS and {many, few, ALGORITHM_1.name} <= set(frame["sampler"])
    reference = decoded_features(run, network, train[:20])
    expected = {
        (ALGORITHM_1.name, 1): sample_pairs(train, 20, seed=1).codes,
        (many, 1): draw_sets(priors[1], 20, length, size, 1),
        (f"pairs alone, {length} passes", 0): draw_sets(priors[1], 20, length, size, 0),
        (few, 0): draw_sets(priors[0], 20, length, size, 0, passes=2),
        (at(0.9), 1): draw_sets(at_temperature(priors[1], 0.9), 20, length, size, 1),
        (RECONSTRUCTIONS, None): heldout[:20],
    }
    for (name, seed), codes in expected.items():
        rows = frame[frame["sampler"] == name]
        row = rows.iloc[0] if seed is None else rows[rows["seed"] == seed].iloc[0]
        assert row["distance"] == frechet_distance(real=reference, fake=decoded_features(run, network, codes))
        assert row["new"] == (length - best_overlap(codes, train, size)).mean()


def test_halves_are_half_of_each_set():
    codes = torch.stack([torch.randperm(9)[:5] for _ in range(20)])
    half = halves(codes, seed=3)
    assert half.shape == (20, 2) and all(set(a) < set(b) for a, b in zip(half.tolist(), codes.tolist(), strict=True))
    assert torch.equal(half, halves(codes, seed=3)) and len({*map(tuple, (half == codes[:, :2]).tolist())}) > 1


@pytest.mark.filterwarnings("ignore:std")  # of one image
def test_a_predictor_that_knows_the_set_fills_it_in(run):
    heldout, size = codes_of(run, "heldout")[:6], run.config.model.codebook_size
    length = heldout.shape[1]

    def knows(given: torch.Tensor) -> torch.Tensor:
        overlap = (given[:, :, None] == heldout.flatten()).any(dim=1).reshape(len(given), -1, length).sum(dim=2)
        return 50.0 * torch.zeros(len(given), size).scatter(1, heldout[overlap.argmax(dim=1)], 1.0)

    frame = measure_filling(run, {"knows": knows}, images=6).set_index("predictor")
    assert frame.loc["knows", "recovered"] > frame.loc["frequencies", "recovered"]
    full = measure_filling(run, {"knows": knows}, images=1).set_index("predictor")
    assert full.loc["knows", "recovered"] == 1


def test_one_code_is_exchanged_for_one_of_its_group_that_other_images_have():
    pool = np.array([[0, 2, 4], [1, 2, 5], [1, 3, 5]])
    groups = np.array([0, 0, 1, 1, 2, 2])
    for seed in range(5):
        changed, places = exchange_one(pool, pool, groups, seed)
        differs = changed != pool
        assert (differs.sum(axis=1) == 1).all() and (differs.argmax(axis=1) == places).all()
        assert (groups[changed] == groups[pool]).all() and not np.array_equal(changed, pool)
    changed, _ = exchange_one(pool, pool, np.zeros(6, dtype=int), 0)
    assert all(len(set(row)) == 3 for row in changed.tolist())
    with pytest.raises(ValueError, match="image 0 has no code"):
        exchange_one(pool[:1], pool[:1], groups, 0)


def test_anomalies_are_scored_by_the_most_surprising_code(run):
    size = run.config.model.codebook_size
    flat = {"flat": lambda given: torch.zeros(len(given), size)}
    frame = measure_anomalies(run, flat, images=8)
    assert list(frame["exchanged"].unique()) == ["an alternative", "any code"] and len(frame) == 4
    rows = frame[frame["predictor"] == "flat"]
    assert rows["auroc"].tolist() == [0.5, 0.5], "nothing surprises a predictor without preferences"
    train, codes = run.codes("train"), run.codes("heldout")[:8]
    changed, places = exchange_one(codes, train, np.zeros(size, dtype=int), 0)
    bits = leave_one_out_bits(frequencies(torch.from_numpy(train), size), torch.from_numpy(changed), size)
    row = frame[(frame["predictor"] == "frequencies") & (frame["exchanged"] == "any code")].iloc[0]
    assert row["found"] == (bits.argmax(dim=1).numpy() == places).mean()


def test_sentences_have_the_numbers():
    bits = pd.DataFrame(
        [("Eq. (4)", "any", 168.0), ("frequencies", "train", 140.0), ("frequencies", "heldout", 141.0),
         ("prior", "train", 30.0), ("prior", "heldout", 31.0), ("pairs alone", "heldout", 33.0),
         (RECIPE, "heldout", 26.0)], columns=["predictor", "split", "tightened"],
    )  # fmt: skip
    draws = pd.DataFrame(
        [(RECONSTRUCTIONS, 45, 0.92), (ALGORITHM_1.name, 800, 0.7), ("group by group, 20 near", 57, 0.8),
         ("prior, 32 passes", 60, 0.75), (at(0.9), 54, 0.77), ("prior, 4 passes", 90, 0.6),
         ("pairs alone, 32 passes", 110, 0.5)],
        columns=["sampler", "distance", "recall"],
    ).assign(precision=0.9, new=3.0, copies=0.25)  # fmt: skip
    filling = pd.DataFrame({"predictor": ["frequencies", "prior", "pairs alone"], "recovered": [0.1, 0.8, 0.7]})
    anomalies = pd.DataFrame({"exchanged": "an alternative", "predictor": ["frequencies", "prior", "pairs alone"],
                              "auroc": [0.6, 0.95, 0.9], "found": [0.2, 0.9, 0.8]})  # fmt: skip
    told = in_words(bits, draws, filling, anomalies)
    assert "31.0 of 168.0 bits" in told[0] and "frequencies 141.0" in told[0] and "images take 30.0" in told[0]
    assert "is 60" in told[1] and "57" in told[1] and "not below" in told[1] and "at least" in told[1]
    assert "pairs alone need 33.0" in told[0] and "have 26.0 bits" in told[0] and "pairs alone lie 110" in told[1]
    assert "At a temperature of 0.9 it is 54, with a recall of 0.77 and 3.0 new codes." in told[1]
    assert "80%" in told[2] and "70%" in told[2] and all(number in told[3] for number in ("0.95", "0.90", "0.60"))
    told = in_words(bits[bits["predictor"] != RECIPE], draws[:-1], filling, anomalies)
    assert "choices" not in told[0] and "pairs" not in told[1], "what was not measured is not said"
