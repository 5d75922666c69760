"""The drawn faces as a data set: drawn once, kept, checked, and what is said when they cannot be."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pivq.data import avatars, faces, load_dataset

pytestmark = pytest.mark.usefixtures("root", "one_process")


def only_file(root: Path) -> Path:
    (path,) = (root / "data").iterdir()  # one file: no second cache, nothing partial
    return path


def test_faces_have_images_ids_attributes_and_choices(root):
    loaded = load_dataset("avatars", "heldout", limit=5)
    assert loaded.images.shape == (5, 3, 64, 64) and loaded.images.dtype == torch.uint8
    assert loaded.ids == [f"heldout-{i:05d}" for i in range(5)]
    drawn = faces.draw_split("heldout", 5)
    for i, face in enumerate(drawn):
        assert loaded.images[i].permute(1, 2, 0).numpy().tobytes() == faces.draw(face, 64)
        row = [None if pd.isna(value) else bool(value) for value in loaded.attributes.loc[loaded.ids[i]]]
        assert row == list(faces.attributes(face))
        assert loaded.choices.loc[loaded.ids[i]].to_dict() == vars(face)
    assert loaded.attributes.index.tolist() == loaded.ids
    assert set(loaded.attributes.dtypes.astype(str)) == {"Int8"}
    assert list(loaded.meanings) == list(loaded.attributes) and all(loaded.meanings.values())
    assert set(loaded.versions) == {"python_avatars", "resvg_py"}
    assert (loaded.name, loaded.split) == ("avatars", "heldout")


def test_drawn_once_then_loaded_and_byte_for_byte_the_same_elsewhere(root, monkeypatch):
    first = load_dataset("avatars", limit=4)
    written = only_file(root).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(faces, "draw_all", lambda *_: pytest.fail("drew a face"))
        again = load_dataset("avatars", limit=4)
    assert torch.equal(first.images, again.images) and first.attributes.equals(again.attributes)
    assert first.fingerprint == again.fingerprint
    monkeypatch.setenv("PIVQ_ROOT", str(root / "elsewhere"))
    load_dataset("avatars", limit=4)
    assert only_file(root / "elsewhere").read_bytes() == written


def test_a_limit_gives_the_same_first_faces_without_drawing_them_again(root, monkeypatch):
    monkeypatch.setitem(avatars.SPLITS, "train", 9)
    drawn = load_dataset("avatars", limit=4)
    whole = load_dataset("avatars")
    assert len(whole) == 9 and torch.equal(whole.images[:4], drawn.images)
    for path in (root / "data").glob("*-4-*"):
        path.unlink()
    monkeypatch.setattr(faces, "draw_all", lambda *_: pytest.fail("drew a face"))
    part = load_dataset("avatars", limit=4)
    assert torch.equal(part.images, drawn.images) and part.ids == drawn.ids
    assert part.attributes.equals(drawn.attributes) and part.choices.equals(drawn.choices)
    assert part.fingerprint == drawn.fingerprint != whole.fingerprint


def test_a_file_of_an_earlier_version_is_read(root, no_drawing):
    """The format is public (data/README.md): names and types of the arrays, and how the checksum is made."""
    arrays = {
        "images": np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8),
        "ids": np.array(["train-00000", "train-00001"]),
        "attributes": np.ones((2, len(faces.ATTRIBUTES)), np.int8),
        "choices": np.array([["x"] * 12] * 2, "U24"),
    }
    digest = hashlib.sha256()
    for name, values in arrays.items():
        digest.update(json.dumps([name, str(values.dtype), values.shape]).encode() + values.tobytes())
    versions = {package: version(package) for package in ("python_avatars", "resvg_py")}
    recipe = hashlib.sha256(Path(faces.__file__).read_bytes() + repr(versions).encode()).hexdigest()[:8]
    (root / "data").mkdir()
    path = root / "data" / f"avatars-8-train-2-{recipe}.npz"
    np.savez_compressed(path, **arrays, sha256=digest.hexdigest(), made_by=json.dumps(versions))
    with warnings.catch_warnings(action="error"):
        loaded = load_dataset("avatars", image_size=8, limit=2)
    assert np.array_equal(loaded.images, arrays["images"]) and loaded.fingerprint == digest.hexdigest()[:16]
    assert only_file(root) == path


def test_the_file_of_the_whole_split_is_repaired(root, monkeypatch):
    monkeypatch.setitem(avatars.SPLITS, "train", 3)
    whole = load_dataset("avatars", image_size=16)
    damage_by_truncation(only_file(root))
    with pytest.warns(UserWarning, match="-3-.* is damaged .*; the drawn faces are made again"):
        part = load_dataset("avatars", image_size=16, limit=2)
    assert torch.equal(part.images, whole.images[:2]) and "-3-" in only_file(root).name


def test_fingerprints_tell_apart_splits_and_sizes(root):
    prints = {load_dataset("avatars", split, size, 2).fingerprint for split in avatars.SPLITS for size in (16, 64)}
    assert len(prints) == 4


def test_another_drawing_code_or_version_never_meets_old_faces(root, monkeypatch):
    load_dataset("avatars", image_size=16, limit=2)
    monkeypatch.setattr(avatars, "version", lambda package: "9.9")
    load_dataset("avatars", image_size=16, limit=2)
    assert len(list((root / "data").iterdir())) == 2


@pytest.mark.parametrize("moment", ["drawing", "writing"])
def test_an_interruption_leaves_nothing_behind(root, monkeypatch, moment):
    def interrupted_drawing(some, image_size):
        yield faces.draw(some[0], image_size)
        raise KeyboardInterrupt

    def interrupted_writing(path, **arrays):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "drawing":
            patch.setattr(faces, "draw_all", interrupted_drawing)
        else:
            patch.setattr(np, "savez_compressed", interrupted_writing)
        with pytest.raises(KeyboardInterrupt):
            load_dataset("avatars", limit=3)
    assert list((root / "data").iterdir()) == []
    assert len(load_dataset("avatars", limit=3)) == 3


def damage_by_truncation(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def damage_by_a_flipped_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def damage_by_another_file(path: Path) -> None:
    path.write_text("<html>quota exceeded</html>")


def damage_by_emptying(path: Path) -> None:
    path.write_bytes(b"")


def damage_by_a_changed_pixel(path: Path) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    arrays["images"][0, 0, 0, 0] ^= 1
    np.savez_compressed(path, **arrays)


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_truncation,
        damage_by_a_flipped_byte,
        damage_by_another_file,
        damage_by_emptying,
        damage_by_a_changed_pixel,
    ],
)
def test_a_damaged_file_is_named_and_drawn_again(root, recwarn, damage):
    sound = load_dataset("avatars", limit=2)
    path = only_file(root)
    damage(path)
    with pytest.warns(UserWarning, match=f"{path.name} is damaged .*; the drawn faces are made again"):
        again = load_dataset("avatars", limit=2)
    assert torch.equal(again.images, sound.images) and again.fingerprint == sound.fingerprint
    recwarn.clear()
    load_dataset("avatars", limit=2)
    assert not recwarn.list and only_file(root) == path


def test_two_processes_at_once_do_not_disturb_each_other(root):
    code = "from pivq.data import load_dataset; print(load_dataset('avatars', limit=40).fingerprint)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] == load_dataset("avatars", limit=40).fingerprint + "\n"
    only_file(root)


def refuse(*args, **kwargs):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_without_write_access_it_says_so_before_drawing(root, monkeypatch, no_drawing):
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(PermissionError, match=f"cannot write .* to {root / 'data'}: Permission denied.*PIVQ_ROOT"):
        load_dataset("avatars", limit=2)


def test_a_file_in_place_of_the_folder_is_named(root, no_drawing):
    (root / "data").write_text("not a folder")
    with pytest.raises(OSError, match=f"cannot write .* to {root / 'data'}"):
        load_dataset("avatars", limit=2)


def test_a_full_disk_is_said_plainly_and_leaves_nothing(root, monkeypatch):
    def full(path, **arrays):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="cannot write the drawn faces to .*No space left.*Free space"):
        load_dataset("avatars", limit=2)
    assert list((root / "data").iterdir()) == []


def test_faces_that_are_there_need_no_write_access(root, monkeypatch):
    load_dataset("avatars", limit=2)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert len(load_dataset("avatars", limit=2)) == 2
