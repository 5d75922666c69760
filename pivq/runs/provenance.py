"""Where a number comes from: seeds, versions, the stamp on every artefact and the caption under every figure."""

import hashlib
import platform
import random
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pivq
from pivq.config import Config

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch.

    Raises:
        ValueError: the seed is not in 0 … 2³² − 1, the range of numpy's.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to {2**32 - 1}, got {seed}")
    # Imported here so that a stamp or a caption does not cost the import of torch.
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def versions() -> dict[str, str]:
    """Return the versions that decide the numbers: Python, this package and the libraries that compute."""
    found = {"python": platform.python_version(), "pivq": pivq.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@cache
def code_digest() -> str:
    """Return 16 hex digits that change with the source of the modules that decide numbers."""
    place = Path(pivq.__file__).parent
    files = [path for path in place.glob("*.py") if path.stem not in ("paper", "verdict", "inference", "__main__")]
    files += [path for room in ("solvers", "data", "metrics", "pretrained") for path in (place / room).glob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(place).as_posix()} ".encode())
        digest.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()[:16]


def threads() -> int | None:
    """Return how many threads torch computes with, on which the last digits depend; None if it is not loaded."""
    return sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None


def stamp(config: Config, steps: int | None = None, quantizer: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return the facts that an artefact needs to be made again. They hold no date: equal runs have equal stamps.

    They are `profile`, `dataset`, `image_size` in pixels and `seed`; the `steps` trained (generator updates) and the
    `quantizer`, where given, with the `digest` that names its run's folder; the `threads` of torch, where it is loaded;
    the digest of the `code`; `extra` facts, in plain types; and `versions` by package.

    Example:
        >>> from pivq.config import load_config
        >>> stamp(load_config("smoke", seed=3), steps=40)["seed"]
        3
    """
    facts = {
        "profile": config.profile,
        "dataset": config.dataset,
        "image_size": config.model.image_size,
        "seed": config.seed,
        "steps": steps,
        "quantizer": quantizer,
        "digest": config.digest(quantizer) if quantizer else None,
        "threads": threads(),
        "code": code_digest(),
    }
    return {name: fact for name, fact in facts.items() if fact is not None} | extra | {"versions": versions()}


def caption(config: Config, steps: int | None = None, note: str = "") -> str:
    """Return the line under a figure or table: profile, data, steps if given, seed, and a note such as a protocol.

    Example:
        >>> from pivq.config import load_config
        >>> caption(load_config("quick"), steps=2400)
        'profile quick · avatars 64×64 · 2,400 steps · seed 0'
    """
    size, trained = config.model.image_size, "" if steps is None else f"{steps:,} steps"
    parts = [f"profile {config.profile}", f"{config.dataset} {size}×{size}", trained, f"seed {config.seed}", note]
    return " · ".join(part for part in parts if part)
