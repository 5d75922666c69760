"""Labels by id: the predicted attributes of FFHQ; joining labels, of these and of CelebA's lists, with images."""

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pivq.data.files import Files, stand_in, stem
from pivq.data.lists import check_once

MOST_BYTES = 1_000_000  # of an attribute file, which describes the faces of one image; FFHQ's have a few thousand
GLASSES = ("noglasses", "readingglasses", "sunglasses", "swimminggoggles")


def _number(value: Any, most: float = 1.0) -> float:
    """Return a number from 0 to `most`; TypeError for anything else, such as NaN or text, which is no prediction."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise TypeError
    return value


def _age(face: dict[str, Any]) -> float:
    return _number(face["age"], 150)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _glasses(face: dict[str, Any]) -> bool | None:
    kind = str(face["glasses"]).lower()
    return kind != GLASSES[0] if kind in GLASSES else None


def _hair(face: dict[str, Any], colour: str) -> bool | None:
    """Return whether a colour is the most confident prediction; None without colours (hidden or no hair)."""
    colours = face["hair"]["hairColor"]
    if not colours or not all(isinstance(entry["color"], str) for entry in colours):
        return None
    return max(colours, key=lambda entry: _number(entry["confidence"]))["color"] == colour


# The 15 binary attributes of Fig. 5 from the fields of FFHQ's attribute files: name → (what a 1 means, rule). The paper
# names seven of them and no rule: the thresholds are assumptions. The label is missing if the rule returns None, does
# not find its field, or finds something else than such a field holds, such as null or NaN. `smile` is not used because
# it is the same number as `emotion.happiness`.
RULES: dict[str, tuple[str, Callable[[dict[str, Any]], bool | None]]] = {
    "gender_male": ("gender is male", lambda face: {"male": True, "female": False}.get(face["gender"])),
    "age_child": ("age below 18", lambda face: _age(face) < 18),
    "age_middle": ("age from 30 to below 60", lambda face: 30 <= _age(face) < 60),
    "age_senior": ("age of 60 or more", lambda face: _age(face) >= 60),
    "is_happy": ("happiness above 0.5", lambda face: _number(face["emotion"]["happiness"]) > 0.5),
    "eye_makeup": ("make-up on the eyes", lambda face: _flag(face["makeup"]["eyeMakeup"])),
    "lip_makeup": ("make-up on the lips", lambda face: _flag(face["makeup"]["lipMakeup"])),
    "glasses": ("glasses or goggles of any kind", _glasses),
    "beard": ("beard above 0.5", lambda face: _number(face["facialHair"]["beard"]) > 0.5),
    "sideburns": ("sideburns above 0.5", lambda face: _number(face["facialHair"]["sideburns"]) > 0.5),
    "bald": ("baldness above 0.5", lambda face: _number(face["hair"]["bald"]) > 0.5),
    "hair_black": ("black is the likeliest hair colour", lambda face: _hair(face, "black")),
    "hair_blond": ("blond is the likeliest hair colour", lambda face: _hair(face, "blond")),
    "hair_brown": ("brown is the likeliest hair colour", lambda face: _hair(face, "brown")),
    "hair_gray": ("grey is the likeliest hair colour", lambda face: _hair(face, "gray")),
}
FFHQ_MEANINGS = {name: f"{meaning} (predicted by a face API)" for name, (meaning, _) in RULES.items()}


def label_counts(attributes: pd.DataFrame) -> pd.DataFrame:
    """Count the labels that are used and missing.

    Args:
        attributes: {0, 1, missing}, one column per attribute.

    Returns:
        One row per attribute: `attribute`, `positives`, `negatives`, `missing`.

    Raises:
        TypeError: the attributes are no table.

    Example:
        >>> label_counts(pd.DataFrame({"hat": [1, 0, None, 0]}, dtype="Int8")).to_numpy().tolist()
        [['hat', 1, 2, 1]]
    """
    if not isinstance(attributes, pd.DataFrame):
        raise TypeError(f"attributes must be a table, one column per attribute, got {type(attributes).__name__}")
    counts = {"positives": (attributes == 1).sum(), "negatives": (attributes == 0).sum()}
    counts = pd.DataFrame(counts | {"missing": attributes.isna().sum()}).astype(int)
    return counts.rename_axis("attribute").reset_index()


def read_ffhq_attributes(files: Files, paths: list[str]) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """Read FFHQ's attribute files, one per image; of several faces the first counts.

    They hold the predictions of a face API on the thumbnails, not annotations by people.

    Args:
        files: where the attribute files are.
        paths: of these files, e.g. `json/00000.json`: a list of faces with their `faceAttributes`.

    Returns:
        {0, 1, missing} (Int8) by the `RULES`, indexed by id ("00000"); the ids of the files that hold no face; and the
        files that cannot be read, with the reason.

    Raises:
        ValueError: an id occurs twice; names it.
    """
    ids, rows, without_face, broken = [], [], [], {}
    for path in paths:
        try:
            face = _first_face(files.read(path, MOST_BYTES))
        except (ValueError, TypeError, OSError, RecursionError) as error:
            broken[path] = str(error).splitlines()[0] if str(error) else type(error).__name__
            continue
        if face is None:
            without_face.append(stem(path))
        else:
            rows.append([_apply(rule, face) for _, rule in RULES.values()])
            ids.append(stem(path))
    check_once(ids + without_face, f"{files.root}: the attribute files")
    values = np.array(rows, np.int8).reshape(len(ids), len(RULES))
    frame = pd.DataFrame(values, pd.Index(ids, name="id"), list(RULES), dtype="Int8")
    return frame.mask(frame < 0), without_face, broken


def _first_face(content: bytes) -> dict[str, Any] | None:
    """Return the attributes of the first face in an attribute file; None if it holds no face."""
    if reason := stand_in(content[:512]):
        raise ValueError(reason)
    faces = json.loads(content)
    if not isinstance(faces, list):
        raise ValueError(f"expected a list of faces, got {type(faces).__name__}")
    if not faces:
        return None
    if not isinstance(faces[0], dict) or not isinstance(faces[0].get("faceAttributes"), dict):
        raise ValueError("no 'faceAttributes' in it")
    return faces[0]["faceAttributes"]


def join_by_id(
    labels: pd.DataFrame | pd.Series, ids: list[str], what: str, without: str = "their labels are missing"
) -> pd.DataFrame | pd.Series:
    """Return the rows of the ids, in their order; warn of rows and images without a counterpart.

    Args:
        labels: indexed by id.
        ids: of the images.
        what: the labels in words, for messages, e.g. "list_attr_celeba.txt".
        without: what happens to images without a row, for the warning.

    Returns:
        One row per id; missing where `labels` has none. If no id is equal, ids that are numbers are compared as numbers
        (`number_of`), provided that every image has a row then.

    Raises:
        ValueError: if labels and images have no id in common.
    """
    if not pd.Index(ids).isin(labels.index).any():
        labels = _renumbered(labels, ids, what)
    without_row = ~pd.Index(ids).isin(labels.index)
    without_image = ~labels.index.isin(ids)
    parts = []
    if without_image.any():
        parts.append(f"{without_image.sum():,} rows have no image (the first: {labels.index[without_image][0]})")
    if without_row.any():
        first = ids[without_row.argmax()]
        parts.append(f"{without_row.sum():,} images have no row (the first: {first}), so {without}")
    if parts:
        warnings.warn(f"{what}: {'; '.join(parts)}", stacklevel=2)
    return labels.reindex(pd.Index(ids, name="id"))


def numbers_of(ids: list[str]) -> list[int | None]:
    """Return the number in each id, after the beginning that most of them share; None for ids that are not like this.

    Example:
        >>> numbers_of(["img00000001", "img00000002", "teaser"])
        [1, 2, None]
    """
    matches = [re.fullmatch(r"(.*?)(\d{1,18})", name) for name in ids]
    beginnings = pd.Series([match[1] for match in matches if match], dtype=object).mode()
    return [int(match[2]) if match and match[1] == beginnings[0] else None for match in matches]


def _renumbered(labels: pd.DataFrame | pd.Series, ids: list[str], what: str) -> pd.DataFrame | pd.Series:
    """Return the labels under the ids of the images with the same numbers.

    Numbers that are filled with zeros to different lengths, such as 00001 and 000001, belong to different sets.
    """
    numbers, rows = numbers_of(ids), numbers_of(labels.index.tolist())
    by_number = dict(zip(numbers, ids, strict=True))
    filled = [{len(n) for n in names if n.startswith("0") and len(n) > 1} for names in (ids, labels.index)]
    fits = None not in by_number and len(by_number) == len(ids) and by_number.keys() <= set(rows)
    if not fits or len(set(rows)) < len(rows) or (filled[0] and filled[1] and filled[0] != filled[1]):
        first = labels.index[0] if len(labels) else "missing"
        raise ValueError(
            f"no row of {what} belongs to an image: its first id is {first}, that of the images is {ids[0]}"
        )
    index = labels.index[rows.index(numbers[0])]
    warnings.warn(f"{what}: ids are compared as numbers, {index} with {ids[0]}", stacklevel=3)
    return labels.set_axis(pd.Index([by_number.get(n, name) for n, name in zip(rows, labels.index, strict=True)]))


def _apply(rule: Callable[[dict[str, Any]], bool | None], face: dict[str, Any]) -> int:
    """Return 0, 1, or -1 if the face lacks the field of the rule."""
    try:
        answer = rule(face)
    except (KeyError, TypeError):
        return -1
    return -1 if answer is None else int(answer)
