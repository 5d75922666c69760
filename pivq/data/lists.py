"""Tables of labels and splits by file name: CelebA's lists, and copies of them as R, Excel, pandas and others write."""

import csv
import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pivq.data.files import Files, normal, stand_in

# In the list of CelebA; "2" is its test set. Copies have words.
PARTITION = {"0": "train", "1": "validation", "2": "heldout", "train": "train", "val": "validation"}
PARTITION |= {"valid": "validation", "validation": "validation", "test": "heldout"}
PARTITION |= {"training": "train", "testing": "heldout"}
LABELS = {"-1": 0, "0": 0, "1": 1, "": -1}
WORDS = {"true": "1", "t": "1", "yes": "1", "y": "1", "false": "0", "f": "0", "no": "0", "n": "0"}
NO_VALUE = ("na", "nan", "null", "none", "n/a", "<na>", "#n/a", "?")
MOST_BYTES, MOST_ROWS, MOST_COLUMNS = 128_000_000, 2_000_000, 1_000  # of a list; CelebA's: 27 MB, 202,599 rows, 41
MOST_LETTERS = 100_000  # of a line; fewer than `csv` takes for a field
LISTED = 10  # the most ids that a message names
ID_NAME = re.compile(r"(^|[_ ])(id|name|file|filename|image|img|subject|subjectid|key|index|path|unnamed.*)$|^$", re.I)
FILE_NAME = re.compile(r"\.\w{3,4}$")


class Tokens(dict):
    """Text of a value → one of the `known` values, as its index; other text raises ValueError that says `allowed`."""

    def __init__(self, known: Collection[str], allowed: str) -> None:
        super().__init__()
        self.known, self.allowed = list(known), allowed

    def __missing__(self, text: str) -> int:
        word = plain(text, WORDS if "-1" in self.known else {})  # truth values are labels, but name no split
        if word not in self.known:
            raise ValueError(f"{text!r} is not one of {self.allowed}")
        self[text] = index = self.known.index(word)
        return index


@dataclass
class Table:
    """A list, before its values are understood."""

    where: str
    lines: list[tuple[int, str]]  # numbers and text of those that are not blank
    separator: str | None  # None is white space
    declared: int | None = None  # number of rows that its first line says

    def fields(self, i: int) -> list[str]:
        """Return the fields of a line."""
        line = self.lines[i][1]
        if '"' in line:
            options = {"delimiter": self.separator or " ", "skipinitialspace": True}
            return [field.strip() for field in next(csv.reader([line.strip()], **options))]
        return [field.strip() for field in line.split(self.separator)] if self.separator else line.split()


def read_celeba_attributes(files: Files, path: str) -> pd.DataFrame:
    """Read CelebA's attributes: `list_attr_celeba.txt`, or any copy of it as a table.

    Args:
        files: where the list is.
        path: of the list. The text file may have a line with the number of rows; then a line of names, and rows such
            as `000001.jpg -1  1 …`; so has that of CelebAMask-HQ. Copies may have commas, semicolons or tabs, quotes, a
            name for the column of ids or none, and a column of row numbers before it.

    Returns:
        {0, 1, missing} (Int8) indexed by id, the file name without folders and extension; −1 and false become 0.

    Raises:
        ValueError: for a list without names, rows with too few or too many values, values other than two, or an id or a
            name that occurs twice; names the file and the line.
    """
    table = _read_table(files, path)
    names = table.fields(0)
    if len(names) > 1 and all(plain(name) in LABELS for name in names[1:]):
        raise ValueError(f"{table.where} has no line of names: its first line is a row of values. Add the names")
    ids, values, names = _read_rows(table, names, 1, LABELS, "-1, 1")
    known = list(LABELS)
    counts = {word: int((values == known.index(word)).sum()) for word in ("-1", "0")}
    if all(counts.values()):  # 0 may mean "unknown" here, or "no"
        rare = min(counts, key=counts.get)
        row = int((values == known.index(rare)).any(axis=1).argmax())
        other = "0, 1" if rare == "-1" else "-1, 1"
        raise ValueError(f"{table.where}, line {table.lines[row + 1][0]}: {rare!r} is not one of {other}")
    if table.declared is not None and table.declared != len(ids):
        warnings.warn(
            f"{path} declares {table.declared} rows in its first line but has {len(ids)}: incomplete download?",
            stacklevel=2,
        )
    labels = np.array(list(LABELS.values()), np.int8)[values]
    frame = pd.DataFrame(labels, pd.Index(ids, name="id"), names, dtype="Int8")
    return frame.mask(frame < 0)


def read_celeba_partition(files: Files, path: str) -> pd.Series:
    """Read CelebA's official split: `list_eval_partition.txt` (rows `000001.jpg 0`), or any copy of it as a table.

    Returns:
        "train", "validation" or "heldout" (the test set), indexed by id.

    Raises:
        ValueError: for rows other than a name and 0, 1 or 2, or an id that occurs twice.
    """
    table = _read_table(files, path)
    names = table.fields(0)
    # The list itself has no line of names; a first row with an unknown word is none either.
    start = 0 if plain(names[-1], {}) in PARTITION or any(map(FILE_NAME.search, names)) else 1
    allowed = "0, 1, 2 (or train, validation, test)"
    ids, values, _ = _read_rows(table, names if start else ["partition"], start, PARTITION, allowed)
    parts = np.array(list(PARTITION.values()), dtype=object)
    return pd.Series(parts[values[:, 0]], pd.Index(ids, name="id"))


def plain(text: str, words: Mapping[str, str] = WORDS) -> str:
    """Return one spelling of a value: whole numbers as such, `TRUE` as 1 (see `words`), `NA` as nothing.

    Example:
        >>> [plain(text) for text in (" 1.0", "-1", "FALSE", "NaN", "Male")]
        ['1', '-1', '0', '', 'male']
    """
    word = text.strip().lower().replace("\N{MINUS SIGN}", "-")
    word = words.get(word, word)
    if re.fullmatch(r"[+-]?\d{1,3}([.,]0*)?(e[+-]?0+)?", word):  # numpy writes 1.000e+00
        return str(int(re.split("[.,e]", word)[0]))
    return "" if word in NO_VALUE else word


def check_once(names: list[str], where: str, what: str = "ids") -> None:
    """Raise ValueError if a name occurs more than once."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{where}: {len(twice):,} {what} occur more than once: {', '.join(twice[:LISTED])}")


def _read_table(files: Files, path: str) -> Table:
    where = f"{files.root}: {path}"
    try:
        content = files.read(path, MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if reason := stand_in(content[:512]):
        raise ValueError(f"{where}: {reason}")
    if max(content.count(b"\n"), content.count(b"\r")) > MOST_ROWS:  # old Macs end lines with the second alone
        raise ValueError(f"{where}: more than the {MOST_ROWS:,} rows that a list can have")
    text = _decode(content, where).replace("\r\n", "\n").replace("\r", "\n")
    lines = list(enumerate(text.split("\n"), 1))
    for number, line in lines:
        if len(line) > MOST_LETTERS:  # before it becomes as many fields
            raise ValueError(f"{where}, line {number}: more than the {MOST_LETTERS:,} letters that a line can have")
    lines = [(number, line) for number, line in lines if line.strip(" \t,;|\x1a")]  # the last one ends files of DOS
    declared = separator = None
    if lines and (excel := re.fullmatch(r'"?sep=(.)"?\s*', lines[0][1].lstrip())):  # which separator follows
        separator = excel[1]
        lines.pop(0)
    elif lines and re.fullmatch(r'"?\d{1,9}"?', count := lines[0][1].strip(" \t,;")):
        declared = int(count.strip('"'))
        lines.pop(0)
    if not lines:
        raise ValueError(f"{where} is empty: download it again")
    line = lines[0][1]
    if max(map(line.count, ",;\t| ")) > MOST_COLUMNS:
        raise ValueError(f"{where}: more than the {MOST_COLUMNS:,} columns that a list can have")
    likely = max(",;\t|", key=line.count)
    if likely == "\t" and any(_has_spaces_too(row) for _, row in lines[1:1000]):
        likely = " "
    return Table(where, lines, separator or (likely if likely != " " and likely in line else None), declared)


def _has_spaces_too(row: str) -> bool:
    """Say whether values of a row with tabs are separated by spaces, too; the id alone may have some in it."""
    name, *values = (cell.strip() for cell in row.split("\t"))
    in_name = re.fullmatch(r"(\S+\.\w+|\d+)( +-?\d)+", name)
    return in_name is not None or any(re.search(r"\S +-?\d$", value) for value in values)


def _decode(content: bytes, where: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") and b"\0" in content[:64]:  # Excel's "Unicode text"
        content = content.decode("utf-16", errors="replace").encode()
    if b"\0" in content:
        raise ValueError(f"{where} is not text, or not in UTF-8 (it holds zero bytes): save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if sum(byte > 127 for byte in content[:10_000]) > len(content[:10_000]) / 10:
            raise ValueError(f"{where} is not text ({error}): download it again") from None
        return content.decode("cp1252", errors="replace")


def _read_rows(
    table: Table, names: list[str], start: int, known: Collection[str], allowed: str
) -> tuple[list[str], np.ndarray, list[str]]:
    """Return the ids, the values as indices into `known`, uint8 (rows, columns), and the names of these columns."""
    sample = [table.fields(i) for i in range(start, min(start + 50, len(table.lines)))]
    width = Counter(map(len, sample)).most_common(1)[0][0] if sample else len(names) + 1
    ends = 0  # separators at the end of each line
    while table.separator and width - ends > 2 and all(row[width - ends - 1 : width - ends] == [""] for row in sample):
        if len(names) == width - ends and names[-1]:
            break
        ends += 1
        names = names[:-1] if names[-1] == "" else names
    fields = width - ends
    at = _id_column(sample, fields, known)
    if at and len(names) == fields and not ID_NAME.search(names[0]) and not _counts(sample, known):
        raise ValueError(
            f"{table.where}: its column {names[0]!r} comes before the ids, in {names[1]!r}, and would be lost: put the "
            "ids first"
        )
    named = len(names) == fields and (table.separator or ID_NAME.search(names[0]))
    if named:
        names = names[at + 1 :]
    elif len(names) == fields - 1:
        if not at and names[0] and ID_NAME.search(names[0]):
            raise ValueError(
                f"{table.where}: its rows have {fields} values, its line of names has {len(names)}, and the first of "
                f"them, {names[0]!r}, looks like that of the ids: add the name that is missing"
            )
        names = names[at:]
    if not names:
        raise ValueError(f"{table.where} has no column of values: its rows hold {fields} values, the ids included")
    ids, values, uneven, tokens = [], bytearray(), [], Tokens(known, allowed)
    for i in range(start, len(table.lines)):
        row = table.fields(i)
        row = row[:fields] if len(row) == width else row
        if len(row) != at + 1 + len(names):
            uneven.append((table.lines[i][0], len(row) - at - 1))
            continue
        try:
            values += bytes([tokens[value] for value in row[at + 1 :]])
        except ValueError as error:
            raise ValueError(f"{table.where}, line {table.lines[i][0]}: {error}") from None
        ids.append(re.sub(r"\.\w+$", "", normal(re.split(r"[/\\]", row[at])[-1])))
    if uneven:
        number, count = uneven[0]
        raise ValueError(
            f"{table.where}: {len(uneven):,} of {len(table.lines) - start:,} rows do not have one value for each of "
            f"the {len(names)} columns ({', '.join(names[:3])}, …); the first is line {number} with {count}. "
            "Incomplete download?"
        )
    check_once(ids, table.where)
    check_once(names, table.where, "columns")
    if "" in names:
        raise ValueError(f"{table.where}: a column of values has no name")
    return ids, np.frombuffer(bytes(values), np.uint8).reshape(len(ids), len(names)), names


def _id_column(sample: list[list[str]], fields: int, known: Collection[str]) -> int:
    """Return 1 if the first column has row numbers and the second ids, else 0."""
    rows = [row for row in sample if len(row) >= fields >= 3]
    if not rows or all(plain(row[1]) in known for row in rows):
        return 0
    return int(_counts(rows) or all(FILE_NAME.search(row[1]) for row in rows))


def _counts(rows: list[list[str]], known: Collection[str] = ()) -> bool:
    """Return whether the first fields of rows are 0, 1, 2, … or 1, 2, 3, …, and not all of them `known` values."""
    first = int(rows[0][0]) if re.fullmatch("[01]", rows[0][0]) else None
    counted = first is not None and [row[0] for row in rows] == [str(first + i) for i in range(len(rows))]
    return counted and not all(row[0] in known for row in rows)
