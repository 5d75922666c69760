"""Downloads from a server on this computer: cut, wrong, full, two at once; what is in place is whole and right."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from web import served

import pivq
from pivq.storage import fetching
from pivq.storage.fetching import FetchError, fetch, megabytes, place_in
from pivq.storage.locking import InUse

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(fetching, "WAIT", 0.0)
    monkeypatch.setattr(fetching, "CHUNK", 1000)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web():
    with served() as server:
        server.files["numbers.bin"] = CONTENT
        yield server


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "cache" / "numbers.bin"


def bring(web, target: Path, sha256: str = SHA256, size: int = len(CONTENT)) -> None:
    fetch(f"{web.url}/numbers.bin", target, size, sha256)


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def assert_whole(target: Path) -> None:
    """Hold the file to its content, and its folder to holding nothing else."""
    assert target.read_bytes() == CONTENT and list(target.parent.iterdir()) == [target]


def test_a_file_is_brought_whole_with_a_bar(web, target, capsys):
    bring(web, target)
    assert_whole(target)
    assert "numbers.bin: 100%" in capsys.readouterr().err
    assert web.asked == [None]


def test_a_file_that_is_there_and_right_is_not_asked_for_again(web, target):
    bring(web, target)
    bring(web, target)
    assert len(web.asked) == 1


def test_a_cut_download_goes_on_where_it_was_cut(web, target):
    web.cuts = [30_000, 1_000, 0, 20_000]
    bring(web, target)
    assert_whole(target)
    assert web.asked == [None, "bytes=30000-", "bytes=31000-", "bytes=31000-", "bytes=51000-"]


def test_a_download_that_stays_cut_is_kept_and_resumed_by_the_next_call(web, target):
    web.cuts = [30_000, *[0] * 20]
    kept = "30,000 bytes are kept in numbers.bin.part. Run the same command again to resume"
    with pytest.raises(FetchError, match=f"cut after 30,000 of 102,400 bytes; {kept}"):
        bring(web, target)
    assert not target.exists() and part(target).read_bytes() == CONTENT[:30_000]
    assert len(web.asked) == 2 + fetching.FAILURES
    web.cuts, web.asked = [], []
    bring(web, target)
    assert_whole(target)
    assert web.asked == ["bytes=30000-"]


def test_a_server_without_ranges_sends_all_of_it_again(web, target):
    web.ranges, web.cuts = False, [30_000]
    bring(web, target)
    assert_whole(target)
    assert web.asked == [None, "bytes=30000-"]


def test_a_server_that_does_not_say_how_long_the_file_is(web, target):
    web.lengths = False
    bring(web, target)
    assert_whole(target)


def test_a_part_that_was_already_whole_needs_no_more(web, target):
    target.parent.mkdir()
    part(target).write_bytes(CONTENT)
    bring(web, target)
    assert_whole(target)
    assert web.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("kept", [b"of another file" * 100, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_part_of_another_file_is_noticed_and_begun_anew(web, target, kept):
    target.parent.mkdir()
    part(target).write_bytes(kept)
    bring(web, target)
    assert_whole(target)
    assert web.asked[-1] is None


def test_another_checksum_is_refused_and_nothing_is_kept(web, target):
    web.files["numbers.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(FetchError) as error:
        bring(web, target)
    assert "is not the published numbers.bin: it has SHA-256" in str(error.value)
    assert SHA256[:16] in str(error.value) and "--from DIR|URL" in str(error.value)
    assert list(target.parent.iterdir()) == []


def test_what_is_in_place_stays_until_the_new_file_is_whole(web, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    web.files["numbers.bin"] = b"wrong"
    with pytest.raises(FetchError):
        bring(web, target)
    assert target.read_bytes() == b"old"
    web.files["numbers.bin"] = CONTENT
    bring(web, target)
    assert_whole(target)


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/html"])
def test_a_web_page_is_not_taken_for_the_file_and_leaves_the_part_alone(web, target, kind):
    web.kind, web.files["numbers.bin"] = kind, b"\n<!DOCTYPE html><title>Quota exceeded</title>"
    web.ranges = False
    target.parent.mkdir()
    part(target).write_bytes(CONTENT[:5000])
    with pytest.raises(FetchError, match="answered with a web page .* not with numbers.bin: look at it in a browser"):
        bring(web, target)
    assert part(target).read_bytes() == CONTENT[:5000] and not target.exists()


def test_errors_of_the_server(web, target):
    with pytest.raises(FetchError, match="/none answered 404 Not Found. Take it from another place: --from"):
        fetch(f"{web.url}/none", target, 10, SHA256)
    assert len(web.asked) == 1, "asking again would not help"
    web.statuses = [503, 429]
    bring(web, target)
    assert_whole(target)
    web.statuses = [500] * 20
    with pytest.raises(FetchError, match="the server answered 500"):
        fetch(f"{web.url}/numbers.bin", target.with_name("other"), len(CONTENT))


def test_no_server_at_all(target):
    with served() as gone:
        pass
    with pytest.raises(FetchError, match="cannot reach 127.0.0.1:.*: is there a network?"):
        bring(gone, target)


@pytest.mark.parametrize("lengths", [True, False])
def test_far_more_bytes_than_expected_are_refused(web, target, lengths):
    web.lengths = lengths
    with pytest.raises(FetchError, match="bytes or more, expected about 20,000"):
        bring(web, target, size=20_000)
    assert not target.exists()
    assert not lengths or not part(target).exists(), "refused before a byte is written"


def test_no_space_is_said_before_anything_is_written(web, target, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5_000_000}))
    with pytest.raises(FetchError, match=f"5 MB are free at {target.parent}, 16 MB are needed for numbers.bin: free"):
        bring(web, target)
    assert list(target.parent.iterdir()) == []


def test_a_disk_that_fills_up_keeps_what_has_arrived(web, target, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file, self.written = file, 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, chunk):
            if self.file.tell() >= 40_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file.write(chunk)

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "open", lambda path, mode: Full(open(path, mode)), raising=False)
        said = f"cannot write numbers.bin to {target.parent} .No space left on device.: free space there, then"
        with pytest.raises(FetchError, match=f"{said} run the same command again to resume"):
            bring(web, target)
    assert part(target).stat().st_size == 40_000
    web.asked.clear()
    bring(web, target)
    assert_whole(target)
    assert web.asked == ["bytes=40000-"]


def test_a_folder_that_cannot_be_made(web, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(FetchError, match="cannot write numbers.bin to .*cache .*: allow writing there"):
        bring(web, tmp_path / "cache" / "numbers.bin")


def test_two_at_once(web, target):
    web.hold.clear()
    first = threading.Thread(target=bring, args=(web, target))
    first.start()
    while not web.asked:
        time.sleep(0.001)
    with pytest.raises(InUse, match=f"{target.parent} is being used for a download by process {os.getpid()}: wait"):
        bring(web, target)
    web.hold.set()
    first.join()
    assert_whole(target)
    assert web.asked == [None], "the second one asked for nothing"


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_a_killed_download_is_resumed_and_its_lock_is_gone(web, target):
    """Another process downloads, and is killed by the server's second answer."""
    code = (
        "import os, signal, sys; from pathlib import Path; from pivq.storage import fetching\n"
        "fetching.WAIT = 0; fetching.time.sleep = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"fetching.fetch({web.url!r} + '/numbers.bin', Path({str(target)!r}), {len(CONTENT)}, {SHA256!r})"
    )
    web.cuts = [30_000]
    environment = os.environ | {"PYTHONPATH": str(Path(pivq.__file__).parent.parent)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode == -9
    assert part(target).stat().st_size == 30_000
    bring(web, target)
    assert_whole(target)
    assert web.asked == [None, "bytes=30000-"]


def test_a_folder_serves_as_a_mirror(tmp_path, target):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "numbers.bin").write_bytes(CONTENT)
    fetch(place_in(str(mirror), "numbers.bin"), target, len(CONTENT), SHA256)
    assert_whole(target)
    (mirror / "numbers.bin").write_bytes(b"<html>")
    with pytest.raises(FetchError, match="answered with a web page"):
        fetch(mirror / "numbers.bin", target.with_name("other.bin"), len(CONTENT), SHA256)
    with pytest.raises(FetchError, match="cannot read .*absent.bin .No such file"):
        fetch(mirror / "absent.bin", target.with_name("other.bin"), len(CONTENT), SHA256)


def test_places_in_a_mirror(tmp_path):
    assert place_in("https://here.example/files/", "a.bin") == "https://here.example/files/a.bin"
    assert place_in(str(tmp_path), "a.bin") == str(tmp_path / "a.bin")
    with pytest.raises(ValueError, match="--from ftp://x: expected an address that begins with http"):
        place_in("ftp://x", "a.bin")
    with pytest.raises(ValueError, match="--from nowhere: no such folder; .* holds a.bin"):
        place_in("nowhere", "a.bin")


def test_sizes_in_words():
    assert (megabytes(553_433_881), megabytes(1_440_000_000)) == ("553 MB", "1.4 GB")
