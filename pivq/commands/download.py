"""`pivq download`: weights of published networks, FFHQ's attribute files; of CelebA, how to get it. Only when asked.

What comes, how large it is, from where and under which licence is said before the first byte. Standard library only.
"""

import hashlib
import os
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pivq.pretrained.weights import WEIGHTS, WeightsFile
from pivq.storage.fetching import FetchError, check_space, fetch, is_url, megabytes, place_in
from pivq.storage.locking import locked
from pivq.storage.paths import data_dir
from pivq.storage.writing import plain_write_errors

TARGETS = ["weights", "celeba", "ffhq-labels"]
MOST_LABEL_BYTES = 64_000  # of one attribute file; the largest has 2,040


@dataclass(frozen=True)
class LabelsArchive:
    """A zip with attribute files `<any folder>/json/00000.json`, ….

    Attributes:
        name: of the zip in a mirror.
        url: where it is published, at one commit.
        size: about how many bytes the zip has.
        unpacked: about how many bytes the files take, in blocks of the disk.
        files: how many there are.
        sha256: of the lines `<file name> <SHA-256 of its contents>` in the order of names: zips made anew differ.
        licence: in words.
    """

    name: str
    url: str
    size: int
    unpacked: int
    files: int
    sha256: str
    licence: str


FFHQ_LABELS = LabelsArchive(
    name="ffhq-features-dataset.zip",
    url="https://github.com/DCGM/ffhq-features-dataset/archive/9c4c7ef5132ddbdea686d83c63f4f29a5b01d46a.zip",
    size=42_785_978,
    unpacked=70_000 * 4096,
    files=70_000,
    sha256="2e9b381fa9bd41726166662974fa4367e928962abfac3d64e39e25fb7120b8e7",
    licence="CC BY-NC-SA 4.0: non-commercial use, with credit",
)


def download(what: str, source: str | None = None) -> None:
    """Bring one of `TARGETS`; for CelebA, print how to get it.

    Args:
        what: one of `TARGETS`.
        source: folder, or address of one, that has the files under their usual names; None is where they are published.

    Raises:
        FetchError: it could not be brought; of CelebA, because its terms must be accepted by a person.
        InUse: another process downloads into the same folder.
        ValueError: `source` is neither, or of no use.
    """
    if what == "weights":
        download_weights(WEIGHTS, source)
    elif what == "ffhq-labels":
        download_labels(FFHQ_LABELS, data_dir() / "ffhq", source)
    else:
        _explain_celeba(data_dir() / "celeba", source)


def download_weights(networks: Iterable[str], source: str | None = None) -> None:
    """Bring the weights files of networks, by the names in the settings; those without a file need none.

    Raises:
        FetchError, InUse, ValueError: see `download`.
    """
    for file in [WEIGHTS[name] for name in dict.fromkeys(networks) if name in WEIGHTS]:
        try:
            print(f"already there and checked: {file.find()}")
            continue
        except FileNotFoundError:
            pass
        except ValueError as error:  # half a download, or a file of the user's
            if file.places()[0].name != file.name:
                raise ValueError(
                    f"{file.variable} names {file.places()[0]}, which has other contents than {file.name}: set it to "
                    "the folder where the file belongs"
                ) from error
            _say(f"{error.args[0].partition('. Download')[0]}: it will be replaced")
        _fetch_weights(file, source)


def _fetch_weights(file: WeightsFile, source: str | None) -> None:
    place, target = place_in(source, file.name) if source else file.url, file.places()[0]
    _announce(f"{file.name}, for {file.needed_for}", file.size, place, file.licence, target)
    fetch(place, target, file.size, file.sha256)
    print(f"downloaded and checked: {target}")


def download_labels(archive: LabelsArchive, folder: Path, source: str | None = None) -> None:
    """Bring attribute files to `<folder>/json/`: all of them, or none.

    Raises:
        FetchError: also if the zip holds other files than published, or `json/` holds some already.
        InUse, ValueError: see `download`.
    """
    target, scratch = folder / "json", folder / ".json.partial"  # hidden, so that no data set is read from it
    place = place_in(source, archive.name) if source else archive.url
    if there := _count(target):
        if there < archive.files:
            raise FetchError(
                f"{target} holds {there:,} of {archive.files:,} attribute files: move it away, then run the same "
                "command again"
            )
        return print(f"already there: {target}, {there:,} files")
    _announce(f"{archive.files:,} attribute files", archive.size, place, archive.licence, target)
    zipped = scratch / archive.name
    fetch(place, zipped, archive.size)
    with locked(scratch, "used for a download"):
        if _count(target) == archive.files or not zipped.exists():  # another process was quicker
            return print(f"already there: {target}")
        check_space(zipped, archive.unpacked)
        try:
            with plain_write_errors("the attribute files", folder):
                digest = _unpack(zipped, scratch / "json", archive.files)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError) as error:
            digest = str(error)
        if digest != archive.sha256:
            shutil.rmtree(scratch / "json", ignore_errors=True)
            zipped.unlink()
            raise FetchError(
                f"{place} does not hold the {archive.files:,} published attribute files ({digest[:60]}, expected "
                f"{archive.sha256[:16]}…): take them from another place (--from DIR|URL)"
            )
        os.replace(scratch / "json", target)
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"downloaded and checked: {target}, {archive.files:,} files")


def _unpack(zipped: Path, folder: Path, files: int) -> str:
    """Write the attribute files of a zip to a folder; return their digest, as in `LabelsArchive.sha256`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    digest = hashlib.sha256()
    with zipfile.ZipFile(zipped) as archive:
        found = {name[-10:]: name for name in archive.namelist() if re.search("(^|/)json/[0-9]{5}[.]json$", name)}
        if len(found) != files:
            raise ValueError(f"it has {len(found):,} such files")
        for name, path in sorted(found.items()):
            if archive.getinfo(path).file_size > MOST_LABEL_BYTES:
                raise ValueError(f"{path} has {archive.getinfo(path).file_size:,} bytes")
            content = archive.read(path)
            digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
            (folder / name).write_bytes(content)
    return digest.hexdigest()


def _count(folder: Path) -> int:
    return sum(entry.name.endswith(".json") for entry in os.scandir(folder)) if folder.is_dir() else 0


def _explain_celeba(folder: Path, source: str | None) -> None:
    if source:
        raise ValueError(f"--from {source}: it is for weights and ffhq-labels; put a copy of CelebA into {folder}")
    if folder.exists():
        return print(f"already there: {folder}; `pivq data {folder}` says what it holds")
    print(
        "CelebA is for non-commercial research only and may not be passed on. Its terms are yours to accept:\n"
        "1. Read the agreement at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html\n"
        "2. From Align&Cropped Images there, download img_align_celeba.zip (1.4 GB; leave it zipped),\n"
        "   list_attr_celeba.txt (labels) and list_eval_partition.txt (the official split).\n"
        f"3. Put the three files into {folder}, or anywhere and name their folder with --data DIR.\n"
        f"4. Look at what is read: pivq data {folder}"
    )
    raise FetchError("celeba is not downloaded by a program, because its terms do not permit that: follow these steps")


def _announce(what: str, size: int, place: str, licence: str, target: Path) -> None:
    kind = "from" if is_url(place) else "copied from"
    _say(f"{what}: {megabytes(size)}\n  {kind:7} {place}\n  licence {licence}\n  to      {target}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
