"""The folder of a cache of decoded images while it is built, and the marks by which it is checked afterwards."""

import hashlib
import io
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from pivq.storage.writing import write_json, write_text


class PartialCache:
    """A cache that is being built, in `<folder>.partial`; a process may be killed at any time, and another resumes.

    `images.npy` gets the pixels of a chunk of pictures, then `progress.jsonl` one line with their paths and digests.

    Attributes:
        images: path → digest of the pixels, in the order of the rows.
        bad: path → reason, for the pictures that cannot be decoded.
    """

    def __init__(self, folder: Path, image_size: int, owner: str = "") -> None:
        self.folder, self.partial = folder, folder.with_name(f"{folder.name}{owner}.partial")
        self.rows, self.progress = self.partial / "images.npy", self.partial / "progress.jsonl"
        self.shape, self.row_bytes = (3, image_size, image_size), 3 * image_size**2
        self.images: dict[str, str] = {}
        self.bad: dict[str, str] = {}
        self.partial.mkdir(exist_ok=True)

    def resume(self, paths: list[str]) -> int:
        """Keep the leading chunks on disk that are undamaged and belong to these paths; drop the rest.

        Returns:
            The number of paths that are done, readable or not.
        """
        self.images, self.bad, kept, header = {}, {}, [], npy_header((0, *self.shape))
        self.rows.touch(), self.progress.touch()
        with open(self.rows, "r+b") as file:
            file.write(header)
            for line in self.progress.read_text(errors="replace").splitlines():
                if not self._take(line, file, paths):
                    break
                kept.append(line + "\n")
            file.truncate(len(header) + len(self.images) * self.row_bytes)
        write_text(self.progress, "".join(kept))
        return len(self.images) + len(self.bad)

    def _take(self, line: str, file: BinaryIO, paths: list[str]) -> bool:
        """Take over what a line of progress lists, if these are the next paths and rows; return whether they are."""
        try:
            entry = json.loads(line)
            digests, listed = list(entry["images"].values()), [*entry["images"], *entry["bad"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return False  # an incomplete line
        done = len(self.images) + len(self.bad)
        if set(listed) != set(paths[done : done + len(listed)]):
            return False
        if [pixel_digest(file.read(self.row_bytes)) for _ in digests] != digests:
            return False
        self.images |= entry["images"]
        self.bad |= entry["bad"]
        return True

    def append(self, entry: dict[str, dict[str, str]], pixels: list[np.ndarray]) -> None:
        """Add a chunk: `images` and `bad` as in the attributes, and the pixels of the former."""
        with open(self.rows, "ab") as file:
            file.writelines(pixels)
        with open(self.progress, "a", encoding="utf-8") as file:  # only now, so that all it lists is in the other file
            file.write(json.dumps(entry) + "\n")
        self.images |= entry["images"]
        self.bad |= entry["bad"]

    def finish(self, bad: dict[str, str]) -> None:
        """Write the header and the index, with all unreadable pictures, and rename the folder to its final name."""
        with open(self.rows, "r+b") as file:
            file.write(npy_header((len(self.images), *self.shape)))
            file.flush()
            os.fsync(file.fileno())
        index = {"images": self.images, "bad": bad, "versions": {"pillow": PIL.__version__}}
        write_json(self.partial / "index.json", index | {"sha256": index_sum(index)}, indent=None)
        mark_verified(self.partial)
        if self.folder.exists():
            shutil.rmtree(self.folder)  # the damaged one
        os.replace(self.partial, self.folder)
        (self.folder / self.progress.name).unlink()


def npy_header(shape: tuple[int, ...]) -> bytes:
    """Return the header of a .npy file of bytes; its length does not depend on the number of images."""
    buffer = io.BytesIO()
    content = {"descr": "|u1", "fortran_order": False, "shape": tuple(map(int, shape))}
    np.lib.format.write_array_header_1_0(buffer, content)
    return buffer.getvalue()


def pixel_digest(pixels: np.ndarray | bytes) -> str:
    """Return 16 hex digits that change with an image's pixels."""
    return hashlib.blake2b(pixels, digest_size=8).hexdigest()


def index_sum(index: dict) -> str:
    """Return the checksum of an index, which is stored in it as `sha256`."""
    return hashlib.sha256(json.dumps(index).encode()).hexdigest()


def _state(folder: Path) -> str:
    status = os.stat(folder / "images.npy")
    return json.dumps([status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino])


def is_verified(folder: Path) -> bool:
    """Return whether `images.npy` is as it was when all of it was last checked, or written."""
    try:
        return (folder / "verified").read_text() == _state(folder)
    except (OSError, ValueError):
        return False


def mark_verified(folder: Path) -> None:
    """Note that all of `images.npy` is as its digests say."""
    with suppress(OSError):  # a folder that cannot be written is checked each time
        write_text(folder / "verified", _state(folder))
