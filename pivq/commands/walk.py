"""A smooth path between two pictures (Section 3.5); `pivq.figures.animation` writes it."""

from pathlib import Path

import torch
from torch import Tensor

from pivq.data import to_uint8
from pivq.data.decoding import UnreadableImage, decode, quiet_pillow
from pivq.data.files import Files
from pivq.inference import decode_in_batches, encode_images
from pivq.model import PIVQ
from pivq.sampling import smooth_path


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
