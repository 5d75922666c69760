"""Listing, checking and decoding pictures of every kind; the cache of decoded images."""

import io
import json
import os
import re
import shutil
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pivq import image_cache
from pivq.image_cache import decode_once
from pivq.images import (
    BadImages,
    Files,
    TooFewImages,
    UnreadableImage,
    decode,
    examine,
    ids_of,
    is_html,
    natural_key,
    ordered_map,
)

HTML = b"<!DOCTYPE html>\n<html><title>Google Drive - Quota exceeded</title></html>"
RED, BLUE = (200, 30, 40), (20, 60, 220)


pytestmark = pytest.mark.filterwarnings("ignore:.*get enlarged", "ignore:.*are left out")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """Keep the cache of each test in a folder of its own."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    return path


def draw(path: Path, colour=RED, size=(16, 16), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def pixels(folder: Path, name: str, size: int = 8) -> np.ndarray:
    """Return a decoded picture, int (H, W, 3)."""
    files = Files(folder)
    examine(files, name)
    return decode(files, name, size).transpose(1, 2, 0).astype(int)


def truncate(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def noise(path: Path, seed: int = 0, size=(64, 64), **options) -> Path:
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


# --- Listing ----------------------------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="some.txt: a file, not a folder, and no zip"):
        Files(text)
    with zipfile.ZipFile(folder / "cut.zip", "w") as file:
        file.writestr("1.png", noise(folder / "1.png").read_bytes())
    truncate(folder / "cut.zip")
    with pytest.raises(ValueError, match="cut.zip: .*is it cut off"):
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


# --- Decoding ---------------------------------------------------------------------------------------------------------


def test_grey_becomes_rgb(folder):
    Image.new("L", (16, 16), 90).save(folder / "l.png")
    assert (pixels(folder, "l.png") == 90).all()
    Image.new("1", (16, 16), 1).save(folder / "bit.png")
    assert (pixels(folder, "bit.png") == 255).all()


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 100), (51, 224)])  # 224 = 100 · 0.2 + 255 · 0.8
def test_transparent_pixels_lie_on_white(folder, alpha, expected):
    Image.new("LA", (16, 16), (100, alpha)).save(folder / "la.png")
    Image.new("RGBA", (16, 16), (100, 100, 100, alpha)).save(folder / "rgba.png")
    for name in ("la.png", "rgba.png"):
        assert (pixels(folder, name) == expected).all()


def test_palettes_have_their_colours_and_transparency(folder):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([*BLUE, *RED])
    image.save(folder / "p.png")
    image.save(folder / "see_through.png", transparency=1)
    assert (pixels(folder, "p.png") == RED).all()
    assert (pixels(folder, "see_through.png") == 255).all()


def test_16_bits_are_scaled_not_clipped(folder):
    levels = np.repeat(np.array([0, 257, 32768, 65535], np.uint16), 4)[None].repeat(16, 0)
    Image.fromarray(levels).save(folder / "deep.png")
    assert pixels(folder, "deep.png", 16)[0, ::4].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_cmyk_jpeg(folder):
    Image.new("RGB", (16, 16), RED).convert("CMYK").save(folder / "cmyk.jpg", quality=100)
    assert abs(pixels(folder, "cmyk.jpg") - RED).max() <= 4


def test_exif_orientation_6_is_turned_clockwise(folder):
    image = Image.new("RGB", (16, 16), BLUE)
    image.paste(RED, (0, 0, 16, 8))  # red above blue as stored: after a quarter turn clockwise, red is on the right
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "turned.jpg", exif=exif, quality=100, subsampling=0)
    shown = pixels(folder, "turned.jpg", 16)
    assert abs(shown[:, 13] - RED).max() < 12 and abs(shown[:, 2] - BLUE).max() < 12


@pytest.mark.parametrize("upright", [True, False])
def test_the_central_square_is_kept(folder, upright):
    image = Image.new("RGB", (20, 8), BLUE)
    image.paste(RED, (6, 0, 14, 8))
    image = image.transpose(Image.Transpose.ROTATE_90) if upright else image
    image.save(folder / "wide.png")
    assert (pixels(folder, "wide.png") == RED).all()


def test_celeba_is_cropped_to_178_and_resized_antialiased(folder):
    """The 178 rows from row 20 on; a board of 1-pixel squares becomes even grey, where one without a filter stays."""
    board = np.indices((218, 178)).sum(0) % 2 * 255
    board[:20], board[198:] = 0, 0
    Image.fromarray(board.astype(np.uint8)).convert("RGB").save(folder / "000001.png")
    shown = pixels(folder, "000001.png", 64)
    assert abs(shown - 127.5).max() < 20 and abs(shown.mean() - 127.5) < 0.5


def test_pixels_are_not_touched_where_nothing_is_to_be_done(folder):
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "a.png")
    assert np.array_equal(pixels(folder, "a.png"), values)


def bad_files(folder: Path) -> dict[str, str]:
    """Write files that cannot be read; return what is said about each."""
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_bytes(HTML)
    (folder / "text.png").write_bytes(b"not a picture")
    truncate(noise(folder / "half.jpg"))
    truncate(noise(folder / "half.png"))
    truncate(noise(folder / "head.webp"), 0.02)
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(folder / "float.tif")
    return {
        "empty.jpg": "an empty file .0 bytes.",
        "page.jpg": "this is an HTML page, probably a download-quota page",
        "text.png": "not an image in a known format",
        "half.jpg": "truncated",
        "half.png": "truncated",
        "head.webp": ".",
        "float.tif": "floating-point levels",
    }


def test_bad_files_have_their_reason(folder):
    reasons = bad_files(folder)
    files = Files(folder)
    assert set(files.pictures()) == set(reasons)
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImage, match=reason):
            examine(files, name)
            decode(files, name, 8)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(folder):
    path = draw(folder / "a.jpg")
    path.write_bytes(path.read_bytes() + b"made by a camera")
    assert examine(Files(folder), "a.jpg") == (16, 16)


def test_results_are_in_order_and_computed_only_a_few_ahead():
    taken = []
    results = ordered_map(lambda x: x * x, (taken.append(i) or i for i in range(10_000)))
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) <= 5 + 2 * 16
    results.close()
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda x: 1 // x, [1, 0]))


# --- The cache --------------------------------------------------------------------------------------------------------


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
        monkeypatch.setattr(image_cache, "decode", lambda *_: pytest.fail("decoded an image"))
        monkeypatch.setattr(image_cache, "examine", lambda *_: pytest.fail("examined an image"))

    return forbid


def caches(root: Path) -> list[Path]:
    return sorted(path for path in (root / "data" / "cache").iterdir() if path.name != ".lock")


def test_images_are_decoded_once_and_mapped(twenty, root, no_decoding):
    first = decoded(twenty)
    assert first.images.shape == (20, 3, 8, 8) and first.images.dtype == torch.uint8
    assert first.images[:, 0, 0, 0].tolist() == list(range(20)) and first.paths == [f"{i}.png" for i in range(20)]
    (cache,) = caches(root)
    assert sorted(path.name for path in cache.iterdir()) == ["images.npy", "index.json"]
    assert np.load(cache / "images.npy").shape == (20, 3, 8, 8)
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
        file.write(image_cache._header((400, 3, 512, 512)))
        for _ in range(400):
            file.write(row)
    index["images"] = {f"{i}.png": index["images"]["0.png"] for i in range(400)}
    (path / "index.json").write_text(json.dumps(index))
    before = int(memory.read_text().split()[1])
    images = image_cache._read(path).images
    assert len(images) == 400 and images[torch.tensor([5, 399])].shape == images[:2].shape
    assert (int(memory.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") < 30e6


def test_whatever_changes_the_images_makes_another_cache(twenty, root, monkeypatch):
    decoded(twenty)
    decoded(twenty, 16)
    draw(twenty / "3.png", BLUE, (8, 8))
    assert decoded(twenty).images[3, :, 0, 0].tolist() == list(BLUE)
    monkeypatch.setattr(image_cache, "RESAMPLING", Image.Resampling.BILINEAR)
    decoded(twenty)
    files = Files(twenty)
    decode_once(files, files.pictures()[::-1], "some-8", 8)
    assert len(caches(root)) == 5


def test_a_limit_decodes_no_more_and_is_a_part_of_the_whole(twenty, root, monkeypatch, no_decoding):
    looked = []
    monkeypatch.setattr(image_cache, "decode", lambda *a: looked.append(a[1]) or decode(*a))
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
    monkeypatch.setattr(image_cache, "decode", lambda *_: pytest.fail("decoded an image"))
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


def test_only_bad_images_are_an_error_whatever_is_asked_for(folder):
    (folder / "a.png").write_bytes(b"")
    with pytest.raises(BadImages, match="1 of 1"):
        decoded(folder, on_error="skip")
    spoil_the_middle(noise(folder / "a.png", size=(8, 8)))
    with pytest.raises(BadImages, match="1 of 1"):
        decoded(folder, on_error="skip")


def test_folders_that_are_alike_in_names_sizes_and_times_are_kept_apart(tmp_path):
    for name, colour in (("a", RED), ("b", BLUE)):
        os.utime(draw(tmp_path / name / "1.bmp", colour), (0, 0))
    assert Files(tmp_path / "a").listing == Files(tmp_path / "b").listing
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
        patch.setattr(image_cache, "decode", lambda *_: pytest.fail("decoded an image again"))
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


def test_an_interrupted_decoding_is_gone_on_with(twenty, root, monkeypatch):
    monkeypatch.setattr(image_cache, "CHUNK_IMAGES", 3)
    seen = []

    def interrupted(files, path, size):
        if path == "13.png":
            raise KeyboardInterrupt
        return decode(files, path, size)

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoded(twenty)
    (partial,) = caches(root)
    assert partial.name.endswith(".partial")
    left = [json.loads(line)["images"] for line in (partial / "progress.jsonl").read_text().splitlines()]
    assert [len(chunk) for chunk in left] == [3, 3, 3, 3]
    content = bytearray((partial / "images.npy").read_bytes())
    content[128 + 10 * 192] ^= 1  # in the fourth chunk
    (partial / "images.npy").write_bytes(content)

    monkeypatch.setattr(image_cache, "decode", lambda *a: seen.append(a[1]) or decode(*a))
    whole = decoded(twenty)
    assert whole.images[:, 0, 0, 0].tolist() == list(range(20))
    assert sorted(seen, key=natural_key) == [f"{i}.png" for i in range(9, 20)]
    assert [path.name.endswith(".partial") for path in caches(root)] == [False]


def cut(cache: Path) -> None:
    truncate(cache / "images.npy", 0.9)


def replace_a_level(cache: Path) -> None:
    content = bytearray((cache / "images.npy").read_bytes())
    content[128 + 10 * 192] ^= 1  # of image 10 of 20
    (cache / "images.npy").write_bytes(content)


def add_to_the_end(cache: Path) -> None:
    with open(cache / "images.npy", "ab") as file:
        file.write(b"more")


def empty_the_images(cache: Path) -> None:
    (cache / "images.npy").write_bytes(b"")


def lose_the_index(cache: Path) -> None:
    (cache / "index.json").unlink()


def spoil_the_index(cache: Path) -> None:
    (cache / "index.json").write_text("[1, 2")


@pytest.mark.parametrize(
    "damage", [cut, replace_a_level, add_to_the_end, empty_the_images, lose_the_index, spoil_the_index]
)
def test_a_damaged_cache_is_named_and_built_again(twenty, root, damage):
    first = decoded(twenty).images.clone()
    (cache,) = caches(root)
    damage(cache)
    with pytest.warns(UserWarning, match=f"{cache} is damaged .* decoded again") as caught:
        again = decoded(twenty)
    assert len(caught) == 1 and torch.equal(again.images, first)
    with warnings.catch_warnings(action="error"):
        decoded(twenty)


def test_the_room_needed_is_said_before_decoding(twenty, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    monkeypatch.setattr(image_cache, "decode", lambda *_: pytest.fail("decoded an image"))
    with pytest.raises(OSError, match="cannot keep .* in .*cache: 0.01 GB are needed and 0.00 GB are free"):
        decoded(twenty, 400)


def test_a_folder_that_cannot_be_written_is_said_plainly(twenty, root):
    root.mkdir()
    (root / "data").write_text("not a folder")
    with pytest.raises(OSError, match="cannot keep the decoded images in .*PIVQ_ROOT"):
        decoded(twenty)


def test_two_at_once_make_one_cache(twenty, root, monkeypatch):
    """The lock tells threads apart like processes: the second waits, then takes what the first has made."""
    count = []
    monkeypatch.setattr(image_cache, "decode", lambda *a: count.append(1) or time.sleep(0.01) or decode(*a))
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
