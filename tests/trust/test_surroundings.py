"""The scripts and what lies around them: foreign modules, links, other shells; words that look like markup."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pivq.commands.run_all import main

FOREIGN = ["random", "json", "argparse", "tomllib", "typing", "importlib", "packaging", "pip", "venv", "pivq", "numpy"]


@pytest.fixture
def hostile(tmp_path) -> Path:
    """Return a folder in which every import would leave a mark."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in FOREIGN:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')")
    return folder


def start(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a command in a folder with this interpreter's environment active."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path} | environment
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize("python_path", ["", ":", ":/nowhere", "/nowhere::", "/nowhere::/elsewhere:"])
def test_no_module_of_the_current_folder_is_run_by_the_scripts(hostile, checkout, tmp_path, python_path):
    script = str(checkout / "run_all.sh")
    done = start(hostile, script, "--profile", "smoke", "--check-only", PYTHONPATH=python_path)
    assert done.returncode == 0, done.stderr
    assert start(hostile, script, "--help", PYTHONPATH=python_path).returncode == 0
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()


def test_no_module_of_the_notebooks_folder_or_of_data_is_run_by_a_run(write_notebook, tmp_path, monkeypatch, checkout):
    folder = write_notebook("00_first", "import random, subprocess, sys", "subprocess.run([sys.executable, '-c', "
                            "'import random; random.random()'], check=True)", "random.random()")  # fmt: skip
    (folder / "random.py").write_text("raise SystemExit('foreign')")
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f":{checkout}::")
    monkeypatch.chdir(folder)
    assert main([], folder) == 0


def test_every_interpreter_of_the_scripts_and_the_package_ignores_the_current_folder(checkout):
    for name in ("run_all.sh", "run_tests.sh", "setup_env.sh"):
        for line in (checkout / name).read_text().splitlines():
            for start in re.findall(r'"\$(?:python|venv/bin/python)" (-\S*)', line):
                assert start == "-P", f"{name}: {line}"
    for path in (checkout / "pivq").rglob("*.py"):
        for start in re.findall(r'\[sys\.executable, ("[^"]*")', path.read_text()):
            assert start == '"-P"', path


@pytest.mark.parametrize("link", ["run.sh", "a b/run.sh", "-run.sh"])
def test_scripts_run_through_links_and_other_shells(checkout, tmp_path, link):
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / "second.sh").symlink_to(checkout / "run_all.sh")
    (tmp_path / link).symlink_to(tmp_path / "second.sh")
    words = [f"./{link}", "--profile", "smoke", "--check-only"]
    for shell in ([], ["sh"], ["bash"]):
        done = start(tmp_path, *shell, *words)
        assert (done.returncode, done.stderr) == (0, ""), shell


def test_words_of_users_are_no_html_in_an_executed_notebook(write_notebook, tmp_path, monkeypatch):
    evil = "<img src=x onerror=alert(1)>"
    folder = write_notebook(
        "00_first",
        "import pandas as pd\nfrom IPython.display import Markdown, display\n"
        "from pivq.figures.tables import escape, styled, to_markdown",
        f"evil = {evil!r}",
        "frame = pd.DataFrame({evil: [evil, 1.5], 'b': ['`' + evil, '|' + evil]}, [evil, '*' + evil])",
        "display(frame, styled(frame), styled(frame, '{}', index=True), Markdown(to_markdown(frame)))",
        "display(Markdown(escape(evil)), Markdown(escape('[x](javascript:alert(1)) Ba$$in')), {evil: 1})\nprint(evil)",
    )
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    assert main(["--profile", "smoke"], folder) == 0
    page = (tmp_path / "results" / "smoke" / "notebooks" / "00_first.html").read_text()
    assert "<img src=x" not in page and 'href="javascript' not in page and "onerror=alert(1)&gt;" in page


def test_the_command_runs_no_module_of_the_current_folder(hostile, checkout, tmp_path):
    (hostile / "pivq.py").unlink()
    for words in (["--help"], ["data", "."], ["train", "--profile", "smoke", "--show-settings"]):
        done = start(hostile, sys.executable, "-m", "pivq", *words, PYTHONPATH=str(checkout))
        assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
        assert "Traceback" not in done.stderr
    # In the checkout itself, from which nothing is installed:
    assert start(checkout, sys.executable, "-m", "pivq", "data", str(hostile), PYTHONPATH="").returncode == 1
