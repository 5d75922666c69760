"""What the tests of the data share."""

from pathlib import Path

import pytest

from pivq.data import faces


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Keep the faces of each test in a folder of its own."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def one_process(monkeypatch) -> None:
    """Draw the few faces of a test in this process; `test_faces.py` tests the others."""
    monkeypatch.setattr(faces, "draw_all", lambda some, image_size: (faces.draw(face, image_size) for face in some))


@pytest.fixture
def no_drawing(monkeypatch) -> None:
    """Fail if a face is drawn."""
    monkeypatch.setattr(faces, "draw_all", lambda *_: pytest.fail("drew a face"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return an empty folder for pictures."""
    path = tmp_path / "pictures"
    path.mkdir()
    return path
