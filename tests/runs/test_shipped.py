"""The shipped model is the run's, in half precision, with its own codes; it is shown only for exactly its settings."""

import io

import numpy as np
import pytest
import torch
from stand_ins import make_split

from pivq.config import load_config
from pivq.data import load_dataset
from pivq.inference import encode_images
from pivq.losses import psnr
from pivq.runs import shipped
from pivq.runs.run import MissingRun, read_arrays
from pivq.runs.shipped import ShippedRun, find_shown, model_to_show, runs_to_show, ship, shipped_run, which
from pivq.storage.paths import CHECKOUT, figures_dir


@pytest.fixture(autouse=True)
def made_up_images(monkeypatch):
    monkeypatch.setattr(shipped, "load_split", make_split)
    monkeypatch.setattr(shipped, "signature", lambda split: " ".join(split.ids))
    shipped._codes.cache_clear()


@pytest.fixture(scope="module")
def folder(finished):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "load_split", make_split)
        patch.setattr(shipped, "signature", lambda split: " ".join(split.ids))
        return ship(finished[0]["matching"])


def test_weights_are_those_of_the_run_in_half_precision(finished, folder, tiny_config):
    run = finished[0]["matching"]
    assert folder == figures_dir("smoke") / "model"
    made = shipped_run(tiny_config()).model()
    for name, value in run.model().state_dict().items():
        assert torch.equal(made.state_dict()[name], value.half().float()), name
    assert (folder / "model.safetensors").stat().st_size < 0.6 * sum(4 * v.numel() for v in made.state_dict().values())


def test_codes_are_those_of_the_shipped_model_not_of_the_run(folder, tiny_config):
    config, run = tiny_config(), shipped_run(tiny_config())
    for split in ("heldout", "train"):
        images = make_split(config, split)
        assert np.array_equal(run.codes(split), encode_images(run.model(), images.images)), split
        assert run.ids(split).tolist() == images.ids
    assert run.codes("heldout").dtype == np.int64


def test_stored_codes_are_used_only_for_the_images_they_are_of(folder, tiny_config, monkeypatch):
    run = shipped_run(tiny_config())
    monkeypatch.setattr(shipped, "encode_images", lambda *_: np.array([[7]]))
    assert run.codes("heldout").shape == (10, 4), "stored"
    shipped._codes.cache_clear()
    monkeypatch.setattr(shipped, "signature", lambda split: "other images")
    assert run.codes("heldout").tolist() == [[7]], "encoded"


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "changed"])
def test_damaged_codes_are_made_again_from_the_model_which_is_said(folder, tiny_config, damage):
    path, whole = folder / "codes.npz", (folder / "codes.npz").read_bytes()
    wanted = shipped_run(tiny_config()).codes("heldout")
    shipped._codes.cache_clear()
    try:
        path.unlink()
        if damage == "changed":
            np.savez_compressed(path, **{name: value + 1 if name == "codes" else value
                                         for name, value in np.load(io.BytesIO(whole)).items()})  # fmt: skip
        elif damage != "gone":
            path.write_bytes(whole[:-30] if damage == "cut" else b"")
        with pytest.warns(UserWarning, match=r"codes.npz.*made again from the shipped model"):
            assert np.array_equal(shipped_run(tiny_config()).codes("heldout"), wanted)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"run": []}', b"\0" * 50, '"steps": 9'])
def test_damaged_settings_of_the_model_are_named(folder, tiny_config, content):
    path, whole = folder / "config.json", (folder / "config.json").read_bytes()
    try:
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content if isinstance(content, bytes) else whole.replace(b'"steps": ', content.encode()))
        with pytest.warns(UserWarning, match=r"model.config.json.*that shipped model is not used"):
            assert shipped_run(tiny_config()) is None
    finally:
        path.write_bytes(whole)


def test_no_other_settings_get_the_model(folder, tiny_config):
    for other in ({"seed": 1}, {"train__steps": 9}, {"model__num_codes": 3}):
        assert shipped_run(tiny_config(**other)) is None, other
        assert find_shown(tiny_config(**other)) is None
    with pytest.raises(MissingRun, match="03_train"):
        model_to_show(tiny_config(seed=1))


def test_a_run_of_ones_own_comes_first(finished, folder, tiny_config, monkeypatch):
    config, run = tiny_config(), finished[0]["matching"]
    assert find_shown(config) == run and run.folder.name in which(run)
    monkeypatch.setattr(shipped, "find_run", lambda *_: None)
    made = find_shown(config)
    assert isinstance(made, ShippedRun) and "comes with the project" in which(made) and "8 steps" in which(made)
    assert [*runs_to_show(config)] == ["learned, matching"]
    model, codes, sentence = model_to_show(config)
    assert np.array_equal(codes, made.codes("heldout")) and sentence == which(made) and not model.training
    assert "untrained" in which(None)


def test_a_large_model_is_not_kept(finished, monkeypatch):
    monkeypatch.setattr(shipped, "MOST_BYTES", 1000)
    assert ship(finished[0]["matching"]) is None


def test_the_model_that_comes_with_the_project_is_of_the_default_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    run = shipped_run(load_config("quick"))
    assert run and run.folder == CHECKOUT / "figures" / "quick" / "model"
    faces, stored = load_dataset("avatars", "heldout", limit=8), read_arrays(run.folder / "codes.npz")
    images = torch.stack([faces[i] for i in range(8)])
    codes = run.model().encode(images)
    assert stored["ids"][:8].tolist() == list(faces.ids) and len(stored["ids"]) == 2000
    same = (codes == torch.from_numpy(stored["codes"][:8].astype(np.int64))).float().mean()
    assert same > 0.95, "another processor may round to another code, rarely"
    assert psnr(run.model().decode(codes), images).mean() > 22
