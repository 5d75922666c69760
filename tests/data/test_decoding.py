"""Checking and decoding pictures of every kind."""

import io
import os
import random
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import BLUE, RED, bad_files, draw

from pivq.data import decoding
from pivq.data.decoding import (
    BadImages,
    UnreadableImage,
    _refuse_damage,
    cpu_count,
    decode,
    examine,
    max_pixels,
    ordered_map,
)
from pivq.data.files import Files


def pixels(folder: Path, name: str, size: int = 8) -> np.ndarray:
    """Return a decoded picture, int (H, W, 3)."""
    files = Files(folder)
    examine(files, name)
    return decode(files, name, size).transpose(1, 2, 0).astype(int)


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


@pytest.mark.parametrize(("kind", "tags"), [(np.int32, {}), (np.uint16, {339: 2})])  # the tag says: with a sign
def test_tiffs_whose_white_nobody_knows_are_refused_and_not_shown_black(folder, kind, tags):
    Image.fromarray(np.full((8, 8), 255, kind)).save(folder / "a.tif", tiffinfo=tags)
    with pytest.raises(UnreadableImage, match="levels of 32 bits or with a sign, which have no defined white"):
        pixels(folder, "a.tif")
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(folder / "b.tif")
    (folder / "c.pgm").write_bytes(b"P5 8 8 65535\n" + b"\xff" * 128)
    assert (pixels(folder, "b.tif") == 255).all() and (pixels(folder, "c.pgm") == 255).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiffs_whose_zero_is_white_are_no_negatives(folder, kind):
    levels = np.linspace(0, np.iinfo(kind).max, 16).round().astype(kind)[None].repeat(16, 0)
    for name, tags in (("black.tif", {}), ("white.tif", {262: 0})):
        Image.fromarray(levels).save(folder / name)
        content = (folder / name).read_bytes()
        if tags:  # Pillow itself writes no such files
            tag = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
            assert content.count(tag) == 1
            (folder / name).write_bytes(content.replace(tag, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    black, white = pixels(folder, "black.tif", 16), pixels(folder, "white.tif", 16)
    assert black[0, 0].tolist() == [0] * 3 and (white == 255 - black).all()


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


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(path: Path, kind: bytes, data: bytes) -> Path:
    """Put a chunk after the header of a PNG."""
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk(kind, data) + content[33:])
    return path


def with_exif(path: Path, exif: bytes) -> Path:
    """Put EXIF data after the start of a JPEG."""
    content = path.read_bytes()
    head = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(head + content[2:])
    return path


def ifd(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return EXIF data with these tags: number, type, count and 4 bytes."""
    body = b"".join(struct.pack("<HHL", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


def test_damaged_metadata_do_not_decide_about_pixels(folder):
    junk = b"Exif\0\0\0\x08\0\x02\x01\x12\0\x03"
    with_exif(draw(folder / "a.jpg", dpi=(72, 72)), junk)
    with_chunk(draw(folder / "b.png"), b"eXIf", junk[6:])
    with_chunk(draw(folder / "c.png"), b"tEXt", b"Raw profile type exif\0\nexif\n  9\nno hex")
    draw(folder / "d.webp", exif=junk, lossless=True)
    for name in ("a.jpg", "b.png", "c.png", "d.webp"):
        without = []
        with warnings.catch_warnings(action="ignore"):
            shown = decode(Files(folder), name, 8, without).transpose(1, 2, 0).astype(int)
        assert abs(shown - RED).max() <= 3 and without == [name]


@pytest.mark.parametrize(
    "other", [(0x9286, 7, 9999, b"abcd"), (0x010E, 2, 4, b"\xff\xfe\0\0"), (0x8769, 4, 1, b"\xff" * 4)]
)
def test_the_orientation_counts_whatever_the_other_tags_hold(folder, other):
    image = Image.new("RGB", (16, 16), BLUE)
    image.paste(RED, (0, 0, 16, 8))
    image.save(folder / "turned.jpg", quality=100, subsampling=0)
    with_exif(folder / "turned.jpg", ifd((0x0112, 3, 1, b"\x06\0\0\0"), other))
    with warnings.catch_warnings(action="ignore"):
        shown = pixels(folder, "turned.jpg", 16)
    assert abs(shown[:, 13] - RED).max() < 12 and abs(shown[:, 2] - BLUE).max() < 12


@pytest.mark.parametrize("value", [b"\x09\0\0\0", b"\0\0\0\0", b"\xff\xff\0\0"])
def test_an_orientation_that_does_not_exist_is_upright(folder, value):
    with_exif(draw(folder / "a.jpg"), ifd((0x0112, 3, 1, value)))
    assert abs(pixels(folder, "a.jpg") - RED).max() <= 3


def test_large_texts_and_colour_profiles_are_read(folder):
    big = zlib.compress(b"x" * (3 << 20))
    with_chunk(draw(folder / "profile.png"), b"iCCP", b"profile\0\0" + big)
    with_chunk(draw(folder / "text.png"), b"zTXt", b"comment\0\0" + big)
    with_chunk(draw(folder / "more.png"), b"iTXt", b"comment\0\1\0\0\0" + big)
    for name in ("profile.png", "text.png", "more.png"):
        assert (pixels(folder, name) == RED).all()


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.avif"])
def test_other_endings_of_known_formats(folder, name):
    kind = "AVIF" if name.endswith("avif") else "JPEG"
    if kind == "AVIF" and not decoding.AVIF:
        pytest.skip("this Pillow reads no AVIF")
    draw(folder / "picture.png")
    Image.open(folder / "picture.png").save(folder / name, kind, quality=100)
    (folder / "picture.png").unlink()
    assert Files(folder).pictures() == [name]
    assert abs(pixels(folder, name) - RED).max() <= 4


def bomb(path: Path, width: int, height: int) -> Path:
    """Write a PNG of black bits: a few thousand bytes for as many pixels as are wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zlib.compress(bytes(1 + width // 8) * height, 1)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_a_picture_of_too_many_pixels_is_refused_by_a_setting(folder, monkeypatch):
    bomb(folder / "a.png", 20_000, 20_000)
    for call in (lambda: examine(Files(folder), "a.png"), lambda: decode(Files(folder), "a.png", 8)):
        with pytest.raises(UnreadableImage, match="400000000 pixels|20,000×20,000 pixels, more than .*PIVQ_MAX_PIXELS"):
            call()
    bomb(folder / "b.png", 1000, 800)
    assert examine(Files(folder), "b.png") == (1000, 800)
    monkeypatch.setenv("PIVQ_MAX_PIXELS", "100_000")
    with pytest.raises(UnreadableImage, match="1,000×800 pixels, more than the limit of 100,000 pixels .*PIVQ_MAX_PIX"):
        examine(Files(folder), "b.png")
    monkeypatch.setenv("PIVQ_MAX_PIXELS", "400_000_000")
    assert examine(Files(folder), "a.png") == (20_000, 20_000)
    for wrong in ("many", "0", "-1", "1e9", "1_", "1__0", "1_000_"):
        monkeypatch.setenv("PIVQ_MAX_PIXELS", wrong)
        with pytest.raises(ValueError, match=f"PIVQ_MAX_PIXELS must be a whole number of at least 1, got '{wrong}'"):
            max_pixels()


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(folder, monkeypatch):
    with open(folder / "sparse.webp", "wb") as file:
        file.write(b"RIFF\0\0\0\x7fWEBPVP8 ")
        file.truncate(4 << 30)
    with pytest.raises(UnreadableImage, match="4,294,967,296 bytes, more than 8 for each pixel of the limit"):
        examine(Files(folder), "sparse.webp")


def test_git_lfs_pointers_are_named(folder):
    (folder / "a.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UnreadableImage, match="a Git LFS pointer.*git lfs pull"):
        examine(Files(folder), "a.png")


def test_a_jpeg_damaged_in_its_middle_is_not_decoded(folder):
    values = np.random.default_rng(0).integers(90, 160, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "whole.jpg", quality=90)
    content = bytearray((folder / "whole.jpg").read_bytes())
    middle = len(content) // 2
    (folder / "cut.jpg").write_bytes(content[:middle] + b"\xff\xd9")
    content[middle : middle + 4096] = bytes(4096)
    (folder / "hole.jpg").write_bytes(content)
    buffer = io.BytesIO((folder / "hole.jpg").read_bytes())
    Image.open(buffer).load()  # Pillow accepts it
    files = Files(folder)
    for name in ("hole.jpg", "cut.jpg"):
        with pytest.raises(UnreadableImage, match="damaged in its middle"):
            decode(files, name, 8)
    decode(files, "whole.jpg", 8)


def test_the_advice_is_for_all_callers():
    text = str(BadImages({"a.png": "empty"}, 2, Path("faces")))
    assert text.startswith("1 of 2 images in faces cannot be read:") and 'on_error="skip" (--on-error skip)' in text
    assert str(BadImages({"a/": "denied"}, None, Path("faces"))).startswith("1 folders in faces cannot be read:\n  a/")


def test_cpu_count_respects_the_affinity_of_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8}, raising=False)
    assert cpu_count() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cpu_count() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_count() == 1


def test_results_are_in_order_and_computed_only_a_few_ahead():
    taken = []
    results = ordered_map(lambda x: x * x, (taken.append(i) or i for i in range(10_000)))
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    time.sleep(0.05)  # time in which threads that do not wait would go far ahead
    assert len(taken) <= 5 + 2 * 16
    results.close()
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda x: 1 // x, [1, 0]))


# --- Damage in the middle of JPEGs ------------------------------------------------------------------------------------

KINDS = {
    "baseline": {},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 2},
}


def picture(seed: int = 0, size: int = 320) -> Image.Image:
    """Return a smooth picture with a little noise, as photographs have it."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    smooth = 128 + 90 * np.sin(7 * x[..., None] * draw.random(3) + 9 * y[..., None] * draw.random(3))
    return Image.fromarray((smooth + draw.normal(0, 8, (size, size, 3))).clip(0, 255).astype(np.uint8))


def coded(image: Image.Image, kind: str, quality: int = 90, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **KINDS[kind], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_pictures_are_not_accused(kind, mode):
    y, x = np.mgrid[:200, :264]
    flat = {level: np.full((200, 264, 3), level) for level in (0, 128, 255)}
    half_grey = np.where((y > 90)[..., None], 128, np.random.default_rng(0).integers(0, 256, (200, 264, 3)))
    board = np.repeat(((x + y) % 2 * 255)[..., None], 3, 2)
    blocks = np.repeat(((x // 8 + y // 8) % 2 * 255)[..., None], 3, 2)
    arrays = [*flat.values(), half_grey, board, blocks, np.asarray(picture()), np.zeros((1, 1, 3)), np.ones((7, 9, 3))]
    for array in arrays:
        for quality, subsampling in ((30, 2), (75, 0), (95, 1), (100, 0)):
            image = Image.fromarray(array.astype(np.uint8)).convert(mode)
            _refuse_damage(coded(image, kind, quality, subsampling=subsampling))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.45, 0.8])
def test_damage_is_found(kind, share):
    data = coded(picture(), kind)
    start = data.rindex(b"\xff\xda") if not KINDS[kind].get("progressive") else data.index(b"\xff\xda")
    at = int(start + 16 + share * (len(data) - start - 4200))
    noise = random.Random(0).randbytes(4096)
    damaged = {
        "a lost block": data[:at] + bytes(4096) + data[at + 4096 :],
        "a lost sector of an erased flash": data[:at] + b"\xff" * 4096 + data[at + 4096 :],
        "bytes of another file": data[:at] + noise + data[at + 4096 :],
        "cut off, with an end marker": data[:at] + b"\xff\xd9",
    }
    for what, content in damaged.items():
        with pytest.raises(UnreadableImage, match="damaged in its middle"):
            _refuse_damage(content)
            pytest.fail(f"not found: {what}")


def test_bytes_that_are_missing_or_too_many_are_found():
    data = coded(picture(), "baseline")
    middle, end = len(data) // 2, data.rindex(b"\xff\xd9")
    for content in (data[:middle] + data[middle + 700 :], data[:end] + b"text from elsewhere " * 10 + data[end:]):
        with pytest.raises(UnreadableImage, match="damaged in its middle"):
            _refuse_damage(content)
    _refuse_damage(data[:end] + bytes(16) + data[end:])  # padding of some cameras
    _refuse_damage(data[:end] + bytes(60) + data[end:])
    _refuse_damage(data + b"made by a camera" * 100)  # after the end


def test_a_few_bytes_left_over_are_padding_only_if_they_are_alike():
    """Exchanged sectors, and with full colours emptied ones, leave that few, for zeros are codes."""
    data = coded(picture(), "baseline")
    end = data.rindex(b"\xff\xd9")
    for padding in (b"\0", b"\0\0", b"\xff" * 9, bytes(60), b"ab"):
        _refuse_damage(data[:end] + padding + data[end:])
    for rest in (b"codes left over", b"codes" + bytes(20), bytes(20) + b"codes", random.Random(0).randbytes(50)):
        with pytest.raises(UnreadableImage, match="damaged in its middle"):
            _refuse_damage(data[:end] + rest + data[end:])


@pytest.mark.parametrize(
    ("marker", "payload"),
    [
        (0xE2, b"ICC_PROFILE\0\x05\x02" + bytes(900)),  # the fifth part of two
        (0xE2, b"ICC_PROFILE\0\x01\x01" + bytes(3)),
        (0xE0, b"JFIF\0\x09\x09\x01\0\0\0\0\0\0"),  # version 9.9, of no dots per inch
        (0xEE, b"Adobe\0\x64\0\0\0\0\x05"),  # a transform of colours that there is not
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 60_000),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff\xff\xff\xff"),
        (0xFE, b"\xff\xd9 a comment with an end marker"),
    ],
)
def test_what_programs_wrote_beside_the_pixels_decides_nothing(tmp_path, marker, payload):
    data = coded(picture(), "baseline")
    segment = bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2) + payload
    (tmp_path / "1.jpg").write_bytes(data[:2] + segment + data[2:])
    (tmp_path / "2.jpg").write_bytes(data)
    pixels = [decode(Files(tmp_path), name, 64) for name in ("1.jpg", "2.jpg")]
    assert marker == 0xEE or (pixels[0] == pixels[1]).all()
    middle = len(data) // 2
    (tmp_path / "1.jpg").write_bytes(data[:2] + segment + data[2:middle] + data[middle + 700 :])
    with pytest.raises(UnreadableImage, match="damaged in its middle|broken data stream"):
        decode(Files(tmp_path), "1.jpg", 64)
