"""What is a whole number, a name, a size; each function that takes one refuses others by name, without reading."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pivq.data import ImageDataset, load_dataset
from pivq.data.arguments import check_choice, check_place, check_size, whole_number
from pivq.data.labels import label_counts
from pivq.data.report import describe, examine_set

ODD = ["64", None, True, np.True_, -1, 0.5, float("nan"), float("inf"), 10**30, [64], (64, 64), {}, b"64", 64j]


def test_whole_numbers_of_any_type_are_taken():
    for value in (8, 8.0, np.int16(8), np.float32(8), np.uint64(8), torch.tensor(8)):
        assert whole_number(value) == 8 and type(whole_number(value)) is int
    for value in ("8", True, None, 8.5, float("nan"), -float("inf"), [8], 8j, Fraction(1, 2), np.array([8.0])):
        assert whole_number(value) is None


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_size_that_is_none_is_named(value, tmp_path):
    calls = [check_size, lambda size: load_dataset("avatars", image_size=size)]
    calls += [lambda size: load_dataset(tmp_path, "all", size), lambda size: examine_set(tmp_path, image_size=size)]
    for call in calls:
        with pytest.raises(ValueError, match="image_size must be a whole number of at least 8 pixels, ") as error:
            call(value)
        assert repr(value)[:80] in str(error.value)


@pytest.mark.parametrize("value", [v for v in ODD if v is not None and not (type(v) is int and v > 0)], ids=repr)
@pytest.mark.parametrize("name", ["avatars", "celeba"])
def test_a_limit_that_is_none_is_named(value, name):
    with pytest.raises(ValueError, match="limit must be a whole number ") as error:
        load_dataset(name, limit=value)
    assert f"got {value!r:.80}" in str(error.value)


@pytest.mark.parametrize("value", [3, None, b"train", ["train"], {"a": 1}, True, "", np.array(["train"])], ids=repr)
@pytest.mark.parametrize("name", ["avatars", "celeba"])
def test_a_choice_that_is_none_is_named(value, name):
    for argument in ("split", "layout", "on_error"):
        if argument == "layout" and (value is None or name == "avatars"):
            continue
        with pytest.raises(ValueError, match=f"unknown {argument} .*(known|did you mean)") as error:
            load_dataset(name, **{argument: value})
        assert f"{value!r:.80}" in str(error.value)
    with pytest.raises(ValueError, match="have no layout, got layout"):
        describe("avatars", layout=value if value is not None else 0)


def test_choices_are_suggested():
    check_choice("layout", "ffhq", ["celeba", "ffhq"])
    with pytest.raises(ValueError, match="unknown layout 'celebA'; did you mean celeba"):
        check_choice("layout", "celebA", ["celeba", "ffhq"])
    with pytest.raises(ValueError) as error:
        check_choice("layout", "x" * 10_000, ["celeba", "ffhq"])
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("place", [None, 5, b"avatars", ["avatars"], True, 1.5, {"a"}, open], ids=str)
def test_a_place_that_is_neither_text_nor_a_path_is_named(place):
    for call in (check_place, load_dataset, describe, examine_set):
        with pytest.raises(TypeError, match="a data set is named by text or a path, got "):
            call(place)


def test_a_place_is_text():
    assert check_place(Path("a") / "b") == str(Path("a/b"))
    for empty in ("", "  "):
        with pytest.raises(ValueError, match='the name of the data set is ""'):
            check_place(empty)
    for call in (check_place, load_dataset, describe, examine_set):
        with pytest.raises(ValueError, match="the name of the data set holds a null character"):
            call("a\0b")
    for odd in ("~nobody-of-this-name/faces", "x" * 5000):
        with pytest.raises(ValueError, match="unknown data set '.*, and no such folder or zip"):
            load_dataset(odd)


def test_a_data_set_is_made_of_bytes_with_an_id_for_each():
    images, ids = torch.zeros(3, 3, 8, 8, dtype=torch.uint8), ["a", "b", "c"]
    made = ImageDataset(images, ids, "name", "all", "0" * 16)
    assert len(made) == 3 and made.left_out == {}
    for wrong in (images.float(), images.numpy(), [1, 2, 3], None):
        with pytest.raises(TypeError, match="images must be a uint8 tensor .N, 3, H, W., got "):
            ImageDataset(wrong, ids, "name", "all", "0" * 16)
    for wrong in (images[0], images[:, :1], images[:2], images.permute(0, 2, 3, 1)):
        with pytest.raises(ValueError, match="images must be .N, 3, H, W., with N ids, got .* and 3 ids"):
            ImageDataset(wrong, ids, "name", "all", "0" * 16)
    for index in (1.0, "1", slice(2), [0, 1], None, torch.tensor([0, 1])):
        with pytest.raises(TypeError, match=r"an index must be a whole number .*, got "):
            made[index]
    for index in (3, -4, 10**30):
        with pytest.raises(IndexError, match=f"no image {index} of 3"):
            made[index]


def test_counts_want_a_table():
    for wrong in ([1, 0], np.zeros((3, 2)), pd.Series([1, 0]), None):
        with pytest.raises(TypeError, match=f"attributes must be a table.*, got {type(wrong).__name__}"):
            label_counts(wrong)
