"""Many images through a model: encoded and decoded batch by batch, so that memory does not grow with their number."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from pivq.data import to_uint8
from pivq.model import PIVQ

BATCH = 32  # images decoded at a time
ENCODED_PIXELS = 200 * 64**2  # at a time


def latents_in_batches(model: PIVQ, images: Tensor, batch_size: int | None = None) -> Iterator[Tensor]:
    """Yield the latents `(B, L, d)` of images `(N, 3, H, W)` uint8, batch by batch, on the model's device."""
    device = next(model.parameters()).device
    for batch in images.split(batch_size or max(1, ENCODED_PIXELS // model.config.image_size**2)):
        yield model.latents(batch.to(device).float() / 255)


def encode_images(model: PIVQ, images: Tensor, batch_size: int | None = None) -> np.ndarray:
    """Return the codes `(N, L)` int64 of images `(N, 3, H, W)` uint8, batch by batch on the model's device."""
    quantizer = model.quantizer
    batches = (quantizer.choose(quantizer.distances(z)) for z in latents_in_batches(model, images, batch_size))
    return torch.cat([codes.cpu() for codes in batches]).numpy()


def decode_levels(model: PIVQ, codes: Tensor) -> Iterator[Tensor]:
    """Yield the images of codes `(N, L)`, batch by batch, uint8 `(B, 3, H, W)` on the CPU."""
    for images in decoded_batches(model.decode, codes, BATCH):
        yield to_uint8(images)


def decoded_batches(decode: Callable[[Tensor], Tensor], codes: Tensor, batch_size: int = 64) -> Iterator[Tensor]:
    """Yield images batch by batch, so that a large sample is never in memory as a whole.

    Args:
        decode: maps codes `(B, L)` to images `(B, 3, H, W)`, such as `PIVQ.decode`.
        codes: integers `(N, L)`.
        batch_size: images at a time; with a decoder in evaluation mode it does not change an image.

    Yields:
        Images `(B, 3, H, W)` on the CPU, without gradients.

    Raises:
        ValueError: batch_size < 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    for batch in codes.split(batch_size):
        with torch.no_grad():
            images = decode(batch)
        yield images.cpu()


def decode_in_batches(decode: Callable[[Tensor], Tensor], codes: Tensor, batch_size: int = 64) -> Tensor:
    """Decode `codes` `(N, L)` in batches and return all images `(N, 3, H, W)` on the CPU; see `decoded_batches`."""
    return torch.cat(list(decoded_batches(decode, codes, batch_size)))
