"""Images from a file of codes: read the file, whoever wrote it, and write the images under their names."""

import csv
import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from pivq.commands.pictures import BATCH, NAME, claim, write_missing
from pivq.config import ModelConfig
from pivq.data.files import normal
from pivq.model import PIVQ, model_digest
from pivq.runs.run import read_arrays
from pivq.storage.writing import LONGEST, check_file

MOST_TEXT = 32_000_000  # bytes of a file of text, which take thirty times as many while they are read
LONGEST_PATH, MOST_PARTS = 4096, 100  # bytes, and folders in each other, that an id may ask for
# What no name on Windows can have, its devices, and what it would drop without a word.
NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)', re.I)


class CodeSets(NamedTuple):
    """What a file of codes holds.

    Attributes:
        codes: int64 `(N, L)`.
        names: of the pictures to write, `(N,)`, unique and inside one folder.
        model: digest of the model that made the codes, or None where the file does not say it.
    """

    codes: np.ndarray
    names: list[str]
    model: str | None


def read_codes(path: Path, sizes: ModelConfig) -> CodeSets:
    """Read and check a file of codes.

    | ending | holds |
    |---|---|
    | `.npz` | what `pivq encode` writes: `codes`, `ids`, `made_from`; the last two may be missing |
    | `.npy` | an array `(N, L)` of whole numbers |
    | `.csv` | a line per image, its values between commas, semicolons, tabs or bars, as Excel writes them, too; after a
      first line that begins with `id`, the first column names the images |
    | `.json` | a list of lists, or lists by name |

    Images without a name are numbered.

    Args:
        path: of the file.
        sizes: of the model that is to decode the codes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or a row is none of this model's sets of codes; names the file and the row.
    """
    made_from = None
    if path.suffix == ".npz":
        arrays = read_arrays(path)
        if "codes" not in arrays:
            raise ValueError(f"{path} has no array `codes`, but {', '.join(arrays) or 'none'}")
        rows, ids, made_from = arrays["codes"], arrays.get("ids"), arrays.get("made_from")
        ids = None if ids is None else _texts(ids, path)
    else:
        readers = {".npy": _read_npy, ".csv": _read_csv, ".json": _read_json}
        if path.suffix != ".npy" and path.exists() and (size := path.stat().st_size) > MOST_TEXT:
            most = f"more than the {MOST_TEXT:,} of a file of text"
            raise ValueError(f"{path} has {size:,} bytes, {most}: save the codes as .npz or .npy, with numpy")
        check_file(path)
        try:
            rows, ids = readers[path.suffix](path)
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged file can make numpy raise nearly anything
            raise ValueError(f"{path} is damaged or no file of codes: {error}") from error
    if ids is not None and len(ids) != len(rows):
        raise ValueError(f"{path} has {len(ids)} ids for {len(rows)} rows of codes")
    try:
        codes = _check(rows, ids, sizes)
        names = [NAME.format(i) for i in range(len(codes))] if ids is None else _picture_names(ids)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return CodeSets(codes, names, _digest(made_from))


def _read_npy(path: Path) -> tuple[Any, None]:
    return np.load(path, allow_pickle=False), None


def _read_csv(path: Path) -> tuple[Any, list[str] | None]:
    content = path.read_bytes()
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff") and b"\0" in content[:64]  # Excel's "Unicode text"
    text = content.decode("utf-16") if wide else content.decode("utf-8-sig", errors="surrogateescape")
    first, _, rest = text.lstrip("\r\n").partition("\n")
    if excel := re.fullmatch(r'"?sep=(.)"?\s*', first):  # Excel's own line, which says what separates
        separator, text = excel[1], rest
    else:
        separator = max(",;\t|", key=first.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    lines = [[cell.strip() for cell in line] for line in table if line]
    named = bool(lines) and lines[0][0].lower() == "id"
    rows = [[_number(cell) for cell in line[named:]] for line in lines[named:]]
    return rows, [line[0] for line in lines[1:]] if named else None


def _texts(ids: np.ndarray, path: Path) -> list[Any]:
    """Return the ids of an array, bytes as the text that they are; ValueError where they are no row of names."""
    if ids.ndim != 1 or ids.dtype.kind not in "USiu":
        raise ValueError(f"{path}: ids must be an array (N,) of texts, one per row, got {ids.shape} of {ids.dtype}")
    return [name.decode(errors="surrogateescape") if isinstance(name, bytes) else name for name in ids.tolist()]


def _number(cell: str) -> int | str:
    """Return a whole number, or the text that is none, for the message."""
    return int(cell) if re.fullmatch(r"[+-]?\d{1,18}", cell, re.ASCII) else cell


def _read_json(path: Path) -> tuple[Any, list[str] | None]:
    found = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    if isinstance(found, dict):
        return list(found.values()), list(found)
    return found, None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return names and values; ValueError for a name that occurs twice, of which JSON keeps the last."""
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"the name {twice[0]!r:.80} occurs more than once")
    return dict(pairs)


def _digest(made_from: Any) -> str | None:
    """Return the model's digest in what `pivq encode` notes."""
    try:
        return json.loads(str(made_from))["model"]
    except (ValueError, KeyError, TypeError):  # another program's file
        return None


def _check(rows: Any, ids: Sequence[str] | None, sizes: ModelConfig) -> np.ndarray:
    """Return codes as int64 `(N, L)`; ValueError names the first row that is none of a model's sets."""
    length, most = sizes.num_codes, sizes.codebook_size

    def refuse(i: int, reason: str) -> None:
        named = "" if ids is None else f" ({str(ids[i])!r:.80})"
        raise ValueError(f"row {i + 1}{named} {reason}")

    if np.ndim(rows) != 2 if isinstance(rows, np.ndarray) else not isinstance(rows, list):
        shape = f"an array {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ValueError(f"expected rows of {length} codes, one row per image, got {shape}")
    if not len(rows):
        raise ValueError("it holds no codes")
    for i, row in enumerate(rows if isinstance(rows, list) else rows[:1]):
        if not isinstance(row, list | np.ndarray):
            refuse(i, f"is {row!r:.40}, expected {length} codes")
        if len(row) != length:
            refuse(i, f"has {len(row)} codes, but this model's sets have {length}")
        for value in row if isinstance(row, list) else ():
            if type(value) is not int:
                refuse(i, f"holds {value!r:.40}, which is no whole number")
    if isinstance(rows, np.ndarray) and rows.dtype.kind not in "iu":
        value = rows[0, 0]
        refuse(0, f"holds {value} ({rows.dtype}), but codes are whole numbers of an integer type")
    wide = np.array(rows, dtype=object) if isinstance(rows, list) else rows  # a list may hold numbers of any size
    outside = (wide < 0) | (wide >= most)
    if outside.any():
        i, j = np.unravel_index(outside.argmax(), outside.shape)
        refuse(int(i), f"holds the code {wide[i, j]}, but this model's codes are 0 to {most - 1}")
    return wide.astype(np.int64)


def _picture_names(ids: Sequence[Any]) -> list[str]:
    """Return the file of each id, inside the folder: an id may come from a stranger.

    Example:
        >>> _picture_names(["faces/1", "2.png"])
        ['faces/1.png', '2.png']
    """
    rows: dict[str, int] = {}
    for i, found in enumerate(map(str, ids)):
        name = found if found.lower().endswith(".png") else f"{found}.png"
        parts = found.replace("\\", "/").split("/")
        if not found.strip() or "\0" in found or {"", ".."} & {*parts} or os.path.splitdrive(found)[0]:
            raise ValueError(f"row {i + 1}: the id {found!r:.80} cannot name a file in the folder")
        if not _fits(name):
            raise ValueError(f"row {i + 1}: the id {found!r:.80} is too long, or no text that can name a file")
        if name in rows:
            raise ValueError(f"rows {rows[name] + 1} and {i + 1} have the same id {found!r:.80}")
        rows[name] = i
    for name in rows:
        if inside := next((str(folder) for folder in Path(name).parents if str(folder) in rows), None):
            raise ValueError(
                f"row {rows[name] + 1}: the id {name!r:.80} asks for a folder where {inside!r:.80} is a file"
            )
    return list(rows)


def _fits(name: str) -> bool:
    """Tell whether a path, and each part of it, can name a file."""
    try:
        parts = name.replace("\\", "/").split("/")
        if len(parts) > MOST_PARTS or len(os.fsencode(name)) > LONGEST_PATH:
            return False
        if os.name == "nt" and any(map(NOT_ON_WINDOWS.search, parts)):
            return False
        return all(len(os.fsencode(part)) <= LONGEST for part in parts)
    except UnicodeEncodeError:  # half a character, as JSON can hold one
        return False


def _folds_case(path: Path) -> bool:
    """Tell whether a file is also found by its name in capitals."""
    return path.with_name(path.name.upper()).exists()


def _check_apart(names: Sequence[str], folder: Path) -> None:
    """Refuse names of which one would replace another in a folder that does not tell A from a."""
    found = {normal(name).casefold(): name for name in reversed(names)}  # of several, the first
    for name in names:
        for part in (name, *map(str, Path(name).parents)):
            other = found.get(normal(part).casefold(), name)
            if other != name:
                raise ValueError(
                    f"{other!r:.80} and {name!r:.80} would be one file in {folder}, whose file system does not tell "
                    "capitals from small letters: rename one in the file of codes, or choose a folder elsewhere"
                )


def decode_codes(model: PIVQ, sets: CodeSets, out: Path) -> int:
    """Write the image of each set of codes as `<name>.png`; return how many were made.

    Pictures that an earlier call with the same model and codes wrote are kept, if they are whole: `decoded.json` says
    what a folder holds.

    Raises:
        FileExistsError: the folder holds something else.
        ValueError: two names are one file there, where the file system does not tell A from a.
    """
    facts = {"codes": hashlib.sha256(np.ascontiguousarray(sets.codes)).hexdigest()[:16],
             "names": hashlib.sha256(json.dumps(sets.names).encode()).hexdigest()[:16]}  # fmt: skip
    claim(out / "decoded.json", {"model": model_digest(model)} | facts, "pictures", "another model or other codes")
    if _folds_case(out / "decoded.json"):
        _check_apart(sets.names, out)
    codes, made = torch.from_numpy(sets.codes), 0
    with tqdm(total=len(codes), desc="decoding", unit="img", dynamic_ncols=True) as bar:
        for start in range(0, len(codes), BATCH):
            paths = [out / name for name in sets.names[start : start + BATCH]]
            made += write_missing(model, codes[start : start + BATCH], paths)
            bar.update(len(paths))
    return made
