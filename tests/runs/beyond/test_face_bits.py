"""Bits of the recipe that draws the faces, compared with the recipe itself."""

import random
from dataclasses import asdict, fields

import numpy as np
import pytest

from pivq.data import faces
from pivq.data.faces import Face, draw_face
from pivq.runs.beyond.face_bits import choices, face_bits, recipe_bits

ORDER = ["top", "skin", "hair_colour", "eyebrows", "eyes", "nose", "mouth", "facial_hair", "accessory", "background",
         "clothing_colour", "hat_colour"]  # fmt: skip


class Given:
    """Stands for a random generator: returns given numbers, one after the other."""

    def __init__(self, values):
        self.values = iter(values)

    def random(self):
        return next(self.values)


def number_for(weights, name) -> float:
    """Return a number for which `draw_face` picks a name."""
    names = list(weights)
    before = sum(weights[other] for other in names[: names.index(name)])
    return (before + weights[name] / 2) / sum(weights.values())


@pytest.mark.parametrize("skin", ["porcelain", "tan", "deep"])
@pytest.mark.parametrize("top", ["NONE", "BUN", "BOB", "HIJAB", "TURBAN", "HAT"])
def test_each_field_is_drawn_with_the_weights_that_are_said(top, skin):
    """All numbers but one are held; hundreds of values of that one give each part its share."""
    weights, count = choices(top, skin), 400
    assert sorted(weights) == sorted(field.name for field in fields(Face))
    held = [number_for(faces.TOPS, top), number_for(faces.SKINS, skin)] + [0.5] * 10
    for place, field in enumerate(ORDER):
        if field in ("top", "skin"):
            continue
        drawn = []
        for number in (np.arange(count) + 0.5) / count:
            drawn.append(asdict(draw_face(Given(held[:place] + [number] + held[place + 1 :])))[field])
        for name, weight in weights[field].items():
            share = weight / sum(weights[field].values())
            assert abs(drawn.count(name) / count - share) <= 1 / count, (field, name)


def test_the_mean_over_drawn_faces_is_the_entropy():
    generator = random.Random(1)
    bits = [face_bits(draw_face(generator)) for _ in range(10_000)]
    assert np.mean(bits) == pytest.approx(recipe_bits(), abs=4 * np.std(bits) / len(bits) ** 0.5)
    assert recipe_bits() == pytest.approx(26.3, abs=0.05)


def test_a_face_by_hand():
    """A bald head without a beard: each choice has the share of its weight among all of its kind."""
    face = Face("NONE", "black", "deep", "DEFAULT_NATURAL", "DEFAULT", "DEFAULT", "DEFAULT", "NONE", "NONE", "sky",
                "slate", "none")  # fmt: skip
    shares = [5 / sum(faces.TOPS.values()), 16 / 100, 58 / 100, 36 / 100, 40 / 100, 2 / 4, 14 / 100, 55 / 94, 62 / 100,
              1 / 6, 1 / 4]  # fmt: skip
    assert face_bits(face) == pytest.approx(-np.log2(shares).sum())
