"""CelebA, CelebA-HQ, FFHQ and any folder of images: recognise the layout, find the labels, split, decode."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pivq.config import suggestion
from pivq.data import labels
from pivq.data.cache import decode_once
from pivq.data.dataset import ImageDataset
from pivq.data.decoding import RESAMPLING, TooFewImages
from pivq.data.files import EXTENSIONS, Files, ids_of
from pivq.storage.paths import data_dir
from pivq.storage.writing import file_digest, kept_arrays

SPLITS = ("train", "heldout", "all")
# What to put into data/<layout>/. See docs/datasets.md for where to get it.
EXPECTED = {
    "celeba": "img_align_celeba/ or img_align_celeba.zip, and, for labels and the official split, "
    "list_attr_celeba.txt and list_eval_partition.txt (or both as .csv)",
    "celebahq": "0.jpg … 29999.jpg, or the images under any other names",
    "ffhq": "00000.png … 69999.png, flat or in folders of thousands, and, for labels, json/00000.json …",
    "folder": f"pictures ({', '.join(EXTENSIONS)})",
}
FFHQ_SIZE, FFHQ_TRAINING = 70_000, 60_000  # the convention of the data set: the first 60,000 are for training
CELEBAHQ_SIZE = 30_000
HELDOUT_TENTH = 10  # without an official split, one image in 10 is held out; source: assumption


@dataclass(frozen=True)
class Reading:
    """The files as a layout reads them: where the pictures are, their ids, splits and labels."""

    pictures: Files
    paths: list[str]
    ids: list[str]
    splits: list[str]  # "train", "heldout", or anything else for neither
    attributes: pd.DataFrame | None  # one row per id, in the order of `ids`
    meanings: dict[str, str]


def load(
    name_or_dir: str | os.PathLike,
    split: str,
    image_size: int,
    limit: int | None = None,
    layout: str | None = None,
    on_error: str = "raise",
) -> ImageDataset:
    """Read a data set; its images are mapped from the cache, not loaded.

    Arguments and errors are those of `pivq.data.load.load_dataset`.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}{suggestion(split, list(SPLITS))}")
    if layout is not None and layout not in EXPECTED:
        raise ValueError(f"unknown layout {layout!r}{suggestion(layout, list(EXPECTED))}")
    if limit is not None and (limit < 0 or limit != int(limit)):
        raise ValueError(f"limit must be a whole number of at least 1, or 0 or None for all, got {limit}")
    limit = int(limit or 0)
    name = str(name_or_dir)
    root = data_dir() / name if name in EXPECTED else Path(name).expanduser()
    layout = layout or (name if name in EXPECTED else None)
    if name in EXPECTED and not root.exists():
        raise FileNotFoundError(
            f"there is no {root}: put {EXPECTED[name]} there, or give their folder (--data DIR); see docs/datasets.md"
        )
    files = Files(root)
    pictures, paths = _find_pictures(files)
    layout = layout or recognise(files, pictures, paths)
    if not paths:
        raise ValueError(f"no pictures in {root} ({len(files.listing):,} other files): expected {EXPECTED[layout]}")
    reading = _READERS[layout](files, pictures, paths, image_size)
    ids = _choose(reading, split, limit, root)
    title = f"{layout}-{image_size}-{split}"
    decoded = decode_once(reading.pictures, list(ids), title, image_size, limit or None, on_error)
    ids = [ids[path] for path in decoded.paths]
    attributes = None if reading.attributes is None else reading.attributes.loc[ids]
    return ImageDataset(
        images=decoded.images,
        ids=ids,
        name=root.resolve().stem if layout == "folder" else layout,
        split=split,
        fingerprint=_fingerprint(image_size, ids, decoded.digests, attributes),
        attributes=attributes,
        meanings=reading.meanings,
        versions=decoded.versions,
    )


def _choose(reading: Reading, split: str, limit: int, root: Path) -> dict[str, str]:
    """Return path → id of the pictures of a split, which must be at least one, and at least `limit`."""
    rows = zip(reading.paths, reading.ids, reading.splits, strict=True)
    ids = {path: name for path, name, part in rows if split in ("all", part)}
    if not ids:
        count = len(reading.ids)
        raise TooFewImages(f'none of the {count:,} images in {root} is in split {split!r}: use "all" or add images')
    if limit > len(ids):
        raise TooFewImages(f"limit {limit:,} is more than the {len(ids):,} images of split {split!r} in {root}")
    return ids


def recognise(files: Files, pictures: Files, paths: list[str]) -> str:
    """Return the layout whose typical names the files have; "folder" when in doubt."""
    names = {path.rpartition("/")[2] for path in files.listing}
    stems = [_stem(path) for path in paths]
    if any("img_align_celeba" in place for place in (*files.listing, str(pictures.root))) or _find_list(
        files, "list_attr_celeba"
    ):
        return "celeba"
    if "CelebAMask-HQ-attribute-anno.txt" in names or set(stems) == set(map(str, range(CELEBAHQ_SIZE))):
        return "celebahq"
    numbered = bool(stems) and all(re.fullmatch("[0-9]{5}", stem) for stem in stems)
    if numbered and (_attribute_files(files) or all(path.lower().endswith(".png") for path in paths)):
        return "ffhq"
    return "folder"


def _find_pictures(files: Files) -> tuple[Files, list[str]]:
    """Return where the pictures are, `files` or a zip in it, and their paths."""
    paths = files.pictures()
    zips = [path for path in files.listing if path.lower().endswith(".zip")] if files.root.is_dir() else []
    celeba = [path for path in zips if _stem(path) == "img_align_celeba"]
    if celeba and not any("img_align_celeba" in path for path in paths):
        zips = celeba
    elif paths or not zips:
        return files, paths
    if len(zips) > 1:
        raise ValueError(f"no pictures in {files.root}, but several zips ({', '.join(zips[:5])}): give one of them")
    pictures = Files(files.root / zips[0])
    return pictures, pictures.pictures()


def _celeba(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read CelebA: numbered pictures; attributes and the official split, if they are there."""
    paths = _only_below("img_align_celeba", paths)
    ids = _stems_as_ids(paths, pictures)
    attributes, splits = _listed_attributes(files, "list_attr_celeba", ids), None
    if path := _find_list(files, "list_eval_partition"):
        partition = labels.read_celeba_partition(files, path)
        splits = labels.join_by_id(partition, ids, path, "they are in no split").fillna("").tolist()
    return Reading(pictures, paths, ids, splits or split_by_hash(ids), attributes, _celeba_meanings(attributes))


def _celebahq(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read CelebA-HQ: pictures with any names; the attributes of CelebAMask-HQ, if they are there."""
    paths = _only_below("CelebA-HQ-img", paths)
    ids = _stems_as_ids(paths, pictures)
    attributes = _listed_attributes(files, "CelebAMask-HQ-attribute-anno", ids)
    return Reading(pictures, paths, ids, split_by_hash(ids), attributes, _celeba_meanings(attributes))


def _ffhq(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read FFHQ: numbered pictures; predicted attributes from one JSON file per image, if they are there."""
    paths = _only_below("thumbnails128x128" if image_size <= 128 else "images1024x1024", paths)
    ids = _stems_as_ids(paths, pictures)
    attributes = None
    if found := _attribute_files(files):
        frame, without_face = _read_ffhq_once(files, found)
        if without_face:
            shown = ", ".join(without_face[: labels.LISTED]) + (", …" if len(without_face) > labels.LISTED else "")
            warnings.warn(
                f"{len(without_face):,} of {len(found):,} attribute files hold no face and are dropped: {shown}",
                stacklevel=3,
            )
            # This warning covers the images without a face in their file; `join_by_id` warns of the others.
            frame = frame.reindex(frame.index.append(pd.Index(without_face, name="id")))
        attributes = labels.join_by_id(frame, ids, "the attribute files")
    whole = set(ids) == {f"{i:05d}" for i in range(FFHQ_SIZE)}
    splits = ["train" if int(i) < FFHQ_TRAINING else "heldout" for i in ids] if whole else split_by_hash(ids)
    return Reading(pictures, paths, ids, splits, attributes, {} if attributes is None else labels.FFHQ_MEANINGS)


def _folder(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read any folder or zip of pictures: no labels."""
    stems = [os.path.splitext(path)[0] for path in paths]  # the ids can change when files are added
    return Reading(pictures, paths, ids_of(paths), split_by_hash(stems), None, {})


_READERS: dict[str, Callable[[Files, Files, list[str], int], Reading]] = {
    "celeba": _celeba,
    "celebahq": _celebahq,
    "ffhq": _ffhq,
    "folder": _folder,
}


def split_by_hash(ids: list[str]) -> list[str]:
    """Return "heldout" for a tenth of the ids and "train" for the others, by a hash of the id.

    An image stays in its split when other images are added or removed.

    Example:
        >>> split_by_hash(["a", "b"]) == split_by_hash(["a", "b", "c"])[:2]
        True
    """
    digests = (hashlib.sha256(name.encode(errors="surrogateescape")).digest() for name in ids)
    return ["train" if int.from_bytes(digest[:8]) % HELDOUT_TENTH else "heldout" for digest in digests]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _only_below(folder: str, paths: list[str]) -> list[str]:
    """Return the paths in a folder whose name begins like this; all paths if there are none."""
    return [path for path in paths if path.startswith(folder) or f"/{folder}" in path] or paths


def _stems_as_ids(paths: list[str], files: Files) -> list[str]:
    """Return the file names without extension, which are the ids in the lists of labels."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(_stem(path), path)
        if other != path:
            raise ValueError(
                f"{files.root} has two pictures with the same id, {other} and {path}: give a folder with only one of "
                'them, or use layout="folder"'
            )
    return list(seen)


def _find_list(files: Files, stem: str) -> str | None:
    """Return the path of a list; a text file before a .csv, and the one in the fewest folders."""
    found = [path for path in files.listing if path.rpartition("/")[2] in (f"{stem}.txt", f"{stem}.csv")]
    return min(found, key=lambda path: (path.endswith(".csv"), path.count("/")), default=None)


def _listed_attributes(files: Files, stem: str, ids: list[str]) -> pd.DataFrame | None:
    """Return the attributes of the ids from a list of CelebA's kind; None if it is not there."""
    path = _find_list(files, stem)
    return labels.join_by_id(labels.read_celeba_attributes(files, path), ids, path) if path else None


def _attribute_files(files: Files) -> list[str]:
    """Return the attribute files of FFHQ: those in `json/`, else all."""
    found = [path for path in files.listing if re.search("(^|/)[0-9]{5}[.]json$", path)]
    return [path for path in found if path.startswith("json/") or "/json/" in path] or found


def _read_ffhq_once(files: Files, paths: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read the attribute files, or their content from the cache, because 70,000 files take many seconds."""

    def read() -> dict[str, np.ndarray]:
        frame, without_face = labels.read_ffhq_attributes(files, paths)
        values = frame.fillna(-1).to_numpy(np.int8)
        return {"values": values, "ids": np.array(frame.index, str), "without_face": np.array(without_face, str)}

    rules = file_digest(Path(labels.__file__))
    cache = data_dir() / "cache" / f"ffhq-labels-{files.digest(paths, rules)}.npz"
    arrays = kept_arrays(cache, {}, read, "the labels")
    index = pd.Index(arrays["ids"].tolist(), name="id")
    frame = pd.DataFrame(arrays["values"], index, list(labels.RULES), "Int8")
    return frame.mask(frame < 0), arrays["without_face"].tolist()


def _celeba_meanings(attributes: pd.DataFrame | None) -> dict[str, str]:
    return {} if attributes is None else {name: name.replace("_", " ").lower() for name in attributes}


def _fingerprint(image_size: int, ids: list[str], digests: list[str], attributes: pd.DataFrame | None) -> str:
    """Return 16 hex digits that change with pixels, order, ids, size, filter and labels, and only with these."""
    digest = hashlib.sha256(json.dumps([image_size, RESAMPLING.name, ids, digests]).encode())
    if attributes is not None:
        digest.update(json.dumps(list(attributes)).encode())
        digest.update(attributes.fillna(-1).to_numpy(np.int8).tobytes())
    return digest.hexdigest()[:16]
