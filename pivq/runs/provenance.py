"""Where a number comes from: seeds, versions, the stamp on every artefact and the caption under every figure."""

import platform
import random
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pivq
from pivq.config import Config

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch.

    Args:
        seed: 0 … 2³² − 1, the range that numpy takes.

    Raises:
        ValueError: for a seed outside that range.
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


def stamp(config: Config, steps: int | None = None, quantizer: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return what an artefact must carry to be traced and made again. Holds no date, so equal runs give equal stamps.

    Args:
        config: the settings.
        steps: generator updates behind the numbers; None where nothing was trained.
        quantizer: "matching" or "nearest"; adds the digest that names the run folder.
        **extra: anything else worth keeping, in plain types.

    Returns:
        `profile`, `dataset`, `image_size` in pixels, `seed`, then `steps`, `quantizer` and `digest` where given, the
        extras, and `versions` by package.

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
    }
    if steps is not None:
        facts["steps"] = steps
    if quantizer is not None:
        facts |= {"quantizer": quantizer, "digest": config.digest(quantizer)}
    return facts | extra | {"versions": versions()}


def caption(config: Config, steps: int | None = None, note: str = "") -> str:
    """Return the line under a figure or table: profile, data, steps, seed.

    Args:
        config: the settings.
        steps: generator updates behind it; None where nothing was trained.
        note: added at the end, such as a protocol.

    Example:
        >>> from pivq.config import load_config
        >>> caption(load_config("quick"), steps=2400)
        'profile quick · avatars 64×64 · 2,400 steps · seed 0'
    """
    size = config.model.image_size
    parts = [f"profile {config.profile}", f"{config.dataset} {size}×{size}"]
    if steps is not None:
        parts.append(f"{steps:,} steps")
    parts.append(f"seed {config.seed}")
    return " · ".join(parts + ([note] if note else []))
