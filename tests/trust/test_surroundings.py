"""The scripts and what lies around them: foreign modules, links, other shells; words that look like markup."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from stand_ins import draw

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


# --- Other systems ----------------------------------------------------------------------------------------------------

POSIX_MODULES = {"fcntl", "resource", "grp", "pwd", "termios", "pty"}
POSIX_NAMES = {"fork", "getuid", "geteuid", "killpg", "setsid", "sched_getaffinity", "mkfifo", "statvfs", "SIGHUP",
               "SIGKILL", "SIGALRM", "alarm", "EDQUOT"}  # fmt: skip


def test_what_only_posix_has_is_guarded(checkout):
    for path in [*(checkout / "pivq").rglob("*.py"), *(checkout / "benchmarks").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        tried = [node for part in ast.walk(tree) if isinstance(part, ast.Try) for node in ast.walk(part)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and POSIX_MODULES & {alias.name for alias in node.names}:
                assert node in tried, f"{path.name}: {ast.unparse(node)}"
            if isinstance(node, ast.Attribute) and node.attr in POSIX_NAMES:
                assert f'attr({ast.unparse(node.value)}, "{node.attr}"' in text, f"{path.name}: {ast.unparse(node)}"
            if isinstance(node, ast.keyword):
                assert node.arg not in ("preexec_fn", "start_new_session", "pass_fds"), path.name


def test_output_in_any_encoding_leaves_no_file_in_it(checkout):
    """Files are UTF-8, or the system's encoding is named; `open(path, "w")` writes in that of the terminal."""
    command = [sys.executable, "-m", "ruff", "check", "--preview", "--select", "PLW1514", "--output-format", "concise"]
    done = subprocess.run([*command, "pivq", "notebooks"], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- The installation, on a stand-in for the packages -----------------------------------------------------------------

BACKEND = """
import zipfile

def build_editable(folder, settings=None, metadata=None):
    name = "pivq-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as file:
        file.writestr("pivq-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: pivq\\nVersion: 0.1.0\\n")
        file.writestr("pivq-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr("pivq-0.1.0.dist-info/RECORD", "")
    return name
"""
INSTALL = 'source ./setup_env.sh; python="$1"; set_up_environment; "$python" -P -c "import tiny; print(tiny.__file__)"'


@pytest.fixture
def project(checkout, tmp_path) -> Path:
    """Return a checkout that needs one package, of a wheel next to it."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(checkout / "setup_env.sh", root)
    (root / "backend.py").write_text(BACKEND)
    project = '[project]\nname = "pivq"\nversion = "0.1.0"\ndependencies = ["tiny"]\n'
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (root / "pyproject.toml").write_text(project + build)
    with zipfile.ZipFile(root / "tiny-1.0-py3-none-any.whl", "w") as file:
        file.writestr("tiny.py", "")
        file.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    (root / "requirements.lock").write_text((root / "tiny-1.0-py3-none-any.whl").as_uri() + "\n")
    return root


def install(root: Path, **options) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHONPATH"))}
    words = ["bash", "-euo", "pipefail", "-c", INSTALL, "run_all.sh", sys.executable]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=root, env=environment | {"PIP_NO_INDEX": "1"}, **pipes, **options)


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
def test_an_installation_that_is_killed_anywhere_is_finished_by_the_next_start(project):
    for delay in (0.3, 1.5, 3.5):  # while the environment is made, while pip starts, while it installs
        process = install(project, start_new_session=True)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    said, errors = install(project).communicate()
    assert f"{project}/.venv/lib" in said, errors
    said, errors = install(project).communicate()
    assert "Installing" not in said and "tiny.py" in said, errors
    for broken in ("bin/python", "installed"):  # the interpreter is gone, for example after an upgrade of the system
        (project / ".venv" / broken).unlink()
        said, errors = install(project).communicate()
        assert "Installing" in said and "tiny.py" in said, errors


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
@pytest.mark.parametrize("left", ["METADATA", "METADATA RECORD", "METADATA tiny.py"])
def test_a_package_that_was_installed_in_part_is_installed_anew(project, left):
    """pip takes a package for installed once its METADATA is there, which some wheels have first."""
    assert "tiny.py" in install(project).communicate()[0]
    (project / ".venv" / "installed").unlink()
    (packages,) = (project / ".venv" / "lib").glob("python*/site-packages")
    for path in [packages / "tiny.py", *(packages / "tiny-1.0.dist-info").iterdir()]:
        if path.name not in left:
            path.unlink()
    (packages / "tiny.py").exists() and (packages / "tiny.py").write_text("raise SystemExit('cut')")
    for _ in range(2):
        said, errors = install(project).communicate()
        assert "tiny.py" in said, errors
    assert "Installing" not in said


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
def test_an_environment_that_somebody_made_keeps_what_is_in_it(project):
    subprocess.run([sys.executable, "-m", "venv", project / ".venv"], check=True)
    (packages,) = (project / ".venv" / "lib").glob("python*/site-packages")
    (packages / "own.py").touch()
    said, errors = install(project).communicate()
    assert "tiny.py" in said and (packages / "own.py").exists(), errors
    (project / "requirements.lock").open("a").write("# another version\n")
    said, errors = install(project).communicate()
    assert "Installing" in said and (packages / "own.py").exists(), errors


@pytest.mark.skipif(shutil.which("flock") is None, reason="no flock")
def test_two_starts_install_once_and_the_second_waits(project):
    first, second = install(project), install(project)
    said = [process.communicate()[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0 and all("tiny.py" in text for text in said)
    assert sorted("Installing" in text for text in said) == [False, True]
    assert sum("Waiting for another installation" in text for text in said) == 1


# --- Places that cannot be written to, terminals that are not UTF-8 ---------------------------------------------------

ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("words, status", [
    (["data", "{}"], 0), (["train", "--profile", "folder", "--data", "{}", "--show-settings"], 0),
    (["train", "--help"], 0), (["encode", "{}", "{}", "--out", "{}/codes.npz"], 1), (["data", "{}/münchen"], 2),
])  # fmt: skip
def test_the_command_in_a_terminal_that_is_not_utf8(tmp_path, checkout, words, status):
    folder = tmp_path / "Bücher …"
    draw(folder / "grün.png")
    words = [word.format(folder) for word in words]
    environment = os.environ | ASCII | {"PYTHONPATH": str(checkout), "PIVQ_ROOT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-P", "-m", "pivq", *words], env=environment, capture_output=True)
    said = done.stdout + done.stderr
    assert done.returncode == status and b"Traceback" not in said and b"codec" not in said, said.decode()
