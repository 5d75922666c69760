"""What a notebook on its own promises, as on Colab: it fetches and installs the project; torch and numpy stay."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
BOOTSTRAP = "".join(json.loads((CHECKOUT / "notebooks/00_meet_the_faces.ipynb").read_text())["cells"][2]["source"])
ORIGIN = '\nprint(importlib.util.find_spec("pivq").origin)\n'
# Stands in for pip: notes its arguments, and fails while there is no network.
PIP = """
import os, sys
with open(os.environ["CALLS"], "a") as calls:
    print("pip", *sys.argv[1:], file=calls)
sys.exit("no network" if os.environ.get("OFFLINE") else 0)
"""
GIT = """#!/bin/sh
echo git "$@" >>"$CALLS"
for folder; do :; done
"$MKDIR" -p "$folder/pivq" && : >"$folder/pivq/__init__.py"
"""


def run_cell(folder: Path, code: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a bootstrap cell as a program that sees neither this checkout nor installed packages (-S)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTHON"))}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, cwd=folder, env=kept | variables, capture_output=True, text=True)


def test_a_checkout_is_used_and_nothing_is_fetched_or_installed(tmp_path):
    (tmp_path / "pivq").mkdir()
    (tmp_path / "pivq" / "__init__.py").touch()
    (tmp_path / "notebooks").mkdir()
    done = run_cell(tmp_path / "notebooks", BOOTSTRAP + ORIGIN, PATH="")  # neither git nor pip: using one would fail
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "pivq" / "__init__.py")]


def test_elsewhere_the_project_is_fetched_once_and_installed(tmp_path):
    """The cell fails while nothing can be installed, then resumes; pip decides what is missing."""
    tools, content, calls = tmp_path / "tools", tmp_path / "content", tmp_path / "calls"
    tools.mkdir()
    content.mkdir()
    (tools / "git").write_text(GIT)
    (tools / "git").chmod(0o755)
    (tools / "pip.py").write_text(PIP)
    clone = content / "companion"
    tell = {"PATH": str(tools), "PYTHONPATH": str(tools), "CALLS": str(calls), "MKDIR": shutil.which("mkdir")}

    failed = run_cell(content, BOOTSTRAP + ORIGIN, OFFLINE="1", **tell)
    assert failed.returncode != 0 and "no network" in failed.stderr
    done = run_cell(content, BOOTSTRAP + ORIGIN, **tell)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(clone / "pivq" / "__init__.py")]
    fetch, install = f"git clone --depth 1 {PROJECT['urls']['Repository']} {clone}", f"pip install -q -e {clone}"
    assert calls.read_text().splitlines() == [fetch, install, install]


def offer(folder: Path, name: str, version: str) -> None:
    """Put an empty package into a folder of wheels."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_pip_keeps_every_installed_version_that_is_new_enough(tmp_path):
    """The cell's `pip install -e` changes nothing but pivq, although newer versions of torch and numpy are on offer."""
    for need in map(Requirement, PROJECT["dependencies"]):
        try:
            if not need.specifier.contains(distribution(need.name).version, prereleases=True):
                pytest.skip(f"{need.name} is too old here")
        except PackageNotFoundError:
            pytest.skip(f"{need.name} is not installed here")
    if not importlib.util.find_spec("pip") or not importlib.util.find_spec("setuptools"):
        pytest.skip("needs pip and setuptools")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "pivq", tmp_path / "pivq", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("torch", "torchvision", "numpy"):
        offer(tmp_path, name, "99.0")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-build-isolation", "--report", "-"]
    command += ["--no-index", "--find-links", tmp_path, "-e", tmp_path]  # without an index nothing else can be fetched
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [found["metadata"]["name"] for found in json.loads(done.stdout)["install"]] == ["pivq"]


def add_with_requirements(line: str, found: set[str]) -> None:
    """Add the package of a requirement and all that it needs, by canonical name."""
    need = Requirement(line)
    name = canonicalize_name(need.name)
    if name in found or need.marker and not need.marker.evaluate({"extra": ""}):
        return
    found.add(name)
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return  # another environment than .venv
    for further in lines:
        add_with_requirements(further, found)


def test_the_library_brings_neither_jupyter_nor_ipython():
    """Colab is the notebook server itself and pins its ipython and ipykernel."""
    found = set()
    for line in PROJECT["dependencies"]:
        add_with_requirements(line, found)
    assert len(found) > len(PROJECT["dependencies"])
    jupyter = {canonicalize_name(Requirement(line).name) for line in PROJECT["optional-dependencies"]["notebooks"]}
    assert not found & (jupyter - {"jinja2", "markupsafe"}), "torch needs these two"
