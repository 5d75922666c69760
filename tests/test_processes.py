"""The device; training in two processes: the same losses, gradients, networks and codebook as in one on that batch."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_tiny_config

from pivq.processes import Processes, is_first, pick_device, share_of_batch
from pivq.runs.run import find_run, run_dir
from pivq.storage.checkpoint import load_checkpoint

CHECKOUT = Path(__file__).resolve().parent.parent


def test_pick_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="'cuda' asked for, but torch finds no GPU"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


def test_a_card_that_is_not_there_is_told_from_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == pick_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    for device in ("cuda:2", "cuda:7", torch.device("cuda", 7)):
        with pytest.raises(ValueError, match=f"device '{device}' asked for, but torch finds cuda:0, cuda:1 alone"):
            pick_device(device)


@pytest.mark.parametrize(
    "batch, processes, sizes", [(4, 1, [4]), (6, 3, [2, 2, 2]), (5, 2, [3, 2]), (7, 4, [2, 2, 2, 1])]
)
def test_shares_are_the_batch_in_its_order_and_differ_by_one_image_at_most(batch, processes, sizes):
    shares = [range(batch)[share_of_batch(batch, process, processes)] for process in range(processes)]
    assert [len(share) for share in shares] == sizes
    assert [row for share in shares for row in share] == list(range(batch))


@pytest.mark.parametrize(
    ("variable", "value"), [("WORLD_SIZE", "many"), ("LOCAL_RANK", "x"), ("ACCELERATE_USE_CPU", "maybe")]
)
def test_variables_of_a_launcher_that_cannot_be_are_told_with_what_to_do(monkeypatch, variable, value):
    monkeypatch.setattr("accelerate.state.PartialState._shared_state", {})
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv(variable, value)
    said = f"{value}.*WORLD_SIZE and variables .* ACCELERATE_ .*unset them to train in one process"
    with pytest.raises(ValueError, match=said):
        Processes("cpu", 4)


def test_one_process_alone_is_the_first_whatever_was_left_over(monkeypatch):
    assert is_first()
    monkeypatch.setenv("RANK", "1")
    assert is_first()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not is_first()
    monkeypatch.setenv("RANK", "0")
    assert is_first()


# --- Training in two processes ----------------------------------------------------------------------------------------


# Trains a tiny model from the double precision weights of one seed; rank r writes what it has to `rank<r>.pt`.
SCRIPT = """
import sys, os
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
from conftest import make_tiny_config
from stand_ins import Perceptual, make_images
from pivq.trainer import Trainer

config = make_tiny_config(**{settings!r})
trainer = Trainer(config, {quantizer!r}, make_images(), Perceptual())
for network in (trainer.model, trainer.ema, trainer.discriminator):
    network.to({dtype})
rank = trainer.accelerator.process_index
logged, seen = [], set()
trainer.callbacks = [lambda t, losses: logged.append({{name: float(value) for name, value in losses.items()}})]
batch = trainer.batch
trainer.batch = lambda step: batch(step).to({dtype})
gradients = []
step = trainer.optimizers.adam.step
def keep():
    gradients.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]))
    step()
trainer.optimizers.adam.step = keep
{before}
trainer.fit()
rows = trainer.processes.rows
torch.save({{"losses": logged, "gradients": gradients, "rows": (rows.start, rows.stop),
    "model": trainer.model.state_dict(), "ema": trainer.ema.state_dict(),
    "discriminator": trainer.discriminator.state_dict(), "history": list(trainer.history.latents),
    "skipped": trainer.skipped, "seen": sorted(seen)}}, {folder!r} + f"/rank{{rank}}.pt")
"""


def train(folder, processes: int, quantizer="matching", precision="no", before="", dtype="torch.float64", **train):
    """Train in so many processes; return what each rank has, or the finished process where it failed."""
    folder.mkdir()
    settings = {f"train__{name}": value for name, value in train.items()}
    script = folder / "script.py"
    script.write_text(
        SCRIPT.format(
            tests=str(CHECKOUT / "tests"), settings=settings, quantizer=quantizer, folder=str(folder),
            before=before, dtype=dtype,
        )
    )  # fmt: skip
    if processes == 1 and precision == "no":
        return run_here(script)
    command = [sys.executable, str(script)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    environment["ACCELERATE_MIXED_PRECISION"] = precision  # as `accelerate launch --mixed_precision` sets it
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        return done
    return read(folder, processes)


def run_here(script: Path) -> list[dict]:
    """Run the script in this process, which has imported everything already."""
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(script))
    finally:
        torch.set_num_threads(threads)
    return read(script.parent, 1)


def read(folder: Path, processes: int) -> list[dict]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(processes)]


def same(a: dict, b: dict, tolerance: float) -> bool:
    return all(torch.allclose(a[name], b[name], atol=tolerance, rtol=0) for name in a)


@pytest.mark.parametrize("quantizer, batch_size", [("matching", 4), ("nearest", 5)])
def test_two_processes_do_together_what_one_does(tmp_path, quantizer, batch_size):
    """With five images a batch the ranks have three and two; every phase of a run is in the eight steps."""
    (one,) = train(tmp_path / "one", 1, quantizer, batch_size=batch_size)
    ranks = train(tmp_path / "two", 2, quantizer, batch_size=batch_size)
    assert [rank["rows"] for rank in ranks] == [(0, -(-batch_size // 2)), (-(-batch_size // 2), batch_size)]
    assert len(one["losses"]) == 8 and "adaptive_weight" in one["losses"][-1]
    for rank in ranks:
        for step, (expected, losses) in enumerate(zip(one["losses"], rank["losses"], strict=True)):
            assert losses == pytest.approx(expected, rel=1e-6, abs=1e-9), step
        for step, (expected, gradient) in enumerate(zip(one["gradients"], rank["gradients"], strict=True)):
            assert torch.allclose(gradient, expected, rtol=0, atol=1e-6 * float(expected.abs().max())), step
        for part in ("model", "ema", "discriminator"):
            assert same(rank[part], one[part], 1e-6), part
        for a, b in zip(rank["history"], one["history"], strict=True):
            assert torch.allclose(a, b, atol=1e-6), "latents in the order of the global batch"
    for part in ("model", "ema", "discriminator"):
        assert same(ranks[0][part], ranks[1][part], 0), "bit for bit the same on all ranks"


def test_bad_gradients_of_one_process_skip_the_step_in_all(tmp_path):
    before = """
good = trainer.perceptual
trainer.perceptual = lambda a, b: good(a, b) * (float("nan") if rank == 1 and trainer.step == 2 else 1.0)
"""
    ranks = train(tmp_path / "two", 2, before=before)
    assert [rank["skipped"] for rank in ranks] == [1, 1]
    assert same(ranks[0]["model"], ranks[1]["model"], 0)


def test_all_stop_when_one_dies(tmp_path):
    before = """
def die(trainer, losses):
    if rank == 1 and trainer.step == 3:
        raise OSError("no more")
trainer.callbacks.append(die)
"""
    done = train(tmp_path / "two", 2, before=before)
    assert done.returncode != 0
    assert "no more" in done.stderr
    assert not list((tmp_path / "two").glob("rank*.pt"))


def test_bfloat16_keeps_losses_and_quantization_in_float32(tmp_path):
    before = """
def see(name, tensor):
    seen.add(f"{name} {tensor.dtype}".replace("torch.", ""))

good, choose = trainer.perceptual, trainer.model.quantizer.choose
trainer.perceptual = lambda a, b: see("perceptual", a) or good(a, b)
trainer.model.quantizer.choose = lambda distances: see("distances", distances) or choose(distances)
trainer.model.encoder.down[0].register_forward_hook(lambda module, inputs, output: see("convolution", output))
trainer.model.quantizer.register_forward_hook(lambda module, inputs, output: see("quantized", output.quantized))
trainer.callbacks.append(lambda t, losses: [see(name, value) for name, value in losses.items()])
"""
    (full,) = train(tmp_path / "full", 1, dtype="torch.float32")
    (half,) = train(tmp_path / "half", 1, precision="bf16", before=before, dtype="torch.float32")
    losses = ("l1", "perceptual", "adversarial", "adaptive_weight", "codebook", "commitment", "discriminator")
    full_precision = {f"{name} float32" for name in (*losses, "quantized")}
    assert set(half["seen"]) == full_precision | {"convolution bfloat16", "distances float64"}
    first = [run["losses"][0]["l1"] for run in (full, half)]
    assert first[0] != first[1] and first[0] == pytest.approx(first[1], rel=0.02)


RUN = """
import sys
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
from conftest import make_tiny_config
from stand_ins import Perceptual, make_split
from pivq.runs import branching, callbacks, splits, training
callbacks.LOG_EVERY = 2
splits.load_split = make_split
branching.load_perceptual = lambda name: Perceptual()
make_trainer = training.make_trainer

def in_double(*of):
    # In float32 Adam makes steps of gradients that are rounding alone, as of a bias before a GroupNorm.
    trainer = make_trainer(*of)
    for network in (trainer.model, trainer.ema, trainer.discriminator):
        network.double()
    for network in (trainer.model, trainer.ema):
        network.encoder.register_forward_pre_hook(lambda module, inputs: inputs[0].double())
    batch = trainer.batch
    trainer.batch = lambda step: batch(step).double()
    return trainer

training.make_trainer = in_double
training.train(make_tiny_config(), "nearest", "cpu")
"""


def test_a_whole_run_of_two_processes_is_written_once_and_is_that_of_one(tmp_path, monkeypatch):
    runs = []
    for processes in (1, 2):
        root = tmp_path / str(processes)
        root.mkdir()
        script = root / "script.py"
        script.write_text(RUN.format(tests=str(CHECKOUT / "tests")))
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if processes == 2 else []
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "PIVQ_ROOT": str(root)}
        command = [sys.executable, *launcher, str(script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("resuming from step 3 of 8") == 1
        monkeypatch.setenv("PIVQ_ROOT", str(root))
        config = make_tiny_config()
        runs.append((load_checkpoint(run_dir(config, "nearest") / "checkpoint.pt"), find_run(config, "nearest").log()))
    (one, log), (two, shared_log) = runs
    assert (one["processes"], two["processes"]) == (1, 2)
    assert log["step"].tolist() == shared_log["step"].tolist(), "one row each, not one a process"
    assert shared_log["l1"].dropna().tolist() == pytest.approx(log["l1"].dropna().tolist(), rel=1e-6)
    assert same(two["ema"], one["ema"], 1e-6)


STOPPED = """
import os, signal
from pivq.runs import stopping
stopping.CHECKED_EVERY = 2

def ask(config, quantizer, images, device):
    trainer = make_trainer(config, quantizer, images, device)
    step = trainer.train_step
    def train_step(batch, *more):
        if trainer.step == 4 and trainer.accelerator.process_index == 1:
            signal.raise_signal(signal.SIGTERM)
        return step(batch, *more)
    trainer.train_step = train_step
    return trainer

training.make_trainer = ask
try:
    training.train(make_tiny_config(), "nearest", "cpu")
except stopping.Stopped as end:
    print(end)
"""


def test_processes_stop_together_when_one_of_them_is_asked(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    start = RUN.partition("def in_double")[0].format(tests=str(CHECKOUT / "tests"))
    script.write_text(start + STOPPED)
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "PIVQ_ROOT": str(tmp_path)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Stopped at step 6 and saved.") == 2, "asked within step 5, looked after step 6"
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    assert load_checkpoint(run_dir(make_tiny_config(), "nearest") / "checkpoint.pt")["step"] == 6
