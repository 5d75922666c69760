"""A smooth path between two pictures (Section 3.5), as an animation or a sheet."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from pivq.data import to_uint8
from pivq.data.decoding import UnreadableImage, decode, quiet_pillow
from pivq.data.files import Files
from pivq.inference import decode_in_batches, encode_images
from pivq.model import PIVQ
from pivq.sampling import smooth_path
from pivq.storage.writing import atomic_write

HELD = 600  # milliseconds that each end of an animation is shown
SHORTEST = 20  # milliseconds of a picture: browsers show shorter ones slowly
SMALLEST = 256  # pixels of an animation's side, unless told otherwise
COLUMNS = 8  # of a sheet
MOST_PIXELS = 500_000_000  # of all pictures, enlarged: two gigabytes of memory
WIDEST = {".webp": 16_383}  # pixels: what a format can hold


def read_picture(path: Path, size: int) -> Tensor:
    """Return a picture as the data sets read it, uint8 `(3, size, size)`: the central square, resized.

    Raises:
        ValueError: it cannot be read; says why.
    """
    try:
        with quiet_pillow():
            return torch.from_numpy(decode(Files(path.parent, only=[path.name]), path.name, size))
    except UnreadableImage as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def walk(model: PIVQ, first: Tensor, last: Tensor, seed: int, steps: int | None = None) -> Tensor:
    """Return the images of one smooth path from a picture to another, both ends included, as the model makes them.

    Args:
        model: both pictures are replaced by their reconstructions.
        first, last: uint8 `(3, H, W)` of the model's size.
        seed: of the order in which codes are exchanged.
        steps: how many images, spread evenly over the path; all of them when None, or if there are no more.

    Returns:
        uint8 `(T, 3, H, W)`.

    Raises:
        ValueError: the pictures have the same codes.
    """
    codes_a, codes_b = torch.from_numpy(encode_images(model, torch.stack([first, last])))
    generator = torch.Generator().manual_seed(seed)
    # `smooth_path` starts from its second image.
    path = smooth_path(codes_b, codes_a, generator, multiset=model.quantizer_name == "nearest")
    if len(path) < 2:
        raise ValueError("the two pictures have the same codes, so there is no path between them: take others")
    if steps and steps < len(path):
        path = path[torch.linspace(0, len(path) - 1, steps).round().long()]
    return to_uint8(decode_in_batches(model.decode, path))


def write_walk(images: Tensor, out: Path, seconds: float, loop: bool, scale: int | None = None) -> None:
    """Write images `(T, 3, H, W)` uint8 as an animation, or as a sheet of them, by the ending of `out`.

    Args:
        images: of `walk`.
        out: ends in `.gif`, `.webp` or, for a sheet, `.png`.
        seconds: of the way from the first to the last image; each end is held for a moment more.
        loop: play it back again, forever, instead of once.
        scale: each pixel becomes a square of so many; of an animation, what makes it 256 pixels wide when None.

    Raises:
        ValueError: the scale makes pictures that are too large.
    """
    sheet = out.suffix == ".png"
    scale = scale or (1 if sheet else max(1, -(-SMALLEST // images.shape[-1])))
    side = scale * images.shape[-1]
    if len(images) * side**2 > MOST_PIXELS or side > WIDEST.get(out.suffix, side):
        raise ValueError(
            f"{len(images)} pictures of {side:,}×{side:,} pixels are too large for {out.suffix}: lower the scale, "
            f"{scale}, or the number of pictures (--scale, --steps)"
        )
    images = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    if sheet:
        return _save(make_grid(images, nrow=COLUMNS, padding=2, pad_value=255), out)
    between = max(SHORTEST, round(1000 * seconds / (len(images) - 1) / 10) * 10)  # GIF counts hundredths of a second
    order = [*range(len(images)), *(reversed(range(1, len(images) - 1)) if loop else ())]
    lengths = [HELD if i in (0, len(images) - 1) else between for i in order]
    frames = [_frame(images[i], out.suffix) for i in order]
    options = {"lossless": True} if out.suffix == ".webp" else {"disposal": 1}
    if loop or out.suffix == ".webp":
        options["loop"] = 0 if loop else 1  # times, 0 is forever; a GIF without the number plays once
    with atomic_write(out) as temporary:
        frames[0].save(temporary, save_all=True, append_images=frames[1:], duration=lengths, **options)


def _frame(image: Tensor, ending: str) -> Image.Image:
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    if ending == ".gif":  # 256 colours of its own; dots of two colours in place of a third would flicker
        return picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return picture


def _save(image: Tensor, out: Path) -> None:
    with atomic_write(out) as temporary:
        Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(temporary)
