"""CelebA's tables and FFHQ's attribute files, good ones and the ways in which they are broken."""

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pivq.data import labels
from pivq.data.files import Files

HTML = "<!DOCTYPE html><html><title>Quota exceeded</title></html>"
CELEBA = """3
5_o_Clock_Shadow Male Smiling
000001.jpg -1  1  1
000002.jpg  1 -1  1

000010.jpg -1 -1 -1
"""


def celeba(folder: Path, text: str, name: str = "list_attr_celeba.txt") -> pd.DataFrame:
    (folder / name).write_text(text)
    return labels.read_celeba_attributes(Files(folder), name)


def partition(folder: Path, text: str, name: str = "list_eval_partition.txt") -> pd.Series:
    (folder / name).write_text(text)
    return labels.read_celeba_partition(Files(folder), name)


# --- CelebA -----------------------------------------------------------------------------------------------------------


def test_celeba_rows_with_uneven_spaces(tmp_path):
    frame = celeba(tmp_path, CELEBA)
    assert list(frame) == ["5_o_Clock_Shadow", "Male", "Smiling"] and frame.index.name == "id"
    assert frame.index.tolist() == ["000001", "000002", "000010"]
    assert frame.to_numpy(int).tolist() == [[0, 1, 1], [1, 0, 1], [0, 0, 0]]
    assert set(frame.dtypes.astype(str)) == {"Int8"}
    assert celeba(tmp_path, "\ufeff" + CELEBA.replace("\n", "\r\n")).equals(frame)
    assert celeba(tmp_path, CELEBA.removeprefix("3\n")).equals(frame)


def test_the_comma_separated_copy_says_the_same(tmp_path):
    text = "image_id,5_o_Clock_Shadow,Male,Smiling\n000001.jpg,-1,1,1\n000002.jpg, 1,-1,1\n000010.jpg,-1,-1,-1\n"
    assert celeba(tmp_path, text, "list_attr_celeba.csv").equals(celeba(tmp_path, CELEBA))


def test_a_wrong_count_is_said_with_both_numbers(tmp_path):
    with pytest.warns(UserWarning, match="declares 202599 rows in its first line but has 3"):
        assert len(celeba(tmp_path, CELEBA.replace("3\n", "202599\n", 1))) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HTML, "list_attr_celeba.txt: this is an HTML page, probably a download-quota page"),
        ("", "list_attr_celeba.txt is empty"),
        (CELEBA.replace("000010.jpg -1 -1 -1", "000010.jpg -1"), "1 of 3 rows .* 3 columns .* line 6 with 1"),
        (CELEBA.replace("Male ", ""), "3 of 3 rows .* each of the 2 columns .5_o_Clock_Shadow, Smiling.*line 3 with 3"),
        (CELEBA.replace("-1  1  1", "-1  2  1"), "line 3: '2' is not one of -1, 1"),
        (CELEBA.replace("-1  1  1", "-1  0  1"), "line 3: '0' is not one of -1, 1"),
        (CELEBA.replace("000002", "000001"), "1 ids occur more than once: 000001"),
    ],
)
def test_broken_celeba_attributes(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        celeba(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "list_attr_celeba.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match="is not text"):
        labels.read_celeba_attributes(Files(tmp_path), "list_attr_celeba.txt")


def test_celeba_partition(tmp_path):
    expected = {"000001": "train", "000002": "validation", "000010": "heldout"}
    assert partition(tmp_path, "000001.jpg 0\n000002.jpg  1\n000010.jpg\t2\n").to_dict() == expected
    text = "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000010.jpg,2\n"
    assert partition(tmp_path, text, "list_eval_partition.csv").to_dict() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HTML, "list_eval_partition.txt: this is an HTML page"),
        ("000001.jpg 0\n000002.jpg 3\n", "line 2: '3' is not one of 0, 1, 2"),
        ("000001.jpg 0\n000002.jpg\n", "1 of 2 rows"),
        ("000001.jpg 0\n000001.png 1\n", "1 ids occur more than once: 000001"),
    ],
)
def test_broken_celeba_partition(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        partition(tmp_path, text)


# --- FFHQ -------------------------------------------------------------------------------------------------------------

FACE = {
    "smile": 0.9,
    "gender": "female",
    "age": 25.0,
    "facialHair": {"moustache": 0.0, "beard": 0.0, "sideburns": 0.0},
    "glasses": "NoGlasses",
    "emotion": {"happiness": 0.9, "neutral": 0.1},
    "makeup": {"eyeMakeup": True, "lipMakeup": False},
    "accessories": [],
    "hair": {
        "bald": 0.1,
        "invisible": False,
        "hairColor": [{"color": "brown", "confidence": 0.9}, {"color": "black", "confidence": 1.0}],
    },
}
NO_HAIR = {"bald": 0.0, "invisible": True, "hairColor": []}
FIVE = {
    "00000": [FACE | {"age": 60.0, "facialHair": {"beard": 0.4, "sideburns": 0.6}}],
    "00001": [],
    "00002": [FACE | {"gender": "male"}, FACE],
    "00003": [FACE | {"hair": {"bald": 0.9, "invisible": False, "hairColor": []}}],
    "00004": [FACE | {"hair": NO_HAIR, "accessories": [{"type": "headwear", "confidence": 0.99}]}],
}


def ffhq(folder: Path, faces: dict[str, list]) -> tuple[pd.DataFrame, list[str]]:
    (folder / "json").mkdir(exist_ok=True)
    for name, found in faces.items():
        content = found if isinstance(found, str) else json.dumps([{"faceAttributes": face} for face in found])
        (folder / "json" / f"{name}.json").write_text(content)
    files = Files(folder)
    return labels.read_ffhq_attributes(files, list(files.listing))


def row(face: dict) -> dict[str, int | None]:
    return {name: (None if (bit := labels._apply(rule, face)) < 0 else bit) for name, (_, rule) in labels.RULES.items()}


def test_the_five_files(tmp_path):
    frame, without_face = ffhq(tmp_path, FIVE)
    assert without_face == ["00001"] and frame.index.tolist() == ["00000", "00002", "00003", "00004"]
    assert frame["gender_male"].tolist() == [0, 1, 0, 0]  # of two faces the first
    assert frame["age_senior"].tolist() == [1, 0, 0, 0]
    assert frame["beard"].tolist() == [0, 0, 0, 0] and frame["sideburns"].tolist() == [1, 0, 0, 0]
    assert frame["bald"].tolist() == [0, 0, 1, 0]
    for colour in ("black", "blond", "brown", "gray"):
        assert frame[f"hair_{colour}"].isna().tolist() == [False, False, True, True]
    assert frame["hair_black"].tolist()[:2] == [1, 1] and frame["hair_brown"].tolist()[:2] == [0, 0]
    counts = labels.label_counts(frame).set_index("attribute")
    assert counts.loc["hair_black"].tolist() == [2, 0, 2] and counts.loc["gender_male"].tolist() == [1, 3, 0]


def test_smile_and_happiness_are_never_both(tmp_path):
    frame, _ = ffhq(tmp_path, FIVE)
    assert [name for name in frame if "happ" in name or "smil" in name] == ["is_happy"]
    assert row(FACE | {"smile": 0.0})["is_happy"] == 1 and len(labels.RULES) == 15
    assert all("predicted" in meaning for meaning in labels.FFHQ_MEANINGS.values())
    assert list(labels.FFHQ_MEANINGS) == list(frame)


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("facialHair.beard", 0.4, "beard", 0),
        ("facialHair.beard", 0.6, "beard", 1),
        ("facialHair.sideburns", 0.5, "sideburns", 0),
        ("hair.bald", 0.5, "bald", 0),
        ("hair.bald", 0.51, "bald", 1),
        ("emotion.happiness", 0.5, "is_happy", 0),
        ("age", 17.9, "age_child", 1),
        ("age", 18, "age_child", 0),
        ("age", 29.9, "age_middle", 0),
        ("age", 30, "age_middle", 1),
        ("age", 59.9, "age_middle", 1),
        ("age", 60, "age_middle", 0),
        ("age", 59.9, "age_senior", 0),
        ("glasses", "NoGlasses", "glasses", 0),
        ("glasses", "SwimmingGoggles", "glasses", 1),
        ("makeup.lipMakeup", True, "lip_makeup", 1),
        ("makeup.eyeMakeup", False, "eye_makeup", 0),
        ("hair.hairColor", [{"color": "gray", "confidence": 0.4}], "hair_gray", 1),
        ("hair.hairColor", [{"color": "gray", "confidence": 0.4}], "hair_blond", 0),
        ("hair.hairColor", [], "hair_blond", None),
        ("gender", None, "gender_male", None),
        ("age", None, "age_child", None),
        ("emotion", None, "is_happy", None),
    ],
)
def test_thresholds(field, value, attribute, expected):
    face = copy.deepcopy(FACE)
    *outer, last = field.split(".")
    place = face[outer[0]] if outer else face
    place[last] = value
    assert row(face)[attribute] == expected
    del place[last]
    assert row(face)[attribute] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "json/00002.json: "),
        (HTML, "json/00002.json: this is an HTML page"),
        ('{"faces": 1}', "json/00002.json: expected a list of faces, got dict"),
        ('[{"faceId": 1}]', "json/00002.json: no 'faceAttributes' in it"),
        ("[7]", "json/00002.json: "),
        ("", "json/00002.json: "),
    ],
)
def test_malformed_files_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match="1 of 5 attribute files") as error:
        ffhq(tmp_path, FIVE | {"00002": content})
    assert message in str(error.value)


def test_all_malformed_files_are_in_one_report(tmp_path):
    with pytest.raises(ValueError, match="2 of 5 attribute files") as error:
        ffhq(tmp_path, FIVE | {"00000": "{", "00003": ""})
    assert "json/00000.json" in str(error.value) and "json/00003.json" in str(error.value)


# --- Joining ----------------------------------------------------------------------------------------------------------


def test_labels_are_joined_by_id_in_any_order(tmp_path):
    frame, _ = ffhq(tmp_path, FIVE)
    ids = ["00004", "00002", "00000", "00003"]
    with warnings.catch_warnings(action="error"):
        joined = labels.join_by_id(frame, ids, "some labels")
    assert joined.index.tolist() == ids and joined["gender_male"].tolist() == [0, 1, 0, 0]
    assert joined["age_senior"].tolist() == [0, 0, 1, 0]


def test_rows_and_images_without_counterpart_are_counted(tmp_path):
    frame = celeba(tmp_path, CELEBA)
    with pytest.warns(UserWarning) as caught:
        joined = labels.join_by_id(frame, ["000010", "000007", "000002"], "list.txt")
    message = (
        "list.txt: 1 rows have no image (the first: 000001); "
        "1 images have no row (the first: 000007), so their labels are missing"
    )
    assert [str(warning.message) for warning in caught] == [message]
    assert joined["Smiling"].tolist()[::2] == [0, 1] and joined.loc["000007"].isna().all()
    with pytest.raises(ValueError, match="no row of list.txt .* its first id is 000001, that of the images is 1"):
        labels.join_by_id(frame, ["1", "2"], "list.txt")


def test_counts_of_labels():
    frame = pd.DataFrame({"a": [1, 1, 0, None], "b": [None] * 4}, dtype="Int8")
    counts = labels.label_counts(frame)
    assert list(counts) == ["attribute", "positives", "negatives", "missing"]
    assert counts.to_numpy().tolist() == [["a", 2, 1, 1], ["b", 0, 0, 4]]
    assert counts["missing"].dtype == np.int64
