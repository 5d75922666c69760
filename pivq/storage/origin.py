"""What an artefact belongs to: profile, data set, seed and the digests of both runs; and on what it was computed."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from pivq.storage.source import code_digest
from pivq.storage.writing import read_json, write_json

NOTE = "data.json"  # in a folder of figures of any folder of images: which one; not to be shared, it has a path


class OtherData(ValueError):
    """A folder holds figures of other images."""


def origin(config: Any) -> dict[str, Any]:
    """Return what tells the artefacts of one configuration (`pivq.config.Config`) from those of another.

    `runs` has the digest of each quantizer's run, which changes with every setting that changes its network.
    """
    runs = {quantizer: config.digest(quantizer) for quantizer in ("matching", "nearest")}
    return {"profile": config.profile, "dataset": config.dataset, "seed": config.seed, "runs": runs}


def computed_on() -> dict[str, Any]:
    """Return the `device` on which this process has computed, the number of `threads` of torch, and its `code`.

    The last digits depend on device and threads (docs/platforms.md), so they are noted in all that is made, and
    compared with nothing. Without torch, the device is "cpu". For the code see `pivq.storage.source.code_digest`.
    """
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_initialized()
    device = f"cuda ({torch.cuda.get_device_name()})" if used else "cpu"
    return {"device": device} | ({"threads": torch.get_num_threads()} if torch else {}) | {"code": code_digest()}


def origin_text(config: Any, name: str) -> str:
    """Return an artefact's name, `origin` and `computed_on` in one line, for the metadata of figures and tables."""
    facts = origin(config)
    runs = ", ".join(f"{name} {digest}" for name, digest in facts["runs"].items())
    text = f"{name}: profile {facts['profile']}; dataset {facts['dataset']}; seed {facts['seed']}; runs: {runs}"
    return "; ".join([text, *(f"{name} {value}" for name, value in computed_on().items())])


def other_origin(values: dict[str, Any], config: Any) -> str:
    """Return how the `origin` noted in a file's values differs from a configuration's, or "" if it does not."""
    wanted = origin(config)
    other = [fact for fact in wanted if values.get(fact) != wanted[fact]]
    found = ", ".join(f"{fact} {values.get(fact, 'not noted')}" for fact in other)
    return found and f"{found}, not from {', '.join(f'{fact} {wanted[fact]}' for fact in other)}"


def other_line(noted: str, config: Any, name: str) -> str:
    """Return what a line of `origin_text` notes, without device, threads and code; "" if it is this artefact's.

    Example:
        >>> from pivq.config import load_config
        >>> line = origin_text(load_config("smoke"), "slots")
        >>> other_line(line, load_config("smoke"), "slots"), other_line(line, load_config("smoke"), "training")[:20]
        ('', 'slots: profile smoke')
    """
    found, wanted = (text.partition("; device ")[0] for text in (noted, origin_text(config, name)))
    return "" if found == wanted else found or "not noted"


def claim_figures(folder: Path, config: Any) -> None:
    """Check that a folder of figures has none of other images than the configuration's; note a folder of images there.

    Profile and seed name the folder of figures, but `--data` may be any folder: without this, figures of one would be
    replaced by those of another. Images are known by their full path without links.

    Raises:
        OtherData: there are figures of other images; says how to keep both.
        ValueError: the note is damaged.
    """
    wanted, note = _images(config), folder / NOTE
    try:
        noted = read_json(note).get("data") if note.exists() else None
    except ValueError as error:
        raise ValueError(f"{error}; delete it if the figures there are of {wanted}") from error
    if any(not path.name.startswith(".") for path in folder.glob("*") if path != note):
        found = noted or _stamped_images(folder, config)
        if found != wanted:
            raise OtherData(
                f"{folder} holds figures of {found}, not of {wanted}: to keep both, set PIVQ_ROOT to another folder "
                f"(PIVQ_ROOT=DIR ./run_all.sh {config.options}); to replace them, delete {folder} first"
            )
    if config.dataset == "folder" and noted != wanted:
        write_json(note, {"data": wanted})


def _images(config: Any) -> str:
    return os.path.realpath(config.data) if config.dataset == "folder" else f"the data set {config.dataset}"


def _stamped_images(folder: Path, config: Any) -> str:
    """Return what the JSON files and tables in a folder of figures were made from; that of `config` if none says it."""
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.md")]):
        text = path.read_text(encoding="utf-8", errors="replace")
        named = re.search(r'"dataset": "(\w+)"|; dataset (\w+); seed', text)
        if named and (name := named[1] or named[2]) != config.dataset:
            return f"the data set {name}"
        if named and config.dataset == "folder" and config.digest("matching") not in text:
            return "another folder of images, or with other settings"
    return _images(config)
