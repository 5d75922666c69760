"""Weights from outside: where they are looked for, and that nothing else passes for them. On stand-ins."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

import pivq.pretrained.weights
from pivq.pretrained.weights import INCEPTION, VGG16, WEIGHTS, WeightsFile, check_weights

CONTENTS = b"numbers"


@pytest.fixture
def stand_in(monkeypatch, tmp_path) -> WeightsFile:
    """Return a file of weights with known contents; caches are inside `tmp_path`."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(pivq.pretrained.weights.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.delenv("PIVQ_VGG16", raising=False)
    monkeypatch.delenv("PIVQ_INCEPTION", raising=False)
    return dataclasses.replace(VGG16, sha256=hashlib.sha256(CONTENTS).hexdigest())


def put(path: Path, contents: bytes = CONTENTS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    return path


def test_file_is_found_in_a_cache_or_where_said(stand_in, monkeypatch, tmp_path):
    temporary = put(tmp_path / "temporary" / VGG16.name)
    assert stand_in.find() == temporary
    cached = put(tmp_path / "torch" / "hub" / "checkpoints" / VGG16.name)
    assert stand_in.find() == cached
    mine = put(tmp_path / "mine" / VGG16.name)
    for given in (mine, mine.parent):
        monkeypatch.setenv("PIVQ_VGG16", str(given))
        assert stand_in.find() == mine


def test_a_file_that_is_said_may_have_another_name(stand_in, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_VGG16", str(put(tmp_path / "mine" / "vgg.pth")))
    assert stand_in.find() == tmp_path / "mine" / "vgg.pth"


def test_what_is_said_elsewhere_is_not_looked_for_in_a_cache(stand_in, monkeypatch, tmp_path):
    put(tmp_path / "torch" / "hub" / "checkpoints" / VGG16.name)
    monkeypatch.setenv("PIVQ_VGG16", str(tmp_path / "mine"))
    with pytest.raises(FileNotFoundError, match="mine"):
        stand_in.find()


@pytest.mark.parametrize("contents", [b"", b"numb", b"<!DOCTYPE html>"])
def test_other_contents_are_refused(stand_in, tmp_path, contents):
    path = put(tmp_path / "torch" / "hub" / "checkpoints" / VGG16.name, contents)
    with pytest.raises(ValueError, match=f"not the published {VGG16.name}: its {len(contents)} bytes") as error:
        stand_in.find()
    assert str(path) in str(error.value) and stand_in.sha256[:16] in str(error.value)


@pytest.mark.parametrize("size", [10**9 + 1, 20 * 10**9])
def test_a_file_that_is_too_large_is_refused_unread(stand_in, tmp_path, monkeypatch, size):
    with open(put(tmp_path / "torch" / "hub" / "checkpoints" / VGG16.name), "r+b") as file:
        file.truncate(size)  # zeros that take no place on the disk
    monkeypatch.setattr(pivq.pretrained.weights, "file_digest", lambda _: pytest.fail("read"))
    with pytest.raises(ValueError, match=f"not the published {VGG16.name}: it has {size:,} bytes, too many. Download"):
        stand_in.find()


def test_all_that_is_missing_is_said_at_once_with_what_to_put_where(stand_in, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        check_weights(["lpips_vgg", "efficientnet_lite0", "inception"])
    said = str(error.value)
    for file in (VGG16, INCEPTION):
        for part in (file.name, file.sha256[:16], file.url, file.variable):
            assert part in said
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / VGG16.name) in said
    check_weights(["efficientnet_lite0"])


def test_checksums_are_whole_and_vgg_has_the_one_in_its_name():
    assert all(len(file.sha256) == 64 for file in WEIGHTS.values())
    assert VGG16.sha256.startswith(VGG16.name.removesuffix(".pth").split("-")[1])
