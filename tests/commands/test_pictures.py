"""Folders of pictures; samples, which use them first, are tested in `test_cli.py` and `test_jobs.py`."""

import numpy as np
import pytest
import torch
from PIL import Image

from pivq.commands.pictures import claim, write_grid, write_missing
from pivq.data import to_uint8
from pivq.model import PIVQ


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return PIVQ(tiny_config().model).eval().requires_grad_(False)


def test_a_folder_is_taken_once_and_again_for_the_same(tmp_path):
    note = tmp_path / "out" / "decoded.json"
    claim(note, {"model": "a"}, "pictures", "another model")
    claim(note, {"model": "a"}, "pictures", "another model")
    with pytest.raises(FileExistsError, match="out holds pictures of another model, says decoded.json: choose another"):
        claim(note, {"model": "b"}, "pictures", "another model")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="mine is not empty and holds no pictures"):
        claim(tmp_path / "mine" / "decoded.json", {}, "pictures", "another model")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b""),
                                   lambda path: Image.new("RGB", (9, 9)).save(path),
                                   lambda path: Image.new("L", (16, 16)).save(path)])  # fmt: skip
def test_only_what_is_missing_or_no_such_picture_is_written(model, tmp_path, spoil):
    codes = torch.randint(0, 12, (3, 4), generator=torch.Generator().manual_seed(1))
    paths = [tmp_path / "deep" / f"{i}.png" for i in range(3)]
    assert write_missing(model, codes, paths) == 3
    made = to_uint8(model.decode(codes)).permute(0, 2, 3, 1).numpy()
    assert all(np.array_equal(np.array(Image.open(path)), pixels) for path, pixels in zip(paths, made, strict=True))
    before = [path.read_bytes() for path in paths]
    Image.new("RGB", (16, 16)).save(paths[0])  # whole, so it is kept
    spoil(paths[1])
    assert write_missing(model, codes, paths) == 1
    assert paths[1].read_bytes() == before[1] and paths[0].read_bytes() != before[0]
    assert write_missing(model, codes, paths) == 0


def test_the_overview_has_the_first_64_in_order(tmp_path):
    names = [f"{i}.png" for i in range(70)]
    (tmp_path / "out").mkdir()
    for i, name in enumerate(names):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / "out" / name)
    path = write_grid(tmp_path / "out", names)
    pixels = np.array(Image.open(path))
    assert path == tmp_path / "out-grid.png" and pixels.shape == (8 * 5 + 1, 8 * 5 + 1, 3)
    assert pixels[1::5, 1::5, 0].ravel().tolist() == list(range(64))
