"""The first signal stops a training between two steps, saved; resumed, it ends with the same bits."""

import os
import signal
from threading import Thread
from types import SimpleNamespace

import pytest
from stand_ins import Perceptual, rows, same_results, stand_in

from pivq.runs import branching
from pivq.runs.run import find_run, run_dir
from pivq.runs.stopping import CHECKED_EVERY, Stopped, StopWhenAsked, stop_requests
from pivq.runs.training import train
from pivq.storage.checkpoint import load_checkpoint

KINDS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", KINDS)
def test_the_first_signal_asks_and_the_second_one_does_what_it_always_does(number):
    came = []
    before = signal.signal(number, lambda *_: came.append("usual"))
    try:
        with stop_requests() as request:
            assert not request.is_set()
            signal.raise_signal(number)
            assert request.is_set() and request.number == number and came == []
            signal.raise_signal(number)
            assert came == ["usual"]
        with stop_requests():
            pass
        signal.raise_signal(number)
        assert came == ["usual"] * 2, "the handler is put back"
    finally:
        signal.signal(number, before)


def test_a_second_ctrl_c_ends_at_once():
    with pytest.raises(KeyboardInterrupt), stop_requests():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_signals_that_are_ignored_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup does
    try:
        with stop_requests() as request:
            signal.raise_signal(signal.SIGINT)
            assert not request.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_the_handlers_alone():
    seen, before = [], signal.getsignal(signal.SIGINT)

    def look():
        with stop_requests() as request:
            seen.extend([signal.getsignal(signal.SIGINT), request.is_set()])

    thread = Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before, False]


def test_several_processes_stop_after_the_same_step():
    """They look together, every few steps; one that was asked stops all, the others' answers come from it."""
    asked, steps = [], range(1, 2 * CHECKED_EVERY)
    processes = SimpleNamespace(count=2, everywhere=lambda holds: asked.append(holds) or False)
    with stop_requests() as request:
        stopping = StopWhenAsked(request, lambda: None)
        with pytest.raises(Stopped, match=f"Stopped at step {CHECKED_EVERY} and saved."):
            for step in steps:
                stopping(SimpleNamespace(step=step, processes=processes), {})
    assert asked == [True], "this process was not asked"


# --- Trainings --------------------------------------------------------------------------------------------------------


class Signalled(Perceptual):
    """Sends signals to its process in the middle of a training step, by its number."""

    def __init__(self, at: int, *numbers: int):
        super().__init__()
        self.at, self.numbers = at, numbers

    def forward(self, images, targets):
        if images.requires_grad and self.calls == self.at:
            for number in self.numbers:
                signal.raise_signal(number)
        return super().forward(images, targets)


# Steps of the tiny run: T_q is 3 and the codebook is fitted again before 5; the discriminator trains from 4 on and the
# generator sees it from 5 on. A row of the log is written every two steps, so that some are pending.
@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5, 6, 7])
def test_a_stopped_training_is_saved_with_its_whole_step_and_ends_alike(
    finished, tiny_config, monkeypatch, tmp_path, at, number
):
    stand_in(monkeypatch, tmp_path)
    config = tiny_config()
    monkeypatch.setattr(branching, "load_perceptual", lambda name: Signalled(at, number))
    with pytest.raises(Stopped) as end:
        train(config, "nearest")
    assert str(end.value) == f"Stopped at step {at + 1} and saved." and end.value.number == number
    folder = run_dir(config, "nearest" if at > 2 else "trunk")
    assert load_checkpoint(folder / "checkpoint.pt")["step"] == at + 1
    network = stand_in(monkeypatch, tmp_path)
    run = train(config, "nearest")
    assert network.calls == 8 - (at + 1), "no step is repeated"
    assert same_results(run, finished[0]["nearest"]) and rows(run) == rows(finished[0]["nearest"])


def test_a_training_that_is_stopped_twice_ends_alike(finished, tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    for at in (1, 0, 2):  # counted from where each one began
        monkeypatch.setattr(branching, "load_perceptual", lambda name, at=at: Signalled(at, signal.SIGINT))
        with pytest.raises(Stopped):
            train(tiny_config(), "nearest")
    stand_in(monkeypatch, tmp_path)
    assert same_results(train(tiny_config(), "nearest"), finished[0]["nearest"])


def test_a_second_signal_within_the_step_saves_no_half_step(finished, tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    config = tiny_config()  # checkpoints are of T_q, 4 and 8
    network = Signalled(5, signal.SIGINT, signal.SIGINT)
    monkeypatch.setattr(branching, "load_perceptual", lambda name: network)
    with pytest.raises(KeyboardInterrupt) as end:
        train(config, "nearest")
    assert not isinstance(end.value, Stopped)
    assert load_checkpoint(run_dir(config, "nearest") / "checkpoint.pt")["step"] == 4
    assert find_run(config, "nearest") is None and not list(tmp_path.rglob("*.partial*"))
    stand_in(monkeypatch, tmp_path)
    assert same_results(train(config, "nearest"), finished[0]["nearest"])


def test_signals_outside_of_training_are_not_kept_back(tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr("pivq.runs.training._summarise", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as end:
        train(tiny_config(), "nearest")
    assert not isinstance(end.value, Stopped)
