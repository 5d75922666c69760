"""Table 3 of one model: the rows of both references, and the words that their numbers bear."""

import shutil
from dataclasses import replace

import pytest
import torch
from stand_ins import Colours, make_split

from pivq.data import ImageDataset
from pivq.runs import evaluation, quality
from pivq.runs.evaluation import compare, decoded_features, draw_samples, real_features
from pivq.runs.quality import against_own, fewest_lost, in_words, measure_quality, measure_real
from pivq.storage.paths import results_dir


@pytest.fixture
def run(finished, monkeypatch):
    """Return a finished run whose images are noise, and that wants 20 samples."""

    def load_split(config, name):
        split = make_split(config, name)
        return ImageDataset(split.images, split.ids, "noise", name, fingerprint=f"noise-{name}")

    monkeypatch.setattr(evaluation, "load_split", load_split)
    shutil.rmtree(results_dir("smoke") / "features", ignore_errors=True)
    config = finished[0]["matching"].config
    return replace(finished[0]["matching"], config=replace(config, evaluation=replace(config.evaluation, samples=20)))


@pytest.mark.filterwarnings("ignore:.*balls are empty")
def test_samples_and_reconstructions_are_compared_with_real_images_and_with_own_reconstructions(run):
    network = Colours()
    rows = {(row["method"], row["reference"]): row for row in measure_quality(run, network, "model")}
    made, again = "model: samples", "model: reconstructions"
    fewer = "model: as many samples as held-out images"
    assert set(rows) == {(method, of) for method in (made, again, fewer) for of in ("real", "reconstructions")}
    fakes = {made: decoded_features(run, network, draw_samples(run, 20).codes),
             again: decoded_features(run, network, torch.from_numpy(run.codes("heldout")))}  # fmt: skip
    references = {"real": real_features(run, network),
                  "reconstructions": decoded_features(run, network, torch.from_numpy(run.codes("train")[:20]))}
    for name, reference in references.items():
        for method, scores in compare(reference, fakes, (3, 5)).items():
            row = rows[method, name]
            assert {metric: row[metric] for metric in scores} == scores
            assert (row["samples"], row["reference_images"]) == (len(fakes[method]), len(reference))
    (real,) = measure_real(run, network)
    assert (real["method"], real["samples"], real["reference_images"]) == ("held-out images (real)", 10, 24)


def test_all_images_are_the_reference_of_samples_alone(run, monkeypatch):
    """Held-out images are never compared with themselves."""
    config = replace(run.config, evaluation=replace(run.config.evaluation, reference="all"))
    monkeypatch.setattr(quality, "compare", lambda reference, fakes, ks, device: dict.fromkeys(fakes, {}))
    rows = measure_quality(replace(run, config=config), Colours(), "model")
    sizes = {row["method"]: row["reference_images"] for row in rows if row["reference"] == "real"}
    assert sizes["model: samples"] == 34 and sizes["model: reconstructions"] == 24
    (real,) = measure_real(replace(run, config=config), Colours())
    assert real["reference_images"] == 24


def rows_of(**precision):
    scores = {f"{name} (k=3)": 0.5 for name in ("recall", "density", "coverage")}
    named = [("m: samples", "real", precision["samples"]), ("m: reconstructions", "real", precision["again"]),
             ("held-out images (real)", "real", 0.9), ("m: samples", "reconstructions", 0.3),
             ("m: reconstructions", "reconstructions", 0.92)]  # fmt: skip
    return [{"method": method, "reference": against, "distance": 100 * value, "precision (k=3)": value} | scores
            for method, against, value in named]  # fmt: skip


@pytest.mark.parametrize("samples, again, said", [
    (0.001, 0.02, "says nothing on the samples"), (0.05, 0.5, "hardly any sample is one"),
    (0.6, 0.7, "is below their precision"), (0.4, 0.7, "is not below their precision"),
])  # fmt: skip
def test_nothing_is_said_that_the_numbers_do_not_bear(samples, again, said):
    against_real, own = in_words(rows_of(samples=samples, again=again), ["m"], 3, "FD")
    assert said in against_real and f"have {again:.2g}, the held-out images themselves 0.9" in against_real
    assert "FD 30 instead of 92" in own and "precision 0.30 instead of 0.92" in own


def test_the_model_whose_samples_lose_least_comes_first():
    rows = rows_of(samples=0.5, again=0.5)
    rows += [row | {"method": row["method"].replace("m:", "n:"), "distance": 1.0} for row in rows]
    assert "n 1, m 30" in fewest_lost(rows, ["m", "n"], "FD")


def test_one_model_of_both_quantizers_has_one_row():
    found = {"distance_name": "FD (Colours)", "rows": [
        {"method": "PI-VQ, matching: samples", "reference": "reconstructions", "distance": 8.0, "precision (k=3)": 0.3,
         "recall (k=3)": 0.7},
        {"method": "PI-VQ, matching: samples", "reference": "real", "distance": 9.0},
    ]}  # fmt: skip
    cells = {"samples to own reconstructions: FD": 8.0, "precision, recall": "0.30, 0.70"}
    assert against_own(found, "learned, matching", 3) == against_own(found, "learned, nearest", 3) == cells
    assert set(against_own(found, "drawn, nearest", 3).values()) == {None, "–"}
