"""Listing the pictures in a folder or a zip; web pages in their place."""

import os
import socket
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from stand_ins import BLUE, HTML, draw, noise, truncate

from pivq.data.decoding import UnreadableImage, decode, examine
from pivq.data.files import Files, ids_of, is_html, natural_key, stem


def test_files_are_in_natural_order_without_hidden_ones(folder):
    for name in ("10.jpg", "2.JPG", "b/1.Png", "b/02.jpeg", "._x.jpg", ".cache/3.jpg", "__MACOSX/4.jpg", "note.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    files = Files(folder)
    assert files.pictures() == ["2.JPG", "10.jpg", "b/1.Png", "b/02.jpeg"]
    assert list(files.listing) == ["2.JPG", "10.jpg", "b/1.Png", "b/02.jpeg", "note.txt"]
    status = os.stat(folder / "note.txt")
    assert files.listing["note.txt"] == (1, status.st_mtime_ns, status.st_ctime_ns) and files.hidden == 3


def test_natural_order_holds_for_names_that_mix_numbers_and_words():
    names = ["a1.jpg", "1.jpg", "a10.jpg", "a9b.jpg", "A2.jpg", "", "007.jpg", "7.jpg"]
    ordered = ["", "1.jpg", "007.jpg", "7.jpg", "a1.jpg", "A2.jpg", "a9b.jpg", "a10.jpg"]
    assert sorted(names, key=natural_key) == ordered


def test_a_zip_is_read_as_it_is(folder):
    draw(folder / "b" / "2.png"), draw(folder / "b" / "10.png", BLUE)
    archive = folder.with_name("set.zip")
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("b/10.png", "b/2.png"):
            file.write(folder / name, name)
        file.writestr("__MACOSX/b/._2.png", b"x")
        file.mkdir("b")
    files = Files(archive)
    assert list(files.listing) == ["b/2.png", "b/10.png"]
    assert np.array_equal(decode(files, "b/10.png", 8), decode(Files(folder), "b/10.png", 8))


def test_links_are_followed_once_and_loops_end(folder):
    draw(folder / "real" / "1.png")
    (folder / "real" / "up").symlink_to(folder)
    (folder / "alias").symlink_to(folder / "real")
    (folder / "self").symlink_to(folder / "self")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")  # opening it would wait for ever
    elsewhere = draw(folder.with_name("elsewhere") / "2.png").parent
    (folder / "link").symlink_to(elsewhere)
    files = Files(folder)
    assert files.pictures() == ["gone.png", "link/2.png", "real/1.png"]
    with pytest.raises(UnreadableImage, match="No such file"):
        examine(files, "gone.png")


def test_ids_never_clash():
    assert ids_of(["a/1.jpg", "a/2.JPG", "b/1.jpg"]) == ["a/1", "a/2", "b/1"]
    paths = ["x.jpg", "x.jpg.png", "x.png", "y.v2.png"]  # "x.jpg" is the first's name and the second's stem
    assert ids_of(paths) == ["x.jpg", "x.jpg.png", "x.png", "y.v2"]


def test_what_is_no_folder_is_named(folder, monkeypatch):
    with pytest.raises(FileNotFoundError, match=f"no folder or zip {folder / 'none'}"):
        Files(folder / "none")
    page, text = folder / "set.zip", folder / "some.txt"
    page.write_bytes(HTML), text.write_bytes(b"hello")
    with pytest.raises(ValueError, match="set.zip: this is an HTML page, probably a download-quota page"):
        Files(page)
    with pytest.raises(ValueError, match="some.txt: a file, not a folder, and not a readable zip"):
        Files(text)
    with zipfile.ZipFile(folder / "cut.zip", "w") as file:
        file.writestr("1.png", noise(folder / "1.png").read_bytes())
    truncate(folder / "cut.zip")
    with pytest.raises(ValueError, match="cut.zip: .*incomplete download"):
        Files(folder / "cut.zip")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match=f"cannot read the folder {folder}: Permission denied"):
        Files(folder)


@pytest.mark.parametrize(
    ("method", "flags", "how"), [(9, 0, "by a method that is not read .9.: unpack"), (8, 1, "with a password: unpack")]
)
def test_entries_that_cannot_be_unpacked_here_are_told_with_what_to_do(folder, method, flags, how):
    with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("1.png", bytes(100))
    content = bytearray((folder / "set.zip").read_bytes())
    for head, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the entry's own head, and that in the list of the zip
        place = content.index(head) + at
        content[place : place + 4] = struct.pack("<HH", flags, method)
    (folder / "set.zip").write_bytes(content)
    files = Files(folder / "set.zip")
    with pytest.raises(ValueError, match=f"packed {how} the zip with another program, and give the folder"):
        files.open("1.png")
    with pytest.raises(ValueError, match=f"cannot be unpacked .packed {how}"):
        files.read("1.png", 1000)
    with pytest.raises(UnreadableImage, match=f"^packed {how}"):
        examine(files, "1.png")


@pytest.mark.parametrize("page", [HTML, b"\xef\xbb\xbf \r\n<HTML><body>", b"<!-- saved -->\n<html lang='en'>"])
def test_web_pages_are_recognised(page):
    assert is_html(page)


@pytest.mark.parametrize("content", [b"", b"202599\n5_o_Clock", b"\xff\xd8\xff\xe0", b"\x89PNG", b"[]"])
def test_other_content_is_no_web_page(content):
    assert not is_html(content)


def raw_zip(path, names, content=b"x", system=3):
    """Write a zip whose entries have names as other systems write them; 3 is Unix."""
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.create_system = system
            info.filename = info.orig_filename = name
            file.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["faces\\a\\1.jpg", "faces\\2.jpg", "__MACOSX\\faces\\._1.jpg"], ["faces/2.jpg", "faces/a/1.jpg"]),
        (["./a/1.jpg", "./2.jpg", "./"], ["2.jpg", "a/1.jpg"]),
        (["/data/1.jpg", "/data//2.jpg"], ["data/1.jpg", "data/2.jpg"]),
        (["C:\\pictures\\1.jpg"], ["pictures/1.jpg"]),
        (["a\\b.jpg", "c/d.jpg"], ["a\\b.jpg", "c/d.jpg"]),  # a backslash in a name, on Linux
    ],
)
def test_names_in_zips_of_other_systems(folder, names, listed):
    files = Files(raw_zip(folder / "set.zip", names))
    assert files.pictures() == listed
    for path in listed:
        assert files.open(path).read() == b"x"


@pytest.mark.parametrize("system", [0, 10, 14])
def test_a_zip_made_on_windows_has_no_backslash_in_a_name_even_beside_slashes(tmp_path, system):
    names = ["readme/", "a\\b\\1.jpg", "c/d.jpg"]
    assert Files(raw_zip(tmp_path / "x.zip", names, system=system)).pictures() == ["a/b/1.jpg", "c/d.jpg"]


@pytest.mark.parametrize("again", ["a.jpg", "./a.jpg", "/a.jpg"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_files_of_one_name_in_a_zip_the_last_is_read_and_the_other_named(folder, again):
    path = raw_zip(folder / "set.zip", ["a.jpg", "b.jpg"])
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(again, b"later")
    files = Files(path)
    assert files.pictures() == ["a.jpg", "b.jpg"] and files.replaced == ["a.jpg"]
    assert files.open("a.jpg").read() == b"later"


def test_names_in_zips_of_macos_are_utf8_without_saying_so(folder):
    decomposed = "cafe\u0301.jpg"  # as macOS writes é
    path = raw_zip(folder / "set.zip", ["cafeXX.jpg"])
    path.write_bytes(path.read_bytes().replace(b"cafeXX.jpg", decomposed.encode()))
    assert list(Files(path).listing) == [decomposed] and Files(path).open(decomposed).read() == b"x"
    assert ids_of(Files(path).pictures()) == ["caf\u00e9"]


def test_system_folders_are_hidden_and_counted(folder):
    names = ("@eaDir/0.jpg/SYNO_M.jpg", "#recycle/9.jpg", "$RECYCLE.BIN/S-1/$R1.jpg", "lost+found/1.jpg", "a/@eaDir/1")
    for name in ("0.jpg", "System Volume Information/2.jpg", ".Trash/3.jpg", "a/#1.jpg", *names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    files = Files(folder)
    assert files.pictures() == ["0.jpg", "a/#1.jpg"] and files.hidden == 7


def test_a_folder_inside_that_cannot_be_listed_is_noted(folder, monkeypatch):
    draw(folder / "open" / "1.png"), draw(folder / "closed" / "2.png")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    files = Files(folder)
    assert files.pictures() == ["open/1.png"] and files.unreadable == {"closed/": "Permission denied"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has them")
def test_pipes_and_sockets_are_counted_and_never_opened(folder):
    draw(folder / "a.png")
    os.mkfifo(folder / "b.png"), os.mkfifo(folder / "list_attr_celeba.txt")
    with socket.socket(socket.AF_UNIX) as open_socket:
        (folder / "in").mkdir()
        open_socket.bind(os.path.relpath(folder / "in" / "c.jpg"))  # a name of a socket has at most 107 bytes
    files = Files(folder)
    assert files.pictures() == ["a.png"] and sorted(files.special) == ["b.png", "in/c.jpg", "list_attr_celeba.txt"]
    for place in (folder / "b.png", "/dev/null"):
        with pytest.raises(ValueError, match=f"{place} is a pipe, a socket or a device: give a folder or a zip"):
            Files(place)


def test_pictures_that_are_not_read_are_counted(folder):
    for name in ("1.jpg", "2.JFIF", "3.jpe", "4.avif", "5.heic", "6.HEIC", "7.jxl", "note.txt", "README"):
        (folder / name).write_bytes(b"x")
    for name in ("8", "9.upload", "10.upload"):  # no or an unknown extension, but pictures
        draw(folder / "picture.png")
        (folder / "picture.png").rename(folder / name)
    files = Files(folder)
    assert files.pictures() == ["1.jpg", "2.JFIF", "3.jpe", "4.avif"]
    assert files.left_out() == {".heic": 2, ".jxl": 1, "": 2, ".upload": 2}


def test_ids_do_not_depend_on_how_a_system_spells_letters():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert ids_of([f"{decomposed}/1.jpg"]) == ids_of([f"{composed}/1.jpg"]) == [f"{composed}/1"]
    both = [f"{composed}.jpg", f"{decomposed}.jpg", f"{composed}.jpg.png"]
    assert len(set(ids_of(both))) == 3
    assert natural_key(f"{decomposed}9") < natural_key(f"{composed}10") < natural_key(f"{decomposed}" + "1" * 9999)
    undecodable = os.fsdecode(b"caf\xe9.jpg")
    assert ids_of([undecodable]) == ["caf\\xe9"] and stem(f"a/{undecodable}") == "caf\\xe9"
    paths = [undecodable, "caf\\xe9.jpg", "caf\\\\xe9.jpg", f"{composed}.jpg", "\udcff.png", "\udcff.jpg"]
    ids = ids_of(paths)
    assert len(set(ids)) == len(paths) and ids[-2:] == ["\\xff.png", "\\xff.jpg"]
    "".join(ids).encode()  # all of them can be written


def test_a_file_changed_in_place_is_another_even_with_its_old_time(folder):
    path = draw(folder / "1.bmp")
    before, status = Files(folder).digest(["1.bmp"]), os.stat(path)
    draw(path, BLUE)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == status.st_mtime_ns and os.stat(path).st_size == status.st_size
    assert Files(folder).digest(["1.bmp"]) != before


def test_files_are_read_up_to_a_limit_and_large_entries_in_pieces(folder, monkeypatch):
    (folder / "list.txt").write_bytes(b"12345")
    assert Files(folder).read("list.txt", 5) == b"12345"
    with pytest.raises(ValueError, match="5 bytes, more than the 4 "):
        Files(folder).read("list.txt", 4)
    monkeypatch.setattr("pivq.data.files.READ_WHOLE", 4)
    archive = Files(raw_zip(folder / "set.zip", ["1.jpg"], b"12345"))
    with archive.open("1.jpg") as file:
        assert isinstance(file, zipfile.ZipExtFile) and file.read() == b"12345"


def test_what_was_given_in_place_of_a_folder_is_said(folder):
    picture = draw(folder / "me.jpg")
    with pytest.raises(ValueError, match="me.jpg: one picture is not a data set: give the folder that holds it"):
        Files(picture)
    with tarfile.open(folder / "set.tar.gz", "w:gz") as file:
        file.add(picture, "me.jpg")
    with pytest.raises(ValueError, match="set.tar.gz: an archive of a kind that is not read: unpack it"):
        Files(folder / "set.tar.gz")
    (folder / "set.zip").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match="set.zip: a Git LFS pointer.*git lfs pull"):
        Files(folder / "set.zip")
