"""Attributes and splits that come with a data set: the tables of CelebA, the predicted attributes of FFHQ."""

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pivq.data.files import HTML_PAGE, Files, is_html

PARTITION = {"0": "train", "1": "validation", "2": "heldout"}  # in the list of CelebA; "2" is its test set
LISTED = 10  # the most ids or files that a message names


def _hair(face: dict[str, Any], colour: str) -> bool | None:
    """Return whether a colour is the most confident prediction; None without colours (hidden or no hair)."""
    colours = face["hair"]["hairColor"]
    return max(colours, key=lambda entry: entry["confidence"])["color"] == colour if colours else None


# The 15 binary attributes of Fig. 5 from the fields of FFHQ's attribute files: name → (what a 1 means, rule). The paper
# names five of them and no rule: the thresholds are assumptions. The label is missing if the rule returns None or does
# not find its field. `smile` is not used because it is the same number as `emotion.happiness`.
RULES: dict[str, tuple[str, Callable[[dict[str, Any]], bool | None]]] = {
    "gender_male": ("gender is male", lambda face: {"male": True, "female": False}.get(face["gender"])),
    "age_child": ("age below 18", lambda face: face["age"] < 18),
    "age_middle": ("age from 30 to below 60", lambda face: 30 <= face["age"] < 60),
    "age_senior": ("age of 60 or more", lambda face: face["age"] >= 60),
    "is_happy": ("happiness above 0.5", lambda face: face["emotion"]["happiness"] > 0.5),
    "eye_makeup": ("make-up on the eyes", lambda face: bool(face["makeup"]["eyeMakeup"])),
    "lip_makeup": ("make-up on the lips", lambda face: bool(face["makeup"]["lipMakeup"])),
    "glasses": ("glasses or goggles of any kind", lambda face: face["glasses"] != "NoGlasses"),
    "beard": ("beard above 0.5", lambda face: face["facialHair"]["beard"] > 0.5),
    "sideburns": ("sideburns above 0.5", lambda face: face["facialHair"]["sideburns"] > 0.5),
    "bald": ("baldness above 0.5", lambda face: face["hair"]["bald"] > 0.5),
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

    Example:
        >>> label_counts(pd.DataFrame({"hat": [1, 0, None, 0]}, dtype="Int8")).to_numpy().tolist()
        [['hat', 1, 2, 1]]
    """
    counts = {"positives": (attributes == 1).sum(), "negatives": (attributes == 0).sum()}
    counts = pd.DataFrame(counts | {"missing": attributes.isna().sum()}).astype(int)
    return counts.rename_axis("attribute").reset_index()


def read_celeba_attributes(files: Files, path: str) -> pd.DataFrame:
    """Read CelebA's attributes: `list_attr_celeba.txt`, or the widespread copy of it as `.csv`.

    Args:
        files: where the list is.
        path: of the list. The text file has a line with the number of rows, a line of names, and rows such as
            `000001.jpg -1  1 …`; so has that of CelebAMask-HQ. The `.csv` file has commas and a header.

    Returns:
        {0, 1} (Int8) indexed by id, the file name without its extension; −1 becomes 0.

    Raises:
        ValueError: for rows with too few or too many values, values other than −1 and 1, or an id that occurs twice.
    """
    lines, separator = _read_lines(files, path)
    expected = None
    if separator is None and lines[0][1].strip().isdigit():
        expected = lines.pop(0)[1].strip()
    columns = [name.strip() for name in lines.pop(0)[1].split(separator)] if lines else []
    columns = columns if separator is None else columns[1:]
    ids, values = _read_rows(lines, separator, f"{files.root}: {path}", columns, {"-1": 0, "1": 1})
    if expected is not None and expected != str(len(ids)):
        warnings.warn(
            f"{path} declares {expected} rows in its first line but has {len(ids)}: incomplete download?",
            stacklevel=2,
        )
    return pd.DataFrame(values, pd.Index(ids, name="id"), columns, dtype="Int8")


def read_celeba_partition(files: Files, path: str) -> pd.Series:
    """Read CelebA's official split: `list_eval_partition.txt` (rows `000001.jpg 0`) or `.csv` (with a header).

    Returns:
        "train", "validation" or "heldout" (the test set), indexed by id.

    Raises:
        ValueError: for rows other than a name and 0, 1 or 2, or an id that occurs twice.
    """
    lines, separator = _read_lines(files, path)
    if separator:
        lines.pop(0)
    known = {code: i for i, code in enumerate(PARTITION)}
    ids, values = _read_rows(lines, separator, f"{files.root}: {path}", ["partition"], known)
    return pd.Series(np.array(list(PARTITION.values()), dtype=object)[values[:, 0]], pd.Index(ids, name="id"))


def read_ffhq_attributes(files: Files, paths: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read FFHQ's attribute files, one per image; of several faces the first counts.

    They hold the predictions of a face API on the thumbnails, not annotations by people.

    Args:
        files: where the attribute files are.
        paths: of these files, e.g. `json/00000.json`: a list of faces with their `faceAttributes`.

    Returns:
        {0, 1, missing} (Int8) by the `RULES`, indexed by id ("00000"), and the ids of the files that hold no face.

    Raises:
        ValueError: files without such a list, or an id that occurs twice; names them.
    """
    ids, rows, without_face, broken = [], [], [], {}
    for path in paths:
        name = path.rpartition("/")[2].rpartition(".")[0]
        try:
            with files.open(path) as file:
                content = file.read()
            if is_html(content):
                raise ValueError(HTML_PAGE)
            faces = json.loads(content)
            if not isinstance(faces, list):
                raise ValueError(f"expected a list of faces, got {type(faces).__name__}")
            if not faces:
                without_face.append(name)
                continue
            rows.append([_apply(rule, faces[0]["faceAttributes"]) for _, rule in RULES.values()])
            ids.append(name)
        except (ValueError, KeyError, TypeError, OSError) as error:
            broken[path] = f"no {error} in it" if isinstance(error, KeyError) else str(error)
    if broken:
        reasons = "\n".join(f"  {path}: {reason}" for path, reason in list(broken.items())[:LISTED])
        raise ValueError(
            f"{len(broken):,} of {len(paths):,} attribute files in {files.root} cannot be read:\n{reasons}\n"
            "Download them again or remove them; images without an attribute file have missing labels."
        )
    _check_once(ids + without_face, f"{files.root}: the attribute files")
    values = np.array(rows, np.int8).reshape(len(ids), len(RULES))
    frame = pd.DataFrame(values, pd.Index(ids, name="id"), list(RULES), dtype="Int8")
    return frame.mask(frame < 0), without_face


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
        One row per id; missing where `labels` has none.

    Raises:
        ValueError: if labels and images have no id in common.
    """
    without_row = ~pd.Index(ids).isin(labels.index)
    without_image = ~labels.index.isin(ids)
    if without_row.all():
        raise ValueError(
            f"no row of {what} belongs to an image: its first id is {labels.index[0] if len(labels) else 'missing'}, "
            f"that of the images is {ids[0]}"
        )
    parts = []
    if without_image.any():
        parts.append(f"{without_image.sum():,} rows have no image (the first: {labels.index[without_image][0]})")
    if without_row.any():
        first = ids[without_row.argmax()]
        parts.append(f"{without_row.sum():,} images have no row (the first: {first}), so {without}")
    if parts:
        warnings.warn(f"{what}: {'; '.join(parts)}", stacklevel=2)
    return labels.reindex(pd.Index(ids, name="id"))


def _apply(rule: Callable[[dict[str, Any]], bool | None], face: dict[str, Any]) -> int:
    """Return 0, 1, or -1 if the face lacks the field of the rule."""
    try:
        answer = rule(face)
    except (KeyError, TypeError):
        return -1
    return -1 if answer is None else int(answer)


def _read_lines(files: Files, path: str) -> tuple[list[tuple[int, str]], str | None]:
    """Return the lines that are not blank, with their numbers; and the separator (None is white space)."""
    with files.open(path) as file:
        content = file.read()
    where = f"{files.root}: {path}"
    if is_html(content):
        raise ValueError(f"{where}: {HTML_PAGE}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not text ({error}): download it again") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ValueError(f"{where} is empty: download it again")
    return lines, "," if path.lower().endswith(".csv") else None


def _read_rows(
    lines: list[tuple[int, str]], separator: str | None, where: str, columns: list[str], known: dict[str, int]
) -> tuple[list[str], np.ndarray]:
    """Return the ids and values, int8 (rows, columns), of rows such as `000001.jpg -1 1 …`."""
    ids, values, uneven = [], bytearray(), []
    for number, line in lines:
        name, *row = line.split(separator)
        if len(row) != len(columns):
            uneven.append((number, len(row)))
            continue
        try:
            values += bytes([known[value.strip()] for value in row])
        except KeyError as error:
            raise ValueError(f"{where}, line {number}: {error} is not one of {', '.join(known)}") from None
        ids.append(re.sub(r"\.\w+$", "", name.strip()))
    if uneven:
        number, count = uneven[0]
        raise ValueError(
            f"{where}: {len(uneven):,} of {len(lines):,} rows do not have one value for each of the {len(columns)} "
            f"columns ({', '.join(columns[:3])}, …); the first is line {number} with {count}. Incomplete download?"
        )
    _check_once(ids, where)
    return ids, np.frombuffer(bytes(values), np.int8).reshape(len(ids), len(columns))


def _check_once(ids: list[str], where: str) -> None:
    twice = pd.Index(ids)
    twice = twice[twice.duplicated()]
    if len(twice):
        raise ValueError(f"{where}: {len(twice):,} ids occur more than once: {', '.join(twice[:LISTED])}")
