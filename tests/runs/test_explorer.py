"""The moves of the explorer: exact small cases, and what each move must keep."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from pivq.data.decoding import UnreadableImage
from pivq.model import PIVQ
from pivq.runs import explorer as module
from pivq.runs.explorer import Explorer, is_interactive, labels_to_edit, read_picture


@pytest.fixture(scope="module")
def model(tiny_config) -> PIVQ:
    """Return an untrained model: K = 12, L = 4."""
    torch.manual_seed(0)
    return PIVQ(tiny_config().model).eval().requires_grad_(False)


def slotted(faces: int = 60) -> np.ndarray:
    """Return codes of faces whose slot l takes one of 3 l, 3 l + 1 and 3 l + 2, the lower the more often."""
    generator = np.random.default_rng(0)
    return generator.choice(3, (faces, 4), p=[0.5, 0.3, 0.2]) + 3 * np.arange(4)


@pytest.fixture
def explorer(model) -> Explorer:
    codes = slotted()
    attributes = pd.DataFrame({"is_one": (codes[:, 0] == 1).astype(int), "rare": np.arange(60) < 4}, dtype="Int8")
    return Explorer(model, codes, attributes)


def test_codes_of_a_slot_can_take_each_other_s_place(explorer):
    assert explorer.has_slots and explorer.owners.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert explorer.alternatives[1].tolist() == [0, 2] and explorer.alternatives[9].tolist() == [10, 11]
    assert explorer.exchanges([1, 3, 6, 9], 0).tolist() == [0, 2]
    assert explorer.exchanges([1, 2, 6, 9], 0).tolist() == [0], "2 is in the set: it would come twice"
    assert explorer.exchanges([1, 3, 6, 9], 0, most=1).tolist() == [0]


def test_without_slots_those_that_exclude_each_other_can(model):
    generator = np.random.default_rng(0)
    codes = np.array([generator.permutation(row) for row in slotted(400)])  # the slots are lost, the exclusion stays
    explorer = Explorer(model, codes)
    assert not explorer.has_slots
    for code in range(12):
        assert code not in explorer.alternatives[code]
        assert set(explorer.alternatives[code][:2] // 3) == {code // 3}, "codes of one triple never share a face"


def test_a_path_exchanges_one_code_a_step_and_the_seed_decides_the_order(explorer):
    a, b = np.array([0, 3, 6, 9]), np.array([1, 3, 7, 11])
    path = explorer.path(a, b, seed=0)
    assert set(path[0]) == set(a) and set(path[-1]) == set(b) and path.shape == (4, 4)
    assert ((path[1:] != path[:-1]).sum(axis=1) == 1).all()
    assert (path == explorer.path(a, b, seed=0)).all()
    assert any((path != explorer.path(a, b, seed=seed)).any() for seed in range(1, 5))


def test_children_keep_what_is_shared_and_have_nothing_else(explorer):
    a, b = np.array([0, 3, 6, 9]), np.array([1, 3, 7, 9])
    children = explorer.breed(a, b, 50, seed=0)
    assert {3, 9} <= set.intersection(*map(set, children)) and set(children.ravel()) == {0, 1, 3, 6, 7, 9}
    assert all(len(set(child)) == 4 for child in children)
    assert (children == explorer.breed(a, b, 50, seed=0)).all() and len(np.unique(children, axis=0)) == 6


def test_an_edit_exchanges_the_codes_that_the_probe_names(explorer):
    without, having = np.array([0, 3, 6, 9]), np.array([1, 3, 6, 9])
    assert explorer.edit(without, "is_one", 1).tolist() == having.tolist()
    (first, *others) = explorer.edit(having, "is_one", -1).tolist()
    assert first in (0, 2) and others == [3, 6, 9]
    assert explorer.edit(without, "is_one", 0).tolist() == without.tolist() == [0, 3, 6, 9], "the set given stays"
    assert explorer.chance(having, "is_one") > 0.5 > explorer.chance(without, "is_one")
    chances = [explorer.chance(explorer.edit(without, "is_one", count), "is_one") for count in range(-4, 5)]
    assert chances == sorted(chances)


def test_an_edit_ends_when_no_exchange_helps(explorer, monkeypatch):
    monkeypatch.setattr(explorer, "coefficients", lambda attribute: (np.arange(12) == 1, 0.0))
    assert explorer.edit([0, 3, 6, 9], "is_one", 4).tolist() == [1, 3, 6, 9]
    assert explorer.edit([1, 3, 6, 9], "is_one", 4).tolist() == [1, 3, 6, 9]


def test_the_probe_is_that_of_section_3_8_on_the_known_labels(model):
    codes = slotted()
    labels = pd.Series((codes[:, 0] == 1) ^ (np.arange(60) % 7 == 0), dtype="Int8")
    labels[:10] = pd.NA
    inputs = (codes[:, :, None] == np.arange(12)).any(axis=1).astype(float)
    probe = LogisticRegression(solver="liblinear", max_iter=1000).fit(inputs[10:], labels[10:].astype(int))
    explorer = Explorer(model, codes, pd.DataFrame({"is_one": labels}))
    found = [explorer.chance(row, "is_one") for row in codes]
    np.testing.assert_allclose(found, probe.predict_proba(inputs)[:, 1], atol=1e-4)


def test_only_attributes_with_enough_labels_of_both_kinds_are_offered(explorer, model):
    assert explorer.attributes == ["is_one"]
    assert Explorer(model, slotted()).attributes == []
    with pytest.raises(ValueError, match="60 rows of codes, but 59 of attributes"):
        Explorer(model, slotted(), pd.DataFrame({"is_one": [0, 1] * 30}).iloc[:59])


def test_faces_that_share_a_code_are_found(explorer):
    assert explorer.sharing(1).tolist() == np.flatnonzero(slotted()[:, 0] == 1).tolist()
    assert explorer.uses[1] == len(explorer.sharing(1))


def test_a_set_s_origins_are_told():
    assert Explorer.origins([1, 2, 3, 4], [1, 2, 7, 8], [1, 3, 7, 9]) == ["both", "a", "b", "neither"]


def test_an_own_picture_is_cropped_resized_and_encoded(explorer, tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 8:24] = (250, 120, 10)  # the central square
    Image.fromarray(pixels).save(tmp_path / "own.png")
    image, codes = explorer.encode(tmp_path / "own.png")
    assert image.shape == (3, 16, 16) and image[:, 8, 8].tolist() == [250, 120, 10]
    assert codes.tolist() == explorer.model.encode(image[None].float() / 255)[0].tolist()
    assert torch.equal(read_picture((tmp_path / "own.png").read_bytes(), 16), image)
    levels = (explorer.model.decode(torch.tensor([codes.tolist()])) * 255).round().byte()
    assert torch.equal(explorer.decode([codes]), levels)


def test_what_is_no_picture_is_refused_with_the_reason(tmp_path):
    with pytest.raises(UnreadableImage):
        read_picture(b"no picture", 16)
    with pytest.raises(FileNotFoundError, match="no file .*gone.png: give the path of a picture"):
        read_picture(tmp_path / "gone.png", 16)


def test_widgets_are_shown_where_someone_can_click(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
    assert not is_interactive()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "google.colab", object())
        assert is_interactive()
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["__main__"], "__vsc_ipynb_file__", "explore.ipynb", raising=False)
        assert is_interactive()
    monkeypatch.setenv("JPY_SESSION_NAME", "explore.ipynb")
    assert is_interactive()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert not is_interactive(), "ipywidgets is not installed"


def test_images_without_labels_are_edited_by_properties_of_their_pixels():
    images = (torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255).byte()
    dataset = type("Images", (), {"attributes": None, "images": images, "ids": [str(i) for i in range(9)]})
    labels = labels_to_edit(dataset)
    brightness = images.float().mean(dim=(1, 2, 3))
    assert labels["bright"].tolist() == (brightness > brightness.median()).int().tolist()
    dataset.attributes = pd.DataFrame({"smiles": [1] * 9})
    assert labels_to_edit(dataset) is dataset.attributes
