"""Notebooks are saved as they were, or with the edit alone; by the class that saves them in JupyterLab."""

import json
import shutil

import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager

from pivq.commands import lab


@pytest.fixture
def manager(checkout, tmp_path, monkeypatch):
    """Return Jupyter's manager of a copy of the notebooks; what cells showed goes to `tmp_path / "results"`."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setattr(lab, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(checkout / "notebooks/04_capacity.ipynb", tmp_path / "notebooks")
    return LargeFileManager(root_dir=str(tmp_path), pre_save_hook="pivq.commands.lab.strip")


def executed(manager, path="notebooks/04_capacity.ipynb"):
    """Return what JupyterLab has of a notebook after it ran: outputs, and what it notes about the kernel."""
    model = manager.get(path)
    for cell in model["content"]["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = 3
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "2 MB"}]
            cell["metadata"]["execution"] = {"iopub.status.busy": "now"}
    model["content"]["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    model["content"]["metadata"]["language_info"] |= {"version": "3.11.7", "file_extension": ".py"}
    return model


def test_a_notebook_that_was_only_run_is_saved_byte_for_byte_as_it_was(manager, tmp_path):
    path = tmp_path / "notebooks/04_capacity.ipynb"
    before = path.read_bytes()
    manager.save(executed(manager), "notebooks/04_capacity.ipynb")
    assert path.read_bytes() == before
    kept = json.loads((tmp_path / "results/lab/04_capacity.ipynb").read_text())
    assert kept["cells"][2]["outputs"][0]["text"] == "2 MB"
    manager.save(manager.get("notebooks/04_capacity.ipynb"), "notebooks/04_capacity.ipynb")
    assert json.loads((tmp_path / "results/lab/04_capacity.ipynb").read_text()) == kept, "nothing new was shown"


def test_an_edit_is_saved_and_nothing_else(manager, tmp_path):
    path = tmp_path / "notebooks/04_capacity.ipynb"
    before = path.read_text().splitlines()
    model = executed(manager)
    model["content"]["cells"][0]["source"] += " An edit."
    manager.save(model, "notebooks/04_capacity.ipynb")
    after = path.read_text().splitlines()
    changed = [line for old, line in zip(before, after, strict=True) if old != line]
    assert len(changed) == 1 and changed[0].endswith(' An edit."')


@pytest.mark.parametrize("place", ["notebooks/mine/own.ipynb", "own.ipynb"])
def test_notebooks_elsewhere_keep_their_outputs(manager, tmp_path, place):
    model = executed(manager)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    manager.save({"type": "notebook", "format": "json", "content": model["content"]}, place)
    assert "2 MB" in (tmp_path / place).read_text() and not (tmp_path / "results").exists()


def test_a_new_notebook_of_the_project_is_saved_without_outputs(manager, tmp_path):
    model = executed(manager)
    manager.save({"type": "notebook", "format": "json", "content": model["content"]}, "notebooks/own.ipynb")
    assert "2 MB" not in (tmp_path / "notebooks/own.ipynb").read_text()


def test_other_files_are_left_alone(manager, tmp_path):
    manager.save({"type": "file", "format": "text", "content": "x = 1"}, "notebooks/x.py")
    assert (tmp_path / "notebooks/x.py").read_text() == "x = 1"


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """Return the arguments that JupyterLab is started with."""
    found = []
    monkeypatch.setenv("MPLBACKEND", "Agg")  # taken away at the start, for the figures to show; put back after the test
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", found.append)
    return found


@pytest.mark.parametrize(
    "words, place",
    [
        ([], "notebooks/00_meet_the_faces.ipynb"),
        (["notebooks/03_train.ipynb", "--no-browser"], "notebooks/03_train.ipynb"),
        (["README.md"], "README.md"),
    ],
)
def test_the_whole_checkout_can_be_opened(started, checkout, words, place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert lab.main(words) == 0
    (arguments,) = started
    assert f"--ServerApp.root_dir={checkout}" in arguments and f"--LabApp.default_url=/lab/tree/{place}" in arguments
    assert arguments[-1:] == words[1:] or "--no-browser" not in words


def test_a_path_may_be_relative_to_the_working_directory(started, checkout, monkeypatch):
    monkeypatch.chdir(checkout / "notebooks")
    assert lab.main(["03_train.ipynb"]) == 0 and "/lab/tree/notebooks/03_train.ipynb" in started[0][1]


@pytest.mark.parametrize("words", [["no_such.ipynb"], ["README.md", "LICENSE"], ["/"]])
def test_what_cannot_be_opened_is_said(started, words, capsys):
    assert lab.main(words) == 2 and started == []
    assert capsys.readouterr().err.startswith("run_lab.sh: error: ")
