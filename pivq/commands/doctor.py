"""`pivq doctor`: one table of what a profile needs, what this computer has, and the command that brings the rest.

The top of this module needs only the standard library: the doctor also speaks where packages are missing.
"""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pivq.config import Config
from pivq.pretrained.weights import WEIGHTS
from pivq.storage import paths
from pivq.storage.fetching import megabytes

OK, NOTE, MISSING = "ok", "note", "missing"
PYTHON = (3, 11)
LISTED = 4  # the most packages that have a row each
# Bytes at the peak on a CPU: README.md for the drawn faces, docs/paper_scale.md for the paper's profiles.
PEAK_MEMORY = {"smoke": 2.1e9, "quick": 2.1e9, "celeba64_short": 2.8e9, "celeba64": 4.5e9, "celebahq256": 9.4e9,
               "ffhq256": 9.4e9}  # fmt: skip
SMALLEST_DISK = 500 * 10**6  # what run_all.sh asks for
IMAGES = {"celeba": 202_599, "celebahq": 30_000, "ffhq": 70_000}
CHECKPOINT_BYTES = 64  # per weight: four float32 (model, EMA, two moments), two checkpoints of two models


@dataclass(frozen=True)
class Row:
    """One thing that was looked at.

    Attributes:
        what: e.g. "weights".
        state: "ok", "note" (works, but worth knowing) or "missing" (the profile does not run).
        found: what there is, in words.
        remedy: the command, or the sentence, that mends it; "" where nothing is to be done.
    """

    what: str
    state: str
    found: str
    remedy: str = ""


def examine(config: Config) -> list[Row]:
    """Look at everything that a profile needs; nothing is downloaded or written."""
    rows = [_python()]
    rows += _packages() if rows[0].state == OK else []
    broken = any(row.state == MISSING for row in rows)
    rows += _gpu(config)
    return [*rows, _memory(config, rows), _disk(config), *_weights(config), *_data(config, broken)]


def table(rows: list[Row], config: Config) -> str:
    """Return the rows as text, with a line below that says how it ends."""
    cells = [("what", "state", "found", "what to do"), *((row.what, row.state, row.found, row.remedy) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in cells]
    names = dict.fromkeys(row.what for row in rows if row.state == MISSING)
    end = f"missing: {', '.join(names)}" if names else "everything that it needs is there"
    return "\n".join(line.rstrip() for line in [*lines, f"Profile {config.profile}: {end}."])


# --- Python and its packages ------------------------------------------------------------------------------------------


def _python() -> Row:
    found = f"{'.'.join(map(str, sys.version_info[:3]))}, {_short(sys.executable)}"
    if sys.version_info < PYTHON:
        return Row("Python", MISSING, found, "install Python 3.11 or newer")
    return Row("Python", OK, found)


def _packages() -> list[Row]:
    wrong, needed = {}, _requirements()
    for name, least in needed:
        try:
            if _numbers(version(name)) < _numbers(least):
                wrong[f"{name}>={least}"] = f"{name} {version(name)}, {least} or newer is needed"
        except PackageNotFoundError:
            wrong[f"{name}>={least}"] = f"{name} is not installed, {least} or newer is needed"
    if not needed:
        return [Row("packages", NOTE, "no pyproject.toml and no installed pivq: not checked")]
    if not wrong:
        return [Row("packages", OK, f"all {len(needed)} of pyproject.toml; torch {version('torch')}")]
    if len(wrong) > LISTED:
        found = f"{len(wrong)} of {len(needed)} are not installed or too old: {', '.join([*wrong][:LISTED])}, …"
        return [Row("packages", MISSING, found, f"python -m pip install -e {_short(paths.CHECKOUT)}")]
    return [Row("packages", MISSING, found, f'python -m pip install "{wanted}"') for wanted, found in wrong.items()]


def _requirements() -> list[tuple[str, str]]:
    """Return the packages that the project needs and their lowest versions."""
    import tomllib  # not in a Python that is too old

    file = paths.CHECKOUT / "pyproject.toml"
    if file.is_file():
        lines = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        try:
            lines = [line for line in requires("pivq") or [] if "extra ==" not in line]
        except PackageNotFoundError:
            lines = []
    found = (re.match(r"([\w.-]+?)\s*>=\s*([\d.]+)", line) for line in lines)
    return [(match[1], match[2]) for match in found if match]


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a release for comparison: (2, 6) of "2.6.0+cpu"; zeros at the end do not count."""
    release = re.match(r"\d+(\.\d+)*", text)
    numbers = [int(part) for part in release[0].split(".")] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


# --- The computer -----------------------------------------------------------------------------------------------------


def _gpu(config: Config) -> list[Row]:
    try:
        import torch
    except Exception as error:  # a damaged installation raises anything
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            return [Row("GPU", NOTE, "not known without torch")]
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        found = f"torch cannot be imported: {reason:.80}"
        return [Row("GPU", MISSING, found, "python -m pip install --force-reinstall torch")]
    if not torch.cuda.is_available():
        slow = config.dataset in IMAGES
        state = NOTE if slow else OK
        hint = "trainings at this scale take days to months on a CPU: see docs/paper_scale.md" if slow else ""
        return [Row("GPU", state, "none that torch can use", hint), Row("precision", OK, "fp32, on the CPU")]
    from pivq.precision import suiting

    rows = []
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        capability = f"compute capability {card.major}.{card.minor}"
        rows.append(Row("GPU", OK, f"{card.name}, {megabytes(card.total_memory)}, {capability}"))
        best = suiting((card.major, card.minor))
        offers = {"bf16": "fp32, fp16 and bf16", "fp16": "fp32 and fp16, no bf16", "fp32": "fp32"}[best]
        rows.append(Row("precision", OK, f"{offers}; auto takes {best}"))
    return rows


def _memory(config: Config, rows: list[Row]) -> Row:
    total, free = _memory_bytes()
    needed = PEAK_MEMORY.get(config.profile, min(PEAK_MEMORY.values()))
    if not total:
        return Row("memory", NOTE, f"cannot be read here; {megabytes(needed)} are needed")
    found = f"{megabytes(total)}, {megabytes(free)} free; {megabytes(needed)} at the peak on a CPU"
    if total >= needed and free >= needed:
        return Row("memory", OK, found)
    on_gpu = any(row.what == "GPU" and "compute capability" in row.found for row in rows)
    if total >= needed or on_gpu:
        return Row("memory", NOTE, found, "close other programs" if not on_gpu else "")
    return Row("memory", MISSING, found, "use a computer with more memory, or a smaller profile")


def _memory_bytes() -> tuple[float, float]:
    """Return the memory of this computer or container and what is free of it; zeros where it cannot be read."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        kilobytes = [float(re.search(rf"{name}:\s+(\d+) kB", text)[1]) for name in ("MemTotal", "MemAvailable")]
        total, free = (1024 * value for value in kilobytes)
    except (OSError, TypeError):
        try:
            total = free = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # macOS
        except (AttributeError, OSError, ValueError):
            return 0.0, 0.0
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = float(Path(name).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such limit: "max"
            continue
        total, free = min(total, limit), min(free, limit)
    return total, free


def _unusable(folder: Path) -> str:
    """Say why nothing can be written to a folder, which may be missing; "" if it can."""
    place = folder
    while not os.path.lexists(place):
        place = place.parent
    if not os.path.isdir(place):
        return f"{_short(place)} is no folder"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{_short(place)} cannot be written to"


def _disk(config: Config) -> Row:
    if fault := _unusable(paths.root()):
        return Row("disk", MISSING, fault, "set PIVQ_ROOT to a folder that you can write to")
    place = paths.root()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    decoded = IMAGES.get(config.dataset, 0) * 3 * config.model.image_size**2
    needed = max(SMALLEST_DISK, decoded + CHECKPOINT_BYTES * config.model.weights)
    found = f"{megabytes(free)} free at {_short(paths.root())}; about {megabytes(needed)} for decoded images and runs"
    if free >= needed:
        return Row("disk", OK, found)
    return Row("disk", MISSING if free < SMALLEST_DISK else NOTE, found, "free space, or set PIVQ_ROOT to another disk")


# --- Weights and data -------------------------------------------------------------------------------------------------


def _weights(config: Config) -> list[Row]:
    rows = []
    for name in dict.fromkeys([config.train.perceptual_network, config.evaluation.features]):
        if name not in WEIGHTS:
            continue
        file = WEIGHTS[name]
        try:
            rows.append(Row("weights", OK, f"{file.needed_for}: {_short(file.find())}"))
        except FileNotFoundError:
            found = f"{file.needed_for}: no {file.name} ({megabytes(file.size)})"
            rows.append(Row("weights", MISSING, found, "pivq download weights"))
        except (ValueError, OSError) as error:
            found = f"{file.needed_for}: {str(error).partition(': ')[0]}"
            rows.append(Row("weights", MISSING, found, "pivq download weights"))
    return rows or [Row("weights", OK, "none to download: EfficientNet-Lite0 comes with a package")]


def _data(config: Config, broken: bool) -> list[Row]:
    if fault := _unusable(paths.data_dir()):  # faces are drawn into it, photographs decoded into it
        return [Row("data", MISSING, f"{config.dataset}: {fault}", "set PIVQ_DATA to a folder that you can write to")]
    if config.dataset == "avatars":
        return [Row("data", OK, f"faces that are drawn on first use, into {_short(paths.data_dir())}")]
    place = Path(config.data or paths.data_dir() / config.dataset)
    more = f", or pivq doctor --profile {config.profile} --data DIR"
    if not os.path.exists(place):
        how = {"celeba": f"pivq download celeba{more}"}.get(config.dataset, f"see docs/datasets.md{more}")
        return [Row("data", MISSING, f"{config.dataset}: there is no {_short(place)}", how)]
    if broken:
        return [Row("data", NOTE, f"{config.dataset}: {_short(place)}; not looked into before the packages are there")]
    try:
        return _look_into(config, place)
    except (OSError, ValueError, ImportError) as error:
        return [Row("data", MISSING, f"{config.dataset}: {str(error).splitlines()[0]:.120}", f"pivq data {place}")]


def _look_into(config: Config, place: Path) -> list[Row]:
    """Return what a folder or zip of pictures holds, by the names of its files."""
    from pivq.data.files import Files
    from pivq.data.places import attribute_files, find_list, find_pictures, recognise

    files = Files(place)
    pictures, names, _ = find_pictures(files)
    if not names:
        return [Row("data", MISSING, f"{config.dataset}: no pictures in {_short(place)}", "see docs/datasets.md")]
    layout = config.layout or (config.dataset if config.dataset in IMAGES else recognise(files, pictures, names))
    count, expected = f"{len(names):,} picture{'s' if len(names) > 1 else ''}", IMAGES.get(config.dataset, 0)
    found = f"{config.dataset}: {count}, {_short(place)}"
    few = len(names) < expected
    rows = [Row("data", NOTE if few else OK, found, f"the whole set has {expected:,}" if few else "")]
    if len(names) < (least := _fewest(config, layout)):
        rows = [Row("data", MISSING, found, f"a training needs about {least:,} pictures: add more")]
    lists = {"celeba": ("list_attr_celeba", "list_eval_partition"), "celebahq": ("CelebAMask-HQ-attribute-anno",)}
    for name in lists.get(layout, ()):
        kind = "split" if "partition" in name else "labels"
        if listed := find_list(files, name):
            rows.append(Row(kind, OK, listed[1]))
        else:
            remedy = "pivq download celeba" if layout == "celeba" else "see docs/datasets.md"
            rows.append(Row(kind, NOTE, f"no {name}.txt in {_short(place)}", remedy))
    if layout == "ffhq":
        count = len(attribute_files(files)[1])
        rows.append(
            Row("labels", OK, f"{count:,} attribute files")
            if count
            else Row("labels", NOTE, f"no json/00000.json … in {_short(place)}: no Fig. 5", "pivq download ffhq-labels")
        )
    return rows


def _fewest(config: Config, layout: str) -> int:
    """Return how many pictures both splits need at least; without an official split, a tenth is held out."""
    from pivq.runs.splits import images_needed

    train, heldout = (max(images_needed(config, split).values()) for split in ("train", "heldout"))
    return max(10 * heldout, -(-10 * train // 9)) if layout == "folder" else train + heldout


def _short(path: str | os.PathLike) -> str:
    """Return a path with `~` for the user's folder."""
    text, home = str(path), os.path.expanduser("~")
    return f"~{text[len(home) :]}" if text.startswith(home + os.sep) else text
