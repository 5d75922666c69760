"""The command line of `pivq`: its commands and their arguments, parsed and checked.

This module needs only the standard library, so that `--help` and a wrong argument are answered at once.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pivq
from pivq.commands.argument_types import (
    at_least,
    budget,
    file,
    folder,
    grid_path,
    images,
    images_or_model,
    inside,
    known,
    named,
    new_file,
    new_folder,
    place,
    report_file,
    same,
    seconds,
)
from pivq.commands.download import TARGETS
from pivq.commands.run_all_arguments import DEVICES, parse_literal, whole
from pivq.commands.settings_table import settings_text
from pivq.config import load_config, suggestion
from pivq.profiles import FEATURE_NETWORKS, LAYOUTS, ON_ERROR, PRECISIONS, PROFILES, RANGES
from pivq.rivals.recipe.settings import CHANGES, as_recipe

CODE_FILES = (".npz", ".npy", ".csv", ".json")
PATH_FILES = (".gif", ".webp", ".png")
TRACKERS, QUANTIZERS = ["tensorboard"], ["matching", "nearest", "both"]
Add = Callable[..., argparse.Action]  # the method `add_argument` of a command's parser
EXAMPLES = {
    "train": ["--profile quick --quantizer both", "--profile celeba64 --data photos --device cuda --log tensorboard",
              "--profile celeba64_short --quantizer both --data photos --budget 2h",
              "--profile quick --set train.steps=1500 --set train.quantize_from_step=600", "--recipe improved"],
    "data": ["photos", "photos.zip --layout celeba"],
    "encode": ["RUN photos --out codes.npz"],
    "decode": ["codes.npz --model RUN --out pictures", "mine.csv --model RUN --out pictures --grid"],
    "sample": ["RUN --count 5000 --out samples --grid"],
    "interpolate": ["anna.jpg ben.jpg --model RUN --out path.gif --loop",
                    "anna.jpg ben.jpg --model RUN --out path.png --steps 8 --seed 3"],
    "evaluate": ["photos samples --k 3 5 --json quality.json", "photos RUN --count 5000"],
    "reconstruct": ["RUN photos --out reconstructions --count 64"],
    "download": ["weights", "weights --from https://mirror.example/files"],
    "doctor": ["", "--profile celeba64 --data photos"],
}  # fmt: skip


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check a command line; load and do nothing yet.

    Raises:
        SystemExit: with status 2 and a message for a bad argument; with 0 after `--help`.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser, commands = _build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        parser.exit(2)
    if not argv[0].startswith("-") and argv[0] not in commands:
        parser.error(f"unknown command {argv[0]!r}{suggestion(argv[0], list(commands))}")
    arguments = parser.parse_args(argv)
    if getattr(arguments, "grid", False) and (overview := grid_path(arguments.out)).is_dir():
        commands[arguments.command].error(f"the overview of --grid would be {overview}, but that is a folder")
    if fault := _replaces_input(arguments):
        commands[arguments.command].error(fault)
    if arguments.command == "train":
        try:
            overrides = parse_settings(arguments.profile, arguments.set)
            lengths = {"--steps": arguments.steps, "--budget": arguments.budget, "--set": "train__steps" in overrides}
            if len(given := [name for name, value in lengths.items() if value]) > 1:
                raise ValueError(f"{' and '.join(given)} both say how long to train: give one of them")
            overrides |= {"layout": arguments.layout or "", "on_error": arguments.on_error}
            arguments.configure = partial(
                load_config, arguments.profile, arguments.seed, arguments.data or "", **overrides
            )
            arguments.config = arguments.configure(steps=arguments.steps)
            if arguments.recipe and (arguments.quantizer != "matching" or arguments.budget or arguments.log):
                raise ValueError("--recipe trains with matching, for steps, and has no --log or --budget")
            arguments.trained = as_recipe(arguments.recipe or "as trained").settings(arguments.config)
            sizes = arguments.config.model
            if arguments.quantizer != "nearest" and sizes.num_codes > sizes.codebook_size:
                raise ValueError(
                    f"model.num_codes must be at most model.codebook_size {sizes.codebook_size} for matching, which "
                    f"gives each latent a code of its own, got {sizes.num_codes}"
                )
        except ValueError as error:
            commands["train"].error(str(error))
    if arguments.command == "doctor":
        try:
            place = {"data": arguments.data or "", "layout": arguments.layout or ""}
            arguments.config = load_config(arguments.profile, **place)
        except ValueError as error:
            commands["doctor"].error(str(error))
    return arguments


def _replaces_input(arguments: argparse.Namespace) -> str:
    """Say which input the results would replace, or be taken for at the next call; "" if none."""
    out = getattr(arguments, "out", None)
    if arguments.command == "interpolate":
        for path in (arguments.first, arguments.last):
            if same(out, path):
                return f"--out {out} is one of the two pictures: choose another file"
    if arguments.command == "reconstruct" and arguments.images.is_dir() and inside(out, arguments.images):
        return f"--out {out} is in the folder of images, which would have the results among them: choose another"
    return ""


def parse_settings(profile: str, entries: Sequence[str]) -> dict[str, Any]:
    """Return settings given as `train.steps=100`, by name as `pivq.config.load_config` takes them.

    Raises:
        ValueError: no `=`, an unknown setting (with a suggestion), one given twice, or a value of another type or out
            of its range.
    """
    values: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ValueError(f"--set {entry}: expected NAME=VALUE, such as train.steps=100")
        if name not in PROFILES[profile]:
            raise ValueError(f"unknown setting {name!r}{suggestion(name, list(PROFILES[profile]))}")
        key = name.replace(".", "__")
        if key in values:
            raise ValueError(f"setting {name!r} is given twice")
        values[key] = _parse_value(name, text, usual=PROFILES[profile][name][0])
    return values


def _parse_value(name: str, text: str, usual: Any) -> Any:
    """Return the value of a setting in the type of its usual one; names are checked with the other settings."""
    value = parse_literal(text)
    if isinstance(usual, str):
        return value if isinstance(value, str) else text
    if isinstance(usual, tuple) and not isinstance(value, str):
        value = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not RANGES[name].holds(value):
        raise ValueError(f"{name} must be {RANGES[name]}, such as {usual}, got {text!r:.80}")
    return float(value) if isinstance(usual, float) else value


class _Parser(argparse.ArgumentParser):
    """A parser that suggests the right spelling of an option, even if a required argument is missing."""

    flags: tuple[str, ...] = ()

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        self.flags += tuple(name for name in names if name.startswith("--"))
        return super().add_argument(*names, **settings)

    def parse_known_args(self, args=None, namespace=None):
        for word in args or []:
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in ("--", *self.flags):
                self.error(f"unknown option {flag!r}{suggestion(flag, list(self.flags))}")
        return super().parse_known_args(args, namespace)


def _build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser and those of its commands."""
    parser = argparse.ArgumentParser(
        prog="pivq",
        description="PI-VQ without a notebook: train a model, turn images into codes, codes into images.",
        epilog="`pivq COMMAND --help` explains a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pivq {pivq.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for add_command in (_add_train, _add_data, _add_encode, _add_decode, _add_sample, _add_interpolate, _add_evaluate,
                        _add_reconstruct, _add_download, _add_doctor):  # fmt: skip
        add_command(commands)
    return parser, commands.choices


def _add_command(commands: Any, name: str, description: str, epilog: str | None = None) -> Add:
    """Add a command with the options that all commands have; return the function that adds its own."""
    examples = ["examples:", *(f"  pivq {name} {words}".rstrip() for words in EXAMPLES[name])]
    if any("RUN" in words for words in EXAMPLES[name]):
        examples.append("RUN is a folder such as results/quick/matching-seed0-…, which `pivq train` prints.")
    parser = commands.add_parser(
        name, help=description, description=description, allow_abbrev=False,
        epilog="\n".join([*examples, *(["", epilog] if epilog else [])]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--device", type=known("device", DEVICES), default="auto",
        help="auto, cpu or cuda (default: auto, a GPU if there is one)")  # fmt: skip
    add("--debug", action="store_true", help="show the traceback of an error")
    return add


def _add_model_and_images(add: Add) -> None:
    add("model", type=named, metavar="RUN_OR_MODEL", help="folder of a run, exported model, or Hub id owner/name")
    add("images", type=images, metavar="IMAGES", help="folder or zip of aligned images")


def _add_model_option(add: Add) -> None:
    add("--model", type=named, required=True, metavar="RUN_OR_MODEL",
        help="folder of a run, exported model, or Hub id owner/name")  # fmt: skip


def _add_reading(add: Add, usual: str, default: str | None = None) -> None:
    """Add what decides how files become images; `usual` is the layout in words, if none is given."""
    _add_layout(add, usual, default)
    add("--on-error", type=known("choice", ON_ERROR), default="raise", metavar="raise|skip",
        help="what to do with images that cannot be read: end with a list of them, or leave them out with a warning "
        "(default: raise)")  # fmt: skip


def _add_layout(add: Add, usual: str, default: str | None = None) -> None:
    add("--layout", type=known("layout", LAYOUTS), default=default, metavar="NAME",
        help=f"read the files as {', '.join(LAYOUTS)} (default: {usual})")  # fmt: skip


def _add_train(commands: Any) -> None:
    epilog = "Settings of the profile quick, each with its source; --show-settings shows those of other profiles.\n\n"
    epilog += settings_text(load_config("quick"))
    add = _add_command(commands, "train", "Train a model, or resume an interrupted training.", epilog)
    add("--profile", type=known("profile", list(PROFILES)), default="quick", metavar="NAME",
        help=f"settings: {', '.join(PROFILES)} (default: quick)")  # fmt: skip
    add("--quantizer", type=known("quantizer", QUANTIZERS), default="matching", metavar="NAME",
        help="matching, nearest or both (default: matching, the paper's)")  # fmt: skip
    add("--recipe", type=known("recipe", ["improved", *CHANGES]), metavar="NAME",
        help="another training than the paper's, with matching (notebook 16): improved, or one change")  # fmt: skip
    add("--seed", type=whole, default=0, metavar="N", help="seed of every random choice (default: 0)")
    add("--data", type=images, metavar="DIR",
        help="folder or zip of the data set (default: its place in data/; the profile folder needs one)")  # fmt: skip
    _add_reading(add, "the profile's, or recognised")
    add("--steps", type=at_least(1), default=0, metavar="N",
        help="train N steps, with the profile's whole schedule in proportion; --set changes one setting alone")
    add("--budget", type=budget, metavar="TIME",
        help="train as long as fits a time such as 2h or 90min: measures, then scales as --steps does")  # fmt: skip
    add("--precision", type=known("precision", PRECISIONS), metavar="NAME",
        help=f"{', '.join(PRECISIONS)} (default: auto, half precision on GPUs)")  # fmt: skip
    add("--compile", action="store_true", help="compile the blocks of the model; on GPUs")
    add("--log", type=known("tracker", TRACKERS), metavar="NAME",
        help="also show losses, measures and pictures in tensorboard: tensorboard --logdir results")  # fmt: skip
    add("--set", action="append", default=[], metavar="NAME=VALUE",
        help="change a setting, such as train.steps=100; may be repeated")  # fmt: skip
    add("--show-settings", action="store_true",
        help="print each setting with its value and source (paper, base code, assumption); train nothing")  # fmt: skip


def _add_data(commands: Any) -> None:
    add = _add_command(commands, "data", "Say what would be read from a folder or zip of images, and what not.")
    add("images", type=images, metavar="DIR", help="folder or zip of images")
    _add_layout(add, "recognised by the files' names")
    add("--image-size", type=at_least(1), default=64, metavar="PIXELS", help="size to read it at (default: 64)")


def _add_encode(commands: Any) -> None:
    add = _add_command(commands, "encode", "Write the codes of a folder of images to a file.")
    _add_model_and_images(add)
    add("--out", type=new_file(".npz"), required=True, metavar="FILE.npz",
        help="file to write: codes (N, L) and ids (N,)")  # fmt: skip
    add("--batch-size", type=at_least(1), default=64, metavar="N", help="images at a time (default: 64)")
    _add_reading(add, "folder, all pictures", "folder")


def _add_decode(commands: Any) -> None:
    add = _add_command(commands, "decode", "Write the images of codes: what `encode` wrote, or a list of your own.")
    add("codes", type=file("file of codes", *CODE_FILES), metavar="CODES",
        help="file of codes: .npz of `pivq encode`; .npy (N, L); .csv, a line per image; .json, lists or lists by name")
    _add_model_option(add)
    add("--out", type=new_folder, required=True, metavar="DIR", help="folder for the pictures, named by the ids")
    add("--grid", action="store_true", help="also write DIR-grid.png, an overview of the first 64")
    add("--any-model", action="store_true", help="decode codes although another model made them")


def _add_interpolate(commands: Any) -> None:
    add = _add_command(commands, "interpolate", "Walk from one picture to another, code by code: an animation.")
    add("first", type=file("picture"), metavar="A", help="picture where the path starts")
    add("last", type=file("picture"), metavar="B", help="picture where it ends")
    _add_model_option(add)
    add("--out", type=new_file(*PATH_FILES), required=True, metavar="FILE",
        help=".gif or .webp: an animation; .png: a sheet of its pictures")  # fmt: skip
    add("--seed", type=at_least(0, 2**64 - 1), default=0, metavar="N",
        help="which of the many paths: the order in which codes are exchanged (default: 0)")  # fmt: skip
    add("--steps", type=at_least(2), metavar="N",
        help="pictures, both ends included (default: all, one more than there are codes to exchange)")  # fmt: skip
    add("--duration", type=seconds, default=3.0, metavar="SECONDS", help="of the way from A to B (default: 3)")
    add("--loop", action="store_true", help="play it back to A, and again, forever (default: once)")
    add("--scale", type=at_least(1, 100), metavar="N",
        help="enlarge each picture by this factor (default: an animation to at least 256 pixels, a sheet not)")


def _add_sample(commands: Any) -> None:
    add = _add_command(commands, "sample", "Write new images, each from the codes of two training images.")
    add("run_folder", type=folder, metavar="RUN", help="folder of a finished run")
    add("--count", type=at_least(1), required=True, metavar="N", help="number of images")
    add("--out", type=new_folder, required=True, metavar="DIR",
        help="folder for 000000.png, … and pairs.csv (the parents)")  # fmt: skip
    add("--seed", type=at_least(0), metavar="N", help="seed of the samples (default: the run's)")
    add("--grid", action="store_true", help="also write DIR-grid.png, an overview of the first 64")


def _add_evaluate(commands: Any) -> None:
    add = _add_command(commands, "evaluate", "Compare images with real ones: the five metrics of Table 3.")
    add("real", type=images, metavar="REAL", help="folder or zip of real images")
    add("fake", type=images_or_model, metavar="FAKE", help="folder or zip of images, or a run to draw samples from")
    add("--features", type=known("feature network", FEATURE_NETWORKS), default="efficientnet_lite0", metavar="NAME",
        help=f"{' or '.join(FEATURE_NETWORKS)} (default: efficientnet_lite0, which needs no download)")  # fmt: skip
    add("--k", type=at_least(1), nargs="+", default=[3, 5], metavar="K",
        help="neighbours of precision, recall, density, coverage (default: 3 5)")  # fmt: skip
    add("--count", type=at_least(1, RANGES["evaluation.samples"].most), metavar="N",
        help="of a run: samples to draw (default: as in its profile)")  # fmt: skip
    add("--seed", type=at_least(0), metavar="N", help="of a run: seed of the samples (default: the run's)")
    add("--image-size", type=at_least(1), metavar="PIXELS",
        help="size to resize both folders to (default: that of FAKE's first image; a run has its own)")  # fmt: skip
    add("--json", type=report_file, metavar="FILE.json", help="also write the numbers and the protocol to this file")
    _add_reading(add, "folder, all pictures", "folder")


def _add_reconstruct(commands: Any) -> None:
    add = _add_command(commands, "reconstruct", "Show images next to their reconstructions.")
    _add_model_and_images(add)
    add("--out", type=new_folder, required=True, metavar="DIR", help="folder for reconstructions-000.png, …")
    add("--count", type=at_least(1), metavar="N",
        help="number of images, from the start of the folder (default: 64, or all if there are fewer)")  # fmt: skip
    _add_reading(add, "folder, all pictures", "folder")


def _add_download(commands: Any) -> None:
    add = _add_command(commands, "download", "Download weights or labels, after saying size, source and licence.",
                       "weights      VGG16 (for LPIPS) and Inception (for FID), to the cache of torch\n"
                       "celeba       says how to get it: its terms are yours to accept\n"
                       "ffhq-labels  the attribute files of FFHQ, to data/ffhq/json/")  # fmt: skip
    add("what", type=known("download", TARGETS), metavar="WHAT", help=", ".join(TARGETS))
    add("--from", dest="source", type=named, metavar="DIR|URL",
        help="folder, or address of one, that holds the files under their usual names (default: where they are "
        "published)")  # fmt: skip


def _add_doctor(commands: Any) -> None:
    add = _add_command(commands, "doctor", "Say what a profile needs, what is there, and what brings the rest.")
    add("--profile", type=known("profile", list(PROFILES)), default="quick", metavar="NAME",
        help=f"{', '.join(PROFILES)} (default: quick)")  # fmt: skip
    add("--data", type=place, metavar="DIR", help="folder or zip of the data set (default: its place in data/)")
    _add_layout(add, "the profile's, or recognised")
