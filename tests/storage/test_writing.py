"""Files are written whole; damaged ones are noticed; an error of writing says what could not be written."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pytest

from pivq.storage.writing import (
    atomic_write,
    check_file,
    file_digest,
    kept_arrays,
    no_formula,
    partial_path,
    plain_write_errors,
    read_json,
    read_sealed,
    seal,
    write_json,
    write_text,
)


def test_atomic_write_makes_folders_and_leaves_one_file(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "note.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a" / "b" / "note.txt").exists()
        assert temporary.suffix == ".txt", "writers choose the format by the suffix"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["note.txt"]
    assert (tmp_path / "a" / "b" / "note.txt").read_text() == "whole"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_atomic_write_leaves_the_old_file_and_no_other_on_failure(tmp_path, error):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_without_a_file_written_is_an_error(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert path.read_text() == "old"


def test_atomic_write_survives_a_kill_in_the_middle(checkout, tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    code = (
        "import os, sys; from pivq.storage.writing import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n    temporary.write_text('ne'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], cwd=checkout).returncode == 9
    assert path.read_text() == "old"


KILLED = (
    "import os, sys; from pivq.storage.writing import atomic_write\n"
    "with atomic_write(sys.argv[1]) as temporary:\n    temporary.write_text('ne'); os._exit(9)"
)


@pytest.mark.parametrize("name", ["checkpoint.pt", "summary.json", "000001.png", "no suffix"])
def test_what_a_killed_process_left_is_removed_at_the_next_write(checkout, tmp_path, name):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], cwd=checkout)
    assert len(list(tmp_path.iterdir())) == 1
    write_text(tmp_path / "other.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + ".json", "a" * 196 + ".b"])
def test_a_file_may_have_the_longest_name_that_there_is(tmp_path, name):
    for text in ("old", "new"):
        with atomic_write(tmp_path / name) as temporary:
            temporary.write_text(text)
            assert temporary.suffix == (tmp_path / name).suffix and temporary.name.startswith(".")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "new")]


def test_what_others_are_writing_is_left_alone(tmp_path):
    here = partial_path(tmp_path / "a.pt").name.split(".")[3]
    names = [
        f".a.{os.getppid()}.{here}.partial.pt",
        ".a.4194399.00000000.partial.pt",
        ".a.4194399.partial.pt",
        "b.partial",
    ]
    for name in names:
        (tmp_path / name).write_text("being written")
    write_text(tmp_path / "other.txt", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {*names, "other.txt"}


def test_leftovers_of_earlier_versions_are_removed_after_a_day(tmp_path):
    old = tmp_path / ".checkpoint.4194399.partial.pt"
    old.write_text("half")
    os.utime(old, (1e9, 1e9))
    write_text(tmp_path / "other.txt", "whole")
    assert not old.exists()


def test_files_are_synced_through_a_descriptor_that_may_write(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def fsync(descriptor):
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY, "EBADF on Windows"

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "note.txt", "whole")


@pytest.mark.parametrize("change", [lambda text: text.replace("3", "4"), lambda text: text.replace("l1", "l2")])
def test_a_sealed_file_that_was_changed_is_named(tmp_path, change):
    path = tmp_path / "summary.json"
    write_json(path, seal({"steps": 3, "l1": 0.1}))
    assert read_sealed(path) == {"steps": 3, "l1": 0.1}
    text = path.read_text()
    path.write_text(change(text[:30]) + text[30:])
    with pytest.raises(ValueError, match="summary.json is damaged or was changed"):
        read_sealed(path)
    for unsealed in ({"steps": 3}, {"steps": 3, "sha256": None}, {}):
        write_json(path, unsealed)
        with pytest.raises(ValueError, match="has no checksum: it was changed, or written by an earlier version"):
            read_sealed(path)


def test_write_json_makes_folders_and_ends_the_last_line(tmp_path):
    path, value = tmp_path / "run" / "summary.json", {"steps": 3, "l1": 0.1, "data": {"name": "avatars", "count": None}}
    write_json(path, value)
    assert json.loads(path.read_text()) == value
    assert path.read_text().endswith("}\n") and list(path.parent.iterdir()) == [path]


def test_write_json_leaves_the_old_file_where_a_value_is_none_of_json(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"steps": 3})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"steps": 4, "codes": {1, 2}})
    assert json.loads(path.read_text()) == {"steps": 3}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["=1+1", "+SUM(A1)", "-cmd|x", "@A1", "\t=1", "\r=1", "\n=1", "＝1", "-1,5", "--1"])
def test_what_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(text):
    assert no_formula(text) == f"'{text}".replace("\r", "\n")


@pytest.mark.parametrize("cell", [-1, -1.5, "-1", "-1.5", "+2e-5", "-.5", "a=b", "", " ", "–", "000001", None, True])
def test_numbers_and_plain_words_stay_as_they_are_in_a_table(cell):
    assert no_formula(cell) is cell


def test_options_of_json_are_passed_on(tmp_path):
    write_json(tmp_path / "a.json", {"b": "×", "a": 1}, indent=None, sort_keys=True, ensure_ascii=False)
    assert (tmp_path / "a.json").read_bytes() == '{"a": 1, "b": "×"}\n'.encode()


def test_text_is_written_as_utf_8_and_whole(tmp_path):
    write_text(tmp_path / "new" / "note.md", "3 × 4\n")
    assert (tmp_path / "new" / "note.md").read_bytes() == "3 × 4\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "new" / "note.md", "\ud800")
    assert [path.read_text("utf-8") for path in (tmp_path / "new").iterdir()] == ["3 × 4\n"]


def test_read_json_names_a_file_that_is_damaged(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"steps": 3, "data": "×"})
    assert read_json(path) == {"steps": 3, "data": "×"}
    for content, message in ((b'{"steps": 3', "or not JSON"), (b"[1]", "names and values"), (b"\xff", "or not JSON")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"summary.json is damaged.*{message}"):
            read_json(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="summary.json is damaged or not JSON: it is empty$"):
        read_json(path)
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(ValueError, match="summary.json is damaged or not JSON$"):
        read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "other.json")


def test_json_of_too_many_bytes_is_not_read(tmp_path):
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(20 << 30)
    with pytest.raises(ValueError, match="config.json is damaged: it has 21,474,836,480 bytes, more than"):
        read_json(tmp_path / "config.json")


def test_file_digest_is_the_sha_256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


# --- Kept arrays ------------------------------------------------------------------------------------------------------


def checksum(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(arrays["a"]).hexdigest()


def keep(path, value=1, key="v1", digest=checksum, compress=True):
    """Return the kept arrays, and whether they were made now."""
    made = []
    arrays = kept_arrays(
        path, {"key": key}, lambda: made.append(1) or {"a": np.full(5, value)}, "the numbers", digest, compress
    )
    return arrays, bool(made)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("digest", [checksum, None])
def test_arrays_are_made_once(tmp_path, digest, compress):
    path = tmp_path / "new" / "numbers.npz"
    options = {"digest": digest, "compress": compress}
    with warnings.catch_warnings(action="error"):
        first, again = keep(path, 1, **options), keep(path, 2, **options)
    assert [made for _, made in (first, again)] == [True, False]
    for arrays, _ in (first, again):
        assert list(arrays) == ["a"] and arrays["a"].tolist() == [1] * 5
    assert list(path.parent.iterdir()) == [path]
    with np.load(path) as file:
        assert set(file) == {"a", "key"} | ({"sha256"} if digest else set()) and str(file["key"]) == "v1"


def damages(path):
    """Yield what can be wrong with a file, and the reason that is given."""
    whole = path.read_bytes()
    with np.load(path) as file:
        entries = dict(file)
    yield lambda: path.write_bytes(whole[:-30]), ""
    yield lambda: path.write_bytes(b""), ""
    yield lambda: path.write_text("<html>quota exceeded</html>"), ""
    yield lambda: np.savez(path, **entries | {"a": entries["a"] + 1}), "its checksum does not match"
    yield lambda: np.savez(path, **entries | {"key": "v0"}), "it was made from something else"
    yield lambda: np.savez(path, a=entries["a"]), "key"


@pytest.mark.parametrize("number", range(6))
def test_damaged_arrays_are_named_and_made_again(tmp_path, number):
    path = tmp_path / "numbers.npz"
    keep(path)
    damage, reason = list(damages(path))[number]
    damage()
    with pytest.warns(UserWarning, match=rf"numbers.npz is damaged \(.*{reason}.*\); the numbers are made again"):
        arrays, made = keep(path)
    assert made and arrays["a"].tolist() == [1] * 5
    with warnings.catch_warnings(action="error"):
        assert not keep(path)[1]


def test_a_folder_without_write_access_is_said_before_the_arrays_are_made(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    keep(tmp_path / "numbers.npz")
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert not keep(tmp_path / "numbers.npz")[1], "reading needs no write access"
    with pytest.raises(PermissionError, match=f"cannot write the numbers to {tmp_path}: Permission denied. Free space"):
        kept_arrays(tmp_path / "other.npz", {}, lambda: pytest.fail("made the arrays"), "the numbers")


def test_a_bit_of_any_byte_may_be_flipped(tmp_path, monkeypatch):
    """zipfile and numpy raise nearly anything: NotImplementedError, RuntimeError of an encryption, struct.error, …"""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # takes its time, hundreds of times
    path, remade = tmp_path / "numbers.npz", 0
    keep(path, 1)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            arrays, made = keep(path, 1)
        assert arrays["a"].tolist() == [1] * 5 and made == bool(said), place
        remade += made
    assert remade > len(whole) // 2, "most are noticed; the others are dates and the like"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_leaves_no_arrays(tmp_path, monkeypatch, error):
    def fail(path, **arrays):
        path.write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(np, "savez_compressed", fail)
        keep(tmp_path / "numbers.npz")
    assert not list(tmp_path.iterdir())
    with pytest.raises(type(error)):
        kept_arrays(tmp_path / "numbers.npz", {}, lambda: (_ for _ in ()).throw(error), "the numbers")
    assert not list(tmp_path.iterdir())


# --- Errors of writing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")])
def test_an_error_of_writing_says_what_could_not_be_kept_where(tmp_path, monkeypatch, error):
    place = tmp_path / "results"
    said = f"cannot write the labels to {place}: {error.strerror}. Free space or allow writing there, or set PIVQ_ROOT"
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    with pytest.raises(type(error)) as caught, plain_write_errors("the labels", place):
        raise error
    assert said in str(caught.value) and caught.value.errno == error.errno
    assert caught.value.__cause__ is error


def test_an_error_of_writing_names_the_variable_that_leads_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "root"))

    def advice(place):
        with pytest.raises(OSError) as caught, plain_write_errors("the labels", tmp_path / place):
            raise OSError(errno.EROFS, "Read-only file system")
        return str(caught.value).rpartition(", or ")[2]

    assert advice("root/data/x") == "set PIVQ_ROOT to another folder."
    assert advice("mine/codes.npz.partial") == advice("root/codes.npz.partial") == "choose another folder."
    for data in ("fast", "root/data"):  # inside the other, too
        monkeypatch.setenv("PIVQ_DATA", str(tmp_path / data))
        assert advice(f"{data}/cache") == "set PIVQ_DATA to another folder."
        assert advice("root/results") == "set PIVQ_ROOT to another folder."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has them")
def test_a_pipe_in_the_place_of_a_file_is_named_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    for read in (check_file, read_json, read_sealed):
        with pytest.raises(ValueError, match="a.json is a pipe, a socket or a device, where a file belongs"):
            read(tmp_path / "a.json")
    os.mkfifo(tmp_path / "numbers.npz")
    with pytest.warns(UserWarning, match="numbers.npz is damaged .*a pipe.*; the numbers are made again"):
        assert keep(tmp_path / "numbers.npz")[1]
    assert not keep(tmp_path / "numbers.npz")[1]
    with pytest.raises(FileNotFoundError):
        check_file(tmp_path / "absent")


def test_an_error_of_writing_without_a_number_is_said_in_its_own_words(tmp_path):
    with pytest.raises(OSError, match="cannot write the labels to .*: the disk is gone. Free space"):
        with plain_write_errors("the labels", tmp_path):
            raise OSError("the disk is gone")


def test_other_errors_and_none_stay_as_they_are(tmp_path):
    with plain_write_errors("the labels", tmp_path):
        pass
    with pytest.raises(ValueError, match="^a bad picture$"), plain_write_errors("the labels", tmp_path):
        raise ValueError("a bad picture")


@pytest.mark.parametrize("number", [errno.EFBIG, errno.ENOSPC])
def test_a_file_without_room_is_named(tmp_path, number):
    path = tmp_path / "page.png"
    for filename in (None, str(partial_path(path))):
        with pytest.raises(OSError, match=f": '{path}'$") as caught, atomic_write(path):
            raise OSError(number, os.strerror(number), filename)
        assert caught.value.errno == number
    with pytest.raises(OSError, match=r"No such file or directory: 'other'$"), atomic_write(path):
        open("other")  # noqa: SIM115
    with pytest.raises(BrokenPipeError, match="Broken pipe$"), atomic_write(path):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_the_limit_of_a_process_is_told_with_the_file(tmp_path, checkout):
    code = """if True:
        import resource, signal, sys
        from pathlib import Path
        from pivq.storage.writing import atomic_write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with atomic_write(sys.argv[1]) as temporary:
                temporary.write_bytes(bytes(5000))
        except OSError as error:
            print(error)
    """
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "page.png")]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert said.strip() == f"[Errno 27] File too large: '{tmp_path / 'page.png'}'" and not os.listdir(tmp_path)


def test_the_mark_of_an_editor_is_no_damage(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, seal({"steps": 8}))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_sealed(path) == {"steps": 8} and read_json(path)["steps"] == 8
    path.write_bytes(path.read_bytes().replace(b"8", b"9"))
    with pytest.raises(ValueError, match="its checksum does not match"):
        read_sealed(path)
