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


def stamp(config: Config, steps: int | None = None, quantizer: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return the facts that an artefact needs to be made again. They hold no date: equal runs have equal stamps.

    They are `profile`, `dataset`, `image_size` in pixels and `seed`; the `steps` trained (generator updates) and the
    `quantizer`, where given, with the `digest` that names its run's folder; `extra` facts, in plain types; and
    `versions` by package.

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
