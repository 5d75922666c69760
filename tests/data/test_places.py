"""Which data set files belong to, and where its parts are."""

import pytest

from pivq.data.files import Files
from pivq.data.places import attribute_files, find_list, find_pictures, only_below, recognise


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["img_align_celeba/000001.jpg"], "celeba"),
        (["000001.jpg", "list_attr_celeba.csv"], "celeba"),
        (["000001.jpg", "000002.jpg"], "folder"),
        (["00000.png", "00001.png"], "ffhq"),
        (["00000/00000.png", "json/00000.json"], "ffhq"),
        (["00000.jpg", "00001.jpg"], "folder"),
        (["0.jpg", "1.jpg", "10.jpg"], "folder"),
        (["CelebA-HQ-img/0.jpg", "CelebAMask-HQ-attribute-anno.txt"], "celebahq"),
        (["a/x.png"], "folder"),
    ],
)
def test_layouts_are_recognised_by_names(tmp_path, names, layout):
    for name in names:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"")
    files = Files(tmp_path / "set")
    assert recognise(files, files, files.pictures()) == layout


def test_all_of_celebahq_is_recognised_by_its_numbers(tmp_path):
    files = Files(tmp_path)
    assert recognise(files, files, [f"{i}.jpg" for i in range(30_000)]) == "celebahq"
    assert recognise(files, files, [f"{i}.jpg" for i in range(29_999)]) == "folder"


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        ([f"{i // 1000:05d}/img{i:08d}.png" for i in range(70_000)], "ffhq"),
        ([f"{i:05d}.jpg" for i in range(70_000)] + ["teaser.jpg"], "ffhq"),
        ([f"img{i:08d}.png" for i in range(30_000)], "celebahq"),
        ([f"{i:06d}.png" for i in range(1, 202_600)], "celeba"),
        ([f"{i:05d}.jpg" for i in range(69_999)], "folder"),
        ([f"{i}.jpg" for i in range(30_000)] + [f"more/{i}.jpg" for i in range(40_000, 40_400)], "folder"),
    ],
)
def test_whole_sets_are_recognised_by_their_numbers_in_any_spelling(tmp_path, names, layout):
    files = Files(tmp_path)
    assert recognise(files, files, names) == layout


def test_lists_are_found_beside_and_above_the_pictures(tmp_path):
    inner = tmp_path / "celeba" / "Img" / "img_align_celeba"
    inner.mkdir(parents=True)
    (inner / "000001.jpg").write_bytes(b"x")
    assert find_list(Files(inner), "list_attr_celeba") is None
    (tmp_path / "celeba" / "Anno").mkdir()
    (tmp_path / "celeba" / "Anno" / "list_attr_celeba.txt").write_text("x")
    place, path = find_list(Files(inner), "list_attr_celeba")
    assert (place.root, path) == (tmp_path / "celeba", "Anno/list_attr_celeba.txt")
    assert find_list(Files(inner), "list_attr_celeba", above=False) is None
    link = tmp_path / "elsewhere"
    link.symlink_to(inner)
    assert find_list(Files(link), "list_attr_celeba")[1] == "Anno/list_attr_celeba.txt"
    (inner / "List_Attr_CelebA.CSV").write_text("x")
    assert find_list(Files(inner), "list_attr_celeba")[1] == "List_Attr_CelebA.CSV"


def test_attribute_files_are_found_beside_the_pictures(tmp_path):
    for name in ("thumbnails128x128/00000.png", "json/00000.json", "json/other.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"[]")
    place, paths = attribute_files(Files(tmp_path / "thumbnails128x128"))
    assert (place.root, paths) == (tmp_path / "json", ["00000.json"])
    assert attribute_files(Files(tmp_path))[1] == ["json/00000.json"]


def test_pictures_that_are_not_chosen_are_returned(tmp_path):
    assert only_below("img", ["img/1.jpg", "logo.png", "a/img2/3.jpg"]) == (["img/1.jpg", "a/img2/3.jpg"], ["logo.png"])
    assert only_below("img", ["1.jpg"]) == (["1.jpg"], [])
    (tmp_path / "1.png").write_bytes(b"x")
    assert find_pictures(Files(tmp_path))[1:] == (["1.png"], [])
