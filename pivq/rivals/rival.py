"""What every rival can do, and the properties of Table 1 that are measured instead of declared."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pivq.settings import check_whole

BATCH = 50  # images that are decoded at a time; it changes no image


class Rival:
    """A model that stores, rebuilds, draws and mixes images; rivals derive from it and from `torch.nn.Module`.

    Images are float32 `(B, 3, H, W)` in [0, 1]. A rival is measured in evaluation mode.

    Attributes:
        bits: capacity of what `encode` returns, or None if that is not discrete.
        networks: the modules that run while a sample is drawn, the prior before the decoder.
    """

    bits: float | None = None
    networks: Sequence[nn.Module] = ()

    def encode(self, images: Tensor) -> Tensor:
        """Return all that is stored of images: whole numbers `(B, L)`, or numbers `(B, Z)`."""
        raise NotImplementedError

    def decode(self, stored: Tensor) -> Tensor:
        """Return the images of what `encode` returned."""
        raise NotImplementedError

    def draw(self, count: int, seed: int) -> Tensor:
        """Return what is stored of `count` new images, as `encode` would."""
        raise NotImplementedError

    def path(self, stored_a: Tensor, stored_b: Tensor, shares: Tensor, seed: int) -> Tensor:
        """Return a way from a to b, `(T, …)`, from what is stored of each; see `interpolate`."""
        raise NotImplementedError

    def features(self, stored: Tensor) -> NDArray | csr_matrix:
        """Return what a linear probe sees of what is stored of N images, `(N, F)`."""
        raise NotImplementedError

    def encode_all(self, images: Tensor) -> Tensor:
        """Return all that is stored of many images, in batches, on the CPU."""
        return torch.cat([self.encode(batch).cpu() for batch in images.split(BATCH)])

    def decode_all(self, stored: Tensor) -> Tensor:
        """Return the images of much that is stored, in batches, on the CPU."""
        return torch.cat([self.decode(batch).cpu() for batch in stored.split(BATCH)])

    def reconstruct(self, images: Tensor) -> Tensor:
        """Return images after one way through what is stored."""
        return self.decode(self.encode(images))

    def sample(self, count: int, seed: int) -> Tensor:
        """Return `count` new images, on the CPU; the same seed gives the same ones.

        Raises:
            TypeError, ValueError: a count below 1, or a seed that is no whole number from 0 on.
        """
        return self.decode_all(self.draw(check_whole("count", count), check_whole("seed", seed, 0)))

    def interpolate(self, image_a: Tensor, image_b: Tensor, shares: Tensor, seed: int = 0) -> Tensor:
        """Return the images on a way from a to b, `(T, 3, H, W)`, on the CPU.

        Args:
            image_a, image_b: `(3, H, W)`.
            shares: how far each image has come, `(T,)` in [0, 1]; 0 and 1 are the reconstructions of a and b.
            seed: of the way, where there are several.
        """
        stored = self.encode(torch.stack([image_a, image_b])).cpu()
        return self.decode_all(self.path(*stored, shares, seed))

    def encode_features(self, images: Tensor) -> NDArray | csr_matrix:
        """Return what a linear probe sees of images: `(N, F)` numbers, sparse where they are counts of codes."""
        return self.features(self.encode_all(images))

    @property
    def passes(self) -> int:
        """How often a network runs for a sample, counted (`count_passes`)."""
        return count_passes(self)


def exchange_places(codes_a: Tensor, codes_b: Tensor, shares: Tensor, seed: int) -> Tensor:
    """Return codes `(T, L)` on a way from a to b `(L,)`: places that differ change one by one, in random order.

    Example:
        >>> exchange_places(torch.tensor([1, 2]), torch.tensor([1, 3]), torch.tensor([0.0, 1.0]), seed=0).tolist()
        [[1, 2], [1, 3]]
    """
    differ = (codes_a != codes_b).nonzero()[:, 0]
    order = differ[torch.randperm(len(differ), generator=torch.Generator().manual_seed(seed))]
    path = codes_a.repeat(len(shares), 1)
    for row, share in zip(path, shares.tolist(), strict=True):
        taken = order[: round(share * len(order))]
        row[taken] = codes_b[taken]
    return path


def rows_at(path: Tensor, shares: Tensor) -> Tensor:
    """Return the rows of a path `(R + 1, …)` that are nearest to shares `(T,)` of the way."""
    return path[(shares * (len(path) - 1)).round().long()]


@torch.no_grad()
def is_discrete(rival: Rival, images: Tensor) -> bool:
    """Say whether images are whole numbers to a rival: written to bytes and read back, they give the same pictures.

    Numbers that are not whole are not discrete, however many bits they are written with.
    """
    stored = rival.encode(images).cpu()
    if stored.is_floating_point() or stored.is_complex() or stored.dtype == torch.bool:
        return False
    kind = np.min_scalar_type(int(stored.max()))
    again = np.frombuffer(stored.numpy().astype(kind).tobytes(), kind).reshape(stored.shape)
    return torch.equal(rival.decode(torch.from_numpy(again.astype(np.int64))), rival.decode(stored))


def count_passes(rival: Rival) -> int:
    """Return how often the networks of a rival run while it draws one batch of samples."""
    calls: list[int] = []
    hooks = [network.register_forward_hook(lambda *_: calls.append(1)) for network in rival.networks]
    try:
        rival.sample(2, seed=0)
    finally:
        for hook in hooks:
            hook.remove()
    return len(calls)


@torch.no_grad()
def order_matters(rival: Rival, images: Tensor, seed: int = 0) -> float | None:
    """Return the greatest change of a pixel if the codes are shuffled: 0 up to rounding where they are a set.

    None for a rival that is not discrete.
    """
    codes = rival.encode(images).cpu()
    if codes.is_floating_point():
        return None
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.stack([row[torch.randperm(len(row), generator=generator)] for row in codes])
    return float((rival.decode(shuffled) - rival.decode(codes)).abs().max())
