"""The callbacks of the training steps: log, validation, checkpoints, progress."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pivq.runs import callbacks
from pivq.runs.callbacks import Checkpoints, JsonlLog, Progress, Validation, best_and_last, read_log, validate
from pivq.sampling import sample_pairs
from pivq.storage.checkpoint import load_checkpoint
from pivq.trainer import Trainer


def perceptual(images, targets):
    return (images - targets).square().mean(dim=(1, 2, 3))


@pytest.fixture
def make_trainer(tiny_config):
    """Return a maker of small trainers."""
    images = torch.randint(0, 256, (24, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return lambda quantizer="matching", **settings: Trainer(tiny_config(**settings), quantizer, images, perceptual)


@pytest.fixture
def heldout():
    return torch.randint(0, 256, (10, 3, 16, 16), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


class Clock:
    """A trainer as far as the log is concerned."""

    step, skipped = 0, 0

    def __init__(self):
        self.pending = []


@pytest.fixture
def log_every_three(monkeypatch):
    monkeypatch.setattr(callbacks, "LOG_EVERY", 3)


def test_log_rows_are_means_and_flushing_writes_what_is_over(tmp_path, log_every_three):
    trainer = Clock()
    log = JsonlLog(tmp_path / "log.jsonl", trainer)
    for step, loss in enumerate([1.0, 2.0, 6.0, 10.0, 20.0], start=1):
        trainer.step, trainer.skipped = step, step // 4
        log(trainer, {"l1": torch.tensor(loss), "discriminator": torch.tensor(-loss)})
    log.flush(trainer)
    log.flush(trainer)  # of nothing: no row
    rows = read_log(tmp_path / "log.jsonl")
    seconds = [row.pop("seconds") for row in rows]
    assert rows == [
        {"step": 3, "l1": 3.0, "discriminator": -3.0, "skipped": 0},
        {"step": 5, "l1": 15.0, "discriminator": -15.0, "skipped": 1},
    ]
    assert all(second >= 0 for second in seconds)


def test_a_loss_that_starts_late_is_averaged_over_its_own_steps(tmp_path, log_every_three):
    trainer = Clock()
    log = JsonlLog(tmp_path / "log.jsonl", trainer)
    for step in (1, 2, 3):
        trainer.step = step
        log(trainer, {"l1": torch.tensor(1.0)} | ({"codebook": torch.tensor(4.0)} if step > 1 else {}))
    assert read_log(tmp_path / "log.jsonl")[0]["codebook"] == 4.0


def test_rows_of_steps_to_be_done_again_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 3}\n{"step": 6}\n{"step": 6, "heldout_l1": 0.1}\n{"step": 9}\n{"step": 1')
    trainer = Clock()
    trainer.step = 6
    log = JsonlLog(path, trainer)
    log.write({"step": 7})
    assert read_log(path) == [{"step": 3}, {"step": 6}, {"step": 6, "heldout_l1": 0.1}, {"step": 7}]
    assert all(re.fullmatch(r'\{"step": .*, "check": "[0-9a-f]{8}"\}', line) for line in path.read_text().splitlines())


def test_any_flipped_bit_of_a_row_is_told(tmp_path):
    path, rows = tmp_path / "log.jsonl", [{"step": 3, "l1": 0.1}, {"step": 6, "l1": float("nan")}, {"step": 9}]
    log = JsonlLog(path, Clock())
    for row in rows:
        log.write(row)
    whole = path.read_bytes()
    for place in range(whole.index(b"\n") + 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.warns(UserWarning, match="log.jsonl: [12] of [234] lines are damaged and left out"):
            found = read_log(path)
        assert str(found) in (str(rows[1:]), str(rows[2:]))  # without its end, a row takes the next one with it


@pytest.mark.parametrize("content", [b"", b'{"step": 3}\n', bytes(50), b"<!DOCTYPE html>", b'{"step": 3}\n{"step": 5'])
def test_rows_lost_at_the_end_are_told(tmp_path, content):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    last = 3 if b"}" in content else 0
    with pytest.warns(UserWarning, match=f"log.jsonl: the rows after step {last} up to step 6 are missing; the train"):
        read_log(path, until=6)
    trainer = Clock()
    trainer.step, trainer.pending = 8, [{}] * 2
    with pytest.warns(UserWarning, match="up to step 6 are missing"):
        JsonlLog(path, trainer)


@pytest.mark.parametrize("bad", [b"{", b"", b"[1]", b"3", b"{}", b'{"step": "x"}', b"\xff\x00", bytes(20)])
def test_a_damaged_line_drops_only_itself_and_is_told(tmp_path, bad):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 3}\n' + bad + b'\n{"step": 6}\n{"step": 9')
    with pytest.warns(UserWarning, match="log.jsonl: 1 of 4 lines are damaged and left out"):
        assert read_log(path) == [{"step": 3}, {"step": 6}]


def test_read_log_leaves_out_a_line_cut_short(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_text('{"step": 3, "l1": 0.5}\n{"step": 6, "l1"')
    assert read_log(path) == [{"step": 3, "l1": 0.5}]


def test_columns_of_earlier_versions_are_read_under_their_present_names(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 3, "heldout_l1": 0.5, "codes_per_image": 3.5}\n')
    trainer = Clock()
    trainer.step = 6
    JsonlLog(path, trainer).write({"step": 6, "mean_codes_per_image": 4.0})  # as in a run that is resumed
    assert [list(row.items())[-1] for row in read_log(path)] == [
        ("mean_codes_per_image", 3.5), ("mean_codes_per_image", 4.0)
    ]  # fmt: skip


def test_logged_rows_of_a_resumed_run_are_those_of_a_straight_one(make_trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "LOG_EVERY", 2)

    def run(trainer, name, until):
        trainer.callbacks = [JsonlLog(tmp_path / name, trainer), Checkpoints(tmp_path / "checkpoint.pt")]
        trainer.fit(until)

    def rows(name):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in read_log(tmp_path / name)]

    run(make_trainer(), "straight.jsonl", 8)
    run(make_trainer(), "cut.jsonl", 4)
    killed = make_trainer()
    killed.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    run(killed, "cut.jsonl", 7)  # killed after step 7, its last checkpoint is of step 4
    again = make_trainer()
    again.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    assert again.step == 4
    run(again, "cut.jsonl", 8)
    assert rows("cut.jsonl") == rows("straight.jsonl")
    assert [row["step"] for row in rows("cut.jsonl")] == [2, 4, 6, 8]


@pytest.mark.parametrize("pixels", [1, 10_000], ids=["two batches", "one batch"])
def test_validation_figures_are_means_over_images(make_trainer, heldout, monkeypatch, pixels):
    monkeypatch.setattr("pivq.runs.callbacks.VALIDATED_PIXELS", pixels)
    trainer = make_trainer()
    trainer.fit(4)
    row, pictures, uses, samples = validate(trainer, heldout)
    targets = heldout.float() / 255
    with torch.no_grad():
        output = trainer.ema(targets)
    made = output.images.clamp(0, 1)
    errors = [(made[i] - targets[i]) for i in range(10)]
    assert row["heldout_l1"] == pytest.approx(sum(float(e.abs().mean()) for e in errors) / 10, rel=1e-5)
    decibels = [float(-10 * e.square().mean().log10()) for e in errors]
    assert row["heldout_psnr"] == pytest.approx(sum(decibels) / 10, rel=1e-5)
    assert row["heldout_perceptual"] == pytest.approx(sum(float(e.square().mean()) for e in errors) / 10, rel=1e-5)
    codes = output.quantization.codes
    assert row["codes_in_use"] == len(codes.unique())
    assert row["mean_codes_per_image"] == 4.0, "matching repeats none"
    assert uses.tolist() == torch.bincount(codes.flatten(), minlength=12).tolist()
    torch.testing.assert_close(pictures, torch.cat([targets[:8], made[:8]]))
    parents = sample_pairs(codes, 8, seed=0)
    torch.testing.assert_close(samples, trainer.ema.decode(parents.codes))


def test_validation_is_of_the_average_model(make_trainer, heldout):
    trainer = make_trainer()
    trainer.fit(4)
    usual, *_ = validate(trainer, heldout)
    with torch.no_grad():
        trainer.model.decoder.conv_out.bias.add_(1.0)
    assert validate(trainer, heldout)[0] == usual
    with torch.no_grad():
        trainer.ema.decoder.conv_out.bias.add_(1.0)
    assert validate(trainer, heldout)[0] != usual


def test_validation_before_quantization_has_no_codes(make_trainer, heldout):
    trainer = make_trainer()
    trainer.fit(3)
    row, _, uses, samples = validate(trainer, heldout)
    assert uses is None and samples is None
    assert set(row) == {"heldout_l1", "heldout_psnr", "heldout_perceptual"}
    with torch.no_grad():
        expected = (trainer.ema(heldout.float() / 255, quantize=False).images.clamp(0, 1) - heldout / 255).abs().mean()
    assert row["heldout_l1"] == pytest.approx(float(expected), rel=1e-5)


def test_validation_changes_nothing(make_trainer, heldout):
    straight = make_trainer()
    straight.fit(5)
    state, seen = torch.get_rng_state(), []
    watched = make_trainer()
    watched.callbacks.append(lambda trainer, losses: seen.append(validate(trainer, heldout)[3]))
    watched.fit(5)
    for a, b in zip(straight.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), state)
    assert [samples is None for samples in seen] == [True] * 3 + [False] * 2


def test_validation_logs_and_keeps_a_picture_when_it_is_time(make_trainer, heldout, tmp_path):
    trainer = make_trainer(evaluation__validate_every=3)
    log = JsonlLog(tmp_path / "log.jsonl", trainer)
    trainer.callbacks = [Validation(heldout, tmp_path, log)]
    trainer.fit(7)
    # Every third step, and before and after the first step with each of the codebooks of steps 3 and 5.
    rows = read_log(tmp_path / "log.jsonl")
    assert [(row["step"], "codes_in_use" in row) for row in rows] == [(3, False), (4, True), (5, True), (6, True)]
    pictures = sorted(tmp_path.glob("*.png"))
    assert [path.name for path in pictures] == [f"reconstructions-00000{step}.png" for step in (3, 4, 5, 6)]
    with Image.open(pictures[0]) as picture:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert pixels.shape == (3, 2 * 16, 8 * 16), "eight originals over eight reconstructions"
    assert torch.equal(pixels[:, :16, 32:48], heldout[2])
    with Image.open(pictures[-1]) as picture:
        assert picture.size == (8 * 16, 3 * 16), "and eight samples"


def test_samples_of_a_validation_may_repeat_codes_where_images_do(make_trainer, heldout):
    trainer = make_trainer("nearest")
    trainer.fit(4)
    with torch.no_grad():
        trainer.ema.quantizer.codebook[1:] += 1e3  # all latents of all images have one code
    codes = trainer.ema.encode(heldout.float() / 255)
    assert (codes == 0).all()
    *_, samples = validate(trainer, heldout)
    torch.testing.assert_close(samples, trainer.ema.decode(codes[:8]))
    assert validate(trainer, heldout[:1])[3] is None, "a sample has two parents"


def test_checkpoints_are_saved_when_it_is_time(make_trainer, tmp_path):
    trainer = make_trainer(evaluation__checkpoint_every=3)
    trainer.callbacks = [Checkpoints(tmp_path / "run" / "checkpoint.pt")]
    trainer.fit(2)
    assert not (tmp_path / "run").exists()
    trainer.fit(4)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 3


def test_progress_shows_losses(make_trainer, capsys, monkeypatch):
    monkeypatch.setattr(callbacks, "LOG_EVERY", 2)
    trainer = make_trainer()
    trainer.fit(1)
    trainer.callbacks = [progress := Progress(trainer, 5, "matching")]
    assert progress.bar.n == 1
    trainer.fit(5)
    progress.bar.close()
    assert progress.bar.n == 5
    shown = capsys.readouterr().err
    assert "matching" in shown and "5/5" in shown and "l1=" in shown and "commitment=" in shown


def test_log_is_json(make_trainer, tmp_path, log_every_three):
    trainer = make_trainer()
    trainer.callbacks = [JsonlLog(tmp_path / "log.jsonl", trainer)]
    trainer.fit(3)
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {"step", "l1", "perceptual", "skipped", "seconds", "check"}


def test_best_and_last_are_of_quantized_steps_alone():
    log = pd.DataFrame([
        {"step": 2, "heldout_psnr": 30.0},  # before T_q
        {"step": 4, "heldout_psnr": 21.0, "codes_in_use": 9.0},
        {"step": 5, "l1": 0.1},
        {"step": 6, "heldout_psnr": 20.0, "codes_in_use": 7.0},
    ])  # fmt: skip
    (row,) = best_and_last({"a": log}).to_dict("records")
    assert list(row.values()) == ["a", "21.00", "4", "20.00", "9", "7"]
