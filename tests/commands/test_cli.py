"""The command `pivq` on a small model: what it prints, what it writes, how it ends, how it resumes."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stand_ins import Colours, Perceptual, make_split, noise, stand_in, truncate

from pivq import precision
from pivq.commands import jobs
from pivq.commands.cli import main, one_line
from pivq.commands.terminal import CONTROLS
from pivq.config import load_config
from pivq.data import from_uint8
from pivq.inference import encode_images
from pivq.metrics import frechet_distance
from pivq.model import PIVQ
from pivq.precision import pick_precision
from pivq.runs import splits
from pivq.runs.beyond.recipe_training import recipe_dir, train_recipe
from pivq.runs.cost import Cost
from pivq.runs.run import Run, run_dir, write_config
from pivq.sampling import sample_pairs
from pivq.storage.checkpoint import save_checkpoint
from pivq.storage.paths import CHECKOUT
from pivq.storage.source import code_digest
from pivq.storage.writing import seal, write_json


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))


@pytest.fixture
def run(tiny_config):
    """Return a finished run of a model that was never trained: 12 codes, 4 an image, 16×16, ten training images."""
    torch.manual_seed(0)
    config = tiny_config(seed=3)
    folder = write_config(config, "matching").parent
    model = PIVQ(config.model).eval()
    images = torch.randint(0, 256, (10, 3, 16, 16)).to(torch.uint8)
    save_checkpoint(
        folder / "checkpoint.pt",
        {"config": config.as_dict(), "quantizer": "matching", "step": 8, "ema": model.state_dict()},
    )
    np.savez(folder / "codes.npz", train_codes=encode_images(model, images), train_ids=[f"face-{i}" for i in range(10)])
    summary = {"steps": 8, "heldout_l1": 0.2, "heldout_psnr": 12.0, "codes_in_use": 9}
    write_json(folder / "summary.json", seal(summary))
    return Run(folder, config, "matching")


def write_pictures(folder: Path, count: int, seed: int = 0) -> torch.Tensor:
    """Write random images as `0.png`, …; return them, uint8 `(N, 3, 16, 16)`."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i}.png")
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def read_picture(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of eleven images, and the images in natural order."""
    return tmp_path / "pictures", write_pictures(tmp_path / "pictures", 11)


def status(*words) -> int:
    """Run a command line on the CPU and return its exit status."""
    words = [str(word) for word in words]
    try:
        return main([words[0], "--device", "cpu", *words[1:]])
    except SystemExit as error:
        return error.code


# --- Usage ------------------------------------------------------------------------------------------------------------


def test_show_settings_prints_values_and_sources(capsys):
    assert status("train", "--show-settings", "--set", "train.steps=1500", "--set", "model.dim=64", "--seed", "7") == 0
    rows = [re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["setting", "value", "source"]
    assert ["seed", "7"] in rows
    assert ["model.codebook_size", "512", "paper"] in rows
    assert ["train.reconstruction_weight", "1.0", "base code"] in rows
    assert ["train.steps", "1500", "assumption"] in rows
    assert ["model.dim", "64", "assumption"] in rows, "the paper's no longer"
    assert len(rows) == 3 + len(load_config("quick").sources)


def test_a_failure_is_one_line_and_1(tmp_path, pictures, capsys):
    assert status("encode", tmp_path / "absent", pictures[0], "--out", tmp_path / "codes.npz") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("pivq encode: error: no model at ") and "no such file or folder" in err
    with pytest.raises(FileNotFoundError):
        status("encode", tmp_path / "absent", pictures[0], "--out", tmp_path / "codes.npz", "--debug")


def test_one_line():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(RuntimeError("\n".join(["failed:", "first", *["x" * 99] * 9, "ValueError: why"]))) == (
        "failed: first … ValueError: why"
    )
    assert one_line(KeyError("name")) == "KeyError: 'name'", "a fault of the program is named as such"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(OSError(27, "File too large", "a.png")) == (
        "File too large: 'a.png': allow larger files there, or choose another place"
    )


# --- train ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_arguments(tiny_config):
    """Return the arguments that make of the profile smoke the settings of `tiny_config`."""
    config, usual = tiny_config().as_dict(), load_config("smoke").as_dict()
    words = ["--profile", "smoke"]
    for part in ("model", "train", "evaluation"):
        for name, value in config[part].items():
            if value != usual[part][name]:
                words += ["--set", f"{part}.{name}={value}"]
    return words


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Put random images in place of the faces; return a function that puts a perceptual network in place."""
    monkeypatch.setattr("pivq.runs.cost.load_split", make_split)
    return lambda **settings: stand_in(monkeypatch, tmp_path, **settings)


def test_training_is_interrupted_resumed_and_found_finished(
    tiny_arguments, tiny_config, stand_ins, monkeypatch, capsys
):
    stand_ins(interrupt_at=6)
    monkeypatch.setattr("pivq.runs.cost.expected_cost", lambda *_: "much")
    assert status("train", *tiny_arguments) == 130
    said = capsys.readouterr().err
    assert "Each run: much" in said and "Run the same command again" in said
    network = stand_ins()
    assert status("train", *tiny_arguments) == 0
    assert network.calls == 4, "the last checkpoint was of step 4"
    folder = run_dir(tiny_config(), "matching")
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == str(folder) and (folder / "summary.json").is_file()
    summary = json.loads((folder / "summary.json").read_text())
    assert f"matching: 8 steps, held-out L1 {summary['heldout_l1']:.4f}" in out
    assert status("train", *tiny_arguments) == 0
    assert network.calls == 4 and "finished run loaded" in capsys.readouterr().out


def test_a_recipe_trains_and_leaves_a_model_to_share(
    tiny_arguments, tiny_config, stand_ins, monkeypatch, tmp_path, capsys
):
    stand_ins()
    monkeypatch.setattr("pivq.runs.beyond.recipe_training.load_perceptual", lambda name: Perceptual())
    monkeypatch.setattr("pivq.commands.jobs.load_split", make_split)
    assert status("train", *tiny_arguments, "--recipe", "re-seeded codes") == 0
    said = capsys.readouterr().out
    folder = recipe_dir(tiny_config(), "re-seeded codes") / "model"
    assert said.splitlines()[-1] == str(folder) and "recipe 're-seeded codes': 8 steps, held-out L1 0." in said
    card = (folder / "README.md").read_text()
    assert "| recipe | re-seeded codes: changes of the paper's training" in card and "| seed | 0 |" in card
    assert "| training | 8 steps |" in card and "whose terms are not recorded" not in card, "sharing needs them"
    for words in (["encode", folder.parent, tmp_path, "--out", tmp_path / "codes.npz"],
                  ["sample", folder.parent, "--count", "2", "--out", tmp_path / "out"],
                  ["evaluate", tmp_path, folder.parent, "--count", "9"]):  # fmt: skip
        assert status(*map(str, words)) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        named = f"is of a training by another recipe than the paper's: name its model, {folder}"
        assert named in error or "is a training beyond the paper: this needs a run" in error
    shared, kept = PIVQ.from_pretrained(folder), train_recipe(tiny_config(), "re-seeded codes").model
    images = from_uint8(make_split(tiny_config(), "heldout").images[:3])
    assert torch.equal(shared.decode(shared.encode(images)), kept.decode(kept.encode(images)))
    assert status("train", *tiny_arguments, "--recipe", "projected codes") == 0
    assert "open it in Python" in capsys.readouterr().out, "a PIVQ has no projections"
    folder = recipe_dir(tiny_config(), "projected codes")
    assert not (folder / "model").exists()
    with pytest.raises(ValueError, match="another recipe than the paper's: `pivq train --recipe` says how to use it"):
        PIVQ.from_pretrained(folder)


@pytest.mark.parametrize("words, said", [
    (["--recipe", "rotation"], "unknown recipe 'rotation'"),
    (["--recipe", "improved", "--quantizer", "both"], "--recipe trains with matching"),
    (["--recipe", "improved", "--budget", "1h"], "has no --log or --budget"),
    (["--recipe", "distribution matching", "--set", "train.codebook_weight=0"], "needs a codebook_weight above 0"),
    (["--recipe", "later T_q", "--set", "train.quantize_from_step=3000"], "must be more than quantize_from_step 4500"),
    (["--recipe", "projected codes", "--set", "model.dim=126", "--set", "model.heads=2"], "must divide dim 126, got 4"),
])  # fmt: skip
def test_a_recipe_that_cannot_be_trained_is_refused(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", *words])
    assert end.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize("recipe, name, value", [
    ("later T_q", "train.quantize_from_step", "1800"), ("earlier T_q", "train.quantize_from_step", "600"),
    ("drawn tokens", "model.tokens", "drawn"), ("drawn tokens", "model.token_spread", "0.3"),
    ("improved", "train.quantize_from_step", "1800"),
])  # fmt: skip
def test_the_settings_that_are_shown_are_those_that_a_recipe_trains_with(recipe, name, value, capsys):
    assert status("train", "--recipe", recipe, "--show-settings") == 0
    assert f"{name:36}{value:24}assumption" in capsys.readouterr().out


def test_a_damaged_image_ends_a_training_with_the_option_that_leaves_it_out(
    tiny_arguments, monkeypatch, tmp_path, capsys
):
    whole = splits.load_split
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(splits, "load_split", whole)
    for part, count in (("train", 100), ("valid", 60)):
        for i in range(count):
            noise(tmp_path / "faces" / part / f"{i}.jpg", seed=i, size=(16, 16), quality=95)
    truncate(tmp_path / "faces/train/50.jpg")
    words = [re.sub("_images=.*", "_images=0", word) for word in tiny_arguments]  # all
    words = ["train", *words, "--data", tmp_path / "faces", "--layout", "celebahq"]
    assert status(*words) == 1
    said = capsys.readouterr().err.splitlines()
    assert "error: 1 of 100 images in" in said[-1] and "train/50.jpg: " in said[-1]  # warnings come before it
    assert said[-1].endswith('leave them out: on_error="skip" (--on-error skip).')
    assert status(*words, "--on-error", "skip") == 0
    out, err = capsys.readouterr()
    assert "of 12 codes in use" in out and "100 images in" in err and "are left out: train/50.jpg" in err
    folder = Path(out.splitlines()[-1])
    assert json.loads((folder / "summary.json").read_text())["left_out"] == {"train": 1}
    assert len(np.load(folder / "codes.npz")["train_ids"]) == 99


def test_both_quantizers_are_trained_together(tiny_arguments, tiny_config, monkeypatch, run, capsys):
    asked = []
    monkeypatch.setattr("pivq.runs.parallel.train_together", lambda *arguments: asked.append(arguments) or [run, run])
    assert status("train", *tiny_arguments, "--quantizer", "both") == 0
    assert asked == [([(tiny_config(), "matching"), (tiny_config(), "nearest")], "cpu", "")]
    assert capsys.readouterr().out.splitlines() == [
        "matching: 8 steps, held-out L1 0.2000, PSNR 12.00 dB, 9 of 12 codes in use", str(run.folder),
    ] * 2  # fmt: skip


def test_a_budget_says_what_it_chose_and_scales_the_schedule(monkeypatch, run, capsys):
    asked = []
    price = Cost(10**6, 10**5, 0.01, 20, None, 3400, 8, 8000, "a card, fp16")
    monkeypatch.setattr("pivq.runs.cost.measure_cost", lambda config, device: price)
    monkeypatch.setattr("pivq.runs.training.train", lambda config, *_: asked.append(config) or run)
    assert status("train", "--budget", "17s") == 0
    assert asked == [load_config("quick", steps=1700)]
    assert "budget 17s: 1,700 steps, of the profile's 3,400" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert status("train", "--budget", "17s") == 1 and "give --steps" in capsys.readouterr().err


def test_precision_and_compiling_are_chosen_before_a_trainer_is_made(tiny_arguments, monkeypatch, run):
    for variable in (precision.VARIABLE, precision.COMPILE):
        monkeypatch.setenv(variable, "")  # restored at the end
        monkeypatch.delenv(variable)
    chosen = []

    def price(*_):
        chosen.append(pick_precision(torch.device("cpu")))
        return Cost(10**6, 10**5, 0.01, 20, None, 3400, 8, 8000, "a CPU")

    monkeypatch.setattr("pivq.runs.cost.measure_cost", price)
    monkeypatch.setattr("pivq.runs.training.train", lambda *_: run)
    assert status("train", *tiny_arguments) == 0
    assert status("train", *tiny_arguments, "--precision", "bf16", "--compile") == 0
    assert chosen == ["fp32", "bf16"] and os.environ[precision.COMPILE]


def test_of_several_processes_the_first_one_reports(tiny_arguments, monkeypatch, run, capsys):
    monkeypatch.setattr("pivq.runs.training.train", lambda *arguments: run)
    monkeypatch.setattr("pivq.runs.cost.expected_cost", lambda *arguments: None)  # of two processes
    for rank, count, lines in (("0", "2", 2), ("1", "2", 0), ("1", "1", 2)):  # the last: left over from elsewhere
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", count)
        assert status("train", *tiny_arguments) == 0
        assert len(capsys.readouterr().out.splitlines()) == lines


def test_a_gpu_that_is_not_there_is_said(tiny_arguments, stand_ins, monkeypatch, capsys):
    stand_ins()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", *tiny_arguments, "--device", "cuda"]) == 1
    assert "torch finds no GPU" in capsys.readouterr().err


# --- encode -----------------------------------------------------------------------------------------------------------


def test_encode_writes_codes_and_ids_in_natural_order(run, pictures, tmp_path, capsys):
    folder, images = pictures
    out = tmp_path / "made" / "codes.npz"
    assert status("encode", run.folder, folder, "--out", out, "--batch-size", 4) == 0
    with np.load(out) as file:
        assert file["codes"].dtype == np.uint8 and file["codes"].shape == (11, 4)
        assert np.array_equal(file["codes"], run.model().encode(images / 255).numpy())
        assert [Path(name).stem for name in file["ids"]] == [str(i) for i in range(11)]
    assert os.listdir(out.parent) == ["codes.npz"], "partial results are gone"
    assert f"11 images, 4 codes each: written to {out}" in capsys.readouterr().out


def test_encode_takes_an_exported_model(run, pictures, tmp_path):
    run.model().save_pretrained(tmp_path / "model")
    for name in ("run", "model"):
        place = run.folder if name == "run" else tmp_path / "model"
        assert status("encode", place, pictures[0], "--out", tmp_path / f"{name}.npz") == 0
    with np.load(tmp_path / "run.npz") as a, np.load(tmp_path / "model.npz") as b:
        assert np.array_equal(a["codes"], b["codes"]) and a["made_from"] == b["made_from"]


def count_encoded(monkeypatch, interrupt_at=None) -> list[int]:
    """Return a list that grows by the size of each batch that is encoded; Ctrl-C at a batch."""
    sizes = []

    def encode(model, images, batch_size):
        if len(sizes) == interrupt_at:
            raise KeyboardInterrupt
        sizes.append(len(images))
        return encode_images(model, images, batch_size)

    monkeypatch.setattr(jobs, "encode_images", encode)
    monkeypatch.setattr(jobs, "CHUNK", 4)
    return sizes


def test_interrupted_encoding_is_resumed(run, pictures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "made" / "codes.npz"
    command = ["encode", run.folder, pictures[0], "--out", out, "--batch-size", 2]
    assert count_encoded(monkeypatch, interrupt_at=3) == [] and status(*command) == 130
    assert not out.exists()
    encoded = count_encoded(monkeypatch)
    assert status(*command) == 0
    assert encoded == [2, 2, 2, 1], "the first chunk of four was done"
    with np.load(out) as file:
        assert np.array_equal(file["codes"], run.model().encode(pictures[1] / 255).numpy())
    assert status(*command) == 0
    assert len(encoded) == 4 and "already there" in capsys.readouterr().out


def test_partial_codes_of_another_model_or_other_images_are_not_used(run, pictures, tmp_path, monkeypatch):
    folder, out = pictures[0], tmp_path / "made" / "codes.npz"
    command = ["encode", run.folder, folder, "--out", out]
    count_encoded(monkeypatch, interrupt_at=1)
    assert status(*command) == 130
    write_pictures(folder, 10, seed=5)
    encoded = count_encoded(monkeypatch)
    assert status(*command) == 0 and sum(encoded) == 11
    with np.load(out) as file:
        assert len(file["codes"]) == 11


def test_codes_of_another_model_are_not_overwritten(run, pictures, tmp_path, tiny_config, capsys):
    out = tmp_path / "codes.npz"
    assert status("encode", run.folder, pictures[0], "--out", out) == 0
    before = out.read_bytes()
    PIVQ(tiny_config().model).save_pretrained(tmp_path / "other")
    assert status("encode", tmp_path / "other", pictures[0], "--out", out) == 1
    assert "holds codes of another model or other images" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_what_the_other_quantizer_makes_is_not_taken_for_this_ones_even_with_the_same_weights(run, pictures, tmp_path):
    """Both have the same weights before they part, and with a budget that ends there."""
    torch.manual_seed(0)
    one, other = PIVQ(run.config.model, "matching"), PIVQ(run.config.model, "nearest")
    other.load_state_dict(one.state_dict())
    images = jobs.load_folder(pictures[0], run.config.model.image_size)
    out, pages = tmp_path / "codes.npz", tmp_path / "pages"
    assert [jobs.encode_dataset(one, images, out) for _ in range(2)] == [True, False]
    with pytest.raises(FileExistsError, match="holds codes of another model"):
        jobs.encode_dataset(other, images, out)
    jobs.reconstruct(one, images.images, pages)
    with pytest.raises(FileExistsError, match="holds reconstructions of another model"):
        jobs.reconstruct(other, images.images, pages)


def test_files_that_cannot_be_read_are_named_or_skipped(run, pictures, tmp_path, capsys):
    folder = pictures[0]
    (folder / "5.png").write_bytes(b"<html>")
    command = ["encode", run.folder, folder, "--out", tmp_path / "codes.npz"]
    assert status(*command) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert "1 of 11 images" in err and "5.png" in err
    assert status(*command, "--on-error", "skip") == 0
    assert "pivq encode: " in capsys.readouterr().err, "the warning that one is left out, without a place in the code"
    with np.load(tmp_path / "codes.npz") as file:
        assert len(file["codes"]) == 10 and not any("5" in name for name in file["ids"])


# --- sample -----------------------------------------------------------------------------------------------------------


def test_samples_are_those_of_algorithm_1_with_their_parents(run, tmp_path, capsys):
    out = tmp_path / "made"
    assert status("sample", run.folder, "--count", 70, "--out", out, "--grid") == 0
    assert "70 samples made: " in capsys.readouterr().out
    names = [f"{i:06d}.png" for i in range(70)]
    assert sorted(path.name for path in out.iterdir()) == [*names, "pairs.csv", "samples.json"]
    drawn, model = sample_pairs(torch.from_numpy(run.codes("train")), 70, seed=3), run.model()
    with open(out / "pairs.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "parent_a", "parent_b"]
    assert rows[1:] == [[name, f"face-{a}", f"face-{b}"] for name, (a, b) in zip(names, drawn.pairs, strict=True)]
    for i in (0, 1, 63, 64, 69):  # each alone: the batch does not matter
        alone = model.decode(drawn.codes[i : i + 1])[0] * 255
        assert (read_picture(out / names[i]) - alone).abs().max() < 0.51, "rounded to the nearest level"
    assert Image.open(tmp_path / "made-grid.png").size == (8 * 17 + 1, 8 * 17 + 1)


def test_sampling_resumes_and_keeps_what_is_there(run, tmp_path, capsys):
    out = tmp_path / "made"
    assert status("sample", run.folder, "--count", 5, "--out", out, "--seed", 1) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "000001.png").unlink()
    Image.new("RGB", (16, 16)).save(out / "000003.png")
    assert status("sample", run.folder, "--count", 8, "--out", out, "--seed", 1) == 0
    assert "4 samples made, 4 were there" in capsys.readouterr().out
    assert (out / "000001.png").read_bytes() == before["000001.png"]
    assert not read_picture(out / "000003.png").any(), "a picture that is there is not made again"
    assert (out / "pairs.csv").read_bytes().startswith(before["pairs.csv"]) and (out / "000007.png").exists()


def test_a_folder_with_anything_else_is_refused(run, pictures, tmp_path, capsys):
    out = tmp_path / "made"
    assert status("sample", run.folder, "--count", 3, "--out", out) == 0
    for words, message in (
        (["--count", 3, "--seed", 4], "holds samples of another run or seed"),
        (["--count", 2], "holds more than 2 samples"),
    ):
        assert status("sample", run.folder, "--out", out, *words) == 1
        assert message in capsys.readouterr().err
    assert status("sample", run.folder, "--count", 3, "--out", pictures[0]) == 1
    assert "is not empty and holds no samples" in capsys.readouterr().err
    assert len(os.listdir(pictures[0])) == 11


def test_nearest_codes_that_repeat_are_recombined_as_multisets(run, tmp_path, tiny_config):
    config = tiny_config(seed=3)
    folder = write_config(config, "nearest").parent
    state = {"config": config.as_dict(), "quantizer": "nearest", "step": 8, "ema": run.model().state_dict()}
    save_checkpoint(folder / "checkpoint.pt", state)
    np.savez(folder / "codes.npz", train_codes=[[1, 1, 1, 2], [1, 1, 1, 3]], train_ids=["a", "b"])
    summary = {"steps": 8, "heldout_l1": 0.2, "heldout_psnr": 12.0, "codes_in_use": 3}
    write_json(folder / "summary.json", seal(summary))
    assert status("sample", folder, "--count", 3, "--out", tmp_path / "made") == 0
    # C_c = {1, 1, 1}; the fourth code is 2 or 3, so every sample looks like one of the parents.
    parents = Run(folder, config, "nearest").model().decode(torch.tensor([[1, 1, 1, 2], [1, 1, 1, 3]])) * 255
    for path in (tmp_path / "made").glob("*.png"):
        assert min((read_picture(path) - parent).abs().max() for parent in parents) < 0.51


def test_a_summary_whose_checksum_was_taken_away_is_not_used(run, tmp_path, capsys):
    values = json.loads((run.folder / "summary.json").read_text())
    values.pop("sha256")
    for change in ({}, {"codes_in_use": 12}, {"heldout_psnr": 40.0}):
        write_json(run.folder / "summary.json", values | change)
        assert status("sample", run.folder, "--count", 3, "--out", tmp_path / "made") == 1
        err = capsys.readouterr().err
        assert "summary.json is damaged; `pivq train`" in err and err.count("\n") == 1
        with pytest.raises(ValueError, match="summary.json has no checksum: it was changed, or written by an earlier"):
            _ = run.summary
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("command", ["sample", "decode", "reconstruct", "encode", "interpolate", "evaluate"])
@pytest.mark.parametrize("below", [False, True])
def test_a_file_where_a_folder_is_to_be_and_the_reverse_are_refused_before_the_work(
    run, pictures, tmp_path, capsys, monkeypatch, command, below
):
    file, folder, image = tmp_path / "kept.txt", tmp_path / "kept.npz", pictures[0] / "0.png"
    monkeypatch.setattr("pivq.commands.cli._load_model", None)  # never reached
    file.write_text("mine"), folder.mkdir(), (tmp_path / "kept.gif").mkdir(), (tmp_path / "c.csv").write_text("1,2,3,4")
    words = {
        "sample": [run.folder, "--count", 3, "--grid", "--out", file],
        "encode": [run.folder, image.parent, "--out", folder],
        "decode": [tmp_path / "c.csv", "--model", run.folder, "--out", file],
        "reconstruct": [run.folder, image.parent, "--out", file],
        "interpolate": [image, image, "--model", run.folder, "--out", tmp_path / "kept.gif"],
        "evaluate": [image.parent, image.parent, "--json", folder],
    }[command]  # fmt: skip
    if below:
        words[-1] = file / f"below{Path(words[-1]).suffix}"
    assert status(command, *words) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "a folder, not a file" in said or "not a folder" in said
    assert file.read_text() == "mine" and not list(folder.iterdir())


def test_the_current_folder_can_be_sampled_into_and_its_overview_lies_next_to_it(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert status("sample", run.folder, "--count", 3, "--out", ".", "--grid") == 0
    assert (tmp_path / "here-grid.png").is_file() and len(list((tmp_path / "here").glob("*.png"))) == 3
    (tmp_path / "made-grid.png").mkdir()
    assert status("sample", run.folder, "--count", 3, "--out", tmp_path / "made", "--grid") == 2
    assert "made-grid.png, but that is a folder" in capsys.readouterr().err and not (tmp_path / "made").exists()


def test_sample_needs_a_finished_run(run, tmp_path, capsys):
    (run.folder / "summary.json").unlink()
    assert status("sample", run.folder, "--count", 3, "--out", tmp_path / "made") == 1
    err = capsys.readouterr().err
    assert "no finished run in" in err and "summary.json is missing" in err and "codes.npz" not in err
    assert not (tmp_path / "made").exists()


# --- evaluate ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def colours(monkeypatch):
    monkeypatch.setattr("pivq.pretrained.features.load_feature_network", lambda name, device: Colours())


def numbers(out: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\S.*?)\s{2,}(-?[\d.]+)$", out, re.M)}


def test_evaluate_folders(colours, pictures, tmp_path, capsys):
    folder, real = pictures
    fake = write_pictures(tmp_path / "fake", 9, seed=1)
    assert status("evaluate", folder, tmp_path / "fake", "--k", 2, 3, "--json", tmp_path / "made.json") == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "made.json").read_text())
    shown = numbers(out)
    a, b = (images.double().mean(dim=(2, 3)).numpy() / 255 for images in (real, fake))
    assert report["metrics"]["FD (Colours)"] == pytest.approx(frechet_distance(real=a, fake=b), rel=1e-4)
    names = [f"{name} (k={k})" for k in (2, 3) for name in ("precision", "recall", "density", "coverage")]
    assert list(shown) == list(report["metrics"]) == ["FD (Colours)", *names]
    assert all(shown[name] == pytest.approx(value, abs=1e-4) for name, value in report["metrics"].items())
    protocol = {name: value for name, value in report.items() if name != "metrics"}
    assert protocol == {
        "features": "Colours", "preprocessing": "none", "N": 11, "M": 9, "k": [2, 3], "image_size": 16,
        "samples": "images of a folder",
    }  # fmt: skip
    assert "features Colours; preprocessing none; N 11; M 9; k [2, 3]" in out


def test_equal_folders_are_equal(colours, pictures, capsys):
    assert status("evaluate", pictures[0], pictures[0], "--k", 3) == 0
    shown = numbers(capsys.readouterr().out)
    assert shown.pop("FD (Colours)") == pytest.approx(0, abs=1e-6)
    assert shown == {"precision (k=3)": 1, "recall (k=3)": 1, "density (k=3)": pytest.approx(1, abs=0.5),
                     "coverage (k=3)": 1}  # fmt: skip


def test_a_run_is_measured_as_the_folder_of_its_samples(colours, run, pictures, tmp_path):
    drawn, written = tmp_path / "run.json", tmp_path / "folder.json"
    assert status("evaluate", pictures[0], run.folder, "--count", 70, "--seed", 2, "--json", drawn) == 0
    assert status("sample", run.folder, "--count", 70, "--seed", 2, "--out", tmp_path / "made", "--grid") == 0
    assert status("evaluate", pictures[0], tmp_path / "made", "--json", written) == 0
    a, b = (json.loads(path.read_text()) for path in (drawn, written))
    assert a["metrics"] == pytest.approx(b["metrics"], rel=1e-3)
    assert (a["M"], a["seed"], a["samples"]) == (70, 2, f"Algorithm 1 on {run.folder.name}")
    assert b["M"] == 70, "the overview is not taken for a sample"


def test_evaluate_refuses_what_cannot_be(colours, pictures, tmp_path, capsys):
    assert status("evaluate", pictures[0], pictures[0], "--count", 5) == 1
    assert "--count and --seed are for samples of a run" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert status("evaluate", pictures[0], tmp_path / "empty") == 1
    assert "no images in" in capsys.readouterr().err


def test_evaluate_says_how_many_images_so_many_neighbours_need(colours, pictures, tmp_path, capsys):
    write_pictures(tmp_path / "three", 3)
    assert status("evaluate", pictures[0], tmp_path / "three") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    needed = f"--k 5 needs at least 6 images, {tmp_path / 'three'} has 3: take a smaller --k"
    assert said == f"pivq evaluate: error: {needed}"
    assert status("evaluate", tmp_path / "three", pictures[0], "--k", 3) == 1
    assert f"--k 3 needs at least 4 images, {tmp_path / 'three'} has 3" in capsys.readouterr().err
    assert status("evaluate", tmp_path / "three", pictures[0], "--k", 2) == 0


# --- reconstruct ------------------------------------------------------------------------------------------------------


def test_reconstruct_shows_pairs_and_prints_the_means(run, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jobs, "PAGE", 3)
    folder, images = pictures
    assert status("reconstruct", run.folder, folder, "--out", tmp_path / "made", "--count", 5) == 0
    originals, model = images[:5] / 255, run.model()
    made = model.decode(model.encode(originals))
    l1 = float((made - originals).abs().mean())
    decibels = float((-10 * (made - originals).square().mean(dim=(1, 2, 3)).log10()).mean())
    assert f"5 images: L1 {l1:.4f}, PSNR {decibels:.2f} dB" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path / "made")) == [
        "reconstructions-000.png", "reconstructions-001.png", "reconstructions.json",
    ]  # fmt: skip
    page = read_picture(tmp_path / "made" / "reconstructions-001.png")
    assert page.shape == (3, 16 + 4, 2 * 34 + 2), "two pairs, two pixels around each"
    assert torch.equal(page[:, 2:18, 2:18], images[3]), "the original stands on the left"
    assert (page[:, 2:18, 18:34] - made[3] * 255).abs().max() <= 1


def test_reconstruct_shows_all_images_where_there_are_few(run, pictures, tmp_path, capsys):
    folder, _ = pictures
    assert status("reconstruct", run.folder, folder, "--out", tmp_path / "made") == 0
    assert "11 images: L1" in capsys.readouterr().out
    assert status("reconstruct", run.folder, folder, "--out", tmp_path / "made", "--count", 12) == 1
    assert "limit 12 is more than the 11 images" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["count", "images", "model"])
def test_reconstructions_of_two_calls_are_not_mixed(run, pictures, tmp_path, capsys, change):
    words = ["reconstruct", run.folder, pictures[0], "--out", tmp_path / "made", "--count", 5]
    assert status(*words) == 0 == status(*words), "the same call again is fine"
    pages = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    if change == "count":
        words[-1] = 6
    elif change == "images":
        write_pictures(pictures[0], 11, seed=5)
    else:
        state = torch.load(run.folder / "checkpoint.pt")
        state["ema"] = {name: value + 1 if value.is_floating_point() else value for name, value in state["ema"].items()}
        save_checkpoint(run.folder / "checkpoint.pt", state)
    assert status(*words) == 1
    said = capsys.readouterr().err
    assert "holds reconstructions of another model or other images, says reconstructions.json" in said
    assert pages == {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    (tmp_path / "mine").mkdir(), (tmp_path / "mine" / "a.txt").write_text("mine")
    assert status(*words[:4], tmp_path / "mine") == 1
    assert "is not empty and holds no reconstructions" in capsys.readouterr().err


# --- Arguments in the wrong place -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["evaluate RUN IMAGES", "evaluate RUN RUN", "encode RUN RUN --out c.npz", "encode IMAGES RUN --out c.npz",
              "data RUN", "data MODEL", "reconstruct RUN RUN --out made", "train --data RUN"],
)  # fmt: skip
def test_the_pictures_of_a_run_are_no_images(run, pictures, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save(run.folder / "reconstructions-000001.png")
    run.model().save_pretrained(tmp_path / "model")
    places = {"RUN": run.folder, "IMAGES": pictures[0], "MODEL": tmp_path / "model"}
    assert status(*(places.get(word, word) for word in words.split())) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "a run or model, not images: " in said
    assert said.endswith("holds model.safetensors" if "MODEL" in words else "holds checkpoint.pt")


def test_a_run_is_measured_at_its_own_size(colours, run, pictures, capsys):
    words = ["evaluate", pictures[0], run.folder, "--count", 9, "--k", 3, "--image-size"]
    assert status(*words, 32) == 1
    said = capsys.readouterr().err
    assert f"--image-size 32: samples of {run.folder} have 16 pixels" in said and said.count("\n") == 1
    assert status(*words, 16) == 0
    assert status("evaluate", pictures[0], pictures[0], "--k", 3, "--image-size", 32) == 0, "folders have any size"


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_an_exported_model_is_no_run(colours, run, pictures, tmp_path, capsys, command):
    run.model().save_pretrained(tmp_path / "model")
    words = {"sample": [tmp_path / "model", "--count", 3, "--out", tmp_path / "made"],
             "evaluate": [pictures[0], tmp_path / "model"]}  # fmt: skip
    assert status(command, *words[command]) == 1
    said = f"{tmp_path / 'model'} is an exported model: this needs a run, which has its codes, too"
    assert capsys.readouterr().err == f"pivq {command}: error: {said}\n"


def test_that_other_code_trained_a_run_is_told(run, tmp_path, capsys):
    summary = {"steps": 8, "heldout_l1": 0.2, "heldout_psnr": 12.0, "codes_in_use": 9, "code": "0123456789abcdef"}
    write_json(run.folder / "summary.json", seal(summary))
    assert status("sample", run.folder, "--count", 3, "--out", tmp_path / "made") == 0
    said = capsys.readouterr().err
    assert f"{run.folder.name} was trained by other code (0123456789abcdef, now {code_digest()})" in said
    write_json(run.folder / "summary.json", seal(summary | {"code": code_digest()}))
    assert status("sample", run.folder, "--count", 3, "--out", tmp_path / "made") == 0
    assert "other code" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["photos.zip", "a.png", "codes.npz", "model/model.safetensors", "model/README.md"])
def test_a_file_of_the_users_own_is_not_to_be_deleted(run, pictures, tmp_path, capsys, name):
    run.model().save_pretrained(tmp_path / "model")
    if not (tmp_path / name).exists():
        (tmp_path / name).write_bytes(b"something else")
    assert status("encode", tmp_path / name, pictures[0], "--out", tmp_path / "made.npz") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "delete" not in said and "train" not in said
    model = f"of an exported model, name the folder: {tmp_path / 'model'}"
    assert said.strip().endswith(model if "/" in name else "; name the folder of a run, or of an exported model")


# --- Inputs stay ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["0.png", "1.png", "../pictures/1.png", "link.png"])
def test_no_animation_replaces_one_of_its_ends(run, pictures, monkeypatch, capsys, out):
    monkeypatch.chdir(pictures[0])
    Path("link.png").symlink_to("0.png")
    before = {name: Path(name).read_bytes() for name in ("0.png", "1.png")}
    assert status("interpolate", "0.png", "1.png", "--model", run.folder, "--out", out) == 2
    assert f"--out {out} is one of the two pictures" in capsys.readouterr().err
    assert before == {name: Path(name).read_bytes() for name in before}


@pytest.mark.parametrize("out", ["", "below/made", "../link"])
def test_no_reconstructions_are_written_among_the_images(run, pictures, tmp_path, capsys, out):
    (tmp_path / "link").symlink_to(pictures[0])
    assert status("reconstruct", run.folder, pictures[0], "--out", pictures[0] / out) == 2
    assert "is in the folder of images" in capsys.readouterr().err and len(os.listdir(pictures[0])) == 11


@pytest.mark.parametrize("name", ["pictures/0.png", "config.json", "list.json", "note.json"])
def test_a_report_replaces_only_a_report(colours, run, pictures, tmp_path, capsys, name):
    path = run.folder / name if name == "config.json" else tmp_path / name
    path.write_bytes(path.read_bytes() if path.exists() else b"[1, 2]" if name == "list.json" else b"mine")
    before = path.read_bytes()
    assert status("evaluate", pictures[0], pictures[0], "--k", 3, "--json", path) == 2
    said = capsys.readouterr().err
    assert ("must end in .json" if name.endswith(".png") else "there, and no report of `pivq evaluate`") in said
    assert path.read_bytes() == before
    report = tmp_path / "report.json"
    for _ in range(2):
        assert status("evaluate", pictures[0], pictures[0], "--k", 3, "--json", report) == 0


# --- What is printed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\x1b]0;owned\x07.jpg", "b\x9b31m.jpg", "c\u202egpj.jpg"])
def test_names_of_strangers_are_shown_and_not_interpreted(run, tmp_path, capsys, name):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / name).write_bytes(b"no picture")
    write_pictures(tmp_path / "images", 3)
    assert status("data", tmp_path / "images") == 0
    words = ["encode", run.folder, tmp_path / "images", "--out", tmp_path / "codes.npz"]
    assert status(*words) == 1 and status(*words, "--on-error", "skip") == 0
    out, err = capsys.readouterr()
    for text in (out, err):
        assert repr(name)[1:-1] in text and not CONTROLS.search(text.replace("\r", ""))


def test_output_that_nobody_reads_ends_quietly(pictures):
    command = f"{sys.executable} -P -m pivq data {shlex.quote(str(pictures[0]))} | true; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) in [(141, ""), (0, "")], "141, or all was written before `true` ended"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_messages_that_cannot_be_written_do_not_end_the_work(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", open("/dev/full", "w"))  # noqa: SIM115
    assert status("sample", run.folder, "--count", 3, "--out", tmp_path / "samples") == 0
    assert capsys.readouterr().out.startswith("3 samples made")
    sys.stderr.close()


@pytest.mark.parametrize("words", [["data", "."], ["doctor"], []])
def test_a_current_folder_that_is_gone_is_told_in_one_line(tmp_path, monkeypatch, capsys, words):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("pivq: error: the current folder is gone") and said.count("\n") == 1


# --- data -------------------------------------------------------------------------------------------------------------


def test_data_says_what_would_be_read(pictures, capsys):
    folder, _ = pictures
    assert status("data", folder) == 0
    assert "pictures  11" in capsys.readouterr().out
    (folder / "none").mkdir()
    assert status("data", folder / "none") == 1
    assert capsys.readouterr().err.startswith("pivq data: error: ")
