"""What is installed on Colab: what is missing, and never another torch or numpy."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
BOOTSTRAP = "".join(json.loads((CHECKOUT / "notebooks/00_meet_the_faces.ipynb").read_text())["cells"][2]["source"])
# Other versions than ours, as Colab has them; of these only numpy is real in the tests.
THERE = {"torch": "2.9.0+cu126", "torchvision": "0.24.0+cu126", "numpy": "2.3.5", "ipython": "7.34.0"}
THERE |= {"ipykernel": "6.17.1", "google-colab": "1.0.0"}
ORIGIN = '\nprint(importlib.util.find_spec("pivq").origin)\n'
VERSIONS = """
import json
from importlib.metadata import distributions
import matplotlib, pandas, scipy, sklearn  # built for the numpy that was kept?
print(json.dumps({found.name: found.version for found in distributions()}))
"""


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Return the script as a module, on a project of five packages, with the calls of pip it makes."""
    spec = importlib.util.spec_from_file_location("colab", CHECKOUT / "notebooks" / "colab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    project = tmp_path / "pyproject.toml"
    needed = ["torch>=2.6", "numpy>=2.0", "prdc>=0.2", "jupyterlab>=4.2", "ipython>=8.20"]
    project.write_text(f"[project]\ndependencies = {needed}\n")
    monkeypatch.setattr(module, "PROJECT", project)
    module.calls = []

    def run(command):
        constraints = Path(command[command.index("--constraint") + 1]).read_text().splitlines()
        module.calls.append((command[command.index("--constraint") + 2 :], constraints))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(module.subprocess, "run", run)
    return module


def test_only_what_is_missing_is_installed_and_torch_and_numpy_are_held(colab, monkeypatch):
    there = {"torch": "2.9.0+cu126", "numpy": "2.0.2", "torchaudio": "2.9.0", "ipython": "7.34.0"}
    monkeypatch.setattr(colab, "installed", there.get)
    assert colab.main() == 0
    assert colab.calls == [(["prdc>=0.2"], ["torch==2.9.0+cu126", "torchaudio==2.9.0", "numpy==2.0.2"])]


def test_nothing_is_done_where_nothing_is_missing(colab, monkeypatch):
    monkeypatch.setattr(colab, "installed", {"torch": "2.9.0", "numpy": "2.3.1", "prdc": "0.2"}.get)
    assert colab.main() == 0 and colab.calls == []


def test_a_torch_that_is_too_old_is_said_and_not_replaced(colab, monkeypatch, capsys):
    monkeypatch.setattr(colab, "installed", {"torch": "2.1.0", "numpy": "2.3.1"}.get)
    assert colab.main() == 1 and colab.calls == []
    assert "torch>=2.6 (2.1.0 is there)" in capsys.readouterr().err


def test_installed_tells_versions(colab):
    assert colab.installed("pytest") == pytest.__version__
    assert colab.installed("no-such-package") is None


def run_cell(python: Path | str, folder: Path, code: str, *options: str, **variables: str):
    """Run a bootstrap cell and what follows it as a program, seeing neither this checkout nor its packages."""
    command = [str(python), *options, "-c", code]
    return subprocess.run(command, cwd=folder, env=clean() | variables, capture_output=True, text=True, timeout=500)


def clean() -> dict[str, str]:
    """Return the environment without what leads to this checkout: a hook's GIT_DIR, run_tests.sh's PYTHONPATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTHON"))}
    return kept | {"PIP_COMPILE": "0", "PYTHONDONTWRITEBYTECODE": "1"}  # half the files to write and to remove


def test_a_checkout_of_ones_own_is_used_and_nothing_is_fetched_or_installed(tmp_path):
    (tmp_path / "pivq").mkdir()
    (tmp_path / "pivq" / "__init__.py").touch()
    (tmp_path / "notebooks").mkdir()  # there is no colab.py, and no git on the PATH: to use either would fail
    done = run_cell(sys.executable, tmp_path / "notebooks", BOOTSTRAP + ORIGIN, "-S", PATH="")  # -S: no packages
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "pivq" / "__init__.py")]


def stand_in(packages: Path, name: str, *needs: str) -> None:
    """Install an empty package that pip takes for the real one, and could replace."""
    info = f"{name.replace('-', '_')}-{THERE[name]}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {THERE[name]}"]
    metadata += [f"Requires-Dist: {need}" for need in needs]
    files = {f"{info}/METADATA": "\n".join(metadata) + "\n", f"{info}/INSTALLER": "pip\n", f"{name}/__init__.py": ""}
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    for file, text in files.items():
        (packages / file).parent.mkdir(exist_ok=True)
        (packages / file).write_text(text)


@pytest.fixture
def like_colab(tmp_path):
    """Yield the interpreter of a new environment with the versions in `THERE`."""
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "packaging"]
    for command in ([sys.executable, "-m", "venv", environment], [*install, f"numpy=={THERE['numpy']}"]):
        done = subprocess.run(command, env=clean(), capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs venv and a package index: {(done.stderr or done.stdout).strip()[-200:]}")
    (packages,) = environment.glob("lib/python*/site-packages")
    stand_in(packages, "torch")
    stand_in(packages, "torchvision", "torch==2.9.0")
    stand_in(packages, "ipython")
    stand_in(packages, "ipykernel", "ipython>=7.23.1")
    stand_in(packages, "google-colab", "ipython==7.34.0", "ipykernel==6.17.1")
    yield python
    shutil.rmtree(environment)  # pytest would keep half a gigabyte of three runs


@pytest.fixture
def github(tmp_path):
    """Return the settings that make git take this checkout, committed or not, for the project on GitHub."""
    repository = tmp_path / "origin.git"
    git = ["git", f"--git-dir={repository}", f"--work-tree={CHECKOUT}", "-c", "user.name=any", "-c", "user.email=any"]
    subprocess.run([*git, "init", "--quiet"], env=clean(), check=True)
    subprocess.run([*git, "add", "pivq", "notebooks", "pyproject.toml"], cwd=CHECKOUT, env=clean(), check=True)
    subprocess.run([*git, "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "any"], env=clean(), check=True)
    key, value = f"url.{repository.as_uri()}.insteadOf", "https://github.com/pi-vq/companion"
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": value}


def test_the_bootstrap_cell_beside_another_torch_and_numpy(like_colab, github, tmp_path):
    """The notebooks' own cell, in an empty folder: it fails while nothing can be fetched, then goes on."""
    folder, nothing = tmp_path / "content", tmp_path / "nothing"
    folder.mkdir()
    nothing.mkdir()
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(nothing), "PIP_CONFIG_FILE": os.devnull}

    def versions(**variables: str) -> dict[str, str]:
        done = run_cell(like_colab, folder, BOOTSTRAP + ORIGIN + VERSIONS, **github, **variables)
        assert done.returncode == 0, done.stderr
        origin, found = done.stdout.splitlines()[-2:]
        assert origin == str(folder / "companion" / "pivq" / "__init__.py")
        return {canonicalize_name(name): version for name, version in json.loads(found).items()}

    failed = run_cell(like_colab, folder, BOOTSTRAP, **github, **offline)
    assert failed.returncode != 0 and "No matching distribution" in failed.stderr, failed.stderr
    assert (folder / "companion" / "pivq").is_dir()

    found = versions()
    assert THERE.items() <= found.items()
    server = {"jupyterlab", "nbclient", "nbconvert", "nbformat", "papermill"}
    assert not server & found.keys()
    for line in tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]:
        need = Requirement(line)
        if need.name not in server | {"ipython", "ipykernel"}:
            assert need.specifier.contains(found[canonicalize_name(need.name)]), line
    check = subprocess.run([like_colab, "-m", "pip", "check"], env=clean(), capture_output=True, text=True)
    assert check.returncode == 0, f"a package no longer has what it needs: {check.stdout}"

    assert versions(**offline) == found, "a second time nothing is missing, so nothing is fetched"
