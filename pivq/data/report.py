"""What would be read from a folder or zip of pictures, without decoding it: `pivq data DIR`."""

import os
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pivq.data import avatars
from pivq.data.arguments import check_place, check_size
from pivq.data.cache import examine_all
from pivq.data.decoding import further_frames
from pivq.data.files import Files
from pivq.data.labels import label_counts
from pivq.data.layouts import EXPECTED, Reading
from pivq.data.photographs import notes, read

LISTED = 10  # the most files that a line names


@dataclass(frozen=True)
class Report:
    """What a data set holds; `str` is the text for people, one line each."""

    root: str
    layout: str
    recognised: bool  # not given by the user
    pictures: int
    splits: dict[str, int]
    split_by: str
    labels: str
    sizes: str
    left_out: list[str]  # each with its number and reason
    notes: list[str]

    def __str__(self) -> str:
        """Return the report, a line for each thing."""
        how = "recognised by its names" if self.recognised else "as given"
        splits = ", ".join(f"{count:,} {name}" for name, count in self.splits.items())
        lines = [
            f"{self.root}",
            f"layout    {self.layout}, {how}",
            f"pictures  {self.pictures:,}{self.sizes}",
            f"split     {splits}: {self.split_by}",
            f"labels    {self.labels}",
        ]
        lines += [f"left out  {line}" for line in self.left_out or ["nothing"]]
        return "\n".join([*lines, *(f"note      {note}" for note in self.notes)])


def describe(path: str | os.PathLike, layout: str | None = None, image_size: int = 64) -> str:
    """Return in words what `pivq.data.load_dataset` would read.

    Args:
        path: a folder or zip, or the name of a data set.
        layout: as in `load_dataset`.
        image_size: as in `load_dataset`; of FFHQ it decides which of two folders is read.

    Raises:
        TypeError: `path` is neither text nor a path.
        ValueError: no pictures, an unknown layout, or an invalid size.
        OSError: there is nothing there, or it cannot be read.
    """
    if check_place(path) == "avatars":
        if layout is not None:
            raise ValueError(f"the avatars are drawn and have no layout, got layout {layout!r:.80}")
        counts = ", ".join(f"{count:,} {name}" for name, count in avatars.SPLITS.items())
        return f"avatars: faces that are drawn on first use: {counts}; 22 attributes; no files are read"
    return str(examine_set(path, layout, image_size))


def examine_set(path: str | os.PathLike, layout: str | None = None, image_size: int = 64) -> Report:
    """Return the report on a data set; each picture's header and end are looked at, none is decoded.

    Arguments and errors are those of `describe`.
    """
    check_place(path)
    image_size = check_size(image_size)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        files, found, reading = read(path, layout, image_size)
        further: dict[str, int] = {}
        good, bad = examine_all(reading.pictures, reading.paths, further=further)
    sizes = sorted({size for size in good.values()}, key=lambda size: size[0] * size[1])
    given = layout is not None or str(path) in EXPECTED
    known = notes(files, found, reading, "train", given)
    return Report(
        root=str(files.root.resolve()),
        layout=found,
        recognised=not given,
        pictures=len(reading.paths) - len(bad),
        splits=_count_splits(reading, bad),
        split_by=reading.split_by,
        labels=_labels(reading),
        sizes=f" of {_size(sizes[0])}" + (f" to {_size(sizes[-1])}" if len(sizes) > 1 else "") if sizes else "",
        left_out=_left_out(files, reading, bad, further),
        notes=list(dict.fromkeys([*known, *(str(warning.message) for warning in said)])),
    )


def _count_splits(reading: Reading, bad: dict[str, str]) -> dict[str, int]:
    parts = Counter(part for path, part in zip(reading.paths, reading.splits, strict=True) if path not in bad)
    counts = {name: parts.pop(name, 0) for name in ("train", "heldout")}
    return counts | ({"in neither": parts.total()} if parts else {})


def _labels(reading: Reading) -> str:
    if reading.attributes is None:
        return f"none: {reading.no_labels}" if reading.no_labels else "none"
    counts = label_counts(reading.attributes)
    names = ", ".join(counts["attribute"][:3]) + (", …" if len(counts) > 3 else "")
    missing = int(reading.attributes.isna().all(axis=1).sum())
    without = f"; {missing:,} pictures have none" if missing else ""
    return f"{len(counts):,} attributes ({names}){without}"


def _left_out(files: Files, reading: Reading, bad: dict[str, str], further: dict[str, int]) -> list[str]:
    """Return a line for each reason for which files are not read."""
    lines = [f"{path}: {reason}" for path, reason in [*files.unreadable.items(), *bad.items()]]
    if len(lines) > LISTED:
        lines = [*lines[:LISTED], f"{len(lines) - LISTED:,} more that cannot be read"]
    if further:
        lines.append(further_frames(further))
    if reading.left_out:
        lines.append(f"{len(reading.left_out):,} pictures in folders that this layout does not read")
    places = list({id(place): place for place in (files, reading.pictures)}.values())
    if hidden := sum(place.hidden for place in places):
        lines.append(f"{hidden:,} hidden files and folders of systems")
    if special := sum(len(place.special) for place in places):
        lines.append(f"{special:,} pipes, sockets or devices")
    others = [path for place in places for path in place.listing.keys() - set(place.pictures())]
    if others := Counter(Path(path).suffix.lower() or "without extension" for path in others):
        most = sorted(others.items(), key=lambda other: (-other[1], other[0]))[:LISTED]
        shown = ", ".join(f"{count:,} {ending}" for ending, count in most)
        lines.append(f"{others.total():,} other files ({shown}), among them lists and labels where they are used")
    return lines


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]:,}×{size[1]:,}"
