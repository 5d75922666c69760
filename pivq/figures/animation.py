"""Images of a path as an animation or a sheet, and several paths side by side."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pivq.data import to_uint8
from pivq.storage.writing import atomic_write

HELD = 600  # milliseconds that each end of an animation is shown
SHORTEST = 20  # milliseconds of a picture: browsers show shorter ones slowly
SMALLEST = 256  # pixels of an animation's side, unless told otherwise
COLUMNS = 8  # of a sheet
MOST_PIXELS = 500_000_000  # of all pictures, enlarged: two gigabytes of memory
WIDEST = {".webp": 16_383}  # pixels: what a format can hold
DESCRIPTION = 0x010E  # the EXIF field of what a picture shows


def side_by_side(paths: Sequence[Tensor], frames: int, gap: int = 4) -> Tensor:
    """Return the frames of an animation that shows several paths at once, each from its first image to its last.

    Args:
        paths: images `(T, 3, H, W)` of each, float in [0, 1] or uint8; T may differ, the shares of the way do not.
        frames: evenly spaced over each path, both ends included.
        gap: white pixels between the paths.

    Returns:
        uint8 `(frames, 3, H, P * W + (P - 1) * gap)` of P paths.

    Raises:
        ValueError: no path, or fewer than two frames.

    Example:
        >>> short, long = torch.zeros(2, 3, 4, 4), torch.ones(9, 3, 4, 4)
        >>> tuple(side_by_side([short, long], frames=5, gap=1).shape)
        (5, 3, 4, 9)
    """
    if not paths or frames < 2:
        raise ValueError(f"{len(paths)} paths, {frames} frames: expected at least 1 and 2")
    parts = []
    for path in paths:
        some = path[torch.linspace(0, len(path) - 1, frames).round().long()]
        pixels = some if some.dtype == torch.uint8 else to_uint8(some)
        parts += [pixels, pixels.new_full((*pixels.shape[:3], gap), 255)]
    return torch.cat(parts[:-1], dim=3)


def embedded(path: Path, alt: str) -> str:
    """Return HTML that shows a `.webp` from within itself; notebooks drop pictures of this kind from their pages.

    Args:
        path: of the animation.
        alt: what it shows, for those who cannot see it.
    """
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(alt)}" style="max-width: 100%" src="data:image/webp;base64,{data}">'


def write_walk(
    images: Tensor,
    out: Path,
    seconds: float,
    loop: bool,
    scale: int | None = None,
    quality: int | None = None,
    description: str = "",
) -> None:
    """Write images `(T, 3, H, W)` uint8 as an animation, or as a sheet of them, by the ending of `out`.

    Args:
        images: of one path, such as of `pivq.commands.walk.walk`, or of `side_by_side`.
        out: ends in `.gif`, `.webp` or, for a sheet, `.png`.
        seconds: of the way from the first to the last image; each end is held for a moment more.
        loop: play it back again, forever, instead of once.
        scale: each pixel becomes a square of `scale` × `scale`; None makes an animation at least 256 pixels wide.
        quality: of a `.webp`, 0 … 100, as Pillow counts it; without loss when None, which takes several times as much.
        description: what a `.webp` was made from, in ASCII; kept in its EXIF data.

    Raises:
        ValueError: the scale makes pictures that are too large.
    """
    sheet = out.suffix == ".png"
    scale = scale or (1 if sheet else max(1, -(-SMALLEST // images.shape[-1])))
    height, width = (scale * side for side in images.shape[-2:])
    if len(images) * height * width > MOST_PIXELS or max(height, width) > WIDEST.get(out.suffix, width + height):
        raise ValueError(
            f"{len(images)} pictures of {width:,}×{height:,} pixels are too large for {out.suffix}: lower the scale, "
            f"{scale}, or the number of pictures (--scale, --steps)"
        )
    images = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    if sheet:
        from torchvision.utils import make_grid  # here: it takes seconds, and most processes never need it

        return _save(make_grid(images, nrow=COLUMNS, padding=2, pad_value=255), out)
    between = max(SHORTEST, round(1000 * seconds / (len(images) - 1) / 10) * 10)  # GIF counts hundredths of a second
    order = [*range(len(images)), *(reversed(range(1, len(images) - 1)) if loop else ())]
    lengths = [HELD if i in (0, len(images) - 1) else between for i in order]
    frames = [_frame(images[i], out.suffix) for i in order]
    options = {"disposal": 1}
    if out.suffix == ".webp":
        options = {"lossless": True} if quality is None else {"quality": quality}
    if description and out.suffix == ".webp":
        options["exif"] = Image.Exif()
        options["exif"][DESCRIPTION] = description
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
