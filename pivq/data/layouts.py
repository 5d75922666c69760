"""CelebA, CelebA-HQ, FFHQ and any folder of images: which pictures, ids, splits and labels their files give."""

import hashlib
import os
import posixpath
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pivq.data import labels, lists
from pivq.data.files import EXTENSIONS, Files, ids_of, normal, stem
from pivq.data.places import FFHQ_SIZE, attribute_files, find_list, only_below
from pivq.storage.paths import data_dir
from pivq.storage.writing import file_digest, kept_arrays

# What to put into data/<layout>/. See docs/datasets.md for where to get it.
EXPECTED = {
    "celeba": "img_align_celeba/ or img_align_celeba.zip, and, for labels and the official split, "
    "list_attr_celeba.txt and list_eval_partition.txt (or both as .csv)",
    "celebahq": "0.jpg … 29999.jpg, or the images under any other names",
    "ffhq": "00000.png … 69999.png, flat or in folders of thousands, and, for labels, json/00000.json …",
    "folder": f"pictures ({', '.join(EXTENSIONS)})",
}
FFHQ_TRAINING = 60_000  # the convention of the data set: the first 60,000 are for training
HELDOUT_TENTH = 10  # without an official split, one image in 10 is held out; source: assumption
BY_HASH = "a tenth is held out, by a hash of the id"
TRAIN_FOLDERS, HELDOUT_FOLDERS = ("train", "training"), ("valid", "val", "validation", "test", "testing")


@dataclass(frozen=True)
class Reading:
    """The files as a layout reads them: where the pictures are, their ids, splits and labels."""

    pictures: Files
    paths: list[str]
    ids: list[str]
    attributes: pd.DataFrame | None = None  # one row per id, in the order of `ids`
    meanings: dict[str, str] = field(default_factory=dict)
    no_labels: str = ""  # why there are no labels, where the set has some
    left_out: list[str] = field(default_factory=list)  # pictures outside the folder that the layout reads
    splits: list[str] = field(default_factory=list)  # "train", "heldout", or anything else for neither
    split_by: str = BY_HASH
    no_split: str = ""  # what of the set's official split is missing


def celeba(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read CelebA: numbered pictures; attributes and the official split, if they are there."""
    paths, others = only_below("img_align_celeba", paths)
    partition = find_list(files, "list_eval_partition")
    ids, clash = _stems_as_ids(paths)
    if clash and partition:
        raise ValueError(f'{pictures.root} has {clash}: give a folder with only one of them, or use layout="folder"')
    if partition:
        place, path = partition
        parts = lists.read_celeba_partition(place, path)
        splits = labels.join_by_id(parts, ids, path, "they are in no split").fillna("").tolist()
        split = {"splits": splits, "split_by": f"the official split, {path}"}
    else:
        missing = f"CelebA's official split, list_eval_partition.txt or .csv, is not in {files.root} or above"
        split = {"splits": split_by_hash(ids), "no_split": f"{missing}: {BY_HASH}"}
    attributes, no_labels = _listed_attributes(files, "list_attr_celeba", ids, clash)
    return Reading(pictures, paths, ids, attributes, _celeba_meanings(attributes), no_labels, others, **split)


def celebahq(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read CelebA-HQ: pictures with any names; the attributes of CelebAMask-HQ, if they are there."""
    paths, others = only_below("CelebA-HQ-img", paths)
    ids, clash = _stems_as_ids(paths)
    split = {"splits": split_by_hash(ids)} | _split_by_folders(paths)
    attributes, no_labels = _listed_attributes(files, "CelebAMask-HQ-attribute-anno", ids, clash)
    return Reading(pictures, paths, ids, attributes, _celeba_meanings(attributes), no_labels, others, **split)


def ffhq(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read FFHQ: numbered pictures; predicted attributes from one JSON file per image, if they are there."""
    paths, others = only_below("thumbnails128x128" if image_size <= 128 else "images1024x1024", paths)
    ids, clash = _stems_as_ids(paths)
    place, found = attribute_files(files)
    attributes, no_labels = None, f"FFHQ's attribute files, json/00000.json …, are not in {files.root} or above"
    if found:
        attributes, no_labels = _labels_or_reason(_ffhq_attributes, place, found, ids, clash)
    numbers = labels.numbers_of([stem(path) for path in paths])
    known = Counter(number for number in numbers if number is not None and number < FFHQ_SIZE)
    if len(known) == known.total() == FFHQ_SIZE:
        splits = ["" if n not in known else "train" if n < FFHQ_TRAINING else "heldout" for n in numbers]
        split = {"splits": splits, "split_by": f"the official split, the first {FFHQ_TRAINING:,} to train"}
        if len(paths) > FFHQ_SIZE:
            first = paths[splits.index("")]
            extra = len(paths) - FFHQ_SIZE
            split["no_split"] = f"{extra:,} pictures are not among FFHQ's {FFHQ_SIZE:,} and are in no split: {first}, …"
    else:
        missing = f"FFHQ's official split needs all {FFHQ_SIZE:,} images, and {len(known):,} of them are there"
        split = {"splits": split_by_hash(ids), "no_split": f"{missing}: {BY_HASH}"}
    meanings = {} if attributes is None else labels.FFHQ_MEANINGS
    return Reading(pictures, paths, ids, attributes, meanings, no_labels, others, **split)


def folder(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read any folder or zip of pictures: no labels."""
    stems = [os.path.splitext(path)[0] for path in paths]  # the ids can change when files are added
    split = {"splits": split_by_hash(stems)} | _split_by_folders(paths)
    return Reading(pictures, paths, ids_of(paths), **split)


READERS: dict[str, Callable[[Files, Files, list[str], int], Reading]] = {
    "celeba": celeba,
    "celebahq": celebahq,
    "ffhq": ffhq,
    "folder": folder,
}


def split_by_hash(ids: list[str]) -> list[str]:
    """Return "heldout" for a tenth of the ids and "train" for the others, by a hash of the id.

    An image stays in its split when other images are added or removed.

    Example:
        >>> split_by_hash(["a", "b"]) == split_by_hash(["a", "b", "c"])[:2]
        True
    """
    digests = (hashlib.sha256(normal(name).encode(errors="surrogateescape")).digest() for name in ids)
    return ["train" if int.from_bytes(digest[:8]) % HELDOUT_TENTH else "heldout" for digest in digests]


def _split_by_folders(paths: list[str]) -> dict[str, Any]:
    """Return splits of pictures that lie in folders such as `train/` and `valid/`; nothing where there are none.

    Where other pictures lie beside two such folders, it is not known where these belong: the hash decides, and that is
    said.
    """
    common = posixpath.commonpath([posixpath.dirname(path) for path in paths]) if paths else ""
    parts = [path.removeprefix(common).lstrip("/").partition("/")[0].lower() for path in paths]
    found = sorted({*parts} & {*TRAIN_FOLDERS, *HELDOUT_FOLDERS})
    if not {*found} & {*TRAIN_FOLDERS} or not {*found} & {*HELDOUT_FOLDERS}:
        return _other_split_folders(paths)
    if {*parts} - {*found}:
        beside = next(path for path, part in zip(paths, parts, strict=True) if part not in found)
        return {"no_split": f"the folders {', '.join(found)} decide no split, since {beside} is in none: {BY_HASH}"}
    splits = ["train" if part in TRAIN_FOLDERS else "heldout" for part in parts]
    return {"splits": splits, "split_by": f"its folders {', '.join(found)}"}


def _other_split_folders(paths: list[str]) -> dict[str, str]:
    """Say that folders decide no split, of names such as `train_images/`, or below others: `cats/train/`."""
    names = sorted({name for path in paths for name in posixpath.dirname(path).split("/")})
    words = {name: {*re.split("[^a-z]+", name.lower())} for name in names}
    alike = [next((name for name in names if words[name] & {*kind}), "") for kind in (TRAIN_FOLDERS, HELDOUT_FOLDERS)]
    if not all(alike) or alike[0] == alike[1]:
        return {}
    reason = "since only train/ and valid/ at the top, with no others beside them, do"
    return {"no_split": f"the folders {' and '.join(alike)} decide no split, {reason}: {BY_HASH}"}


def _stems_as_ids(paths: list[str]) -> tuple[list[str], str]:
    """Return the file names without extension, which are the ids in lists of labels.

    Where two pictures would have the same id, return paths as ids, which no list has, and a text that names the two.
    """
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(stem(path), path)
        if other != path:
            return ids_of(paths), f"two pictures with the same id, {other} and {path}"
    return list(seen), ""


def _labels_or_reason(read: Callable[..., Any], place: Files, path: Any, ids: list[str], clash: str) -> tuple[Any, str]:
    """Return labels, or None and why they cannot be used: faulty labels do not stop the pictures."""
    if clash:
        return None, f"{place.root} has labels and {clash}"
    try:
        return read(place, path, ids), ""
    except (ValueError, OSError) as error:
        return None, f"the labels in {place.root} do not fit ({error})"


def _listed_attributes(files: Files, name: str, ids: list[str], clash: str) -> tuple[pd.DataFrame | None, str]:
    """Return the attributes of the ids from a list of CelebA's kind; None and the reason without it."""

    def read(place: Files, path: str, ids: list[str]) -> pd.DataFrame:
        return labels.join_by_id(lists.read_celeba_attributes(place, path), ids, path)

    if found := find_list(files, name):
        return _labels_or_reason(read, *found, ids, clash)
    return None, f"the labels, {name}.txt or .csv, are not in {files.root} or above"


def _ffhq_attributes(files: Files, found: list[str], ids: list[str]) -> pd.DataFrame:
    """Return the attributes of the ids from FFHQ's attribute files; warn of files without a face or labels."""
    frame, without_face, broken = _read_ffhq_once(files, found)
    for names, what in ((without_face, "hold no face and are dropped"), (broken, "cannot be read and are dropped")):
        if names:
            shown = ", ".join(names[: lists.LISTED]) + (", …" if len(names) > lists.LISTED else "")
            warnings.warn(f"{len(names):,} of {len(found):,} attribute files {what}: {shown}", stacklevel=3)
    if not len(frame):
        raise ValueError("none of the attribute files holds a face")
    # These warnings cover the images with such a file; `join_by_id` warns of the others.
    dropped = without_face + [stem(line.partition(": ")[0]) for line in broken]
    frame = frame.reindex(frame.index.append(pd.Index(dropped, name="id")))
    return labels.join_by_id(frame, ids, "the attribute files")


def _read_ffhq_once(files: Files, paths: list[str]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Read the attribute files, or their content from the cache, because 70,000 files take many seconds."""

    def read() -> dict[str, np.ndarray]:
        frame, without_face, broken = labels.read_ffhq_attributes(files, paths)
        lines = [f"{path}: {reason}" for path, reason in broken.items()]
        return {
            "values": frame.fillna(-1).to_numpy(np.int8),
            "ids": np.array(frame.index, str),
            "without_face": np.array(without_face, str),
            "broken": np.array(lines, str),
        }

    def digest(arrays: dict[str, np.ndarray]) -> str:
        content = [arrays[name].tobytes() for name in ("values", "ids", "without_face", "broken")]
        return hashlib.sha256(b"|".join(content)).hexdigest()

    rules = file_digest(Path(labels.__file__))
    cache = data_dir() / "cache" / f"ffhq-labels-{files.digest(paths, rules)}.npz"
    arrays = kept_arrays(cache, {}, read, "the labels", digest)
    index = pd.Index(arrays["ids"].tolist(), name="id")
    frame = pd.DataFrame(arrays["values"], index, list(labels.RULES), "Int8")
    return frame.mask(frame < 0), arrays["without_face"].tolist(), arrays["broken"].tolist()


def _celeba_meanings(attributes: pd.DataFrame | None) -> dict[str, str]:
    return {} if attributes is None else {name: name.replace("_", " ").lower() for name in attributes}
