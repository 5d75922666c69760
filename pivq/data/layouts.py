"""The data sets of the paper and any folder of images: recognise the layout, find the labels, split, decode."""

import hashlib
import json
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pivq.data import labels
from pivq.data.cache import decode_once
from pivq.data.decoding import RESAMPLING, TooFewImages
from pivq.data.files import EXTENSIONS, Files, ids_of
from pivq.storage.paths import data_dir
from pivq.storage.writing import atomic_write, plain_write_errors

SPLITS = ("train", "heldout", "all")
# What to put into data/<layout>/; docs/datasets.md says where to get it.
EXPECTED = {
    "celeba": "img_align_celeba/ or img_align_celeba.zip, and, for labels and the official split, "
    "list_attr_celeba.txt and list_eval_partition.txt (or both as .csv)",
    "celebahq": "0.jpg … 29999.jpg, or the images under any other names",
    "ffhq": "00000.png … 69999.png, flat or in folders of thousands, and, for labels, json/00000.json …",
    "folder": f"pictures ({', '.join(EXTENSIONS)})",
}
FFHQ_SIZE, FFHQ_TRAINING = 70_000, 60_000  # the data set's own convention: the first 60,000 train
CELEBAHQ_SIZE = 30_000
HELDOUT_TENTH = 10  # where no official split exists, one image in so many is held out; source: assumption


@dataclass(frozen=True)
class Reading:
    """What a layout makes of the files: where the pictures are, their ids, splits and labels."""

    pictures: Files
    paths: list[str]
    ids: list[str]
    splits: list[str]  # "train", "heldout" or, for neither, anything else
    attributes: pd.DataFrame | None  # one row an id, in the order of `ids`
    meanings: dict[str, str]


def load(
    name_or_dir: str | os.PathLike,
    split: str,
    image_size: int,
    limit: int | None = None,
    layout: str | None = None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Read a data set; arguments as in `pivq.data.load.load_dataset`.

    Returns:
        What `pivq.data.dataset.ImageDataset` is made of. The images are mapped from the cache, not loaded.
    """
    name = str(name_or_dir)
    root = data_dir() / name if name in EXPECTED else Path(name_or_dir).expanduser()
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

    chosen = [i for i, part in enumerate(reading.splits) if split in ("all", part)]
    if not chosen:
        count = len(reading.ids)
        raise TooFewImages(f'no image of the {count:,} in {root} is in split {split!r}: use "all" or add some')
    if limit and limit > len(chosen):
        raise TooFewImages(f"limit {limit:,} is more than the {len(chosen):,} images of split {split!r} in {root}")
    ids = {reading.paths[i]: reading.ids[i] for i in chosen}
    title = f"{layout}-{image_size}-{split}"
    decoded = decode_once(reading.pictures, list(ids), title, image_size, limit or None, on_error)
    ids = [ids[path] for path in decoded.paths]
    attributes = None if reading.attributes is None else reading.attributes.loc[ids]
    return {
        "images": decoded.images,
        "ids": ids,
        "name": root.resolve().stem if layout == "folder" else layout,
        "split": split,
        "fingerprint": _fingerprint(image_size, ids, decoded.digests, attributes),
        "attributes": attributes,
        "meanings": reading.meanings,
        "versions": decoded.versions,
    }


def recognise(files: Files, pictures: Files, paths: list[str]) -> str:
    """Return the layout that the names of files and pictures are typical of; "folder" when in doubt."""
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
    """Read CelebA: pictures by number, attributes and the official split where they are."""
    paths = _only_below("img_align_celeba", paths)
    ids = _stems_as_ids(paths, pictures)
    attributes = splits = None
    if path := _find_list(files, "list_attr_celeba"):
        attributes = labels.join_by_id(labels.read_celeba_attributes(files, path), ids, path)
    if path := _find_list(files, "list_eval_partition"):
        partition = labels.read_celeba_partition(files, path)
        splits = labels.join_by_id(partition, ids, path, "they are in no split").fillna("").tolist()
    return Reading(pictures, paths, ids, splits or split_by_hash(ids), attributes, _celeba_meanings(attributes))


def _celebahq(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read CelebA-HQ: pictures under any names; CelebAMask-HQ's list of attributes if it is there."""
    paths = _only_below("CelebA-HQ-img", paths)
    ids = _stems_as_ids(paths, pictures)
    attributes = None
    if path := _find_list(files, "CelebAMask-HQ-attribute-anno"):
        attributes = labels.join_by_id(labels.read_celeba_attributes(files, path), ids, path)
    return Reading(pictures, paths, ids, split_by_hash(ids), attributes, _celeba_meanings(attributes))


def _ffhq(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read FFHQ: pictures by number, predicted attributes from one JSON file an image."""
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
            # Images without a face in their file are known to have no labels: only others are worth a word.
            frame = frame.reindex(frame.index.append(pd.Index(without_face, name="id")))
        attributes = labels.join_by_id(frame, ids, "the attribute files")
    whole = set(ids) == {f"{i:05d}" for i in range(FFHQ_SIZE)}
    splits = ["train" if int(i) < FFHQ_TRAINING else "heldout" for i in ids] if whole else split_by_hash(ids)
    return Reading(pictures, paths, ids, splits, attributes, {} if attributes is None else labels.FFHQ_MEANINGS)


def _folder(files: Files, pictures: Files, paths: list[str], image_size: int) -> Reading:
    """Read any folder or zip of pictures: no labels."""
    stems = [os.path.splitext(path)[0] for path in paths]  # not the ids, which another file can change
    return Reading(pictures, paths, ids_of(paths), split_by_hash(stems), None, {})


_READERS: dict[str, Callable[[Files, Files, list[str], int], Reading]] = {
    "celeba": _celeba,
    "celebahq": _celebahq,
    "ffhq": _ffhq,
    "folder": _folder,
}


def split_by_hash(ids: list[str]) -> list[str]:
    """Return "heldout" for a tenth of the ids and "train" for the others, by the id alone.

    An image stays in its split whatever images are added or removed.

    Example:
        >>> split_by_hash(["a", "b"]) == split_by_hash(["a", "b", "c"])[:2]
        True
    """
    digests = (hashlib.sha256(name.encode(errors="surrogateescape")).digest() for name in ids)
    return ["train" if int.from_bytes(digest[:8]) % HELDOUT_TENTH else "heldout" for digest in digests]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _only_below(folder: str, paths: list[str]) -> list[str]:
    """Return the paths in a folder of that name, or that begins with it; all paths if none is."""
    return [path for path in paths if path.startswith(folder) or f"/{folder}" in path] or paths


def _stems_as_ids(paths: list[str], files: Files) -> list[str]:
    """Return the file names without extension, by which the labels know them."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(_stem(path), path)
        if other != path:
            raise ValueError(
                f"{files.root} has two pictures of one id, {other} and {path}: give the folder that holds only one of "
                'them, or use layout="folder"'
            )
    return list(seen)


def _find_list(files: Files, stem: str) -> str | None:
    """Return the path of a list, the text file before the .csv, the outermost first."""
    found = [path for path in files.listing if path.rpartition("/")[2] in (f"{stem}.txt", f"{stem}.csv")]
    return min(found, key=lambda path: (path.endswith(".csv"), path.count("/")), default=None)


def _attribute_files(files: Files) -> list[str]:
    """Return FFHQ's attribute files: in `json/`, else wherever they are."""
    found = [path for path in files.listing if re.search("(^|/)[0-9]{5}[.]json$", path)]
    return [path for path in found if path.startswith("json/") or "/json/" in path] or found


def _read_ffhq_once(files: Files, paths: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read the attribute files, or what was read from them before: 70,000 files take a while."""
    rules = hashlib.sha256(Path(labels.__file__).read_bytes()).hexdigest()
    cache = data_dir() / "cache" / f"ffhq-labels-{files.digest(paths, rules)}.npz"
    if cache.exists():
        try:
            with np.load(cache) as file:
                index = pd.Index(file["ids"].tolist(), name="id")
                frame = pd.DataFrame(file["values"], index, list(labels.RULES), "Int8")
                return frame.mask(frame < 0), file["without_face"].tolist()
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError) as error:
            warnings.warn(f"{cache} is damaged ({error}); the labels are read again", stacklevel=4)
    frame, without_face = labels.read_ffhq_attributes(files, paths)
    with plain_write_errors("the labels", cache.parent), atomic_write(cache) as temporary:
        np.savez_compressed(
            temporary,
            values=frame.fillna(-1).to_numpy(np.int8),
            ids=np.array(frame.index, str),
            without_face=np.array(without_face, str),
        )
    return frame, without_face


def _celeba_meanings(attributes: pd.DataFrame | None) -> dict[str, str]:
    return {} if attributes is None else {name: name.replace("_", " ").lower() for name in attributes}


def _fingerprint(image_size: int, ids: list[str], digests: list[str], attributes: pd.DataFrame | None) -> str:
    """Return 16 hex digits that change with pixels, order, ids, size, filter and labels, and with nothing else."""
    digest = hashlib.sha256(json.dumps([image_size, RESAMPLING.name, ids, digests]).encode())
    if attributes is not None:
        digest.update(json.dumps(list(attributes)).encode())
        digest.update(attributes.fillna(-1).to_numpy(np.int8).tobytes())
    return digest.hexdigest()[:16]
