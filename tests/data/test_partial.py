"""A cache of decoded images while it is built: kills, damage, other pictures."""

from pathlib import Path

import numpy as np
import pytest

from pivq.data import cache
from pivq.data.partial import PartialCache, index_sum, is_verified, mark_verified, npy_header, pixel_digest


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "root"


@pytest.mark.parametrize("left", ["pixels without a line", "half a line", "a line without its end", "a web page"])
def test_a_kill_at_any_moment_leaves_a_cache_that_can_be_resumed(root, left):
    root.mkdir()
    paths = ["0.png", "1.png", "2.png", "bad.png"]
    chunks = [
        ({"images": {paths[i]: pixel_digest(bytes([i] * 48))}, "bad": {}}, [np.full((3, 4, 4), i, np.uint8)])
        for i in range(3)
    ] + [({"images": {}, "bad": {"bad.png": "an empty file"}}, [])]
    partial = PartialCache(root / "some", 4)
    assert partial.resume(paths) == 0
    for chunk in chunks:
        partial.append(*chunk)
    lines = partial.progress.read_text().splitlines(keepends=True)
    done, kept = {
        "pixels without a line": (2, lines[:2]),
        "half a line": (2, [*lines[:2], lines[2][:20]]),
        "a line without its end": (4, [*lines[:3], lines[3].rstrip()]),
        "a web page": (0, ["<html>"]),
    }[left]
    partial.progress.write_text("".join(kept))
    with open(partial.rows, "ab") as file:
        file.write(b"half a row")

    again = PartialCache(root / "some", 4)
    assert again.resume(paths) == done and list(again.images) == paths[: min(done, 3)]
    for chunk in chunks[done:]:
        again.append(*chunk)
    assert again.bad == {"bad.png": "an empty file"} and again.progress.read_text().splitlines(keepends=True) == lines
    again.finish(again.bad)
    assert np.load(root / "some" / "images.npy")[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert cache._read(root / "some").paths == paths[:3] and [path.name for path in root.iterdir()] == ["some"]


def test_a_partial_cache_of_other_pictures_is_not_used(root):
    root.mkdir()
    partial = PartialCache(root / "some", 4)
    partial.resume(["0.png"])
    partial.append({"images": {"0.png": pixel_digest(bytes(48))}, "bad": {}}, [np.zeros((3, 4, 4), np.uint8)])
    assert partial.resume(["1.png"]) == 0 and partial.progress.read_text() == ""
    assert partial.rows.stat().st_size == len(npy_header((70_000, 3, 4, 4)))


def test_progress_that_is_no_text_is_dropped(root):
    root.mkdir()
    partial = PartialCache(root / "some", 4)
    partial.progress.write_bytes(b"\xff\xfe\n")
    assert partial.resume(["0.png"]) == 0


def test_the_checksum_of_an_index_changes_with_each_part():
    index = {"images": {"0.png": "ab"}, "bad": {}, "versions": {"pillow": "1"}}
    others = [index | {"images": {"0.pog": "ab"}}, index | {"bad": {"1.png": "cut"}}, index | {"versions": {}}]
    assert len({index_sum(one) for one in [index, *others]}) == 4


def test_a_file_counts_as_verified_until_it_changes(tmp_path):
    assert not is_verified(tmp_path)
    (tmp_path / "images.npy").write_bytes(b"abc")
    mark_verified(tmp_path)
    assert is_verified(tmp_path)
    (tmp_path / "images.npy").write_bytes(b"abd")
    assert not is_verified(tmp_path)
