"""The images of a profile: how many it takes, and that too few are refused with what they are needed for."""

from dataclasses import replace

import pytest
from stand_ins import noise, stand_in, truncate

from pivq.data.decoding import BadImages, TooFewImages
from pivq.runs import splits
from pivq.runs.cost import measure_cost
from pivq.runs.run import OtherImages, read_config, require_run
from pivq.runs.splits import load_split
from pivq.runs.training import train
from pivq.storage.checkpoint import load_checkpoint
from pivq.storage.writing import read_sealed


class Images(list):
    """Stands for a data set of `count` images."""

    def __init__(self, count):
        super().__init__(range(count))


def test_splits_are_as_large_as_the_profile_says(tiny_config, monkeypatch):
    asked = []
    monkeypatch.setattr(splits, "load_dataset", lambda *args: asked.append(args) or Images(100))
    skipped = tiny_config(data="faces", layout="celebahq", on_error="skip")
    plain = (tiny_config(), tiny_config(data="faces", dataset="folder"), tiny_config(dataset="celeba"))
    for config in (*plain, skipped):
        for name in ("train", "heldout"):
            load_split(config, name)
    assert asked == [
        ("avatars", "train", 16, 24, None, "raise"),
        ("avatars", "heldout", 16, 10, None, "raise"),
        ("faces", "train", 16, 24, None, "raise"),
        ("faces", "heldout", 16, 10, None, "raise"),
        ("celeba", "train", 16, 24, "celeba", "raise"),
        ("celeba", "heldout", 16, 10, "celeba", "raise"),
        ("faces", "train", 16, 24, "celebahq", "skip"),
        ("faces", "heldout", 16, 10, "celebahq", "skip"),
    ]


def test_a_folder_with_fewer_images_than_the_profile_takes_is_taken_whole(tiny_config, monkeypatch):
    def load(name, split, size, limit, layout, on_error):
        if limit:
            raise TooFewImages("limit 24 is more than the 20 images")
        return Images(20)

    monkeypatch.setattr(splits, "load_dataset", load)
    assert len(load_split(tiny_config(data="faces", dataset="folder"), "train")) == 20


def test_a_folder_without_heldout_images_is_too_small(tiny_config, monkeypatch):
    def load(*_):
        raise TooFewImages("no image of the 4 in faces is in split 'heldout'")

    monkeypatch.setattr(splits, "load_dataset", load)
    with pytest.raises(ValueError, match=r"no image of the 4 .*heldout split needs 50 .*about 500 images in all"):
        load_split(tiny_config(data="faces", dataset="folder"), "heldout")


def test_too_few_images_are_refused_with_what_they_are_needed_for(tiny_config, monkeypatch):
    monkeypatch.setattr(splits, "load_dataset", lambda *_: Images(5))
    config = tiny_config(data="faces", dataset="folder")
    needs = "train split needs 6 images .4 for one batch, 3 for as many latents as codes, 6 for metrics with k = 5"
    with pytest.raises(ValueError, match=needs):
        load_split(config, "train")
    with pytest.raises(ValueError, match="heldout split needs 50 .*about 500 images in all are enough"):
        load_split(config, "heldout")


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of 90 pictures in `train/` and `valid/`, two of which are damaged."""
    for i in range(90):
        part = "train" if i < 35 else "valid"
        noise(tmp_path / "pictures" / part / f"{i if i < 35 else i - 35}.png", seed=i, size=(16, 16))
    truncate(tmp_path / "pictures/train/17.png")
    (tmp_path / "pictures/valid/3.png").write_bytes(b"")
    return tmp_path / "pictures"


def test_a_run_knows_which_images_it_could_not_read(pictures, tiny_config, monkeypatch, tmp_path):
    whole = splits.load_split
    stand_in(monkeypatch, tmp_path / "root")
    monkeypatch.setattr(splits, "load_split", whole)
    place = {"data": str(pictures), "layout": "celebahq", "train__heldout_images": 0}
    with pytest.raises(BadImages, match=r"1 of 25 images .*cannot be read:\n  train/17.png: .*\n.*--on-error skip"):
        train(tiny_config(**place), "matching", "cpu")
    config = tiny_config(**place, on_error="skip", train__train_images=0)
    with pytest.warns(UserWarning, match="1 of 35 images in .* cannot be read and are left out: train/17.png"):
        run = train(config, "matching", "cpu")
    assert run.summary["left_out"] == {"train": 1, "heldout": 1}
    assert (run.summary["on_error"], run.summary["layout"]) == ("skip", "celebahq")
    noted = read_sealed(run.folder / "images.json")
    assert noted["left_out"]["train"].keys() == {"train/17.png"}
    assert noted["left_out"]["heldout"] == {"valid/3.png": "an empty file (0 bytes)"}
    assert load_checkpoint(run.folder / "checkpoint.pt")["images"] == noted
    assert len(run.ids("train")) == 34 and "train/17" not in run.ids("train")
    assert read_config(run.folder / "config.json") == (config, "matching")  # what a process of its own is started with
    with pytest.warns(UserWarning, match="left out"):
        assert require_run(config, "matching") == run
    with pytest.raises(BadImages):
        require_run(replace(config, on_error="raise"), "matching")
    noise(pictures / "train/17.png", seed=17, size=(16, 16))  # mended: 35 training images, which are others
    with pytest.warns(UserWarning, match="left out"), pytest.raises(OtherImages, match="35 images"):
        require_run(config, "matching")


def test_a_damaged_image_is_said_before_the_cost_is_measured(pictures, tiny_config, monkeypatch, tmp_path):
    whole = splits.load_split
    network = stand_in(monkeypatch, tmp_path / "root")
    monkeypatch.setattr(splits, "load_split", whole)
    noise(pictures / "train/17.png", seed=17, size=(16, 16))
    config = tiny_config(data=str(pictures), layout="celebahq", train__heldout_images=0)
    with pytest.raises(BadImages, match="valid/3.png"):  # of the held-out part
        measure_cost(config, "matching", "cpu")
    assert network.calls == 0
