"""Whether a run was trained on the images that it is now used with: the same settings do not say so."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pivq.data import ImageDataset
from pivq.paths import atomic_write

SIGNED_IMAGES = 256  # of a split: with all ids enough to tell data sets apart, without reading gigabytes


class OtherImages(ValueError):
    """A run was trained on other images than those that it is now used with."""


def signature(dataset: ImageDataset) -> str:
    """Return 16 hex digits that change with the ids of a split and with the images spread over it."""
    digest = hashlib.sha256(json.dumps(list(dataset.ids)).encode())
    for index in range(0, len(dataset.ids), max(1, len(dataset.ids) // SIGNED_IMAGES)):
        digest.update(dataset.images[index].numpy().tobytes())
    return digest.hexdigest()[:16]


def note_images(folder: Path, splits: Mapping[str, ImageDataset]) -> None:
    """Write to a run's folder which images it is trained on."""
    with atomic_write(folder / "images.json") as temporary:
        temporary.write_text(json.dumps({name: signature(split) for name, split in splits.items()}, indent=1) + "\n")


def check_images(folder: Path, splits: Mapping[str, ImageDataset]) -> None:
    """See that what lies in a run's folder, if anything, was made from these images.

    Raises:
        OtherImages: it was not; says what to do.
    """
    path = folder / "images.json"
    for name, noted in json.loads(path.read_text()).items() if path.exists() else ():
        if noted != signature(splits[name]):
            raise OtherImages(
                f"{folder} was trained on other images than {splits[name]}: give the data that it was trained on, or "
                "delete that folder to train anew"
            )
