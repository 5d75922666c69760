"""Data sets from elsewhere, by `load_dataset`: layouts, splits, labels, and what is said when something is wrong."""

import hashlib
import json
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pivq.data import labels, layouts, load_dataset
from pivq.data.decoding import BadImages, TooFewImages
from pivq.data.layouts import split_by_hash
from pivq.storage.paths import data_dir

HTML = b"<!DOCTYPE html><html><title>Quota exceeded</title></html>"
FACE = {
    "gender": "female", "age": 25.0, "facialHair": {"beard": 0.0, "sideburns": 0.0}, "glasses": "NoGlasses",
    "emotion": {"happiness": 0.9}, "makeup": {"eyeMakeup": True, "lipMakeup": False},
    "hair": {"bald": 0.1, "hairColor": [{"color": "brown", "confidence": 0.9}]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    """Keep the data of each test in a folder of its own; return `data/`."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    return tmp_path / "data"


def draw(path: Path, level: int = 0, size=(8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)


def load(where, split="all", image_size=8, **options):
    """Load with this file's defaults."""
    return load_dataset(where, split, image_size, **options)


def levels(dataset) -> list[int]:
    return dataset.images[:, 0, 0, 0].tolist()


def heldout(name: str) -> bool:
    """Return whether a tenth by hash holds this id out, worked out here anew."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) % 10 == 0


# --- CelebA -----------------------------------------------------------------------------------------------------------


def write_celeba(folder: Path, count: int = 6) -> Path:
    """Write pictures 000001 … of levels 10, 20, …; attribute Male of the odd ones; partition 0, 0, 0, 1, 2, 2."""
    names = [f"{i + 1:06d}.jpg" for i in range(count)]
    for i, name in enumerate(names):
        draw(folder / "img_align_celeba" / name, 10 * (i + 1), (178, 218))
    rows = [f"{name} {' 1' if i % 2 == 0 else '-1'}  -1" for i, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), "Male Bald ", *rows]) + "\n")
    parts = [0, 0, 0, 1, 2, 2][:count]
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, parts, strict=True)))
    return folder


@pytest.fixture
def celeba(data) -> Path:
    return write_celeba(data / "celeba")


def test_celeba_in_its_place(celeba):
    train, held, both = (load("celeba", split) for split in ("train", "heldout", "all"))
    assert train.ids == ["000001", "000002", "000003"] and held.ids == ["000005", "000006"]
    assert len(both) == 6  # the validation image belongs to neither
    assert levels(train) == [10, 20, 30] and levels(held) == [50, 60]
    assert train.attributes.index.tolist() == train.ids and train.attributes["Male"].tolist() == [1, 0, 1]
    assert held.attributes["Bald"].tolist() == [0, 0] and held.meanings == {"Male": "male", "Bald": "bald"}
    assert (train.name, train.split) == ("celeba", "train") and set(train.versions) == {"pillow"}
    assert repr(held) == "ImageDataset(celeba, heldout, 2 images of 8×8)"
    assert torch.equal(train[1], train.images[1].float() / 255)


def zipped(folder: Path, prefix: str) -> None:
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as file:
        for path in (folder / "img_align_celeba").iterdir():
            file.write(path, prefix + path.name)
    shutil.rmtree(folder / "img_align_celeba")


@pytest.mark.parametrize("prefix", ["", "img_align_celeba/", "img_align_celeba/img_align_celeba/"])
def test_celeba_zipped_gives_the_same(celeba, prefix):
    before = load(celeba, "train")
    zipped(celeba, prefix)
    draw(celeba / "about" / "logo.png")
    after = load(celeba, "train")
    assert after.ids == before.ids and torch.equal(after.images, before.images)
    assert after.attributes.equals(before.attributes) and after.fingerprint == before.fingerprint


def test_the_comma_separated_copy(celeba):
    before = load("celeba", "heldout")
    rows = [line.split() for line in (celeba / "list_attr_celeba.txt").read_text().splitlines()[1:]]
    rows[0].insert(0, "image_id")
    (celeba / "list_attr_celeba.csv").write_text("\n".join(map(",".join, rows)))
    rows = [line.split() for line in (celeba / "list_eval_partition.txt").read_text().splitlines()]
    (celeba / "list_eval_partition.csv").write_text("\n".join(map(",".join, [["image_id", "partition"], *rows])))
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (celeba / name).unlink()
    (celeba / "img_align_celeba").rename(celeba / "inner")
    (celeba / "img_align_celeba").mkdir()
    (celeba / "inner").rename(celeba / "img_align_celeba" / "img_align_celeba")
    after = load("celeba", "heldout")
    assert after.ids == before.ids and after.attributes.equals(before.attributes)
    assert after.fingerprint == before.fingerprint


def test_celeba_needs_only_what_is_used(celeba):
    (celeba / "list_attr_celeba.txt").unlink()
    dataset = load("celeba", "train")
    assert dataset.attributes is None and dataset.meanings == {} and len(dataset) == 3
    (celeba / "list_eval_partition.txt").unlink()
    assert [name for name in load("celeba").ids if heldout(name)] == ["000001"]
    assert load("celeba", "heldout").ids == ["000001"] and len(load("celeba", "train")) == 5


def test_celeba_lists_that_do_not_fit_are_counted(celeba):
    (celeba / "img_align_celeba" / "000001.jpg").unlink()
    draw(celeba / "img_align_celeba" / "000009.jpg", 90, (178, 218))
    with pytest.warns(UserWarning) as caught:
        dataset = load("celeba")
    assert sorted(str(warning.message) for warning in caught) == [
        "list_attr_celeba.txt: 1 rows have no image (the first: 000001); "
        "1 images have no row (the first: 000009), so their labels are missing",
        "list_eval_partition.txt: 1 rows have no image (the first: 000001); "
        "1 images have no row (the first: 000009), so they are in no split",
    ]
    assert dataset.attributes.loc["000009"].isna().all() and dataset.attributes["Male"].tolist()[:-1] == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("name", ["list_eval_partition.txt", "img_align_celeba.zip"])
def test_quota_pages_are_recognised(celeba, name):
    if name.endswith(".zip"):
        shutil.rmtree(celeba / "img_align_celeba")
    (celeba / name).write_bytes(HTML)
    with pytest.raises(ValueError, match=f"{name}: this is an HTML page, probably a download-quota page"):
        load("celeba")


def test_two_pictures_of_one_id_are_refused(celeba):
    draw(celeba / "img_align_celeba_png" / "000002.png")
    with pytest.raises(ValueError, match="two pictures with the same id, .*000002.jpg and .*000002.png: give a folder"):
        load("celeba")


# --- CelebA-HQ --------------------------------------------------------------------------------------------------------


def test_celebahq_in_natural_order(data):
    for i in (0, 1, 2, 10, 9):
        draw(data / "celebahq" / f"{i}.jpg", 10 * i)
    dataset = load("celebahq")
    assert dataset.ids == ["0", "1", "2", "9", "10"] and levels(dataset) == [0, 10, 20, 90, 100]
    assert dataset.attributes is None and dataset.name == "celebahq"


def test_celebahq_with_masks_and_attributes(data):
    for i in range(3):
        draw(data / "celebahq" / "CelebA-HQ-img" / f"{i}.jpg", 10 * i)
        draw(data / "celebahq" / "CelebAMask-HQ-mask-anno" / "0" / f"0000{i}_hair.png")
    rows = "3\nMale Young\n0.jpg -1  1\n1.jpg 1 1\n2.jpg 1 -1\n"
    (data / "celebahq" / "CelebAMask-HQ-attribute-anno.txt").write_text(rows)
    dataset = load(data / "celebahq")
    assert dataset.name == "celebahq" and dataset.ids == ["0", "1", "2"]
    assert dataset.attributes.to_numpy(int).tolist() == [[0, 1], [1, 1], [1, 0]]


def test_broken_celebahq(data):
    with pytest.raises(FileNotFoundError, match="no .*data/celebahq: put 0.jpg … 29999.jpg.*docs/datasets.md"):
        load("celebahq")
    (data / "celebahq").mkdir(parents=True)
    with pytest.raises(ValueError, match="no pictures in .*celebahq .0 other files.: expected 0.jpg"):
        load("celebahq")
    draw(data / "celebahq" / "1.jpg")
    (data / "celebahq" / "2.jpg").write_bytes(HTML)
    with pytest.raises(BadImages, match="1 of 2 images(.|\n)*2.jpg: this is an HTML page"):
        load("celebahq")
    (data / "celebahq" / "CelebAMask-HQ-attribute-anno.txt").write_text("2\nMale\n1.jpg 2\n")
    (data / "celebahq" / "2.jpg").unlink()
    with pytest.warns(UserWarning, match="line 3: '2' is not one of -1, 1"):
        assert load("celebahq").attributes is None


# --- FFHQ -------------------------------------------------------------------------------------------------------------


def write_ffhq(folder: Path, ids, nested: bool = False, labels_in: str | None = "json") -> Path:
    """Write pictures of level 10 · id and files of a male of that age."""
    for i in ids:
        draw(folder / (f"{i // 1000 * 1000:05d}" if nested else "") / f"{i:05d}.png", 10 * i % 256)
        if labels_in is not None:
            path = folder / labels_in / f"{i:05d}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([{"faceAttributes": FACE | {"gender": "male", "age": i}}]))
    return folder


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("labels_in", ["json", "ffhq-features-dataset/json", ""])
def test_ffhq_flat_and_nested_with_labels_anywhere(data, nested, labels_in):
    write_ffhq(data / "ffhq", (3, 17, 18, 64), nested, labels_in)
    dataset = load("ffhq")
    assert dataset.ids == ["00003", "00017", "00018", "00064"] and levels(dataset) == [30, 170, 180, 128]
    assert dataset.attributes["age_child"].tolist() == [1, 1, 0, 0]
    assert dataset.attributes["age_senior"].tolist() == [0, 0, 0, 1]
    assert list(dataset.meanings) == list(dataset.attributes) == list(labels.RULES)
    assert load(data / "ffhq").name == "ffhq"


def test_ffhq_labels_are_joined_by_id_and_dropped_files_listed(data):
    folder = write_ffhq(data / "ffhq", range(5))
    (folder / "json" / "00001.json").write_text("[]")
    (folder / "00002.png").unlink()  # the other images keep their labels
    (folder / "json" / "00003.json").unlink()
    with pytest.warns(UserWarning) as caught:
        dataset = load("ffhq")
    assert sorted(str(warning.message) for warning in caught) == [
        "1 of 4 attribute files hold no face and are dropped: 00001",
        "the attribute files: 1 rows have no image (the first: 00002); "
        "1 images have no row (the first: 00003), so their labels are missing",
    ]
    assert dataset.ids == ["00000", "00001", "00003", "00004"]
    assert dataset.attributes["gender_male"].isna().tolist() == [False, True, True, False]
    assert labels.label_counts(dataset.attributes).set_index("attribute").loc["gender_male"].tolist() == [2, 0, 2]


def test_ffhq_labels_are_read_once(data, monkeypatch):
    folder = write_ffhq(data / "ffhq", range(4))
    (folder / "json" / "00002.json").write_text("[]")
    with pytest.warns(UserWarning, match="00002"):
        first = load("ffhq")
    (cache,) = (data / "cache").glob("ffhq-labels-*.npz")
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="00002"):
        patch.setattr(labels, "read_ffhq_attributes", lambda *_: pytest.fail("read the files again"))
        again = load("ffhq")
    assert again.attributes.equals(first.attributes) and again.fingerprint == first.fingerprint
    cache.write_bytes(b"half")
    with pytest.warns(UserWarning) as caught:
        assert load("ffhq").attributes.equals(first.attributes)
    assert any(f"{cache} is damaged" in str(warning.message) for warning in caught)
    (folder / "json" / "00000.json").write_text(json.dumps([{"faceAttributes": FACE | {"gender": "female"}}]))
    with pytest.warns(UserWarning, match="00002"):
        changed = load("ffhq")
    assert changed.attributes["gender_male"].fillna(-1).tolist() == [0, 1, -1, 1]
    assert changed.fingerprint != first.fingerprint


def test_ffhq_splits(data, monkeypatch):
    """Whole, it has its own split by number; a part of it is split by hash."""
    monkeypatch.setattr(layouts, "FFHQ_SIZE", 20)
    monkeypatch.setattr(layouts, "FFHQ_TRAINING", 17)
    folder = write_ffhq(data / "ffhq", range(20), labels_in=None)
    assert load("ffhq", "train").ids == [f"{i:05d}" for i in range(17)]
    assert load("ffhq", "heldout").ids == ["00017", "00018", "00019"]
    (folder / "00004.png").unlink()
    held = [f"{i:05d}" for i in range(20) if heldout(f"{i:05d}") and i != 4]
    assert held and load("ffhq", "heldout").ids == held


def test_ffhq_thumbnails_or_full_size_by_the_size_asked_for(data):
    for i in range(3):
        draw(data / "ffhq" / "thumbnails128x128" / "00000" / f"{i:05d}.png", 1)
        draw(data / "ffhq" / "images1024x1024" / "00000" / f"{i:05d}.png", 2, (256, 256))
    with pytest.warns(UserWarning, match="are enlarged"):
        assert levels(load("ffhq", image_size=64)) == [1, 1, 1]
    assert levels(load("ffhq", image_size=256)) == [2, 2, 2]


def test_broken_ffhq(data):
    with pytest.raises(FileNotFoundError, match="no .*data/ffhq: put 00000.png"):
        load("ffhq")
    folder = write_ffhq(data / "ffhq", range(3))
    (folder / "json" / "00001.json").write_text("[{")
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match="1 of 3 attribute files cannot be read and .*: json/00001.json: "):
            assert load("ffhq").attributes["gender_male"].isna().tolist() == [False, True, False]
    shutil.rmtree(folder / "json")
    write_ffhq(folder, (50, 51))
    for i in (50, 51):
        (folder / f"{i:05d}.png").unlink()
    with pytest.warns(UserWarning, match="no row of the attribute files belongs to an image"):
        assert load("ffhq").attributes is None
    draw(folder / "copy" / "00001.png")
    with pytest.warns(UserWarning, match="labels and two pictures with the same id, 00001.png and copy/00001.png"):
        assert load("ffhq").ids == ["00000", "00001", "00002", "copy/00001"]


# --- Any folder -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """Thirty pictures of levels 0, 8, 16, …"""
    for i in range(30):
        draw(tmp_path / "faces" / f"{i}.png", 8 * i)
    return tmp_path / "faces"


def test_any_folder(folder):
    draw(folder / "more" / "0.PNG", 250)
    draw(folder / "._3.png"), (folder / "note.txt").write_text("hello")
    dataset = load(str(folder))
    assert dataset.ids == [*map(str, range(30)), "more/0"] and levels(dataset) == [*range(0, 240, 8), 250]
    assert (dataset.name, dataset.attributes, dataset.choices) == ("faces", None, None)
    assert dataset.images[torch.tensor([30, 2])][:, 1, 3, 3].tolist() == [250, 16]


def test_a_tenth_is_held_out_and_nothing_ever_changes_sides(folder):
    train, held = load(folder, "train"), load(folder, "heldout")
    expected = [i for i in range(30) if heldout(str(i))]
    assert held.ids == [str(i) for i in expected] and expected
    assert levels(held) == [8 * i for i in expected]
    assert sorted(train.ids + held.ids, key=int) == load(folder).ids
    for i in range(30):
        draw(folder / f"{i}a.png"), draw(folder / f"{i}.jpg")  # the latter change ids: "3" is now "3.png"
    again = load(folder, "heldout")
    assert {f"{name}.png" for name in held.ids} <= set(again.ids)
    assert not {f"{name}.png" for name in train.ids} & set(again.ids)


def test_the_share_held_out_is_a_tenth():
    splits = split_by_hash([f"{i:06d}" for i in range(20_000)])
    assert abs(splits.count("heldout") - 2000) < 3 * np.sqrt(20_000 * 0.1 * 0.9) and set(splits) == {"train", "heldout"}


def test_limits(folder):
    assert load(folder, limit=4).ids == ["0", "1", "2", "3"]
    assert len(load(folder, limit=0)) == len(load(folder, limit=None)) == len(load(folder, limit=30)) == 30
    with pytest.raises(TooFewImages, match="limit 31 is more than the 30 images of split 'all'"):
        load(folder, limit=31)
    held = sum(heldout(str(i)) for i in range(30))
    with pytest.raises(TooFewImages, match=f"limit 29 is more than the {held} images of split 'heldout'"):
        load(folder, "heldout", limit=29)


def test_fingerprints(folder):
    first = load(folder).fingerprint
    assert len(first) == 16 and int(first, 16) >= 0
    shutil.rmtree(data_dir())
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    (copy / "3.png").touch()
    assert load(copy).fingerprint == first == load(folder).fingerprint  # of the content, wherever and whenever written
    assert load(copy, limit=12).fingerprint == load(folder, limit=12).fingerprint != first
    draw(copy / "3.png", 99)
    changed = load(copy).fingerprint
    (copy / "3.png").rename(copy / "2b.png")
    renamed = load(copy).fingerprint
    with warnings.catch_warnings(action="ignore"):
        larger = load(folder, image_size=16).fingerprint
    assert len({first, changed, renamed, larger}) == 4


def test_fingerprints_hold_the_labels(celeba):
    first = load("celeba").fingerprint
    path = celeba / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace("Male", "Female"))
    named = load("celeba").fingerprint
    path.write_text(path.read_text().replace("000002.jpg -1", "000002.jpg  1"))
    assert len({first, named, load("celeba").fingerprint}) == 3


def test_bad_images_are_reported_or_left_out(folder):
    (folder / "3.png").write_bytes(b""), (folder / "page.jpg").write_bytes(HTML)
    with pytest.raises(BadImages, match="2 of 31 images(.|\n)*3.png: an empty file(.|\n)*page.jpg: this is an HTML"):
        load(folder)
    with pytest.warns(UserWarning, match="2 of 31 images in .* are left out: 3.png, page.jpg"):
        dataset = load(folder, on_error="skip")
    assert dataset.ids == [str(i) for i in range(30) if i != 3]


def test_the_image_zoo(tmp_path):
    """Every kind of picture in one folder; `test_decoding.py` looks at the pixels of each."""
    zoo = tmp_path / "zoo"
    (zoo / "nested" / "deep").mkdir(parents=True)
    for mode in ("L", "LA", "P", "RGBA"):
        Image.new(mode, (16, 16)).save(zoo / f"{mode}.png")
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(zoo / "16 bits.png")
    Image.new("CMYK", (16, 16)).save(zoo / "10.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 24)).save(zoo / "2.jpg", exif=exif)
    Image.new("RGB", (16, 16)).save(zoo / "UPPER.JPG", format="JPEG")
    Image.new("RGB", (16, 16)).save(zoo / "nested" / "deep" / "1.jpg")
    for name in ("._x.jpg", "readme.txt", "empty.jpg"):
        (zoo / name).write_bytes(b"")
    (zoo / "page.jpg").write_bytes(HTML)
    whole = (zoo / "10.jpg").read_bytes()
    (zoo / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadImages) as report:
        load(zoo)
    title, *lines, _ = str(report.value).splitlines()
    assert title == f"3 of 12 images in {zoo} cannot be read:"
    assert [line.split(":")[0] for line in lines] == ["  empty.jpg", "  half.jpg", "  page.jpg"]
    with pytest.warns(UserWarning) as caught:
        dataset = load(zoo, on_error="skip")
    sizes, skipped = (str(warning.message) for warning in caught)
    assert sizes.startswith("9 images from 16×16 (10.jpg) to 16×24 (2.jpg): ")
    assert skipped == f"3 of 12 images in {zoo} cannot be read and are left out: empty.jpg, half.jpg, page.jpg"
    assert dataset.ids == ["2", "10", "16 bits", "L", "LA", "nested/deep/1", "P", "RGBA", "UPPER"]
    assert dataset.images.shape == (9, 3, 8, 8) and dataset.images.dtype == torch.uint8
    assert dataset.images[2, 0, 0, 0] == round(40_000 / 257) and (dataset.images[7] == 255).all()


def test_a_folder_or_a_zip_without_pictures(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=f"no pictures in {empty} .0 other files.: expected pictures .\\.jpg, "):
        load(empty)
    (empty / "note.txt").write_text("hello")
    with pytest.raises(ValueError, match="1 other files"):
        load(empty)
    with pytest.raises(ValueError, match="note.txt: a file, not a folder"):
        load(empty / "note.txt")
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(empty / name, "w") as file:
            file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="several zips .a.zip, b.zip.: give one of them"):
        load(empty)
    with pytest.raises(ValueError, match="no pictures in .*a.zip .1 other files"):
        load(empty / "a.zip")


def test_a_split_that_is_empty_is_said(tmp_path):
    draw(tmp_path / "few" / "1.png")  # hashes to another number than 0
    assert not heldout("1")
    with pytest.raises(ValueError, match="none of the 1 images in .*few is in split 'heldout': use \"all\""):
        load(tmp_path / "few", "heldout")


# --- What is asked for ------------------------------------------------------------------------------------------------


def test_a_layout_can_be_given(celeba):
    dataset = load(celeba, layout="folder", image_size=16)
    assert dataset.ids[0] == "img_align_celeba/000001" and dataset.attributes is None


def test_attributes_can_be_probed(celeba):
    frame = load("celeba").attributes
    assert isinstance(frame, pd.DataFrame) and set(frame.dtypes.astype(str)) == {"Int8"}
