"""Folders of pictures that commands write: claimed, resumed, and shown in an overview."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pivq.commands.argument_types import grid_path
from pivq.data import from_uint8, to_uint8
from pivq.model import PIVQ
from pivq.storage.writing import atomic_write, read_json, write_json

NAME = "{:06d}.png"  # of a picture, by its number
BATCH = 64  # pictures decoded at a time; fixed, so that a resumed job makes the same ones
GRID = 64  # pictures in an overview


def claim(note: Path, made_from: dict[str, Any], what: str, other: str) -> None:
    """Take an empty folder for pictures, or one that holds some that are made from the same.

    Args:
        note: file in the folder that says what its pictures are made from.
        made_from: plain values.
        what: the pictures in a word, e.g. "samples".
        other: what else they would be of, e.g. "another run or seed".

    Raises:
        FileExistsError: the folder holds something else.
    """
    folder = note.parent
    if not note.exists():
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty and holds no {what}: choose another folder")
        write_json(note, made_from, indent=None)
    try:
        found = read_json(note)
    except ValueError as error:
        advice = f"choose another folder, or delete this one to make the {what} again"
        raise FileExistsError(f"{error}; {advice}") from error
    if found != made_from:
        raise FileExistsError(
            f"{folder} holds {what} of {other}, says {note.name}: choose another folder, or delete it"
        )


def write_missing(model: PIVQ, codes: Tensor, paths: Sequence[Path]) -> int:
    """Write the images of codes `(B, L)` as PNG files, but those that are there and whole; return how many were made.

    All are decoded together if any is missing: one image's last bit may depend on its batch.
    """
    missing = [i for i, path in enumerate(paths) if not _is_whole(path, model.config.image_size)]
    images = to_uint8(model.decode(codes)).permute(0, 2, 3, 1).cpu().numpy() if missing else ()
    for i in missing:
        with atomic_write(paths[i]) as picture:
            Image.fromarray(images[i]).save(picture)
    return len(missing)


def _is_whole(path: Path, size: int) -> bool:
    """Tell whether a picture is there, whole and of this size; PNG has checksums."""
    try:
        with Image.open(path) as picture:
            picture.verify()
            return (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (size, size))
    except Exception:  # a damaged file can make Pillow raise nearly anything
        return False


def write_grid(folder: Path, names: Sequence[str]) -> Path:
    """Write an overview of a folder's first pictures to `grid_path`; return that."""
    pixels = []
    for name in names[:GRID]:
        with Image.open(folder / name) as picture:
            pixels.append(np.array(picture))
    from torchvision.utils import save_image  # here: it takes seconds, and most processes never need it

    path = grid_path(folder)
    with atomic_write(path) as temporary:
        save_image(from_uint8(torch.from_numpy(np.stack(pixels))).permute(0, 3, 1, 2), temporary, nrow=8, padding=1)
    return path
