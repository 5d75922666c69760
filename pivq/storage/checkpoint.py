"""Models on disk: the checkpoints of runs, and exported folders to share. Written whole, read without running code."""

import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

import pivq
from pivq.storage.model_card import model_card
from pivq.storage.writing import atomic_write, read_json

CHECKPOINT = "checkpoint.pt"  # in the folder of a run
WEIGHTS, SETTINGS, CARD = EXPORTED = ("model.safetensors", "config.json", "README.md")  # in an exported folder
FORMAT, FORMAT_VERSION = "pivq", 1
KEYS = ("format", "format_version", "pivq_version", "quantizer", "model", "run", "weights_sha256")  # of SETTINGS
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
    """Write `Trainer.state_dict()` to `path` atomically: an interruption leaves the previous checkpoint."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)  # an open file: a full disk then gives the system's own message


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when the file is not a whole checkpoint, with its path and what to do.
    """
    with open(path, "rb") as file:
        try:
            if broken := zipfile.ZipFile(file).testzip():  # torch does not check checksums
                raise zipfile.BadZipFile(f"bad checksum of {broken}")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can make torch raise nearly anything
            raise ValueError(f"{path} is damaged or not a checkpoint; delete it to train this run again") from error


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
    replaced; other files in its folder stay.

    Raises:
        FileExistsError: `folder` is a file, or holds files but no exported model.
    """
    folder = folder.resolve()
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
    with tempfile.TemporaryDirectory(".partial", f".{folder.name}.", folder.parent) as scratch:
        made = Path(scratch) / folder.name  # a folder of its own, with the usual permissions
        made.mkdir()
        texts = {CARD: card.encode(), SETTINGS: (json.dumps(settings, indent=1) + "\n").encode()}
        for name, text in ({WEIGHTS: content} | texts).items():
            with open(made / name, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        if not folder.exists():
            os.replace(made, folder)
        else:
            for name in (WEIGHTS, CARD, SETTINGS):
                os.replace(made / name, folder / name)


def is_export(folder: Path) -> bool:
    """Tell an exported folder from any other by its `config.json`."""
    try:
        return read_json(folder / SETTINGS).get("format") == FORMAT
    except (OSError, ValueError):
        return False


def _read_run(file: Path) -> Stored:
    """Read a checkpoint, and the summary next to it if that belongs to the same step."""
    state = load_checkpoint(file)
    lacking = [key for key in ("config", "quantizer", "step", "ema") if not isinstance(state, dict) or key not in state]
    if lacking:
        raise ValueError(f"{file} is not a checkpoint of a PI-VQ run: it has no {', '.join(lacking)}")
    config = state["config"]
    facts = {name: config[name] for name in ("profile", "dataset", "seed")}
    facts |= {"steps": state["step"], "planned_steps": config["train"]["steps"]}
    summary = file.with_name("summary.json")
    if summary.exists() and (figures := read_json(summary)).get("steps") == state["step"]:
        facts |= {name: figures[name] for name in RESULTS if name in figures}
    return Stored(file, config["model"], state["quantizer"], state["ema"], facts)


def _read_export(folder: Path) -> Stored:
    file, settings_file = folder / WEIGHTS, folder / SETTINGS
    if not settings_file.is_file():
        raise FileNotFoundError(f"{folder} is not a complete model: {SETTINGS} is missing next to {WEIGHTS}")
    settings = read_json(settings_file)
    if settings.get("format") != FORMAT:
        raise ValueError(f"{settings_file} does not describe a PI-VQ model: its format is {settings.get('format')!r}")
    version = settings.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"{settings_file} has format version {version}, pivq reads {FORMAT_VERSION}: upgrade pivq")
    for problem, names in (("lacks", set(KEYS) - settings.keys()), ("has unknown", settings.keys() - set(KEYS))):
        if names:
            raise ValueError(f"{settings_file} {problem} {', '.join(sorted(names))}")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != settings["weights_sha256"]:
        raise ValueError(
            f"{file} is damaged, or does not belong to the {SETTINGS} next to it: export or download the model again"
        )
    try:
        weights = safetensors.torch.load(content)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file: {error}") from error
    return Stored(file, settings["model"], settings["quantizer"], weights, settings["run"])
