"""Animations and sheets show each image, in order and for as long as they should."""

import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from pivq.figures import animation as module
from pivq.figures.animation import DESCRIPTION, HELD, embedded, side_by_side, write_walk


@pytest.fixture
def images():
    """Return five pictures of one colour each, as a GIF can show them exactly."""
    levels = torch.tensor([[250, 0, 0], [200, 40, 0], [150, 80, 0], [100, 120, 0], [50, 160, 0]], dtype=torch.uint8)
    return levels[:, :, None, None].expand(5, 3, 8, 8)


def frames(path: Path) -> list[tuple[list[int], int]]:
    """Return colour and milliseconds of each picture of an animation."""
    with Image.open(path) as animation:
        found = []
        for frame in ImageSequence.Iterator(animation):
            pixels = np.array(frame.convert("RGB"))
            assert (pixels == pixels[0, 0]).all()
            found.append((pixels[0, 0].tolist(), frame.info["duration"]))
        return found


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_an_animation_goes_there_once_or_there_and_back(images, tmp_path, ending):
    colours = images[:, :, 0, 0].tolist()
    once, loop = tmp_path / f"once{ending}", tmp_path / f"loop{ending}"
    write_walk(images, once, seconds=2.0, loop=False)
    write_walk(images, loop, seconds=2.0, loop=True)
    assert frames(once) == list(zip(colours, [HELD, 500, 500, 500, HELD], strict=True))
    assert frames(loop) == list(
        zip([*colours, *colours[3:0:-1]], [HELD, 500, 500, 500, HELD, 500, 500, 500], strict=True)
    )
    with Image.open(once) as a, Image.open(loop) as b:
        assert a.size == b.size == (256, 256)
        assert a.info.get("loop", 1) == 1 and b.info["loop"] == 0, "0 is forever"


def test_a_sheet_has_the_pictures_in_rows(images, tmp_path):
    write_walk(images.repeat(2, 1, 1, 1), tmp_path / "sheet.png", seconds=1, loop=False)
    pixels = np.array(Image.open(tmp_path / "sheet.png"))
    assert pixels.shape == (2 * 10 + 2, 8 * 10 + 2, 3)
    assert pixels[2, 2::10].tolist()[:8] == [*images[:, :, 0, 0].tolist(), *images[:3, :, 0, 0].tolist()]
    assert pixels[0, 0].tolist() == [255, 255, 255]
    write_walk(images, tmp_path / "sheet.png", seconds=1, loop=False, scale=3)
    assert np.array(Image.open(tmp_path / "sheet.png")).shape == (24 + 4, 5 * 26 + 2, 3)


def test_many_pictures_in_little_time_are_shown_as_fast_as_a_browser_can(images, tmp_path):
    write_walk(images, tmp_path / "fast.gif", seconds=0.001, loop=False)
    assert [duration for _, duration in frames(tmp_path / "fast.gif")] == [HELD, 20, 20, 20, HELD]


def test_what_fails_leaves_no_file(images, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_frame", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_walk(images, tmp_path / "path.gif", seconds=1, loop=True)
    assert not list(tmp_path.iterdir())


def test_paths_of_any_length_run_side_by_side_from_end_to_end():
    short = torch.arange(0, 3, dtype=torch.uint8)[:, None, None, None].expand(3, 3, 2, 2)
    long = torch.linspace(0, 1, 9)[:, None, None, None].expand(9, 3, 2, 2)
    frames = side_by_side([short, long], frames=5, gap=4)
    assert frames.shape == (5, 3, 2, 8) and frames.dtype == torch.uint8
    assert frames[:, 0, 0, 0].tolist() == [0, 0, 1, 2, 2], "half a step is rounded to the even one"
    assert frames[:, 0, 1, 7].tolist() == [0, 64, 128, 191, 255]
    assert (frames[:, :, :, 2:6] == 255).all()
    with pytest.raises(ValueError, match="0 paths, 5 frames"):
        side_by_side([], frames=5)


def test_an_embedded_animation_is_the_file_itself(images, tmp_path):
    write_walk(images, tmp_path / "path.webp", seconds=1, loop=True)
    shown = embedded(tmp_path / "path.webp", 'a "face"')
    assert 'alt="a &quot;face&quot;"' in shown
    data = shown.partition("base64,")[2].partition('"')[0]
    assert base64.b64decode(data) == (tmp_path / "path.webp").read_bytes()


def test_a_webp_of_less_quality_is_smaller_and_alike(tmp_path):
    noisy = torch.randint(100, 140, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    write_walk(noisy, tmp_path / "all.webp", seconds=1, loop=False, scale=1)
    write_walk(noisy, tmp_path / "some.webp", seconds=1, loop=False, scale=1, quality=50)
    assert (tmp_path / "some.webp").stat().st_size < 0.5 * (tmp_path / "all.webp").stat().st_size
    with Image.open(tmp_path / "some.webp") as animation:
        shown = np.array(animation.convert("RGB")).astype(int)
    assert abs(shown.mean() - float(noisy[0].float().mean())) < 3


@pytest.mark.parametrize("ending, scale", [(".gif", 10_000), (".png", 10_000), (".webp", 2_000)])
def test_pictures_that_are_too_large_are_refused_before_they_are_made(images, tmp_path, ending, scale):
    with pytest.raises(ValueError, match=f"are too large for {ending}: lower the scale, {scale}, or .*--scale"):
        write_walk(images, tmp_path / f"path{ending}", 1.0, False, scale)
    assert not list(tmp_path.iterdir())


def test_a_webp_says_what_it_was_made_from(images, tmp_path):
    write_walk(images, tmp_path / "path.webp", seconds=1, loop=True, scale=1, description="profile smoke; seed 0")
    with Image.open(tmp_path / "path.webp") as animation:
        assert animation.getexif()[DESCRIPTION] == "profile smoke; seed 0"
        assert animation.size == (8, 8)
