"""What `--list` and `--dry-run` say: before anything is installed, and without writing anything."""

import json
import os
import subprocess
import sys

import pytest

from pivq.commands import doctor
from pivq.commands.preview import list_notebooks, needs, plan, preview
from pivq.commands.run_all_arguments import parse
from pivq.commands.schedule import record_seconds, typical
from pivq.config import load_config
from pivq.runs.planned import planned, run_dir
from pivq.storage.paths import figures_dir, notebooks_dir


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "top"))
    monkeypatch.setenv("COLUMNS", "120")
    for variable in ("PIVQ_VGG16", "PIVQ_INCEPTION"):
        monkeypatch.setenv(variable, str(tmp_path / "weights"))


@pytest.fixture
def asked(checkout):
    """Return a function that parses a command line with the project's notebooks."""
    return lambda *argv: parse(list(argv), checkout / "notebooks")


def table(text):
    """Return the rows that begin with a notebook's name, with what is wrapped below them in one line, by name."""
    rows = {}
    for line in text.splitlines():
        if line[:2].isdigit():
            rows[name := line.split()[0]] = line
        elif line.startswith(" ") and rows:
            rows[name] += " " + line.strip()
    return rows


def test_the_list_has_what_each_notebook_shows_makes_and_takes(asked):
    request = asked("--list")
    rows = table(list_notebooks(request.notebooks, "quick"))
    assert list(rows) == [notebook.name for notebook in request.notebooks]
    capacity = rows["04_capacity"]
    assert capacity.split()[1] == f"{typical('quick')['04_capacity']['minutes']:.1f}"
    assert "How much a set of codes can hold" in capacity and "fig4_capacity" in capacity
    assert "in figures/quick/" in capacity and "`" not in capacity
    assert max(map(len, list_notebooks(request.notebooks, "quick").splitlines())) <= 120
    total = sum(row["minutes"] for row in typical("quick").values())
    some = list_notebooks(asked("--list", "--only", "4-5").notebooks, "celeba64")
    assert list(table(some)) == ["04_capacity", "05_interpolation"] and "figures/celeba64/" in some
    assert "all of these" not in some and table(some)["04_capacity"].split()[1] == "–", "nobody has measured it"
    measured = [notebook for notebook in request.notebooks if notebook.name in typical("quick")]
    assert f"all of these {total:>24.1f}" in list_notebooks(measured, "quick")


def test_a_plan_says_what_is_there(asked):
    request, config = asked("--dry-run", "--only", "3,4,9"), load_config("quick")
    rows = table(plan(request.notebooks, config, request.parameters))
    assert "0 of 4 models trained; ablations stored (the project's) · needs the faces" in rows["03_train"]
    assert "nothing · needs the trained models (notebook 03)" in rows["04_capacity"]
    assert "competition stored (the project's)" in rows["09_when_codes_compete"]
    jobs = planned(config)
    for label in ("learned, matching", "drawn, nearest"):
        run_dir(*jobs[label]).mkdir(parents=True)
        (run_dir(*jobs[label]) / "summary.json").write_text("{}")
    folder = notebooks_dir("quick")
    folder.mkdir(parents=True)
    executed = folder / "04_capacity.ipynb"
    executed.write_text("{}")
    os.utime(executed, (1_700_000_000, 1_700_000_000))
    record_seconds(folder / "timings.json", "04_capacity", 90)
    figures_dir("quick").mkdir(parents=True)
    (figures_dir("quick") / "ablations.json").write_text("{}")
    text = plan(request.notebooks, config, request.parameters)
    rows = table(text)
    assert "2 of 4 models trained (learned, matching; drawn, nearest); ablations stored · needs" in rows["03_train"]
    assert rows["04_capacity"].split()[1] == "1.5" and "run on 2023-11-1" in rows["04_capacity"]
    minutes = [typical("quick")[name]["minutes"] for name in ("03_train", "09_when_codes_compete")]
    assert f"All of these: {sum(minutes) + 1.5:.0f} min." in text
    assert f"Figures and tables go to {figures_dir('quick')}" in text


def test_a_plan_names_what_nobody_has_measured(asked):
    request = asked("--dry-run", "--rerun-study", "--only", "4,9")
    text = plan(request.notebooks, load_config("quick"), request.parameters)
    assert "without 09_when_codes_compete, whose time is not known." in text
    paper = asked("--dry-run", "--profile", "celeba64", "--only", "3")
    text = plan(paper.notebooks, load_config("celeba64"), paper.parameters)
    assert "0 of 2 models trained" in text and "All of these" not in text


def test_everything_that_is_missing_is_said_at_once_and_nothing_is_written(asked, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert preview(asked("--dry-run", "--profile", "celeba64", "--device", "cuda", "--only", "3")) == 1
    said = capsys.readouterr().out
    assert "Profile celeba64: missing: GPU, weights, data." in said
    assert said.count("run_all.sh --download brings them") == 2
    assert "--data DIR names another place" in said and "--device cpu, or a computer with a GPU" in said
    assert preview(asked("--dry-run", "--profile", "smoke")) == 0
    assert "everything that it needs is there" in capsys.readouterr().out
    assert not (tmp_path / "top").exists()


def test_packages_that_are_missing_are_what_the_set_up_brings(monkeypatch):
    lacking = [doctor.Row("packages", doctor.MISSING, f"{name} is not installed", "pip") for name in ("a", "b")]
    monkeypatch.setattr(doctor, "_packages", lambda: lacking)
    rows = [row for row in needs(load_config("quick"), {}) if row.what == "packages"]
    assert len(rows) == 1 and rows[0].state == doctor.NOTE and "installs them into .venv" in rows[0].remedy


@pytest.mark.parametrize("option, said", [("--list", "shows and makes"), ("--dry-run", "GPU "), ("--version", "pivq ")])
def test_it_answers_before_anything_is_installed(checkout, option, said):
    command = [sys.executable, "-S", "-P", "-m", "pivq.commands.run_all", option]  # -S: no installed packages
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(checkout)}, capture_output=True, text=True)
    assert result.returncode == 0 and said in result.stdout, result.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_stops_early_sees_no_error(checkout):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-S", "-P", "-m", "pivq.commands.run_all", "--list"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    result = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (result.returncode, result.stderr) == (0, b"")


def test_the_script_answers_without_setting_anything_up(checkout, tmp_path):
    """A copy of the script, with no environment beside it."""
    for name in ("run_all.sh", "setup_env.sh", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((checkout / name).read_bytes())
    for name in ("pivq", "notebooks", "docs", "figures"):
        (tmp_path / name).symlink_to(checkout / name)
    environment = os.environ | {"PYTHONPATH": "", "PIVQ_ROOT": str(tmp_path / "top")}
    environment["PATH"] = f"{os.path.dirname(os.path.realpath(sys.executable))}{os.pathsep}{environment['PATH']}"
    for options in (["--list"], ["--dry-run", "--only", "4"], ["--version"], ["--check-only"], ["--help"]):
        done = subprocess.run(["bash", tmp_path / "run_all.sh", *options], env=environment, capture_output=True)
        assert done.returncode == 0 and done.stdout and not done.stderr, (options, done.stderr)
    assert not (tmp_path / ".venv").exists() and not (tmp_path / "top").exists()


def test_check_only_says_what_was_understood(asked, capsys):
    assert preview(asked("--check-only", "--seed", "3", "--only", "1-2")) == 0
    assert capsys.readouterr().out.startswith("The arguments are right: 2 notebooks, profile quick, seed 3.")


def test_odd_first_cells_are_no_hindrance(write_notebook):
    folder = write_notebook("00_first")
    path = folder / "00_first.ipynb"
    content = json.loads(path.read_text())
    content["cells"][0]["source"] = ["no title\n", "| makes | [a link](https://x.y) and `code` in <profile> |"]
    path.write_text(json.dumps(content))
    text = list_notebooks(parse([], folder).notebooks, "smoke")
    assert "makes a link and code in <profile>" in text.replace("smoke", "<profile>")
