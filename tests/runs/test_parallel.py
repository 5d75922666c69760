"""Several trainings at once, in real processes, on a few faces of 32 pixels."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread

import psutil
import pytest
import torch
from conftest import make_tiny_config

from pivq.runs import parallel
from pivq.runs.parallel import Job, run_module, side_by_side, train_together
from pivq.runs.run import find_run, read_config, run_dir
from pivq.runs.stopping import Stopped
from pivq.runs.training import train
from pivq.storage.checkpoint import load_checkpoint
from pivq.storage.locking import InUse, locked

SMALL = {"model__image_size": 32, "train__train_images": 24, "train__heldout_images": 10}


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setattr(parallel, "FEW_STEPS", 0)  # processes, although these trainings are short


@pytest.fixture
def interruptible():
    """Take SIGINT as at a terminal: it is ignored in what a shell starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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

    def side_by_side(_, jobs, tick):
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


def test_a_training_has_the_threads_that_it_has_without_an_interruption(tiny_config, monkeypatch):
    """Sums are rounded by the number of threads; it must not depend on what else is left to train."""
    learned, drawn = tiny_config(**SMALL), tiny_config(**SMALL, model__tokens="drawn")
    jobs, threads = [(c, q) for c in (learned, drawn) for q in ("matching", "nearest")], []

    def side_by_side(run, works, tick):
        for job in works:
            threads.append((*job, run.args[1]))
            parallel._train(*job)

    monkeypatch.setattr(parallel, "side_by_side", side_by_side)
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    train_together(jobs, device="cpu")
    alone = [(learned, "trunk", 1), (drawn, "trunk", 1), (drawn, "matching", 1), (drawn, "nearest", 1)]
    assert threads == [*alone, (learned, "shared", 2)]
    threads.clear()
    for gone in (run_dir(drawn, "matching"), *(run_dir(learned, stage) for stage in ("matching", "nearest", "shared"))):
        shutil.rmtree(gone)
    train_together(jobs, device="cpu")
    assert threads == [(drawn, "matching", 1), (learned, "shared", 2)]
    threads.clear()
    (run_dir(learned, "matching") / "summary.json").unlink()
    (run_dir(drawn, "nearest") / "summary.json").unlink()
    train_together(jobs, device="cpu")
    assert threads == [(drawn, "nearest", 1), (learned, "matching", 1)]


def test_short_trainings_start_no_process(tiny_config, monkeypatch):
    """All of a turn are short; one step more, and each has a process."""
    begun = []
    monkeypatch.setattr(parallel, "side_by_side", lambda _, jobs, tick: begun.extend(jobs))
    monkeypatch.setattr(parallel, "_train", lambda *job: begun.append(job))
    jobs = [Job(tiny_config(train__steps=steps), "nearest") for steps in (8, 9)]
    for most, expected in (9, [(*job, "") for job in jobs]), (8, jobs):
        monkeypatch.setattr(parallel, "FEW_STEPS", most)
        monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
        parallel._run_processes(jobs, jobs)
        assert begun == expected
        begun.clear()


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
    with pytest.raises(RuntimeError, match=f"the training in .*{failing}-seed0-.* failed: no more"):
        jobs = [Job(tiny_config(), quantizer) for quantizer in ("matching", "nearest")]
        parallel._run_processes(jobs, jobs)
    assert [process.poll() is not None for process in started] == [True, True]
    assert time.monotonic() - begun < 30


def test_failure_of_a_process_is_told_with_its_reason(tiny_config):
    config = tiny_config(**SMALL, model__num_codes=13, train__quantize_from_step=0, train__codebook_initialisations=0)
    with pytest.raises(RuntimeError, match="num_codes 13 > codebook_size 12"):
        train_together([(config, "matching")], device="cpu")
    assert find_run(config, "matching") is None


# --- Ends and beginnings ----------------------------------------------------------------------------------------------

PARENT = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored in what `nohup` starts
from conftest import make_tiny_config
from pivq.runs import parallel
parallel.FEW_STEPS = 0
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
jobs = [parallel.Job(make_tiny_config(), "matching")]
parallel._run_processes(jobs, jobs)
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


def signal_later(number: int, when, processes) -> Thread:
    """Send a signal to the processes that a function returns, as soon as another one returns true."""

    def wait():
        limit = time.monotonic() + 60
        while not when() and time.monotonic() < limit:
            time.sleep(0.02)
        for process in processes():
            os.kill(process, number)

    thread = Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.usefixtures("interruptible")
def test_stopped_processes_are_saved_and_the_training_ends_alike(tiny_config, tmp_path, monkeypatch):
    """First SIGTERM to the process that trains, then SIGINT to this one, as Jupyter sends it; then to the end."""
    monkeypatch.setattr(parallel, "cpu_count", lambda: 1)
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    many = {"train__steps": 160, "train__quantize_from_step": 150, "evaluation__checkpoint_every": 10_000}
    config = tiny_config(**SMALL, **many)
    log, reached = run_dir(config, "trunk") / "log.jsonl", []

    def children():
        return [child.pid for child in psutil.Process().children() if "pivq.runs.parallel" in child.cmdline()]

    for number, processes in ((signal.SIGTERM, children), (signal.SIGINT, lambda: [os.getpid()])):
        size = log.stat().st_size if log.exists() else 0
        thread = signal_later(number, lambda size=size: log.exists() and log.stat().st_size > size, processes)
        with pytest.raises(Stopped, match=r"^Stopped at step \d+ and saved\.$") as end:
            train_together([(config, "nearest")], device="cpu")
        thread.join()
        assert end.value.number == number and not children()
        reached.append(load_checkpoint(log.parent / "checkpoint.pt")["step"])
        assert str(reached[-1]) in str(end.value)
    assert 0 < reached[0] < reached[1] < 150
    ended = train(config, "nearest", "cpu").folder
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "alone"))
    alone = train(config, "nearest", "cpu").folder
    states = [load_checkpoint(folder / "checkpoint.pt") for folder in (ended, alone)]
    assert all(torch.equal(states[0]["model"][name], value) for name, value in states[1]["model"].items())
    torch.set_num_threads(usual)


def test_runs_that_stop_together_are_told_in_one_line(tiny_config, monkeypatch):
    def stop(run, jobs, tick):
        raise Stopped("Stopped.", signal.SIGTERM)

    monkeypatch.setattr(parallel, "side_by_side", stop)
    monkeypatch.setattr(parallel, "last_stage", lambda config: None)
    monkeypatch.setattr(parallel, "has_checkpoint", lambda folder: "nearest" in folder.name)
    monkeypatch.setattr(parallel, "newest_checkpoint", lambda folder: {"step": 1234})
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    said = "Stopped and saved: learned tokens, matching, at step 0; learned tokens, nearest, at step 1,234."
    with pytest.raises(Stopped, match=f"^{said}$") as end:
        jobs = [Job(tiny_config(), quantizer) for quantizer in ("matching", "nearest")]
        parallel._run_processes(jobs, jobs)
    assert end.value.number == signal.SIGTERM


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_ends_processes_that_do_not_stop(tmp_path, monkeypatch):
    started, begun, real = [], time.monotonic(), Popen
    monkeypatch.setattr(parallel.subprocess, "Popen", lambda _, **options: started.append(
        real([sys.executable, "-c", STUBBORN], **options)) or started[-1])  # fmt: skip
    output = tmp_path / "output.txt"

    def interrupt():
        signal_later(signal.SIGINT, lambda: output.exists() and output.read_text(), lambda: [os.getpid()]).join()
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt) as end:
        side_by_side(lambda work, threads, stop: run_module(["x"], output, threads, stop, "it"), ["one", "two"], 1)
    thread.join()
    assert not isinstance(end.value, Stopped) and time.monotonic() - begun < 30
    assert [process.wait(5) for process in started] == [-signal.SIGKILL], "the second one was never started"


def test_what_a_process_said_last_is_told_without_places_in_the_code(tmp_path):
    output = tmp_path / "output.txt"
    output.write_text("Traceback (most recent call last):\n  File 'x', line 1\n    raise\nValueError: one\ntwo\n\n")
    assert parallel._last_words(output) == "ValueError: one two"
    output.write_text("bar: 1/9\rbar: 2/9\nTraceback (most recent call last):\n  File 'x', line 1\nValueError: one\n")
    assert parallel._last_words(output) == "ValueError: one"
    output.write_text("\rbar: 1/9\rbar: 2/9")  # killed
    assert parallel._last_words(output) == "bar: 2/9"
    output.write_text("")
    assert parallel._last_words(output) == ""


def test_code_in_the_current_folder_is_not_run(tiny_config, tmp_path, monkeypatch):
    for name in ("random", "json", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign code was run')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="num_codes 13 > codebook_size 12"):
        jobs = [Job(tiny_config(**SMALL, model__num_codes=13), "matching")]
        parallel._run_processes(jobs, jobs)


@pytest.mark.parametrize("run", ["nearest", "shared", "trunk"])
def test_runs_that_another_process_trains_are_refused_before_any_is_trained(tiny_config, monkeypatch, run):
    monkeypatch.setattr("pivq.runs.parallel.train_ahead", lambda *_: pytest.fail("trained"))
    folder = run_dir(tiny_config(), run)
    with locked(folder, "trained"), pytest.raises(InUse, match=f"{folder.name} is being trained by process"):
        train_together([(tiny_config(), "matching"), (tiny_config(), "nearest")], device="cpu")
