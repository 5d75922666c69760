"""Stand-ins for the data and the perceptual network, so that a training takes milliseconds; picture files;
features and distances to measure and to match."""

import itertools
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.optimize import linear_sum_assignment
from torch import nn
from tqdm import tqdm

from pivq.config import Config, load_config
from pivq.data import lists
from pivq.data.files import Files
from pivq.pretrained.features import FeatureNet
from pivq.runs import branching, callbacks, splits, stopping
from pivq.runs.beyond import pieces
from pivq.runs.callbacks import read_log
from pivq.storage.checkpoint import load_checkpoint

HTML = b"<!DOCTYPE html>\n<html><title>Google Drive - Quota exceeded</title></html>"
# What CelebA's list of attributes looks like.
CELEBA = """3
5_o_Clock_Shadow Male Smiling
000001.jpg -1  1  1
000002.jpg  1 -1  1

000010.jpg -1 -1 -1
"""
RED, BLUE = (200, 30, 40), (20, 60, 220)


class Perceptual(nn.Module):
    """Mean squared difference times `factor`, which a test may set to something bad.

    Args:
        interrupt_at: the training step, counted by calls that want a gradient, that raises KeyboardInterrupt.
        bad_from: the training step from which on the loss is NaN.
    """

    def __init__(self, interrupt_at: int | None = None, bad_from: int | None = None):
        super().__init__()
        self.calls, self.interrupt_at, self.bad_from, self.factor = 0, interrupt_at, bad_from, 1.0

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if images.requires_grad:
            if self.calls == self.interrupt_at:
                raise KeyboardInterrupt
            self.calls += 1
        bad = self.bad_from is not None and self.calls > self.bad_from
        return self.factor * (images - targets).square().mean(dim=(1, 2, 3)) * (float("nan") if bad else 1.0)


class Stages(nn.Module):
    """Two random feature maps, for `pivq.losses.FeatureDistance`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        first = self.one(images).relu()
        return [first, self.two(first).relu()]


def make_images() -> torch.Tensor:
    """Return 24 images of noise, `(24, 3, 16, 16)` uint8."""
    return torch.randint(0, 256, (24, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def make_split(config, name: str) -> SimpleNamespace:
    """Return noise under the names of a split, as many images as the settings ask for."""
    count = config.train.train_images if name == "train" else config.train.heldout_images
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 16, 16), generator=generator).to(torch.uint8)
    return SimpleNamespace(images=images, ids=[f"{name}-{i}" for i in range(count)])


def stand_in(patch, root: Path, **perceptual) -> Perceptual:
    """Put results into `root`, noise in place of data; return the perceptual network, which counts training steps."""
    network = Perceptual(**perceptual)
    patch.setenv("PIVQ_ROOT", str(root))
    patch.setattr(callbacks, "LOG_EVERY", 2)
    patch.setattr(splits, "load_split", make_split)
    patch.setattr(branching, "load_perceptual", lambda name: network)
    return network


def stop_at(patch, step: int) -> tqdm:
    """Return a bar that asks the next training of `pivq.runs.beyond.pieces` to stop after so many steps."""
    requests, usual = [], stopping.stop_requests

    @contextmanager
    def noted():
        with usual() as request:
            requests.append(request)
            yield request

    class Bar(tqdm):
        count = 0

        def update(self, n=1):
            Bar.count += 1
            if Bar.count == step:
                requests[-1].set()

    patch.setattr(pieces, "stop_requests", noted)
    return Bar(disable=True)


class Colours(FeatureNet):
    """Mean colour: three features that can be computed by hand."""

    name, label, num_features, distance_name = "efficientnet_lite0", "Colours", 3, "FD (Colours)"

    def __init__(self):
        super().__init__(nn.Identity(), "none", "0" * 64)

    def _features(self, levels):
        return levels.mean(dim=(2, 3)) / 255


def load_profile(profile: str, seed: int = 0) -> Config:
    """Return the settings of any profile, also of the one that wants a folder."""
    return load_config(profile, seed, data="faces" if profile == "folder" else "")


def rows(run) -> list[dict]:
    """Return the log of a run without what a clock wrote."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_log(run.folder / "log.jsonl")]


def same_results(run, other) -> bool:
    """Say whether two runs ended bit for bit alike."""
    a, b = (load_checkpoint(r.folder / "checkpoint.pt") for r in (run, other))
    equal = all(torch.equal(a[part][name], b[part][name]) for part in ("model", "ema") for name in a[part])
    clock = ("training_seconds", "shared_steps")  # how it was done, not what came out
    summaries = [{k: v for k, v in r.summary.items() if k not in clock} for r in (run, other)]
    codes = all(np.array_equal(run.codes(name), other.codes(name)) for name in ("train", "heldout"))
    return equal and codes and summaries[0] == summaries[1] and rows(run) == rows(other)


def draw(path: Path, colour=RED, size=(16, 16), **options) -> Path:
    """Write a picture of one colour; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def truncate(path: Path, share: float = 0.5) -> None:
    """Keep only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def noise(path: Path, seed: int = 0, size=(64, 64), **options) -> Path:
    """Write a picture of noise; return its path."""
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def bad_files(folder: Path) -> dict[str, str]:
    """Write files that cannot be read; return what is said about each."""
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(HTML)
    (folder / "text.png").write_bytes(b"not a picture")
    truncate(noise(folder / "half.jpg"))
    truncate(noise(folder / "half.png"))
    truncate(noise(folder / "head.webp"), 0.02)
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(folder / "float.tif")
    return {
        "empty.jpg": "an empty file .0 bytes.",
        "page.jpg": "this is an HTML page, probably a download-quota page",
        "text.png": "not an image in a known format",
        "half.jpg": "truncated",
        "half.png": "truncated",
        "head.webp": ".",
        "float.tif": "floating-point levels",
    }


# What the metrics and the assignments are tested on


def gaussians(rows, dimensions, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, (rows, dimensions))


def total(distances: torch.Tensor, codes: torch.Tensor) -> float:
    return float(distances.double().gather(1, codes[:, None]).sum())


def assert_least(distances: torch.Tensor, codes: torch.Tensor) -> None:
    """Hold codes `(L,)` to being distinct and to the total of scipy's solver on all distances `(L, K)`."""
    best = float(distances[linear_sum_assignment(distances.numpy())].sum())
    assert len(set(codes.tolist())) == len(codes)
    assert total(distances, codes) == pytest.approx(best, rel=1e-12, abs=1e-12 * float(distances.abs().max()))


def least_total(distances: torch.Tensor) -> float:
    """Return the least sum over every way to give each row a column of its own."""
    rows = distances.double().tolist()
    ways = itertools.permutations(range(len(rows[0])), len(rows))
    return min(sum(row[column] for row, column in zip(rows, way, strict=True)) for way in ways)


KINDS = {
    "random": lambda d: d,
    "ties": lambda d: (4 * d).floor(),
    "whole numbers": lambda d: (1000 * d).floor(),
    "zeros": lambda d: 0 * d,
    "equal": lambda d: 0 * d + 0.1,
    "same rows": lambda d: d[:1].expand_as(d),
    "few rows": lambda d: d[torch.arange(len(d)) % 3],
    "same columns": lambda d: d[:, :1].expand_as(d),
    "few columns": lambda d: d[:, torch.arange(d.shape[1]) % (d.shape[1] // 2 + 1)],
    "nearly equal": lambda d: 1 + 1e-13 * d,
    "nearly same rows": lambda d: d[:1] + 1e-3 * d,
    "huge": lambda d: 1e30 * d,
    "tiny": lambda d: 1e-30 * d,
    "negative": lambda d: d - 5,
    "both signs": lambda d: d - 0.5,
    "rows of all scales": lambda d: d * 10 ** (20 * d[:, :1] - 10),
    "columns of all scales": lambda d: d * 10 ** (8 * d[:1] - 4),
    "chain": lambda d: (torch.arange(d.shape[1]) - torch.arange(len(d))[:, None].clamp(min=1)).abs() + 1e-3 * d,
    "product": lambda d: torch.outer(torch.arange(len(d)) + 1.0, torch.arange(d.shape[1]) + 1.0),
    "product, reversed": lambda d: -torch.outer(torch.arange(len(d)) + 1.0, torch.arange(d.shape[1]) + 1.0),
}


def read_celeba(folder: Path, text: str, name: str = "list_attr_celeba.txt") -> pd.DataFrame:
    """Write a list of attributes into a folder and read it."""
    (folder / name).write_text(text)
    return lists.read_celeba_attributes(Files(folder), name)


def study_row(distance: float = 300.0, **values) -> dict:
    """Return a row of the study of competition as it is stored: drawn tokens and nearest, unless said otherwise."""
    row = {"variation": "drawn", "quantizer": "nearest", "tokens": "drawn", "token_spread": 1.0, "L": 64, "K": 512,
           "steps": 2000, "seed": 0, "psnr": 22.0, "l1": 0.04, "codes_in_use": 500, "codes_per_image": 30,
           "mean_codes_per_image": 20.0, "bits_equation_2": 230.0, "bits_counted_once": 210.0, "bits_equation_4": 270.0,
           "history": {"801": 40.0, "1800": 20.0}, "agreement": 0.2, "dominant_share": 0.05, "draw_codes": 0.6,
           "draw_pixels": 0.01, "device": "NVIDIA H200", "torch": "2.11"}  # fmt: skip
    samples = {"distance": distance, "precision (k=3)": 0.5, "recall (k=3)": 0.75}
    return row | values | {"against_reconstructions": {"samples": samples}}
