"""A training killed with no chance to clean up (`kill -9`), in every phase, is resumed and ends with the same bits."""

import multiprocessing
import os
import signal
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from conftest import make_tiny_config
from stand_ins import Perceptual, make_split, rows, same_results

from pivq.runs import branching, callbacks, splits
from pivq.runs.run import Run, find_run, run_dir
from pivq.runs.training import train
from pivq.trainer import Trainer

SETTINGS = {"evaluation__checkpoint_every": 2}


class Deadly(Perceptual):
    """Kills its process in a training step, by its number."""

    def __init__(self, kill_at):
        super().__init__()
        self.kill_at = kill_at

    def forward(self, images, targets):
        if images.requires_grad and self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images, targets)


def train_on_stand_ins(root, kill_at=None, **settings):
    """Train the nearest model in `root`; be killed in training step `kill_at` of this process."""
    os.environ["PIVQ_ROOT"] = str(root)
    torch.set_num_threads(1)
    network = Deadly(kill_at)
    callbacks.LOG_EVERY = 2
    splits.load_split = make_split
    branching.load_perceptual = lambda name: network
    train(make_tiny_config(**SETTINGS | settings), "nearest")


@pytest.fixture(scope="module", autouse=True)
def server():
    """Start the server that forks each training: it imports everything once, and has none of this process's threads."""
    multiprocessing.set_forkserver_preload([__name__])
    tests = Path(__file__).resolve().parent.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tests), str(tests.parent)]))
        forkserver.ensure_running()


def run_to_the_end(root, kill_at=None, **settings) -> int:
    server = multiprocessing.get_context("forkserver")
    process = server.Process(target=train_on_stand_ins, args=(root, kill_at), kwargs=settings)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("straight")
    assert run_to_the_end(root) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIVQ_ROOT", str(root))
        return find_run(make_tiny_config(**SETTINGS), "nearest")


# Steps of the tiny run: T_q is 3 and the codebook is fitted again before 5; latents of 1 to 4 are recorded; the
# discriminator trains from 4 on and the generator sees it from 5 on. Checkpoints are of 2, T_q, 4, 6 and 8.
@pytest.mark.parametrize(
    "killed_in",
    [
        pytest.param([0], id="first step"),
        pytest.param([2], id="inside a history window, before T_q"),
        pytest.param([3], id="first quantized step"),
        pytest.param([4], id="between initialisations, first step of the discriminator"),
        pytest.param([5], id="first step with the adversarial loss"),
        pytest.param([7], id="last step"),
        pytest.param([1, 2, 1, 1], id="again and again"),
    ],
)
def test_a_killed_training_ends_alike(straight, monkeypatch, tmp_path, killed_in):
    for step in killed_in:  # counted from where that process began
        assert run_to_the_end(tmp_path, kill_at=step) == -signal.SIGKILL
    assert run_to_the_end(tmp_path) == 0
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    run = find_run(make_tiny_config(**SETTINGS), "nearest")
    assert same_results(run, straight)
    assert rows(run) == rows(straight)


@pytest.mark.parametrize("every, killed_in", [(3, 4), (3, 7), (5, 6)])
def test_log_rows_are_the_same_with_any_checkpoint_every(monkeypatch, tmp_path, straight, every, killed_in):
    settings = {"evaluation__checkpoint_every": every}  # a row is written every two steps
    assert run_to_the_end(tmp_path, kill_at=killed_in, **settings) == -signal.SIGKILL
    assert run_to_the_end(tmp_path, **settings) == 0
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    assert rows(find_run(make_tiny_config(**SETTINGS | settings), "nearest")) == rows(straight)


def test_another_batch_size_is_told_with_both_values(monkeypatch, tmp_path):
    assert run_to_the_end(tmp_path, kill_at=4) == -signal.SIGKILL
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    before, now = make_tiny_config(**SETTINGS), make_tiny_config(**SETTINGS, train__batch_size=3)
    run_dir(before, "nearest").rename(run_dir(now, "nearest"))  # as if by hand: another batch size is another run
    monkeypatch.setattr(splits, "load_split", make_split)
    monkeypatch.setattr(branching, "load_perceptual", lambda name: Perceptual())
    with pytest.warns(UserWarning, match="train.batch_size is 3, the checkpoint was made with 4"):
        train(now, "nearest")


def test_a_new_run_tells_of_an_unfinished_one_with_another_batch_size(monkeypatch, tmp_path):
    assert run_to_the_end(tmp_path, kill_at=4) == -signal.SIGKILL
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setattr(splits, "load_split", make_split)
    monkeypatch.setattr(branching, "load_perceptual", lambda name: Perceptual())
    before = run_dir(make_tiny_config(**SETTINGS), "nearest").name
    told = f"starting a new run with batch_size 3; to resume the unfinished {before}, use batch_size 4"
    with pytest.warns(UserWarning, match=told):
        train(make_tiny_config(**SETTINGS, train__batch_size=3), "nearest")


def test_another_number_of_processes_or_precision_is_told_with_both_values():
    config = make_tiny_config()
    trainer = Trainer(config, "nearest", make_split(config, "train").images, Perceptual())
    with pytest.warns(UserWarning) as told:
        trainer.load_state_dict(trainer.state_dict() | {"processes": 4, "precision": "bf16"})
    assert [str(warning.message) for warning in told] == [
        "processes: 1, the checkpoint was made with 4",
        "precision: fp32, the checkpoint was made with bf16",
    ]


@pytest.mark.filterwarnings("error")
def test_another_number_of_threads_is_told_once_and_an_unknown_one_is_not():
    config = make_tiny_config()
    trainer = Trainer(config, "nearest", make_split(config, "train").images, Perceptual())
    state = trainer.state_dict()
    assert state["threads"] == torch.get_num_threads()
    with pytest.warns(UserWarning) as told:
        trainer.load_state_dict(state | {"threads": state["threads"] + 3})
    message = f"threads: {state['threads']}, the checkpoint was made with {state['threads'] + 3}"
    assert [str(warning.message) for warning in told] == [message]
    trainer.load_state_dict(state)
    trainer.load_state_dict({name: value for name, value in state.items() if name != "threads"})
    trainer.load_state_dict(state | {"threads": None})
