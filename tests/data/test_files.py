"""Listing the pictures in a folder or a zip; web pages in their place."""

import os
import zipfile

import numpy as np
import pytest
from stand_ins import BLUE, HTML, draw, noise, truncate

from pivq.data.decoding import UnreadableImage, decode, examine
from pivq.data.files import Files, ids_of, is_html, natural_key


def test_files_are_in_natural_order_without_hidden_ones(folder):
    for name in ("10.jpg", "2.JPG", "b/1.Png", "b/02.jpeg", "._x.jpg", ".cache/3.jpg", "__MACOSX/4.jpg", "note.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    files = Files(folder)
    assert files.pictures() == ["2.JPG", "10.jpg", "b/1.Png", "b/02.jpeg"]
    assert list(files.listing) == ["2.JPG", "10.jpg", "b/1.Png", "b/02.jpeg", "note.txt"]
    assert files.listing["note.txt"] == (1, os.stat(folder / "note.txt").st_mtime_ns)


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


@pytest.mark.parametrize("page", [HTML, b"\xef\xbb\xbf \r\n<HTML><body>", b"<!-- saved -->\n<html lang='en'>"])
def test_web_pages_are_recognised(page):
    assert is_html(page)


@pytest.mark.parametrize("content", [b"", b"202599\n5_o_Clock", b"\xff\xd8\xff\xe0", b"\x89PNG", b"[]"])
def test_other_content_is_no_web_page(content):
    assert not is_html(content)
