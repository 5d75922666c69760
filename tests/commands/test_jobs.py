"""The jobs of the command `pivq`; what they write is tested through the command line, in `test_cli.py`."""

import shutil

import pytest
from PIL import Image
from stand_ins import Colours, make_split

from pivq.commands.jobs import evaluate_run, picture_size, reconstruct
from pivq.data import ImageDataset, from_uint8
from pivq.losses import psnr
from pivq.runs import evaluation
from pivq.runs.evaluation import compare, decoded_features, draw_samples, real_features
from pivq.storage.paths import results_dir


def test_the_size_of_a_picture_is_that_of_the_first_that_can_be_read(tmp_path):
    (tmp_path / "0.png").write_text("<html>")
    Image.new("RGB", (30, 20)).save(tmp_path / "1.png")
    assert picture_size(tmp_path) == 20


def test_the_size_of_a_picture_is_its_shorter_side(tmp_path):
    (tmp_path / "note.txt").write_text("not a picture")
    with pytest.raises(ValueError, match="no images in"):
        picture_size(tmp_path)
    Image.new("RGB", (30, 20)).save(tmp_path / "10.png")
    Image.new("RGB", (40, 50)).save(tmp_path / "2.png")
    assert picture_size(tmp_path) == 40, "the first in natural order"


def test_reconstruction_errors_are_means_over_images_of_unequal_pages(finished, tmp_path, tiny_config, monkeypatch):
    monkeypatch.setattr("pivq.commands.jobs.PAGE", 7)
    model, images = finished[0]["matching"].model(), make_split(tiny_config(), "train").images
    l1, decibels = reconstruct(model, images, tmp_path)
    originals = from_uint8(images)
    made = model.decode(model.encode(originals))
    assert l1 == pytest.approx(float((made - originals).abs().mean()), rel=1e-6)
    assert decibels == pytest.approx(float(psnr(made, originals).mean()), rel=1e-6)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"reconstructions-00{i}.png" for i in range(4)]


# --- Table 3 of a run -------------------------------------------------------------------------------------------------


class Counting(Colours):
    """Counts the images whose features are extracted."""

    seen = 0

    def _features(self, levels):
        self.seen += len(levels)
        return super()._features(levels)


@pytest.fixture
def noise(monkeypatch):
    """Put noise in place of a run's images, in an empty cache; return a function that loads a split."""

    def load_split(config, name):
        split = make_split(config, name)
        return ImageDataset(split.images, split.ids, "noise", name, fingerprint=f"noise-{name}")

    monkeypatch.setattr(evaluation, "load_split", load_split)
    shutil.rmtree(results_dir("smoke") / "features", ignore_errors=True)
    return load_split


@pytest.mark.filterwarnings("ignore:.*balls are empty")  # of images that are alike
@pytest.mark.parametrize("quantizer, count", [("matching", 20), ("matching", 70), ("nearest", 20)])
def test_a_run_is_evaluated_as_in_notebook_06_and_nothing_is_extracted_twice(finished, noise, quantizer, count):
    run, network = finished[0][quantizer], Counting()
    samples = draw_samples(run, count).codes  # these four calls are the notebook's
    real, fake = real_features(run, network), decoded_features(run, network, samples)
    expected = compare(real, {"samples": fake}, (3, 5), network.device)["samples"]
    assert network.seen == 24 + count
    report = evaluate_run(noise(run.config, "train"), run, count, run.config.seed, network, [3, 5])
    assert network.seen == 24 + count
    assert report["metrics"] == {"FD (Colours)": expected.pop("distance")} | expected
    assert (report["N"], report["M"], report["seed"]) == (24, count, run.config.seed)


@pytest.mark.filterwarnings("ignore:.*balls are empty")
def test_other_samples_or_real_images_are_extracted_and_have_other_numbers(finished, noise):
    run, network = finished[0]["matching"], Counting()
    first = evaluate_run(noise(run.config, "train"), run, 30, 1, network, [3])
    seen = network.seen
    other_seed = evaluate_run(noise(run.config, "train"), run, 30, 2, network, [3])
    assert network.seen == seen + 30, "samples"
    other_images = evaluate_run(noise(run.config, "heldout"), run, 30, 2, network, [3])
    assert network.seen == seen + 30 + 10, "real images"
    distances = [report["metrics"]["FD (Colours)"] for report in (first, other_seed, other_images)]
    assert len(set(distances)) == 3
