"""Other aligned pictures than faces, from packages that are installed: digits and glyphs, each a folder of pictures.

A folder is made once, in `data/`. It holds what a reader's own folder may hold: PNGs, and beside them CelebA's two
lists, one of labels and one of the split (docs/datasets.md). The profile `folder` reads it with the layout "celeba".
Nothing is downloaded and nothing is drawn by chance: the same versions make the same folder.
"""

import hashlib
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pivq.data.arguments import check_choice
from pivq.storage.paths import data_dir
from pivq.storage.writing import partial_path, remove_leftovers

SIZE = 32  # pixels per side of both sets; source: assumption
GLYPHS = 6000  # at most; source: assumption, the size of the sets of faces in order of magnitude
DIGITS_HELDOUT = 4  # one digit in 4 is held out, so that the metrics have 400 images and more; source: assumption
LETTERS_HELDOUT = 5  # one letter in 5 is held out, in all fonts; source: assumption
# Fonts that matplotlib ships, one of each family, weight and slant: the labels of a glyph.
FAMILIES = {"Sans": (0, 0), "Serif": (1, 0), "SansMono": (0, 1)}  # whether it has serifs, and one width
STYLES = {"": (0, 0), "-Bold": (1, 0), "-Oblique": (0, 1), "-BoldOblique": (1, 1)}  # bold, slanted
ITALIC = {"-Oblique": "-Italic", "-BoldOblique": "-BoldItalic"}  # what the serif family calls its slanted fonts
EM, BASELINE, FINER = 22, 24, 4  # pixels of the font, of its baseline from the top; drawn so much larger, then shrunk
SCRIPTS = ("latin", "greek", "cyrillic")
RECIPE = 1  # raise it when the code here makes other pictures: their folder then has another name


class Picture(NamedTuple):
    """A picture of a set.

    Attributes:
        key: tells it from the others; no file extension.
        image: an RGB image of `SIZE` × `SIZE` pixels.
        labels: 0 or 1 by name; the same names for all pictures of a set.
        heldout: its split.
    """

    key: str
    image: Image.Image
    labels: dict[str, int]
    heldout: bool


def draw_digits() -> Iterator[Picture]:
    """Yield the 1,797 digits that scikit-learn ships, 8 × 8 pixels of 17 levels, enlarged, dark on white.

    The labels say which digit it is, and whether that is even. One digit in `DIGITS_HELDOUT` is held out by a hash: the
    set does not say who wrote which, so a writer can be in both splits.
    """
    from sklearn.datasets import load_digits  # not needed to read what is stored

    found = load_digits()
    for number, (levels, digit) in enumerate(zip(found.images, found.target, strict=True)):
        grey = Image.fromarray(np.rint(255 - levels * 255 / 16).astype(np.uint8))
        labels = {f"is_{value}": int(digit == value) for value in range(10)} | {"even": int(digit % 2 == 0)}
        image = grey.resize((SIZE, SIZE), Image.Resampling.BICUBIC).convert("RGB")
        key = f"{number:04d}-{digit}"
        yield Picture(key, image, labels, _hashed(key) % DIGITS_HELDOUT == 0)


def letters() -> list[str]:
    """Return the letters and digits that all fonts have, and that have a name of one of `SCRIPTS` or of a digit."""
    from matplotlib.ft2font import FT2Font

    common = set.intersection(*({*FT2Font(str(path)).get_charmap()} for path, _ in _fonts().values()))
    known = [chr(code) for code in sorted(common) if unicodedata.category(chr(code)) in ("Lu", "Ll", "Nd")]
    names = (*(script.upper() for script in SCRIPTS), "DIGIT")
    return [letter for letter in known if unicodedata.name(letter, "").split(" ")[0] in names]


def draw_glyphs(count: int = GLYPHS) -> Iterator[Picture]:
    """Yield glyphs of the DejaVu fonts that matplotlib ships: black on white, on one baseline, centred.

    They are those whose hash is least, so of all letters and fonts. A glyph that looks like an earlier one in every
    pixel is left out, and one that leaves the picture. A letter is held out in all fonts or in none.

    Args:
        count: of glyphs, at most.
    """
    fonts = {name: (ImageFont.truetype(str(path), FINER * EM, layout_engine=ImageFont.Layout.BASIC), labels)
             for name, (path, labels) in _fonts().items()}  # fmt: skip
    wanted = [(f"u{ord(letter):04x}-{name}", letter, name) for letter in letters() for name in fonts]
    seen: set[bytes] = set()
    for key, letter, name in sorted(wanted, key=lambda glyph: _hashed(glyph[0])):
        if len(seen) == count:
            return
        font, labels = fonts[name]
        image = draw_glyph(letter, font)
        if image is None or image.tobytes() in seen:
            continue
        seen.add(image.tobytes())
        word = unicodedata.name(letter).split(" ")[0].lower()
        of_letter = {"upper_case": int(letter.isupper()), "accented": int(_accented(letter))}
        of_letter |= {script: int(word == script) for script in SCRIPTS}
        yield Picture(key, image, labels | of_letter, _hashed(letter) % LETTERS_HELDOUT == 0)


def draw_glyph(letter: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """Return a letter of a font `FINER * EM` pixels high as an RGB image, or None if it does not fit, or is blank."""
    side = FINER * SIZE
    page = Image.new("L", (3 * side, 3 * side), 0)  # the picture is its middle, so that nothing is cut off unseen
    ImageDraw.Draw(page).text((side, side + FINER * BASELINE), letter, fill=255, font=font, anchor="ls")
    ink = page.getbbox()
    if ink is None or ink[2] - ink[0] > side or ink[1] < side or ink[3] > 2 * side:
        return None
    start = round((ink[0] + ink[2] - side) / 2)
    return ImageOps.invert(page.crop((start, side, start + side, 2 * side)).reduce(FINER)).convert("RGB")


def _fonts() -> dict[str, tuple[Path, dict[str, int]]]:
    """Return the file and the labels of each font by a short name."""
    import matplotlib

    folder, found = Path(matplotlib.get_data_path()) / "fonts" / "ttf", {}
    for family, (serif, fixed) in FAMILIES.items():
        for style, (bold, slanted) in STYLES.items():
            file = f"DejaVu{family}{ITALIC.get(style, style) if family == 'Serif' else style}.ttf"
            labels = {"bold": bold, "slanted": slanted, "serif": serif, "fixed_width": fixed}
            found[f"{family}{style}".lower()] = folder / file, labels
    return found


def _accented(letter: str) -> bool:
    """Say whether a letter is another one with marks: é, ǖ, ά."""
    return any(unicodedata.combining(part) for part in unicodedata.normalize("NFD", letter))


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


MAKERS: dict[str, Callable[[], Iterator[Picture]]] = {"digits": draw_digits, "glyphs": draw_glyphs}
MADE_WITH = {"digits": ("scikit-learn", "pillow"), "glyphs": ("matplotlib", "pillow")}


def set_folder(name: str) -> Path:
    """Return the folder of a set, which need not be there; its name changes with what makes the pictures.

    Raises:
        ValueError: an unknown set.
    """
    check_choice("set", name, MAKERS)
    facts = [name, SIZE, RECIPE, *(f"{package} {version(package)}" for package in MADE_WITH[name])]
    return data_dir() / f"{name}-{SIZE}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:8]}"


def made_set(name: str) -> Path:
    """Return the folder of a set, made first if it is not there.

    Raises:
        ValueError: an unknown set.
        OSError: it cannot be written.
    """
    folder = set_folder(name)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent)
        partial = partial_path(folder)
        partial.mkdir()
        try:
            write_set(partial, MAKERS[name]())
            os.replace(partial, folder)  # whole or not at all
        except OSError:
            if not folder.exists():  # else another process made it meanwhile
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def write_set(folder: Path, pictures: Iterator[Picture]) -> None:
    """Write pictures and both lists into a folder.

    The files are in the order of a hash of their keys, so that the first ones, of which some measures are taken, are of
    all kinds.
    """
    ordered = sorted(pictures, key=lambda picture: _hashed(picture.key))
    rows, splits = [], []
    for number, picture in enumerate(ordered):
        file = f"{number:05d}-{picture.key}.png"
        picture.image.save(folder / file)
        rows.append(" ".join([file, *("1" if value else "-1" for value in picture.labels.values())]))
        splits.append(f"{file} {2 if picture.heldout else 0}")  # CelebA's numbers: 0 to train, 2 to test
    lists = {"list_attr_celeba.txt": [str(len(rows)), " ".join(ordered[0].labels), *rows],
             "list_eval_partition.txt": splits}  # fmt: skip
    for name, lines in lists.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
