"""What is installed on Colab: what is missing, and never another torch or numpy."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Return the script as a module, on a project of four packages, with the calls of pip it makes."""
    spec = importlib.util.spec_from_file_location("colab", CHECKOUT / "notebooks" / "colab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["torch>=2.6", "numpy>=2.0", "prdc>=0.2", "jupyterlab>=4.2"]\n')
    monkeypatch.setattr(module, "PROJECT", project)
    module.calls = []

    def run(command):
        constraints = Path(command[command.index("--constraint") + 1]).read_text().splitlines()
        module.calls.append((command[command.index("--constraint") + 2 :], constraints))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(module.subprocess, "run", run)
    return module


def test_only_what_is_missing_is_installed_and_torch_and_numpy_are_held(colab, monkeypatch):
    there = {"torch": "2.9.0+cu126", "numpy": "2.0.2", "torchaudio": "2.9.0"}
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
