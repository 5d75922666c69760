"""Which code made a number: digests of the source of what trains, measures and decodes. Standard library only."""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pivq

# Of `pivq.runs`, those that measure what notebooks 04 to 07 leave for the verdict.
MEASURES = ("evaluation", "paths", "probes", "quality", "recombination", "untrained")
SET_PRIOR = ("any_order", "set_prior")  # of `pivq.rivals`, the prior over PI-VQ's sets; no rival is trained with it


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
    return _digest(Path(pivq.__file__).parent / "rivals" / f"{name}.py" for name in SET_PRIOR)


@cache
def rivals_digest() -> str:
    """Return 16 hex digits that change with the source of the rivals, as `code_digest` does with the product's."""
    rivals = (Path(pivq.__file__).parent / "rivals").glob("*.py")
    return _digest_by_name(path for path in rivals if path.stem not in SET_PRIOR)


@cache
def recipe_digest() -> str:
    """Return 16 hex digits that change with the source of the recipes."""
    return _digest_by_name((Path(pivq.__file__).parent / "rivals" / "recipe").glob("*.py"))


def _digest_by_name(files: Iterable[Path]) -> str:
    """Return the digest of files of one folder, in the form that kept trainings and stored rows have."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def _digest(files: Iterable[Path]) -> str:
    place, digest = Path(pivq.__file__).parent, hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(place).as_posix()} ".encode())
        digest.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()[:16]
