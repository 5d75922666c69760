"""Checkpoint files: whole or absent, plain, and honest about damage."""

import os
import pickle

import pytest
import torch

from pivq.checkpoint import load_checkpoint, save_checkpoint
from pivq.model import PIVQ


@pytest.fixture
def state(tiny_config):
    """Return a checkpoint's state with averages that differ from the weights."""
    torch.manual_seed(0)
    config = tiny_config()
    model, average = PIVQ(config.model, "nearest"), PIVQ(config.model, "nearest")
    return {
        "config": config.as_dict(), "quantizer": "nearest", "step": 3,
        "model": model.state_dict(), "ema": average.state_dict(),
    }  # fmt: skip


@pytest.fixture
def path(tmp_path, state):
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    return tmp_path / "checkpoint.pt"


def test_round_trip(path, state):
    loaded = load_checkpoint(path)
    assert loaded["config"] == state["config"] and loaded["step"] == 3
    assert all(torch.equal(loaded["ema"][name], value) for name, value in state["ema"].items())
    assert os.listdir(path.parent) == ["checkpoint.pt"]


def test_model_is_the_average_in_evaluation_mode(path, state):
    for place in (path, path.parent, str(path.parent)):
        model = PIVQ.from_pretrained(place)
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert all(torch.equal(state["ema"][name], value) for name, value in model.state_dict().items())
    images = torch.rand(2, 3, 16, 16)
    average = PIVQ(model.config, "nearest")
    average.load_state_dict(state["ema"])
    assert torch.equal(model.encode(images), average.encode(images))
    assert type(model.quantizer).__name__ == "NearestQuantizer"


def test_loading_runs_no_code(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"step": Payload()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="damaged or no checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_named(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="checkpoint.pt is damaged .* delete it to train this run again"):
        load_checkpoint(path)


def test_a_changed_byte_anywhere_is_never_read_as_something_else(path):
    whole = path.read_bytes()
    expected = load_checkpoint(path)["ema"]
    for place in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            loaded = load_checkpoint(path)["ema"]
        except ValueError as error:
            assert "is damaged" in str(error)
        else:  # a byte without meaning, such as padding
            assert all(torch.equal(loaded[name], value) for name, value in expected.items())


@pytest.mark.parametrize("content", [b"<!doctype html><html>", b"P" * 100, pickle.dumps({"step": 1}), bytes(3000)])
def test_another_kind_of_file_is_named(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checkpoint.pt is damaged or no checkpoint"):
        load_checkpoint(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint.pt"):
        PIVQ.from_pretrained(tmp_path)


def test_a_full_disk_is_said_plainly_and_leaves_the_previous_checkpoint(path, state, monkeypatch):
    before = path.read_bytes()
    full = open  # what the system does when the disk is full, without filling it

    def open_full(file, mode="r"):
        return full("/dev/full" if mode == "wb" else file, mode)

    monkeypatch.setattr("pivq.checkpoint.open", open_full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, state)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["checkpoint.pt"]
