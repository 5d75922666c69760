"""The runner, on small notebooks: what it leaves behind, and how it fails."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pytest

import pivq
from pivq.commands import run_all
from pivq.commands.run_all import _find_failure, main
from pivq.precision import COMPILE
from pivq.runs.cost import Cost


@pytest.fixture
def run(write_notebook, tmp_path, monkeypatch, capsys):
    """Return a function that runs the notebooks written so far and returns the exit status and what was printed."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))

    def call(*argv: str):
        status = main(["--profile", "smoke", *argv], tmp_path / "notebooks")
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


def executed(tmp_path, name, profile="smoke", place="notebooks"):
    """Return the text of every output of an executed notebook, and the page made from it."""
    folder = tmp_path / "results" / profile / place
    cells = json.loads((folder / f"{name}.ipynb").read_text())["cells"]
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    text = "".join("".join(output.get("text", output.get("evalue", ""))) for output in outputs)
    return text, (folder / f"{name}.html").read_text()


def test_every_notebook_is_executed_with_its_parameters(run, write_notebook, tmp_path, monkeypatch):
    # A kernel of the same name elsewhere must not be taken instead of this interpreter's.
    foreign = tmp_path / "share" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    before = dict(os.environ)

    write_notebook(
        "00_first",
        "import os, sys, pivq",
        "print(profile, seed, force, sys.executable, os.getcwd(), os.path.dirname(pivq.__file__))",
        "print(os.environ['MPLBACKEND'])",
    )
    write_notebook(
        "08_verdict",
        "from pivq.storage.paths import figures_dir\nfrom pivq.storage.writing import atomic_write",
        "with atomic_write(figures_dir(profile, seed) / 'verdict.md') as file:\n    _ = file.write_text('ok')",
        parameters='profile = "quick"\nseed = 0\nforce = False\nlimit = 3',
    )
    folder = write_notebook("explore", "raise RuntimeError('never run')")
    status, said = run("--seed", "7", "-p", "limit=2")
    assert status == 0, said

    text, page = executed(tmp_path, "00_first", place="notebooks-seed7")
    package = os.path.dirname(pivq.__file__)
    assert text.splitlines()[0] == f"smoke 7 False {sys.executable} {folder} {package}"
    assert "inline" in text.splitlines()[1]  # figures show in the notebook although these tests set Agg
    assert "smoke 7 False" in page and "<title>00_first · PI-VQ</title>" in page
    assert str(tmp_path / "figures" / "smoke-seed7" / "verdict.md") in said
    assert [line for line in said.splitlines() if " · " in line] == ["1/2 · 00_first · …", "2/2 · 08_verdict · …"]
    results = tmp_path / "results" / "smoke" / "notebooks-seed7"
    assert sorted(path.name for path in results.iterdir()) == [
        "00_first.html", "00_first.ipynb", "08_verdict.html", "08_verdict.ipynb", "index.html", "timings.json",
    ]  # fmt: skip
    seconds = json.loads((results / "timings.json").read_text())
    assert list(seconds) == ["00_first", "08_verdict"] and min(seconds.values()) > 0
    assert os.environ == before

    # One alone: the other's time is kept.
    status, said = run("--seed", "7", "--only", "0")
    assert status == 0 and "Verdict" not in said, "that of an older run"
    assert list(json.loads((results / "timings.json").read_text())) == ["00_first", "08_verdict"]


def test_a_raising_cell_stops_the_run_and_keeps_the_output(run, write_notebook, tmp_path):
    write_notebook("01_first")
    write_notebook("02_raises", "print('kept')", "runs = None\nraise FileNotFoundError('run 03_train first')", "seed")
    write_notebook("03_later")
    status, said = run()
    assert status == 1
    assert "02_raises failed: cell 4 (runs = None)\nFileNotFoundError: run 03_train first\n" in said
    summary = [line.split() for line in said.splitlines() if line.startswith(("01", "02", "03"))]
    assert [line[-1] for line in summary if len(line) == 3] == ["ok", "FAILED"]
    assert ["03_later", "–", "not", "run"] in summary
    text, page = executed(tmp_path, "02_raises.failed")
    assert "The one that failed:" in said and "02_raises.failed.ipynb" in said
    assert "kept\n" in text and "run 03_train first" in text
    assert "kept" in page and "run 03_train first" in page
    assert not (tmp_path / "results" / "smoke" / "notebooks" / "03_later.ipynb").exists()
    assert "Verdict" not in said


@pytest.mark.parametrize(
    "leave, reason",
    [("import sys; sys.exit(0)", "SystemExit: 0"), ("import os; os._exit(0)", "Kernel died (usually out of memory)")],
)
def test_leaving_early_is_no_success(run, write_notebook, leave, reason):
    write_notebook("00_leaves", leave, "print('after')")
    write_notebook("01_later")
    status, said = run()
    assert status == 1
    assert f"00_leaves failed: cell 3 ({leave})\n{reason}" in said


def test_a_cell_without_execution_count_did_not_run(write_notebook):
    path = write_notebook("00_stops", "1", "2", "") / "00_stops.ipynb"
    notebook = json.loads(path.read_text())
    for count, cell in enumerate(notebook["cells"][1:4]):
        cell["execution_count"] = count + 1
    path.write_text(json.dumps(notebook))
    assert _find_failure(path, path, None) is None  # an empty cell never runs
    notebook["cells"][3]["execution_count"] = None
    path.write_text(json.dumps(notebook))
    assert _find_failure(path, path, None) == "cell 4 (2)\ndid not run: the cell before it ended the kernel"


def test_a_kernel_that_cannot_start_is_said(run, write_notebook, monkeypatch):
    write_notebook("00_first")
    monkeypatch.setenv("PYTHONHOME", "nowhere")
    status, said = run()
    assert status == 1
    assert "00_first failed: Kernel died before replying" in said


def test_a_misspelt_parameter_is_refused_before_a_kernel_starts(run, write_notebook, tmp_path, capsys):
    write_notebook("00_first")
    with pytest.raises(SystemExit) as stopped:
        run("-p", "seedd=5")
    assert stopped.value.code == 2
    assert "did you mean seed?" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_check_only_runs_nothing(run, write_notebook, tmp_path):
    write_notebook("00_first")
    status, said = run("--check-only")
    assert status == 0 and said == (
        "The arguments are right: 1 notebook, profile smoke, seed 0. --dry-run says what else is needed.\n"
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("taken", ["results", "figures"])
def test_a_folder_that_cannot_be_written_is_named(run, write_notebook, tmp_path, taken):
    write_notebook("00_first", "raise RuntimeError('started')")
    (tmp_path / taken).write_text("a file where a folder must go")
    status, said = run()
    assert status == 1
    assert f"cannot write to {tmp_path / taken / 'smoke'}" in said and "Nothing has been run" in said


def test_too_little_space_is_said(run, write_notebook, monkeypatch):
    write_notebook("00_first", "raise RuntimeError('started')")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(3 * 10**6))
    status, said = run()
    assert status == 1
    assert "3 MB are free" in said and "500 MB are needed" in said


def test_a_disk_that_fills_up_is_said(run, write_notebook, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    write_notebook("00_first")
    monkeypatch.setattr("pivq.commands.pages.write_text", full)
    status, said = run()
    assert status == 1
    assert "No space left on device" in said and "00_first.html" in said


def test_ctrl_c_keeps_what_is_finished(write_notebook, tmp_path, checkout):
    write_notebook("00_first", "print('finished')")
    wait = f"open({str(tmp_path / 'waiting')!r}, 'w').close()\nimport time\ntime.sleep(600)"
    folder = write_notebook("01_waits", "print('kept')", wait)
    program = "import pathlib, sys; from pivq.commands.run_all import main; "
    program += "sys.exit(main([], pathlib.Path(sys.argv[1])))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        env=os.environ | {"PIVQ_ROOT": str(tmp_path), "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in background shells
    )
    while not (tmp_path / "waiting").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 130, said
    assert "Run the same command again to resume" in said and "Traceback" not in said
    assert executed(tmp_path, "00_first", "quick")[0] == "finished\n"
    assert executed(tmp_path, "01_waits.failed", "quick")[0].startswith("kept\n")


def test_a_failure_never_replaces_a_good_notebook(run, write_notebook, tmp_path):
    write_notebook("00_first", "print('good')")
    assert run()[0] == 0
    folder = tmp_path / "results" / "smoke" / "notebooks"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_notebook("00_first", "raise RuntimeError('bad')")
    assert run()[0] == 1
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert "bad" in executed(tmp_path, "00_first.failed")[0]
    write_notebook("00_first", "print('better')")
    assert run()[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(before), "a failure that is mended is gone"
    assert "better" in executed(tmp_path, "00_first")[0]


@pytest.mark.parametrize("full_after", [0, 2])
def test_a_disk_that_fills_up_in_a_notebook_is_said_in_its_own_words(
    run, write_notebook, tmp_path, monkeypatch, full_after
):
    """papermill leaves half a file then; that it is no JSON must not be the message."""
    from papermill.iorw import LocalHandler

    write_notebook("00_first", "print('good')")
    assert run()[0] == 0
    good = (tmp_path / "results" / "smoke" / "notebooks" / "00_first.ipynb").read_bytes()
    writes = []

    def write(self, text, path):
        writes.append(path)
        if len(writes) > full_after:
            open(path, "w").write(text[: len(text) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        open(path, "w").write(text)

    monkeypatch.setattr(LocalHandler, "write", write)
    status, said = run()
    assert status == 1 and "No space left on device" in said and "JSON" not in said
    assert (tmp_path / "results" / "smoke" / "notebooks" / "00_first.ipynb").read_bytes() == good


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"00_first": ', "\x00\x00", None])
def test_odd_timings_end_no_run(run, write_notebook, tmp_path, content):
    write_notebook("00_first")
    timings = tmp_path / "results" / "smoke" / "notebooks" / "timings.json"
    timings.parent.mkdir(parents=True)
    timings.write_text(content) if content is not None else timings.mkdir()
    status, said = run()
    assert status == 0, said
    assert content is None or list(json.loads(timings.read_text())) == ["00_first"]


def test_notebooks_of_old_editors_run(run, write_notebook):
    """Colab writes nbformat 4.0: no ids, and perhaps no kernel."""
    write_notebook("00_first", "print('fine')")
    folder = write_notebook("01_raises", "1", "1 / 0")
    for path in folder.glob("*.ipynb"):
        notebook = json.loads(path.read_text())
        notebook["nbformat_minor"] = 0
        notebook["metadata"] = {}
        for cell in notebook["cells"]:
            cell["metadata"]["id"] = cell.pop("id")
        path.write_text(json.dumps(notebook))
    status, said = run()
    assert status == 1
    assert "00_first took" in said and "01_raises failed: cell 4 (1 / 0)\nZeroDivisionError" in said


def test_output_that_is_not_utf8_ends_nothing(write_notebook, tmp_path, checkout):
    folder = write_notebook("00_first", "print('…')")
    program = (
        "import pathlib, sys; from pivq.commands.run_all import main; sys.exit(main([], pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-P", "-c", program, str(folder)]
    environment = os.environ | {"PIVQ_ROOT": str(tmp_path), "PYTHONPATH": str(checkout), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0 and b"1/1 \\xb7 00_first \\xb7 \\u2026" in done.stdout, done.stderr


def test_a_device_that_is_not_there_is_said_before_a_notebook_starts(run, write_notebook, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_notebook("00_first", "raise RuntimeError('started')", parameters='profile = ""\nseed = 0\ndevice = "auto"')
    status, said = run("--device", "cuda")
    assert status == 1 and "started" not in said and "00_first" not in said


def test_a_budget_is_measured_once_and_reaches_the_notebooks_as_steps(run, write_notebook, monkeypatch, tmp_path):
    measured = []

    def measure(config, device):
        measured.append(device)
        return Cost(10**6, 10**5, 0.01, 20, None, config.train.steps, 8, 8000, "a card")

    monkeypatch.setattr("pivq.runs.cost.measure_cost", measure)
    usual = 'profile = ""\nseed = 0\nsteps = 0\ndevice = "auto"'
    write_notebook("00_first", "print('trains for', steps)", parameters=usual)
    for _ in range(2):
        status, said = run("--budget", "0.65s", "--device", "cpu")
        assert status == 0 and "budget 0.65s: 20 steps" in said
    assert executed(tmp_path, "00_first")[0].strip() == "trains for 20" and measured == ["cpu"]


def test_compiling_reaches_the_measurement_and_the_notebooks_alone(run, write_notebook, monkeypatch, tmp_path):
    monkeypatch.delenv(COMPILE, raising=False)
    seen = []

    def measure(config, device):
        seen.append(os.environ.get(COMPILE))
        return Cost(10**6, 10**5, 0.01, 20, None, config.train.steps, 8, 8000, "a card")

    monkeypatch.setattr("pivq.runs.cost.measure_cost", measure)
    usual = 'profile = ""\nseed = 0\nsteps = 0\ndevice = "auto"\nprecision = "auto"'
    write_notebook("00_first", f"import os\nprint(os.environ.get('{COMPILE}'), precision)", parameters=usual)
    for budget, words in (("0.65s", ["--compile", "--precision", "fp32"]), ("0.66s", [])):
        assert run("--budget", budget, "--device", "cpu", *words)[0] == 0
        seen.append(executed(tmp_path, "00_first")[0].strip())
    assert seen == ["1", "1 fp32", None, "None auto"] and COMPILE not in os.environ


def test_weights_are_downloaded_only_if_asked_for(run, write_notebook, tmp_path, monkeypatch):
    asked = []

    def bring(networks):
        asked.append(networks)
        raise OSError("no network")

    monkeypatch.setattr(run_all, "download_weights", bring)
    for variable in ("PIVQ_VGG16", "PIVQ_INCEPTION"):
        monkeypatch.setenv(variable, str(tmp_path / "weights"))
    write_notebook("00_first", "pass")
    status, said = run("--profile", "celeba64")
    assert (status, asked) == (1, []) and "`pivq download weights` downloads it (553 MB)" in said
    assert "in one table: ./run_all.sh --profile celeba64 --seed 0 --dry-run" in said
    status, said = run("--profile", "celeba64", "--download")
    assert (status, asked) == (1, [["lpips_vgg", "inception"]]) and "run_all.sh: error: no network" in said


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_end_kernels_and_leave_nothing(write_notebook, tmp_path, checkout, name):
    number = getattr(signal, name)
    kernel = tmp_path / "kernel"
    wait = f"import os, time\nopen({str(kernel)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    folder, temporary = write_notebook("00_waits", "print('kept')", wait), tmp_path / "temporary"
    temporary.mkdir()
    program = (
        "import pathlib, sys; from pivq.commands.run_all import main; sys.exit(main([], pathlib.Path(sys.argv[1])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(folder)],
        env=os.environ | {"PIVQ_ROOT": str(tmp_path), "PYTHONPATH": str(checkout), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    while not (kernel.exists() and kernel.read_text()):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate()
    assert process.returncode == 128 + number, said
    assert "Run the same command again to resume" in said and "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(kernel.read_text()), 0)
    assert not list(temporary.glob("pivq-*"))
    assert executed(tmp_path, "00_waits.failed", "quick")[0].startswith("kept\n")


def test_an_error_that_a_notebook_shows_in_one_line_ends_the_run(run, write_notebook, tmp_path):
    code = "import pivq.runs\nfrom pivq.config import load_config\nload_config('quik')"
    write_notebook("01_first", code, "print('after')")
    status, said = run()
    assert status == 1
    reason = "ValueError: unknown profile 'quik'; did you mean quick?"
    assert f"01_first failed: cell 3 (import pivq.runs)\n{reason}\n" in said
    text, page = executed(tmp_path, "01_first.failed")
    assert "after\n" not in text and "<details><summary>Traceback</summary>" in page


def test_edited_notebooks_are_named_and_run(run, write_notebook, tmp_path):
    folder = write_notebook("01_first", "a = 1")
    write_notebook("02_second", "a = 2")
    (folder / "py").mkdir()
    for name in ("01_first", "02_second"):
        source = '# %% tags=["parameters"]\nprofile = "quick"\nseed = 0\nforce = False\n\n# %%\na = 1\n'
        (folder / "py" / f"{name}.py").write_text(source)
    status, said = run()
    assert status == 0
    assert "Edited since they were made from notebooks/py/, and run as they are: 02_second.\n" in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("words", [["--list"], ["--check-only"]])
def test_a_preview_that_cannot_be_written_ends_in_one_line(checkout, words):
    command = [sys.executable, "-P", "-m", "pivq.commands.run_all", *words]
    with open("/dev/full", "w") as full:
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert (ended.returncode, ended.stderr.strip()) == (1, "run_all.sh: error: No space left on device")


def test_a_current_folder_that_is_gone_is_told(checkout, tmp_path):
    (tmp_path / "gone").mkdir()
    command = f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec bash {checkout}/run_all.sh --list"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    said = [line for line in ended.stderr.splitlines() if not line.startswith("shell-init")]  # bash's own
    assert ended.returncode == 1 and len(said) == 1
    assert said[0].startswith("run_all.sh: error: the current folder is gone")


def test_the_runner_tells_a_current_folder_that_is_gone(run, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    status, said = run("--check-only")
    assert status == 1 and said.strip().startswith("run_all.sh: error: the current folder is gone")
