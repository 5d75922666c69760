"""`pivq doctor`: what it says is there and missing, and its exit status."""

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from stand_ins import CELEBA, draw

import pivq
from pivq.commands import doctor
from pivq.commands.cli import main
from pivq.commands.doctor import MISSING, NOTE, OK, Row, examine, table
from pivq.config import load_config
from pivq.pretrained.weights import WEIGHTS


@pytest.fixture(autouse=True)
def nothing_there(monkeypatch, tmp_path):
    """Neither weights nor data; enough memory and disk; no GPU."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "top"))
    for file in WEIGHTS.values():
        monkeypatch.setenv(file.variable, str(tmp_path / "weights"))
    monkeypatch.setattr(doctor, "_memory_bytes", lambda: (64e9, 32e9))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def rows(what: str, profile: str = "quick", **options) -> list[Row]:
    return [row for row in examine(load_config(profile, **options)) if row.what == what]


def row(what: str, profile: str = "quick", **options) -> Row:
    (found,) = rows(what, profile, **options)
    return found


def put_weights(monkeypatch, tmp_path) -> None:
    (tmp_path / "weights").mkdir()
    for name, file in list(WEIGHTS.items()):
        (tmp_path / "weights" / file.name).write_bytes(name.encode())
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        monkeypatch.setitem(WEIGHTS, name, dataclasses.replace(file, sha256=sha256))


def test_the_default_profile_needs_nothing_more(capsys, tmp_path):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["what", "state", "found", "what", "to", "do"]
    assert out.splitlines()[-1] == "Profile quick: everything that it needs is there."
    for what in ("Python", "packages", "GPU", "precision", "memory", "disk", "weights", "data"):
        assert f"\n{what} " in out
    assert not (tmp_path / "top").exists(), "nothing is written"


def test_what_is_missing_is_said_with_the_command_that_brings_it(capsys, tmp_path):
    assert main(["doctor", "--profile", "celeba64"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "Profile celeba64: missing: weights, data."
    lines = [line for line in out.splitlines() if " missing " in line]
    assert [line.split("  ")[0] for line in lines] == ["weights", "weights", "data"]
    assert re.search(r"no vgg16-397923af.pth \(553 MB\) +pivq download weights$", lines[0])
    assert "pivq download celeba" in lines[2] and f"no {tmp_path}/top/data/celeba" in lines[2]


def test_weights_that_are_there_and_right(monkeypatch, tmp_path):
    put_weights(monkeypatch, tmp_path)
    assert [(row.state, row.remedy) for row in rows("weights", "celeba64")] == [(OK, ""), (OK, "")]
    path = tmp_path / "weights" / WEIGHTS["inception"].name
    path.write_bytes(b"half")
    found = rows("weights", "celeba64")[1]
    assert found.state == MISSING and f"{path} is not the published" in found.found
    assert len(rows("weights", "celeba64", features="efficientnet_lite0")) == 1


def test_celeba_is_found_with_labels_and_split(monkeypatch, tmp_path, capsys):
    put_weights(monkeypatch, tmp_path)
    monkeypatch.setattr(doctor, "_fewest", lambda *_: 1)
    folder = tmp_path / "faces"
    draw(folder / "img_align_celeba" / "000001.jpg")
    (folder / "list_attr_celeba.txt").write_text(CELEBA)
    assert main(["doctor", "--profile", "celeba64", "--data", str(folder)]) == 0
    options = {"data": str(folder)}
    assert row("data", "celeba64", **options).found == f"celeba: 1 picture, {folder}"
    assert row("data", "celeba64", **options).state == NOTE, "not all 202,599"
    assert row("labels", "celeba64", **options) == Row("labels", OK, "list_attr_celeba.txt")
    assert row("split", "celeba64", **options).remedy == "pivq download celeba"


def test_labels_are_looked_for_in_the_layout_that_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(doctor, "_fewest", lambda *_: 1)
    draw(tmp_path / "faces" / "one.png")
    folder = ["--profile", "folder", "--data", str(tmp_path / "faces")]
    assert main(["doctor", *folder]) == 0
    assert "list_attr_celeba" not in capsys.readouterr().out
    assert main(["doctor", *folder, "--layout", "celeba"]) == 0
    assert "no list_attr_celeba.txt in" in capsys.readouterr().out


def test_ffhq_without_attribute_files(tmp_path):
    draw(tmp_path / "faces" / "00000.png")
    assert row("labels", "ffhq256", data=str(tmp_path / "faces")).remedy == "pivq download ffhq-labels"
    (tmp_path / "faces" / "json").mkdir()
    (tmp_path / "faces" / "json" / "00000.json").write_text("[]")
    assert row("labels", "ffhq256", data=str(tmp_path / "faces")).found == "1 attribute files"


def test_a_folder_without_pictures_and_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("text")
    for name, said in (("empty", "no pictures"), ("text.zip", "zip")):
        found = row("data", "folder", data=str(tmp_path / name))
        assert found.state == MISSING and said in found.found and "\n" not in found.found
    assert row("data", "folder", data=str(tmp_path / "absent")).state == MISSING


@pytest.mark.parametrize("count, state", [(1, MISSING), (20, MISSING), (499, MISSING), (500, OK)])
def test_a_folder_of_too_few_pictures_is_not_enough(tmp_path, count, state):
    (tmp_path / "faces").mkdir()
    for i in range(count):
        (tmp_path / "faces" / f"{i}.jpg").write_text("no picture")
    found = row("data", "folder", data=str(tmp_path / "faces"))
    assert found.state == state
    assert found.remedy == ("a training needs about 500 pictures: add more" if state == MISSING else "")


def test_the_least_is_what_training_asks_for(monkeypatch, tmp_path):
    config = load_config("folder", data=str(tmp_path))
    splits = {"train": {"one batch": 900}, "heldout": {"pairs": 50, "metrics": 6}}
    monkeypatch.setattr("pivq.runs.splits.images_needed", lambda _, split: splits[split])
    assert doctor._fewest(config, "folder") == 1000, "nine tenths are trained on"
    assert doctor._fewest(config, "celeba") == 950, "it has its own split"


@pytest.mark.parametrize("variable, what", [("PIVQ_ROOT", {"disk", "data"}), ("PIVQ_DATA", {"data"})])
@pytest.mark.parametrize("kind", ["file", "below a file", "device", "dangling"])
def test_a_place_that_can_be_no_folder_is_missing(monkeypatch, tmp_path, variable, what, kind):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "file" / "nowhere")
    places = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "a" / "b", "device": "/dev/null"}
    monkeypatch.setenv(variable, str(places.get(kind, tmp_path / "dangling")))
    for found in (found for name in ("disk", "data") for found in rows(name)):
        assert found.state == (MISSING if found.what in what else OK), found
        assert found.state == OK or "is no folder" in found.found and f"set {variable}" in found.remedy or (
            found.what == "data" and variable == "PIVQ_ROOT"
        )


def test_a_folder_that_cannot_be_written_to_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert "cannot be written to" in row("disk").found and row("disk").state == row("data").state == MISSING


def test_the_folder_profile_asks_for_one(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--profile", "folder"])
    assert ended.value.code == 2 and "needs a folder of images: --data DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    "capability, said",
    [
        ((6, 1), "fp32; auto takes fp32"),
        ((7, 5), "fp32 and fp16, no bf16; auto takes fp16"),
        ((8, 0), "fp32, fp16 and bf16; auto takes bf16"),
        ((9, 0), "fp32, fp16 and bf16; auto takes bf16"),
    ],
)
def test_gpus_and_the_precision_they_offer(monkeypatch, capability, said):
    card = SimpleNamespace(name="Some GPU", total_memory=16e9, major=capability[0], minor=capability[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    assert row("GPU", "celeba64").found == f"Some GPU, 16.0 GB, compute capability {capability[0]}.{capability[1]}"
    assert row("precision", "celeba64") == Row("precision", OK, said)


def test_a_cpu_is_enough_for_drawn_faces_and_noted_for_the_paper_s_scale():
    assert row("GPU").state == OK and row("GPU", "celeba64").state == NOTE
    assert row("precision").found == "fp32, on the CPU"


@pytest.mark.parametrize("total, free, state", [(64e9, 32e9, OK), (8e9, 1e9, NOTE), (1e9, 1e9, MISSING), (0, 0, NOTE)])
def test_memory(monkeypatch, total, free, state):
    monkeypatch.setattr(doctor, "_memory_bytes", lambda: (total, free))
    assert row("memory").state == state


def test_memory_of_this_computer_is_read(monkeypatch):
    monkeypatch.undo()
    total, free = doctor._memory_bytes()
    assert 1e8 < free <= total < 1e14


@pytest.mark.parametrize("free, state", [(10**12, OK), (2 * 10**9, NOTE), (10**8, MISSING)])
def test_disk(monkeypatch, free, state):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    found = row("disk", "ffhq256")
    assert found.state == state and "about 17.2 GB for decoded images and runs" in found.found


def test_packages_that_are_too_old_or_missing(monkeypatch):
    versions = {"torch": "2.5.1+cpu", "numba": None}
    true = doctor.version

    def version(name: str) -> str:
        if name in versions and versions[name] is None:
            raise PackageNotFoundError(name)
        return versions.get(name) or true(name)

    monkeypatch.setattr(doctor, "version", version)
    found = rows("packages")
    assert [row.found.split(",")[0] for row in found] == ["numba is not installed", "torch 2.5.1+cpu"]
    assert found[1].remedy == 'python -m pip install "torch>=2.6"' and found[1].state == MISSING


def test_versions_are_compared_by_their_numbers():
    for older, newer in (("2.6", "2.10"), ("0.13.2", "0.14"), ("1.9.9", "1.10.0rc1")):
        assert doctor._numbers(older) < doctor._numbers(newer)
    assert doctor._numbers("1.0") == doctor._numbers("1") == doctor._numbers("1.0.0+cu121") == (1,)


def test_without_packages_it_still_speaks(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(pivq.__file__).parent.parent)}
    for profile, said in (("quick", "packages"), ("celeba64", "packages, weights, data")):
        command = [sys.executable, "-S", "-m", "pivq", "doctor", "--profile", profile]  # -S: no installed packages
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.returncode == 1 and result.stderr == ""
        assert result.stdout.splitlines()[-1] == f"Profile {profile}: missing: {said}."


def test_a_row_without_a_remedy_ends_where_its_text_ends():
    text = table([Row("one", OK, "found"), Row("other", MISSING, "absent", "get it")], load_config("quick"))
    assert text.splitlines() == [
        "what   state    found   what to do",
        "one    ok       found",
        "other  missing  absent  get it",
        "Profile quick: missing: other.",
    ]
