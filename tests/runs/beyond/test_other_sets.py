"""Digits and glyphs: exact labels, aligned pictures, splits without a leak, and a folder that is made once."""

import itertools
import unicodedata
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFont
from sklearn.datasets import load_digits

from pivq.data import load_dataset
from pivq.runs.beyond import other_sets as module
from pivq.runs.beyond.other_sets import (
    BASELINE,
    EM,
    FINER,
    SIZE,
    Picture,
    draw_digits,
    draw_glyph,
    draw_glyphs,
    letters,
    made_set,
    set_folder,
    write_set,
)


@pytest.fixture(scope="module")
def digits() -> list[Picture]:
    return list(draw_digits())


@pytest.fixture(scope="module")
def glyphs() -> list[Picture]:
    return list(draw_glyphs(600))


def font(name: str, size: int = FINER * EM) -> ImageFont.FreeTypeFont:
    path, _ = module._fonts()[name]
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def ink(image: Image.Image) -> np.ndarray:
    return 1 - np.asarray(image.convert("L")) / 255


def test_digits_are_scikit_learn_s_dark_on_white(digits):
    found = load_digits()
    assert len(digits) == 1797 and {picture.image.size for picture in digits} == {(32, 32)}
    for picture, digit in zip(digits, found.target, strict=True):
        assert [name for name, value in picture.labels.items() if value and name != "even"] == [f"is_{digit}"]
        assert picture.labels["even"] == (digit % 2 == 0)
    back = ink(digits[0].image.resize((8, 8), Image.Resampling.BOX)) * 16
    assert np.abs(back - found.images[0]).mean() < 1, "the picture, made small again, is the digit"
    assert 0.2 < np.mean([picture.heldout for picture in digits]) < 0.3


def test_a_letter_stands_on_the_baseline_in_the_middle():
    rows, columns = np.nonzero(ink(draw_glyph("H", font("sans"))) > 0.5)
    assert rows.max() == BASELINE - 1 and abs(columns.min() + columns.max() - (SIZE - 1)) <= 1
    assert np.nonzero(ink(draw_glyph("p", font("sans"))).sum(axis=1) > 0.5)[0].max() > BASELINE


def test_what_does_not_fit_is_no_glyph():
    assert draw_glyph("W", font("sans", 2 * FINER * EM)) is None, "too wide"
    assert draw_glyph("p", font("sans", 2 * FINER * EM)) is None, "too low"
    assert draw_glyph("f", font("sans", 2 * FINER * EM)) is None, "too high"
    assert draw_glyph(" ", font("sans")) is None, "blank"


def test_letters_are_in_every_font_and_have_one_of_the_scripts():
    found = letters()
    assert {*"AzéΩжЯ7"} <= {*found} and not {*"あ +՞"} & {*found}
    assert len(found) == len({*found}) > 1000


def test_labels_of_glyphs_are_those_of_font_and_letter(glyphs):
    for picture in glyphs:
        code, _, name = picture.key.partition("-")
        letter, labels = chr(int(code[1:], 16)), picture.labels
        assert labels["bold"] == ("bold" in name) and labels["slanted"] == ("oblique" in name)
        assert labels["serif"] == name.startswith("serif") and labels["fixed_width"] == name.startswith("sansmono")
        assert labels["upper_case"] == (unicodedata.category(letter) == "Lu")
        assert labels["latin"] == unicodedata.name(letter).startswith("LATIN ")
        if letter.isascii():
            assert not labels["accented"]
    assert {picture.labels["accented"] for picture in glyphs if " WITH " in name_of(picture)} == {0, 1}  # đ has none
    means = {value: np.mean([ink(p.image).sum() for p in glyphs if p.labels["bold"] == value]) for value in (0, 1)}
    assert means[1] > 1.2 * means[0], "bold glyphs have more ink"


def name_of(picture: Picture) -> str:
    return unicodedata.name(chr(int(picture.key.partition("-")[0][1:], 16)))


def test_no_glyph_occurs_twice_and_no_letter_is_in_both_splits(glyphs):
    assert len({picture.image.tobytes() for picture in glyphs}) == len(glyphs) == 600
    letters_of = {split: {name_of(p) for p in glyphs if p.heldout == split} for split in (True, False)}
    assert letters_of[True] and not letters_of[True] & letters_of[False]
    assert 0.12 < np.mean([picture.heldout for picture in glyphs]) < 0.28
    few = list(draw_glyphs(10))
    assert [picture.key for picture in few] == [picture.key for picture in glyphs[:10]]


def test_the_folder_is_read_as_a_reader_s_own_is(glyphs, tmp_path):
    write_set(tmp_path, iter(glyphs[:60]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # its split and its labels are complete, and nothing is resized
        splits = {name: load_dataset(tmp_path, name, SIZE, layout="celeba") for name in ("train", "heldout", "all")}
    assert len(splits["train"]) + len(splits["heldout"]) == len(splits["all"]) == 60
    by_key = {picture.key: picture for picture in glyphs}
    for name, split in splits.items():
        for number, identity in enumerate(split.ids):
            picture = by_key[identity.partition("-")[2]]
            assert name == "all" or picture.heldout == (name == "heldout")
            assert split.attributes.iloc[number].to_dict() == picture.labels
            pixels = np.moveaxis(np.asarray(picture.image), 2, 0)
            assert (split.images[number].numpy() == pixels).all()


def test_a_set_is_made_once_and_is_the_same_everywhere(monkeypatch, tmp_path):
    made = []

    def few():
        made.append(1)
        return itertools.islice(draw_digits(), 80)

    monkeypatch.setitem(module.MAKERS, "digits", few)
    prints = []
    for place in ("a", "b"):
        monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / place))
        folder = made_set("digits")
        assert made_set("digits") == folder == set_folder("digits")
        prints.append(load_dataset(folder, "all", SIZE, layout="celeba").fingerprint)
    assert len(made) == 2 and prints[0] == prints[1]


def test_a_making_that_is_interrupted_leaves_nothing(monkeypatch, tmp_path):
    def broken():
        yield from itertools.islice(draw_digits(), 3)
        raise KeyboardInterrupt

    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setitem(module.MAKERS, "digits", broken)
    with pytest.raises(KeyboardInterrupt):
        made_set("digits")
    assert list((tmp_path / "data").iterdir()) == []


def test_other_versions_make_another_folder(monkeypatch):
    usual = set_folder("glyphs")
    monkeypatch.setattr(module, "version", lambda package: "0")
    assert set_folder("glyphs") != usual
    with pytest.raises(ValueError, match="unknown set 'glyph'; did you mean glyphs"):
        set_folder("glyph")
