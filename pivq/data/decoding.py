"""Decode pictures to pixels of one size: upright, square, RGB; or say why a file cannot be read."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pivq.data.files import HTML_PAGE, Files, is_html

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # recognised by their content, not by their extension
BACKGROUND = (255, 255, 255, 255)  # under transparent pixels; source: assumption
RESAMPLING = Image.Resampling.LANCZOS  # antialiased; source: assumption
ENDINGS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # last bytes of a complete file
EXIF_ORIENTATION = 0x0112
LISTED = 100  # the most bad files that a report names


class UnreadableImage(ValueError):
    """A file is not an image, or not a complete one; the message is the reason."""


class BadImages(ValueError):
    """Some files of a data set cannot be read; the message lists them with their reasons."""

    def __init__(self, reasons: dict[str, str], examined: int, root: Path) -> None:
        lines = [f"  {path}: {reason}" for path, reason in list(reasons.items())[:LISTED]]
        more = [f"  … and {len(reasons) - LISTED:,} more"] if len(reasons) > LISTED else []
        title = f"{len(reasons):,} of {examined:,} images in {root} cannot be read:"
        advice = 'Replace or remove them, or skip them with on_error="skip".'
        super().__init__("\n".join([title, *lines, *more, advice]))


class TooFewImages(ValueError):
    """There are fewer images than requested."""


def examine(files: Files, path: str) -> tuple[int, int]:
    """Return a picture's width and height, from its header; check that its end is there.

    The pixels are decoded only if the end is not the expected one, so that a whole folder is examined in seconds.

    Raises:
        UnreadableImage: with the reason.
    """
    with _opened(files, path) as (image, file):
        position = file.tell()
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 64))
        tail = file.read().rstrip(b"\0\r\n")
        file.seek(position)
        if image.format not in ENDINGS or not tail.endswith(ENDINGS[image.format]):
            image.load()
        return image.size


def decode(files: Files, path: str, image_size: int) -> np.ndarray:
    """Decode a picture: turn it upright, crop the central square, resize it with antialiasing.

    Grey becomes RGB, transparent pixels are put on white, 16 bits are scaled to 8. Colour profiles are not applied.

    Returns:
        uint8 (3, image_size, image_size), RGB.

    Raises:
        UnreadableImage: with the reason.
    """
    with _opened(files, path) as (image, _):
        image.load()
        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = _to_rgb(image.crop((left, top, left + side, top + side)))
        image = image.resize((image_size, image_size), RESAMPLING)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def warn_of_sizes(sizes: dict[str, tuple[int, int]], image_size: int) -> None:
    """Warn once, with the extremes, if pictures differ in size or are smaller than they will be.

    Args:
        sizes: path → width and height.
        image_size: the width and height they are resized to.
    """
    smaller = sum(min(size) < image_size for size in sizes.values())
    if len(set(sizes.values())) > 1 or smaller:
        low, high = (end(sizes, key=lambda path: sizes[path][0] * sizes[path][1]) for end in (min, max))
        (w, h), (wide, high_) = sizes[low], sizes[high]
        spread = f"of {w}×{h}" if sizes[low] == sizes[high] else f"from {w}×{h} ({low}) to {wide}×{high_} ({high})"
        enlarged = f"; {smaller:,} of them are smaller and are enlarged, which blurs them" if smaller else ""
        warnings.warn(
            f"{len(sizes):,} images {spread}: the central square of each is resized to {image_size}×{image_size}"
            f"{enlarged}",
            stacklevel=4,
        )


def ordered_map(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yield function(item) in the order of the items; threads compute a few items ahead.

    The threads wait for a slow consumer, so that results do not fill the memory. (`joblib.Parallel` does not wait.)
    Processes were 15% faster at decoding, but take seconds to start.
    """
    workers = min(16, cpu_count())
    pool, pending = ThreadPoolExecutor(workers), deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def cpu_count() -> int:
    """Return the number of CPU cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _opened(files: Files, path: str) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """Yield an opened picture and its file; turn any failure inside into `UnreadableImage`."""
    try:
        with files.open(path) as file:
            head = file.read(512)
            if not head:
                raise UnreadableImage("an empty file (0 bytes)")
            if is_html(head):
                raise UnreadableImage(HTML_PAGE)
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                if image.mode == "F":
                    raise UnreadableImage("floating-point levels, which have no defined white")
                yield image, file
    except (UnreadableImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # damaged files raise errors of many kinds, struct.error and SyntaxError too
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImage(reason) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits: white is 65,535, where PIL's conversion would clip at 255
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise UnreadableImage(f"levels from {levels.min()} to {levels.max()}, more than 16 bits")
        return Image.fromarray(((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, BACKGROUND)
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    return image.convert("RGB")
