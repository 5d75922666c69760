"""Zips, lists and JPEGs with random changes: read, or refused in words that name the file; never anything else."""

import io
import random
import warnings
import zipfile

import pytest
from PIL import Image
from stand_ins import noise

from pivq.data import load_dataset
from pivq.data.decoding import UnreadableImage, decode
from pivq.data.files import Files
from pivq.data.report import describe

LIST = b"4\nMale Bald\n0.jpg 1 -1\n1.png 1 1\n2.jpg -1 -1\n3.png 1 -1\n"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "root"))


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return the content with a few bytes replaced, and sometimes cut."""
    values = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 20))):
        values[chance.randrange(len(values))] = chance.randrange(256)
    return bytes(values[: chance.randrange(len(values))] if chance.random() < 0.1 else values)


def test_zips(tmp_path):
    buffer, chance, path = io.BytesIO(), random.Random(0), tmp_path / "set.zip"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(4):
            picture = io.BytesIO()
            Image.new("RGB", (9, 9), (9 * i, 3, 4)).save(picture, "PNG" if i % 2 else "JPEG")
            file.writestr(f"a/{i}.{'png' if i % 2 else 'jpg'}", picture.getvalue())
        file.writestr("list_attr_celeba.txt", LIST)
    for _ in range(120):
        path.write_bytes(changed(buffer.getvalue(), chance))
        for call in (lambda: load_dataset(path, "all", 8, on_error="skip"), lambda: describe(path)):
            with warnings.catch_warnings(action="ignore"):
                try:
                    call()
                except (ValueError, OSError) as error:
                    assert "set.zip" in str(error)


def test_lists_never_stop_the_pictures(tmp_path):
    chance, folder = random.Random(0), tmp_path / "set"
    for i in range(4):
        noise(folder / f"{i}.{'png' if i % 2 else 'jpg'}", size=(9, 9))
    for _ in range(150):
        for name in ("list_attr_celeba.txt", "list_attr_celeba.csv"):
            (folder / name).unlink(missing_ok=True)
        (folder / chance.choice(["list_attr_celeba.txt", "list_attr_celeba.csv"])).write_bytes(changed(LIST, chance))
        with warnings.catch_warnings(action="ignore"):
            dataset = load_dataset(folder, "all", 8)
        assert dataset.ids == ["0", "1", "2", "3"]
        assert dataset.attributes is None or set(dataset.attributes.stack().dropna()) <= {0, 1}


def test_pictures(tmp_path):
    chance, folder = random.Random(0), tmp_path / "set"
    whole = {name: noise(folder / name, size=(40, 40)).read_bytes() for name in ("a.jpg", "b.png", "c.webp", "d.gif")}
    whole["e.jpg"] = noise(folder / "e.jpg", size=(40, 40), progressive=True).read_bytes()
    for name, content in whole.items():
        for _ in range(60):
            (folder / name).write_bytes(changed(content, chance))
            with warnings.catch_warnings(action="ignore"):
                try:
                    assert decode(Files(folder), name, 8).shape == (3, 8, 8)
                except UnreadableImage as error:
                    assert str(error)
