"""Write files whole, read them back checked: a reader sees the old file or the new one, never a part of one."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pivq.storage.paths import data_dir, root

DAY = 86_400  # seconds
MOST_BYTES = 64_000_000  # of a JSON file
LONGEST = 255  # bytes of a file's name, on all usual file systems
FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")  # how a formula begins
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
NO_ROOM = (errno.EFBIG, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # errors of writing that name no file
OPEN_ELSEWHERE = 100  # tenths of a second that Windows is given to close a file
_cleaned: set[Path] = set()  # folders that this process has looked through for leftovers


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds.

    A reader sees the old file or the new one, never a part of one, even after a power cut. If the block
    raises (a full disk, Ctrl-C), the temporary file is removed and `path` stays as it was. What a killed process left
    is removed at the next write of another one in that folder.

    Raises:
        IsADirectoryError: `path` is a folder.
        OSError: as the block, or the system, raises it; one of a full disk, quota or limit names `path`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "note.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> (folder / "note.txt").read_text(), len(list(folder.iterdir()))
        ('whole', 1)
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{path} is a folder, where a file belongs: move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    temporary = partial_path(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:  # Windows syncs no file that is open for reading only
            os.fsync(file.fileno())
        replace(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno in NO_ROOM or error.filename == str(temporary):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def replace(source: Path, target: Path) -> None:
    """Rename a file over another; on Windows, wait for whoever has one open, such as a reader or a virus scanner."""
    for _ in range(OPEN_ELSEWHERE if os.name == "nt" else 0):
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(0.1)
    os.replace(source, target)


def partial_path(path: Path) -> Path:
    """Return where this process writes what becomes `path`; the suffix stays, since writers choose formats by it."""
    stem = path.stem
    if len(os.fsencode(stem)) > LONGEST - 60:  # room for what is added; its checksum keeps it apart from others
        stem = f"{stem[:40]}.{zlib.crc32(os.fsencode(stem)):08x}"
    return path.with_name(f".{stem}.{os.getpid()}.{_host()}.partial{path.suffix}")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this computer left of their writing in a folder; once per process and folder."""
    if folder in _cleaned:
        return
    _cleaned.add(folder)
    for path in folder.glob(".*.partial*"):
        found = re.search(r"\.(\d+)(?:\.([0-9a-f]{8}))?\.partial(\.\w+)?$", path.name)
        if not found or not process_ended(int(found[1])):
            continue
        with suppress(OSError):
            # Earlier versions did not note the computer, which may be another one that shares this folder.
            if found[2] == _host() or not found[2] and time.time() - path.stat().st_mtime > DAY:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def process_ended(pid: int) -> bool:
    """Tell whether no process of this number but this one runs here; False on Windows, which cannot be asked so."""
    if pid == os.getpid() or os.name == "nt":
        return os.name != "nt"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # of another user
        pass
    return False


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any, indent: int | None = 1, **options: Any) -> None:
    """Write plain values as JSON, whole or not at all; `options` are those of `json.dumps`."""
    write_text(path, json.dumps(value, indent=indent, **options) + "\n")


def no_formula(cell: Any) -> Any:
    """Return the cell of a CSV table; text that a spreadsheet would take for a formula gets an apostrophe before it.

    Numbers stay as they are, those written as text too. All line breaks become one kind, which `csv` quotes.

    Example:
        >>> no_formula("=HYPERLINK(A1)"), no_formula("-1.5"), no_formula(-1.5), no_formula("000001")
        ("'=HYPERLINK(A1)", '-1.5', -1.5, '000001')
    """
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{cell}" if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell) else cell


def check_file(path: str | os.PathLike) -> None:
    """Check that a path leads to a file or a folder, of which the latter fails at once: a pipe may be read for ever.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it is a pipe, a socket or a device; names it.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a pipe, a socket or a device, where a file belongs: remove it, or name a file")


def read_json(path: Path, most: int | None = MOST_BYTES) -> dict[str, Any]:
    """Read a JSON file of names and values; a file of more bytes than the limit is refused.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it contains something else, or is larger; names the file.
    """
    check_file(path)
    size = path.stat().st_size
    if most and size > most:
        raise ValueError(f"{path} is damaged: it has {size:,} bytes, more than the {most:,} that such a file can have")
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))  # with the mark that editors of Windows put first
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or not JSON{'' if size else ': it is empty'}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: expected names and values, got {type(values).__name__}")
    return values


def seal(values: dict[str, Any]) -> dict[str, Any]:
    """Return plain values with their checksum as `sha256`."""
    return values | {"sha256": hashlib.sha256(json.dumps(values).encode()).hexdigest()}


def read_sealed(path: Path) -> dict[str, Any]:
    """Read JSON that was written with `seal`; return it without the checksum.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or was changed, or has no checksum; names it.
    """
    values = read_json(path)
    noted = values.pop("sha256", None)
    if noted is None:
        raise ValueError(f"{path} has no checksum: it was changed, or written by an earlier version: make it again")
    if noted != seal(values)["sha256"]:
        raise ValueError(f"{path} is damaged or was changed: its checksum does not match")
    return values


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept_arrays(
    path: Path,
    key: dict[str, str],
    make: Callable[[], dict[str, Any]],
    what: str,
    digest: Callable[[dict[str, Any]], str] | None = None,
    compress: bool = True,
) -> dict[str, Any]:
    """Return the arrays in a `.npz` file; if it is missing or damaged, make them and write it.

    A damaged file causes a warning. The folder is tested for write access before the arrays are made.

    Args:
        path: of the file.
        key: texts that are stored with the arrays, by name. They say what the arrays were made from; a file with
            other texts counts as damaged.
        make: returns the arrays by name.
        what: the arrays in words, for messages, e.g. "the labels".
        digest: returns the checksum of the arrays, which is stored as `sha256` and checked. None: only the CRC-32 of
            the file format is checked.
        compress: compress the file.

    Raises:
        OSError: the file cannot be written; says what to do.
    """
    import numpy as np

    if path.exists():
        try:
            check_file(path)
            with np.load(path) as file:
                arrays = dict(file)
            if any(str(arrays.pop(name)) != text for name, text in key.items()):
                raise ValueError("it was made from something else")
            if digest and str(arrays.pop("sha256")) != digest(arrays):
                raise ValueError("its checksum does not match")
            return arrays
        except Exception as error:  # a damaged file can make numpy raise nearly anything
            warnings.warn(f"{path} is damaged ({error}); {what} are made again", stacklevel=3)
    with plain_write_errors(what, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    arrays = make()
    checksum = {"sha256": digest(arrays)} if digest else {}
    with plain_write_errors(what, path.parent), atomic_write(path) as temporary:
        (np.savez_compressed if compress else np.savez)(temporary, **arrays, **checksum, **key)
    return arrays


@contextmanager
def plain_write_errors(what: str, folder: Path) -> Iterator[None]:
    """Turn an error of writing into one that says what could not be written where, and what to do."""
    try:
        yield
    except OSError as error:
        advice = f"Free space or allow writing there, or {_elsewhere(folder)}."
        message = f"cannot write {what} to {folder}: {error.strerror or error}. {advice}"
        raise type(error)(error.errno, message) from error


def _elsewhere(folder: Path) -> str:
    """Say what leads to another place than a folder: the variable that it depends on, or none."""
    folder = Path(os.path.realpath(folder))
    if os.environ.get("PIVQ_DATA") and folder.is_relative_to(data_dir()):
        return "set PIVQ_DATA to another folder"
    own = any(folder.is_relative_to(root() / part) for part in ("data", "figures", "results"))
    return "set PIVQ_ROOT to another folder" if own else "choose another folder"
