"""Models on disk: the checkpoints of runs, and exported folders to share. Written whole, read without running code."""

import errno
import hashlib
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

import pivq
from pivq.storage.bounds import Refused, check_entries, check_extent, most_bytes, tensors
from pivq.storage.model_card import model_card
from pivq.storage.writing import (
    atomic_write,
    check_file,
    partial_path,
    read_json,
    read_sealed,
    remove_leftovers,
    replace,
    seal,
)

CHECKPOINT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"  # in the folder of a run
WEIGHTS, SETTINGS, CARD = EXPORTED = ("model.safetensors", "config.json", "README.md")  # in an exported folder
NEXT = ".model.next.safetensors"  # the weights of an export that is replaced just now
FORMAT, FORMAT_VERSION = "pivq", 1
KEYS = ("format", "format_version", "pivq_version", "quantizer", "model", "run", "weights_sha256")  # of SETTINGS
PARTS = ("model", "ema", "discriminator", "optimizer", "discriminator_optimizer", "history")  # tensors of a checkpoint
RESULTS = ("heldout_l1", "heldout_psnr", "codes_in_use", "mean_codes_per_image", "parameters")  # of a run's summary


class Stored(NamedTuple):
    """A model as stored on disk.

    Attributes:
        source: the file that holds the weights, for messages.
        sizes: the settings of `pivq.config.ModelConfig` by name.
        quantizer: "matching" or "nearest".
        weights: `PIVQ.state_dict()` of the averaged (EMA) model.
        facts: what is known of its run, in plain types: profile, dataset, seed, steps, planned_steps, and those of
            `RESULTS` that were measured.
    """

    source: Path
    sizes: dict[str, Any]
    quantizer: str
    weights: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `Trainer.state_dict()` to `path`, whole or not at all; keep the one before as `PREVIOUS` next to it.

    Raises:
        OSError: it cannot be written; a full disk is named, with the space that is needed and free.
    """
    try:
        with atomic_write(path) as temporary:
            with open(temporary, "wb") as file:
                torch.save(state, file)
            _keep_previous(path)
    except (OSError, RuntimeError) as error:  # torch hides the system's error in one of its own
        needed, free = sum(value.nbytes for _, value in tensors(state)), shutil.disk_usage(path.parent).free
        if free > needed and not _is_of_full_disk(error):
            raise
        message = (
            f"No space left on the disk for {path}: about {needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are "
            "free; free space, then run the same command again"
        )
        raise OSError(errno.ENOSPC, message) from error


def _is_of_full_disk(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it hides, is of a full disk or a full quota."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return full or error is not None and _is_of_full_disk(error.__context__)


def _keep_previous(path: Path) -> None:
    """Give the checkpoint at `path`, if there is one, the name `PREVIOUS` as well, or instead where no link can be."""
    previous = path.with_name(PREVIOUS)
    if path.name == CHECKPOINT and zipfile.is_zipfile(path):  # else it is cut off: the one before stays
        previous.unlink(missing_ok=True)
        try:
            os.link(path, previous)
        except OSError:
            replace(path, previous)


def has_checkpoint(folder: Path) -> bool:
    """Tell whether a run's folder has a checkpoint, whole or not."""
    return any((folder / name).is_file() for name in (CHECKPOINT, PREVIOUS))


def newest_checkpoint(folder: Path, wrong: Callable[[Any], str] | None = None, mend: bool = False) -> dict[str, Any]:
    """Read the newest checkpoint of a folder that can be used; the previous one with a warning.

    Args:
        folder: of a run, or of another training.
        wrong: says what is wrong with the content of a checkpoint, in words that continue the file's name, or "". None
            asks for what a PI-VQ run needs to resume.
        mend: if the previous one is used, let it take the place of the newest.

    Raises:
        FileNotFoundError: there is none.
        ValueError: none can be used.

    Warns:
        UserWarning: the newest one is damaged or gone, or its numbers are not finite; says which one is used.
    """
    try:
        return _load_right(folder / CHECKPOINT, wrong)
    except (FileNotFoundError, ValueError) as error:
        if not (folder / PREVIOUS).is_file():
            raise
        try:
            state = _load_right(folder / PREVIOUS, wrong)
        except ValueError as other:
            both = f"{folder}: {CHECKPOINT} and {PREVIOUS} are damaged or gone"
            raise ValueError(f"{both}; delete both to train this run again") from other
        fault = str(error).rpartition(";")[0].replace(" or not a checkpoint", "")
        if isinstance(error, FileNotFoundError):
            fault = f"{folder / CHECKPOINT} is gone"
        warnings.warn(f"{fault}: resuming from {PREVIOUS}, of step {state['step']}", stacklevel=2)
        if mend:
            replace(folder / PREVIOUS, folder / CHECKPOINT)
        return state


def _load_right(path: Path, wrong: Callable[[Any], str] | None) -> dict[str, Any]:
    """Read a checkpoint from which a training can resume; errors as `load_checkpoint`."""
    state = load_checkpoint(path)
    if fault := (wrong or _no_run)(state):
        raise ValueError(f"{path}{fault}; {_advice(path)}")
    return state


def _no_run(state: Any) -> str:
    lacking = _lacking(state, {"history": list} | dict.fromkeys(PARTS[:-1], dict))
    return f" is not a checkpoint of a PI-VQ run: it has no {', '.join(lacking)}" if lacking else ""


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Before its tensors are read, its size is compared with that of its settings.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when the file is not a whole checkpoint, is too large or holds numbers that are not finite, with its
            path and what to do.
    """
    check_file(path)
    with open(path, "rb") as file:
        try:
            check_entries(file)
            check_extent(torch.load(file, map_location="meta", weights_only=True), os.fstat(file.fileno()).st_size)
            if broken := zipfile.ZipFile(file).testzip():  # torch does not check checksums
                raise zipfile.BadZipFile(f"bad checksum of {broken}")
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
            parts = {name: state[name] for name in PARTS if name in state} if isinstance(state, dict) else {}
            if bad := [name for name, value in tensors(parts) if not value.isfinite().all()]:
                more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
                raise Refused(f" holds numbers that are not finite, in {', '.join(bad[:3])}{more}")
            return state
        except Exception as error:  # a damaged file can make torch raise nearly anything
            fault = str(error) if isinstance(error, Refused) else " is damaged or not a checkpoint"
            raise ValueError(f"{path}{fault}; {_advice(path)}") from error


def _advice(path: Path) -> str:
    if path.name in (*EXPORTED, NEXT):
        return f"of an exported model, name the folder: {path.parent}"
    if not path.match("checkpoint*.pt"):  # a file of the user's own
        return "name the folder of a run, or of an exported model"
    if path.name != PREVIOUS and path.with_name(PREVIOUS).is_file():
        return f"train this run again, which resumes from {PREVIOUS}"
    return "delete it to train this run again"


def load_stored(path: Path) -> Stored:
    """Read the model of a run's folder, of a checkpoint file or of an exported folder onto the CPU.

    Raises:
        FileNotFoundError: there is none; says what was looked for.
        ValueError: a file is damaged, of another kind or of a newer version; names it.
    """
    if (path / WEIGHTS).exists():
        return _read_export(path)
    file = path / CHECKPOINT if path.is_dir() else path
    if not file.is_file():
        looked = f"the folder has neither {CHECKPOINT} (a run) nor {WEIGHTS} (an exported model)"
        raise FileNotFoundError(f"no model at {path}: {looked if path.is_dir() else 'there is no such file or folder'}")
    return _read_run(file)


def save_export(folder: Path, stored: Stored) -> None:
    """Write a model as a folder to share: `model.safetensors`, `config.json` and the model card `README.md`.

    The files are written next to the folder and then moved into place. `config.json` holds the checksum of the weights,
    so that a half-written folder or a mixture of two exports is never accepted as a model. An earlier export is
    replaced, and an interruption leaves the old one or the new one: the new weights lie as `NEXT` next to the old ones
    until `config.json` is the new one. Other files in the folder stay.

    Raises:
        FileExistsError: `folder` is a file, or holds files but no exported model.
    """
    folder = Path(os.path.realpath(folder))
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: a model is exported into a folder")
    if folder.exists() and any(folder.iterdir()) and not is_export(folder):
        raise FileExistsError(f"{folder} is not empty and holds no exported model: choose another folder, or empty it")
    content = safetensors.torch.save({name: value.cpu().contiguous() for name, value in stored.weights.items()})
    settings = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "pivq_version": pivq.__version__,
        "quantizer": stored.quantizer,
        "model": stored.sizes,
        "run": stored.facts,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    card = model_card(stored.sizes, stored.quantizer, stored.facts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent)
    scratch = partial_path(folder)
    try:
        scratch.mkdir()
        texts = {CARD: card.encode(), SETTINGS: (json.dumps(seal(settings), indent=1) + "\n").encode()}
        for name, text in ({WEIGHTS: content} | texts).items():
            with open(scratch / name, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        if not folder.exists():
            os.replace(scratch, folder)
        else:
            os.replace(scratch / WEIGHTS, folder / NEXT)
            for name in (CARD, SETTINGS):  # from here on the model is the new one
                os.replace(scratch / name, folder / name)
            os.replace(folder / NEXT, folder / WEIGHTS)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def is_export(folder: Path) -> bool:
    """Tell an exported folder from any other by its `config.json`."""
    try:
        return read_json(folder / SETTINGS).get("format") == FORMAT
    except (OSError, ValueError):
        return False


def _read_run(file: Path) -> Stored:
    """Read a checkpoint, and the summary next to it if that belongs to the same step."""
    state = load_checkpoint(file)
    if isinstance(state, dict) and "recipe" in state:
        found = file.parent / "model"
        advice = f"name its model, {found}" if is_export(found) else "`pivq train --recipe` says how to use it"
        raise ValueError(f"{file} is of a training by another recipe than the paper's: {advice}")
    if lacking := _lacking(state, {}):
        raise ValueError(f"{file} is not a checkpoint of a PI-VQ run: it has no {', '.join(lacking)}")
    config = state["config"]
    facts = {name: config[name] for name in ("profile", "dataset", "seed")}
    facts |= {"steps": state["step"], "planned_steps": config["train"]["steps"]}
    summary = file.with_name("summary.json")
    try:
        figures = read_sealed(summary)
    except FileNotFoundError:
        figures = {}
    except (OSError, ValueError) as error:  # the weights are whole
        warnings.warn(f"{error}; its figures are left out", stacklevel=3)
        figures = {}
    if figures.get("steps") == state["step"]:
        facts |= {name: figures[name] for name in RESULTS if name in figures}
    return Stored(file, config["model"], state["quantizer"], state["ema"], facts)


def _lacking(state: Any, more: dict[str, type]) -> list[str]:
    """Return what a checkpoint lacks, by dotted name; `more` values, and their types, are needed than of any run."""
    state = state if isinstance(state, dict) else {}
    kinds = {"config": dict, "quantizer": str, "step": int, "ema": dict} | more
    lacking = [key for key, kind in kinds.items() if not isinstance(state.get(key), kind)]
    if not lacking:
        config = {"profile": str, "dataset": str, "seed": int, "model": dict, "train": dict}
        lacking = [f"config.{key}" for key, kind in config.items() if not isinstance(state["config"].get(key), kind)]
    if not lacking and "steps" not in state["config"]["train"]:
        lacking = ["config.train.steps"]
    return lacking


def _read_export(folder: Path) -> Stored:
    file, settings_file = folder / WEIGHTS, folder / SETTINGS
    if not settings_file.is_file():
        raise FileNotFoundError(f"{folder} is not a complete model: {SETTINGS} is missing next to {WEIGHTS}")
    settings = read_sealed(settings_file)
    if settings.get("format") != FORMAT:
        raise ValueError(f"{settings_file} does not describe a PI-VQ model: its format is {settings.get('format')!r}")
    version = settings.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"{settings_file} has format version {version}, pivq reads {FORMAT_VERSION}: upgrade pivq")
    for problem, names in (("lacks", set(KEYS) - settings.keys()), ("has unknown", settings.keys() - set(KEYS))):
        if names:
            raise ValueError(f"{settings_file} {problem} {', '.join(sorted(names))}")
    for name in ("model", "run"):
        if not isinstance(settings[name], dict):
            raise ValueError(f"{settings_file}: {name} must be settings by name, got {settings[name]!r:.80}")
    try:
        most = most_bytes(settings["model"])
    except Refused as error:
        raise ValueError(f"{settings_file}{error}") from error
    for path in (path for path in (file, folder / NEXT) if path.exists()):
        check_file(path)
        if (size := path.stat().st_size) > most:
            more = f"has {size:,} bytes, more than the {most:,} that a model of the sizes in {SETTINGS} can need"
            raise ValueError(f"{path} {more}: export or download the model again")
    candidates = (path.read_bytes() for path in (file, folder / NEXT) if path.exists())
    content = next((c for c in candidates if hashlib.sha256(c).hexdigest() == settings["weights_sha256"]), None)
    if content is None and file.stat().st_size < 1000 and file.read_bytes().startswith(b"version https://git-lfs"):
        raise ValueError(f"{file} is a Git LFS pointer, not the weights: run `git lfs pull` in {folder}")
    if content is None:
        raise ValueError(
            f"{file} is damaged, or does not belong to the {SETTINGS} next to it: export or download the model again"
        )
    try:
        weights = safetensors.torch.load(content)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file: {error}") from error
    return Stored(file, settings["model"], settings["quantizer"], weights, settings["run"])
