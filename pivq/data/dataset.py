"""A data set: images as uint8, float32 in [0, 1] when used, with ids and attributes."""

import operator

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from pivq.settings import check_dense, refusal

LOWEST, HIGHEST = -0.5, 2.0  # a network's output may leave [0, 1] a little; anything beyond is no image in [0, 1]


class ImageDataset(Dataset):
    """Images with ids and, where known, attributes.

    Attributes:
        name: e.g. "avatars"; for any other folder its name.
        split: "train", "heldout" or "all".
        images: uint8 (N, 3, H, W), RGB. All but the avatars are mapped from a file: indexing copies only the selected
            images, `images[:n]` and iteration copy nothing, and a data set may be larger than the memory.
        ids: N strings, e.g. "train-00042".
        attributes: frame of {0, 1, missing} (Int8), one row per id, one column per attribute; or None.
        meanings: attribute name → what a 1 means.
        choices: frame of the parts and colours that each avatar was drawn from; or None.
        versions: the versions of the packages that made the images.
        left_out: file or folder that could not be read and was left out → reason.
        fingerprint: 16 hex digits that are equal if, and only if, images, ids, attributes and choices are equal.
    """

    def __init__(
        self,
        images: torch.Tensor,
        ids: list[str],
        name: str,
        split: str,
        fingerprint: str,
        attributes: pd.DataFrame | None = None,
        meanings: dict[str, str] | None = None,
        choices: pd.DataFrame | None = None,
        versions: dict[str, str] | None = None,
        left_out: dict[str, str] | None = None,
    ) -> None:
        if not isinstance(images, torch.Tensor) or images.dtype != torch.uint8:
            kind = getattr(images, "dtype", type(images).__name__)
            raise TypeError(f"images must be a uint8 tensor (N, 3, H, W), got {kind}")
        check_dense("images", images)
        if not hasattr(ids, "__len__"):
            raise refusal("ids", "a list of names", ids)
        if images.ndim != 4 or images.shape[1] != 3 or len(ids) != len(images):
            shape = tuple(images.shape)
            raise ValueError(f"images must be (N, 3, H, W), with N ids, got {shape} and {len(ids):,} ids")
        self.images, self.ids, self.name, self.split, self.fingerprint = images, ids, name, split, fingerprint
        self.attributes, self.meanings, self.choices = attributes, meanings or {}, choices
        self.versions, self.left_out = versions or {}, left_out or {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Return image i as float32 (3, H, W) in [0, 1]; TypeError or IndexError if there is no image i."""
        try:
            index = operator.index(i)
        except TypeError:
            raise TypeError(f"an index must be a whole number (.images[…] takes several), got {i!r:.80}") from None
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no image {index} of {len(self):,}")
        return from_uint8(self.images[index])

    def __repr__(self) -> str:
        """Return name, split, number and size of the images."""
        height, width = self.images.shape[2:]
        return f"ImageDataset({self.name}, {self.split}, {len(self):,} images of {height}×{width})"


def to_uint8(images: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    """Turn floats in [0, 1] into bytes: round(255 x), values outside are clamped to 0 or 255.

    Args:
        images: a float tensor or array of any shape. A network's output may leave [0, 1] a little.

    Returns:
        The same kind and shape, uint8. `to_uint8(from_uint8(x))` is x for all 256 levels.

    Raises:
        TypeError: if the values are not floats.
        ValueError: if a value is NaN, infinite or outside −0.5 … 2 (then it is not an image in [0, 1]).

    Example:
        >>> to_uint8(torch.tensor([-0.1, 0.0, 0.5, 1.0])).tolist()
        [0, 0, 128, 255]
    """
    if not isinstance(images, torch.Tensor | np.ndarray):
        raise TypeError(f"images must be a tensor or an array of floats in [0, 1], got {type(images).__name__}")
    check_dense("images", images)
    if not (images.is_floating_point() if isinstance(images, torch.Tensor) else images.dtype.kind == "f"):
        raise TypeError(f"images must be floats in [0, 1], got {images.dtype}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        values = images.detach() if isinstance(images, torch.Tensor) else torch.from_numpy(images.astype(np.float32))
    values = values.float()
    if values.numel():
        low, high = (bound.item() for bound in torch.aminmax(values))  # NaN if any value is
        if not (low >= LOWEST and high <= HIGHEST):
            hint = "; divide by 255?" if high > 2 else "; map [-1, 1] to [0, 1]?" if low >= -1 else ""
            raise ValueError(f"images must lie in [0, 1], got {low:g} to {high:g}: not an image in that range{hint}")
    levels = (values * 255).round().clamp(0, 255).to(torch.uint8)
    return levels.numpy() if isinstance(images, np.ndarray) else levels


def from_uint8(images: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    """Turn bytes into float32 in [0, 1]: x / 255.

    Args:
        images: a uint8 tensor or array of any shape.

    Returns:
        The same kind and shape, float32.

    Raises:
        TypeError: if the values are not uint8.

    Example:
        >>> from_uint8(np.array([0, 51, 255], dtype=np.uint8)).tolist()
        [0.0, 0.20000000298023224, 1.0]
    """
    if not isinstance(images, torch.Tensor | np.ndarray):
        raise TypeError(f"images must be a tensor or an array of uint8 levels, got {type(images).__name__}")
    check_dense("images", images)
    if str(images.dtype).removeprefix("torch.") != "uint8":
        raise TypeError(f"images must be uint8 levels (0 to 255), got {images.dtype}")
    return images / np.float32(255) if isinstance(images, np.ndarray) else images.float() / 255
