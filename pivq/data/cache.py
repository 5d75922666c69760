"""Images decoded once: uint8 files in `data/cache/` that are mapped into memory, never loaded as a whole.

The cache of a set of images is a folder `<name>-<size>-<split>-<digest>` with `images.npy` and `index.json`. It is
built in `….partial`, chunk by chunk, and renamed when complete; after an interruption it is verified and resumed.
"""

import errno
import os
import shutil
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pivq.data.decoding import (
    BACKGROUND,
    RESAMPLING,
    BadImages,
    TooFewImages,
    UnreadableImage,
    decode,
    examine,
    max_pixels,
    ordered_map,
    quiet_pillow,
    warn_of_further,
    warn_of_sizes,
)
from pivq.data.files import Files
from pivq.data.partial import PartialCache, index_sum, is_verified, mark_verified, npy_header, pixel_digest
from pivq.storage.paths import data_dir
from pivq.storage.writing import plain_write_errors, read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

RECIPE = 2  # increase it when `pivq.data.decoding.decode` changes: older caches are then not used any more
CHUNK_BYTES, CHUNK_IMAGES = 16_000_000, 64  # of decoded images; the smaller of the two counts
SAMPLE = 8  # when a cache is opened, about this number of images, evenly spread, is compared with their digests


@dataclass(frozen=True)
class Decoded:
    """Decoded images: row i of `images`, uint8 (N, 3, H, W) on disk, is the file `paths[i]`."""

    images: torch.Tensor
    paths: list[str]
    digests: list[str]  # of each image's pixels
    bad: dict[str, str]  # file that was left out → reason
    versions: dict[str, str]  # of the packages that decoded them


def decode_once(
    files: Files, paths: list[str], name: str, image_size: int, limit: int | None = None, on_error: str = "raise"
) -> Decoded:
    """Return pictures as pixels, from the cache or decoded now.

    Args:
        files: where the pictures are.
        paths: of the pictures, in the order of the rows.
        name: of the set, for the cache's folder.
        image_size: height and width in pixels.
        limit: number of pictures. They are the first readable ones, and only they are decoded. None is all.
        on_error: "raise" to report the pictures that cannot be read, "skip" to leave them out with a warning.

    Raises:
        BadImages: pictures cannot be read. Most are found before anything is decoded; damage in the middle of a file
            is reported at the end of the decoding.
        TooFewImages: there are fewer readable pictures than `limit`.
        OSError: the cache cannot be written, or the disk is too small; says how much space is needed.
    """
    folder = _folder(files, paths, name, image_size, None)
    decoded = _read(folder)
    if limit and decoded is None:
        folder = _folder(files, paths, name, image_size, limit)
        decoded = _read(folder)
    if decoded is None:
        _build(folder, files, paths, image_size, limit, on_error)
        decoded = _read(folder)
    if decoded.bad and on_error == "raise":
        raise BadImages(decoded.bad, len(decoded.bad) + len(decoded.paths), files.root)
    if decoded.bad:
        shown = ", ".join(list(decoded.bad)[:3]) + (", …" if len(decoded.bad) > 3 else "")
        count = f"{len(decoded.bad):,} of {len(decoded.bad) + len(decoded.paths):,} images"
        warnings.warn(f"{count} in {files.root} cannot be read and are left out: {shown}", stacklevel=3)
    _check_limit(limit, len(decoded.paths))
    first = {name: getattr(decoded, name)[:limit] for name in ("images", "paths", "digests")}
    return replace(decoded, **first)


def _folder(files: Files, paths: list[str], name: str, image_size: int, limit: int | None) -> Path:
    """Return the cache's folder; its name depends on everything that decides its content, such as files and size."""
    recipe = [RECIPE, image_size, RESAMPLING.name, BACKGROUND, limit]
    return data_dir() / "cache" / f"{name}-{files.digest(paths, recipe)}"


def _read(folder: Path) -> Decoded | None:
    """Return a finished cache; None if there is none or, with a warning, if it is damaged.

    The index is checked whole. So is each image, if the file is not the one that was checked last, by its size and
    times; else a few are.
    """
    if not folder.is_dir():
        return None
    try:
        index = read_json(folder / "index.json", most=None)
        if index.pop("sha256", None) != index_sum(index):
            raise ValueError("the checksum of index.json does not match")
        images = _map(folder / "images.npy")
        digests = list(index["images"].values())
        if len(images) != len(digests):
            raise ValueError(f"it has {len(images)} images, but {len(digests)} in its index")
        known = is_verified(folder)
        step = max(1, len(images) // SAMPLE) if known else 1
        with open(folder / "images.npy", "rb") as file:  # the map would keep what it reads in memory
            for i in range(0, len(images), step):
                file.seek(len(npy_header(images.shape)) + i * images[0].nbytes)
                if pixel_digest(file.read(images[0].nbytes)) != digests[i]:
                    raise ValueError(f"image {i} has changed since it was written")
        if not known:
            mark_verified(folder)
        return Decoded(images, list(index["images"]), digests, index["bad"], index["versions"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"{folder} is damaged ({error}); its images are decoded again", stacklevel=3)
        return None


def _map(path: Path) -> torch.Tensor:
    """Map a file of images into memory; ValueError if its length differs from that in its header."""
    try:
        array = np.load(path, mmap_mode="c")  # writing to an image changes a copy in memory, not the file
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        # Some systems refuse a writable map that is larger than the memory.
        array = np.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        images = torch.from_numpy(array)
    if images.ndim != 4 or path.stat().st_size != len(npy_header(images.shape)) + images.nbytes:
        raise ValueError(f"the size of {path.name} is not that of {tuple(images.shape)} levels")
    return images


def _build(folder: Path, files: Files, paths: list[str], image_size: int, limit: int | None, on_error: str) -> None:
    """Examine all pictures, then decode them into `folder`."""
    skipping, further = on_error != "raise", {}
    good, bad = examine_all(files, paths, limit, {}, further)
    if bad and not (skipping and good):
        raise BadImages(bad, len(good) + len(bad), files.root, skipping)
    _check_limit(limit, len(good))
    warn_of_sizes(good, image_size)
    warn_of_further({path: further[path] for path in good if path in further})
    with plain_write_errors("the decoded images", folder.parent), _locked(folder.with_name(".lock")) as alone:
        with warnings.catch_warnings(action="ignore"):  # decode_once has already warned of a damaged cache
            if _read(folder):  # another process was faster
                return
        partial = PartialCache(folder, image_size, "" if alone else f".{socket.gethostname()}-{os.getpid()}")
        _decode_all(partial, files, list(good))
        if partial.bad and not (skipping and partial.images):
            raise BadImages(bad | partial.bad, len(good) + len(bad), files.root, skipping)
        while limit and partial.bad:  # decoding found more unreadable pictures: others take their places
            good, bad = examine_all(files, paths, limit, bad | partial.bad)
            _check_limit(limit, len(good))
            _decode_all(partial, files, list(good))
        partial.finish(bad | partial.bad)


def _check_limit(limit: int | None, readable: int) -> None:
    if limit and limit > readable:
        raise TooFewImages(f"limit {limit:,} is more than the {readable:,} images that can be read")


def examine_all(
    files: Files, paths: list[str], limit: int | None = None, known: dict[str, str] | None = None,
    further: dict[str, int] | None = None,
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:  # fmt: skip
    """Return the first `limit` readable pictures with their sizes, and the unreadable ones with the reason.

    Pictures in `known` are unreadable for the reason given there; `further` is that of `examine`.
    """

    def size_or_reason(path: str) -> tuple[int, int] | str:
        try:
            return (known or {}).get(path) or examine(files, path, further)
        except UnreadableImage as error:
            return str(error)

    def examine_chunk(chunk: list[str]) -> list[tuple[int, int] | str]:
        return [size_or_reason(path) for path in chunk]

    good, bad = {}, {}
    max_pixels()  # a wrong setting is said here, not for each picture
    chunks = [paths[i : i + CHUNK_IMAGES] for i in range(0, len(paths), CHUNK_IMAGES)]
    title = {"desc": "checking the images", "unit": "image", "mininterval": 1, "delay": 1}
    with quiet_pillow(), tqdm(total=limit or len(paths), **title) as bar:
        for chunk, results in zip(chunks, ordered_map(examine_chunk, chunks), strict=False):
            for path, result in zip(chunk, results, strict=True):
                if not limit or len(good) < limit:
                    (bad if isinstance(result, str) else good)[path] = result
            bar.update(min(len(chunk), bar.total - bar.n))
            if limit and len(good) == limit:
                break
    return good, bad


def _decode_all(partial: PartialCache, files: Files, paths: list[str]) -> None:
    """Decode the pictures that are not in the partial cache yet, with a progress bar."""
    image_size = partial.shape[-1]
    done = partial.resume(paths)
    needed, free = (len(paths) - done) * partial.row_bytes, shutil.disk_usage(partial.folder.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free")

    without_exif: list[str] = []
    dark: list[str] = []

    def decode_chunk(chunk: list[str]) -> tuple[dict[str, dict[str, str]], list[np.ndarray]]:
        entry, pixels = {"images": {}, "bad": {}}, []
        for path in chunk:
            try:
                pixels.append(decode(files, path, image_size, without_exif, dark))
                entry["images"][path] = pixel_digest(pixels[-1])
            except UnreadableImage as error:
                entry["bad"][path] = str(error)
        return entry, pixels

    size = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // partial.row_bytes))
    chunks = [paths[i : i + size] for i in range(done, len(paths), size)]
    title = f"decoding {partial.folder.name}, once"
    with quiet_pillow(), tqdm(total=len(paths), initial=done, desc=title, unit="image", mininterval=1) as bar:
        for chunk, decoded in zip(chunks, ordered_map(decode_chunk, chunks), strict=True):
            partial.append(*decoded)
            bar.update(len(chunk))
    told = {
        "have damaged EXIF data and are taken as upright": without_exif,
        "of 16 bits are nearly black, as if they had 12: scale their levels to all 16 bits, if that is so": dark,
    }
    for what, found in told.items():
        if found:
            warnings.warn(f"{len(found):,} images {what}: {min(found, key=paths.index)}, …", stacklevel=5)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock, after waiting for other processes to release it; the end of a process releases it, too.

    Yields whether there is a lock: Windows and some file systems (Lustre, NFS, FUSE) have none. Then two processes may
    decode the same images, each into a folder of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            locked = True
        except (OSError, AttributeError):
            locked = False
        yield locked
