"""Several trainings at once, in real processes, on a few faces of 32 pixels."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import psutil
import pytest
import torch
from conftest import make_tiny_config

from pivq.runs import parallel
from pivq.runs.parallel import Job, train_together
from pivq.runs.run import find_run, read_config, run_dir
from pivq.runs.training import train
from pivq.storage.checkpoint import load_checkpoint
from pivq.storage.locking import InUse, locked

SMALL = {"model__image_size": 32, "train__train_images": 24, "train__heldout_images": 10}


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))


def test_runs_side_by_side_are_those_of_one_after_the_other(tiny_config, tmp_path, monkeypatch):
    jobs = [(tiny_config(**SMALL), "matching"), (tiny_config(**SMALL, train__perceptual_weight=0.5), "nearest")]
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)  # one thread each
    together = train_together(jobs, device="cpu")
    assert together == [find_run(*job) for job in jobs]
    assert [run.summary["shared_steps"] for run in together] == [jobs[0][0].train.quantize_from_step] * 2
    states = [load_checkpoint(run.folder / "checkpoint.pt") for run in together]
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "alone"))
    usual = torch.get_num_threads()
    torch.set_num_threads(1)  # another number of threads adds up in another order
    for job, state in zip(jobs, states, strict=True):
        alone = load_checkpoint(train(*job, "cpu").folder / "checkpoint.pt")
        assert alone["step"] == state["step"] == job[0].train.steps
        for name, value in alone["ema"].items():
            assert (value - state["ema"][name]).abs().max() < 1e-5, (job[1], name)
    torch.set_num_threads(usual)


@pytest.fixture
def turns(monkeypatch) -> list[list[Job]]:
    """Return what is trained at once, one list after the other; it is trained in this process."""
    found = []

    def side_by_side(_, jobs):
        found.append(list(jobs))
        for job in jobs:
            parallel._train(*job)

    monkeypatch.setattr(parallel, "side_by_side", side_by_side)
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    return found


def test_steps_that_both_quantizers_share_are_trained_once(tiny_config, turns):
    config = tiny_config(**SMALL)
    jobs = [(config, "matching"), (config, "nearest")]
    runs = train_together(jobs, device="cpu")
    assert [run.summary["shared_steps"] for run in runs] == [config.train.steps] * 2
    assert turns == [[(config, "trunk")], [(config, "shared")]]
    codes = [run.codes("train") for run in runs]
    assert (codes[0] == codes[1]).all() and all(len(set(row)) == len(row) for row in codes[0].tolist())
    train_together(jobs, device="cpu")
    (runs[0].folder / "summary.json").unlink()
    train_together(jobs, device="cpu")
    assert turns[2:] == [[(config, "matching")]], "what is done is not done again"


def test_learned_and_drawn_tokens_are_trained_at_the_same_time(tiny_config, turns):
    """No core is idle: both trunks, then the two drawn runs, then the learned steps with both cores."""
    learned, drawn = tiny_config(**SMALL), tiny_config(**SMALL, model__tokens="drawn")
    runs = train_together([(c, q) for c in (learned, drawn) for q in ("matching", "nearest")], device="cpu")
    both = [[(c, "trunk") for c in (learned, drawn)], [(drawn, "matching"), (drawn, "nearest")], [(learned, "shared")]]
    assert turns == both
    steps = learned.train.steps, drawn.train.quantize_from_step
    assert [run.summary["shared_steps"] for run in runs] == [steps[0]] * 2 + [steps[1]] * 2
    assert [read_config(run.folder / "config.json") for run in runs] == [(run.config, run.quantizer) for run in runs]


def test_quantizers_of_learned_tokens_part_where_two_latents_share_a_code(tiny_config, turns):
    config = tiny_config(**SMALL, model__token_spread=1e-4)  # tokens that are nearly alike
    runs = train_together([(config, "matching"), (config, "nearest")], device="cpu")
    assert turns[2:] == [[(config, "matching"), (config, "nearest")]]
    assert {config.train.quantize_from_step <= run.summary["shared_steps"] < 8 for run in runs} == {True}


@pytest.mark.parametrize("failing", ["matching", "nearest"])
def test_failure_of_a_process_ends_the_others(tiny_config, monkeypatch, failing):
    started, begun = [], time.monotonic()

    def start(command, **options):
        quantizer = read_config(Path(command[-1]))[1]
        code = "raise SystemExit('no more')" if quantizer == failing else "import time; time.sleep(60)"
        started.append(Popen([sys.executable, "-c", code], **options))
        return started[-1]

    monkeypatch.setattr(parallel.subprocess, "Popen", start)
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    with pytest.raises(RuntimeError, match=f"the training in .*{failing}-seed0-.* failed:\nno more"):
        parallel._run_processes([Job(tiny_config(), quantizer) for quantizer in ("matching", "nearest")])
    assert [process.poll() is not None for process in started] == [True, True]
    assert time.monotonic() - begun < 30


def test_failure_of_a_process_is_told_with_its_reason(tiny_config):
    config = tiny_config(**SMALL, model__num_codes=13, train__quantize_from_step=0, train__codebook_initialisations=0)
    with pytest.raises(RuntimeError, match="num_codes 13 > codebook_size 12"):
        train_together([(config, "matching")], device="cpu")
    assert find_run(config, "matching") is None


# --- Ends and beginnings ----------------------------------------------------------------------------------------------

PARENT = """
import sys
from conftest import make_tiny_config
from pivq.runs import parallel
real = parallel.subprocess.Popen
def start(command, **options):
    code = "import runpy, sys; from pivq.runs import training; sys.argv = ['x', 'y']\\n"
    code += "training.train = lambda *a: print('begun', flush=True) or __import__('time').sleep(60)\\n"
    code += "from pivq.runs import run; run.read_config = lambda path: (0, 'matching')\\n"
    code += "runpy.run_module('pivq.runs.parallel', run_name='__main__')"
    process = real([command[0], "-c", code], **options)
    print(process.pid, flush=True)
    return process
parallel.subprocess.Popen = start
parallel._run_processes([parallel.Job(make_tiny_config(), "matching")])
"""


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_processes_end_with_the_one_that_started_them(checkout, tmp_path, end):
    environment = os.environ | {"PYTHONPATH": f"{checkout / 'tests'}{os.pathsep}{checkout}"}
    command = [sys.executable, "-c", PARENT]
    with Popen(command, env=environment, stdout=PIPE, stderr=DEVNULL, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        output = run_dir(make_tiny_config(), "matching") / "output.txt"
        limit = time.monotonic() + 60
        while "begun" not in output.read_text() and time.monotonic() < limit:
            time.sleep(0.1)
        assert child.is_running()
        parent.send_signal(getattr(signal, end))
        parent.wait()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


def test_code_in_the_current_folder_is_not_run(tiny_config, tmp_path, monkeypatch):
    for name in ("random", "json", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign code was run')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="num_codes 13 > codebook_size 12"):
        parallel._run_processes([Job(tiny_config(**SMALL, model__num_codes=13), "matching")])


def test_runs_that_another_process_trains_are_refused_before_any_is_trained(tiny_config, monkeypatch):
    monkeypatch.setattr("pivq.runs.parallel.train_ahead", lambda *_: pytest.fail("trained"))
    folder = run_dir(tiny_config(), "nearest")
    with locked(folder, "trained"), pytest.raises(InUse, match=f"{folder.name} is being trained by process"):
        train_together([(tiny_config(), "matching"), (tiny_config(), "nearest")], device="cpu")
