"""The arguments of `pivq`: what is wrong is refused with a suggestion, and what the documentation shows is accepted."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pivq
from pivq.commands.argument_types import images, place
from pivq.commands.cli_arguments import EXAMPLES, _build_parser, parse, parse_settings
from pivq.commands.run_all_arguments import _read_notebook
from pivq.config import load_config
from pivq.profiles import RANGES
from pivq.runs.run import run_dir

COMMANDS = ["train", "data", "encode", "decode", "sample", "interpolate", "evaluate", "reconstruct", "download",
            "doctor"]  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_needs_no_installed_package(words):
    command = [sys.executable, "-S", "-m", "pivq", *words]  # -S: no torch, so it comes at once
    environment = os.environ | {"PYTHONPATH": str(Path(pivq.__file__).parent.parent)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    if words == ["--help"]:
        assert all(name in result.stdout for name in COMMANDS)
    if words == ["train", "--help"]:
        assert "(default: quick)" in result.stdout and "--show-settings" in result.stdout


@pytest.mark.parametrize(
    "line, message",
    [
        ("", "usage: pivq"),
        ("trian", "unknown command 'trian'; did you mean train?"),
        ("train --profil quick", "unknown option '--profil'; did you mean --profile?"),
        ("train --profile quik", "unknown profile 'quik'; did you mean quick?"),
        ("train --quantizer matchin", "unknown quantizer 'matchin'; did you mean matching?"),
        ("train --device gpu", "unknown device 'gpu'; known: auto, cpu, cuda"),
        ("train --set train.stepz=3", "unknown setting 'train.stepz'; did you mean train.steps?"),
        ("train --set train.steps", "--set train.steps: expected NAME=VALUE"),
        ("train --set train.steps=many", "train.steps must be a whole number from 1 to 10000000000, such as"),
        ("train --set train.steps=10 --set train.steps=20", "'train.steps' is given twice"),
        ("train --set train.steps=10", "steps 10 must be more than quantize_from_step 1200"),
        ("train --steps 0", "a whole number of at least 1, got '0'"),
        ("train --steps 30", "30 steps are too few: the codebook is fitted 4 times"),
        ("train --budget 2x", "budget '2x' is no time: expected one such as 2h"),
        ("train --steps 900 --budget 2h", "--steps and --budget both say how long to train"),
        ("train --budget 2h --set train.steps=900", "--budget and --set both say how long to train"),
        ("train --precision fp61", "unknown precision 'fp61'; did you mean fp16?"),
        ("train --seed -1", "seed must be a whole number from 0"),
        ("train --profile folder", "needs a folder of images: --data DIR"),
        ("train --data nowhere", "no such folder or zip: 'nowhere'"),
        ("download wieghts", "unknown download 'wieghts'; did you mean weights?"),
        ("download weights --form x", "unknown option '--form'; did you mean --from?"),
        ("download", "the following arguments are required: WHAT"),
        ("doctor --profile folder", "needs a folder of images: --data DIR"),
        ("doctor --profile celeba", "unknown profile 'celeba'"),
        ("train more", "unrecognized arguments: more"),
        (f"train --data {'x' * 30000}", "no such folder or zip: 'xxx"),
        ("train --data ~nobody-of-this-name/faces", "no such folder or zip: '~nobody"),
        (f"sample {'x/' * 3000} --count 3 --out made", "no such folder: 'x/x/"),
        ("evaluate ~nobody-of-this-name .", "no such folder or zip: '~nobody"),
        ("train --on-error skipp", "unknown choice 'skipp'; did you mean skip?"),
        ("train --on-error", "expected one argument"),
        ("train --onerror skip", "unknown option '--onerror'; did you mean --on-error?"),
        ("train --profile folder --data . --layout celebA", "unknown layout 'celebA'; did you mean celeba?"),
        ("train --layout folder", "layout 'folder' is for a folder of images, but profile 'quick' draws its own"),
        ("train --profile celeba64 --layout folder", "profile 'celeba64' needs a folder of images: --data DIR"),
        ("encode run . --out codes.npz --layout flat", "unknown layout 'flat'"),
        ("train --data ''", "--data: the name of a folder or file is empty"),
        ("train --data=", "--data: the name of a folder or file is empty"),
        ("data ' '", "the name of a folder or file is empty"),
        ("data . --layout celebA", "unknown layout 'celebA'; did you mean celeba?"),
        ("encode '' . --out codes.npz", "the name of a folder or file is empty"),
        ("encode run '' --out codes.npz", "the name of a folder or file is empty"),
        ("sample '' --count 3 --out made", "the name of a folder or file is empty"),
        ("sample . --count 3 --out ''", "--out: the name of a folder or file is empty"),
        ("evaluate . '' --k 3", "the name of a folder or file is empty"),
        ("evaluate . . --json ''", "--json: the name of a folder or file is empty"),
        ("reconstruct run . --out ''", "--out: the name of a folder or file is empty"),
        ("encode run .", "required: --out"),
        ("encode run . --ouut codes.npz", "unknown option '--ouut'; did you mean --out?"),
        ("encode run . --out codes.npy", "must end in .npz, got 'codes.npy'"),
        ("encode run nowhere --out codes.npz", "no such folder or zip: 'nowhere'"),
        ("encode run . --out codes.npz --on-error skipp", "unknown choice 'skipp'; did you mean skip?"),
        ("encode run . --out codes.npz --batch-size 0", "a whole number of at least 1, got '0'"),
        ("decode nowhere.npz --model run --out made", "no such file of codes: 'nowhere.npz'"),
        ("decode codes.txt --model run --out made", "must end in .npz or .npy or .csv or .json, got 'codes.txt'"),
        ("decode '' --model run --out made", "must end in .npz"),
        ("interpolate nowhere.png . --model run --out a.gif", "no such picture: 'nowhere.png'"),
        ("interpolate . . --model run --out a.gif", "a folder, not a picture: '.'"),
        ("interpolate a.png --model run --out a.gif --loops", "unknown option '--loops'; did you mean --loop?"),
        ("train --log tensorbord", "unknown tracker 'tensorbord'; did you mean tensorboard?"),
        ("sample nowhere --count 3 --out made", "no such folder: 'nowhere'"),
        ("sample . --count 3 --out made --seed x", "a whole number of at least 0, got 'x'"),
        ("evaluate . . --features inceptoin", "unknown feature network 'inceptoin'; did you mean inception?"),
        ("evaluate . . --k 3 0", "a whole number of at least 1, got '0'"),
    ],
)
def test_bad_usage_ends_with_2_and_says_what_was_meant(line, message, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(shlex.split(line))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_length_scales_the_schedule_and_a_setting_goes_before_it():
    arguments = parse(shlex.split("train --steps 1700 --set train.history_steps=60"))
    train = arguments.config.train
    assert (train.steps, train.quantize_from_step, train.history_steps) == (1700, 600, 60)
    assert arguments.configure(steps=850).train.history_steps == 60
    assert arguments.configure(steps=0) == parse(["train", "--set", "train.history_steps=60"]).config


def test_how_images_are_read_is_an_option_of_every_command_that_reads_some(tmp_path):
    reading = ["--layout", "celeba", "--on-error", "skip"]
    config = parse(["train", "--profile", "folder", "--data", str(tmp_path), *reading]).config
    assert (config.layout, config.on_error) == ("celeba", "skip")
    for line in ("encode run . --out c.npz", "evaluate . .", "reconstruct run . --out ../made"):
        plain, given = parse(shlex.split(line)), parse([*shlex.split(line), *reading])
        assert (plain.layout, plain.on_error) == ("folder", "raise")
        assert (given.layout, given.on_error) == ("celeba", "skip")


def test_whatever_takes_images_takes_how_they_are_read(checkout):
    decides_nothing = {"data", "doctor"}  # of --on-error: these decode nothing
    for name, command in _build_parser()[1].items():
        takes = {action.dest for action in command._actions if action.type in (images, place)}
        assert ("--layout" in command.flags) == bool(takes), name
        assert ("--on-error" in command.flags) == (bool(takes) and name not in decides_nothing), name
    config = parse(["doctor", "--profile", "folder", "--data", ".", "--layout", "celeba"]).config
    assert config.layout == "celeba"
    for path in (checkout / "notebooks").glob("*.ipynb"):
        defaults = _read_notebook(path).defaults
        assert "data" not in defaults or {"layout", "on_error"} <= defaults.keys(), path.name


def test_settings_are_read_in_the_type_of_the_usual_value():
    entries = ["train.steps=1500", "train.learning_rate=1", "model.attention_sizes=8", "train.adam_betas=0.5,0.9",
               "evaluation.features=inception", "model.channel_multipliers=[1, 2]"]  # fmt: skip
    values = parse_settings("quick", entries)
    assert values == {
        "train__steps": 1500, "train__learning_rate": 1.0, "model__attention_sizes": (8,),
        "train__adam_betas": (0.5, 0.9), "evaluation__features": "inception", "model__channel_multipliers": (1, 2),
    }  # fmt: skip
    assert type(values["train__learning_rate"]) is float


NO_NUMBERS = ["inf", "-inf", "nan", "1e400", "-1e400", "-0.0", "1_0", "0x10", "0b1", "0o7", "True", "None", "1+1", "1j",
              "", "'3'", "many", "9" * 400, "[[1]]", "{1}", "\u0663"]  # fmt: skip


@pytest.mark.parametrize("name", [name for name, allowed in RANGES.items() if "." in name and allowed.kind is not str])
def test_no_setting_takes_what_is_no_number_in_its_range(name, capsys):
    for text in NO_NUMBERS if RANGES[name].kind is not bool else ["1", "0", "yes", "true", "None", ""]:
        with pytest.raises(ValueError) as refused:
            parse_settings("quick", [f"{name}={text}"])
        said = str(refused.value)
        assert said.startswith(f"{name} must be {RANGES[name]}, such as ") and said.endswith(f"got {text!r:.80}")
    with pytest.raises(SystemExit) as left:
        parse(["train", "--set", f"{name}=nan"])
    assert left.value.code == 2 and f"{name} must be {RANGES[name]}, such as" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1_0", "0x10", "1.5", "True", "\u0663", "1e3", ""])
@pytest.mark.parametrize("option", ["--seed", "--steps"])
def test_whole_numbers_of_a_command_line_are_decimal_ones(option, text, capsys):
    with pytest.raises(SystemExit) as left:
        parse(["train", option, text])
    assert left.value.code == 2 and f"{text!r}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["command_line", "sharing"])
def test_every_command_of_the_documentation_is_accepted(checkout, name, tmp_path, monkeypatch):
    text = (checkout / "docs" / f"{name}.md").read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```", text.replace("\\\n", " "), re.M | re.S)
    commands = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    monkeypatch.chdir(tmp_path)
    made_by_the_default_run = f"results/quick/{run_dir(load_config('quick'), 'matching').name}"
    assert set(re.findall(r"results/quick/matching[\w-]+", text)) == {made_by_the_default_run}
    Path("figures").symlink_to(checkout / "figures")
    for folder in ("docs", "faces", "photos", "samples", made_by_the_default_run):
        Path(folder).mkdir(parents=True)
    decoded = sorted(set(re.findall(r"faces/[\w-]+\.png", text)))
    for file in ("codes.npz", "mine.csv", "anna.jpg", "ben.jpg", *decoded):
        Path(file).touch()
    seen = set()
    for words in map(shlex.split, filter(None, commands)):
        if words[:3] == ["python", "-m", "pivq"]:
            words = words[2:]
        if words[0] == "pivq":
            seen.add(parse(words[1:]).command)
        else:
            assert words[:2] in (["pip", "install"], ["hf", "auth"]), words
    assert seen == set(COMMANDS) or name == "sharing"


def test_every_help_has_examples_and_they_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "samples", "RUN"):
        Path(folder).mkdir()
    for file in ("codes.npz", "mine.csv", "anna.jpg", "ben.jpg", "photos.zip"):
        Path(file).touch()
    assert list(EXAMPLES) == COMMANDS
    for name, lines in EXAMPLES.items():
        for line in lines:
            assert parse([name, *shlex.split(line)]).command == name
    for words in (["--steps", "1"], ["--duration", "0"], ["--scale", "0"]):
        with pytest.raises(SystemExit):
            parse(["interpolate", "anna.jpg", "ben.jpg", "--model", "RUN", "--out", "a.gif", *words])


NONSENSE = """train.learning_rate=-1.0 train.learning_rate=1e999 train.learning_rate=0.0 train.ema_decay=1.5
train.ema_decay=-1 train.ema_every=0 model.heads=0 model.dim=0 model.channel_multipliers=() model.channel_multipliers=0
model.patch_size=0 model.codebook_size=0 model.num_codes=0 model.num_codes=99999 model.num_codes=65
model.transformer_layers=0 model.transformer_layers=10000000 model.residual_blocks=-1 evaluation.checkpoint_every=0
evaluation.validate_every=-7 evaluation.prdc_k=() evaluation.prdc_k=0 evaluation.prdc_k=-5 evaluation.probe_folds=0
evaluation.samples=-1 evaluation.samples=0 evaluation.features=vgg train.perceptual_network=vgg train.nonfinite_limit=0
train.gradient_clip=-1 train.warmup_steps=-1 train.decay_from=-1 train.decay_from=2 train.adam_betas=2.0,0.9
train.adam_betas=0.9, train.weight_decay=-1 train.reconstruction_weight=-1 train.commitment_weight=-1
train.codebook_initialisations=-1 train.discriminator_from_step=-1 train.discriminator_width=0
train.discriminator_layers=-1 train.discriminator_layers=9 train.adversarial_limit=-1 train.batch_size=0
train.batch_size=481 train.quantize_from_step=-1 train.train_images=-1 model.query_key_gain=1e999 model.image_size=0
model.image_size=1000000000 model.width=100000000 dataset=celebA train.steps=0 train.history_steps=0"""


@pytest.mark.parametrize("setting", NONSENSE.split())
def test_a_setting_that_cannot_be_ends_with_2_and_its_name(setting, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["train", "--profile", "smoke", "--set", setting])
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert setting.split("=")[0].rpartition(".")[2] in error and "train: error:" in error


def test_more_codes_than_the_codebook_has_suit_the_nearest_quantizer_alone(capsys):
    words = ["train", "--profile", "smoke", "--set", "model.num_codes=65", "--quantizer"]
    assert parse([*words, "nearest"]).config.model.num_codes == 65
    with pytest.raises(SystemExit):
        parse([*words, "both"])
    assert "model.num_codes must be at most model.codebook_size 64 for matching" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{[]: 1}", "[" * 5000, "9" * 5000, "-" * 5000 + "1", "\x00", "{**{}}"])
def test_texts_that_python_cannot_read_are_told_as_of_another_type(text):
    with pytest.raises(ValueError, match="train.steps must be a whole number from 1 to 10000000000, such as"):
        parse_settings("quick", [f"train.steps={text}"])


def test_help_is_shown_where_output_is_not_utf8():
    for encoding in ("ascii", "iso-8859-1"):
        command = [sys.executable, "-S", "-P", "-m", "pivq", "sample", "--help"]
        environment = os.environ | {"PYTHONPATH": str(Path(pivq.__file__).parent.parent), "PYTHONIOENCODING": encoding}
        result = subprocess.run(command, env=environment, capture_output=True)
        assert result.returncode == 0 and b"pairs.csv" in result.stdout, result.stderr
