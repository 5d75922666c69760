"""How many bits a drawn face has: those of the choices it is drawn with, the least that any code of all of it can take.

`pivq.data.faces.draw_face` draws the top of the head and the skin, and then everything else given these two. Nothing
that is computed from a face, as its set of codes is, has more bits on average than its choices.
"""

from collections.abc import Mapping
from dataclasses import asdict
from math import log2

from pivq.data import faces
from pivq.data.faces import Face


def choices(top: str, skin: str) -> dict[str, Mapping[str, int]]:
    """Return the weights that `draw_face` draws each field of a face with, given its top and its skin."""
    hair = {"tan": faces.HAIR_OF_TAN_SKIN, "brown": faces.HAIR_OF_DARK_SKIN, "deep": faces.HAIR_OF_DARK_SKIN}
    usual = 400 if top in faces.LONG | faces.LONG_CURLY or top == "BUN" else 55
    shaven = {"HIJAB": 10**9, "TURBAN": 30}.get(top, usual)
    cloth = dict.fromkeys(faces.CLOTH_COLOURS, 1)
    return {
        "top": faces.TOPS, "skin": faces.SKINS, "hair_colour": hair.get(skin, faces.HAIR_OF_LIGHT_SKIN),
        "eyebrows": faces.BROWS, "eyes": faces.EYES, "nose": faces.NOSES, "mouth": faces.MOUTHS,
        "facial_hair": {"NONE": shaven} | faces.BEARDS | faces.MOUSTACHES, "accessory": faces.ACCESSORIES,
        "background": dict.fromkeys(faces.BACKGROUNDS, 1), "clothing_colour": cloth,
        "hat_colour": cloth if top in faces.HEADWEAR else {"none": 1},
    }  # fmt: skip


def face_bits(face: Face) -> float:
    """Return -log2 of the probability that `draw_face` draws this face."""
    weights = choices(face.top, face.skin)
    return sum(log2(sum(weights[field].values()) / weights[field][value]) for field, value in asdict(face).items())


def recipe_bits() -> float:
    """Return the entropy of `draw_face` in bits, exactly: the mean of `face_bits` over all faces that it can draw."""
    total = 0.0
    for top, skin in ((top, skin) for top in faces.TOPS for skin in faces.SKINS):
        likely = faces.TOPS[top] / sum(faces.TOPS.values()) * faces.SKINS[skin] / sum(faces.SKINS.values())
        total += likely * sum(_entropy(weights) for weights in choices(top, skin).values())
    return total


def _entropy(weights: Mapping[str, int]) -> float:
    whole = sum(weights.values())
    return sum(weight / whole * log2(whole / weight) for weight in weights.values())
