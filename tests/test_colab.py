"""What notebooks promise on Colab: they fetch and install the project, keep torch and numpy; CelebA in one session."""

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from pivq.data import faces
from pivq.runs.run import Run, read_config

CHECKOUT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
BOOTSTRAP = "".join(json.loads((CHECKOUT / "notebooks/00_meet_the_faces.ipynb").read_text())["cells"][2]["source"])
ORIGIN = '\nprint(find_spec("pivq").origin)\n'
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
    fetch, install = f"git clone --depth 1 {PROJECT['urls']['Repository']} companion", "pip install -q -e companion"
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


# The notebook that trains on CelebA, with stand-ins for Colab and Drive

COLAB = """
import os
from pathlib import Path


class drive:
    @staticmethod
    def mount(place):
        Path(place).mkdir(parents=True, exist_ok=True)
        if not (mine := Path(place, "MyDrive")).exists():
            mine.symlink_to(os.environ["MY_DRIVE"])
"""
FACES, TRAINED = 620, 490


@pytest.fixture(scope="module")
def celeba(tmp_path_factory) -> Path:
    """Return a folder in CelebA's layout, made from drawn faces: each several times, in different lights."""
    folder, rng = tmp_path_factory.mktemp("celeba"), np.random.default_rng(0)
    drawn = [faces.draw(face, 64) for face in faces.draw_split("heldout", 20)]
    drawn = [np.frombuffer(pixels, np.uint8).reshape(64, 64, 3) for pixels in drawn]
    drawn = [np.asarray(Image.fromarray(pixels).resize((178, 218))) for pixels in drawn]
    names = [f"{number:06}.jpg" for number in range(1, FACES + 1)]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as pictures:
        for position, name in enumerate(names):
            light = drawn[position % len(drawn)] * rng.uniform(0.3, 1, 3)
            buffer = io.BytesIO()
            Image.fromarray(light.astype(np.uint8)).save(buffer, "JPEG")
            pictures.writestr(f"img_align_celeba/{name}", buffer.getvalue())
    rows = [f"{name} {' '.join(rng.choice(['-1', '1'], 2))}" for name in names]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(FACES), "Male Smiling", *rows]) + "\n")
    splits = [f"{name} {0 if position < TRAINED else 2}" for position, name in enumerate(names)]
    (folder / "list_eval_partition.txt").write_text("\n".join(splits) + "\n")
    return folder


@pytest.fixture
def start(tmp_path, celeba):
    """Return a starter of the notebook in a new runtime, which knows nothing but the Drive that is named."""
    package = tmp_path / "packages" / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(COLAB)
    started = []

    def begin(name: str) -> subprocess.Popen:
        mine, content = tmp_path / f"drive-{name}", tmp_path / f"content-{name}"
        shutil.copytree(celeba, mine / "celeba", dirs_exist_ok=True)
        shutil.rmtree(content, ignore_errors=True)
        values = {"profile": "smoke", "layout": "celeba", "budget": "1h", "notebooks": "4", "device": "cpu"}
        executed = tmp_path / f"{name}.ipynb"
        command = [sys.executable, "-P", "-m", "papermill", CHECKOUT / "notebooks/colab.ipynb", executed]
        for parameter, value in values.items():
            command += ["-r", parameter, value]
        path = os.pathsep.join([str(CHECKOUT), str(tmp_path / "packages")])
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PIVQ_")}
        environment = clean | {"PYTHONPATH": path, "MY_DRIVE": str(mine), "OMP_NUM_THREADS": "1"}
        environment["PIVQ_CONTENT"] = str(content)
        with open(tmp_path / f"{name}.log", "a") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield begin
    for process in started:
        end_at_once(process)


def end_at_once(process: subprocess.Popen) -> None:
    """Kill a process with all that it has started, as a runtime that is taken away."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid)
        for member in [*family.children(recursive=True), family]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()


def results_of(mine: Path) -> tuple[dict[str, dict], dict[str, str]]:
    """Return the weights of each finished model by its tokens and quantizer, and the tables by name."""
    weights = {}
    for summary in (mine / "pivq/results/smoke").glob("*/summary.json"):
        run = Run(summary.parent, *read_config(summary.with_name("config.json")))
        weights[f"{run.config.model.tokens}, {run.quantizer}"] = run.model().state_dict()
    tables = {path.name: path.read_text() for path in (mine / "pivq/figures/smoke").glob("*.csv")}
    return weights, tables


@pytest.mark.notebooks
def test_a_runtime_that_ends_in_a_training_changes_nothing_in_the_results(start, tmp_path):
    """The notebook is killed with all its processes and started in an empty runtime, with the same Drive."""
    runs = tmp_path / "drive-killed/pivq/results/smoke"
    first, straight = start("killed"), start("straight")  # at once
    while not any(runs.glob("*/*.pt")):
        assert first.poll() is None, (tmp_path / "killed.log").read_text()
        time.sleep(0.02)
    end_at_once(first)
    assert len(list(runs.glob("*/summary.json"))) < 4, "it was finished before it was killed"
    again = start("killed")
    for name, process in {"killed": again, "straight": straight}.items():
        assert process.wait(1200) == 0, (tmp_path / f"{name}.log").read_text()
    weights, tables = results_of(tmp_path / "drive-killed")
    expected, expected_tables = results_of(tmp_path / "drive-straight")
    assert weights.keys() == expected.keys() and len(weights) == 4
    for name, state in expected.items():
        for part, values in state.items():
            assert torch.equal(weights[name][part], values), (name, part)
    assert "table2_capacity.csv" in tables and tables == expected_tables
    outputs = (tmp_path / "killed.ipynb").read_text()
    assert "as chosen before" in outputs and "table2_capacity" in outputs
    assert not (tmp_path / "drive-killed/pivq/data").exists(), "decoded images belong to the runtime's own disk"
    assert any((tmp_path / "content-killed/data/cache").iterdir())
