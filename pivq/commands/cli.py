"""The command `pivq`: train, encode, sample, evaluate and reconstruct without a notebook.

The top of this module needs the standard library alone, so that `--help` and a mistyped argument are answered at once.
"""

import argparse
import ast
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pivq
from pivq.commands.run_all_arguments import DEVICES
from pivq.config import Config, load_config, suggestion
from pivq.profiles import FEATURE_NETWORKS, PROFILES

FAILED, INTERRUPTED = 1, 130  # exit statuses; argparse's own is 2, for bad usage
QUANTIZERS = ["matching", "nearest", "both"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit status: 0, or 1 after a one-line error, or 130 after Ctrl-C.

    Warnings are a line each, without the place in the code.

    Args:
        argv: the arguments without the program's name; `sys.argv` when None.

    Raises:
        SystemExit: with status 2 for a bad argument; with 0 after `--help`.
    """
    arguments = parse(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"pivq {arguments.command}: {message}", file=sys.stderr)
            arguments.run(arguments)
    except KeyboardInterrupt:
        print("\nInterrupted. Give the same command again to go on.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if arguments.debug:
            raise
        print(f"pivq {arguments.command}: error: {one_line(error)}", file=sys.stderr)
        return FAILED
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check a command line; nothing is loaded or done yet.

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
    if arguments.command == "train":
        try:
            overrides = parse_settings(arguments.profile, arguments.set)
            arguments.config = load_config(arguments.profile, arguments.seed, arguments.data or "", **overrides)
        except ValueError as error:
            commands["train"].error(str(error))
    return arguments


def parse_settings(profile: str, entries: Sequence[str]) -> dict[str, Any]:
    """Return settings given as `train.steps=100`, by name as `pivq.config.load_config` takes them.

    Raises:
        ValueError: no `=`, an unknown setting (with a suggestion), one given twice, or a value of another type.
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


def one_line(error: BaseException) -> str:
    """Return an error's message in a line: of a long one the first two lines and the last, which hold what matters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    expected = isinstance(error, OSError | ValueError | RuntimeError | ImportError)
    kind = "" if expected else f"{type(error).__name__}: "  # of a fault in the program, to report it
    text = " ".join(lines)
    return kind + (text if len(text) <= 400 or len(lines) < 4 else f"{lines[0]} {lines[1]} … {lines[-1]}")


class _Parser(argparse.ArgumentParser):
    """A parser that answers a misspelt option with a suggestion, even where a required one is missing."""

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
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    def command(
        name: str, run: Callable[[argparse.Namespace], None], description: str, epilog: str | None = None
    ) -> argparse.ArgumentParser:
        made = subparsers.add_parser(
            name, help=description, description=description, epilog=epilog, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        made.add_argument("--device", type=_known("device", DEVICES), default="auto",
                          help="auto, cpu or cuda (default: auto, a GPU if there is one)")  # fmt: skip
        made.add_argument("--debug", action="store_true", help="show the traceback of an error")
        made.set_defaults(run=run)
        return made

    def on_error(add: Callable[..., argparse.Action]) -> None:
        add("--on-error", type=_known("choice", ["raise", "skip"]), default="raise", metavar="raise|skip",
            help="what to do about files that cannot be read (default: raise)")  # fmt: skip

    model_help = "folder of a run, exported model, or Hub id owner/name"
    settings = "Settings of the profile quick, each with its source; --show-settings shows those of another.\n\n"
    settings += _settings_table(load_config("quick"))
    add = command("train", _train, "Train a model, or go on with one that was interrupted.", settings).add_argument
    add("--profile", type=_known("profile", list(PROFILES)), default="quick", metavar="NAME",
        help=f"settings: {', '.join(PROFILES)} (default: quick)")  # fmt: skip
    add("--quantizer", type=_known("quantizer", QUANTIZERS), default="matching", metavar="NAME",
        help="matching, nearest or both (default: matching, the paper's)")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="of every random choice (default: 0)")
    add("--data", type=_images, metavar="DIR",
        help="folder or zip of the data set (default: its place in data/; the profile folder has none)")  # fmt: skip
    add("--set", action="append", default=[], metavar="NAME=VALUE",
        help="change a setting, such as train.steps=100; may be repeated")  # fmt: skip
    add("--show-settings", action="store_true",
        help="print each setting with its value and source (paper, base code, assumption); train nothing")  # fmt: skip

    add = command("encode", _encode, "Write the codes of a folder of images to a file.").add_argument
    add("model", metavar="RUN_OR_MODEL", help=model_help)
    add("images", type=_images, metavar="IMAGES", help="folder or zip of aligned images")
    add("--out", type=_npz, required=True, metavar="FILE.npz", help="gets codes (N, L) and ids (N,)")
    add("--batch-size", type=_positive, default=64, metavar="N", help="images at a time (default: 64)")
    on_error(add)

    add = command("sample", _sample, "Write new images, each from the codes of two training images.").add_argument
    add("run_folder", type=_folder, metavar="RUN", help="folder of a finished run")
    add("--count", type=_positive, required=True, metavar="N", help="images in all")
    add("--out", type=Path, required=True, metavar="DIR", help="gets 000000.png, … and pairs.csv with the parents")
    add("--seed", type=_seed, metavar="N", help="of the pairs and what is drawn from them (default: the run's)")
    add("--grid", action="store_true", help="also write DIR-grid.png, an overview of the first 64")

    add = command("evaluate", _evaluate, "Compare images with real ones: the five metrics of Table 3.").add_argument
    add("real", type=_images, metavar="REAL", help="folder or zip of real images")
    add("fake", type=_images, metavar="FAKE", help="folder or zip of images, or a run to draw samples from")
    add("--features", type=_known("feature network", FEATURE_NETWORKS), default="efficientnet_lite0", metavar="NAME",
        help=f"{' or '.join(FEATURE_NETWORKS)} (default: efficientnet_lite0, which needs no download)")  # fmt: skip
    add("--k", type=_positive, nargs="+", default=[3, 5], metavar="K",
        help="neighbours of precision, recall, density, coverage (default: 3 5)")  # fmt: skip
    add("--count", type=_positive, metavar="N", help="of a run: samples to draw (default: as its profile says)")
    add("--seed", type=_seed, metavar="N", help="of a run: seed of the samples (default: the run's)")
    add("--image-size", type=_positive, metavar="PIXELS",
        help="size both are brought to (default: that of the run, or of the first image of FAKE)")  # fmt: skip
    add("--json", type=Path, metavar="FILE.json", help="write the numbers and the protocol there too")
    on_error(add)

    add = command("reconstruct", _reconstruct, "Show images beside what the model makes of them.").add_argument
    add("model", metavar="RUN_OR_MODEL", help=model_help)
    add("images", type=_images, metavar="IMAGES", help="folder or zip of aligned images")
    add("--out", type=Path, required=True, metavar="DIR", help="gets reconstructions-000.png, …")
    add("--count", type=_positive, default=64, metavar="N", help="images, the first of the folder (default: 64)")
    on_error(add)
    return parser, subparsers.choices


# --- The commands: torch is loaded only here --------------------------------------------------------------------------


def _train(arguments: argparse.Namespace) -> None:
    config = arguments.config
    if arguments.show_settings:
        return print(_settings_table(config))
    from pivq.runs.cost import measure_cost
    from pivq.runs.parallel import train_together
    from pivq.runs.run import run_dir
    from pivq.runs.training import train

    first = os.environ.get("RANK", "0") == "0"  # of several processes the first one reports
    quantizers = ["matching", "nearest"] if arguments.quantizer == "both" else [arguments.quantizer]
    if not any(run_dir(config, quantizer).exists() for quantizer in quantizers):
        price = measure_cost(config, quantizers[0], arguments.device)
        if first:
            print(f"Each run: {price}", file=sys.stderr)
    if len(quantizers) > 1:
        runs = train_together([(config, quantizer) for quantizer in quantizers], arguments.device)
    else:
        runs = [train(config, quantizers[0], arguments.device)]
    if not first:
        return
    for run in runs:
        figures = run.summary
        print(
            f"{run.quantizer}: {figures['steps']:,} steps, held-out L1 {figures['heldout_l1']:.4f}, "
            f"PSNR {figures['heldout_psnr']:.2f} dB, {figures['codes_in_use']} of {config.model.codebook_size} codes "
            f"in use\n{run.folder}"
        )


def _encode(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs

    model = _load_model(arguments)
    dataset = jobs.load_folder(arguments.images, model.config.image_size, on_error=arguments.on_error)
    new = jobs.encode_dataset(model, dataset, arguments.out, arguments.batch_size)
    size = f"{len(dataset):,} images, {model.config.num_codes} codes each"
    print(f"{size}: {'written to' if new else 'already there, in'} {arguments.out}")


def _sample(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs
    from pivq.processes import pick_device
    from pivq.runs.run import open_run

    run = open_run(arguments.run_folder)
    seed = run.config.seed if arguments.seed is None else arguments.seed
    made = jobs.write_samples(run, arguments.count, arguments.out, seed, pick_device(arguments.device))
    kept = f", {arguments.count - made:,} were there" if made < arguments.count else ""
    print(f"{made:,} samples made{kept}: {arguments.out}")
    if arguments.grid:
        print(f"overview: {jobs.write_grid(arguments.out, arguments.count)}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs
    from pivq.pretrained.features import load_feature_network
    from pivq.processes import pick_device
    from pivq.runs.run import open_run
    from pivq.storage.writing import atomic_write

    run = open_run(arguments.fake) if (arguments.fake / "config.json").is_file() else None
    if run is None and (arguments.count or arguments.seed is not None):
        raise ValueError(f"--count and --seed are for samples of a run, and {arguments.fake} is a folder of images")
    size = arguments.image_size or (run.config.model.image_size if run else jobs.picture_size(arguments.fake))
    network = load_feature_network(arguments.features, pick_device(arguments.device))
    real = jobs.load_folder(arguments.real, size, on_error=arguments.on_error)
    if run:
        count = arguments.count or run.config.evaluation.samples
        seed = run.config.seed if arguments.seed is None else arguments.seed
        report = jobs.evaluate_run(real, run, count, seed, network, arguments.k)
    else:
        fake = jobs.load_folder(arguments.fake, size, on_error=arguments.on_error)
        report = jobs.evaluate_images(real, fake, network, arguments.k)
    report["image_size"] = size
    for name, value in report["metrics"].items():
        print(f"{name:28}{value:>12.4f}")
    print("; ".join(f"{name} {value}" for name, value in report.items() if name != "metrics"))
    if arguments.json:
        with atomic_write(arguments.json) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")


def _reconstruct(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs

    model = _load_model(arguments)
    images = jobs.load_folder(
        arguments.images, model.config.image_size, limit=arguments.count, on_error=arguments.on_error
    ).images
    l1, decibels = jobs.reconstruct(model, images, arguments.out)
    print(f"{len(images):,} images: L1 {l1:.4f}, PSNR {decibels:.2f} dB (means); pictures in {arguments.out}")


def _load_model(arguments: argparse.Namespace):
    from pivq.model import PIVQ
    from pivq.processes import pick_device

    return PIVQ.from_pretrained(arguments.model, pick_device(arguments.device))


def _settings_table(config: Config) -> str:
    """Return every setting with its value and source, a line each."""
    values, data = config.as_dict(), config.data or "its place in data/"
    lines = [("setting", "value", "source"), ("seed", config.seed, ""), ("data", data, "")]
    for name, source in config.sources.items():
        part, _, setting = name.rpartition(".")
        lines.append((name, (values[part] if part else values)[setting], source))
    return "\n".join(f"{name:36}{value!s:24}{source}".rstrip() for name, value, source in lines)


# --- Types of arguments -----------------------------------------------------------------------------------------------


def _parse_value(name: str, text: str, usual: Any) -> Any:
    """Return the value of a setting in the type of its usual one."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    if isinstance(usual, float) and type(value) is int:
        value = float(value)
    if isinstance(usual, tuple) and not isinstance(value, str):
        value = tuple(value) if isinstance(value, tuple | list) else (value,)
    if isinstance(usual, str) and not isinstance(value, str):
        value = text
    if type(value) is not type(usual):
        raise ValueError(f"{name}={text}: expected {type(usual).__name__}, such as {usual}")
    return value


def _known(what: str, names: list[str]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in names:
            hint = suggestion(name, names) if len(name) > 3 else f"; known: {', '.join(names)}"  # gpu is not cpu
            raise argparse.ArgumentTypeError(f"unknown {what} {name!r}{hint}")
        return name

    return check


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {text!r}")
    return path


def _images(text: str) -> Path:
    path = Path(text).expanduser().resolve()  # kept in a run's settings, which are used from other folders too
    if not path.exists():
        raise argparse.ArgumentTypeError(f"no such folder or zip: {text!r}")
    return path


def _npz(text: str) -> Path:
    if not text.endswith(".npz"):
        raise argparse.ArgumentTypeError(f"the file's name must end in .npz, got {text!r}")
    return Path(text).expanduser()


def _positive(text: str) -> int:
    return _whole_number(text, 1)


def _seed(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    try:
        if (value := int(text)) >= least:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
