"""Files of codes: every kind is read alike, what is no set of codes is named with its row, names stay in the folder."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stand_ins import make_split

from pivq.commands import codes
from pivq.commands.cli import main
from pivq.commands.codes import decode_codes, read_codes
from pivq.commands.jobs import encode_dataset
from pivq.data import ImageDataset, from_uint8, to_uint8
from pivq.model import PIVQ, model_digest

ROWS = [[3, 0, 11, 7], [1, 2, 3, 4], [5, 5, 5, 6]]


@pytest.fixture
def model(tiny_config):
    """Return an untrained model: K = 12, L = 4, 16×16."""
    torch.manual_seed(0)
    return PIVQ(tiny_config().model).eval().requires_grad_(False)


def write(folder: Path, ending: str, rows, ids=None) -> Path:
    """Write rows of codes, with ids if the kind of file has some."""
    path = folder / f"mine{ending}"
    if ending == ".npz":
        np.savez(path, codes=rows, **({} if ids is None else {"ids": ids}))
    elif ending == ".npy":
        np.save(path, rows)
    elif ending == ".json":
        path.write_text(json.dumps(rows if ids is None else dict(zip(ids, rows, strict=True))))
    else:
        with open(path, "w", newline="") as file:
            lines = rows if ids is None else [["id", "a", "b"], *([i, *row] for i, row in zip(ids, rows, strict=True))]
            csv.writer(file).writerows(lines)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep={}\n"])
@pytest.mark.parametrize("named", [False, True])
def test_tables_as_excel_writes_them(model, tmp_path, separator, encoding, first, named):
    lines = [["id", "a", "b", "c", "d"], *([f"née{i}", *map(str, row)] for i, row in enumerate(ROWS))]
    text = "\r\n".join(separator.join(line if named else line[1:]) for line in lines[not named :]) + "\r\n"
    (tmp_path / "mine.csv").write_bytes((first.format(separator) + text).encode(encoding))
    sets = read_codes(tmp_path / "mine.csv", model.config)
    assert sets.codes.tolist() == ROWS
    assert sets.names == [f"née{i}.png" if named else f"{i:06d}.png" for i in range(3)]


def test_ids_of_bytes_are_text_and_other_arrays_are_no_ids(model, tmp_path):
    sets = read_codes(write(tmp_path, ".npz", ROWS, np.array([b"a", "née".encode(), b"c.png"])), model.config)
    assert sets.names == ["a.png", "née.png", "c.png"]
    assert read_codes(write(tmp_path, ".npz", ROWS, [7, 8, 9]), model.config).names == ["7.png", "8.png", "9.png"]
    for ids in ([["a"], ["b"], ["c"]], [0.5, 1.5, 2.5], [True, False, True], "abc"):
        with pytest.raises(ValueError, match=r"mine.npz: ids must be an array \(N,\) of texts, one per row, got"):
            read_codes(write(tmp_path, ".npz", ROWS, ids), model.config)


@pytest.mark.parametrize("name", ["a/" * 2000 + "b", "a/" * 100 + "b", "/".join(["x" * 250] * 20)])
def test_an_id_of_too_many_folders_is_refused_before_anything_is_written(stored, tmp_path, capsys, name):
    path = write(tmp_path, ".csv", ROWS, ["a", name, "c"])
    assert main(["decode", str(path), "--model", str(stored), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "row 2: the id 'a/a/" in said or "row 2: the id 'xxx" in said
    assert "is too long" in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("ending", [".npz", ".npy", ".csv", ".json"])
@pytest.mark.parametrize("named", [False, True])
def test_every_kind_of_file_holds_the_same(model, tmp_path, ending, named):
    ids = ["b", "sub/a", "c.png"] if named and ending != ".npy" else None
    sets = read_codes(write(tmp_path, ending, ROWS, ids), model.config)
    assert sets.codes.dtype == np.int64 and sets.codes.tolist() == ROWS and sets.model is None
    assert sets.names == (["b.png", "sub/a.png", "c.png"] if ids else ["000000.png", "000001.png", "000002.png"])


def test_a_csv_may_have_blanks_and_a_byte_order_mark(model, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"\xef\xbb\xbfID, code\r\n x , 3, 0,11,7\r\n\r\ny,1,2,3,4\r\n")
    sets = read_codes(path, model.config)
    assert sets.codes.tolist() == ROWS[:2] and sets.names == ["x.png", "y.png"]


@pytest.mark.parametrize("ending", [".npz", ".npy", ".csv", ".json"])
@pytest.mark.parametrize(
    "row, said",
    [
        ([1, 2, 3, 12], "row 2 holds the code 12, but this model's codes are 0 to 11"),
        ([1, -1, 3, 2], "row 2 holds the code -1"),
        ([1, 2, 3, 10**12], "row 2 holds the code 1000000000000"),
    ],
)
def test_codes_out_of_range_are_named_with_their_row(model, tmp_path, ending, row, said):
    with pytest.raises(ValueError, match=f"mine{ending}: {said}"):
        read_codes(write(tmp_path, ending, [ROWS[0], row]), model.config)


@pytest.mark.parametrize("ending", [".csv", ".json"])
@pytest.mark.parametrize(
    "row, said",
    [
        ([1, 2, 3], "row 2 has 3 codes, but this model's sets have 4"),
        ([1, 2, 3, 4, 5], "row 2 has 5 codes"),
        ([1, 2.5, 3, 4], "row 2 holds '?2.5'?, which is no whole number"),
        ([1, 2, float("nan"), 4], "row 2 holds '?nan'?, which is no whole number"),
        ([1, 2, "three", 4], "row 2 holds 'three', which is no whole number"),
        ([1, 2, True, 4], "row 2 holds '?True'?, which is no whole number"),
        ([1, 2, None, 4], "row 2 holds (None|''), which is no whole number"),
    ],
)
def test_rows_that_are_no_sets_of_codes_are_named(model, tmp_path, ending, row, said):
    with pytest.raises(ValueError, match=said):
        read_codes(write(tmp_path, ending, [ROWS[0], row]), model.config)


@pytest.mark.parametrize("ending", [".npz", ".npy"])
@pytest.mark.parametrize(
    "array, said",
    [
        (np.zeros((2, 5), int), "row 1 has 5 codes, but this model's sets have 4"),
        (np.array(ROWS, float), r"row 1 holds 3.0 \(float64\), but codes are whole numbers of an integer type"),
        (np.full((2, 4), np.nan), r"row 1 holds nan \(float64\)"),
        (np.zeros((2, 4), bool), r"row 1 holds False \(bool\)"),
        (np.array([["1", "2", "3", "4"]]), "row 1 holds 1"),
        (np.zeros((0, 4), int), "it holds no codes"),
        (np.zeros(4, int), r"expected rows of 4 codes, one row per image, got an array \(4,\)"),
        (np.full((1, 4), 2**64 - 1, np.uint64), "row 1 holds the code 18446744073709551615"),
    ],
)
def test_arrays_that_are_no_codes_are_refused(model, tmp_path, ending, array, said):
    with pytest.raises(ValueError, match=said):
        read_codes(write(tmp_path, ending, array), model.config)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.json", "[]", "it holds no codes"),
        ("a.json", "3", "expected rows of 4 codes, one row per image, got int"),
        ("a.json", "[1, 2, 3, 4]", "row 1 is 1, expected 4 codes"),
        ("a.json", '{"x": [1, 2, 3]}', r"row 1 \('x'\) has 3 codes"),
        ("a.json", "{", "is damaged or no file of codes"),
        ("a.json", "[" * 100_000, "is damaged or no file of codes"),
        ("a.json", '{"x": [1, 2, 3, 4], "y": [1, 2, 3, 5], "x": [1, 2, 3, 6]}', "the name 'x' occurs more than once"),
        ("a.json", '{"x": {"a": 1, "a": 2}}', "the name 'a' occurs more than once"),
        ("a.csv", "", "it holds no codes"),
        ("a.csv", "id,a,b\n", "it holds no codes"),
        ("a.csv", "codes\n1,2,3,4\n", "row 1 has 1 codes"),
        ("a.csv", "1;2;3\n", "row 1 has 3 codes"),
        ("a.csv", "1 2 3 4\n", "row 1 has 1 codes"),
        ("a.csv", "1,2,3,1_0\n", "row 1 holds '1_0'"),
        ("a.csv", "1,2,3,٣\n", "row 1 holds '٣'"),
        ("a.npy", "not an array", "is damaged or no file of codes"),
        ("a.npz", "not an array", "is damaged or no file of codes"),
    ],
)
def test_other_files_are_refused_in_one_line(model, tmp_path, name, content, said):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as refused:
        read_codes(tmp_path / name, model.config)
    assert name in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize("ending", [".csv", ".json"])
def test_a_large_file_of_text_is_refused_unread(model, tmp_path, ending, monkeypatch):
    """90 MB of `[],[],…` took 3 GB and half a minute."""
    path = write(tmp_path, ending, ROWS)
    monkeypatch.setattr(codes, "MOST_TEXT", path.stat().st_size)
    assert read_codes(path, model.config).codes.tolist() == ROWS
    monkeypatch.setattr(codes, "MOST_TEXT", path.stat().st_size - 1)
    for name in ("_read_csv", "_read_json"):
        monkeypatch.setattr(codes, name, lambda path: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"mine\..* has \d+ bytes, more than .*: save the codes as .npz or .npy"):
        read_codes(path, model.config)


def test_arrays_of_another_name_and_ids_of_another_number_are_refused(model, tmp_path):
    np.savez(tmp_path / "a.npz", train_codes=ROWS)
    with pytest.raises(ValueError, match="a.npz has no array `codes`, but train_codes"):
        read_codes(tmp_path / "a.npz", model.config)
    np.savez(tmp_path / "a.npz", codes=ROWS, ids=["a"])
    with pytest.raises(ValueError, match="a.npz has 1 ids for 3 rows of codes"):
        read_codes(tmp_path / "a.npz", model.config)
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="a.npy is damaged or no file of codes"):
        read_codes(tmp_path / "a.npy", model.config)


@pytest.mark.parametrize("name", ["x" * 252, "a/" + "é" * 126, "\ud800", "sub/\udfff/x"])
def test_an_id_that_no_file_can_have_is_refused_before_anything_is_written(model, tmp_path, name):
    path = write(tmp_path, ".json", ROWS[:2], ["good", name])
    with pytest.raises(ValueError, match=r"mine.json: row 2: the id .* is too long, or no text") as refused:
        read_codes(path, model.config)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("ids", [["a.png", "a.png/b"], ["x/a.png/b/c", "x/a"]])
def test_a_file_where_another_id_asks_for_a_folder_is_refused(model, tmp_path, ids):
    with pytest.raises(ValueError, match=r"mine.json: row .: the id .* asks for a folder where .*a.png' is a file"):
        read_codes(write(tmp_path, ".json", ROWS[:2], ids), model.config)


@pytest.mark.parametrize("name", ["", " ", "../x", "a/../../x", "/etc/x", "..\\x", "a//b", "a\0b", "a/", "..", "/"])
def test_an_id_that_leads_out_of_the_folder_is_refused(model, tmp_path, name):
    path = write(tmp_path, ".json", ROWS[:2], ["good", name])
    with pytest.raises(ValueError, match=r"mine.json: row 2: the id .* cannot name a file in the folder"):
        read_codes(path, model.config)


def test_two_images_of_one_name_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="rows 1 and 3 have the same id 'a.png'"):
        read_codes(write(tmp_path, ".csv", ROWS, ["a", "b", "a.png"]), model.config)


# --- The command ------------------------------------------------------------------------------------------------------


def status(*words) -> int:
    return main(["decode", "--device", "cpu", *map(str, words)])


@pytest.fixture
def stored(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def read(path: Path) -> torch.Tensor:
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def test_decoding_what_was_encoded_reconstructs(model, stored, tiny_config, tmp_path, capsys):
    split = make_split(tiny_config(), "train")
    names = [f"part {i % 2}/face-{i}" for i in range(len(split.images))]
    images = ImageDataset(split.images, names, "noise", "train", fingerprint="noise")
    encode_dataset(model, images, tmp_path / "codes.npz")
    assert status(tmp_path / "codes.npz", "--model", stored, "--out", tmp_path / "out", "--grid") == 0
    assert "24 pictures made: " in capsys.readouterr().out
    made = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*.png")}
    assert set(made) == {f"{name}.png" for name in names}
    reconstructed = to_uint8(model.decode(model.encode(from_uint8(split.images))))
    for name, expected in zip(names, reconstructed, strict=True):
        assert torch.equal(read(made[f"{name}.png"]), expected)
    assert (tmp_path / "out-grid.png").exists()


def test_decoding_resumes_and_keeps_what_is_there(model, stored, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pivq.commands.codes.BATCH", 2)
    command = [write(tmp_path, ".csv", ROWS), "--model", stored, "--out", tmp_path / "out"]
    assert status(*command) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(before) == 4
    (tmp_path / "out" / "000001.png").unlink()
    assert status(*command) == 0
    assert "1 pictures made, 2 were there" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    write(tmp_path, ".csv", ROWS[::-1])
    assert status(*command) == 1
    assert "holds pictures of another model or other codes, says decoded.json" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_codes_of_another_model_need_a_word(model, stored, tiny_config, tmp_path, capsys):
    torch.manual_seed(1)
    other = PIVQ(tiny_config().model).eval()
    split = make_split(tiny_config(), "heldout")
    encode_dataset(other, ImageDataset(split.images, split.ids, "noise", "train", fingerprint="x"), tmp_path / "c.npz")
    command = [tmp_path / "c.npz", "--model", stored, "--out", tmp_path / "out"]
    assert status(*command) == 1
    said = capsys.readouterr().err
    assert f"codes of another model ({model_digest(other)}, this one is {model_digest(model)})" in said
    assert "--any-model" in said and not (tmp_path / "out").exists()
    assert status(*command, "--any-model") == 0
    codes = torch.from_numpy(read_codes(tmp_path / "c.npz", model.config).codes)
    assert torch.equal(read(tmp_path / "out" / f"{split.ids[3]}.png"), to_uint8(model.decode(codes))[3])


def test_what_is_refused_is_refused_in_one_line(stored, tmp_path, capsys):
    path = write(tmp_path, ".csv", [ROWS[0], [1, 2, 3]])
    assert status(path, "--model", stored, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert said == f"pivq decode: error: {path}: row 2 has 3 codes, but this model's sets have 4\n"


CLASHES = [["A", "a"], ["b/A", "B/a"], ["x.PNG", "x.png"], ["\u00c9", "e\u0301"], ["a.png/1", "A.png"],
           ["STRASSE", "straße"]]  # fmt: skip


@pytest.mark.parametrize("ids", CLASHES)
def test_names_that_are_one_file_where_case_is_folded_are_refused_there(model, tmp_path, monkeypatch, ids):
    sets = read_codes(write(tmp_path, ".json", ROWS, [ids[0], "other", ids[1]]), model.config)
    assert decode_codes(model, sets, tmp_path / "apart") == 3, "here they are two files"
    monkeypatch.setattr("pivq.commands.codes._folds_case", lambda path: True)
    with pytest.raises(ValueError, match="would be one file in .*, whose file system does not tell capitals from"):
        decode_codes(model, sets, tmp_path / "folded")
    assert [path.name for path in (tmp_path / "folded").iterdir()] == ["decoded.json"]
    plain = read_codes(write(tmp_path, ".json", ROWS, ["A", "b/A", "c"]), model.config)
    assert decode_codes(model, plain, tmp_path / "plain") == 3


def test_a_folder_that_folds_case_is_known_by_its_note(tmp_path):
    (tmp_path / "decoded.json").touch()
    assert not codes._folds_case(tmp_path / "decoded.json")
    (tmp_path / "DECODED.JSON").touch()  # as if it were the same file
    assert codes._folds_case(tmp_path / "decoded.json")


def test_pictures_in_a_folder_of_something_else_are_not_written(model, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    sets = read_codes(write(tmp_path, ".npy", ROWS), model.config)
    with pytest.raises(FileExistsError, match="is not empty and holds no pictures"):
        decode_codes(model, sets, tmp_path)
