"""Data sets: images as uint8, float32 in [0, 1] when used, with ids and attributes.

`avatars` are drawn on the first use (`pivq.faces`) and kept in `data/`. Images from elsewhere, CelebA, CelebA-HQ, FFHQ
or any folder, are decoded on the first use (`pivq.readers`) and mapped from a cache after that.
"""

import difflib
import hashlib
import json
import operator
import os
import tempfile
import warnings
import zipfile
import zlib
from contextlib import closing
from dataclasses import astuple, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from pivq import faces, readers
from pivq.image_cache import plain_write_errors
from pivq.paths import atomic_write, data_dir

DATASETS = ("avatars", "celeba", "celebahq", "ffhq")
SPLITS = {"train": 8000, "heldout": 2000}  # avatars in each
WILDEST = 10.0  # a network's output may leave [0, 1]; beyond this it is no image in [0, 1] at all


class ImageDataset(Dataset):
    """Images with ids and, where known, attributes.

    Attributes:
        name: e.g. "avatars"; of an unknown set the folder's name.
        split: "train", "heldout" or "all".
        images: uint8 (N, 3, H, W), RGB. Except for avatars it is mapped from a file: indexing copies only what it
            takes, `images[:n]` and iteration copy nothing, and a set may be larger than the memory.
        ids: N strings, e.g. "train-00042".
        attributes: frame of {0, 1, missing} (Int8), one row an id, one column an attribute; or None.
        meanings: attribute name → what a 1 means.
        choices: frame of the parts and colours that each avatar was drawn from; or None.
        versions: the versions of the packages that made the images.
        fingerprint: 16 hex digits; equal where images, ids, attributes and choices are equal, else different.
    """

    def __init__(
        self,
        images: torch.Tensor,
        ids: list[str],
        name: str,
        split: str,
        fingerprint: str,
        attributes: pd.DataFrame | None = None,
        meanings: dict[str, str] | None = None,
        choices: pd.DataFrame | None = None,
        versions: dict[str, str] | None = None,
    ) -> None:
        self.images, self.ids, self.name, self.split, self.fingerprint = images, ids, name, split, fingerprint
        self.attributes, self.meanings, self.choices = attributes, meanings or {}, choices
        self.versions = versions or {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Return image i as float32 (3, H, W) in [0, 1]."""
        return from_uint8(self.images[operator.index(i)])

    def __repr__(self) -> str:
        """Say what and how many."""
        height, width = self.images.shape[2:]
        return f"ImageDataset({self.name}, {self.split}, {len(self):,} images of {height}×{width})"


def load_dataset(
    name_or_dir: str | os.PathLike,
    split: str = "train",
    image_size: int = 64,
    limit: int | None = None,
    layout: str | None = None,
    on_error: str = "raise",
) -> ImageDataset:
    """Load a data set; draw the avatars, or decode the images, if that has not been done yet.

    Args:
        name_or_dir: a name out of `DATASETS`, of which all but avatars are looked for in `data/<name>/`; or a folder
            or zip of images, see docs/datasets.md.
        split: "train" or "heldout"; of images from elsewhere also "all". No combination of attributes of the avatars
            (8,000 and 2,000) occurs in both. Without an official split a tenth is held out by a hash of the id.
        image_size: height and width in pixels.
        limit: only the first so many images; they are the same whatever the limit, and only they are drawn or decoded.
            None, and of images from elsewhere 0, is all.
        layout: of images from elsewhere, "celeba", "celebahq", "ffhq" or "folder"; None recognises it by file names.
        on_error: when images cannot be read, "raise" an error that lists them, or "skip" them and warn of their number.

    Returns:
        The images, their ids and their attributes.

    Raises:
        ValueError: for an unknown name or split, a size or limit that cannot be, images that cannot be read (as
            `pivq.images.BadImages`), none at all, or labels that are not what they should be.
        OSError: if the set is not in its place, or `data/` cannot be written to and the images are not in it.

    Example:
        >>> faces = load_dataset("avatars", "heldout", limit=4)  # doctest: +SKIP
        >>> faces[0].shape, faces.attributes["glasses"].tolist()  # doctest: +SKIP
        (torch.Size([3, 64, 64]), [0, 1, 0, 0])
    """
    drawn = str(name_or_dir) == "avatars"
    if str(name_or_dir) not in DATASETS and not os.path.lexists(Path(name_or_dir).expanduser()):
        _check_known("data set", str(name_or_dir), DATASETS, ", or a folder or zip that exists")
    _check_known("split", str(split), tuple(SPLITS) if drawn else readers.SPLITS)
    if layout is not None:
        _check_known("layout", str(layout), () if drawn else tuple(readers.EXPECTED))
    _check_known("on_error", str(on_error), ("raise", "skip"))
    if image_size < 8 or image_size != int(image_size):
        raise ValueError(f"image_size must be a whole number of at least 8 pixels, got {image_size}")
    if not drawn:
        if limit is not None and (limit < 0 or limit != int(limit)):
            raise ValueError(f"limit must be a whole number of at least 1, or 0 or None for all, got {limit}")
        count = int(limit) if limit else None
        return ImageDataset(**readers.load(name_or_dir, split, int(image_size), count, layout, on_error))
    if limit is None:
        limit = SPLITS[split]
    if not 1 <= limit <= SPLITS[split] or limit != int(limit):
        raise ValueError(f"limit must be a whole number from 1 to {SPLITS[split]} (all of {split!r}), got {limit}")
    return _load_faces(split, int(image_size), int(limit))


def to_uint8(images: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    """Turn floats in [0, 1] into bytes: round(255 x), values outside clamped to the nearest end.

    Args:
        images: a float tensor or array of any shape. A network's output may leave [0, 1] a little.

    Returns:
        The same kind and shape, uint8. `to_uint8(from_uint8(x))` is x for all 256 levels.

    Raises:
        TypeError: if the values are not floats.
        ValueError: if a value is NaN or infinite, or beyond ±10 (so not an image in [0, 1]).

    Example:
        >>> to_uint8(torch.tensor([-0.1, 0.0, 0.5, 1.0])).tolist()
        [0, 0, 128, 255]
    """
    values = torch.from_numpy(images.copy()) if isinstance(images, np.ndarray) else images.detach()
    if not values.is_floating_point():
        raise TypeError(f"expected floats in [0, 1], got {values.dtype}")
    if values.numel():
        low, high = (bound.item() for bound in torch.aminmax(values))  # NaN if any value is
        if not max(abs(low), abs(high)) <= WILDEST:
            raise ValueError(f"expected values in [0, 1], got {low:g} to {high:g}: not an image in that range")
    levels = (values.float() * 255).round().clamp(0, 255).to(torch.uint8)
    return levels.numpy() if isinstance(images, np.ndarray) else levels


def from_uint8(images: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    """Turn bytes into float32 in [0, 1]: x / 255.

    Args:
        images: a uint8 tensor or array of any shape.

    Returns:
        The same kind and shape, float32.

    Raises:
        TypeError: if the values are not uint8.

    Example:
        >>> from_uint8(np.array([0, 51, 255], dtype=np.uint8)).tolist()
        [0.0, 0.20000000298023224, 1.0]
    """
    if str(images.dtype).removeprefix("torch.") != "uint8":
        raise TypeError(f"expected uint8 levels (0 to 255), got {images.dtype}")
    return images / np.float32(255) if isinstance(images, np.ndarray) else images.float() / 255


def _check_known(kind: str, name: str, known: tuple[str, ...], more: str = "") -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown {kind} {name!r}.{hint} There are: {', '.join(known) or 'none'}{more}")


def _load_faces(split: str, image_size: int, count: int) -> ImageDataset:
    """Read the faces from `data/`, out of the whole split's file if that is there; else draw and keep them."""
    versions = {package: version(package) for package in ("python_avatars", "resvg_py")}
    # The code that draws is part of the name, so that a change to it never meets the faces of before.
    recipe = hashlib.sha256(Path(faces.__file__).read_bytes() + repr(versions).encode()).hexdigest()[:8]
    paths = [data_dir() / f"avatars-{image_size}-{split}-{n}-{recipe}.npz" for n in (count, SPLITS[split])]
    arrays = None
    for path in filter(Path.exists, paths):
        try:
            arrays = _read(path)
            break
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError) as error:
            warnings.warn(f"{path} is damaged ({error}); its faces are drawn again", stacklevel=3)
    if arrays is None:
        with plain_write_errors("the drawn faces", data_dir()):
            data_dir().mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=data_dir()).close()  # a folder that takes no file should say so before the work
        arrays = _draw_faces(split, image_size, count)
        with plain_write_errors("the drawn faces", data_dir()), atomic_write(paths[0]) as temporary:
            np.savez_compressed(temporary, **arrays, sha256=_digest(arrays), made_by=json.dumps(versions))
    arrays = {key: values[:count] for key, values in arrays.items()}
    index = pd.Index(arrays["ids"].tolist(), name="id")
    attributes = pd.DataFrame(arrays["attributes"], index, list(faces.ATTRIBUTES), dtype="Int8")
    return ImageDataset(
        images=torch.from_numpy(arrays["images"]),
        ids=index.tolist(),
        name="avatars",
        split=split,
        fingerprint=_digest(arrays)[:16],
        attributes=attributes.mask(attributes < 0),
        meanings={name: meaning for name, (meaning, _) in faces.ATTRIBUTES.items()},
        choices=pd.DataFrame(arrays["choices"], index, [field.name for field in fields(faces.Face)]),
        versions=versions,
    )


def _draw_faces(split: str, image_size: int, count: int) -> dict[str, np.ndarray]:
    """Draw the first `count` faces of a split, with a progress bar; nothing is written."""
    drawn = faces.draw_split(split, count)
    images = np.empty((count, 3, image_size, image_size), np.uint8)
    with closing(faces.draw_all(drawn, image_size)) as pixels:
        for i, rgb in enumerate(tqdm(pixels, f"drawing the {split} faces, once", count, unit="face", mininterval=1)):
            images[i] = np.frombuffer(rgb, np.uint8).reshape(image_size, image_size, 3).transpose(2, 0, 1)
    return {
        "images": images,
        "ids": np.array([f"{split}-{i:05d}" for i in range(count)]),
        "attributes": np.array([[-1 if v is None else v for v in faces.attributes(face)] for face in drawn], np.int8),
        "choices": np.array([astuple(face) for face in drawn], "U24"),  # one width, whatever the longest name drawn
    }


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays in a file of faces; ValueError if they are not those that were written."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in ("images", "ids", "attributes", "choices")}
        if _digest(arrays) != str(file["sha256"]):
            raise ValueError("its checksum does not match")
    return arrays


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """Return a SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for key, values in arrays.items():
        digest.update(json.dumps([key, str(values.dtype), values.shape]).encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()
