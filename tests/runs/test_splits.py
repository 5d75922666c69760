"""The images of a profile: how many it takes, and that too few are refused with what they are needed for."""

import pytest

from pivq.data.decoding import TooFewImages
from pivq.runs import splits
from pivq.runs.splits import load_split


class Images(list):
    """Stands for a data set of `count` images."""

    def __init__(self, count):
        super().__init__(range(count))


def test_splits_are_as_large_as_the_profile_says(tiny_config, monkeypatch):
    asked = []
    monkeypatch.setattr(splits, "load_dataset", lambda *args: asked.append(args) or Images(100))
    for config in (tiny_config(), tiny_config(data="faces", dataset="folder"), tiny_config(dataset="celeba")):
        for name in ("train", "heldout"):
            load_split(config, name)
    assert asked == [
        ("avatars", "train", 16, 24, None),
        ("avatars", "heldout", 16, 10, None),
        ("faces", "train", 16, 24, None),
        ("faces", "heldout", 16, 10, None),
        ("celeba", "train", 16, 24, "celeba"),
        ("celeba", "heldout", 16, 10, "celeba"),
    ]


def test_a_folder_with_fewer_images_than_the_profile_takes_is_taken_whole(tiny_config, monkeypatch):
    def load(name, split, size, limit, layout):
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
