"""What TensorBoard is shown of a training; the package itself may be missing."""

import pytest
import torch
from stand_ins import rows, same_results, stand_in

from pivq.commands.cli import main
from pivq.runs import tracking
from pivq.runs.planned import run_dir
from pivq.runs.tracking import check_tracker
from pivq.runs.training import train

HERE = tracking.find_spec("tensorboard") is not None


class Recorder:
    """In place of accelerate's tracker: notes what it is told."""

    made = []

    def __init__(self, run_name, logging_dir, purge_step):
        self.place, self.purge_step, self.tracker, self.ended = f"{logging_dir}/{run_name}", purge_step, self, False
        self.values, self.images, self.histograms = [], [], []
        Recorder.made.append(self)

    def start(self):
        import os

        os.makedirs(self.place, exist_ok=True)

    def log(self, values, step):
        self.values.append((step, values))

    def log_images(self, values, step):
        self.images.append((step, {name: images.shape for name, images in values.items()}))

    def add_histogram(self, name, values, global_step):
        self.histograms.append((global_step, name, values))

    def finish(self):
        self.ended = True


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker", Recorder)
    monkeypatch.setattr(Recorder, "made", [])
    return Recorder.made


def test_a_tracker_changes_nothing_and_shows_the_log_the_pictures_and_the_codes(
    tiny_config, tmp_path, monkeypatch, recorder
):
    stand_in(monkeypatch, tmp_path / "plain")
    plain = train(tiny_config(), "matching")
    assert not recorder
    stand_in(monkeypatch, tmp_path / "shown")
    shown = train(tiny_config(), "matching", tracker="tensorboard")
    assert same_results(plain, shown)
    trunk, run = recorder
    assert trunk.place == str(run_dir(tiny_config(), "trunk") / "tensorboard") and trunk.ended
    assert run.place == str(shown.folder / "tensorboard") and run.ended
    assert (trunk.purge_step, run.purge_step) == (1, 4), "the run starts where its trunk ends: T_q = 3"
    logged = rows(shown)
    told = [(step, {name.partition("/")[2]: value for name, value in values.items()})
            for step, values in trunk.values + run.values]  # fmt: skip
    assert [step for step, _ in told] == [row["step"] for row in logged]
    for (_, values), row in zip(told, logged, strict=True):
        assert {name: value for name, value in values.items() if name != "seconds"} == {
            name: value for name, value in row.items() if name != "step"
        }
    names = {name for _, values in run.values for name in values}
    assert {"loss/l1", "heldout/heldout_psnr", "codes/codes_in_use", "training/skipped"} <= names
    assert [step for step, _ in trunk.images + run.images] == [3, 4, 5, 6]
    assert run.images[0][1] == {"reconstructions": (1, 3, 2 * 16, 8 * 16)}, "originals above reconstructions"
    assert [step for step, *_ in run.histograms] == [4, 5, 6], "there are codes from T_q on"
    _, name, uses = run.histograms[-1]
    assert name == "codes/uses_of_each" and uses.shape == (12,) and uses.sum() == 10 * 4, "of ten held-out images"


def test_a_resumed_run_goes_on_in_the_same_log_and_withdraws_what_it_repeats(
    tiny_config, tmp_path, monkeypatch, recorder
):
    network = stand_in(monkeypatch, tmp_path, interrupt_at=7)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), "matching", tracker="tensorboard")
    network.interrupt_at = None
    train(tiny_config(), "matching", tracker="tensorboard")
    *_, first, second = recorder
    assert first.place == second.place
    assert second.purge_step == 5, "the last checkpoint is that of step 4"
    assert min(step for step, _ in second.values) == 5


def test_a_tracker_that_comes_later_is_shown_what_is_logged_already(tiny_config, tmp_path, monkeypatch, recorder):
    network = stand_in(monkeypatch, tmp_path, interrupt_at=7)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), "matching")
    network.interrupt_at = None
    run = train(tiny_config(), "matching", tracker="tensorboard")
    (shown,) = recorder
    assert [step for step, _ in shown.values] == [row["step"] for row in rows(run)]


def test_a_missing_package_is_said_before_anything_else(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    check_tracker("")
    with pytest.raises(ValueError, match="needs the package tensorboard"):
        check_tracker("tensorboard")
    assert main(["train", "--profile", "smoke", "--log", "tensorboard"]) == 1
    assert capsys.readouterr().err == (
        "pivq train: error: --log tensorboard needs the package tensorboard, which is not installed: "
        "pip install tensorboard\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not HERE, reason="tensorboard is not installed")
def test_tensorboard_reads_one_log_of_an_interrupted_run(tiny_config, tmp_path, monkeypatch):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    torch.manual_seed(0)
    network = stand_in(monkeypatch, tmp_path, interrupt_at=7)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), "matching", tracker="tensorboard")
    network.interrupt_at = None
    run = train(tiny_config(), "matching", tracker="tensorboard")
    read = events.EventAccumulator(str(run.folder / "tensorboard"))
    read.Reload()
    losses = {row["step"]: row["l1"] for row in rows(run) if "l1" in row}
    assert {event.step: pytest.approx(event.value) for event in read.Scalars("loss/l1")} == losses
    assert [event.step for event in read.Images("reconstructions")] == [3, 4, 5, 6]
