"""A path between two pictures: where it starts and ends, what each step exchanges, what the files show."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from stand_ins import noise

from pivq.commands import walk as module
from pivq.commands.cli import main
from pivq.commands.walk import HELD, read_picture, walk, write_walk
from pivq.data import from_uint8, to_uint8
from pivq.model import PIVQ
from pivq.sampling import smooth_path


@pytest.fixture(params=["matching", "nearest"])
def model(tiny_config, request):
    torch.manual_seed(0)
    return PIVQ(tiny_config().model, request.param).eval().requires_grad_(False)


@pytest.fixture
def ends(model):
    """Return two pictures whose codes differ, uint8 `(3, 16, 16)`."""
    pictures = torch.randint(0, 256, (40, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    codes = [set(row) for row in model.encode(from_uint8(pictures)).tolist()]
    other = max(range(1, 40), key=lambda i: len(codes[0] - codes[i]))
    return pictures[0], pictures[other]


def test_a_path_leads_from_the_first_reconstruction_to_the_last_by_single_codes(model, ends):
    images = walk(model, *ends, seed=3)
    reconstructed = to_uint8(model.decode(model.encode(from_uint8(torch.stack(ends)))))
    assert (images[0].int() - reconstructed[0]).abs().max() <= 1, "the order of the codes may change the last bit"
    assert (images[-1].int() - reconstructed[1]).abs().max() <= 1
    a, b = model.encode(from_uint8(torch.stack(ends)))
    multiset = model.quantizer_name == "nearest"
    path = smooth_path(b, a, torch.Generator().manual_seed(3), multiset)  # Section 3.5, from b's side
    assert torch.equal(images, to_uint8(model.decode(path)))
    assert len(images) == 1 + sum((torch.bincount(a, minlength=12) - torch.bincount(b, minlength=12)).clamp(min=0))


def test_the_seed_decides_the_path_and_steps_thin_it(model, ends):
    whole = walk(model, *ends, seed=0)
    assert torch.equal(whole, walk(model, *ends, seed=0))
    some = walk(model, *ends, seed=0, steps=2)
    assert torch.equal(some, whole[[0, -1]])
    assert torch.equal(walk(model, *ends, seed=0, steps=99), whole), "there are no more"


def test_a_picture_and_itself_have_no_path(model, ends):
    with pytest.raises(ValueError, match="the two pictures have the same codes"):
        walk(model, ends[0], ends[0], seed=0)


def test_pictures_are_read_as_data_sets_read_them(tmp_path):
    noise(tmp_path / "wide.png", size=(20, 40))
    picture = read_picture(tmp_path / "wide.png", 20)
    with Image.open(tmp_path / "wide.png") as original:
        assert np.array_equal(picture.permute(1, 2, 0), np.array(original)[:, 10:30]), "the central square"
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(ValueError, match="page.jpg cannot be read: this is an HTML page"):
        read_picture(tmp_path / "page.jpg", 20)


# --- Files ------------------------------------------------------------------------------------------------------------


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


def test_the_command(model, ends, tmp_path, capsys):
    model.save_pretrained(tmp_path / "model")
    for name, picture in zip("ab", ends, strict=True):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"{name}.png")
    words = ["interpolate", tmp_path / "a.png", tmp_path / "b.png", "--model", tmp_path / "model", "--device", "cpu"]
    out = tmp_path / "made" / "path.png"
    assert main([*map(str, words), "--out", str(out), "--seed", "5", "--steps", "2"]) == 0
    assert capsys.readouterr().out == f"2 pictures from a.png to b.png: {out}\n"
    expected = to_uint8(model.decode(model.encode(from_uint8(torch.stack(ends)))))
    sheet = torch.from_numpy(np.array(Image.open(out))).permute(2, 0, 1).int()
    assert (sheet[:, 2:18, 2:18] - expected[0]).abs().max() <= 1
    assert (sheet[:, 2:18, 20:36] - expected[1]).abs().max() <= 1
    words[2] = words[1]
    assert main([*map(str, words), "--out", str(out)]) == 1
    assert "pivq interpolate: error: the two pictures have the same codes" in capsys.readouterr().err


@pytest.mark.parametrize("ending, scale", [(".gif", 10_000), (".png", 10_000), (".webp", 2_000)])
def test_pictures_that_are_too_large_are_refused_before_they_are_made(images, tmp_path, ending, scale):
    with pytest.raises(ValueError, match=f"are too large for {ending}: lower the scale, {scale}, or .*--scale"):
        write_walk(images, tmp_path / f"path{ending}", 1.0, False, scale)
    assert not list(tmp_path.iterdir())


def test_what_fails_leaves_no_file(images, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_frame", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_walk(images, tmp_path / "path.gif", seconds=1, loop=True)
    assert not list(tmp_path.iterdir())
