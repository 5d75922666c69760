"""Download a file: resumed after a cut, checked, and in its place only when it is whole. Standard library only.

Nothing calls this but a command that the user gave for that purpose.
"""

import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pivq.storage.locking import locked
from pivq.storage.writing import file_digest

CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without an answer
FAILURES = 4  # in a row that bring not one byte, before it ends
WAIT = 1.0  # seconds after the first failure; doubled after each further one
SPARE_BYTES = 16 * 10**6  # that stay free on the disk
PAGES = (b"<!doctype html", b"<html", b"<?xml")
OTHER_SOURCE = "Take it from another place: --from DIR|URL"


class FetchError(OSError):
    """A file could not be brought; the message is one line: what, from where, and what to do."""


class _Cut(Exception):
    """The connection ended before the file did; its argument says how."""


def fetch(source: str | os.PathLike, target: Path, size: int, sha256: str = "") -> None:
    """Bring a file to `target`, replacing what is there only by a whole and checked file.

    What has arrived is kept in `<target>.part`, also after Ctrl-C or a kill, and the next call resumes there, if the
    server can (HTTP Range), else from the start. A cut connection is tried again. A progress bar is shown.

    Args:
        source: the file's address (http or https), or its path.
        target: where it belongs; the folder is made if there is none.
        size: about how many bytes it has: for the bar and the space on the disk. Twice as many are refused.
        sha256: of its contents; "" to check nothing, which the caller then does.

    Raises:
        FetchError: no connection, no such file, a web page in its place, too many bytes, no space, other contents.
        InUse: another process downloads into this folder.
    """
    part = target.with_name(target.name + ".part")
    with _plain_disk_errors(target), locked(target.parent, "used for a download"):
        if sha256 and target.is_file() and file_digest(target) == sha256:
            return  # another process brought it
        resumed = part.exists()
        _bring(source, part, target, size)
        if sha256 and resumed and file_digest(part) != sha256:  # its first half was of another file
            part.unlink()
            _bring(source, part, target, size)
        if sha256 and (digest := file_digest(part)) != sha256:
            part.unlink()
            raise FetchError(
                f"{source} is not the published {target.name}: it has SHA-256 {digest[:16]}…, expected "
                f"{sha256[:16]}…. {OTHER_SOURCE}"
            )
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)


def is_url(source: str | os.PathLike) -> bool:
    """Tell an address from a path."""
    return "://" in str(source)


def place_in(source: str, name: str) -> str:
    """Return the address or path of a file in a mirror, which is a folder or the address of one.

    Raises:
        ValueError: an address that is neither http nor https, or no such folder.
    """
    if is_url(source):
        if urllib.parse.urlsplit(source).scheme not in ("http", "https"):
            raise ValueError(f"--from {source}: expected an address that begins with http:// or https://, or a folder")
        return f"{source.rstrip('/')}/{name}"
    folder = Path(os.path.expanduser(source))
    if not os.path.isdir(folder):
        raise ValueError(f"--from {source}: no such folder; expected the folder, or the address, that holds {name}")
    return str(folder / name)


def megabytes(count: float) -> str:
    """Return a number of bytes in words, e.g. "553 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _bring(source: str | os.PathLike, part: Path, target: Path, size: int) -> None:
    """Fill `part`; after a cut, resume from its end."""
    from tqdm import tqdm

    with tqdm(total=size, desc=target.name, unit="B", unit_scale=True) as bar:
        if not is_url(source):
            return _copy(Path(source), part, target, size, bar)
        failures = 0
        while True:
            before = _bytes_in(part)
            try:
                return _receive(str(source), part, target, size, bar)
            except _Cut as cut:
                failures = 0 if _bytes_in(part) > before else failures + 1
                if failures > FAILURES:
                    raise FetchError(
                        f"{source}: {cut}; {_bytes_in(part):,} bytes are kept in {part.name}. Run the same command "
                        "again to resume"
                    ) from None
                time.sleep(WAIT * 2 ** max(failures - 1, 0))


def _receive(url: str, part: Path, target: Path, size: int, bar) -> None:
    """Append to `part` what a server sends of the rest.

    Raises:
        _Cut: less arrived than there is; trying again may help.
        FetchError: trying again would not help.
    """
    have = _bytes_in(part)
    headers = {"User-Agent": "pivq", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
            start = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0  # else all of it comes again
            if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                part.unlink()
                raise _Cut("the server sent another part than asked for")
            length = answer.headers.get("Content-Length", "")
            total = start + int(length) if length.isdigit() else None
            first = answer.read(CHUNK)
            _refuse_pages(url, target, answer.headers.get_content_type(), first, start)
            _refuse_excess(url, total or 0, size)
            check_space(target, (total or size) - start)
            bar.total = total or size
            _append(part, start, first, lambda: answer.read(CHUNK), url, size, bar)
            if total is not None and _bytes_in(part) < total:
                raise _Cut(f"the connection was cut after {_bytes_in(part):,} of {total:,} bytes")
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            if error.headers.get("Content-Range", "").endswith(f"/{have}"):
                return  # all of it is there
            part.unlink()
            raise _Cut("the server has fewer bytes than were kept") from None
        if error.code in (408, 429) or error.code >= 500:
            raise _Cut(f"the server answered {error.code} {error.reason}") from None
        raise FetchError(f"{url} answered {error.code} {error.reason}. {OTHER_SOURCE}") from None
    except urllib.error.URLError as error:
        if not have:  # there was no connection yet: waiting would be for nothing
            host = urllib.parse.urlsplit(url).netloc
            raise FetchError(f"cannot reach {host} ({error.reason}): is there a network? {OTHER_SOURCE}") from None
        raise _Cut(f"no connection ({error.reason})") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _Cut(f"the connection was cut after {_bytes_in(part):,} bytes ({type(error).__name__})") from None


def _copy(path: Path, part: Path, target: Path, size: int, bar) -> None:
    try:
        file = open(path, "rb")
    except OSError as error:
        raise FetchError(f"cannot read {path} ({error.strerror or error}). {OTHER_SOURCE}") from None
    with file:
        total, first = os.fstat(file.fileno()).st_size, file.read(CHUNK)
        _refuse_pages(path, target, "", first, 0)
        _refuse_excess(path, total, size)
        check_space(target, total)
        bar.total = total
        _append(part, 0, first, lambda: file.read(CHUNK), path, size, bar)


def _append(part: Path, start: int, chunk: bytes, read: Callable[[], bytes], source, size: int, bar) -> None:
    """Write all chunks to `part` from byte `start` on; the first is given, `read` returns the others."""
    bar.n = start
    bar.refresh()
    with open(part, "ab" if start else "wb") as file:
        while chunk:
            start += len(chunk)
            _refuse_excess(source, start, size)
            file.write(chunk)
            bar.update(len(chunk))
            chunk = read()


def _refuse_pages(source, target: Path, kind: str, first: bytes, start: int) -> None:
    if kind == "text/html" or not start and first[:200].lstrip().lower().startswith(PAGES):
        raise FetchError(
            f"{source} answered with a web page (a login, quota or error page), not with {target.name}: look at it in "
            f"a browser. {OTHER_SOURCE}"
        )


def _refuse_excess(source, count: int, size: int) -> None:
    if count > 2 * size:
        raise FetchError(f"{source} has {count:,} bytes or more, expected about {size:,}. {OTHER_SOURCE}")


def check_space(target: Path, needed: int) -> None:
    """Raise FetchError if the disk has no room for that many bytes more."""
    free = shutil.disk_usage(target.parent).free
    if free < needed + SPARE_BYTES:
        raise FetchError(
            f"{megabytes(free)} are free at {target.parent}, {megabytes(needed + SPARE_BYTES)} are needed for "
            f"{target.name}: free space there, then run the same command again"
        )


def _bytes_in(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


@contextmanager
def _plain_disk_errors(target: Path) -> Iterator[None]:
    """Turn an error of the file system into one that says what could not be written where, and what to do."""
    try:
        yield
    except FetchError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        advice = "free space there, then run the same command again to resume" if full else "allow writing there"
        reason = error.strerror or error
        raise FetchError(f"cannot write {target.name} to {target.parent} ({reason}): {advice}") from error
