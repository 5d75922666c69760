"""Data sets: images as uint8, float32 in [0, 1] when used, with ids and attributes (docs/datasets.md)."""

from pivq.data.dataset import ImageDataset, from_uint8, to_uint8
from pivq.data.load import load_dataset

__all__ = ["ImageDataset", "from_uint8", "load_dataset", "to_uint8"]
