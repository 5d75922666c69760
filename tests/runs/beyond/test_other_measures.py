"""What a row holds, checked against the run itself; controls by hand; the pictures that are kept."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stand_ins import Colours, Perceptual

from pivq.inference import encode_images
from pivq.probing import pixel_statistics, probe
from pivq.runs import branching
from pivq.runs.beyond import other_measures, other_sets, rivalry
from pivq.runs.beyond.other_measures import SHOWN, controls, keep_pictures, kept_pictures, measure, pictures_file
from pivq.runs.splits import load_splits
from pivq.runs.training import train
from pivq.runs.untrained import untrained_model
from pivq.usage import slot_usage

# Images of a hardly trained model are alike.
pytestmark = [pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning"),
              pytest.mark.filterwarnings("ignore::pivq.metrics.neighbours.EmptyBallsWarning")]  # fmt: skip


def grey(*levels: int) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4).contiguous()


def test_controls_are_the_mean_and_the_nearest_image():
    found = controls(grey(0, 100, 200), grey(90, 250))
    assert found["mean_image"]["l1"] == pytest.approx((10 + 150) / 2 / 255)
    assert found["nearest_image"]["l1"] == pytest.approx((10 + 50) / 2 / 255)
    error = np.array([10, 50]) / 255
    assert found["nearest_image"]["psnr"] == pytest.approx(float((-20 * np.log10(error)).mean()), rel=1e-4)


def test_the_nearest_image_is_that_of_the_least_squares():
    near, far = grey(0, 0)
    far = far.clone()
    near = near + 60  # 60 everywhere against 200 in a quarter: the sum of squares is less, the sum of errors is more
    far[:, :2, :2] = 200
    found = controls(torch.stack([near, far]), grey(0))["nearest_image"]
    assert found["l1"] == pytest.approx(60 / 255)


@pytest.fixture(scope="module")
def runs(tiny_config, tmp_path_factory):
    """Return tiny runs of both quantizers on digits, with labels; `PIVQ_ROOT` leads to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIVQ_ROOT", str(tmp_path_factory.mktemp("root")))
        patch.setitem(other_sets.MAKERS, "digits", lambda: itertools.islice(other_sets.draw_digits(), 330))
        patch.setattr(branching, "load_perceptual", lambda name: Perceptual())
        for place in (other_measures, rivalry):
            patch.setattr(place, "PAIRS", 5)
        folder = other_sets.made_set("digits")
        sizes = {"train__train_images": 120, "train__heldout_images": 60, "evaluation__prdc_k": (3,)}
        config = tiny_config(data=str(folder), layout="celeba", **sizes)
        yield {quantizer: train(config, quantizer) for quantizer in ("matching", "nearest")}


def test_a_row_is_what_the_run_is(runs):
    run, splits = runs["matching"], load_splits(runs["matching"].config)
    row = measure(run, Colours())
    assert row["images"] == {"train": 120, "heldout": 60} and row["size"] == 16 and row["L"] == 4
    assert row["psnr"] == run.summary["heldout_psnr"] and row["mean_codes_per_image"] == 4
    assert row["slots"]["entropy_bits"] == slot_usage(run.codes("train"), 12).entropy_bits
    assert row["order"] < 1e-5 and row["path"]["pairs"] > 0 and 0 < row["spread"]["pairs"] <= 5
    metrics = {"distance", "precision", "recall", "density", "coverage"}
    assert {*row["near"]} == metrics and {*row["new"]} == {"near", "Algorithm 1", "held-out"}
    assert {name.partition(" ")[0] for name in row["against_real"]["samples"]} == metrics
    start = untrained_model(run.config, splits["train"].images)
    for prefix, codes in (("", run.codes("heldout")), ("untrained_", encode_images(start, splits["heldout"].images))):
        scores = probe(codes, splits["heldout"].attributes, 12, run.config.evaluation.probe_folds, 0)
        gain = float((scores["accuracy"] - scores["baseline"]).mean())
        assert row["probing"][f"{prefix}gain"] == pytest.approx(gain, nan_ok=True)
    assert row["probing"]["of"] == "labels" and row["untrained"]["path"]["pairs"] > 0
    assert row["mean_image"] == controls(splits["train"].images, splits["heldout"].images)["mean_image"]


def test_what_needs_sets_is_measured_of_matching_alone(runs):
    row = measure(runs["nearest"], Colours())
    assert row["near"] is None and row["path"] is None and row["new"] is None and "path" not in row["untrained"]
    assert row["mean_codes_per_image"] <= 4 and row["bits_counted_once"] > 0


def test_without_labels_properties_of_pixels_are_probed(runs):
    run, splits = runs["matching"], load_splits(runs["matching"].config)
    start, heldout = untrained_model(run.config, splits["train"].images), splits["heldout"]
    bare = SimpleNamespace(images=heldout.images, ids=heldout.ids, attributes=None)
    found = other_measures._probed(run, start, {"heldout": bare})
    statistics = pixel_statistics(heldout.images.numpy(), heldout.ids)
    scores = probe(run.codes("heldout"), (statistics > statistics.median()).astype("Int8"), 12, 5, 0)
    assert found["of"] == "properties of pixels" and found["scored"] == scores["accuracy"].count() > 0
    assert found["gain"] == pytest.approx(float((scores["accuracy"] - scores["baseline"]).mean()))


def test_pictures_are_kept_and_enlarged_to_one_size(runs):
    run = runs["matching"]
    path = keep_pictures("digits", {"learned": run}, seed=0)
    assert path == pictures_file("digits", "smoke")
    with np.load(path) as arrays:
        images = dict(arrays)
    names = ["held out", "learned, rebuilt", "learned, Algorithm 1", "learned, near parents"]
    assert list(images) == names and {image.shape for image in images.values()} == {(SHOWN, 3, 16, 16)}
    assert (images["held out"] == load_splits(run.config)["heldout"].images[:SHOWN].numpy()).all()
    np.savez(pictures_file("glyphs", "smoke"), held=np.zeros((SHOWN, 3, 32, 32), np.uint8))
    rows = kept_pictures(["digits", "glyphs", "folder"], "smoke")
    assert list(rows) == [*(f"digits: {name}" for name in names), "glyphs: held"]
    assert {tuple(image.shape) for image in rows.values()} == {(SHOWN, 3, 32, 32)}
    assert (rows["digits: held out"][:, :, ::2, 1::2].numpy() == images["held out"]).all()
    assert kept_pictures(["folder"], "smoke") == {}
