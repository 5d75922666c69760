"""Images decoded once: uint8 files in `data/cache/` that are mapped into memory, never loaded as a whole.

A set of images is a folder `<name>-<size>-<split>-<digest>` that holds `images.npy` and `index.json`. It is built in
`….partial`, chunk by chunk, and renamed when it is complete; what an interruption leaves is checked and gone on with.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
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
    ordered_map,
    warn_of_sizes,
)
from pivq.data.files import Files
from pivq.storage.paths import data_dir
from pivq.storage.writing import atomic_write, plain_write_errors

try:
    import fcntl
except ImportError:  # Windows: two processes must not decode the same set at the same time
    fcntl = None

RECIPE = 1  # raise it when `pivq.data.decoding.decode` changes: caches of before are then left alone
CHUNK_BYTES, CHUNK_IMAGES = 16_000_000, 64  # of decoded images, whichever is less
SAMPLE = 8  # so many images, evenly spread, are compared with their digests when a cache is opened


@dataclass(frozen=True)
class Decoded:
    """Decoded images: row i of `images`, uint8 (N, 3, H, W) on disk, is the file `paths[i]`."""

    images: torch.Tensor
    paths: list[str]
    digests: list[str]  # of each image's pixels
    bad: dict[str, str]  # files that were left out, with the reason
    versions: dict[str, str]  # of the packages that decoded them


def decode_once(
    files: Files, paths: list[str], name: str, image_size: int, limit: int | None = None, on_error: str = "raise"
) -> Decoded:
    """Return pictures as pixels, decoded now or taken from the cache.

    Args:
        files: where the pictures are.
        paths: of the pictures, in the order of the rows.
        name: of the set, for the cache's folder.
        image_size: height and width in pixels.
        limit: only so many of the first readable pictures, which alone are decoded; None is all.
        on_error: "raise" for a report of the pictures that cannot be read, "skip" to leave them out and say how many.

    Raises:
        BadImages: if pictures cannot be read: nearly always before anything is decoded, for damage in the middle of a
            file at the end of the decoding.
        TooFewImages: if there are fewer readable pictures than `limit`.
        OSError: if the cache cannot be written, or the disk is too small; says how much room is needed.
    """
    part = whole = _folder(files, paths, name, image_size, None)
    decoded = _read(whole)
    if limit and decoded is None:
        part = _folder(files, paths, name, image_size, limit)
        decoded = _read(part)
    if decoded is None:
        _build(part, files, paths, image_size, limit, on_error)
        decoded = _read(part)
    if decoded.bad and on_error == "raise":
        raise BadImages(decoded.bad, len(decoded.bad) + len(decoded.paths), files.root)
    if decoded.bad:
        shown = ", ".join(list(decoded.bad)[:3]) + (", …" if len(decoded.bad) > 3 else "")
        count = f"{len(decoded.bad):,} of {len(decoded.bad) + len(decoded.paths):,} images"
        warnings.warn(f"{count} in {files.root} cannot be read and are left out: {shown}", stacklevel=3)
    _check_limit(limit, len(decoded.paths))
    return Decoded(
        decoded.images[:limit], decoded.paths[:limit], decoded.digests[:limit], decoded.bad, decoded.versions
    )


def _folder(files: Files, paths: list[str], name: str, image_size: int, limit: int | None) -> Path:
    """Return the cache's folder, named by all that decides its content: files, their order, size, filter, limit."""
    recipe = [RECIPE, image_size, RESAMPLING.name, BACKGROUND, limit]
    return data_dir() / "cache" / f"{name}-{files.digest(paths, recipe)}"


def _read(folder: Path) -> Decoded | None:
    """Return what a finished cache holds, or None if there is none, or, with a warning, if it is damaged.

    Looks at the size of the file, its header and a few images, not at all of it.
    """
    if not folder.is_dir():
        return None
    try:
        index = json.loads((folder / "index.json").read_text())
        images = _map(folder / "images.npy")
        digests = list(index["images"].values())
        if len(images) != len(digests):
            raise ValueError(f"{len(images)} images, but {len(digests)} in the index")
        for i in range(0, len(images), max(1, len(images) // SAMPLE)):
            if _digest(images[i].numpy()) != digests[i]:
                raise ValueError(f"image {i} is not the one that was written")
        return Decoded(images, list(index["images"]), digests, index["bad"], index["versions"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"{folder} is damaged ({error}); its images are decoded again", stacklevel=3)
        return None


def _map(path: Path) -> torch.Tensor:
    """Map a file of images into memory; ValueError if it is not as long as its header says."""
    try:
        array = np.load(path, mmap_mode="c")  # who writes to an image changes a copy in memory, not the file
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        # Some systems do not map more than their memory holds if it might be written to.
        array = np.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        images = torch.from_numpy(array)
    if images.ndim != 4 or path.stat().st_size != len(_header(images.shape)) + images.nbytes:
        raise ValueError(f"{path.name} has not the size of {tuple(images.shape)} levels")
    return images


def _build(folder: Path, files: Files, paths: list[str], image_size: int, limit: int | None, on_error: str) -> None:
    """Examine all pictures, then decode them into `folder`."""
    good, bad = _examine(files, paths, limit, {})
    if bad and (on_error == "raise" or not good):
        raise BadImages(bad, len(good) + len(bad), files.root)
    _check_limit(limit, len(good))
    warn_of_sizes(good, image_size)

    partial = folder.with_name(folder.name + ".partial")
    shape = (len(good), 3, image_size, image_size)
    with plain_write_errors("the decoded images", partial.parent):
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _locked(partial.with_name(".lock")):
            with warnings.catch_warnings(action="ignore"):  # if it is damaged, that has been said
                if _read(folder):  # another process was faster
                    return
            partial.mkdir(exist_ok=True)
            with open(partial / "images.npy", "a+b") as file, open(partial / "progress.jsonl", "a+") as progress:
                kept = _decode_all(files, list(good), file, progress, shape, folder.name)
                bad |= kept["bad"]
                if kept["bad"] and (on_error == "raise" or not kept["images"]):
                    raise BadImages(bad, len(kept["images"]) + len(bad), files.root)
                while limit and kept["bad"]:  # others take the places of those that were found unreadable only now
                    good, bad = _examine(files, paths, limit, bad)
                    _check_limit(limit, len(good))
                    kept = _decode_all(files, list(good), file, progress, shape, folder.name)
                    bad |= kept["bad"]
                file.flush()
                os.fsync(file.fileno())
            with open(partial / "images.npy", "r+b") as file:
                file.write(_header((len(kept["images"]), *shape[1:])))
            index = {"images": kept["images"], "bad": bad, "versions": {"pillow": PIL.__version__}}
            with atomic_write(partial / "index.json") as temporary:
                temporary.write_text(json.dumps(index))
            if folder.exists():
                shutil.rmtree(folder)  # the damaged one
            os.replace(partial, folder)
            (folder / "progress.jsonl").unlink()


def _check_limit(limit: int | None, readable: int) -> None:
    if limit and limit > readable:
        raise TooFewImages(f"limit {limit:,} is more than the {readable:,} images that can be read")


def _examine(
    files: Files, paths: list[str], limit: int | None, known: dict[str, str]
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Return the readable pictures with their sizes and the others with the reason, up to `limit` readable ones.

    Those in `known` are unreadable for the reason given there.
    """

    def look_at(chunk: list[str]) -> list[tuple[int, int] | str]:
        return [known.get(path) or _or_reason(examine, files, path) for path in chunk]

    good, bad = {}, {}
    chunks = [paths[i : i + CHUNK_IMAGES] for i in range(0, len(paths), CHUNK_IMAGES)]
    with tqdm(total=limit or len(paths), desc="looking at the images", unit="image", mininterval=1, delay=1) as bar:
        for chunk, results in zip(chunks, ordered_map(look_at, chunks), strict=False):
            for path, result in zip(chunk, results, strict=True):
                if not limit or len(good) < limit:
                    (bad if isinstance(result, str) else good)[path] = result
            bar.update(min(len(chunk), bar.total - bar.n))
            if limit and len(good) == limit:
                break
    return good, bad


def _decode_all(
    files: Files, paths: list[str], file: BinaryIO, progress: Any, shape: tuple[int, ...], title: str
) -> dict[str, dict[str, str]]:
    """Append the images that are not in the file yet; return the digests of all and the reasons of the unreadable."""
    row_bytes = int(np.prod(shape[1:]))
    kept = _resume(paths, file, progress, shape)
    done = len(kept["images"]) + len(kept["bad"])
    needed, free = (len(paths) - done) * row_bytes, shutil.disk_usage(Path(file.name).parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free")

    def decode_chunk(chunk: list[str]) -> list[tuple[np.ndarray, str] | str]:
        results = [_or_reason(decode, files, path, shape[-1]) for path in chunk]
        return [result if isinstance(result, str) else (result, _digest(result)) for result in results]

    size = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // row_bytes))
    chunks = [paths[i : i + size] for i in range(done, len(paths), size)]
    with tqdm(total=len(paths), initial=done, desc=f"decoding {title}, once", unit="image", mininterval=1) as bar:
        for chunk, results in zip(chunks, ordered_map(decode_chunk, chunks), strict=True):
            entry = {"images": {}, "bad": {}}
            for path, result in zip(chunk, results, strict=True):
                if isinstance(result, str):
                    entry["bad"][path] = result
                else:
                    pixels, entry["images"][path] = result
                    file.write(pixels)
            file.flush()
            progress.write(json.dumps(entry) + "\n")  # after the pixels: what it lists is in the file
            progress.flush()
            for kind, values in entry.items():
                kept[kind] |= values
            bar.update(len(chunk))
    return kept


def _resume(paths: list[str], file: BinaryIO, progress: Any, shape: tuple[int, ...]) -> dict[str, dict[str, str]]:
    """Return what an interrupted decoding has left whole, and cut the rest off both files."""
    kept: dict[str, dict[str, str]] = {"images": {}, "bad": {}}
    lines, header = [], _header(shape)
    row_bytes = int(np.prod(shape[1:]))
    progress.seek(0)
    file.seek(len(header))
    for line in progress.readlines():
        try:
            entry = json.loads(line)
            chunk = [*entry["images"], *entry["bad"]]
            done = len(kept["images"]) + len(kept["bad"])
            same = set(chunk) == set(paths[done : done + len(chunk)])
            rows = [file.read(row_bytes) for _ in entry["images"]]
        except (ValueError, KeyError, TypeError):
            break
        if not same or [_digest(row) for row in rows] != list(entry["images"].values()):
            break
        for kind in kept:
            kept[kind] |= entry[kind]
        lines.append(line)
    file.truncate(len(header) + len(kept["images"]) * row_bytes)
    if not kept["images"]:
        file.truncate(0)
        file.write(header)
    progress.truncate(0)
    progress.writelines(lines)
    progress.flush()
    return kept


def _or_reason(function, files: Files, path: str, *arguments):
    """Return the function's result for a picture, or the reason (str) why it cannot be read."""
    try:
        return function(files, path, *arguments)
    except UnreadableImage as error:
        return str(error)


def _header(shape: tuple[int, ...]) -> bytes:
    """Return the header of a .npy file of bytes; its length is the same for any number of images."""
    buffer = io.BytesIO()
    content = {"descr": "|u1", "fortran_order": False, "shape": tuple(map(int, shape))}
    np.lib.format.write_array_header_1_0(buffer, content)
    return buffer.getvalue()


def _digest(pixels: np.ndarray | bytes) -> str:
    return hashlib.blake2b(pixels, digest_size=8).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock, which ends with a process whatever becomes of it."""
    if not fcntl:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
