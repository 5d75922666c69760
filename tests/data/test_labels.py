"""FFHQ's attribute files, good ones and the ways in which they are broken; joining labels with images."""

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stand_ins import CELEBA, HTML, read_celeba

from pivq.data import labels
from pivq.data.files import Files

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


def ffhq(folder: Path, faces: dict[str, list]) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    (folder / "json").mkdir(exist_ok=True)
    for name, found in faces.items():
        content = found if isinstance(found, str) else json.dumps([{"faceAttributes": face} for face in found])
        (folder / "json" / f"{name}.json").write_text(content)
    files = Files(folder)
    return labels.read_ffhq_attributes(files, list(files.listing))


def row(face: dict) -> dict[str, int | None]:
    return {name: (None if (bit := labels._apply(rule, face)) < 0 else bit) for name, (_, rule) in labels.RULES.items()}


def test_the_five_files(tmp_path):
    frame, without_face, _ = ffhq(tmp_path, FIVE)
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
    frame, *_ = ffhq(tmp_path, FIVE)
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


FIELDS = {
    "gender": ["gender_male"], "age": ["age_child", "age_middle", "age_senior"], "emotion.happiness": ["is_happy"],
    "makeup.eyeMakeup": ["eye_makeup"], "makeup.lipMakeup": ["lip_makeup"], "glasses": ["glasses"],
    "facialHair.beard": ["beard"], "facialHair.sideburns": ["sideburns"], "hair.bald": ["bald"],
    "hair.hairColor": ["hair_black", "hair_blond", "hair_brown", "hair_gray"],
}  # fmt: skip
WRONG = [None, float("nan"), float("inf"), float("-inf"), -1, "", "false", "0.9", 3000, [], {}, [1], [{"color": None}]]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_field_without_a_usable_value_is_a_missing_label(field, value):
    face = copy.deepcopy(FACE)
    *outer, last = field.split(".")
    (face[outer[0]] if outer else face)[last] = value
    face = json.loads(json.dumps(face))
    for name, label in row(face).items():
        assert (label is None) == (name in FIELDS[field]), name


@pytest.mark.parametrize(("colour", "confidence"), [("black", float("nan")), ("black", "high"), (None, 0.9), (7, 0.9)])
def test_a_hair_colour_without_a_usable_confidence_makes_no_label(colour, confidence):
    colours = [{"color": "brown", "confidence": 0.5}, {"color": colour, "confidence": confidence}]
    labels_of = row(FACE | {"hair": {"bald": 0.1, "hairColor": colours}})
    assert [labels_of[f"hair_{name}"] for name in ("black", "blond", "brown", "gray")] == [None] * 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"faceAttributes": "none"}]', "json/00002.json: no 'faceAttributes' in it"),
        ('[{"faceAttributes": [1]}]', "json/00002.json: no 'faceAttributes' in it"),
        ("[" * 100_000, "json/00002.json: maximum recursion depth exceeded"),
        ("[" + "1" * 5000 + "]", "json/00002.json: Exceeds the limit"),
        ("[" + " " * 1_000_000 + "]", "json/00002.json: 1,000,002 bytes, more than the 1,000,000"),
        ("[{", "json/00002.json: "),
        (HTML.decode(), "json/00002.json: this is an HTML page"),
        ('{"faces": 1}', "json/00002.json: expected a list of faces, got dict"),
        ('[{"faceId": 1}]', "json/00002.json: no 'faceAttributes' in it"),
        ("[7]", "json/00002.json: "),
        ("", "json/00002.json: "),
    ],
)
def test_malformed_files_are_named(tmp_path, content, message):
    frame, without_face, broken = ffhq(tmp_path, FIVE | {"00002": content})
    assert [f"{path}: {reason}"[: len(message)] for path, reason in broken.items()] == [message]
    assert frame.index.tolist() == ["00000", "00003", "00004"] and without_face == ["00001"]


# --- Joining ----------------------------------------------------------------------------------------------------------


def test_labels_are_joined_by_id_in_any_order(tmp_path):
    frame, *_ = ffhq(tmp_path, FIVE)
    ids = ["00004", "00002", "00000", "00003"]
    with warnings.catch_warnings(action="error"):
        joined = labels.join_by_id(frame, ids, "some labels")
    assert joined.index.tolist() == ids and joined["gender_male"].tolist() == [0, 1, 0, 0]
    assert joined["age_senior"].tolist() == [0, 0, 1, 0]


def test_rows_and_images_without_counterpart_are_counted(tmp_path):
    frame = read_celeba(tmp_path, CELEBA)
    with pytest.warns(UserWarning) as caught:
        joined = labels.join_by_id(frame, ["000010", "000007", "000002"], "list.txt")
    message = (
        "list.txt: 1 rows have no image (the first: 000001); "
        "1 images have no row (the first: 000007), so their labels are missing"
    )
    assert [str(warning.message) for warning in caught] == [message]
    assert joined["Smiling"].tolist()[::2] == [0, 1] and joined.loc["000007"].isna().all()
    with pytest.raises(ValueError, match="no row of list.txt .* its first id is 000001, that of the images is a1"):
        labels.join_by_id(frame, ["a1", "b2"], "list.txt")


def test_ids_that_are_numbers_are_compared_as_numbers_where_all_fit(tmp_path):
    frame = read_celeba(tmp_path, CELEBA)
    for ids in (["1", "10", "2"], ["img_000001", "img_000010", "img_000002"]):
        with pytest.warns(UserWarning, match=f"list.txt: ids are compared as numbers, 000001 with {ids[0]}"):
            joined = labels.join_by_id(frame, ids, "list.txt")
        assert joined.index.tolist() == ids and joined["Male"].tolist() == [1, 0, 0]
    for ids in (["0", "1", "2"], ["00001", "00002", "00010"], ["1", "01"], ["1", "2", "x"]):  # of other sets
        with pytest.raises(ValueError, match="no row of list.txt belongs to an image"):
            labels.join_by_id(frame, ids, "list.txt")
    assert labels.numbers_of(["a1", "b2", "b03", "x", "b" + "9" * 5000]) == [None, 2, 3, None, None]


def test_counts_of_labels():
    frame = pd.DataFrame({"a": [1, 1, 0, None], "b": [None] * 4}, dtype="Int8")
    counts = labels.label_counts(frame)
    assert list(counts) == ["attribute", "positives", "negatives", "missing"]
    assert counts.to_numpy().tolist() == [["a", 2, 1, 1], ["b", 0, 0, 4]]
    assert counts["missing"].dtype == np.int64
