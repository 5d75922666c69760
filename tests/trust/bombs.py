"""Open files that are small on disk and large in memory, in a process with little memory: refused in one line.

python tests/trust/bombs.py --many 8    # times 500 MB that each expands to
"""

import io
import json
import os
import shutil
import struct
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import checkout  # noqa: F401
import numpy as np
import torch
from PIL import Image
from trials import Trial, ask, command_line, is_plain, one_line, tiny

from pivq.commands.jobs import picture_size
from pivq.data import load_dataset
from pivq.model import PIVQ
from pivq.runs.run import open_run, read_arrays
from pivq.storage.writing import seal, write_json

MEMORY = 400 << 20  # bytes that the process may take beyond what it has when the file is opened
CHUNK = 1 << 24
SPARSE = 20 << 30  # bytes of files that take no room on the disk


class Bomb(NamedTuple):
    """Write a bomb of about so many bytes into a folder; then use the folder. What is refused names a file like `name`.

    `used` are bombs that are left out, with a warning that names them, while the rest is used.
    """

    write: Callable[[Path, int], None]
    use: Callable[[Path], object]
    name: str
    used: bool = False


@cache
def _zeros(size: int) -> tuple[bytes, int]:
    """Return so many zeros, deflated without a header, and their CRC-32."""
    deflate = zlib.compressobj(1, wbits=-15)
    part = deflate.compress(bytes(CHUNK)) + deflate.flush(zlib.Z_FULL_FLUSH)  # stands by itself, and repeats
    crc = 0
    for _ in range(size // CHUNK):
        crc = zlib.crc32(bytes(CHUNK), crc)
    return part * (size // CHUNK) + deflate.flush(), crc


def _add_zeros(archive: zipfile.ZipFile, name: str, size: int) -> None:
    """Add an entry of zeros to a zip, which is small there; its directory says how large it is."""
    size = size // CHUNK * CHUNK
    deflated, crc = _zeros(size)
    archive.writestr(name, deflated)
    entry = archive.infolist()[-1]
    entry.compress_type, entry.file_size, entry.CRC = zipfile.ZIP_DEFLATED, size, crc


def _pictures(folder: Path) -> dict[str, bytes]:
    picture = io.BytesIO()
    Image.new("RGB", (9, 9)).save(picture, "PNG")
    folder.mkdir(exist_ok=True)
    for i in range(3):
        (folder / f"{i:05d}.png").write_bytes(picture.getvalue())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _zip(folder: Path, size: int) -> None:
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for name, content in _pictures(folder / "set").items():
            archive.writestr(name, content)
        _add_zeros(archive, "9.png", size)


def _png(folder: Path, size: int) -> None:
    _pictures(folder / "set")
    side = int((8 * size) ** 0.5) // 8 * 8
    rows = zlib.compressobj(1)
    body = b"".join(rows.compress(bytes(1 + side // 8)) for _ in range(side)) + rows.flush()
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b""):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    (folder / "set" / "00000.png").write_bytes(content)


def _ffhq(folder: Path, size: int, content: str = "") -> None:
    _pictures(folder / "set")
    (folder / "set" / "json").mkdir()
    (folder / "set" / "json" / "00000.json").write_text(content or "[" + '{"a": 1},' * (size // 20) + "{}]")


def _columns(folder: Path, size: int) -> None:
    names = _pictures(folder / "set")
    count = size // 400
    rows = ["id," + ",".join(f"c{i}" for i in range(count)), *(f"{name}" + ",1" * count for name in names)]
    (folder / "set" / "list_attr_celeba.csv").write_text("\n".join(rows))


def _rows(folder: Path, size: int) -> None:
    _pictures(folder / "set")
    rows = "".join(f"{i:06d}.jpg,1\n" for i in range(size // 160))
    (folder / "set" / "list_attr_celeba.csv").write_text("id,a\n" + rows)


def _run(folder: Path, size: int, bomb: str) -> None:
    """Write a run's folder, one file of which is the bomb."""
    model, state = PIVQ(tiny().model), io.BytesIO()
    values = {"config": tiny().as_dict(), "quantizer": "matching", "step": 8, "ema": model.state_dict()}
    torch.save(values | {"model": model.state_dict()}, state)
    run = folder / "run"
    run.mkdir()
    (run / "checkpoint.pt").write_bytes(state.getvalue())
    (run / "config.json").write_text(json.dumps(tiny().as_dict() | {"quantizer": "matching", "sources": {}}))
    summary = {"steps": 8, "heldout_l1": 0.2, "heldout_psnr": 12.0, "codes_in_use": 3}
    write_json(run / "summary.json", seal(summary))
    np.savez(run / "codes.npz", train_codes=np.zeros((2, 4), np.uint8))
    if bomb.endswith(".json"):
        with open(run / bomb, "wb") as file:
            file.truncate(SPARSE)
        return
    with zipfile.ZipFile(run / bomb) as whole, zipfile.ZipFile(folder / "new", "w") as archive:
        entries = whole.namelist()
        large = next(name for name in entries if name.endswith(("data/0", "train_codes.npy")))
        for name in entries:
            if name == large:
                _add_zeros(archive, name, size)
            else:
                archive.writestr(name, whole.read(name))
    shutil.move(folder / "new", run / bomb)


def _export(folder: Path, size: int, bomb: str, **sizes: object) -> None:
    """Write an exported model; one of its files is made so large, or other sizes are put into its settings."""
    PIVQ(tiny().model).save_pretrained(folder / "export")
    if bomb:
        with open(folder / "export" / bomb, "r+b") as file:
            file.truncate(SPARSE)
    else:
        values = json.loads((folder / "export" / "config.json").read_text())
        del values["sha256"]  # as a stranger would
        values["model"] |= sizes
        (folder / "export" / "config.json").write_text(json.dumps(values))


def _load(folder: Path, name: str = "set", **options: object) -> object:
    return load_dataset(folder / name, "all", 8, **options)


def _load_sized(folder: Path) -> object:
    return load_dataset(folder / "set", "all", picture_size(folder / "set"), on_error="skip")


def _load_export(folder: Path) -> object:
    return PIVQ.from_pretrained(folder / "export")


BOMBS = {
    "entry of a zip": Bomb(_zip, lambda folder: _load(folder, "set.zip"), "9.png"),
    "entry of a zip, left out": Bomb(_zip, lambda folder: _load(folder, "set.zip", on_error="skip"), "9.png", True),
    "PNG": Bomb(_png, _load, "00000.png"),
    "PNG, first of a set whose size is asked for": Bomb(_png, _load_sized, "00000.png", True),
    "attributes of FFHQ": Bomb(_ffhq, lambda folder: _load(folder, layout="ffhq"), "00000.json", True),
    "attributes of FFHQ, nested": Bomb(
        lambda folder, size: _ffhq(folder, size, "[" * (size // 100)),
        lambda folder: _load(folder, layout="ffhq"), "00000.json", True,
    ),
    "columns of a list": Bomb(_columns, lambda folder: _load(folder, layout="celeba"), "list_attr_celeba.csv", True),
    "rows of a list": Bomb(_rows, lambda folder: _load(folder, layout="celeba"), "list_attr_celeba.csv", True),
    "checkpoint": Bomb(
        lambda folder, size: _run(folder, size, "checkpoint.pt"),
        lambda folder: PIVQ.from_pretrained(folder / "run"), "checkpoint.pt",
    ),
    "codes of a run": Bomb(
        lambda folder, size: _run(folder, size, "codes.npz"),
        lambda folder: read_arrays(folder / "run" / "codes.npz"), "codes.npz",
    ),
    "summary of a run": Bomb(
        lambda folder, size: _run(folder, size, "summary.json"),
        lambda folder: open_run(folder / "run"), "summary.json",
    ),
    "settings of a run": Bomb(
        lambda folder, size: _run(folder, size, "config.json"), lambda folder: open_run(folder / "run"), "config.json",
    ),
    "weights of an export": Bomb(
        lambda folder, size: _export(folder, size, "model.safetensors"), _load_export, "model.safetensors"
    ),
    "settings of an export": Bomb(
        lambda folder, size: _export(folder, size, "config.json"), _load_export, "config.json"
    ),
    "layers in an export's settings": Bomb(
        lambda folder, size: _export(folder, size, "", transformer_layers=10**7), _load_export, "config.json"
    ),
    "width in an export's settings": Bomb(
        lambda folder, size: _export(folder, size, "", dim=1 << 24, feedforward=1 << 24), _load_export, "config.json"
    ),
    "codes in an export's settings": Bomb(
        lambda folder, size: _export(folder, size, "", codebook_size=1 << 30), _load_export, "config.json"
    ),
}  # fmt: skip


def open_bomb(what: str, folder: Path) -> tuple[str, str]:
    """Body of a process: use a bomb with little memory; return the error in one line and its type, or what was said."""
    os.environ["PIVQ_ROOT"] = str(folder / "root")
    if sys.platform == "linux":  # elsewhere only the messages are compared
        import resource

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            BOMBS[what].use(folder)
        except Exception as error:
            return one_line(error), type(error).__name__
    return "\n".join(str(warning.message) for warning in said), ""


def trials(count: int, seed: int) -> Iterator[Trial]:
    """Yield what became of each bomb of `count` times 500 MB."""
    for what, bomb in BOMBS.items():
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            bomb.write(place, count * 500_000_000)
            answer = ask(open_bomb, what, place)
        if answer is None:
            yield Trial(what, "", "no answer in five minutes, or the process was killed")
            continue
        text, kind = answer
        if kind:
            good = is_plain(text, kind) and kind != "MemoryError" and bomb.name in text
            yield Trial(what, "refused by name", "" if good else f"{kind}: {text}")
        else:
            good = bomb.used and bomb.name in text
            yield Trial(what, "left out by name", "" if good else f"used without a word: {text}")


if __name__ == "__main__":
    sys.exit(command_line(trials, 8, __doc__))
