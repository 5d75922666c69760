"""Run a model on many images, batch by batch: the memory it needs does not grow with their number."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from pivq.data import from_uint8, to_uint8
from pivq.losses import psnr
from pivq.model import PIVQ
from pivq.quantizers import as_codes
from pivq.settings import check_dense, check_device, check_whole, refusal

BATCH = 32  # images decoded, and measured, at a time; features differ in the last bits with it, so do their cache keys
ENCODED_PIXELS = 200 * 64**2  # encoded at a time


def latents_in_batches(
    model: PIVQ, images: Tensor, batch_size: int | None = None, generator: torch.Generator | None = None
) -> Iterator[Tensor]:
    """Yield the latents `(B, L, d)` of images `(N, 3, H, W)` uint8, batch by batch, on the model's device.

    With a `generator`, tokens that are not learned are drawn anew for every image (`PIVQ.encode_latents`).

    Raises:
        TypeError, ValueError: a model that is none, images of another type or shape, a batch size below 1, or a
            generator that is none of torch.
    """
    _check_model(model)
    _check_levels(images)
    if not isinstance(generator, torch.Generator | None):
        raise refusal("generator", "a torch.Generator or None", generator)
    usual = max(1, ENCODED_PIXELS // model.config.image_size**2)
    device = next(model.parameters()).device
    for batch in images.split(usual if batch_size is None else check_whole("batch_size", batch_size)):
        yield model.encode_latents(from_uint8(batch.to(device)), generator)


def encode_images(model: PIVQ, images: Tensor, batch_size: int | None = None) -> np.ndarray:
    """Return the codes `(N, L)` int64 of images `(N, 3, H, W)` uint8, batch by batch on the model's device.

    Errors are those of `latents_in_batches`.
    """
    codes = (model.quantizer.codes(latents) for latents in latents_in_batches(model, images, batch_size))
    return torch.cat([rows.cpu() for rows in codes]).numpy()


@torch.no_grad()
def reconstruction_errors(
    reconstruct: Callable[[Tensor], Tensor], images: Tensor, batch_size: int, device: str | torch.device,
    more: Sequence[Callable[[Tensor, Tensor], Tensor]] = (),
) -> list[float]:  # fmt: skip
    """Return means over images: L1 of reconstructions on the [0, 1] scale, PSNR in dB, and `more` errors.

    Args:
        reconstruct: maps originals `(B, 3, H, W)` in [0, 1], on `device`, to reconstructions in [0, 1].
        images: the originals, `(N, 3, H, W)` uint8, `batch_size` at a time.
        more: each maps reconstructions and originals to errors `(B,)`.

    Raises:
        TypeError, ValueError: what is no function, no images, or some of another type or shape, a batch size below 1,
            no such device, or a function of `more` that does not return one error per image.
    """
    for name, given, functions in (("reconstruct", reconstruct, [reconstruct]), ("more", more, more)):
        if not isinstance(functions, Sequence) or not all(map(callable, functions)):
            raise refusal(name, "a function" if name == "reconstruct" else "functions", given)
    _check_levels(images)
    if not len(images):
        raise refusal("images", "at least one image (N, 3, H, W)", images)
    batch_size = check_whole("batch_size", batch_size)
    device, sums = check_device(device), torch.zeros(2 + len(more), dtype=torch.float64)
    for batch in images.split(batch_size):
        originals = from_uint8(batch.to(device))
        made = reconstruct(originals)
        found = [error(made, originals) for error in (psnr, *more)]  # psnr refuses another shape than the originals'
        for values in found:
            if getattr(values, "shape", None) != (len(batch),):
                raise refusal("errors of more", f"a tensor ({len(batch)},), one per image", values)
        errors = [(made - originals).abs().mean(dim=(1, 2, 3)), *found]
        sums += torch.stack([error.sum().cpu() for error in errors])
    return (sums / len(images)).tolist()


def decode_levels(model: PIVQ, codes: Tensor) -> Iterator[Tensor]:
    """Yield the images of codes `(N, L)`, batch by batch, uint8 `(B, 3, H, W)` on the CPU.

    Raises:
        TypeError, ValueError: a model that is none, or codes that `PIVQ.decode` refuses.
    """
    _check_model(model)
    for batch in as_codes(codes).split(BATCH):
        yield to_uint8(model.decode(batch).cpu())


@torch.no_grad()
def decode_in_batches(decode: Callable[[Tensor], Tensor], codes: Tensor, batch_size: int = 64) -> Tensor:
    """Return the images `(N, 3, H, W)` of codes, decoded in batches, on the CPU and without gradients.

    Args:
        decode: maps codes `(B, L)` to images `(B, 3, H, W)`, such as `PIVQ.decode`.
        codes: integers `(N, L)`.
        batch_size: images at a time; if the decoder is in evaluation mode, it does not change an image.

    Raises:
        TypeError: a decoder that is no function, or codes that are no numbers.
        ValueError: codes that are no whole numbers `(N, L)`, or a batch size below 1.
    """
    if not callable(decode):
        raise refusal("decode", "a function of codes", decode)
    codes, batch_size = as_codes(codes), check_whole("batch_size", batch_size)
    return torch.cat([decode(batch).cpu() for batch in codes.split(batch_size)])


def order_difference(
    decode: Callable[[Tensor], Tensor], codes: Tensor, generator: torch.Generator | None = None, batch_size: int = 64
) -> float:
    """Return how much decoding depends on the order of the codes (Section 3.2): 0 up to rounding for PI-VQ.

    Each image is decoded from its codes in the order given and in a random one. The result is the greatest absolute
    difference of any pixel, on the scale of the images.

    Args:
        decode, codes, batch_size: see `decode_in_batches`.
        generator: source of the random orders, on the CPU; torch's global one when None.

    Raises:
        TypeError, ValueError: see `decode_in_batches`; also a `generator` that is not a `torch.Generator`.

    Example:
        >>> order_difference(lambda codes: codes.sum(dim=1), torch.tensor([[3, 1, 2]]))
        0.0
    """
    if not isinstance(generator, torch.Generator | None):
        raise refusal("generator", "a torch.Generator or None", generator)
    codes = as_codes(codes)
    shuffled = torch.stack([row[torch.randperm(len(row), generator=generator)] for row in codes])
    in_order, out_of_order = (decode_in_batches(decode, order, batch_size) for order in (codes, shuffled))
    return float((out_of_order - in_order).abs().max())


@torch.no_grad()
def token_attention(model: PIVQ, images: Tensor) -> Tensor:
    """Return how much each token attends to each cell of the image in the encoder's last layer, `(B, L, h, w)`.

    The weights are means over heads, computed from the layer's own query and key maps. A token's weights over all cells
    and all tokens sum to 1; what is missing here went to the tokens.

    Args:
        images: `(B, 3, H, W)`, floats in [0, 1].

    Raises:
        TypeError, ValueError: a model that is none; images that `PIVQ.encode_latents` refuses.
    """
    _check_model(model)
    last, seen = model.encoder.transformer.layers[-1], []
    hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        model.encode_latents(images)
    finally:
        hook.remove()
    tokens = last.norm1(seen[0])  # (B, h w + L, d), what the layer was given
    count, grid = model.config.num_codes, (model.config.grid_size,) * 2
    queries, (keys, _) = last.query(tokens[:, -count:]), last.key_value(tokens).chunk(2, dim=2)
    q, k = (x.unflatten(2, (last.heads, -1)).transpose(1, 2) for x in (queries, keys))  # (B, heads, ·, d / heads)
    weights = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)  # (B, heads, L, h w + L)
    return weights.mean(dim=1)[:, :, :-count].unflatten(2, grid)


def _check_model(model: PIVQ) -> None:
    if not callable(getattr(model, "decode", None)):
        raise refusal("model", "a pivq.model.PIVQ", model)


def _check_levels(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise refusal("images", "a tensor uint8 (N, 3, H, W)", images)
    check_dense("images", images)
