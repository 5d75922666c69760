"""The cache of decoded images."""

import errno
import io
import json
import os
import re
import shutil
import struct
import time
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stand_ins import BLUE, RED, bad_files, draw, noise, truncate

from pivq.data import cache
from pivq.data.cache import decode_once
from pivq.data.decoding import BadImages, TooFewImages, decode
from pivq.data.files import Files, natural_key
from pivq.data.partial import index_sum, npy_header, pixel_digest

pytestmark = pytest.mark.filterwarnings("ignore:.*are enlarged", "ignore:.*are left out")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """Keep the cache of each test in a folder of its own."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "root"))
    return tmp_path / "root"


def decoded(folder: Path, size: int = 8, **options):
    files = Files(folder)
    return decode_once(files, files.pictures(), f"some-{size}", size, **options)


@pytest.fixture
def twenty(folder) -> Path:
    """Twenty pictures, each of one level of grey."""
    for i in range(20):
        draw(folder / f"{i}.png", (i, i, i), (8, 8))
    return folder


@pytest.fixture
def no_decoding(monkeypatch):
    def forbid():
        monkeypatch.setattr(cache, "decode", lambda *_: pytest.fail("decoded an image"))
        monkeypatch.setattr(cache, "examine", lambda *_: pytest.fail("examined an image"))

    return forbid


def caches(root: Path) -> list[Path]:
    return sorted(path for path in (root / "data" / "cache").iterdir() if path.name != ".lock")


def test_images_are_decoded_once_and_mapped(twenty, root, no_decoding):
    first = decoded(twenty)
    assert first.images.shape == (20, 3, 8, 8) and first.images.dtype == torch.uint8
    assert first.images[:, 0, 0, 0].tolist() == list(range(20)) and first.paths == [f"{i}.png" for i in range(20)]
    (folder,) = caches(root)
    assert sorted(path.name for path in folder.iterdir()) == ["images.npy", "index.json", "verified"]
    assert np.load(folder / "images.npy").shape == (20, 3, 8, 8)
    no_decoding()
    with warnings.catch_warnings(action="error"):
        again = decoded(twenty)
    assert torch.equal(again.images, first.images) and again.digests == first.digests
    assert again.images[torch.tensor([7, 3])][:, 2, 5, 5].tolist() == [7, 3]
    again.images[0] = 99  # does not reach the file
    assert decoded(twenty).images[0].max() == 0


def test_the_images_are_not_loaded_into_memory(root, folder):
    """300 MB of images are opened, and some read, while this process grows by a tenth of that at most."""
    memory = Path("/proc/self/statm")
    if not memory.exists():
        pytest.skip("no /proc on this system")
    draw(folder / "0.png", size=(512, 512))
    path = decoded(folder, 512) and caches(root)[0]
    index = json.loads((path / "index.json").read_text())
    row = np.load(path / "images.npy")[0].tobytes()
    with open(path / "images.npy", "wb") as file:
        file.write(npy_header((400, 3, 512, 512)))
        for _ in range(400):
            file.write(row)
    index["images"] = {f"{i}.png": index["images"]["0.png"] for i in range(400)}
    del index["sha256"]
    index["sha256"] = index_sum(index)
    (path / "index.json").write_text(json.dumps(index))
    before = int(memory.read_text().split()[1])
    images = cache._read(path).images
    assert len(images) == 400 and images[torch.tensor([5, 399])].shape == images[:2].shape
    assert (int(memory.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") < 30e6


def test_any_change_of_the_images_makes_another_cache(twenty, root, monkeypatch):
    decoded(twenty)
    decoded(twenty, 16)
    draw(twenty / "3.png", BLUE, (8, 8))
    assert decoded(twenty).images[3, :, 0, 0].tolist() == list(BLUE)
    monkeypatch.setattr(cache, "RESAMPLING", Image.Resampling.BILINEAR)
    decoded(twenty)
    files = Files(twenty)
    decode_once(files, files.pictures()[::-1], "some-8", 8)
    assert len(caches(root)) == 5


def test_a_limit_decodes_no_more_and_is_a_part_of_the_whole(twenty, root, monkeypatch, no_decoding):
    looked = []
    monkeypatch.setattr(cache, "decode", lambda *a: looked.append(a[1]) or decode(*a))
    few = decoded(twenty, limit=3)
    assert looked == few.paths == ["0.png", "1.png", "2.png"]
    monkeypatch.undo()
    monkeypatch.setenv("PIVQ_ROOT", str(root))
    whole = decoded(twenty)
    shutil.rmtree(next(path for path in caches(root) if len(np.load(path / "images.npy")) == 3))
    no_decoding()
    part = decoded(twenty, limit=3)
    assert torch.equal(part.images, few.images) and part.digests == few.digests == whole.digests[:3]


def test_bad_images_are_reported_together_before_anything_is_decoded(twenty, root, monkeypatch):
    reasons = bad_files(twenty)
    monkeypatch.setattr(cache, "decode", lambda *_: pytest.fail("decoded an image"))
    with pytest.raises(BadImages, match=f"7 of 27 images in {twenty} cannot be read:") as report:
        decoded(twenty)
    lines = str(report.value).splitlines()
    assert {line.split(":")[0].strip() for line in lines[1:-1]} == set(reasons) and 'on_error="skip"' in lines[-1]
    assert not (root / "data").exists()


def test_bad_images_are_left_out_on_request(twenty, no_decoding):
    bad_files(twenty)
    with pytest.warns(UserWarning, match="7 of 27 images in .* are left out"):
        rest = decoded(twenty, on_error="skip")
    assert rest.images[:, 0, 0, 0].tolist() == list(range(20)) and len(rest.bad) == 7
    no_decoding()
    with pytest.warns(UserWarning, match="7 of 27 images"):  # each time
        decoded(twenty, on_error="skip")
    with pytest.raises(BadImages, match="7 of 27"):  # also when they are in the cache
        decoded(twenty)
    with pytest.raises(TooFewImages, match="limit 21 is more than the 20 images"):
        decoded(twenty, on_error="skip", limit=21)


def test_only_bad_images_are_an_error_with_either_on_error(folder):
    (folder / "a.png").write_bytes(b"")
    with pytest.raises(BadImages, match="1 of 1"):
        decoded(folder, on_error="skip")
    spoil_the_middle(noise(folder / "a.png", size=(8, 8)))
    with pytest.raises(BadImages, match="1 of 1"):
        decoded(folder, on_error="skip")


def test_folders_that_are_alike_in_names_sizes_and_times_are_kept_apart(tmp_path):
    for name, colour in (("a", RED), ("b", BLUE)):
        os.utime(draw(tmp_path / name / "1.bmp", colour), (0, 0))
    assert Files(tmp_path / "a").listing["1.bmp"][:2] == Files(tmp_path / "b").listing["1.bmp"][:2]
    assert decoded(tmp_path / "a").images[0, :, 0, 0].tolist() == list(RED)
    assert decoded(tmp_path / "b").images[0, :, 0, 0].tolist() == list(BLUE)


def spoil_the_middle(path: Path) -> None:
    """Change a byte of the pixels of a PNG: header and end are as they should be."""
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 40] ^= 0xFF
    path.write_bytes(content)


def test_damage_that_only_decoding_finds_is_reported_at_its_end(twenty, root, monkeypatch):
    for name in ("4.png", "9.png"):
        spoil_the_middle(noise(twenty / name, size=(8, 8)))
    with pytest.raises(BadImages, match="2 of 20 images") as report:
        decoded(twenty)
    assert "4.png" in str(report.value) and "9.png" in str(report.value)
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="2 of 20 images .* left out: 4.png, 9.png"):
        patch.setattr(cache, "decode", lambda *_: pytest.fail("decoded an image again"))
        rest = decoded(twenty, on_error="skip")
    assert rest.images[:, 0, 0, 0].tolist() == [i for i in range(20) if i not in (4, 9)]
    (whole,) = caches(root)
    assert np.load(whole / "images.npy").shape == (18, 3, 8, 8)
    shutil.rmtree(whole)
    with pytest.warns(UserWarning, match="1 of 7 images .* left out: 4.png"):
        assert decoded(twenty, on_error="skip", limit=6).paths == [f"{i}.png" for i in (0, 1, 2, 3, 5, 6)]
    with pytest.raises(TooFewImages, match="limit 19 is more than the 18 images"):
        decoded(twenty, on_error="skip", limit=19)


def test_different_sizes_are_said_once_with_the_extremes(folder):
    draw(folder / "small.png", size=(5, 9)), draw(folder / "large.png", size=(40, 20)), draw(folder / "mid.png")
    with pytest.warns(UserWarning) as caught:
        assert decoded(folder).images.shape == (3, 3, 8, 8)
    (warning,) = caught
    expected = r"3 images from 5×9 \(small.png\) to 40×20 \(large.png\): .* 8×8; 1 of them are smaller .* enlarged"
    assert re.search(expected, str(warning.message))
    with pytest.warns(UserWarning, match=r"1 images of 16×16: .*; 1 of them are smaller"):
        decoded(draw(folder.with_name("one") / "1.png").parent, 32)
    same = draw(folder.with_name("same") / "1.png").parent
    draw(same / "2.png")
    with warnings.catch_warnings(action="error"):
        decoded(same)


def test_an_interrupted_decoding_is_resumed(twenty, root, monkeypatch):
    monkeypatch.setattr(cache, "CHUNK_IMAGES", 3)
    seen = []

    def interrupted(files, path, *more):
        if path == "13.png":
            raise KeyboardInterrupt
        return decode(files, path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoded(twenty)
    (partial,) = caches(root)
    assert partial.name.endswith(".partial")
    left = [json.loads(line)["images"] for line in (partial / "progress.jsonl").read_text().splitlines()]
    assert [len(chunk) for chunk in left] == [3, 3, 3, 3]
    content = bytearray((partial / "images.npy").read_bytes())
    content[128 + 10 * 192] ^= 1  # in the fourth chunk
    (partial / "images.npy").write_bytes(content)

    monkeypatch.setattr(cache, "decode", lambda *a: seen.append(a[1]) or decode(*a))
    whole = decoded(twenty)
    assert whole.images[:, 0, 0, 0].tolist() == list(range(20))
    assert sorted(seen, key=natural_key) == [f"{i}.png" for i in range(9, 20)]
    assert [path.name.endswith(".partial") for path in caches(root)] == [False]


def cut(folder: Path) -> None:
    truncate(folder / "images.npy", 0.9)


def change_a_name(folder: Path) -> None:
    content = (folder / "index.json").read_text()
    (folder / "index.json").write_text(content.replace("13.png", "13.pog"))


def change_a_digest(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    index["images"]["7.png"] = index["images"]["8.png"]
    (folder / "index.json").write_text(json.dumps(index))


def change_a_level_that_no_sample_looks_at(folder: Path) -> None:
    content = bytearray((folder / "images.npy").read_bytes())
    content[128 + 9 * 192] ^= 1
    (folder / "images.npy").write_bytes(content)


def empty_the_index(folder: Path) -> None:
    (folder / "index.json").write_bytes(b"")


def replace_a_level(folder: Path) -> None:
    content = bytearray((folder / "images.npy").read_bytes())
    content[128 + 10 * 192] ^= 1  # of image 10 of 20
    (folder / "images.npy").write_bytes(content)


def add_to_the_end(folder: Path) -> None:
    with open(folder / "images.npy", "ab") as file:
        file.write(b"more")


def empty_the_images(folder: Path) -> None:
    (folder / "images.npy").write_bytes(b"")


def lose_the_index(folder: Path) -> None:
    (folder / "index.json").unlink()


def spoil_the_index(folder: Path) -> None:
    (folder / "index.json").write_text("[1, 2")


@pytest.mark.parametrize(
    "damage",
    [
        cut, replace_a_level, add_to_the_end, empty_the_images, lose_the_index, spoil_the_index, change_a_name,
        change_a_digest, change_a_level_that_no_sample_looks_at, empty_the_index,
    ],
)  # fmt: skip
def test_a_damaged_cache_is_named_and_built_again(twenty, root, damage):
    first = decoded(twenty).images.clone()
    (folder,) = caches(root)
    damage(folder)
    with pytest.warns(UserWarning, match=f"{folder} is damaged .* decoded again") as caught:
        again = decoded(twenty)
    assert len(caught) == 1 and torch.equal(again.images, first)
    with warnings.catch_warnings(action="error"):
        decoded(twenty)


def test_the_room_needed_is_said_before_decoding(twenty, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    monkeypatch.setattr(cache, "decode", lambda *_: pytest.fail("decoded an image"))
    with pytest.raises(OSError, match="cannot write .* to .*cache: 0.01 GB are needed and 0.00 GB are free"):
        decoded(twenty, 400)


def test_a_folder_that_cannot_be_written_is_said_plainly(twenty, root):
    root.mkdir()
    (root / "data").write_text("not a folder")
    with pytest.raises(OSError, match="cannot write the decoded images to .*PIVQ_ROOT"):
        decoded(twenty)


def test_two_at_once_make_one_cache(twenty, root, monkeypatch):
    """The lock tells threads apart like processes: the second waits, then takes what the first has made."""
    count = []
    monkeypatch.setattr(cache, "decode", lambda *a: count.append(1) or time.sleep(0.01) or decode(*a))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: decoded(twenty), range(2))
    assert first.digests == second.digests and len(count) == 20
    assert [path.name.endswith(".partial") for path in caches(root)] == [False]


def test_a_zip_is_decoded_like_its_folder(twenty):
    archive = twenty.with_name("set.zip")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in twenty.iterdir():
            file.write(path, path.name)
    archive.write_bytes(buffer.getvalue())
    assert decoded(archive).digests == decoded(twenty).digests


def test_any_flipped_byte_of_the_index_is_noticed(twenty, root):
    first = decoded(twenty)
    (folder,) = caches(root)
    whole = (folder / "index.json").read_bytes()
    for at in range(0, len(whole), 17):
        content = bytearray(whole)
        content[at] ^= 1
        (folder / "index.json").write_bytes(content)
        with pytest.warns(UserWarning, match=f"{folder} is damaged"):
            assert cache._read(folder) is None
    (folder / "index.json").write_bytes(whole)
    assert cache._read(folder).digests == first.digests


def test_all_images_are_checked_only_after_their_file_has_changed(twenty, root, monkeypatch):
    decoded(twenty)
    (folder,) = caches(root)
    count = []
    monkeypatch.setattr(cache, "pixel_digest", lambda pixels: count.append(1) or pixel_digest(pixels))
    decoded(twenty)
    assert len(count) == 10  # of 20, evenly spread
    (folder / "images.npy").touch()
    count.clear()
    decoded(twenty)
    assert len(count) == 20
    count.clear()
    decoded(twenty)
    assert len(count) == 10


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_file_systems_without_locks_are_no_obstacle(twenty, root, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache.fcntl, "flock", refuse)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda size: decoded(twenty, size), (8, 9))
    assert first.images[:, 0, 0, 0].tolist() == second.images[:, 0, 0, 0].tolist() == list(range(20))
    assert not [path for path in caches(root) if path.name.endswith(".partial")]


def test_windows_has_no_locks(twenty, monkeypatch):
    monkeypatch.setattr(cache, "fcntl", None)
    assert len(decoded(twenty).paths) == 20


def test_pictures_of_12_bits_in_the_place_of_16_are_counted_once(folder):
    """They have no mark of their own: a picture of 16 bits that uses the lowest 12 alone is nearly black."""
    levels = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8)
    for name in ("0.png", "1.tif"):
        Image.fromarray(levels).save(folder / name)
    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)  # of a colour PNG, which Pillow does not write with 16 bits
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ))  # fmt: skip
    Image.fromarray(levels * 16).save(folder / "3.png")
    Image.fromarray(levels * 0).save(folder / "4.png")
    Image.fromarray((levels >> 8).astype(np.uint8)).save(folder / "5.png")
    with pytest.warns(UserWarning) as caught:
        assert len(decoded(folder).paths) == 6
    told = "3 images of 16 bits are nearly black, as if they had 12: scale their levels to all 16 bits, if that is so"
    assert [str(w.message) for w in caught] == [f"{told}: 0.png, …"]


def test_pictures_with_damaged_exif_are_counted_once(twenty):
    for name in ("21.jpg", "22.jpg"):
        content = draw(twenty / name, size=(8, 8), dpi=(72, 72)).read_bytes()
        (twenty / name).write_bytes(content[:2] + b"\xff\xe1\0\x10Exif\0\0\0\x08\0\x02\x01\x12\0\x03" + content[2:])
    with pytest.warns(UserWarning) as caught:
        assert len(decoded(twenty).paths) == 22
    assert [str(w.message) for w in caught] == ["2 images have damaged EXIF data and are taken as upright: 21.jpg, …"]


def test_a_wrong_limit_is_said_once(twenty, monkeypatch):
    monkeypatch.setenv("PIVQ_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="PIVQ_MAX_PIXELS must be a whole number of at least 1, got 'many'"):
        decoded(twenty)


def test_a_zip_that_expands_too_far_takes_no_memory(folder, root, monkeypatch):
    monkeypatch.setenv("PIVQ_MAX_PIXELS", "1_000_000")
    path = folder / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(draw(folder / "0.png", size=(8, 8)), "0.png")
        with archive.open("1.png", "w", force_zip64=True) as file:
            for _ in range(1):
                file.write(bytes(1 << 24))
    with pytest.raises(BadImages, match="1.png: 16,777,216 bytes, more than 8 for each pixel of the limit"):
        decoded(path)
    with pytest.warns(UserWarning, match="1 of 2 images"):
        assert decoded(path, on_error="skip").paths == ["0.png"]
