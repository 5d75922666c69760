"""What must be there before work starts."""

from dataclasses import replace

import pytest

from pivq.config import load_config
from pivq.runs.ready import check_ready


@pytest.fixture(autouse=True)
def no_weights_and_no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "top"))
    for variable in ("PIVQ_VGG16", "PIVQ_INCEPTION"):
        monkeypatch.setenv(variable, str(tmp_path / "weights"))


def test_profiles_without_downloads_are_always_ready(tmp_path):
    check_ready(load_config("quick"))
    check_ready(load_config("folder", data=tmp_path))


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x").mkdir()
    config = load_config("folder", data="~/x")
    check_ready(config)
    check_ready(replace(config, data="~/x"))  # as an earlier version wrote it
    with pytest.raises(FileNotFoundError, match=f"no {tmp_path}/y: put it there"):
        check_ready(load_config("folder", data="~/y"))


def test_missing_weights_are_said_before_missing_data():
    with pytest.raises(FileNotFoundError, match="vgg16-397923af.pth.*\n.*inception-2015-12-05.pt"):
        check_ready(load_config("celeba64"))
    with pytest.raises(FileNotFoundError, match="^the weights for the perceptual loss[^\n]*vgg16[^\n]*$"):
        check_ready(load_config("celeba64", features="efficientnet_lite0"))


def test_a_training_alone_needs_no_feature_network(tmp_path):
    (tmp_path / "top" / "data" / "celeba").mkdir(parents=True)
    config = load_config("celeba64", train__perceptual_network="efficientnet_lite0")
    check_ready(config, metrics=False)
    with pytest.raises(FileNotFoundError, match="inception"):
        check_ready(config)


def test_missing_data_are_said_with_their_place(tmp_path):
    without = {"train__perceptual_network": "efficientnet_lite0", "features": "efficientnet_lite0"}
    with pytest.raises(FileNotFoundError, match=f"no {tmp_path}/top/data/celeba: put it there.*docs/datasets.md"):
        check_ready(load_config("celeba64", **without))
    with pytest.raises(FileNotFoundError, match="no /nowhere"):
        check_ready(load_config("ffhq256", data="/nowhere", **without))
    (tmp_path / "top" / "data" / "celeba").mkdir(parents=True)
    check_ready(load_config("celeba64", **without))
