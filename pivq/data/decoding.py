"""Decode pictures to pixels of one size: upright, square, RGB; or say why a file cannot be read."""

import os
import re
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from pivq.data.files import Files, stand_in

try:
    from PIL import AvifImagePlugin

    AVIF = ("AVIF",) if AvifImagePlugin.SUPPORTED else ()
except ImportError:  # Pillow before 11.3
    AVIF = ()

# Recognised by their content, not by their extension.
FORMATS = ("JPEG", "PNG", "WEBP", *AVIF, "BMP", "TIFF", "GIF", "PPM")
BACKGROUND = (255, 255, 255, 255)  # under transparent pixels; source: assumption
RESAMPLING = Image.Resampling.LANCZOS  # antialiased; source: assumption
ENDINGS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # last bytes of a complete file
EXIF_ORIENTATION, PHOTOMETRIC = 0x0112, 0x0106
UPRIGHT = {  # EXIF orientation → how the picture is turned
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DARK = 16  # of 255 levels: 12 bits in the place of 16 come out no brighter
PADDING = 64  # bytes that may be left over at the end of a JPEG's pixels: some cameras pad
LISTED = 100  # the most bad files that a report names
# Limits, so that no file takes the memory: of a picture's pixels, of its file's bytes for each of them, and the sizes
# from which on pictures are decoded one at a time. Pillow's own limits are for strangers' uploads, and lower.
MAX_PIXELS = 200_000_000
BYTES_PER_PIXEL = 8  # 16 bits of red, green, blue and transparency, not compressed
LARGE_PIXELS, LARGE_BYTES = 25_000_000, 64_000_000
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 << 20  # texts and colour profiles of a PNG
_one_large = threading.RLock()


class UnreadableImage(ValueError):
    """A file is not an image, or not a complete one; the message is the reason."""


class BadImages(ValueError):
    """Some files, or folders (`examined` is None), of a data set cannot be read; the message lists them and why."""

    def __init__(self, reasons: dict[str, str], examined: int | None, root: Path, skipping: bool = False) -> None:
        lines = [f"  {path}: {reason}" for path, reason in list(reasons.items())[:LISTED]]
        more = [f"  … and {len(reasons) - LISTED:,} more"] if len(reasons) > LISTED else []
        what = "folders" if examined is None else f"of {examined:,} images"
        title = f"{len(reasons):,} {what} in {root} cannot be read:"
        advice = 'Replace or remove them, or leave them out: on_error="skip" (--on-error skip).'
        if skipping:
            advice = "Without them no image is left: replace them, or give another folder."
        super().__init__("\n".join([title, *lines, *more, advice]))


class TooFewImages(ValueError):
    """There are fewer images than requested."""


def examine(files: Files, path: str, further: dict[str, int] | None = None) -> tuple[int, int]:
    """Return a picture's width and height, from its header; check that its end is there.

    The pixels are decoded only if the end is not the expected one, so that a whole folder is examined in seconds.

    Args:
        files: where the picture is.
        path: of the picture.
        further: gets the number of pictures behind the first, of an animation or a stack of pages; they are not used.

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
        size = image.size
        # The second picture of a JPEG is a preview, or light for the first.
        if further is not None and image.format not in ("JPEG", "MPO"):
            with suppress(Exception):  # damage behind the first picture does not matter
                if (frames := getattr(image, "n_frames", 1)) > 1:
                    further[path] = frames - 1
        return size


def decode(
    files: Files, path: str, image_size: int, without_exif: list[str] | None = None, dark: list[str] | None = None
) -> np.ndarray:
    """Decode a picture: turn it upright, crop the central square, resize it with antialiasing.

    Grey becomes RGB, transparent pixels are put on white, 16 bits are scaled to 8. Colour profiles are not applied.

    Args:
        files: where the picture is.
        path: of the picture.
        image_size: height and width in pixels.
        without_exif: gets the path if the EXIF data are damaged; then the picture is taken as upright.
        dark: gets the path if the picture has 16 bits and uses at most the lowest 12.

    Returns:
        uint8 (3, image_size, image_size), RGB.

    Raises:
        UnreadableImage: with the reason.
    """
    with _opened(files, path) as (image, file):
        stored, deep = image.format, ";16" in str(image.tile)  # how many bits each level has
        image.load()
        if stored in ("JPEG", "MPO"):
            file.seek(0)
            _refuse_damage(file.read())
        try:
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        except Exception:  # EXIF data are written by many programs, and damaged in many ways
            orientation = 1
            if without_exif is not None:
                without_exif.append(path)
        if isinstance(orientation, int) and orientation in UPRIGHT:
            image = image.transpose(UPRIGHT[orientation])
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        # Pillow turns levels of 8 bits whose zero is white, and of a TIFF with 16 bits leaves them.
        negative = stored == "TIFF" and image.mode.startswith("I") and image.tag_v2.get(PHOTOMETRIC) == 0
        image = _to_rgb(image.crop((left, top, left + side, top + side)))
        image = ImageOps.invert(image) if negative else image
        if deep and dark is not None and 0 < max(high for _, high in image.getextrema()) <= DARK:
            dark.append(path)
        image = image.resize((image_size, image_size), RESAMPLING)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def max_pixels() -> int:
    """Return the most pixels that a picture may have: the environment variable `PIVQ_MAX_PIXELS`, or `MAX_PIXELS`.

    Raises:
        ValueError: the variable is not a whole number of at least 1.
    """
    text = os.environ.get("PIVQ_MAX_PIXELS") or str(MAX_PIXELS)
    if not re.fullmatch("0*[1-9][0-9]{0,17}(_[0-9]{1,18}){0,9}", text):  # as Python writes numbers
        raise ValueError(f"PIVQ_MAX_PIXELS must be a whole number of at least 1, got {text!r:.80}")
    return int(text)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence what Pillow says of odd metadata without naming the file; to be used around threads, not in them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


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


def warn_of_further(further: dict[str, int]) -> None:
    """Warn once of animations and stacks, of which only the first picture is used: path → number of the others."""
    if further:
        warnings.warn(f"left out are {further_frames(further)}: the first frame of each is used", stacklevel=4)


def further_frames(further: dict[str, int]) -> str:
    """Say how many frames or pages there are behind the first ones of animations and stacks, and name one of these."""
    first, count = next(iter(further.items()))
    total = f"{sum(further.values()):,} further frames of {len(further):,} files, of which {first} has {count:,}"
    return total if len(further) > 1 else f"{count:,} further frames of {first}"


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
    """Yield an opened picture and its file; turn any failure inside into `UnreadableImage`.

    Sizes are checked before memory is taken; of several threads only one has a large picture.
    """
    most = max_pixels()
    with ExitStack() as stack:
        try:
            size = files.listing[path][0]
            if size > BYTES_PER_PIXEL * most:
                raise UnreadableImage(f"{size:,} bytes, more than {BYTES_PER_PIXEL} for each pixel of {_limit(most)}")
            if size > LARGE_BYTES:
                stack.enter_context(_one_large)
            file = stack.enter_context(files.open(path))
            head = file.read(512)
            if not head:
                raise UnreadableImage("an empty file (0 bytes)")
            if reason := stand_in(head):
                raise UnreadableImage(reason)
            file.seek(0)
            image = stack.enter_context(_pillow_open(file, most))
            if image.width * image.height > LARGE_PIXELS:
                stack.enter_context(_one_large)
            if image.mode == "F":
                raise UnreadableImage("floating-point levels, which have no defined white")
            if image.mode == "I" and image.format == "TIFF":
                raise UnreadableImage("levels of 32 bits or with a sign, which have no defined white")
            yield image, file
        except (UnreadableImage, MemoryError):
            raise
        except UnidentifiedImageError:
            raise UnreadableImage(f"not an image in a known format ({', '.join(FORMATS)})") from None
        except Exception as error:  # damaged files raise errors of many kinds, struct.error and SyntaxError too
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreadableImage(reason) from error


def _pillow_open(file: BinaryIO, most: int) -> Image.Image:
    """Open a picture of at most `most` pixels."""
    Image.MAX_IMAGE_PIXELS = max(most, Image.MAX_IMAGE_PIXELS or 0)  # Pillow refuses from twice this number on
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"{re.findall('[0-9]+', str(error))[0]} pixels, more than {_limit(most)}") from None
    if image.width * image.height > most:
        raise UnreadableImage(f"{image.width:,}×{image.height:,} pixels, more than {_limit(most)}")
    return image


def _limit(most: int) -> str:
    return f"the limit of {most:,} pixels (set PIVQ_MAX_PIXELS to a larger number to read it)"


def _refuse_damage(jpeg: bytes) -> None:
    """Refuse a JPEG in whose middle bytes are lost or foreign: Pillow repairs that silently, libjpeg warns of it."""
    try:
        # Grey and an eighth of the size, which is faster.
        simplejpeg.decode_jpeg(_without_metadata(jpeg), "GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        extra = re.search(r"(\d+) extraneous bytes", str(error))
        if extra and _is_padding(jpeg, int(extra[1])) or re.search("subsampling level|color conversion", str(error)):
            return  # harmless, or a kind of JPEG that this decoder does not read
        raise UnreadableImage(f"cut off, or damaged in its middle ({error})") from None


def _without_metadata(jpeg: bytes) -> bytes:
    """Return a JPEG without comments and what programs have put before its pixels: libjpeg warns of that, too."""
    kept, at = [jpeg[:2]], 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != 0xDA:  # the pixels
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if not (0xE0 <= jpeg[at + 1] <= 0xEF or jpeg[at + 1] == 0xFE):
            kept.append(jpeg[at:end])
        at = end
    return b"".join([*kept, jpeg[at:]])


def _is_padding(jpeg: bytes, length: int) -> bool:
    """Tell whether bytes left over at the end of a JPEG's pixels are padding: at most two, or all alike."""
    end = ENDINGS["JPEG"]
    return length <= 2 or length <= PADDING and any(fill * length + end in jpeg for fill in (b"\0", b"\xff"))


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
