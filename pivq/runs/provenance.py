"""Where a number comes from: seeds, versions, the stamp on every artefact and the caption under every figure."""

import platform
import random
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pivq
from pivq.config import Config
from pivq.settings import check_whole
from pivq.storage.origin import computed_on
from pivq.storage.paths import CHECKOUT
from pivq.storage.source import code_digest, measures_digest

UNKNOWN = "unknown"  # code that an earlier version did not note
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch.

    Raises:
        ValueError: the seed is not in 0 … 2³² − 1, the range of numpy's.
    """
    seed = check_whole("seed", seed, 0, 2**32 - 1)
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


def code_so_far(before: str | None, steps: int) -> str:
    """Return the digests of all code that trains a run, joined by "+": of its steps so far, and now.

    `before` is what this function returned when those steps were trained; None where an earlier version did not note
    it.

    Example:
        >>> code_so_far(None, 0) == code_digest() == code_so_far(code_digest(), 20)
        True
        >>> code_so_far("0123456789abcdef", 20) == f"0123456789abcdef+{code_digest()}"
        True
    """
    found = (before or UNKNOWN).split("+") if steps else []
    return "+".join(dict.fromkeys([*found, code_digest()]))


def commit(checkout: Path = CHECKOUT) -> str | None:
    """Return the commit of the checkout, 40 hex digits, read from git's files; None if there is none, or it is packed.

    It says nothing of edits since; `code_digest` does.
    """
    try:
        folder = checkout / ".git"
        if folder.is_file():  # of a worktree
            folder = checkout / folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        found = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if (folder / "commondir").is_file():
            folder /= (folder / "commondir").read_text(encoding="utf-8").strip()
        if reference := found.removeprefix("ref: ") if found.startswith("ref: ") else "":
            if (folder / reference).is_file():
                found = (folder / reference).read_text(encoding="utf-8").strip()
            else:
                lines = (folder / "packed-refs").read_text(encoding="utf-8").splitlines()
                found = next(line.split()[0] for line in lines if line.endswith(f" {reference}"))
    except (OSError, ValueError, StopIteration):
        return None
    return found if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", found) else None


def stamp(config: Config, steps: int | None = None, quantizer: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return the facts that an artefact needs to be made again. They hold no date: equal runs have equal stamps.

    They are `profile`, `dataset`, `image_size` in pixels and `seed`; the `steps` trained (generator updates) and the
    `quantizer`, where given, with the `digest` that names its run's folder; the `device`, the `threads` of torch, where
    it is loaded, and the digest of the `code`; that of what `measures`; `layout` and `on_error`, where they are not the
    usual ones; `extra` facts, in plain types; and `versions` by package.

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
        **computed_on(),
        "measures": measures_digest(),
        "layout": config.layout or None,
        "on_error": config.on_error if config.on_error != "raise" else None,
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
