"""Windows, simulated: no file can be renamed over, or deleted, while any process has it open; no POSIX module is there.

Native runs are in `.github/workflows/tests.yml`; docs/platforms.md says what was tried.
"""

import os
import sys
import types
from pathlib import Path

import kept
import pytest

from pivq.commands import codes
from pivq.data import cache
from pivq.model import PIVQ
from pivq.storage import checkpoint, locking, writing

POSIX_ONLY = ("getuid", "geteuid", "killpg", "fork", "setsid", "sched_getaffinity", "statvfs", "mkfifo")


class Windows(types.ModuleType):
    """`os` as it is there."""

    name = "nt"

    def __getattr__(self, name):
        if name in POSIX_ONLY:
            raise AttributeError(name)
        return getattr(os, name)


def opened(path) -> str:
    """Return the file at a path, or below it, that this process has open or mapped into memory; else ""."""
    path = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(path))), os.path.basename(path))
    held = [line.split(maxsplit=5)[5:] for line in Path("/proc/self/maps").read_text().splitlines()]
    names = [name for (name,) in filter(None, held)]
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:  # that of the listing itself
            continue
    return next((name for name in names if name == path or name.startswith(path + "/")), "")


@pytest.fixture
def windows(monkeypatch):
    """Let this process believe that it runs on Windows, as far as the package can tell."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    for module in (writing, locking, codes):
        monkeypatch.setattr(module, "os", Windows("os"))
    for module in (locking, cache):
        monkeypatch.setattr(module, "fcntl", None)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(writing, "OPEN_ELSEWHERE", 1)
    for name, paths in {"replace": 2, "rename": 2, "unlink": 1, "remove": 1, "rmdir": 1}.items():
        monkeypatch.setattr(os, name, refusing(getattr(os, name), paths))


def refusing(function, paths: int):
    """Return a function of `os` that refuses if one of its first arguments, paths, is open."""

    def call(*arguments, **options):
        for path in arguments[:paths]:
            if "dir_fd" not in options and os.path.lexists(path) and (held := opened(path)):
                raise PermissionError(13, f"in use by another process: {held}", os.fspath(path))
        return function(*arguments, **options)

    return call


def test_no_file_is_replaced_or_deleted_while_it_is_open(windows, tmp_path):
    """Train, go on, export twice; encode, draw, decode, measure, each anew and from what is there."""
    with open(tmp_path / "open", "w"), pytest.raises(PermissionError, match="in use"):
        os.unlink(tmp_path / "open")
    root = tmp_path / "root"
    kept.make(root)
    PIVQ.from_pretrained(root / "export").save_pretrained(root / "export")
    for use in (kept.opened, kept.exported, kept.numbers):
        use(root)
    kept.trained(root / "interrupted")
    kept.encode(root, "parts.npz")
    kept.decoded(root / "interrupted")
    (root / "data" / "cache").mkdir(exist_ok=True)
    for path in (root / "data" / "cache").rglob("images.npy"):  # damaged, so made again where the old ones were mapped
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="decoded again"):
        assert kept.decoded(root)["ids"] == ["0", "1", "2", "3", "4"]
    assert not [path for path in root.rglob("*") if path.name == locking.NAMES[1] or "partial" in path.name]


def test_a_rename_waits_for_a_reader_or_a_virus_scanner(monkeypatch, tmp_path):
    waits, real = [], os.replace

    def busy(source, target):
        if len(waits) < 3:
            raise PermissionError(13, "in use by another process", str(target))
        real(source, target)

    monkeypatch.setattr(writing.time, "sleep", waits.append)
    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError):  # on other systems this is no accident
        writing.write_text(tmp_path / "note", "new")
    assert not waits
    monkeypatch.setattr(writing, "os", Windows("os"))
    writing.write_text(tmp_path / "note", "new")
    assert (tmp_path / "note").read_text() == "new" and len(waits) == 3
    waits.clear()
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links here")))  # as on exFAT
    for step in (1, 2):
        checkpoint.save_checkpoint(tmp_path / "checkpoint.pt", {"step": step})
    assert (tmp_path / "checkpoint.previous.pt").exists() and len(waits) == 3

    waits.clear()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "in use")))
    with pytest.raises(PermissionError):
        writing.write_text(tmp_path / "note", "newer")
    assert len(waits) == writing.OPEN_ELSEWHERE and (tmp_path / "note").read_text() == "new"


@pytest.mark.parametrize("name", ["con", "NUL.tar", "a/aux/b", "lpt1", "a:b", "what?", "a*", "<b>", "dot./x", "end /x"])
def test_an_id_that_names_no_file_on_windows_is_refused_there(windows, name):
    with pytest.raises(ValueError, match=r"row 2: the id .* is too long, or no text that can name a file"):
        codes._picture_names(["good", name])
    assert codes._picture_names(["console", "a.b/c", "nullify"]) == ["console.png", "a.b/c.png", "nullify.png"]


def test_a_checkout_has_line_ends_that_bash_reads(checkout):
    assert "* text=auto eol=lf" in (checkout / ".gitattributes").read_text().splitlines()
    for name in ("run_all.sh", "run_lab.sh", "run_tests.sh", "setup_env.sh", ".gitattributes", "requirements.lock"):
        assert b"\r" not in (checkout / name).read_bytes(), name
