"""Install what the notebooks need beside what is already there, as on Colab; torch and numpy stay as they are.

Colab brings its own torch, built for its GPUs, and a numpy that much else depends on: neither is replaced. Colab is the
notebook server itself and pins its ipython and ipykernel, so what serves and runs notebooks is left out, however old.
"""

import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

KEPT = ("torch", "torchvision", "torchaudio", "numpy")
LEFT_OUT = ("ipykernel", "ipython", "jupyterlab", "nbclient", "nbconvert", "nbformat", "papermill")
PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def installed(name: str) -> str | None:
    """Return the version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> int:
    """Install what is missing; return the exit status."""
    needed = [Requirement(line) for line in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]]
    there = {need.name: installed(need.name) for need in needed}

    def fits(need: Requirement) -> bool:
        return bool(there[need.name]) and need.specifier.contains(there[need.name], prereleases=True)

    missing = [need for need in needed if need.name not in LEFT_OUT and not fits(need)]
    too_old = [f"{need} ({there[need.name]} is there)" for need in missing if need.name in KEPT and there[need.name]]
    if too_old:
        print(f"these are too old, and not replaced here: {', '.join(too_old)}. Update them first.", file=sys.stderr)
        return 1
    if not missing:
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("".join(f"{name}=={installed(name)}\n" for name in KEPT if installed(name)))
        constraints.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", constraints.name]
        return subprocess.run([*command, *map(str, missing)]).returncode


if __name__ == "__main__":
    sys.exit(main())
