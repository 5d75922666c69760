"""The drawn faces as a data set: drawn on the first use, kept in `data/`."""

import hashlib
import json
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
from tqdm import tqdm

from pivq.data import faces
from pivq.data.dataset import ImageDataset
from pivq.storage.paths import data_dir
from pivq.storage.writing import atomic_write, plain_write_errors

SPLITS = {"train": 8000, "heldout": 2000}  # avatars in each


def load_faces(split: str, image_size: int, count: int) -> ImageDataset:
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
