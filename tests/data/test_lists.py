"""CelebA's lists, and copies of them as other programs write; the ways in which they are broken."""

from pathlib import Path

import pandas as pd
import pytest
from stand_ins import CELEBA, HTML, read_celeba

from pivq.data import lists
from pivq.data.files import Files


def partition(folder: Path, text: str, name: str = "list_eval_partition.txt") -> pd.Series:
    (folder / name).write_text(text)
    return lists.read_celeba_partition(Files(folder), name)


def test_celeba_rows_with_uneven_spaces(tmp_path):
    frame = read_celeba(tmp_path, CELEBA)
    assert list(frame) == ["5_o_Clock_Shadow", "Male", "Smiling"] and frame.index.name == "id"
    assert frame.index.tolist() == ["000001", "000002", "000010"]
    assert frame.to_numpy(int).tolist() == [[0, 1, 1], [1, 0, 1], [0, 0, 0]]
    assert set(frame.dtypes.astype(str)) == {"Int8"}
    assert read_celeba(tmp_path, "\ufeff" + CELEBA.replace("\n", "\r\n")).equals(frame)
    assert read_celeba(tmp_path, CELEBA.removeprefix("3\n")).equals(frame)


def test_the_comma_separated_copy_says_the_same(tmp_path):
    text = "image_id,5_o_Clock_Shadow,Male,Smiling\n000001.jpg,-1,1,1\n000002.jpg, 1,-1,1\n000010.jpg,-1,-1,-1\n"
    assert read_celeba(tmp_path, text, "list_attr_celeba.csv").equals(read_celeba(tmp_path, CELEBA))


def test_a_wrong_count_is_said_with_both_numbers(tmp_path):
    with pytest.warns(UserWarning, match="declares 202599 rows in its first line but has 3"):
        assert len(read_celeba(tmp_path, CELEBA.replace("3\n", "202599\n", 1))) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HTML.decode(), "list_attr_celeba.txt: this is an HTML page, probably a download-quota page"),
        ("", "list_attr_celeba.txt is empty"),
        (CELEBA.replace("000010.jpg -1 -1 -1", "000010.jpg -1"), "1 of 3 rows .* 3 columns .* line 6 with 1"),
        (CELEBA.replace("Male ", ""), "3 of 3 rows .* each of the 2 columns .5_o_Clock_Shadow, Smiling.*line 3 with 3"),
        (CELEBA.replace("-1  1  1", "-1  2  1"), "line 3: '2' is not one of -1, 1"),
        (CELEBA.replace("-1  1  1", "-1  0  1"), "line 3: '0' is not one of -1, 1"),
        (CELEBA.replace("000002", "000001"), "1 ids occur more than once: 000001"),
        (CELEBA.replace("Smiling", "Male"), "1 columns occur more than once: Male"),
        (CELEBA.removeprefix("3\n5_o_Clock_Shadow Male Smiling\n"), "has no line of names"),
        ("3\n" + CELEBA.partition("Smiling\n")[2], "has no line of names"),
        (CELEBA.replace("\n0", " x\n0", 1), "3 of 3 rows"),
        ("000001.jpg,-1,1\n000002.jpg,1,1\n", "has no line of names"),
        ("id,Male,,Bald\n1,1,1,1\n", "a column of values has no name"),
        ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("id," + ",".join(f"c{i}" for i in range(1001)) + "\n", "more than the 1,000 columns"),
    ],
)
def test_broken_celeba_attributes(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_celeba(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "list_attr_celeba.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match="is not text"):
        lists.read_celeba_attributes(Files(tmp_path), "list_attr_celeba.txt")


def test_celeba_partition(tmp_path):
    expected = {"000001": "train", "000002": "validation", "000010": "heldout"}
    for text in ("000001.jpg 0\n000002.jpg  1\n000010.jpg\t2\n", "000001.jpg\t0\n000002.jpg  1\n000010.jpg \t 2\n"):
        assert partition(tmp_path, text).to_dict() == expected
    text = "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000010.jpg,2\n"
    assert partition(tmp_path, text, "list_eval_partition.csv").to_dict() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HTML.decode(), "list_eval_partition.txt: this is an HTML page"),
        ("000001.jpg evaluation\n000002.jpg 1\n", "'evaluation' is not one of 0, 1, 2"),
        ("000001.jpg 0\n000002.jpg 3\n", "line 2: '3' is not one of 0, 1, 2"),
        ("000001.jpg 0\n000002.jpg\n", "1 of 2 rows"),
        ("000001.jpg 0\n000001.png 1\n", "1 ids occur more than once: 000001"),
        ("image_id,is_train\n000001.jpg,True\n000002.jpg,False\n", "line 2: 'True' is not one of 0, 1, 2"),
        ("000001.jpg yes\n000002.jpg no\n", "'.*' is not one of 0, 1, 2"),
        ("000001.jpg 0\n000002.jpg F\n", "line 2: 'F' is not one of 0, 1, 2"),
        ("000001.jpg train\n000002.jpg trainer\n", "'trainer' is not one of 0, 1, 2 .or train, validation, test"),
    ],
)
def test_broken_celeba_partition(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        partition(tmp_path, text)


SAME = {"000001": [1, 0], "000002": [0, 1], "000010": [0, 0]}
SPELLINGS = {
    "R, write.csv": '"","image_id","Male","Bald"\n"1","000001.jpg",1,-1\n"2","000002.jpg",-1,1\n'
    '"3","000010.jpg",-1,-1\n',
    "R, without row names": '"image_id","Male","Bald"\n"000001.jpg",TRUE,FALSE\n"000002.jpg",FALSE,TRUE\n'
    '"000010.jpg",FALSE,FALSE\n',
    "R, write.table": '"image_id" "Male" "Bald"\n"1" "000001.jpg" 1 0\n"2" "000002.jpg" 0 1\n"3" "000010.jpg" 0 0\n',
    "Excel, German": "sep=;\r\nimage_id;Male;Bald\r\n000001.jpg;1,0;0,0\r\n000002.jpg;0;1\r\n000010.jpg;0;0\r\n",
    "Excel, empty columns": "image_id,Male,Bald,\n000001.jpg,1,-1,\n000002.jpg,-1,1,\n000010.jpg,-1,-1,\n,,,\n",
    "pandas, with an index": ",image_id,Male,Bald\n0,000001.jpg,1,0\n1,000002.jpg,0,1\n2,000010.jpg,0,0\n",
    "pandas, index alone": ",Male,Bald\n000001.jpg,1.0,-1.0\n000002.jpg,-1.0,1.0\n000010.jpg,-1.0,-1.0\n",
    "pandas, bool": "image_id,Male,Bald\n000001.jpg,True,False\n000002.jpg,False,True\n000010.jpg,False,False\n",
    "numpy, savetxt": "image_id,Male,Bald\n000001.jpg,1.000e+00,-1.000e+00\n000002.jpg,-1.000e+00,1.000e+00\n"
    "000010.jpg,-1.000e+00,-1.000e+00\n",
    "Excel, tabs": "sep=\t\r\nimage_id\tMale\tBald\r\n000001.jpg\t1\t0\r\n000002.jpg\t0\t1\r\n000010.jpg\t0\t0\r\n",
    "bars": "image_id|Male|Bald\n000001.jpg|1|-1\n000002.jpg|-1|1\n000010.jpg|-1|-1\n",
    "words, end of a file of DOS": "image_id,Male,Bald\n000001.jpg,Y,n\n000002.jpg,No,yes\n000010.jpg,N,n\n\x1a",
    "printed minus": "image_id,Male,Bald\n000001.jpg,+1,\u22121\n000002.jpg,\u22121,1\n000010.jpg,\u22121,\u22121\n",
    "StarGAN": "SubjectID Male Bald\n000001 1 -1\n000002 -1 1\n000010 -1 -1\n",
    "StarGAN, CRLF and BOM": "\ufeffSubjectID Male Bald\r\n000001 1 -1\r\n000002 -1 1\r\n000010 -1 -1\r\n",
    "folders": "image_id,Male,Bald\nimg_align_celeba/000001.jpg,1,0\nb\\000002.png,0,1\n/c/d/000010.jpg,0,0\n",
    "CelebA, tabs among the spaces": "3\nMale\tBald \n000001.jpg  1 \t -1\n000002.jpg\t-1  1\n000010.jpg -1\t-1\n",
    "CelebA, tabs in the names alone": "3\nMale \t Bald\n000001.jpg 1 -1\n000002.jpg  -1  1\n000010.jpg -1 -1\n",
    "tabs": "image_id\tMale\tBald\n000001.jpg\t1\t-1\n000002.jpg\t-1\t1\n000010.jpg\t-1\t-1\n",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["list_attr_celeba.csv", "list_attr_celeba.txt"])
def test_copies_by_other_programs_say_the_same(tmp_path, spelling, name):
    frame = read_celeba(tmp_path, SPELLINGS[spelling], name)
    assert list(frame) == ["Male", "Bald"]
    assert {name: row.tolist() for name, row in frame.iterrows()} == SAME


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Male,image_id,Bald\n1,a.jpg,0\n0,b.jpg,1\n", "Male"),
        ("Male,image_id,Bald\n0,a.jpg,0\n1,b.jpg,1\n", "Male"),  # as if rows were counted
        ("Male,image_id,Bald\n1,a.jpg,0\n", "Male"),
        ("age\timage_id\tBald\n31\ta.jpg\t0\n47\tb.jpg\t1\n", "age"),
    ],
)
def test_a_column_before_the_ids_is_no_loss_without_a_word(tmp_path, text, name):
    with pytest.raises(ValueError, match=f"column '{name}' comes before the ids, in 'image_id'.*put the ids first"):
        read_celeba(tmp_path, text)


@pytest.mark.parametrize("first", ["", "Unnamed: 0", "index", "n"])
def test_row_numbers_before_the_ids_are_no_labels(tmp_path, first):
    frame = read_celeba(tmp_path, f"{first},image_id,Bald\n0,a.jpg,0\n1,b.jpg,1\n2,c.jpg,1\n", "list_attr_celeba.csv")
    assert list(frame) == ["Bald"] and frame["Bald"].tolist() == [0, 1, 1]
    if first != "n":  # part of a table keeps the numbers of the whole
        frame = read_celeba(tmp_path, f"{first},image_id,Bald\n17,a.jpg,0\n5,b.jpg,1\n", "list_attr_celeba.csv")
        assert list(frame) == ["Bald"] and frame["Bald"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        "image_id,Male\n1.jpg,1,-1\n2.jpg,-1,1\n",  # a name is missing: Male would get the values of another column
        "image_id Male Bald\n1.jpg 1 -1 1\n2.jpg -1 1 1\n",
        'File name;"Male;Bald"\n1.jpg;1;0\n2.jpg;0;1\n',  # a quote too many
    ],
)
def test_a_name_too_few_never_shifts_the_labels(tmp_path, text):
    with pytest.raises(ValueError, match="list_attr_celeba.txt: its rows have . values.*add the name that is missing"):
        read_celeba(tmp_path, text)


@pytest.mark.parametrize("text", ["image_id\n1.jpg\n2.jpg\n", "image_id\n1.jpg,0\n2.jpg,1\n"])
def test_a_list_of_ids_alone_is_refused(tmp_path, text):
    for read, name in ((read_celeba, "list_attr_celeba.txt"), (partition, "list_eval_partition.txt")):
        with pytest.raises(ValueError, match=f"{name} has no column of values"):
            read(tmp_path, text, name)


def test_with_tabs_names_and_ids_may_have_spaces(tmp_path):
    text = "image id\tHigh Brows\tBald\nmy 1.jpg\t1\t-1\nmy 2.jpg\t\t1\n2019 face (3).jpg\t-1\t-1\n"
    frame = read_celeba(tmp_path, text)
    assert list(frame) == ["High Brows", "Bald"] and frame.index.tolist() == ["my 1", "my 2", "2019 face (3)"]
    assert frame.fillna(-1).to_numpy(int).tolist() == [[1, 0], [-1, 1], [0, 0]]


def test_missing_values_are_missing(tmp_path):
    text = "image_id,Male,Bald\n1.jpg,1,NA\n2.jpg,,0\n3.jpg,NaN,null\n"
    assert read_celeba(tmp_path, text).fillna(-1).to_numpy(int).tolist() == [[1, -1], [-1, 0], [-1, -1]]


def test_three_values_are_refused_because_0_may_mean_unknown(tmp_path):
    with pytest.raises(ValueError, match="line 3: '0' is not one of -1, 1"):
        read_celeba(tmp_path, "id,Male\n1.jpg,-1\n2.jpg,0\n3.jpg,-1\n4.jpg,1\n")


def test_other_encodings(tmp_path):
    text = "image_id\tMänner\tBald\n1.jpg\t1\t0\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        (tmp_path / "list_attr_celeba.txt").write_bytes(text.encode(encoding))
        frame = lists.read_celeba_attributes(Files(tmp_path), "list_attr_celeba.txt")
        assert list(frame) == ["Männer", "Bald"] and frame.loc["1"].tolist() == [1, 0]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])  # the first two without a byte order mark
def test_zero_bytes_are_no_text(tmp_path, encoding):
    (tmp_path / "list_attr_celeba.txt").write_bytes("image_id\tMale\n1.jpg\t1\n2.jpg\t0\n".encode(encoding))
    with pytest.raises(ValueError, match="list_attr_celeba.txt is not text, or not in UTF-8 .it holds zero bytes"):
        lists.read_celeba_attributes(Files(tmp_path), "list_attr_celeba.txt")
    (tmp_path / "list_attr_celeba.csv").write_bytes(b"PK\3\4" + bytes(50))  # a workbook, renamed
    with pytest.raises(ValueError, match="list_attr_celeba.csv is not text.*save it as CSV in UTF-8"):
        lists.read_celeba_attributes(Files(tmp_path), "list_attr_celeba.csv")


@pytest.mark.parametrize("line", ["000010.jpg" + " -1" * 40_000, '"' + "x" * 140_000 + '" 1', "x" * 100_001])
def test_a_line_of_too_many_letters_is_refused_by_its_number(tmp_path, line):
    for text, at in ((CELEBA + line, 7), (line + "\n" + CELEBA, 1)):
        with pytest.raises(ValueError, match=f"list_attr_celeba.txt, line {at}: more than the 100,000 letters"):
            read_celeba(tmp_path, text)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_end_where_systems_end_them_and_nowhere_else(tmp_path, end):
    text = end.join(["image_id,Male", "a\u2028b.jpg,1", "c\x0bd.jpg,0", "e\x85f.jpg,1", ""])
    (tmp_path / "list_attr_celeba.csv").write_bytes(text.encode())
    frame = lists.read_celeba_attributes(Files(tmp_path), "list_attr_celeba.csv")
    assert frame["Male"].to_dict() == {"a\u2028b": 1, "c\x0bd": 0, "e\x85f": 1}


@pytest.mark.parametrize(
    "text",
    [
        "image_id,partition\n000001.jpg,train\n000002.jpg,val\n000010.jpg,test\n",
        "image_id,partition\n000001.jpg,training\n000002.jpg,Validation\n000010.jpg,Testing\n",
        "000001.jpg TRAINING\n000002.jpg valid\n000010.jpg TEST\n",
        '"","image_id","partition"\n"1","000001.jpg",0\n"2","000002.jpg",1\n"3","000010.jpg",2\n',
        "000001.jpg,0\n000002.jpg,1\n000010.jpg,2\n",
        "image_id;partition\r\n000001.jpg;0.0\r\n000002.jpg;1.0\r\n000010.jpg;2.0\r\n",
    ],
)
def test_copies_of_the_partition_say_the_same(tmp_path, text):
    expected = {"000001": "train", "000002": "validation", "000010": "heldout"}
    assert partition(tmp_path, text, "list_eval_partition.csv").to_dict() == expected


def test_a_list_of_too_many_bytes_or_rows_is_not_read(tmp_path, monkeypatch):
    with open(tmp_path / "list_attr_celeba.txt", "wb") as file:
        file.truncate(20 << 30)
    with pytest.raises(ValueError, match="21,474,836,480 bytes, more than the 128,000,000"):
        lists.read_celeba_attributes(Files(tmp_path), "list_attr_celeba.txt")
    monkeypatch.setattr(lists, "MOST_ROWS", 3)
    for end in ("\n", "\r", "\r\n"):
        with pytest.raises(ValueError, match="more than the 3 rows"):
            read_celeba(tmp_path, CELEBA.replace("\n", end))
