"""Every notebook, run in order by the runner with the smoke profile, and what a whole run leaves behind."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pivq.config import load_config
from pivq.runs.parallel import train_together

pytestmark = pytest.mark.notebooks

FIGURES = ["fig1_interpolation", "fig2_architecture", "fig3_matching", "fig4_capacity", "fig5_probing"]
TABLES = ["table1_capabilities", "table2_capacity", "table3_metrics", "competing_tokens"]
CHECKOUT = Path(__file__).resolve().parent.parent


def run(root: Path, *argv: str) -> subprocess.CompletedProcess:
    """Run notebooks with the smoke profile; their data, runs and figures go to `root`."""
    command = [sys.executable, "-m", "pivq.commands.run_all", "--profile", "smoke", *argv]
    environment = os.environ | {"PIVQ_ROOT": str(root), "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Return the folder of one whole run, extras included, with its `figures/` and `results/`."""
    folder = tmp_path_factory.mktemp("smoke")
    result = run(folder, "--extras")
    assert result.returncode == 0, result.stdout + result.stderr
    assert str(folder / "figures" / "smoke" / "verdict.md") in result.stdout
    return folder


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_written(root, name):
    assert (root / "figures" / "smoke" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (root / "figures" / "smoke" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", TABLES)
def test_table_is_written(root, name):
    lines = (root / "figures" / "smoke" / f"{name}.csv").read_text().splitlines()
    assert len(lines) > 1 and "," in lines[0]
    assert "|" in (root / "figures" / "smoke" / f"{name}.md").read_text()


def test_verdict_is_written(root):
    assert json.loads((root / "figures" / "smoke" / "verdict.json").read_text())
    assert "reproduced" in (root / "figures" / "smoke" / "verdict.md").read_text()


def test_notebooks_are_kept_executed_and_as_pages(root):
    folder = root / "results" / "smoke" / "notebooks"
    names = sorted(path.stem for path in (CHECKOUT / "notebooks").glob("[0-9]*.ipynb"))
    assert sorted(path.stem for path in folder.glob("*.ipynb")) == names
    assert sorted(path.stem for path in folder.glob("*.html")) == names
    assert sorted(json.loads((folder / "timings.json").read_text())) == names


def test_the_explorer_is_still_pictures_where_nobody_can_click(root):
    """`explore` is not in the sequence: papermill alone runs it, on the model of the whole run."""
    target = root / "explore.ipynb"
    source = CHECKOUT / "notebooks" / "explore.ipynb"
    command = [sys.executable, "-m", "papermill", source, target, "-p", "profile", "smoke"]
    environment = os.environ | {"PIVQ_ROOT": str(root), "PYTHONPATH": str(CHECKOUT)}
    del environment["MPLBACKEND"]  # else no figure would be shown
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    cells = json.loads(target.read_text())["cells"]
    kinds = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    assert sum("image/png" in kind for kind in kinds) == 5
    assert any("Nothing can be clicked here" in "".join(kind.get("text/markdown", "")) for kind in kinds)
    assert not any("application/vnd.jupyter.widget-view+json" in kind for kind in kinds)


def test_all_results_are_on_one_page_with_every_figure_described(root):
    results = root / "results" / "smoke"
    page = (results / "index.html").read_text()
    assert "not complete" not in page and page.count("data:image/webp") >= 20
    assert [name for name in re.findall('href="(notebooks/.*?)"', page) if not (results / name).exists()] == []
    for notebook in (results / "notebooks").glob("*.html"):
        html = notebook.read_text()
        assert "A figure" not in re.findall('<img alt="(.*?)"', html) and "../index.html" in html, notebook.name
        assert len(re.findall("it/s|img/s|step/s|s/step", html)) < 25, "every refresh of a progress bar is a line"


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
def test_run_folder_is_complete(root, quantizer):
    assert any(
        {"config.json", "checkpoint.pt", "log.jsonl", "codes.npz", "summary.json"} <= set(os.listdir(folder))
        for folder in (root / "results" / "smoke").glob(f"{quantizer}-seed0-*")
    )


def test_nothing_is_left_half_written(root):
    assert not list(root.rglob("*.partial*"))


def test_a_finished_training_is_loaded(root, monkeypatch):
    """As notebook 03 asks for its models, in this process."""
    monkeypatch.setenv("PIVQ_ROOT", str(root))
    started = []
    monkeypatch.setattr("pivq.runs.parallel._run_processes", lambda jobs, *_: started.extend(jobs))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("checkpoint.pt")}
    config = load_config("smoke")
    runs = train_together([(config, "matching"), (config, "nearest")], device="cpu")
    assert not started, "it was trained again"
    assert {str(run.folder) for run in runs} < {str(path.parent) for path in before} and len(before) >= 4
    assert {path: path.stat().st_mtime_ns for path in root.rglob("checkpoint.pt")} == before


def test_a_missing_earlier_step_is_named(tmp_path):
    result = run(tmp_path, "--only", "05")
    assert result.returncode == 1
    assert "05_interpolation failed" in result.stdout and "03_train" in result.stdout.split("failed", 1)[1]
