"""The jobs of the command `pivq`; what they write is tested through the command line, in `test_cli.py`."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from stand_ins import Colours, make_split

from pivq.commands import jobs
from pivq.commands.jobs import encode_dataset, evaluate_run, picture_size, reconstruct, write_samples
from pivq.data import ImageDataset, from_uint8
from pivq.inference import encode_images
from pivq.losses import psnr
from pivq.runs import evaluation
from pivq.runs.evaluation import compare, decoded_features, draw_samples, real_features
from pivq.runs.run import Run
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


def test_the_size_of_a_picture_is_found_in_a_zip_and_among_pictures_that_cannot_be_read(tmp_path, monkeypatch, recwarn):
    damaged = bytearray(b"\x89PNG\r\n\x1a\n" + b"junk" * 9)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("profile", "x" * (2 << 20), zip=True)  # Pillow's own limit is lower
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "0.png").write_bytes(damaged)
    Image.new("RGB", (4000, 4000)).save(tmp_path / "set" / "1.png")  # too large for the setting below
    Image.new("RGB", (30, 20)).save(tmp_path / "set" / "2.png", pnginfo=texts)
    monkeypatch.setenv("PIVQ_MAX_PIXELS", "1000000")
    assert picture_size(tmp_path / "set") == 20
    shutil.make_archive(str(tmp_path / "in" / "faces"), "zip", tmp_path / "set")
    assert picture_size(tmp_path / "in") == picture_size(tmp_path / "in" / "faces.zip") == 20
    (tmp_path / "set" / "2.png").unlink()
    with pytest.raises(ValueError, match="no images in .* that can be read"):
        picture_size(tmp_path / "set")
    monkeypatch.setenv("PIVQ_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="PIVQ_MAX_PIXELS must be a whole number of at least 1, got 'many'"):
        picture_size(tmp_path / "set")
    assert not recwarn.list


def test_reconstructions_are_not_written_into_a_run(finished, tmp_path, tiny_config):
    run = finished[0]["matching"]
    before = sorted(run.folder.iterdir())
    with pytest.raises(FileExistsError, match=f"{run.folder.name} is the folder of a run: choose another --out"):
        reconstruct(run.model(), make_split(tiny_config(), "train").images, run.folder)
    assert sorted(run.folder.iterdir()) == before


def test_reconstruction_errors_are_means_over_images_of_unequal_pages(finished, tmp_path, tiny_config, monkeypatch):
    monkeypatch.setattr("pivq.commands.jobs.PAGE", 7)
    model, images = finished[0]["matching"].model(), make_split(tiny_config(), "train").images
    l1, decibels = reconstruct(model, images, tmp_path)
    originals = from_uint8(images)
    made = model.decode(model.encode(originals))
    assert l1 == pytest.approx(float((made - originals).abs().mean()), rel=1e-6)
    assert decibels == pytest.approx(float(psnr(made, originals).mean()), rel=1e-6)
    assert [path.name for path in sorted(tmp_path.glob("*.png"))] == [f"reconstructions-00{i}.png" for i in range(4)]


# --- What is damaged on the way ---------------------------------------------------------------------------------------


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {"cut": cut, "empty": lambda _: b"", "zeroed": lambda content: bytes(len(content)), "flipped": flip}


@pytest.fixture
def images(tiny_config):
    split = make_split(tiny_config(), "train")
    return ImageDataset(split.images, split.ids, "noise", "train", fingerprint="noise")


def interrupt_after(monkeypatch, chunks):
    """Let encoding end with Ctrl-C after some chunks of four images; return the batches that are encoded."""
    sizes = []

    def encode(model, batch, batch_size):
        if len(sizes) == chunks:
            raise KeyboardInterrupt
        sizes.append(len(batch))
        return encode_images(model, batch, batch_size)

    monkeypatch.setattr(jobs, "encode_images", encode)
    monkeypatch.setattr(jobs, "CHUNK", 4)
    return sizes


@pytest.mark.parametrize("damage", [*DAMAGES, "fewer rows"])
def test_damaged_parts_of_an_encoding_are_made_again(finished, images, tmp_path, monkeypatch, damage):
    model, out = finished[0]["matching"].model(), tmp_path / "codes.npz"
    with pytest.raises(KeyboardInterrupt):
        interrupt_after(monkeypatch, 3)
        encode_dataset(model, images, out)
    parts = sorted((tmp_path / "codes.npz.partial").glob("*.npz"))
    assert len(parts) == 3
    if damage == "fewer rows":
        with np.load(parts[1]) as file:
            arrays = dict(file)
        np.savez(parts[1], **arrays | {"codes": arrays["codes"][:2]})
    else:
        parts[1].write_bytes(DAMAGES[damage](parts[1].read_bytes()))
    made = interrupt_after(monkeypatch, None)
    with pytest.warns(UserWarning, match="000000004.npz is damaged .* the codes of 4 images are made again"):
        assert encode_dataset(model, images, out)
    assert made == [4] * 4, "the damaged one and the three that were missing"
    with np.load(out) as file:
        assert np.array_equal(file["codes"], finished[0]["matching"].codes("train"))


@pytest.mark.parametrize("damage", [*DAMAGES, "another kind", "objects", "other codes"])
def test_a_damaged_file_of_codes_is_named_and_stays(finished, images, tmp_path, damage):
    model, out = finished[0]["matching"].model(), tmp_path / "codes.npz"
    assert encode_dataset(model, images, out) and not encode_dataset(model, images, out)
    if damage in DAMAGES:
        out.write_bytes(DAMAGES[damage](out.read_bytes()))
    elif damage == "another kind":
        out.write_text("my notes")
    elif damage == "objects":
        np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
        (tmp_path / "objects.npy").rename(out)
    else:
        with np.load(out) as file:
            arrays = dict(file)
        arrays["codes"][3, 1] += 1
        np.savez(out, **arrays)
    content = out.read_bytes()
    with pytest.raises(FileExistsError, match="codes.npz is damaged.*: delete it, or change --out"):
        encode_dataset(model, images, out)
    assert out.read_bytes() == content


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_sample_is_drawn_again(finished, tmp_path, damage):
    run, out = finished[0]["matching"], tmp_path / "samples"
    write_samples(run, 4, out, 0)
    before = {path: path.read_bytes() for path in out.iterdir()}
    (out / "000002.png").write_bytes(DAMAGES[damage](before[out / "000002.png"]))
    assert write_samples(run, 4, out, 0) == 1
    assert before == {path: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", bytes(50)])
def test_a_damaged_note_of_samples_is_named(finished, tmp_path, content):
    write_samples(finished[0]["matching"], 2, tmp_path / "samples", 0)
    (tmp_path / "samples" / "samples.json").write_bytes(content)
    with pytest.raises(FileExistsError, match="samples.json is damaged.*choose another folder, or delete this one"):
        write_samples(finished[0]["matching"], 2, tmp_path / "samples", 0)


@pytest.mark.parametrize("name", ["caf\udce9", "\udcff\udcfe", "naïve café", "a,b"])
def test_parents_are_named_whatever_bytes_their_names_are(finished, tmp_path, monkeypatch, name):
    monkeypatch.setattr(Run, "ids", lambda run, split: np.array([f"{name}-{i}" for i in range(24)]))
    write_samples(finished[0]["matching"], 3, tmp_path / "samples", 0)
    text = (tmp_path / "samples" / "pairs.csv").read_bytes().decode("utf-8", "surrogateescape")
    assert len(text.splitlines()) == 4 and all(name in line for line in text.splitlines()[1:])


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "-a", "+a", "\t=1"])
def test_no_parent_s_name_is_a_formula(finished, tmp_path, monkeypatch, name):
    monkeypatch.setattr(Run, "ids", lambda run, split: np.array([name] * 23 + ["-12"]))
    write_samples(finished[0]["matching"], 9, tmp_path / "samples", 0)
    with open(tmp_path / "samples" / "pairs.csv", newline="", encoding="utf-8") as file:
        parents = [cell for row in list(csv.reader(file))[1:] for cell in row[1:]]
    assert set(parents) <= {f"'{name}", "-12"} and f"'{name}" in parents


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
