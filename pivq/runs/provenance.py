"""Where a number comes from: seeds, versions, the stamp on every artefact and the caption under every figure."""

import hashlib
import platform
import random
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pivq
from pivq.config import Config
from pivq.settings import check_whole
from pivq.storage.origin import computed_on
from pivq.storage.paths import CHECKOUT

UNKNOWN = "unknown"  # code that an earlier version did not note
# Of `pivq.runs`, those that measure what notebooks 04 to 07 leave for the verdict.
MEASURES = ("evaluation", "paths", "probes", "quality", "recombination", "untrained")
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


@cache
def code_digest() -> str:
    """Return 16 hex digits that change with the source of the modules that decide numbers."""
    place = Path(pivq.__file__).parent
    files = [path for path in place.glob("*.py") if path.stem not in ("paper", "inference", "__init__", "__main__")]
    return _digest(files + [path for room in ("solvers", "data", "metrics", "pretrained")
                            for path in (place / room).glob("*.py")])  # fmt: skip


@cache
def features_digest(decoded: bool) -> str:
    """Return 16 hex digits that change with the source of what makes features of images, and decodes these if so.

    Kept features are found again by it: after an edit they are made anew.
    """
    place = Path(pivq.__file__).parent
    decoders = [place / f"{name}.py" for name in ("inference", "layers", "model", "quantizers")]
    return _digest([*(place / "pretrained").glob("*.py"), *(decoders if decoded else [])])


@cache
def measures_digest() -> str:
    """Return 16 hex digits that change with the source of what measures models, as `code_digest` does with theirs."""
    place = Path(pivq.__file__).parent
    return _digest([place / "inference.py", *(place / "runs" / f"{name}.py" for name in MEASURES)])


@cache
def prior_digest() -> str:
    """Return 16 hex digits that change with the source of the prior over sets."""
    return _digest(Path(pivq.__file__).parent / "rivals" / f"{name}.py" for name in ("any_order", "set_prior"))


def _digest(files: Iterable[Path]) -> str:
    place, digest = Path(pivq.__file__).parent, hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(place).as_posix()} ".encode())
        digest.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()[:16]


def code_so_far(before: str | None, steps: int) -> str:
    """Return the digests of all code that trains a run, joined by "+": of its steps so far, and now.

    `before` is what this function returned for those steps, if they are any; None where an earlier version did not note
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
    `quantizer`, where given, with the `digest` that names its run's folder; the `device` and the `threads` of torch,
    where it is loaded; the digest of the `code`, and that of what `measures`; `layout` and `on_error`, where they are
    not the usual ones; `extra` facts, in plain types; and `versions` by package.

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
        "code": code_digest(),
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
