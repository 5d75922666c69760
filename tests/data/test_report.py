"""What `pivq data DIR` says."""

import json

import pytest
from stand_ins import draw

from pivq.data.report import describe, examine_set

pytestmark = pytest.mark.usefixtures("root")


def test_a_folder_with_everything(tmp_path):
    folder = tmp_path / "set"
    for i in range(12):
        draw(folder / f"{i}.png", size=(8 + i, 9))
    for name in ("12.heic", "._1.png", "@eaDir/0.png", "note.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "3.png").write_bytes(b"")
    report = examine_set(folder)
    assert (report.layout, report.recognised, report.pictures) == ("folder", True, 11)
    assert sum(report.splits.values()) == 11 and set(report.splits) == {"train", "heldout"}
    lines = str(report).splitlines()
    assert lines[:3] == [str(folder), "layout    folder, recognised by its names", "pictures  11 of 8×9 to 19×9"]
    assert lines[3].startswith("split     ") and lines[3].endswith(": a tenth is held out, by a hash of the id")
    assert lines[4] == "labels    none" and lines[5] == "left out  3.png: an empty file (0 bytes)"
    assert lines[6:] == [
        "left out  2 hidden files and folders of systems",
        "left out  2 other files (1 .heic, 1 .txt), among them lists and labels where they are used",
        f"note      1 pictures in {folder} are left out (1 .heic): convert or rename them to be read",
    ]


def test_celeba_with_labels_and_split(tmp_path):
    folder = tmp_path / "celeba"
    for i in range(1, 6):
        draw(folder / "img_align_celeba" / f"{i:06d}.jpg")
    (folder / "list_attr_celeba.txt").write_text("Male Bald\n" + "".join(f"{i:06d}.jpg 1 -1\n" for i in range(1, 5)))
    (folder / "list_eval_partition.txt").write_text("".join(f"{i:06d}.jpg {max(0, i - 3)}\n" for i in range(1, 6)))
    for where in (folder, folder / "img_align_celeba"):
        text = describe(where)
        assert "layout    celeba, recognised by its names\npictures  5 of 16×16\n" in text
        assert "split     3 train, 1 heldout, 1 in neither: the official split, list_eval_partition.txt\n" in text
        assert "labels    2 attributes (Male, Bald); 1 pictures have none" in text
        assert "note      list_attr_celeba.txt: 1 images have no row (the first: 000005)" in text
    assert "layout    folder, as given" in describe(folder, layout="folder")
    (folder / "list_eval_partition.txt").unlink()
    assert "note      CelebA's official split, list_eval_partition.txt or .csv, is not in" in describe(folder)


def test_ffhq_with_a_broken_attribute_file(tmp_path):
    for i in range(3):
        draw(tmp_path / "ffhq" / f"{i:05d}.png")
        (tmp_path / "ffhq" / f"{i:05d}.json").write_text(json.dumps([{"faceAttributes": {"age": i}}]) if i else "[")
    text = describe(tmp_path / "ffhq", image_size=128)
    assert "layout    ffhq" in text and "labels    15 attributes (gender_male, age_child, age_middle, …)" in text
    assert "1 of 3 attribute files cannot be read and are dropped: 00000.json" in text


def test_many_bad_pictures_are_shortened(tmp_path):
    (tmp_path / "set").mkdir()
    draw(tmp_path / "set" / "0.png")
    for i in range(1, 30):
        (tmp_path / "set" / f"{i}.png").write_bytes(b"")
    report = examine_set(tmp_path / "set")
    assert report.pictures == 1 and len(report.left_out) == 11
    assert report.left_out[0] == "1.png: an empty file (0 bytes)"
    assert report.left_out[-1] == "19 more that cannot be read"


def test_nothing_is_written_and_avatars_need_no_files(tmp_path):
    draw(tmp_path / "set" / "0.png")
    describe(tmp_path / "set")
    assert not (tmp_path / "data").exists()
    assert describe("avatars").startswith("avatars: faces that are drawn on first use: 8,000 train, 2,000 heldout")


def test_what_cannot_be_described_is_said(tmp_path):
    for path, kind, message in (
        ("", ValueError, 'the name of the data set is ""'),
        (tmp_path / "none", FileNotFoundError, "there is no folder or zip"),
        (tmp_path, ValueError, "no pictures in"),
    ):
        with pytest.raises(kind, match=message):
            describe(path)
    draw(tmp_path / "0.png")
    with pytest.raises(ValueError, match="unknown layout 'ffqh'; did you mean ffhq"):
        describe(tmp_path, layout="ffqh")
