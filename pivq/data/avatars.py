"""The drawn faces as a data set: drawn on first use, kept in `data/`."""

import hashlib
import json
from contextlib import closing
from dataclasses import astuple, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from pivq.data import faces
from pivq.data.arguments import check_choice, whole_number
from pivq.data.dataset import ImageDataset
from pivq.storage.paths import data_dir
from pivq.storage.writing import kept_arrays

SPLITS = {"train": 8000, "heldout": 2000}  # number of avatars in each


def load(split: str, image_size: int, limit: int | None = None, layout: str | None = None) -> ImageDataset:
    """Read the faces from `data/`, also from the file of the whole split; if there are none, draw and keep them.

    Arguments and errors are those of `pivq.data.load.load_dataset`.
    """
    check_choice("split", split, SPLITS)
    if layout is not None:
        raise ValueError(f"the avatars are drawn and have no layout, got layout {layout!r}")
    whole = SPLITS[split]
    count = whole if limit is None else whole_number(limit)
    if count is None or not 1 <= count <= whole:
        raise ValueError(f"limit must be a whole number from 1 to {whole} (all of {split!r}), got {limit!r:.80}")
    limit = count

    versions = {package: version(package) for package in ("python_avatars", "resvg_py")}
    # The name has a digest of the drawing code, so that changed code never reads faces drawn by earlier code.
    recipe = hashlib.sha256(Path(faces.__file__).read_bytes() + repr(versions).encode()).hexdigest()[:8]
    paths = {n: data_dir() / f"avatars-{image_size}-{split}-{n}-{recipe}.npz" for n in (limit, whole)}
    count = next((n for n, path in paths.items() if path.exists()), limit)
    arrays = kept_arrays(
        paths[count], {"made_by": json.dumps(versions)}, lambda: _draw(split, image_size, count), "the drawn faces",
        digest=_digest,
    )  # fmt: skip
    arrays = {key: values[:limit] for key, values in arrays.items()}
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


def _draw(split: str, image_size: int, count: int) -> dict[str, np.ndarray]:
    """Draw the first `count` faces of a split, with a progress bar."""
    drawn = faces.draw_split(split, count)
    images = np.empty((count, 3, image_size, image_size), np.uint8)
    with closing(faces.draw_all(drawn, image_size)) as pixels:
        for i, rgb in enumerate(tqdm(pixels, f"drawing the {split} faces, once", count, unit="face", mininterval=1)):
            images[i] = np.frombuffer(rgb, np.uint8).reshape(image_size, image_size, 3).transpose(2, 0, 1)
    return {
        "images": images,
        "ids": np.array([f"{split}-{i:05d}" for i in range(count)]),
        "attributes": np.array([[-1 if v is None else v for v in faces.attributes(face)] for face in drawn], np.int8),
        "choices": np.array([astuple(face) for face in drawn], "U24"),  # one type for any choices, for the digest
    }


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """Return a SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for key, values in arrays.items():
        digest.update(json.dumps([key, str(values.dtype), values.shape]).encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()
