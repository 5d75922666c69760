"""A path between two pictures: where it starts and ends, what each step exchanges."""

import numpy as np
import pytest
import torch
from PIL import Image
from stand_ins import noise

from pivq.commands.cli import main
from pivq.commands.walk import read_picture, walk
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
