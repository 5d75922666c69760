"""The explorer's widgets, clicked without a browser: what is shown is what the moves make."""

import io
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed (extra `notebooks`)")

from pivq.figures.explorer_panel import CHILDREN, COLOURS, ExplorerPanel  # noqa: E402
from pivq.model import PIVQ  # noqa: E402
from pivq.runs.explorer import Explorer  # noqa: E402


@pytest.fixture
def panel(tiny_config, tmp_path) -> ExplorerPanel:
    torch.manual_seed(0)
    model = PIVQ(tiny_config().model).eval().requires_grad_(False)
    codes = np.random.default_rng(0).choice(3, (60, 4)) + 3 * np.arange(4)  # slot l takes 3 l, 3 l + 1 or 3 l + 2
    codes[:2] = [[0, 3, 6, 9], [1, 3, 7, 11]]
    images = (torch.rand(60, 3, 16, 16) * 255).byte()
    attributes = pd.DataFrame({"is_one": (codes[:, 0] == 1).astype(int)})
    return ExplorerPanel(Explorer(model, codes, attributes), images, tmp_path / "saved", (0, 1))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def shows(panel: ExplorerPanel, codes) -> bool:
    """Return whether the picture and the chips are those of a set, whatever its order."""
    made = panel.explorer.decode([codes])[0].permute(1, 2, 0).numpy()
    difference = np.abs(pixels(panel.picture.value).astype(int) - made)  # the order changes roundings
    return difference.max() <= 1 and sorted(int(chip.description) for chip in panel.chips) == sorted(codes)


def test_the_slider_walks_from_a_to_b(panel):
    assert shows(panel, [0, 3, 6, 9]) and panel.slider.max == 3
    colours = {int(chip.description): chip.style.button_color for chip in panel.chips}
    assert colours == {3: COLOURS["both"][0], **dict.fromkeys((0, 6, 9), COLOURS["a"][0])}
    panel.slider.value = 3
    assert shows(panel, [1, 3, 7, 11])
    panel.slider.value = 1
    assert len(set(panel.codes.tolist()) - {0, 3, 6, 9}) == 1
    path = panel.path.copy()
    panel.reorder()
    assert panel.slider.value == 1 and set(panel.path[0]) == set(path[0]) and panel.seed == 1


def test_a_click_offers_the_codes_of_the_slot_and_another_takes_one(panel):
    place = panel.codes.tolist().index(0)
    panel.chips[place].click()
    offered = [button.description for picture, button in panel.offers if button.layout.display is None]
    offered = [label.partition(" · ")[0] for label in offered]
    assert sorted(offered) == ["1", "2"] and f"{panel.explorer.uses[0]} of 60 faces have it" in panel.about.value
    faces = panel.images[panel.explorer.sharing(0)[:12]]
    assert (pixels(panel.sharers.value) == np.concatenate(list(faces.permute(0, 2, 3, 1).numpy()), axis=1)).all()
    picture = panel.offers[0][0].value
    panel.offers[0][1].click()
    assert shows(panel, [int(offered[0]), 3, 6, 9]) and picture == panel.picture.value
    panel.undo()
    assert shows(panel, [0, 3, 6, 9]) and panel.about.value == ""
    assert all(button.layout.display == "none" for _, button in panel.offers), "they belong to another set"


def test_bred_sets_can_be_taken(panel):
    panel.breed()
    assert [button.layout.display for _, button in panel.children] == [None] * CHILDREN
    panel.children[2][1].click()
    assert shows(panel, panel.newborn[2].tolist()) and 3 in panel.codes


def test_an_edit_shows_the_edited_set_and_what_the_probe_says(panel):
    panel.count.value = 1
    panel.edit(1)
    assert shows(panel, [1, 3, 6, 9])
    assert f"{panel.explorer.chance(panel.codes, 'is_one'):.0%}" in panel.probe.value
    green = COLOURS["neither"][0]
    assert green not in {chip.style.button_color for chip in panel.chips}, "face b has code 1"


def test_another_face_and_an_own_picture_begin_a_new_path(panel, tmp_path):
    panel.picks["b"]["number"].value = 5
    assert set(panel.path[-1]) == set(panel.explorer.codes[5])
    Image.fromarray(np.full((16, 16, 3), 200, np.uint8)).save(tmp_path / "own.png")
    panel.picks["a"]["path"].value = str(tmp_path / "own.png")
    assert (pixels(panel.picks["a"]["picture"].value) == 200).all()
    assert set(panel.path[0]) == set(panel.explorer.encode(tmp_path / "own.png")[1])
    content = (tmp_path / "own.png").read_bytes()
    uploaded = {"name": "own.png", "type": "image/png", "size": len(content), "content": memoryview(content),
                "last_modified": datetime.now(UTC)}  # fmt: skip
    panel.picks["b"]["upload"].value = (uploaded,)
    assert set(panel.path[-1]) == set(panel.path[0])
    before = panel.codes.tolist()
    panel.picks["a"]["path"].value = str(tmp_path / "<gone>.png")
    assert "&lt;gone&gt;.png: give the path of a picture" in panel.words.value and panel.codes.tolist() == before


def test_two_equal_faces_have_no_path(panel):
    panel.slider.value = 3
    panel.picks["b"]["number"].value = 0
    assert panel.slider.disabled and panel.slider.value == 0 and shows(panel, [0, 3, 6, 9])
    panel.picks["b"]["number"].value = 1
    assert not panel.slider.disabled and panel.slider.max == 3


def test_saved_pictures_are_numbered_and_those_that_are_shown(panel):
    panel.save()
    panel.slider.value = 2
    panel.save()
    saved = sorted(panel.folder.iterdir())
    assert [path.name for path in saved] == ["001.png", "002.png"]
    assert saved[1].read_bytes() == panel.picture.value != saved[0].read_bytes()


def test_without_labels_nothing_is_edited(panel, tmp_path):
    plain = ExplorerPanel(Explorer(panel.explorer.model, panel.explorer.codes), panel.images, tmp_path, (0, 1))
    assert plain.attribute.value is None and plain.probe.value == ""
