"""Data sets of photographs: find the pictures, choose the split, decode, and say what is not as expected."""

import hashlib
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from pivq.data.arguments import check_choice, whole_number
from pivq.data.cache import decode_once
from pivq.data.dataset import ImageDataset
from pivq.data.decoding import RESAMPLING, BadImages, TooFewImages
from pivq.data.files import ARCHIVES, EXTENSIONS, PACKED, TABLES, Files
from pivq.data.layouts import EXPECTED, READERS, Reading
from pivq.data.places import BY_DESIGN, find_pictures, recognise
from pivq.storage.paths import data_dir

SPLITS = ("train", "heldout", "all")


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
    check_choice("split", split, SPLITS)
    count = 0 if limit is None else whole_number(limit)
    if count is None or count < 0:
        raise ValueError(f"limit must be a whole number of at least 1, or 0 or None for all, got {limit!r:.80}")
    limit = count
    files, recognised, reading = read(name_or_dir, layout, image_size)
    if files.unreadable and on_error == "raise":
        raise BadImages(files.unreadable, None, files.root)
    given = layout is not None or str(name_or_dir) in EXPECTED
    for note in notes(files, recognised, reading, split, given):
        warnings.warn(note, stacklevel=3)
    ids = _choose(reading, split, limit, files.root)
    title = f"{recognised}-{image_size}-{split}"
    decoded = decode_once(reading.pictures, list(ids), title, image_size, limit or None, on_error)
    ids = [ids[path] for path in decoded.paths]
    attributes = None if reading.attributes is None else reading.attributes.loc[ids]
    return ImageDataset(
        images=decoded.images,
        ids=ids,
        name=files.root.resolve().stem if recognised == "folder" else recognised,
        split=split,
        fingerprint=_fingerprint(image_size, ids, decoded.digests, attributes),
        attributes=attributes,
        meanings=reading.meanings,
        versions=decoded.versions,
        left_out=files.unreadable | decoded.bad,
    )


def read(name_or_dir: str | os.PathLike, layout: str | None, image_size: int) -> tuple[Files, str, Reading]:
    """Return the files of a data set, its layout and what that reads of them; decode nothing.

    Raises:
        ValueError: an unknown layout; no pictures.
        OSError: the data set is not in its place.
    """
    if layout is not None:
        check_choice("layout", layout, EXPECTED)
    name = str(name_or_dir)
    root = data_dir() / name if name in EXPECTED else Path(name).expanduser()
    layout = layout or (name if name in EXPECTED else None)
    if name in EXPECTED and not root.exists():
        raise FileNotFoundError(
            f"there is no {root}: put {EXPECTED[name]} there, or give their folder (--data DIR); see docs/datasets.md"
        )
    files = Files(root)
    pictures, paths, beside = find_pictures(files)
    layout = layout or recognise(files, pictures, paths)
    if not paths:
        found = [*_pictures_not_read(pictures), *_archives_not_read(pictures)]
        if packed := [path for path in pictures.listing if path.lower().endswith(PACKED)]:
            found.append(f"{packed[0]} may hold pictures: unpack them into files first, one per picture")
        others = "".join(f"; {note}" for note in found)
        hidden = f", {pictures.hidden:,} hidden" if pictures.hidden else ""
        raise ValueError(
            f"no pictures in {root} ({len(files.listing):,} other files{hidden}): expected {EXPECTED[layout]}{others}"
        )
    reading = READERS[layout](files, pictures, paths, image_size)
    reading.left_out.extend(beside)
    return files, layout, reading


def notes(files: Files, layout: str, reading: Reading, split: str = "all", given: bool = False) -> list[str]:
    """Return what a user would not expect: what is left out, and which split or labels are not found.

    Args:
        files: of the data set.
        layout: as which it is read.
        reading: what that reads.
        split: only if it is not "all", a missing official split is told.
        given: the layout is the user's choice.
    """
    found = [f"the folder {path} cannot be read and is left out: {why}" for path, why in files.unreadable.items()]
    for place in {id(place): place for place in (files, reading.pictures)}.values():  # a folder and a zip in it, or one
        found += _pictures_not_read(place)
    if left := [path for path in reading.left_out if not any(f"{part}/" in path for part in BY_DESIGN)]:
        found.append(f"{len(left):,} pictures outside the folder that {layout} reads are left out: {left[0]}, …")
    if reading.no_split and split != "all":
        found.append(reading.no_split)
    if reading.no_labels:
        other = "" if given else '; if this is another set, use layout="folder" (--layout folder)'
        found.append(f"{reading.no_labels}: the images have no labels{other}")
    # CelebA's zip may lie beside the folder of its pictures, but none in another zip is read.
    if reading.pictures is files and (layout == "folder" and not given or files.root.is_file()):
        found += _archives_not_read(files)
    if reading.attributes is None and layout != "celeba" and not (given and layout == "folder"):
        tables = [path for path in files.listing if path.lower().endswith(TABLES) or path.endswith("dataset.json")]
        if tables := [path for path in tables if path.rpartition("/")[2] != "pairs.csv"]:  # written by `pivq sample`
            found.append(f"{tables[0]} is not read: labels come from the lists and files in docs/datasets.md")
    return found


def _pictures_not_read(files: Files) -> list[str]:
    counts, found = files.left_out(), []
    if counts:
        shown = ", ".join(f"{count:,} {ending or 'without extension'}" for ending, count in sorted(counts.items()))
        total = f"{counts.total():,} pictures in {files.root} are left out"
        found.append(f"{total} ({shown}): convert or rename them to be read")
    if special := [path for path in files.special if path.lower().endswith(EXTENSIONS)]:
        total = f"{len(special):,} pipes, sockets or devices with names of pictures are left out"
        found.append(f"{total}: {special[0]!r:.80}, …")
    if replaced := files.replaced:
        found.append(
            f"{files.root} holds {len(replaced):,} files that are left out, since a later one has the same name: "
            f"{replaced[0]!r:.80}, …"
        )
    return found


def _archives_not_read(files: Files) -> list[str]:
    archives = [path for path in files.listing if path.lower().endswith(ARCHIVES)]
    return [f"{len(archives):,} archives beside the pictures are not read: {archives[0]}, …"] if archives else []


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


def _fingerprint(image_size: int, ids: list[str], digests: list[str], attributes: pd.DataFrame | None) -> str:
    """Return 16 hex digits that change with pixels, order, ids, size, filter and labels, and only with these."""
    digest = hashlib.sha256(json.dumps([image_size, RESAMPLING.name, ids, digests]).encode())
    if attributes is not None:
        digest.update(json.dumps(list(attributes)).encode())
        digest.update(attributes.fillna(-1).to_numpy(np.int8).tobytes())
    return digest.hexdigest()[:16]
