"""What tells artefacts apart."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from pivq.config import load_config
from pivq.storage.origin import OtherData, claim_figures, computed_on, origin, origin_text, other_origin
from pivq.storage.source import code_digest


def test_origin_changes_with_all_that_makes_other_numbers(tmp_path):
    configs = [
        load_config("smoke"), load_config("smoke", seed=1), load_config("quick"), load_config("smoke", train__steps=41),
        load_config("smoke", data=str(tmp_path)), load_config("smoke", data=str(tmp_path / "other")),
    ]  # fmt: skip
    assert len({str(origin(config)) for config in configs}) == 6
    assert len({origin_text(config, name) for config in configs for name in ("slots", "faces")}) == 12
    assert origin(configs[1]) == origin(load_config("smoke", seed=1))


def test_what_differs_is_said():
    config = load_config("smoke")
    assert other_origin({"more": 1} | origin(config), config) == ""
    assert other_origin(origin(load_config("smoke", seed=1)) | {"runs": origin(config)["runs"]}, config) == (
        "seed 1, not from seed 0"
    )
    assert other_origin({}, config).startswith("profile not noted, dataset not noted, seed not noted, runs not noted")


def test_device_threads_and_code_are_noted_and_compared_with_nothing(monkeypatch):
    config, before = load_config("smoke"), origin(load_config("smoke"))
    assert computed_on() == {"device": "cpu", "threads": torch.get_num_threads(), "code": code_digest()}
    assert origin_text(config, "slots").endswith(
        f"; device cpu; threads {torch.get_num_threads()}; code {code_digest()}"
    )
    monkeypatch.setattr(torch, "get_num_threads", lambda: 96)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    assert computed_on() == {"device": "cuda (H100)", "threads": 96, "code": code_digest()}
    assert other_origin(before | computed_on(), config) == "" and origin(config) == before


def test_without_torch_there_are_no_threads():
    code = "import sys; from pivq.storage.origin import computed_on; print(computed_on(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{{'device': 'cpu', 'code': '{code_digest()}'}} False\n"


# --- One folder of figures, two sets of images ------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """Return two folders of images and one of figures with a figure."""
    places = [tmp_path / name for name in ("a", "b", "figures/folder")]
    for place in places:
        place.mkdir(parents=True)
    return places


def of(data, profile="folder"):
    return load_config(profile, data=str(data) if data else "")


def test_figures_of_one_folder_of_images_are_not_replaced_by_those_of_another(folders, tmp_path):
    a, b, figures = folders
    claim_figures(figures, of(a))
    claim_figures(figures, of(b))  # there is no figure yet
    (figures / "faces.png").write_bytes(b"of b")
    claim_figures(figures, of(b))
    said = f"figures/folder holds figures of {b}, not of {a}: to keep both, set PIVQ_ROOT to another folder "
    command = f"PIVQ_ROOT=DIR ./run_all.sh --profile folder --seed 0 --data {a}"
    with pytest.raises(OtherData, match=f"{said}.{command}.; to replace them, delete {figures} first"):
        claim_figures(figures, of(a))
    shutil.rmtree(figures)
    figures.mkdir()
    claim_figures(figures, of(a))


def test_the_same_folder_through_a_link_or_a_relative_path_is_the_same(folders, tmp_path, monkeypatch):
    a, _, figures = folders
    claim_figures(figures, of(a))
    (figures / "faces.png").write_bytes(b"of a")
    (tmp_path / "link").symlink_to(a)
    monkeypatch.chdir(tmp_path)
    for name in ("link", "a", "./b/../a", str(tmp_path / "link"), f"{a}/"):
        claim_figures(figures, of(name))
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    with pytest.raises(OtherData, match=f"not of {tmp_path / 'b'}"):
        claim_figures(figures, of("link"))


def test_results_that_were_moved_are_of_the_same_images(folders, tmp_path):
    a, b, figures = folders
    claim_figures(figures, of(a))
    (figures / "faces.png").write_bytes(b"of a")
    moved = shutil.move(tmp_path / "figures", tmp_path / "elsewhere") / "folder"
    claim_figures(moved, of(a))
    with pytest.raises(OtherData):
        claim_figures(moved, of(b))
    os.rename(a, tmp_path / "c")
    with pytest.raises(OtherData, match=f"holds figures of {a}, not of {tmp_path / 'c'}"):
        claim_figures(moved, of(tmp_path / "c"))


@pytest.mark.parametrize("name", ["capacity.json", "attributes.md"])
def test_what_the_figures_say_themselves_counts_where_nothing_is_noted(folders, name):
    a, b, figures = folders

    def leave(config):
        line = f"|a|\n\n<!-- {origin_text(config, 'attributes')} -->\n"
        text = json.dumps(origin(config)) if name.endswith("json") else line
        (figures / name).write_text(text)

    leave(of("", "smoke"))
    claim_figures(figures, of("", "smoke"))
    with pytest.raises(OtherData, match=f"holds figures of the data set avatars, not of {a}"):
        claim_figures(figures, of(a, "smoke"))
    leave(of(a))  # by an earlier version
    with pytest.raises(OtherData, match=f"of another folder of images, or with other settings, not of {b}"):
        claim_figures(figures, of(b))
    claim_figures(figures, of(a))
    with pytest.raises(OtherData, match=f"holds figures of {a}, not of the data set avatars"):
        claim_figures(figures, of("", "smoke"))
    (figures / "data.json").write_text("{")
    with pytest.raises(ValueError, match=f"data.json is damaged .*; delete it if the figures there are of {a}"):
        claim_figures(figures, of(a))


def test_the_profiles_own_images_are_noted_nowhere(tmp_path):
    claim_figures(tmp_path, load_config("quick"))
    (tmp_path / "faces.png").write_bytes(b"")
    claim_figures(tmp_path, load_config("quick"))
    assert os.listdir(tmp_path) == ["faces.png"]
