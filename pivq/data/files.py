"""List the pictures in a folder or a zip, in their order, with their ids."""

import hashlib
import io
import json
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm",
)  # fmt: skip
# Endings of pictures that are not read, and of archives: what such files hold is missing in the data set.
OTHER_PICTURES = (
    ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".psd", ".tga", ".dds", ".exr", ".hdr", ".raw",
    ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".dng", ".svg", ".pbm", ".pnm", ".apng", ".avifs", ".dib", ".mpo",
    ".ico", ".pcx",
)  # fmt: skip
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
TABLES = (".csv", ".tsv", ".xls", ".xlsx", ".parquet", ".feather", ".jsonl", ".mat", ".pkl")
PACKED = (
    ".parquet", ".arrow", ".feather", ".tfrecord", ".tfrecords", ".mdb", ".h5", ".hdf5", ".npz", ".npy", ".mat", ".pkl",
)  # fmt: skip
SYSTEM_FOLDERS = {
    "__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler",
    "lost+found", "system volume information", "network trash folder", "temporary items",
}  # fmt: skip
PICTURE_HEADS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8|BM.{4}\0\0\0\0|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(avi|hei|hev|mif)|\xff\x0a|\0\0\0\x0cJXL",
    re.DOTALL,
)
WINDOWS = (0, 10, 14)  # where an entry of a zip was made: FAT, NTFS, VFAT; no name there has a backslash in it
LOOKED_INTO = 5  # files of each unknown extension
READ_WHOLE = 64_000_000  # bytes: larger entries of a zip are read in pieces
HTML_PAGE = "this is an HTML page, probably a download-quota page, not the file itself: download it again"
LFS_POINTER = 'a Git LFS pointer, not the file itself: run "git lfs pull" in the clone, or download the file'


class Files:
    """All files below a folder, or in a zip, which is read without unpacking.

    Hidden files and folders of systems (`._x.jpg`, `__MACOSX`, `@eaDir`, `lost+found`) are counted and passed over.
    Links are followed; each folder is read once. The names in a zip are read as other systems write them: `a\\1.jpg`
    and `./a/1.jpg` are `a/1.jpg`.

    Args:
        root: the folder or zip.
        only: list only these of its files, without looking for others; those that do not exist are left out.

    Attributes:
        root: the folder or zip.
        listing: path relative to `root`, with `/` → numbers that change with the file: its size and its times (of
            change and of status) or, in a zip, its checksum. In natural order.
        hidden: number of hidden files and, each as one, folders.
        replaced: entries of a zip that are not read, since a later one has the same name.
        special: pipes, sockets and devices, which are never opened.
        unreadable: folder that cannot be listed → reason.

    Raises:
        OSError: if the folder does not exist or cannot be read.
        ValueError: if it is a file, but not a readable zip.
    """

    def __init__(self, root: str | os.PathLike, only: Iterable[str] | None = None) -> None:
        self.root, self._zip, self.hidden, self.unreadable = Path(root), None, 0, {}
        self.replaced: list[str] = []
        self.special: list[str] = []
        self._entries: dict[str, zipfile.ZipInfo] = {}
        if only is not None:
            found = {path: _numbers(os.stat(self.root / path)) for path in only if os.path.isfile(self.root / path)}
        elif self.root.is_dir():
            found = dict(self._walk())
        else:
            self._zip = _open_zip(self.root)
            self._entries, self.replaced = _by_clean_name(self._zip)
            found = {path: (entry.file_size, entry.CRC) for path, entry in self._entries.items()}
            visible = {path for path in found if not any(map(_is_hidden, path.split("/")))}
            self.hidden = len(found) - len(visible)
            found = {path: numbers for path, numbers in found.items() if path in visible}
        self.listing = {path: found[path] for path in sorted(found, key=natural_key)}

    def open(self, path: str) -> BinaryIO:
        """Open a file of the listing to read its bytes; several threads may do this at once."""
        if not self._zip:
            return open(self.root / path, "rb")
        entry = self._entries[path]
        try:
            return io.BytesIO(self._zip.read(entry)) if entry.file_size <= READ_WHOLE else self._zip.open(entry)
        except RuntimeError:  # NotImplementedError too: for example Deflate64, as Windows packs what is large
            how = "with a password" if entry.flag_bits & 1 else f"by a method that is not read ({entry.compress_type})"
            raise ValueError(f"packed {how}: unpack the zip with another program, and give the folder") from None

    def read(self, path: str, limit: int) -> bytes:
        """Return the content of a file of at most `limit` bytes.

        Raises:
            ValueError: it is larger, or the zip is damaged there.
        """
        if self.listing[path][0] > limit:
            raise ValueError(f"{self.listing[path][0]:,} bytes, more than the {limit:,} that such a file can have")
        try:
            with self.open(path) as file:
                return file.read()
        except (OSError, MemoryError):
            raise
        except Exception as error:  # zlib.error, EOFError, RuntimeError (encrypted), …
            raise ValueError(f"it cannot be unpacked ({str(error) or type(error).__name__})") from None

    def digest(self, paths: list[str], *more: Any) -> str:
        """Return 12 hex digits that change with these files, their order, the root and `more`.

        The root counts because files that were packed without their times can have equal names, sizes and times.
        """
        entries = [(path, *self.listing[path]) for path in paths]
        return hashlib.sha256(json.dumps([str(self.root.resolve()), entries, more]).encode()).hexdigest()[:12]

    def pictures(self) -> list[str]:
        """Return the paths with the extension of a picture, in upper or lower case."""
        return [path for path in self.listing if path.lower().endswith(EXTENSIONS)]

    def left_out(self) -> Counter[str]:
        """Count the pictures that `pictures` leaves out, by extension.

        Files whose extension says nothing are looked into, the first few of each extension.
        """
        others: dict[str, list[str]] = {}
        for path in self.listing:
            if not path.lower().endswith(EXTENSIONS):
                others.setdefault(os.path.splitext(path)[1].lower(), []).append(path)
        counts = {
            ending: len(paths)
            for ending, paths in others.items()
            if ending in OTHER_PICTURES or any(map(self._is_picture, paths[:LOOKED_INTO]))
        }
        return Counter(counts)

    def _is_picture(self, path: str) -> bool:
        try:
            with self.open(path) as file:
                return bool(PICTURE_HEADS.match(file.read(16)))
        except Exception:  # a zip raises errors of many kinds
            return False

    def _walk(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the files below a folder; a folder that links reach again, for example in a loop, is read once."""
        pending, seen = deque([(self.root, "")]), set()
        while pending:
            folder, prefix = pending.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                if prefix:
                    self.unreadable[prefix] = error.strerror or str(error)
                    continue
                raise type(error)(error.errno, f"cannot read the folder {folder}: {error.strerror}") from error
            for entry in entries:
                path = prefix + entry.name
                if _is_hidden(entry.name):
                    self.hidden += 1
                    continue
                try:
                    status = entry.stat()
                except OSError:
                    yield path, (0, 0, 0)  # a link to nowhere: opening it says so
                    continue
                if stat.S_ISDIR(status.st_mode):  # links last, so that a path names the real folder of a file
                    (pending.appendleft if entry.is_symlink() else pending.append)((entry.path, path + "/"))
                elif stat.S_ISREG(status.st_mode):
                    yield path, _numbers(status)
                else:
                    self.special.append(path)


def normal(name: str) -> str:
    """Return a name with composed letters: macOS writes é as e and an accent, other systems as one letter."""
    return unicodedata.normalize("NFC", name)


def natural_key(path: str) -> tuple[list, str]:
    """Return a key that sorts numbers in names by value.

    Example:
        >>> sorted(["10.jpg", "2.jpg", "b/1.jpg"], key=natural_key)
        ['2.jpg', '10.jpg', 'b/1.jpg']
    """
    path = normal(path)
    parts = re.split("([0-9]+)", path)
    # A number is its length and its digits: this also compares numbers of thousands of digits.
    keys = [(len(part.lstrip("0")), part.lstrip("0")) if i % 2 else part.lower() for i, part in enumerate(parts)]
    return keys, path


def ids_of(paths: list[str]) -> list[str]:
    """Return a unique id for each path: the path without its extension, or with it where two ids would be equal.

    Bytes that are no UTF-8 stand in it as `\\xe9`, so that every id can be shown and written.

    Example:
        >>> ids_of(["a/1.jpg", "a/2.jpg", "a/2.png"])
        ['a/1', 'a/2.jpg', 'a/2.png']
    """
    if any(path != showable(path) for path in paths):  # then a backslash is doubled: no two ids become the same
        paths = [showable(path.replace("\\", "\\\\")) for path in paths]
    whole = [normal(path) for path in paths]
    counts = Counter(whole)  # of two spellings of one name, only one is composed
    whole = [path if counts[name] > 1 else name for name, path in zip(whole, paths, strict=True)]
    ids = [normal(os.path.splitext(path)[0]) for path in paths]
    while clashes := {name for name, count in Counter(ids).items() if count > 1}:
        ids = [path if name in clashes else name for name, path in zip(ids, whole, strict=True)]
    return ids


def stem(path: str) -> str:
    """Return the name of a file without folders and extension."""
    return showable(normal(path.rpartition("/")[2].rpartition(".")[0]))


def showable(name: str) -> str:
    """Return a file's name as text that can be written: bytes that are no UTF-8 as `\\xe9`.

    Example:
        >>> showable("caf\\udce9.png")
        'caf\\\\xe9.png'
    """
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def is_html(head: bytes) -> bool:
    """Return whether the first bytes of a file are the start of a web page."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head")) or b"<html" in start


def stand_in(head: bytes) -> str | None:
    """Return what the first bytes of a file show to have come in its place, with advice; None if nothing."""
    if is_html(head):
        return HTML_PAGE
    return LFS_POINTER if head.startswith(b"version https://git-lfs") else None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def _numbers(status: os.stat_result) -> tuple[int, int, int]:
    """Return numbers that change with a file: unlike its time of change, the time of its status cannot be set."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _by_clean_name(archive: zipfile.ZipFile) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    """Return the files in a zip by their names, with `/` between folders and without `./`, `/` or `C:` at the start.

    Of several files of one name the last counts, as for programs that unpack; the names of the others come second.
    """
    entries = archive.infolist()
    windows = not any("/" in entry.filename for entry in entries)
    clean: dict[str, zipfile.ZipInfo] = {}
    replaced = []
    for entry in entries:
        name = entry.filename
        if not entry.flag_bits & 0x800 and not name.isascii():  # macOS writes UTF-8 without saying so
            try:
                name = name.encode("cp437").decode()
            except UnicodeError:
                pass
        if windows or entry.create_system in WINDOWS:
            name = name.replace("\\", "/")
        if not name.endswith("/"):
            name = re.sub("^[A-Za-z]:/", "/", name)
            name = "/".join(part for part in name.split("/") if part not in ("", "."))
            replaced += [name] * (name in clean)
            clean[name] = entry
    return clean, replaced


def _open_zip(path: Path) -> zipfile.ZipFile:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a pipe, a socket or a device: give a folder or a zip")
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no folder or zip {path}") from None
    except PermissionError:
        raise
    except Exception as error:  # damaged zips raise errors of many kinds, struct.error and OSError too
        with open(path, "rb") as file:
            head = file.read(512)
        reason = stand_in(head)
        if not reason and (PICTURE_HEADS.match(head) or path.suffix.lower() in EXTENSIONS):
            reason = "one picture is not a data set: give the folder that holds it"
        if not reason and (tarfile.is_tarfile(path) or path.suffix.lower() in ARCHIVES[1:]):
            reason = "an archive of a kind that is not read: unpack it and give the folder, or make a zip of it"
        reason = reason or f"a file, not a folder, and not a readable zip ({error}): incomplete download?"
        raise ValueError(f"{path}: {reason}") from None
