"""List the pictures in a folder or a zip, in their order, with their ids."""

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
HTML_PAGE = "this is an HTML page, probably a download-quota page, not the file itself: download it again"


class Files:
    """All files below a folder, or in a zip, which is read without unpacking.

    Hidden files and folders (`._x.jpg`, `__MACOSX`) are ignored. Links are followed; each folder is read once.

    Attributes:
        root: the folder or zip.
        listing: path relative to `root`, with `/` → two numbers that change with the file: its size and its time or, in
            a zip, its checksum. In natural order.

    Raises:
        OSError: if the folder does not exist or cannot be read.
        ValueError: if it is a file, but not a readable zip.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        self.root, self._zip = Path(root), None
        if self.root.is_dir():
            found = dict(_walk(self.root))
        else:
            self._zip = _open_zip(self.root)
            found = {entry.filename: (entry.file_size, entry.CRC) for entry in self._zip.infolist()}
            found = {path: entry for path, entry in found.items() if not path.endswith("/")}
        visible = [path for path in found if not any(map(_is_hidden, path.split("/")))]
        self.listing = {path: found[path] for path in sorted(visible, key=natural_key)}

    def open(self, path: str) -> BinaryIO:
        """Open a file of the listing to read its bytes; several threads may do this at once."""
        return io.BytesIO(self._zip.read(path)) if self._zip else open(self.root / path, "rb")

    def digest(self, paths: list[str], *more: Any) -> str:
        """Return 12 hex digits that change with these files, their order, the root and `more`.

        The root counts because files that were packed without their times can have equal names, sizes and times.
        """
        entries = [(path, *self.listing[path]) for path in paths]
        return hashlib.sha256(json.dumps([str(self.root.resolve()), entries, more]).encode()).hexdigest()[:12]

    def pictures(self) -> list[str]:
        """Return the paths with the extension of a picture, in upper or lower case."""
        return [path for path in self.listing if path.lower().endswith(EXTENSIONS)]


def natural_key(path: str) -> tuple[list[str | int], str]:
    """Return a key that sorts numbers in names by value.

    Example:
        >>> sorted(["10.jpg", "2.jpg", "b/1.jpg"], key=natural_key)
        ['2.jpg', '10.jpg', 'b/1.jpg']
    """
    parts = re.split("([0-9]+)", path)
    return [int(part) if i % 2 else part.lower() for i, part in enumerate(parts)], path


def ids_of(paths: list[str]) -> list[str]:
    """Return a unique id for each path: the path without its extension, or with it where two ids would be equal.

    Example:
        >>> ids_of(["a/1.jpg", "a/2.jpg", "a/2.png"])
        ['a/1', 'a/2.jpg', 'a/2.png']
    """
    ids = [os.path.splitext(path)[0] for path in paths]
    while clashes := {name for name, count in Counter(ids).items() if count > 1}:
        ids = [path if name in clashes else name for name, path in zip(ids, paths, strict=True)]
    return ids


def is_html(head: bytes) -> bool:
    """Return whether the first bytes of a file are the start of a web page."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head")) or b"<html" in start


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _walk(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the files below a folder; a folder that links reach again, for example in a loop, is read once."""
    pending, seen = deque([(root, "")]), set()
    while pending:
        folder, prefix = pending.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise type(error)(error.errno, f"cannot read the folder {folder}: {error.strerror}") from error
        for entry in entries:
            path = prefix + entry.name
            if _is_hidden(entry.name):
                continue
            try:
                status = entry.stat()
            except OSError:
                yield path, (0, 0)  # a link to nowhere: opening it says so
                continue
            if stat.S_ISDIR(status.st_mode):  # links last, so that a path names the real folder of a file
                (pending.appendleft if entry.is_symlink() else pending.append)((entry.path, path + "/"))
            elif stat.S_ISREG(status.st_mode):
                yield path, (status.st_size, status.st_mtime_ns)


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no folder or zip {path}") from None
    except zipfile.BadZipFile as error:
        with open(path, "rb") as file:
            html = is_html(file.read(512))
        reason = HTML_PAGE if html else f"a file, not a folder, and not a readable zip ({error}): incomplete download?"
        raise ValueError(f"{path}: {reason}") from None
