"""What is said of a data set that is not as expected: its split, labels, what is left out, names from other systems."""

import os
import unicodedata
import warnings
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from stand_ins import draw

from pivq.data import layouts, load_dataset, photographs
from pivq.data.decoding import BadImages
from pivq.data.report import describe

pytestmark = pytest.mark.usefixtures("root")


def said(where, split: str = "all", **options) -> tuple:
    """Load pictures of 8×8; return the data set and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = load_dataset(where, split, 8, **options)
    return dataset, [str(warning.message) for warning in caught]


def celeba(folder: Path, count: int = 20) -> Path:
    """Write CelebA's pictures and lists, the last two for testing; return the folder of the pictures."""
    names = [f"{i + 1:06d}.jpg" for i in range(count)]
    for name in names:
        draw(folder / "img_align_celeba" / name, size=(8, 8))
    rows = "".join(f"{name} {-1 if i % 2 else 1} -1\n" for i, name in enumerate(names))
    (folder / "list_attr_celeba.txt").write_text(f"{count}\nMale Bald\n{rows}")
    parts = "".join(f"{name} {0 if i < count - 2 else 2}\n" for i, name in enumerate(names))
    (folder / "list_eval_partition.txt").write_text(parts)
    return folder / "img_align_celeba"


def test_celeba_by_its_folder_or_zip_of_pictures_is_the_same_as_by_its_root(tmp_path):
    pictures = celeba(tmp_path / "celeba")
    archive = tmp_path / "celeba" / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in pictures.iterdir():
            file.write(path, f"img_align_celeba/{path.name}")
    whole, nothing = said(tmp_path / "celeba", "heldout")
    assert whole.ids == ["000019", "000020"] and not nothing
    link = tmp_path / "link"
    link.symlink_to(pictures)
    for where in (pictures, archive, link, os.path.relpath(pictures)):
        dataset, nothing = said(where, "heldout", layout="celeba")
        assert dataset.fingerprint == whole.fingerprint and dataset.attributes.equals(whole.attributes) and not nothing
    assert said(pictures, "heldout")[0].fingerprint == whole.fingerprint


def test_lists_that_are_not_found_are_said_where_they_matter(tmp_path):
    pictures = celeba(tmp_path / "celeba")
    (tmp_path / "celeba" / "list_eval_partition.txt").unlink()
    assert said(pictures)[1] == []  # all images: no split
    assert "official split, list_eval_partition.txt or .csv, is not in" in said(pictures, "train")[1][0]
    (tmp_path / "celeba" / "list_attr_celeba.txt").unlink()
    dataset, (split, labels) = said(pictures, "train")
    assert "a tenth is held out, by a hash of the id" in split and "the images have no labels" in labels
    assert "list_attr_celeba.txt or .csv, are not in" in labels and dataset.attributes is None
    assert said(pictures, "train", layout="folder")[1] == []


@pytest.mark.parametrize("text", ["<html></html>", "", "3\nMale\n000001.jpg 5\n", "nonsense", "1\nMale\nother.jpg 1\n"])
def test_labels_that_do_not_fit_do_not_stop_the_pictures(tmp_path, text):
    pictures = celeba(tmp_path / "celeba")
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text(text)
    dataset, messages = said(pictures, "heldout")
    assert len(dataset) == 2 and dataset.attributes is None
    assert len(messages) == 1 and "the labels in" in messages[0] and "list_attr_celeba.txt" in messages[0]


@pytest.mark.parametrize(
    "name", ["{i:05d}.png", "img{i:08d}.png", "{i}.jpg", "ffhq_{i:05d}.jpg", "{k:05d}/img{i:08d}.png"]
)
def test_ffhq_has_its_official_split_in_any_naming(tmp_path, monkeypatch, name):
    monkeypatch.setattr(layouts, "FFHQ_SIZE", 20)
    monkeypatch.setattr(layouts, "FFHQ_TRAINING", 17)
    for i in range(20):
        draw(tmp_path / "set" / name.format(i=i, k=i // 10), size=(8, 8))
    dataset, messages = said(tmp_path / "set", "heldout", layout="ffhq")
    assert [int(name[-2:].lstrip("_")) for name in dataset.ids] == [17, 18, 19]
    assert not [message for message in messages if "split" in message]
    draw(tmp_path / "set" / "teaser.png", size=(8, 8))
    more, messages = said(tmp_path / "set", "heldout", layout="ffhq")
    assert more.ids == dataset.ids
    assert [m for m in messages if m.startswith("1 pictures are not among FFHQ's 20 and are in no split: teaser.png")]


def test_a_part_of_ffhq_is_said_to_have_no_official_split(tmp_path):
    for i in range(30):
        draw(tmp_path / "set" / f"{i:05d}.png", size=(8, 8))
    _, messages = said(tmp_path / "set", "train")
    assert messages[0].startswith("FFHQ's official split needs all 70,000 images, and 30 of them are there: a tenth is")
    assert 'attribute files, json/00000.json …, are not in' in messages[1] and "--layout folder" in messages[1]


def test_celebahq_in_two_numberings(tmp_path):
    for part, count in (("train", 9), ("valid", 3)):
        for i in range(count):
            draw(tmp_path / "set" / part / f"{i}.jpg", size=(8, 8))
    dataset, _ = said(tmp_path / "set", layout="celebahq")
    assert len(dataset) == 12 and dataset.ids[0] == "train/0"
    assert said(tmp_path / "set", "heldout", layout="celebahq")[0].ids == ["valid/0", "valid/1", "valid/2"]
    (tmp_path / "set" / "CelebAMask-HQ-attribute-anno.txt").write_text("1\nMale\n0.jpg 1\n")
    dataset, messages = said(tmp_path / "set", layout="celebahq")
    assert dataset.attributes is None and "two pictures with the same id, train/0.jpg and valid/0.jpg" in messages[0]


@pytest.mark.parametrize("layout", ["celebahq", "folder"])
@pytest.mark.parametrize(
    ("train", "held", "first"),
    [("train", "valid", 0), ("train", "valid", 40), ("deep/Training", "deep/TEST", 40), ("train/a", "val/b", 40)],
)
def test_folders_decide_the_split_whatever_the_names_in_them(tmp_path, layout, train, held, first):
    for part, numbers in ((train, range(40)), (held, range(first, first + 10))):
        for i in numbers:
            draw(tmp_path / "set" / part / f"{i}.png", size=(8, 8))
    options = {"layout": layout}
    assert len(said(tmp_path / "set", "train", **options)[0]) == 40
    dataset, messages = said(tmp_path / "set", "heldout", **options)
    assert len(dataset) == 10 and {name.rpartition("/")[2] for name in dataset.ids} == {
        str(i) for i in range(first, first + 10)
    }
    assert not [message for message in messages if "held out" in message]
    assert "10 heldout: its folders " in describe(tmp_path / "set", **options)


@pytest.mark.parametrize("layout", ["celebahq", "folder"])
def test_folders_that_leave_pictures_over_decide_nothing_and_that_is_said(tmp_path, layout):
    for name in [*(f"train/{i}.png" for i in range(40)), "test/40.png", "41.png"]:
        draw(tmp_path / "set" / name, size=(8, 8))
    dataset, messages = said(tmp_path / "set", "train", layout=layout)
    assert "the folders test, train decide no split, since 41.png is in none: a tenth is held out" in "".join(messages)
    draw(tmp_path / "only" / "train" / "1.png"), draw(tmp_path / "only" / "more" / "2.png")
    assert not [message for message in said(tmp_path / "only", layout="folder")[1] if "split" in message]


@pytest.mark.parametrize("train, held", [
    ("cats/train", "dogs/valid"), ("train_images", "val_images"), ("Train 2017", "Test-2017"), ("a/b/train", "a/test"),
])  # fmt: skip
@pytest.mark.parametrize("layout", ["celebahq", "folder"])
def test_folders_that_look_like_a_split_and_are_none_are_named(tmp_path, layout, train, held):
    """Pictures that were to be held out were trained on, and nothing said so."""
    for i in range(40):
        draw(tmp_path / "set" / (train if i % 4 else held) / f"{i}.png", size=(8, 8))
    _, messages = said(tmp_path / "set", "train", layout=layout)
    named = f"the folders {train.rpartition('/')[2]} and {held.rpartition('/')[2]} decide no split, since only train/ "
    assert named in "".join(messages) and "a tenth is held out" in "".join(messages)
    assert named in describe(tmp_path / "set", layout)


@pytest.mark.parametrize("folders", [("train", "more"), ("trains", "latest"), ("train_and_test", "more")])
def test_folders_of_other_names_are_no_split(tmp_path, folders):
    for i in range(40):
        draw(tmp_path / "set" / folders[i % 2] / f"{i}.png", size=(8, 8))
    assert not [message for message in said(tmp_path / "set", "train", layout="folder")[1] if "split" in message]


@pytest.mark.parametrize("layout", ["folder", "celebahq", "celeba"])
def test_names_that_are_no_utf_8_can_be_shown_and_keep_their_labels(tmp_path, layout):
    folder = tmp_path / "set"
    draw(folder / "1.png", size=(8, 8))
    draw(folder / os.fsdecode(b"caf\xe9.png"), size=(8, 8))
    name = {"celeba": "list_attr_celeba.txt", "celebahq": "CelebAMask-HQ-attribute-anno.txt"}.get(layout, "note.txt")
    (folder / name).write_text("Male\n1.png 1\n")
    dataset, _ = said(folder, layout=layout)
    assert dataset.ids == ["1", "caf\\xe9"] and len(dataset.images) == 2
    " ".join(dataset.ids).encode()
    if layout != "folder":
        assert dataset.attributes["Male"].tolist() == [1, pd.NA]


def test_when_none_can_be_read_skipping_is_no_advice(tmp_path):
    for name in ("1.png", "2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadImages, match="cannot be read(.|\n)*or leave them out") as error:
        said(tmp_path)
    with pytest.raises(BadImages, match="cannot be read(.|\n)*no image is left: replace them") as error:
        said(tmp_path, on_error="skip")
    assert "--on-error skip" not in str(error.value)
    draw(tmp_path / "1.png"), (tmp_path / "2.jpg").unlink()
    damaged = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(damaged[:60] + bytes(20) + damaged[80:])  # its header and end are as they should
    with pytest.raises(BadImages, match="no image is left"):
        said(tmp_path, on_error="skip")


def test_further_frames_are_counted(tmp_path):
    folder = tmp_path / "set"
    for i in range(12):
        draw(folder / f"{i}.png", size=(8, 8))
    frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(4)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    dataset, messages = said(folder)
    assert len(dataset) == 13 and "left out are 3 further frames of a.gif: the first" in "".join(messages)
    assert said(folder)[1] == []  # once, as all that is said of decoding
    assert describe(folder).splitlines()[-1] == "left out  3 further frames of a.gif"
    frames[0].save(folder / "b.tif", save_all=True, append_images=frames[1:3])
    frames[0].save(folder / "c.webp", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "d.png", save_all=True, append_images=frames[1:])
    assert describe(folder).splitlines()[-1] == "left out  11 further frames of 4 files, of which a.gif has 3"
    one = tmp_path / "one"
    frames[0].save(draw(one / "1.png").with_name("1.gif")), frames[0].save(one / "2.tif")
    assert describe(one).splitlines()[-1] == "left out  nothing"


@pytest.mark.parametrize("name", ["train-00000.parquet", "images.npz"])
def test_pictures_in_a_table_are_to_be_unpacked(tmp_path, name):
    (tmp_path / name).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=f"no pictures in .*; {name} may hold pictures: unpack them into files first"):
        said(tmp_path)


def test_labels_of_celebamask_for_other_spellings_of_the_numbers(tmp_path):
    for i in range(12):
        draw(tmp_path / "set" / "celeba_hq_256" / f"{i:05d}.jpg", size=(8, 8))
    rows = "".join(f"{i}.jpg {1 if i == 7 else -1}\n" for i in range(12))
    (tmp_path / "set" / "CelebAMask-HQ-attribute-anno.txt").write_text(f"12\nMale\n{rows}")
    dataset, messages = said(tmp_path / "set")
    assert dataset.attributes["Male"].sum() == dataset.attributes["Male"]["00007"] == 1
    assert messages == ["CelebAMask-HQ-attribute-anno.txt: ids are compared as numbers, 0 with 00000"]


def test_one_set_on_two_systems_has_one_fingerprint_and_split(tmp_path):
    names = [f"caf\u00e9 {i}.png" for i in range(40)] + ["\u00c5/1.png"]
    for form in ("NFC", "NFD"):
        for name in names:
            draw(tmp_path / form / unicodedata.normalize(form, name), (len(name), 0, 0), (8, 8))
    with zipfile.ZipFile(tmp_path / "backslashes.zip", "w") as file:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name.replace("/", "\\")
            file.writestr(info, (tmp_path / "NFC" / name).read_bytes())
    for split in ("train", "heldout"):
        sets = [said(tmp_path / name, split)[0] for name in ("NFC", "NFD", "backslashes.zip")]
        assert len({dataset.fingerprint for dataset in sets}) == 1 and sets[0].ids == sets[1].ids == sets[2].ids


def test_a_split_of_names_that_are_no_utf8(tmp_path):
    for i in range(30):
        path = os.fsencode(tmp_path) + b"/caf\xe9_%d.png" % i
        draw(tmp_path / "x.png", size=(8, 8)).rename(os.fsdecode(path))
    train, held = (said(tmp_path, split)[0] for split in ("train", "heldout"))
    assert len(train) + len(held) == 30


def test_what_is_left_out_is_counted(tmp_path):
    folder = tmp_path / "set"
    for name in ("1.png", "2.png"):
        draw(folder / name, size=(8, 8))
    for name in ("3.heic", "4.HEIC", "5.jxl", "ffhq_aging_labels.csv", "more.zip", "pairs.csv"):
        (folder / name).write_bytes(b"x")
    dataset, messages = said(folder)
    assert len(dataset) == 2 and messages == [
        f"3 pictures in {folder} are left out (2 .heic, 1 .jxl): convert or rename them to be read",
        "1 archives beside the pictures are not read: more.zip, …",
        "ffhq_aging_labels.csv is not read: labels come from the lists and files in docs/datasets.md",
    ]
    (folder / "1.png").unlink(), (folder / "2.png").unlink(), (folder / "more.zip").unlink()
    with pytest.raises(ValueError, match=r"no pictures in .* .5 other files.*2 .heic, 1 .jxl"):
        said(folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has them")
def test_pipes_with_names_of_pictures_are_told(tmp_path):
    for i in range(2):
        draw(tmp_path / f"{i}.png")
    os.mkfifo(tmp_path / "pipe.png"), os.mkfifo(tmp_path / "control")
    told = "^1 pipes, sockets or devices with names of pictures are left out: 'pipe.png'"
    with pytest.warns(UserWarning, match=told):
        assert len(load_dataset(tmp_path, "all", 16).ids) == 2
    assert "left out  2 pipes, sockets or devices\n" in describe(tmp_path)


def test_what_is_left_out_of_a_zip_is_counted_too(tmp_path):
    """Also of a zip that is found in a folder; and where no picture is left, all that is there is said."""
    path = tmp_path / "set" / "faces.zip"
    picture = draw(tmp_path / "a.png", size=(8, 8)).read_bytes()
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        for name in ("1.png", "1.png", "./2.png", "2.png", "3.heic"):
            file.writestr(name, picture)
    counted = [f"1 pictures in {path} are left out (1 .heic): convert or rename them to be read",
               f"{path} holds 2 files that are left out, since a later one has the same name: '1.png', …"]  # fmt: skip
    for place in (path, path.parent):
        dataset, messages = said(place)
        assert len(dataset) == 2 and messages == counted
    with zipfile.ZipFile(path, "w") as file:
        for name in ("../1.png", "more.zip", "note.txt"):
            file.writestr(name, picture)
    with pytest.raises(ValueError, match=r"no pictures in .* .2 other files, 1 hidden.*1 archives .*more.zip"):
        said(path)


def test_pictures_outside_the_folder_that_is_read_are_counted(tmp_path):
    celeba(tmp_path / "celeba")
    draw(tmp_path / "celeba" / "about" / "logo.png")
    assert said(tmp_path / "celeba")[1] == [
        "1 pictures outside the folder that celeba reads are left out: about/logo.png, …"
    ]


def test_a_folder_that_cannot_be_listed_is_reported_or_left_out(tmp_path, monkeypatch):
    for name in ("1.png", "closed/2.png"):
        draw(tmp_path / "set" / name, size=(8, 8))
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(BadImages, match="1 folders in .* cannot be read:\n  closed/: Permission denied"):
        said(tmp_path / "set")
    dataset, messages = said(tmp_path / "set", on_error="skip")
    assert dataset.ids == ["1"]
    assert messages == ["the folder closed/ cannot be read and is left out: Permission denied"]


def test_reading_decodes_nothing(tmp_path, monkeypatch):
    celeba(tmp_path / "celeba")
    monkeypatch.setattr(photographs, "decode_once", lambda *_: pytest.fail("decoded"))
    _, layout, reading = photographs.read(tmp_path / "celeba", None, 8)
    assert layout == "celeba" and reading.split_by == "the official split, list_eval_partition.txt"


@pytest.mark.parametrize("layout", [None, "folder", "celebahq"])
def test_an_archive_in_a_zip_is_said_whatever_the_layout(tmp_path, layout):
    draw(tmp_path / "1.png", size=(8, 8))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.write(tmp_path / "1.png", "1.png")
        file.writestr("img_align_celeba.zip", b"x")
    dataset, messages = said(tmp_path / "set.zip", layout=layout)
    assert len(dataset) == 1 and "1 archives beside the pictures are not read: img_align_celeba.zip, …" in messages
