"""Run every notebook twice with the smoke profile, in two folders: tables equal to the byte, figures to the pixel.

python tests/trust/determinism.py    # four minutes on two cores
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from checkout import CHECKOUT
from PIL import Image
from trials import Trial, command_line


def trials(count: int, seed: int) -> Iterator[Trial]:
    """Yield the comparisons of all figures, tables and numbers of one more run than `count` with those of the first."""
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder) / f"{i}" for i in range(count + 1)]
        for root in roots:
            command = [sys.executable, "-P", "-m", "pivq.commands.run_all", "--profile", "smoke", "--seed", str(seed)]
            place = {"PIVQ_ROOT": str(root), "PYTHONPATH": str(CHECKOUT)}
            done = subprocess.run(command, env=os.environ | place, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        for root in roots[1:]:
            yield from compare(roots[0] / "figures", root / "figures")


def compare(one: Path, other: Path) -> Iterator[Trial]:
    """Yield a trial for each file that one of two folders has."""
    names = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*") if path.is_file()}
    for name in sorted(names):
        what = {".png": "figures (pixels)", ".pdf": "figures (PDF, bytes)"}.get(name.suffix, "tables, numbers (bytes)")
        yield Trial(what, "equal", "" if _equal(one / name, other / name) else f"{name} differs")


def _equal(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()):
        return False
    if one.suffix != ".png":
        return one.read_bytes() == other.read_bytes()
    a, b = (np.asarray(Image.open(path).convert("RGBA")) for path in (one, other))
    return a.shape == b.shape and bool((a == b).all())


if __name__ == "__main__":
    sys.exit(command_line(trials, 1, __doc__))
