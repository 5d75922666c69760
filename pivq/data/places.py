"""Find a data set's parts by the names of its files: which set it is, its pictures, lists and attribute files."""

import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pivq.data.files import Files, stem
from pivq.data.labels import numbers_of

CELEBA_SIZE, CELEBAHQ_SIZE, FFHQ_SIZE = 202_599, 30_000, 70_000
MOST_EXTRA = 0.01  # a set is recognised by its numbers if at most this share of pictures has others
LIST_FOLDERS = ("", "Anno/", "Eval/")  # CelebA's own folders
JSON_FOLDERS = ("json", "ffhq-features-dataset/json")
BY_DESIGN = ("CelebAMask-HQ-mask-anno", "thumbnails128x128", "images1024x1024", "in-the-wild-images")


def recognise(files: Files, pictures: Files, paths: list[str]) -> str:
    """Return the layout whose typical names the files have; "folder" when in doubt."""
    names = {path.rpartition("/")[2] for path in files.listing}
    stems = [stem(path) for path in paths]
    if any("img_align_celeba" in place for place in (*files.listing, str(pictures.root))):
        return "celeba"
    like_celeba = bool(stems) and all(re.fullmatch("[0-9]{6}", name) for name in stems)
    if find_list(files, "list_attr_celeba", above=like_celeba) or _holds(stems, range(1, CELEBA_SIZE + 1)):
        return "celeba"
    if "CelebAMask-HQ-attribute-anno.txt" in names or "CelebA-HQ-img" in str(pictures.root):
        return "celebahq"
    if _holds(stems, range(CELEBAHQ_SIZE)):
        return "celebahq"
    numbered = bool(stems) and all(re.fullmatch("[0-9]{5}", name) for name in stems)
    if numbered and (attribute_files(files)[1] or all(path.lower().endswith(".png") for path in paths)):
        return "ffhq"
    return "ffhq" if _holds(stems, range(FFHQ_SIZE)) else "folder"


def find_pictures(files: Files) -> tuple[Files, list[str], list[str]]:
    """Return where the pictures are, `files` or a zip in it; their paths; and the pictures next to that zip.

    Raises:
        ValueError: there are several zips and nothing else.
    """
    paths = files.pictures()
    zips = [path for path in files.listing if path.lower().endswith(".zip")] if files.root.is_dir() else []
    celeba = [path for path in zips if stem(path) == "img_align_celeba"]
    if celeba and not any("img_align_celeba" in path for path in paths):
        zips = celeba
    elif paths or not zips:
        return files, paths, []
    if len(zips) > 1:
        raise ValueError(f"no pictures in {files.root}, but several zips ({', '.join(zips[:5])}): give one of them")
    pictures = Files(files.root / zips[0])
    return pictures, pictures.pictures(), paths


def only_below(folder: str, paths: list[str]) -> tuple[list[str], list[str]]:
    """Split paths into those in a folder whose name begins like this and the others; all count if there are none."""
    below = [path for path in paths if path.startswith(folder) or f"/{folder}" in path]
    inside = set(below)
    return (below, [path for path in paths if path not in inside]) if below else (paths, [])


def find_list(files: Files, name: str, above: bool = True) -> tuple[Files, str] | None:
    """Return where a list is and its path; a text file before a .csv, and the one in the fewest folders.

    Args:
        files: the files to search.
        name: of the list, without extension.
        above: look also in the two folders above, because the folder or zip of the pictures alone may have been given.
    """
    wanted = [f"{name}.txt", f"{name}.csv"]
    places = [files]
    if above:
        only = [folder + file for folder in LIST_FOLDERS for file in wanted]
        places += (Files(folder, only) for folder in _above(files.root))
    for place in places:
        found = [path for path in place.listing if path.rpartition("/")[2].lower() in map(str.lower, wanted)]
        if found:
            return place, min(found, key=lambda path: (path.lower().endswith(".csv"), path.count("/")))
    return None


def attribute_files(files: Files) -> tuple[Files, list[str]]:
    """Return FFHQ's attribute files and where they are: those in `json/`, else all; or those next to the pictures."""
    found = [path for path in files.listing if re.search("(^|/)[0-9]{5}[.]json$", path)]
    if found:
        return files, [path for path in found if path.startswith("json/") or "/json/" in path] or found
    for folder in (above / name for above in _above(files.root) for name in JSON_FOLDERS):
        with suppress(OSError):  # it does not exist, or may not be read
            if any(re.fullmatch("[0-9]{5}[.]json", entry.name) for entry in islice(folder.iterdir(), 100)):
                place = Files(folder)
                return place, [path for path in place.listing if re.fullmatch("[0-9]{5}[.]json", path)]
    return files, []


def _above(root: Path) -> list[Path]:
    """Return the two folders above, as the path has them and as links lead to them."""
    return list(dict.fromkeys([*root.absolute().parents[:2], *root.resolve().parents[:2]]))


def _holds(stems: list[str], numbers: range) -> bool:
    """Return whether these numbers are all there, with few other pictures; zeros and the first number do not matter."""
    if not len(numbers) <= len(stems) <= (1 + MOST_EXTRA) * len(numbers):
        return False
    return set(numbers) <= set(numbers_of(stems))
