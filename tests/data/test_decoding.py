"""Checking and decoding pictures of every kind."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import BLUE, RED, bad_files, draw

from pivq.data.decoding import UnreadableImage, cpu_count, decode, examine, ordered_map
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
