"""The size of a folder's pictures; what the jobs write is tested through the command line, in `test_cli.py`."""

import pytest
from PIL import Image

from pivq.commands.jobs import picture_size


def test_the_size_of_a_picture_is_that_of_the_first_that_can_be_read(tmp_path):
    (tmp_path / "0.png").write_text("<html>")
    Image.new("RGB", (30, 20)).save(tmp_path / "1.png")
    assert picture_size(tmp_path) == 20


def test_the_size_of_a_picture_is_its_shorter_side(tmp_path):
    (tmp_path / "note.txt").write_text("not a picture")
    with pytest.raises(ValueError, match="no images in"):
        picture_size(tmp_path)
    Image.new("RGB", (30, 20)).save(tmp_path / "10.png")
    Image.new("RGB", (40, 50)).save(tmp_path / "2.png")
    assert picture_size(tmp_path) == 40, "the first in natural order"
