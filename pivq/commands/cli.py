"""The command `pivq`: look at data, train, encode, decode, sample, evaluate and download without a notebook.

The commands import what they need themselves, so that torch is loaded only after the arguments are checked.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr

from pivq.commands.argument_types import model_in
from pivq.commands.cli_arguments import parse
from pivq.commands.run_all_arguments import print_anything
from pivq.commands.settings_table import settings_text
from pivq.commands.terminal import (
    CLOSED,
    Lasting,
    check_current_folder,
    check_progress_bars,
    drop,
    flush,
    message,
    shown,
)

FAILED, INTERRUPTED = 1, 130  # exit statuses; argparse's own is 2, for wrong usage
MANY = 64  # images that `pivq reconstruct` shows unless told otherwise


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit status: 0, 1 after an error (shown in one line), 130 after Ctrl-C.

    After SIGTERM during a training, which is saved, the status is 143; where nobody reads the output any more, 141.

    A warning is shown in one line too, without its place in the code.

    Args:
        argv: the arguments without the program's name; `sys.argv` when None.

    Raises:
        SystemExit: with status 2 for a bad argument; with 0 after `--help`.
    """
    print_anything()
    with redirect_stderr(Lasting(sys.stderr)):
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        check_current_folder()
    except FileNotFoundError as error:
        print(f"pivq: error: {error}", file=sys.stderr)
        return FAILED
    arguments = parse(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda said, *_: print(f"pivq {arguments.command}: {shown(said)}", file=sys.stderr)
            check_progress_bars()
            status = COMMANDS[arguments.command](arguments) or 0
            flush()
            return status
    except BrokenPipeError:  # of `| head`
        drop(sys.stdout)
        return CLOSED
    except KeyboardInterrupt as end:
        print(f"\n{str(end) or 'Interrupted.'} Run the same command again to resume.", file=sys.stderr)
        return 128 + end.number if hasattr(end, "number") else INTERRUPTED
    except Exception as error:
        if arguments.debug:
            raise
        print(f"pivq {arguments.command}: error: {one_line(error)}", file=sys.stderr)
        return FAILED


def one_line(error: BaseException) -> str:
    """Return an error's message in one line; of a long message, the first two lines and the last."""
    lines = [line.strip() for line in message(error).splitlines() if line.strip()] or [type(error).__name__]
    expected = isinstance(error, OSError | ValueError | RuntimeError | ImportError)
    kind = "" if expected else f"{type(error).__name__}: "  # a fault in the program: its type helps to report it
    text = " ".join(lines)
    return kind + (text if len(text) <= 400 or len(lines) < 4 else f"{lines[0]} {lines[1]} … {lines[-1]}")


def _train(arguments: argparse.Namespace) -> None:
    config = arguments.config
    if arguments.show_settings:
        return print(settings_text(arguments.trained))
    from pivq.precision import COMPILE, use_precision
    from pivq.processes import is_first
    from pivq.runs.budget import steps_within
    from pivq.runs.cost import expected_cost
    from pivq.runs.parallel import train_together
    from pivq.runs.tracking import check_tracker
    from pivq.runs.training import train

    tracker = arguments.log or ""
    check_tracker(tracker)
    if arguments.precision:
        use_precision(arguments.precision)
    if arguments.compile:
        os.environ[COMPILE] = "1"
    if arguments.recipe:
        from pivq.commands.jobs import train_by_recipe

        return print(train_by_recipe(config, arguments.recipe, arguments.device))
    first = is_first()
    quantizers = ["matching", "nearest"] if arguments.quantizer == "both" else [arguments.quantizer]
    if arguments.budget:
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise ValueError("--budget is for one process, each of several would choose for itself: give --steps")
        steps, said = steps_within(config, arguments.budget, arguments.device, len(quantizers))
        config = arguments.configure(steps=steps)
        print(said, file=sys.stderr)
    elif (price := expected_cost(config, quantizers[0], arguments.device)) and first:
        print(f"Each run: {price}", file=sys.stderr)
    if len(quantizers) > 1:
        runs = train_together([(config, quantizer) for quantizer in quantizers], arguments.device, tracker)
    else:
        runs = [train(config, quantizers[0], arguments.device, tracker)]
    if not first:
        return
    for run in runs:
        figures = run.summary
        print(
            f"{run.quantizer}: {figures['steps']:,} steps, held-out L1 {figures['heldout_l1']:.4f}, "
            f"PSNR {figures['heldout_psnr']:.2f} dB, {figures['codes_in_use']} of {config.model.codebook_size} codes "
            f"in use\n{run.folder}"
        )


def _data(arguments: argparse.Namespace) -> None:
    from pivq.data.report import describe

    print(shown(describe(arguments.images, arguments.layout, arguments.image_size)))


def _encode(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs

    model = _load_model(arguments)
    dataset = jobs.load_folder(arguments.images, model.config.image_size, **_reading(arguments))
    new = jobs.encode_dataset(model, dataset, arguments.out, arguments.batch_size)
    size = f"{len(dataset):,} images, {model.config.num_codes} codes each"
    print(f"{size}: {'written to' if new else 'already there, in'} {arguments.out}")


def _decode(arguments: argparse.Namespace) -> None:
    from pivq.commands.codes import decode_codes, read_codes
    from pivq.commands.pictures import write_grid
    from pivq.model import model_digest

    model = _load_model(arguments)
    sets = read_codes(arguments.codes, model.config)
    if sets.model not in (None, digest := model_digest(model)) and not arguments.any_model:
        raise ValueError(
            f"{arguments.codes} holds codes of another model ({sets.model}, this one is {digest}): name the one that "
            "made them, or decode them anyway with --any-model"
        )
    made = decode_codes(model, sets, arguments.out)
    kept = f", {len(sets.names) - made:,} were there" if made < len(sets.names) else ""
    print(f"{made:,} pictures made{kept}: {arguments.out}")
    if arguments.grid:
        print(f"overview: {write_grid(arguments.out, sets.names)}")


def _interpolate(arguments: argparse.Namespace) -> None:
    from pivq.commands.walk import read_picture, walk
    from pivq.figures.animation import write_walk

    model = _load_model(arguments)
    ends = [read_picture(path, model.config.image_size) for path in (arguments.first, arguments.last)]
    images = walk(model, *ends, arguments.seed, arguments.steps)
    write_walk(images, arguments.out, arguments.duration, arguments.loop, arguments.scale)
    print(f"{len(images)} pictures from {arguments.first.name} to {arguments.last.name}: {arguments.out}")


def _sample(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs
    from pivq.commands.pictures import NAME, write_grid
    from pivq.processes import pick_device
    from pivq.runs.run import open_run

    run = open_run(arguments.run_folder)
    seed = run.config.seed if arguments.seed is None else arguments.seed
    made = jobs.write_samples(run, arguments.count, arguments.out, seed, pick_device(arguments.device))
    kept = f", {arguments.count - made:,} were there" if made < arguments.count else ""
    print(f"{made:,} samples made{kept}: {arguments.out}")
    if arguments.grid:
        print(f"overview: {write_grid(arguments.out, [NAME.format(i) for i in range(arguments.count)])}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs
    from pivq.pretrained.features import load_feature_network
    from pivq.processes import pick_device
    from pivq.runs.run import open_run
    from pivq.storage.writing import write_json

    is_run = model_in(arguments.fake) or (arguments.fake / "config.json").is_file()
    run = open_run(arguments.fake) if is_run else None
    if run is None and (arguments.count or arguments.seed is not None):
        raise ValueError(f"--count and --seed are for samples of a run, but {arguments.fake} is a folder of images")
    size = run.config.model.image_size if run else arguments.image_size or jobs.picture_size(arguments.fake)
    if arguments.image_size not in (None, size):
        found = f"samples of {run.folder} have {size} pixels"
        raise ValueError(f"--image-size {arguments.image_size}: {found}: leave it out")
    network = load_feature_network(arguments.features, pick_device(arguments.device))
    real = jobs.load_folder(arguments.real, size, **_reading(arguments))
    if run:
        count = arguments.count or run.config.evaluation.samples
        seed = run.config.seed if arguments.seed is None else arguments.seed
        _check_neighbours(arguments.k, {arguments.real: len(real), "the samples": count})
        report = jobs.evaluate_run(real, run, count, seed, network, arguments.k)
    else:
        fake = jobs.load_folder(arguments.fake, size, on_error=arguments.on_error)
        _check_neighbours(arguments.k, {arguments.real: len(real), arguments.fake: len(fake)})
        report = jobs.evaluate_images(real, fake, network, arguments.k)
    report["image_size"] = size
    for name, value in report["metrics"].items():
        print(f"{name:28}{value:>12.4f}")
    print("; ".join(f"{name} {value}" for name, value in report.items() if name != "metrics"))
    if arguments.json:
        write_json(arguments.json, report)


def _check_neighbours(ks: Sequence[int], sizes: dict[object, int]) -> None:
    """Refuse sets with too few images to have the largest k of `ks` neighbours."""
    for name, size in sizes.items():
        if size <= max(ks):
            needed = f"--k {max(ks)} needs at least {max(ks) + 1} images"
            raise ValueError(f"{needed}, {name} has {size}: take a smaller --k")


def _reconstruct(arguments: argparse.Namespace) -> None:
    from pivq.commands import jobs
    from pivq.data.decoding import TooFewImages

    model = _load_model(arguments)
    place, options = (arguments.images, model.config.image_size), _reading(arguments)
    try:
        images = jobs.load_folder(*place, limit=arguments.count or MANY, **options).images
    except TooFewImages:
        if arguments.count:
            raise
        images = jobs.load_folder(*place, **options).images
    l1, decibels = jobs.reconstruct(model, images, arguments.out)
    print(f"{len(images):,} images: L1 {l1:.4f}, PSNR {decibels:.2f} dB (means); pictures in {arguments.out}")


def _download(arguments: argparse.Namespace) -> None:
    from pivq.commands.download import download

    download(arguments.what, arguments.source)


def _doctor(arguments: argparse.Namespace) -> int:
    from pivq.commands.doctor import examine, table

    rows = examine(arguments.config)
    print(shown(table(rows, arguments.config)))
    return FAILED if any(row.state == "missing" for row in rows) else 0


def _reading(arguments: argparse.Namespace) -> dict[str, str]:
    return {"layout": arguments.layout, "on_error": arguments.on_error}


def _load_model(arguments: argparse.Namespace):
    from pivq.model import PIVQ
    from pivq.processes import pick_device

    return PIVQ.from_pretrained(arguments.model, pick_device(arguments.device))


COMMANDS = {
    "train": _train, "data": _data, "encode": _encode, "decode": _decode, "sample": _sample,
    "interpolate": _interpolate, "evaluate": _evaluate, "reconstruct": _reconstruct, "download": _download,
    "doctor": _doctor,
}  # fmt: skip
