"""Checkpoints and exported folders: whole or absent, plain, and honest about damage."""

import errno
import hashlib
import io
import json
import os
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from stand_ins import Perceptual, make_split

from pivq.config import ModelConfig
from pivq.model import PIVQ
from pivq.runs.callbacks import Checkpoints
from pivq.storage import checkpoint, hub
from pivq.storage.bounds import tensors
from pivq.storage.checkpoint import is_export, load_checkpoint, load_stored, newest_checkpoint, save_checkpoint
from pivq.storage.writing import seal, write_json
from pivq.trainer import Trainer


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
    with pytest.raises(ValueError, match="damaged or not a checkpoint"):
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
    with pytest.raises(ValueError, match="checkpoint.pt is damaged or not a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "name, advice",
    [
        ("checkpoint.pt", "delete it to train this run again"),
        ("checkpoint.previous.pt", "delete it to train this run again"),
        ("photos.zip", "name the folder of a run, or of an exported model"),
        ("my model.pt", "name the folder of a run, or of an exported model"),
        ("model.safetensors", "of an exported model, name the folder: {}"),
        ("config.json", "of an exported model, name the folder: {}"),
    ],
)
def test_only_a_checkpoint_is_to_be_deleted(tmp_path, name, advice):
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ValueError) as caught:
        PIVQ.from_pretrained(tmp_path / name)
    said = f"{tmp_path / name} is damaged or not a checkpoint; {advice.format(tmp_path)}"
    assert str(caught.value) == said


@pytest.mark.parametrize("content, lacking", [({"ema": {}}, "config, quantizer, step"), ([1], "config, quantizer")])
def test_a_checkpoint_of_something_else_is_named(tmp_path, content, lacking):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=f"checkpoint.pt is not a checkpoint of a PI-VQ run: it has no {lacking}"):
        PIVQ.from_pretrained(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither checkpoint.pt \(a run\) nor model.safetensors \(an exported"):
        PIVQ.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no model at .*absent: there is no such file or folder"):
        PIVQ.from_pretrained(tmp_path / "absent")


def test_a_full_disk_is_said_plainly_and_leaves_the_previous_checkpoint(path, state, monkeypatch):
    before = path.read_bytes()
    full = open  # what the system does when the disk is full, without filling it

    def open_full(file, mode="r"):
        return full("/dev/full" if mode == "wb" else file, mode)

    monkeypatch.setattr("pivq.storage.checkpoint.open", open_full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, state)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["checkpoint.pt"]


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_anywhere_in_a_checkpoint_is_said(path, state, monkeypatch, share, number):
    before = path.read_bytes()

    class Full(io.FileIO):
        def write(self, content):
            if self.tell() + len(content) > share * len(before):
                raise OSError(number, os.strerror(number))
            return super().write(content)

    monkeypatch.setattr("pivq.storage.checkpoint.open", lambda file, mode="r": Full(file, mode), raising=False)
    with pytest.raises(OSError, match=r"No space left on the disk for .*/checkpoint.pt: about [\d.]+ MB are needed"):
        save_checkpoint(path, state)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["checkpoint.pt"]


def test_the_last_two_checkpoints_are_kept(path, state):
    for step in (4, 5):
        save_checkpoint(path, state | {"step": step})
    assert load_checkpoint(path)["step"] == 5
    assert load_checkpoint(path.with_name("checkpoint.previous.pt"))["step"] == 4
    assert len(os.listdir(path.parent)) == 2
    path.write_bytes(b"")
    save_checkpoint(path, state | {"step": 6})
    assert load_checkpoint(path.with_name("checkpoint.previous.pt"))["step"] == 4, "a whole one is kept for a cut one"


def test_where_there_are_no_hard_links_the_previous_checkpoint_is_kept_too(path, state, monkeypatch):
    monkeypatch.setattr(checkpoint.os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    save_checkpoint(path, state | {"step": 4})
    assert load_checkpoint(path)["step"] == 4
    assert load_checkpoint(path.with_name("checkpoint.previous.pt"))["step"] == 3


# --- Exported folders -------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(path, tmp_path):
    """Return the folder of an exported model."""
    PIVQ.from_pretrained(path).save_pretrained(tmp_path / "shared" / "model")
    return tmp_path / "shared" / "model"


def settings(folder):
    """Return the settings in a folder, without their checksum."""
    values = json.loads((folder / "config.json").read_text())
    values.pop("sha256", None)
    return values


def change(folder, **values):
    """Rewrite settings; None removes one."""
    changed = {name: value for name, value in (settings(folder) | values).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(seal(changed)))


def replace_weights(folder, weights):
    """Put other weights in place, with the checksum that belongs to them."""
    content = safetensors.torch.save(weights)
    (folder / "model.safetensors").write_bytes(content)
    change(folder, weights_sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("change", [('"steps": ', '"steps": 1'), ('"seed": ', '"seed": 1'), ("}", " }")])
def test_a_digit_that_changed_in_the_settings_of_an_export_is_noticed(exported, change):
    path = exported / "config.json"
    before = path.read_text()
    path.write_text(before.replace(*change, 1))
    if change[0] == "}":  # a blank says nothing
        assert load_stored(exported).quantizer == "nearest"
        return
    assert path.read_text() != before
    with pytest.raises(ValueError, match=r"config.json is damaged or was changed: its checksum does not match"):
        load_stored(exported)


def test_export_holds_the_averaged_model_and_its_facts(exported, state):
    assert sorted(os.listdir(exported)) == ["README.md", "config.json", "model.safetensors"]
    assert os.listdir(exported.parent) == ["model"], "nothing is left next to it"
    values, config = settings(exported), state["config"]
    assert (values["format"], values["format_version"], values["quantizer"]) == ("pivq", 1, "nearest")
    assert values["model"] == json.loads(json.dumps(config["model"]))
    facts = {"profile": "smoke", "dataset": "avatars", "seed": 0, "steps": 3, "planned_steps": 8}
    parameters = sum(value.numel() for value in state["ema"].values())
    assert values["run"] == facts | {"parameters": parameters}
    loaded = PIVQ.from_pretrained(exported)
    assert all(torch.equal(state["ema"][name], value) for name, value in loaded.state_dict().items())
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert (loaded.quantizer_name, loaded.facts) == ("nearest", values["run"])
    assert asdict(loaded.config) == config["model"]


def test_export_of_an_export_is_the_same(exported, tmp_path):
    PIVQ.from_pretrained(exported).save_pretrained(tmp_path / "again")
    for name in os.listdir(exported):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def test_figures_come_from_a_summary_of_the_same_step(path, state):
    write_json(path.parent / "summary.json", seal({"steps": 3, "heldout_l1": 0.25, "digest": "cafe"}))
    assert load_stored(path.parent).facts["heldout_l1"] == 0.25
    assert "digest" not in load_stored(path.parent).facts
    write_json(path.parent / "summary.json", seal({"steps": 8, "heldout_l1": 0.25}))
    assert "heldout_l1" not in load_stored(path).facts
    write_json(path.parent / "summary.json", {"steps": 3, "heldout_l1": 0.01})
    with pytest.warns(UserWarning, match="summary.json has no checksum.*; its figures are left out"):
        assert "heldout_l1" not in load_stored(path).facts
    (path.parent / "summary.json").write_text("{")
    with pytest.warns(UserWarning, match="summary.json is damaged or not JSON.*; its figures are left out"):
        assert "heldout_l1" not in load_stored(path).facts


def test_an_untrained_model_can_be_exported(tiny_config, tmp_path):
    model = PIVQ(tiny_config().model)
    model.save_pretrained(tmp_path / "new")
    loaded = PIVQ.from_pretrained(str(tmp_path / "new"))
    codes = torch.tensor([[0, 1, 2, 3]])
    assert torch.equal(loaded.decode(codes), model.decode(codes))


def test_export_refuses_to_overwrite_anything_else(exported, tmp_path, tiny_config):
    model = PIVQ(tiny_config().model)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FileExistsError, match="other is not empty and holds no exported model"):
        model.save_pretrained(other)
    assert os.listdir(other) == ["config.json"]
    (tmp_path / "file").write_text("text")
    with pytest.raises(FileExistsError, match="file is a file"):
        model.save_pretrained(tmp_path / "file")
    run = tmp_path / "checkpoint.pt"
    with pytest.raises(FileExistsError, match="holds no exported model"):
        model.save_pretrained(run.parent)


def test_export_replaces_an_earlier_one_and_fills_an_empty_folder(exported, tmp_path, tiny_config):
    model = PIVQ(tiny_config().model, "matching")
    (exported / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    for folder in (exported, tmp_path / "empty"):
        model.save_pretrained(folder)
        loaded = PIVQ.from_pretrained(folder)
        assert torch.equal(loaded.quantizer.codebook, model.quantizer.codebook)
        assert loaded.quantizer_name == "matching"
    assert (exported / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("call", range(4))
def test_an_interrupted_export_leaves_the_old_model_or_the_new_one(exported, tiny_config, monkeypatch, call):
    models, calls, replace = [PIVQ.from_pretrained(exported), PIVQ(tiny_config().model)], [], os.replace

    def interrupted(*places):
        if len(calls) == call:
            raise KeyboardInterrupt
        calls.append(places)
        replace(*places)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            models[1].save_pretrained(exported)
    left = PIVQ.from_pretrained(exported)
    assert torch.equal(left.quantizer.codebook, models[call == 3].quantizer.codebook)
    PIVQ(tiny_config().model).save_pretrained(exported)
    PIVQ.from_pretrained(exported)
    assert os.listdir(exported.parent) == ["model"] and set(os.listdir(exported)) == set(checkpoint.EXPORTED)


def test_an_interrupted_first_export_leaves_nothing(tmp_path, tiny_config, monkeypatch):
    monkeypatch.setattr(checkpoint.os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        PIVQ(tiny_config().model).save_pretrained(tmp_path / "new")
    assert os.listdir(tmp_path) == []


def test_damaged_weights_are_named(exported):
    file = exported / "model.safetensors"
    whole = file.read_bytes()
    for content in (b"", whole[:-1], whole[:100], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(content)
        with pytest.raises(
            ValueError, match="model.safetensors is damaged, or does not belong .* download the model again"
        ):
            PIVQ.from_pretrained(exported)
    file.write_bytes(b"<!doctype html>")
    change(exported, weights_sha256=hashlib.sha256(b"<!doctype html>").hexdigest())
    with pytest.raises(ValueError, match="model.safetensors is not a safetensors file"):
        PIVQ.from_pretrained(exported)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has them")
def test_a_pipe_in_the_place_of_weights_is_named_and_never_waited_for(exported, path):
    weights = exported / "model.safetensors"
    for file, load in ((weights, lambda: load_stored(exported)), (path, lambda: load_checkpoint(path))):
        file.unlink(missing_ok=True)
        os.mkfifo(file)
        with pytest.raises(ValueError, match=f"{file} is a pipe, a socket or a device, where a file belongs"):
            load()


def test_a_pointer_of_git_lfs_is_named(exported):
    (exported / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(ValueError, match="model.safetensors is a Git LFS pointer, not the weights: run `git lfs pull`"):
        PIVQ.from_pretrained(exported)


def test_a_missing_file_is_named(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "half")
    (tmp_path / "half" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="half is not a complete model: config.json is missing next to model"):
        PIVQ.from_pretrained(tmp_path / "half")
    (exported / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither checkpoint.pt .* nor model.safetensors"):
        PIVQ.from_pretrained(exported)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"format": "other"}, "does not describe a PI-VQ model: its format is 'other'"),
        ({"format_version": 2}, "has format version 2, pivq reads 1: upgrade pivq"),
        ({"quantizer": None, "run": None}, "lacks quantizer, run"),
        ({"extra": 1}, "has unknown extra"),
        ({"quantizer": "greedy"}, "unknown quantizer 'greedy'"),
    ],
)
def test_bad_settings_are_named(exported, values, message):
    change(exported, **values)
    with pytest.raises(ValueError, match=message):
        PIVQ.from_pretrained(exported)


def test_bad_sizes_are_named(exported):
    sizes = settings(exported)["model"]
    for changed, message in (
        (sizes | {"dimm": 3}, "bad model sizes: .*dimm"),
        ({name: value for name, value in sizes.items() if name != "dim"}, "bad model sizes: missing 'dim': export or"),
        (sizes | {"dim": "16"}, "bad model sizes"),
        (sizes | {"heads": 3}, "heads must divide dim, got 3 heads for dim 16"),
    ):
        change(exported, model=changed)
        with pytest.raises(ValueError, match=message):
            PIVQ.from_pretrained(exported)
    (exported / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="config.json is damaged"):
        PIVQ.from_pretrained(exported)


def test_weights_that_do_not_fit_are_named(exported, state):
    weights = dict(state["ema"])
    codebook = weights.pop("quantizer.codebook")
    for changed, message in (
        (weights, "quantizer.codebook is missing"),
        (state["ema"] | {"extra.bias": torch.zeros(1)}, "extra.bias is unknown"),
        (
            weights | {"quantizer.codebook": codebook[:5].clone()},
            r"quantizer.codebook is \(5, 16\), expected \(12, 16\)",
        ),
        ({}, "encoder.positions is missing; .* and [0-9]+ more"),
    ):
        replace_weights(exported, changed)
        with pytest.raises(ValueError, match=f"model.safetensors does not fit its model sizes: .*{message}"):
            PIVQ.from_pretrained(exported)


def test_runs_and_exports_are_told_apart(exported, path):
    assert is_export(exported) and not is_export(path.parent) and not is_export(path)
    (path.parent / "config.json").write_text(json.dumps({"profile": "smoke", "quantizer": "nearest"}))  # as of a run
    assert not is_export(path.parent)
    assert ModelConfig(**load_stored(path.parent).sizes).dim == 16


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"transformer_layers": 10_000_000}, "model.transformer_layers must be a whole number from 1 to 64, got 10000"),
        ({"residual_blocks": 1_000_000}, "model.residual_blocks must be .* got 1000000"),
        ({"channel_multipliers": [1] * 1_000_000}, "model.channel_multipliers must be .* got "),
        ({"dim": "32"}, "model.dim must be a whole number from 1 to 16384, got '32'"),
        ({"dim": 16.0}, "model.dim must be a whole number"),
        ({"codebook_size": 10**12}, "model.codebook_size must be"),
        ({"image_size": 4096, "dim": 16_384}, "a model of these sizes has about .* weights"),
        ({"heads": 0}, "model.heads must be"),
        ({"extra": 1, "more": [2]}, "unknown 'extra', 'more': upgrade pivq if a later one made this"),
        ({"query_key_gain": float("nan")}, "model.query_key_gain must be a number from 0 to 1000, got nan"),
    ],
)
def test_impossible_sizes_are_the_fault_of_the_file_that_says_them(exported, state, sizes, message):
    change(exported, model=settings(exported)["model"] | sizes)
    with pytest.raises(ValueError, match=f"config.json: bad model sizes: {message}") as error:
        PIVQ.from_pretrained(exported)
    assert len(str(error.value)) < 400 + len(str(exported))
    state["config"]["model"] |= sizes
    save_checkpoint(exported.parent / "run.pt", state)
    with pytest.raises(ValueError, match=f"run.pt: bad model sizes: {message}"):
        PIVQ.from_pretrained(exported.parent / "run.pt")


def test_sizes_that_the_weights_do_not_have_take_no_memory(exported, monkeypatch):
    change(exported, model=settings(exported)["model"] | {"codebook_size": 1_000_000, "dim": 1024, "feedforward": 4096})
    monkeypatch.setattr(torch.Tensor, "uniform_", refuse_memory)
    with pytest.raises(ValueError, match="does not fit its model sizes"):
        PIVQ.from_pretrained(exported)


def refuse_memory(tensor, *args, **kwargs):
    assert tensor.is_meta
    return tensor


def test_more_codes_than_the_codebook_has_are_the_fault_of_the_file_that_says_so(exported):
    change(exported, model=settings(exported)["model"] | {"num_codes": 13}, quantizer="matching")
    with pytest.raises(ValueError, match="config.json: bad model sizes: matching quantization needs L <= K"):
        PIVQ.from_pretrained(exported)


@pytest.mark.parametrize("name", ["model", "run"])
@pytest.mark.parametrize("value", [[], "matching", 3])
def test_parts_that_are_no_settings_are_named(exported, name, value):
    change(exported, **{name: value})
    with pytest.raises(ValueError, match=f"config.json: {name} must be settings by name, got"):
        PIVQ.from_pretrained(exported)


@pytest.mark.parametrize(
    "changed, lacking",
    [
        ({"config": {}}, "config.profile"),
        ({"config": []}, "config"),
        ({"step": "x"}, "step"),
        ({"ema": [1]}, "ema"),
        ({"quantizer": 3}, "quantizer"),
    ],
)
def test_a_checkpoint_of_other_values_is_named(path, state, changed, lacking):
    save_checkpoint(path, state | changed)
    with pytest.raises(ValueError, match=f"checkpoint.pt is not a checkpoint of a PI-VQ run: it has no {lacking}"):
        PIVQ.from_pretrained(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["quantizer.codebook", "encoder.tokens", "decoder.conv_out.bias"])
def test_weights_that_are_not_finite_are_refused_by_name(exported, path, state, name, bad):
    state["ema"][name].flatten()[0] = bad
    save_checkpoint(path, state)
    replace_weights(exported, dict(state["ema"]))
    for place, said in ((path, f"checkpoint.pt holds .* in ema.{name}; train"), (exported, f"finite, in {name}: it")):
        with pytest.raises(ValueError, match=said):
            PIVQ.from_pretrained(place)


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64, torch.uint8, torch.float8_e4m3fn])
def test_weights_of_another_type_are_refused_by_name(exported, state, kind):
    weights = {name: value.contiguous() for name, value in state["ema"].items()}
    replace_weights(exported, weights | {"encoder.tokens": weights["encoder.tokens"].to(kind)})
    with pytest.raises(ValueError, match=rf"encoder.tokens is {kind}, expected floats \(4, 16\)"):
        PIVQ.from_pretrained(exported)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_precision_are_converted(exported, state, kind):
    replace_weights(exported, {name: value.to(kind) for name, value in state["ema"].items()})
    loaded = PIVQ.from_pretrained(exported).state_dict()
    assert all(torch.equal(loaded[name], value.to(kind).float()) for name, value in state["ema"].items())


def test_a_checkpoint_whose_weights_are_no_tensors_is_named(path, state):
    save_checkpoint(path, state | {"ema": state["ema"] | {"encoder.tokens": [1.0]}})
    with pytest.raises(ValueError, match=r"checkpoint.pt does not fit .*: encoder.tokens is list, expected floats"):
        PIVQ.from_pretrained(path)


def enlarge(path, size):
    """Make a file larger without writing: the rest are zeros that take no place on the disk."""
    with open(path, "r+b") as file:
        file.truncate(size)


def no_reading(*_):
    raise AssertionError("read")


@pytest.mark.parametrize("name", ["model.safetensors", ".model.next.safetensors"])
def test_an_export_larger_than_its_sizes_need_is_refused_unread(exported, monkeypatch, name):
    shutil.copy(exported / "model.safetensors", exported / name) if name.startswith(".") else None
    enlarge(exported / name, 20 * 10**9)
    monkeypatch.setattr(Path, "read_bytes", no_reading)
    said = rf"{name} has 20,000,000,000 bytes, more than the [\d,]+ that a model of the sizes in config.json can need"
    for use in (PIVQ.from_pretrained, lambda folder: hub.push(folder, "owner/name")):
        with pytest.raises(ValueError, match=said):
            use(exported)


def test_a_header_that_lies_is_refused(exported, state):
    """Of the export's size, with a checksum that belongs to it."""
    whole = (exported / "model.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    for change_header in (
        lambda h: h["encoder.tokens"].update(shape=[4, 10**9]),
        lambda h: h["encoder.tokens"].update(data_offsets=[0, 10**12]),
        lambda h: h["encoder.tokens"].update(dtype="F64"),
        lambda h: h["encoder.tokens"].update(shape=[2**40, 2**40]),
        lambda h: h.pop("encoder.tokens"),
    ):
        changed = json.loads(json.dumps(header))
        change_header(changed)
        text = json.dumps(changed).encode()
        content = len(text).to_bytes(8, "little") + text + whole[8 + length :]
        (exported / "model.safetensors").write_bytes(content)
        change(exported, weights_sha256=hashlib.sha256(content).hexdigest())
        with pytest.raises(ValueError, match="model.safetensors is not a safetensors file: "):
            PIVQ.from_pretrained(exported)


# --- The newest checkpoint that can be used ---------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path, tiny_config):
    """Return the path of the newest of two checkpoints of one training, and its state."""
    config = tiny_config()
    trainer = Trainer(config, "nearest", make_split(config, "train").images, Perceptual())
    trainer.callbacks = [Checkpoints(tmp_path / "checkpoint.pt")]
    trainer.fit(6)
    save_checkpoint(tmp_path / "checkpoint.pt", trainer.state_dict())
    return tmp_path / "checkpoint.pt", trainer.state_dict()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "place",
    ["model.quantizer.codebook", "ema.encoder.tokens", "discriminator.path.0.weight", "optimizer.state.0.exp_avg_sq",
     "discriminator_optimizer.state.0.exp_avg", "history.1"],
)  # fmt: skip
def test_the_previous_checkpoint_is_used_where_a_number_of_the_newest_is_not_finite(two, place, bad):
    path, state = two
    [tensor] = [value for name, value in tensors(state) if name == place]
    tensor.flatten()[0] = bad
    torch.save(state, path)
    said = f"checkpoint.pt holds numbers that are not finite, in {place}: resuming from .*previous.pt, of step 4"
    with pytest.warns(UserWarning, match=said):
        assert newest_checkpoint(path.parent)["step"] == 4
    path.with_name("checkpoint.previous.pt").unlink()
    with pytest.raises(ValueError, match=f"not finite, in {place}; delete it to train this run again"):
        newest_checkpoint(path.parent)


@pytest.mark.parametrize("lost", ["optimizer", "discriminator", "history", "model"])
def test_the_previous_checkpoint_is_used_where_the_newest_lacks_a_part(two, lost):
    path, state = two
    torch.save({name: value for name, value in state.items() if name != lost}, path)
    with pytest.warns(UserWarning, match=f"it has no {lost}: resuming from checkpoint.previous.pt, of step 4"):
        assert newest_checkpoint(path.parent)["step"] == 4


def test_another_training_says_what_it_needs_and_may_put_the_previous_checkpoint_in_its_place(two):
    path, _ = two
    save_checkpoint(path, {"step": 1, "of": "mine"})
    save_checkpoint(path, {"step": 2, "of": "yours"})
    previous = path.with_name("checkpoint.previous.pt")

    def wrong(state):
        return "" if state.get("of") == "mine" else " is not mine"

    for mend in (False, True):
        assert previous.exists()
        with pytest.warns(UserWarning, match="checkpoint.pt is not mine: resuming from checkpoint.previous.pt, of st"):
            assert newest_checkpoint(path.parent, wrong, mend)["step"] == 1
    assert not previous.exists() and newest_checkpoint(path.parent, wrong) == {"step": 1, "of": "mine"}
    with pytest.raises(ValueError, match="not a checkpoint of a PI-VQ run"):
        newest_checkpoint(path.parent)
    save_checkpoint(path, {"step": 2, "of": "yours"})
    save_checkpoint(path, {"step": 3, "of": "yours"})
    with pytest.raises(ValueError, match=f"{path.parent}: .* delete both to train this run again"):
        newest_checkpoint(path.parent, wrong)


def test_losses_that_wait_for_the_log_may_be_anything(two, recwarn):
    path, state = two
    torch.save(state | {"pending": [{"l1": torch.tensor(float("nan"))}]}, path)
    assert newest_checkpoint(path.parent)["step"] == 6 and not recwarn.list
