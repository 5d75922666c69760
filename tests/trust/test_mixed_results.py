"""Numbers of one seed, data set or run are never judged as those of another."""

import contextlib
import json
import shutil
import traceback

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError
from stand_ins import draw

from pivq.commands.run_all import main
from pivq.storage.writing import seal, write_json

MADE = ["04_capacity", "05_interpolation", "06_sample_quality", "07_probing"]
PARAMETERS = 'profile = "quick"\nseed = 0\ndata = ""\nforce = False'
SETTINGS = "from pivq.config import load_config\nconfig = load_config(profile, seed, data)"


def execute_here(source: str, target: str, parameters: dict, cwd: str, **_) -> None:
    """Stand in for `papermill.execute_notebook`: run the cells in this process, which takes no kernel to start."""
    notebook, names = nbformat.read(source, as_version=4), {}
    metadata = {"parameters": parameters}
    with contextlib.chdir(cwd):
        for cell in notebook.cells:
            cell.metadata["papermill"] = {"start_time": "now", "status": "completed", "exception": False}
            if cell.cell_type != "code" or metadata.get("exception"):
                continue
            cell.execution_count = 1
            try:
                exec(cell.source, names)
                names |= parameters
            except Exception as error:
                words = traceback.format_exc().splitlines()
                cell.outputs = [nbformat.v4.new_output("error", ename=type(error).__name__, evalue=str(error),
                                                       traceback=words)]  # fmt: skip
                cell.metadata["papermill"] |= {"status": "failed", "exception": True}
                metadata["exception"] = True
    notebook.metadata["papermill"] = metadata
    nbformat.write(notebook, target)
    if metadata.get("exception"):
        raise PapermillExecutionError(0, 1, "", "", "", [])


@pytest.fixture
def run(write_notebook, tmp_path, monkeypatch, capsys):
    """Return a function that runs stand-ins of the notebooks that leave numbers (each, the seed) and judge them."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setattr(papermill, "execute_notebook", execute_here)
    for name in MADE:
        save = f"from pivq.figures.artefacts import save_json\nsave_json({{'number': seed}}, {name[3:]!r}, config)"
        folder = write_notebook(name, SETTINGS, save, parameters=PARAMETERS)
    judge = "from pivq.runs.verdict import load_facts\nfacts = load_facts(config)"
    judge += f"\nassert all(facts[name[3:]]['number'] == seed for name in {MADE})"
    write_notebook("08_verdict", SETTINGS, judge, parameters=PARAMETERS)

    def call(*argv: str):
        status = main(["--profile", "smoke", *argv], folder)
        return status, "".join(capsys.readouterr())

    return call


def test_another_seed_or_data_never_gets_the_numbers_of_this_run(run, tmp_path):
    assert run()[0] == 0
    figures = tmp_path / "figures"
    before = {path: path.read_bytes() for path in (figures / "smoke").iterdir()}

    status, said = run("--seed", "1", "--only", "08")
    assert status == 1
    (line,) = [line for line in said.splitlines() if line.startswith("FileNotFoundError")]
    missing = figures / "smoke-seed1" / "capacity.json"
    command = "./run_all.sh --profile smoke --seed 1 --only 04"
    assert line == f"FileNotFoundError: {missing} is missing: run notebook 04_capacity first ({command})"

    assert run("--seed", "1")[0] == 0
    assert {path: path.read_bytes() for path in (figures / "smoke").iterdir()} == before
    names = sorted(path.name for path in (tmp_path / "results" / "smoke").iterdir())
    assert names == ["index.html", "notebooks", "notebooks-seed1"]

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for words in (["--only", "08"], ["--only", "04"], []):
        status, said = run("--data", str(pictures), *words)
        assert status == 1 and "figures/smoke holds figures of the data set avatars, not of" in said
        assert f"PIVQ_ROOT=DIR ./run_all.sh --profile smoke --seed 0 --data {pictures}" in said
    assert {path: path.read_bytes() for path in (figures / "smoke").iterdir()} == before


def test_a_second_folder_of_images_replaces_nothing_of_the_first(run, tmp_path, monkeypatch):
    """Nor does a copy of the results elsewhere belong to another folder, or a link to the same one."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        draw(tmp_path / name / "1.png")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert run("--data", "a", "--only", "04")[0] == 0
    kept = [path for place in ("figures", "results") for path in (tmp_path / place).rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in kept}
    status, said = run("--data", "b")
    assert status == 1 and f"figures/smoke holds figures of {tmp_path / 'a'}, not of {tmp_path / 'b'}: to keep" in said
    assert {path: path.read_bytes() for path in kept} == before
    for name in ("link", f"../{tmp_path.name}/a/"):
        assert run("--data", name, "--only", "04")[0] == 0

    shutil.move(tmp_path / "figures", tmp_path / "moved" / "figures")
    shutil.move(tmp_path / "results", tmp_path / "moved" / "results")
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "moved"))
    assert run("--data", "a", "--only", "04")[0] == 0
    assert run("--data", "b", "--only", "04")[0] == 1
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "second"))  # as the message says
    assert run("--data", "b", "--only", "04")[0] == 0


def test_numbers_that_were_copied_or_changed_are_refused(run, tmp_path):
    assert run()[0] == 0
    figures = tmp_path / "figures"
    shutil.copytree(figures / "smoke", figures / "smoke-seed1")
    status, said = run("--seed", "1", "--only", "08")
    assert status == 1 and "capacity.json was made from seed 0" in said and "--seed 1 --only 04" in said

    probing = figures / "smoke" / "probing.json"
    values = json.loads(probing.read_text())
    values.pop("sha256")  # that of the file before the change
    write_json(probing, seal(values | {"runs": values["runs"] | {"nearest": "00000000"}}))
    status, said = run("--only", "08")
    assert status == 1 and "probing.json was made from runs" in said and "--seed 0 --only 07" in said
