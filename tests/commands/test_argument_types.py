"""The types of arguments: what they return, and in which words they refuse."""

import argparse
from pathlib import Path

import pytest

from pivq.commands.argument_types import (
    at_least,
    ending,
    file,
    folder,
    grid_path,
    images,
    images_or_model,
    inside,
    known,
    named,
    new_file,
    new_folder,
    place,
    same,
    seconds,
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("faces").mkdir()
    Path("face.png").write_text("any")


@pytest.mark.parametrize(
    "kind, text, value",
    [
        (known("device", ["cpu", "cuda"]), "cuda", "cuda"),
        (named, " a", " a"),
        (place, "~nobody-of-this-name/x", Path("~nobody-of-this-name/x")),
        (folder, "faces", Path("faces")),
        (file("picture"), "face.png", Path("face.png")),
        (file("picture", ".png"), "face.png", Path("face.png")),
        (ending(".gif", ".webp"), "new/path.webp", Path("new/path.webp")),
        (at_least(2), "2", 2),
        (at_least(2, 3), "3", 3),
        (new_file(), "new.json", Path("new.json")),
        (new_file(), "face.png", Path("face.png")),
        (new_file(".npz"), "faces/below/c.npz", Path("faces/below/c.npz")),
        (new_folder, "faces", Path("faces")),
        (new_folder, "new/below", Path("new/below")),
        (new_folder, ".", Path(".")),
        (seconds, "0.5", 0.5),
        (seconds, "3600", 3600.0),
    ],
)
def test_values(kind, text, value):
    assert kind(text) == value


@pytest.mark.parametrize("kind", [images, images_or_model, folder, file("picture")])
@pytest.mark.parametrize("name", ["loop", "loop/below", "one"])
def test_links_in_a_circle_lead_nowhere(kind, name):
    Path("loop").symlink_to("loop")
    Path("one").symlink_to("other")
    Path("other").symlink_to("one")
    with pytest.raises(argparse.ArgumentTypeError, match=f"no such [a-z ]+: '{name}'"):
        kind(name)


def test_inside_and_same_follow_links(tmp_path):
    Path("link").symlink_to("faces")
    assert inside(Path("link/a/b"), Path("faces")) and inside(Path("faces"), Path("link"))
    assert not inside(Path("faces2"), Path("faces")) and not inside(tmp_path, Path("faces"))
    assert same(Path("face.png"), Path("faces/../face.png")) and not same(Path("a.png"), Path("b.png"))


def test_images_are_known_by_their_full_path(tmp_path):
    assert images("faces") == (tmp_path / "faces").resolve()


@pytest.mark.parametrize(
    "kind, text, said",
    [
        (known("device", ["cpu", "cuda"]), "gpu", "unknown device 'gpu'; known: cpu, cuda"),
        (known("device", ["cpu", "cuda"]), "cudaa", "unknown device 'cudaa'; did you mean cuda?"),
        (named, " ", "the name of a folder or file is empty"),
        (folder, "face.png", "no such folder: 'face.png'"),
        (images, "nowhere", "no such folder or zip: 'nowhere'"),
        (file("picture"), "faces", "a folder, not a picture: 'faces'"),
        (file("picture"), "nowhere.png", "no such picture: 'nowhere.png'"),
        (file("picture"), "", "the name of a folder or file is empty"),
        (file("file of codes", ".npz", ".csv"), "face.png", "must end in .npz or .csv, got 'face.png'"),
        (ending(".gif"), "path.mp4", "must end in .gif, got 'path.mp4'"),
        (at_least(2), "1", "a whole number of at least 2, got '1'"),
        (ending(".gif", ".png"), ".gif", "must end in .gif or .png, got '.gif'"),
        (ending(".gif"), "a/.gif", "must end in .gif, got 'a/.gif'"),
        (at_least(2, 3), "4", "a whole number from 2 to 3, got '4'"),
        (new_file(), "faces", "a folder, not a file: 'faces'"),
        (new_file(), "", "the name of a folder or file is empty"),
        (new_file(".npz"), "a.npy", "must end in .npz, got 'a.npy'"),
        (new_file(".npz"), "face.png/c.npz", "not a folder: 'face.png/c.npz' (it is a file)"),
        (new_folder, "face.png", "not a folder: 'face.png' (it is a file)"),
        (new_folder, "face.png/a/b", "not a folder: 'face.png/a/b' ('face.png' is a file)"),
        (new_folder, "", "the name of a folder or file is empty"),
        (at_least(2), "1_0", "a whole number of at least 2, got '1_0'"),
        (at_least(2), "2.5", "a whole number of at least 2, got '2.5'"),
        (seconds, "0", "more than 0 and at most 3600, got '0'"),
        (seconds, "nan", "got 'nan'"),
        (seconds, "inf", "got 'inf'"),
        (seconds, "fast", "got 'fast'"),
    ],
)
def test_refusals(kind, text, said):
    with pytest.raises(argparse.ArgumentTypeError, match="(?s).*") as refused:
        kind(text)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", [".", "..", "sub/..", "here", "here/"])
def test_the_overview_of_any_folder_lies_next_to_it(tmp_path, monkeypatch, name):
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" if name != "here" and name != "here/" else tmp_path)
    folder = Path(name).resolve()
    assert grid_path(Path(name)).resolve() == folder.parent / f"{folder.name}-grid.png"
