"""The drawn faces: choices, attributes, splits and pixels."""

import hashlib
import subprocess
import sys
from contextlib import closing
from dataclasses import astuple, replace
from itertools import combinations

import numpy as np
import pytest

from pivq.data import faces
from pivq.data.faces import ATTRIBUTES, BROWS, HEADWEAR, Face, attributes, draw, draw_all, draw_split, svg

BLOND = Face(
    top="BOB",
    hair_colour="blond",
    skin="tan",
    eyebrows="ANGRY_NATURAL",
    eyes="SURPRISED",
    nose="DEFAULT",
    mouth="TWINKLE",
    facial_hair="BEARD_LIGHT",
    accessory="ROUND",
    background="sand",
    clothing_colour="olive",
    hat_colour="none",
)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Face]]:
    return {"train": draw_split("train", 8000), "heldout": draw_split("heldout", 2000)}


def pixels(face: Face) -> np.ndarray:
    return np.frombuffer(draw(face, 64), np.uint8).reshape(64, 64, 3).astype(int)


def changed(a: np.ndarray, b: np.ndarray) -> int:
    """Return how many pixels differ visibly."""
    return int((np.abs(a - b).max(-1) > 25).sum())


def test_choices_are_the_same_everywhere(splits):
    """A new digest means new faces for everyone: other numbers in every figure and table."""
    text = repr([[astuple(face) for face in split[:500]] for split in splits.values()])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "7bb114598020e287"


def test_a_smaller_count_is_a_prefix(splits):
    for split, whole in splits.items():
        assert draw_split(split, 60) == whole[:60]


def test_no_face_twice_and_no_attribute_combination_in_both_splits(splits):
    for split in splits.values():
        assert len(set(split)) == len(split)
    train, heldout = ({attributes(face) for face in split} for split in splits.values())
    assert len(train) > 3000 and len(heldout) > 800
    assert not train & heldout


def test_attributes_are_neither_rare_nor_common_and_alike_in_both_splits(splits):
    assert len(ATTRIBUTES) >= 16
    frequencies = []
    for split in splits.values():
        table = np.array([[np.nan if v is None else v for v in attributes(face)] for face in split], float)
        frequencies.append(np.nanmean(table, axis=0))
        assert (frequencies[-1] > 0.03).all() and (frequencies[-1] < 0.97).all()
    assert np.abs(frequencies[0] - frequencies[1]).max() < 0.03


def test_attributes_by_hand():
    true = {"long_hair", "blond_hair", "beard", "glasses", "wide_eyes", "angry_brows", "smiling"}
    assert dict(zip(ATTRIBUTES, attributes(BLOND), strict=True)) == {name: name in true for name in ATTRIBUTES}


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"accessory": "SUNGLASSES"}, {"eyes_closed", "wide_eyes"}),
        ({"top": "TURBAN", "hat_colour": "plum"}, {"black_hair", "brown_hair", "blond_hair", "red_hair", "grey_hair"}),
        ({"top": "NONE"}, {"black_hair", "brown_hair", "blond_hair", "red_hair", "grey_hair"}),
        ({"top": "SIDES"}, set()),
    ],
)
def test_what_cannot_be_seen_is_missing(change, missing):
    found = dict(zip(ATTRIBUTES, attributes(replace(BLOND, **change)), strict=True))
    assert {name for name, value in found.items() if value is None} == missing


def test_people_are_plausible(splits):
    everyone = splits["train"] + splits["heldout"]
    assert all(face.facial_hair == "NONE" for face in everyone if face.top == "HIJAB")
    assert all(face.hair_colour not in ("blond", "red") for face in everyone if face.skin in ("brown", "deep"))
    assert all((face.hat_colour == "none") == (face.top not in HEADWEAR) for face in everyone)


def test_hair_beard_and_brows_have_one_colour():
    drawing = svg(BLOND, 64)
    assert drawing.count('fill="#D9B878"') == 2  # hair and beard
    assert drawing.count('fill="#978054"') == 2  # two brows, 7/10 of D9, B8, 78
    others = set(faces.HAIR_COLOURS.values()) - {"#D9B878"}
    assert not any(colour in drawing for colour in others)


def test_colours_land_where_they_belong():
    face = pixels(replace(BLOND, top="NONE", facial_hair="NONE"))
    assert face[2, 2].tolist() == [0xDD, 0xD2, 0xC2]  # sand, in the corner
    assert face[12, 32].tolist() == [0xCF, 0x97, 0x68]  # tan, on the forehead
    assert face[63, 15].tolist() == [0x77, 0x83, 0x5F]  # olive, at the shoulder


@pytest.mark.parametrize("top", faces.TOPS)
def test_brows_show_under_every_top(top):
    light = replace(BLOND, top=top, accessory="NONE", hat_colour="plum")
    for base in (light, replace(light, skin="deep", hair_colour="dark brown")):
        drawn = [pixels(replace(base, eyebrows=brows)) for brows in BROWS]
        assert min(changed(a, b) for a, b in combinations(drawn, 2)) >= 15


@pytest.mark.parametrize("skin", faces.SKIN_COLOURS)
@pytest.mark.parametrize("accessory", ["NONE", *faces.GLASSES])
def test_eyes_show_on_every_skin_and_behind_glasses(skin, accessory):
    drawn = {eyes: pixels(replace(BLOND, skin=skin, accessory=accessory, eyes=eyes)) for eyes in faces.EYES}
    closed = {"CLOSED", "HAPPY"}
    assert min(changed(drawn[a], drawn[b]) for a in closed for b in drawn.keys() - closed) >= 15
    assert min(changed(drawn["SURPRISED"], drawn[b]) for b in drawn.keys() - {"SURPRISED"}) >= 50


@pytest.mark.parametrize("facial_hair", ["NONE", *faces.BEARDS, *faces.MOUSTACHES])
def test_mouths_show_through_every_beard(facial_hair):
    base = replace(BLOND, facial_hair=facial_hair, hair_colour="black")
    drawn = {mouth: pixels(replace(base, mouth=mouth)) for mouth in faces.MOUTHS}
    for group in (set(faces.SMILES), set(faces.OPEN_MOUTHS)):
        assert min(changed(drawn[a], drawn[b]) for a in group for b in drawn.keys() - group) >= 12


def test_processes_draw_what_one_draws_in_order():
    some = draw_split("train", 7)
    assert list(draw_all(some, 32)) == [draw(face, 32) for face in some]


def test_stopping_early_ends_the_processes(monkeypatch):
    started = []
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kw: started.append(start(*args, **kw)) or started[-1])
    with closing(draw_all(draw_split("train", 200), 64)) as drawing:
        next(drawing)
        assert any(process.poll() is None for process in started)
    assert all(process.poll() is not None for process in started)


def test_a_failing_process_is_reported_with_its_last_words():
    with pytest.raises(RuntimeError, match="drawing face 0 failed: KeyError: 'NO_SUCH_TOP'"):
        list(draw_all([replace(BLOND, top="NO_SUCH_TOP")], 64))


def test_drawing_processes_start_without_torch():
    """Nor with anything else of the package. The code does what such a process does, with no face to draw."""
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); "
        "sys.exit(bool({'torch', 'numpy', 'pandas', 'pivq'} & set(sys.modules)))"
    )
    job = b'{"image_size": 8, "faces": []}'
    assert subprocess.run([sys.executable, "-P", "-c", code, faces.__file__], input=job).returncode == 0
