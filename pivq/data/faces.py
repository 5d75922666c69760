"""Draw the embedded faces: seeded choices of avatar parts, then an SVG, then pixels.

A face is a `Face`: one part or colour per field, drawn so that it could be a person (brows and beard in the colour
of the hair, natural skin tones, muted cloth and backgrounds). Its binary attributes follow from those choices
alone, so they are exact. This file imports neither torch nor numpy, so that the drawing processes start fast.
"""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import accumulate
from xml.etree import ElementTree

import python_avatars as pa
import resvg_py
from PIL import Image

SEED = 20260402
HELDOUT_SHARE = 0.2  # of the attribute combinations
SPLIT_SALT = 414  # among 0 … 999, it makes the frequencies of the choices most similar in the two splits
VIEW_BOX = "36 17 192 192"  # of the avatar's 264 × 280 canvas: the head, from crown to collar

# Names of parts in python_avatars, with the weight each is drawn with. Excluded are parts that no portrait shows
# (hearts for eyes, an astronaut's helmet), parts that ignore their colour or hide the brows, and strands finer than a
# pixel.
BALD = {"NONE": 5, "SIDES": 5}
SHORT = {"BUZZCUT": 4, "CAESAR_SIDE_PART": 4, "SHORT_FLAT": 4, "SHORT_ROUND": 4, "SHORT_WAVED": 4}
SHORT |= {"PIXIE": 4, "QUIFF": 3, "SHAGGY": 3, "POMPADOUR": 3, "MOWGLI": 3, "BUN": 4}
SHORT_CURLY = {"SHORT_DREADS_1": 7}
LONG = {"BOB": 4, "LONG_NOT_TOO_LONG": 4, "MIA_WALLACE": 3, "STRAIGHT_1": 4, "STRAIGHT_STRAND": 4}
LONG |= {"BIG_HAIR": 3, "WILD": 4}
LONG_CURLY = {"FRO": 4, "CURLY": 5}
HEADWEAR = {"HAT": 3, "HIJAB": 3, "TURBAN": 3, "WINTER_HAT_1": 3, "WINTER_HAT_3": 3}
TOPS = BALD | SHORT | SHORT_CURLY | LONG | LONG_CURLY | HEADWEAR

BEARDS = {"BEARD_LIGHT": 10, "BEARD_MEDIUM": 10, "BEARD_MAGESTIC": 6}
MOUSTACHES = {"MOUSTACHE_MAGNUM": 7, "MOUSTACHE_FANCY": 6}
BROWS = {"DEFAULT_NATURAL": 36, "FLAT_NATURAL": 12}
BROWS |= {"RAISED_EXCITED_NATURAL": 18, "ANGRY_NATURAL": 18, "SAD_CONCERNED_NATURAL": 16}
EYES = {"DEFAULT": 40, "SIDE": 10, "SQUINT": 12, "SURPRISED": 14, "CLOSED": 12, "HAPPY": 12}
NOSES = {"DEFAULT": 2, "SMALL": 1, "WIDE": 1}
SMILES = {"DEFAULT": 14, "SMILE": 14, "BIG_SMILE": 12, "TWINKLE": 18}
MOUTHS = SMILES | {"SERIOUS": 16, "SAD": 10, "CONCERNED": 8, "DISBELIEF": 8}
OPEN_MOUTHS = ("DEFAULT", "SMILE", "BIG_SMILE", "CONCERNED", "DISBELIEF")
GLASSES = {"PRESCRIPTION_1": 5, "PRESCRIPTION_2": 9, "ROUND": 9}
SUNGLASSES = {"SUNGLASSES": 7, "WAYFARERS": 8}
ACCESSORIES = {"NONE": 62} | GLASSES | SUNGLASSES

SKIN_COLOURS = {"porcelain": "#F6D9BD", "fair": "#EBBC93", "tan": "#CF9768", "brown": "#A66E49", "deep": "#6E4836"}
HAIR_COLOURS = {"black": "#2A1F1D", "dark brown": "#553628", "light brown": "#8A5A3A"}
HAIR_COLOURS |= {"blond": "#D9B878", "red": "#AD4A22", "grey": "#B4B0AC"}
CLOTH_COLOURS = {"slate": "#506478", "olive": "#77835F", "brick": "#A0604F", "plum": "#6E5573"}
BACKGROUNDS = {"sky": "#C5D3DE", "sand": "#DDD2C2", "sage": "#C7D2BE", "rose": "#DECBC9", "lilac": "#CDC7DB"}
BACKGROUNDS |= {"mint": "#BDD4CF"}

SKINS = {"porcelain": 24, "fair": 24, "tan": 18, "brown": 18, "deep": 16}
HAIR_OF_LIGHT_SKIN = {"black": 18, "dark brown": 20, "light brown": 18, "blond": 19, "red": 12, "grey": 13}
HAIR_OF_TAN_SKIN = {"black": 40, "dark brown": 30, "light brown": 12, "blond": 4, "red": 3, "grey": 11}
HAIR_OF_DARK_SKIN = {"black": 58, "dark brown": 26, "grey": 16}


@dataclass(frozen=True)
class Face:
    """All choices for one face: names of `python_avatars` parts and of the colours above."""

    top: str
    hair_colour: str
    skin: str
    eyebrows: str
    eyes: str
    nose: str
    mouth: str
    facial_hair: str
    accessory: str
    background: str
    clothing_colour: str
    hat_colour: str  # "none" without headwear


def draw_face(rng: random.Random) -> Face:
    """Draw the choices for one face. Only `rng.random()` is used, because Python guarantees its stream."""

    def pick(weights: dict[str, int]) -> str:
        bounds = list(accumulate(weights.values()))
        return list(weights)[bisect(bounds, rng.random() * bounds[-1])]

    def even(names: dict[str, str]) -> str:
        return pick(dict.fromkeys(names, 1))

    top, skin = pick(TOPS), pick(SKINS)
    hair_weights = {"tan": HAIR_OF_TAN_SKIN, "brown": HAIR_OF_DARK_SKIN, "deep": HAIR_OF_DARK_SKIN}
    # Weight of a clean-shaven face; all beards and moustaches together have weight 39.
    shaven = {"HIJAB": 10**9, "TURBAN": 30}.get(top, 400 if top in LONG | LONG_CURLY | {"BUN": 5} else 55)
    return Face(
        top=top,
        skin=skin,
        hair_colour=pick(hair_weights.get(skin, HAIR_OF_LIGHT_SKIN)),
        eyebrows=pick(BROWS),
        eyes=pick(EYES),
        nose=pick(NOSES),
        mouth=pick(MOUTHS),
        facial_hair=pick({"NONE": shaven} | BEARDS | MOUSTACHES),
        accessory=pick(ACCESSORIES),
        background=even(BACKGROUNDS),
        clothing_colour=even(CLOTH_COLOURS),
        hat_colour=even(CLOTH_COLOURS) if top in HEADWEAR else "none",
    )


def _hair_is(*colours: str) -> Callable[[Face], bool | None]:
    """Return a rule for a hair colour; it is missing (None) where no hair is visible on the head."""
    return lambda face: None if face.top == "NONE" or face.top in HEADWEAR else face.hair_colour in colours


def _eyes_are(*parts: str) -> Callable[[Face], bool | None]:
    """Return a rule for a state of the eyes; it is missing (None) behind sunglasses."""
    return lambda face: None if face.accessory in SUNGLASSES else face.eyes in parts


# Name: (what a 1 means, the rule). A rule describes what the picture shows; None if this cannot be seen.
ATTRIBUTES: dict[str, tuple[str, Callable[[Face], bool | None]]] = {
    "bald": ("no hair on top of an uncovered head", lambda face: face.top in BALD),
    "long_hair": ("hair that reaches below the chin", lambda face: face.top in LONG | LONG_CURLY),
    "curly_hair": ("tight curls, short or long", lambda face: face.top in SHORT_CURLY | LONG_CURLY),
    "headwear": ("a hat, cap, turban or headscarf", lambda face: face.top in HEADWEAR),
    "black_hair": ("black hair on the head", _hair_is("black")),
    "brown_hair": ("dark or light brown hair on the head", _hair_is("dark brown", "light brown")),
    "blond_hair": ("blond hair on the head", _hair_is("blond")),
    "red_hair": ("red hair on the head", _hair_is("red")),
    "grey_hair": ("grey hair on the head", _hair_is("grey")),
    "light_skin": ("one of the two lightest of five skin tones", lambda face: face.skin in ("porcelain", "fair")),
    "dark_skin": ("one of the two darkest of five skin tones", lambda face: face.skin in ("brown", "deep")),
    "beard": ("a beard, short or full", lambda face: face.facial_hair in BEARDS),
    "moustache": ("a moustache without a beard", lambda face: face.facial_hair in MOUSTACHES),
    "glasses": ("glasses with clear lenses", lambda face: face.accessory in GLASSES),
    "sunglasses": ("glasses with dark lenses", lambda face: face.accessory in SUNGLASSES),
    "eyes_closed": ("both eyes shut, resting or laughing", _eyes_are("CLOSED", "HAPPY")),
    "wide_eyes": ("eyes wide open, white all around", _eyes_are("SURPRISED")),
    "angry_brows": ("brows drawn down to the nose", lambda face: face.eyebrows == "ANGRY_NATURAL"),
    "raised_brows": ("both brows raised high", lambda face: face.eyebrows == "RAISED_EXCITED_NATURAL"),
    "worried_brows": ("brows slanting up to the middle", lambda face: face.eyebrows == "SAD_CONCERNED_NATURAL"),
    "smiling": ("corners of the mouth up", lambda face: face.mouth in SMILES),
    "mouth_open": ("an open mouth", lambda face: face.mouth in OPEN_MOUTHS),
}


def attributes(face: Face) -> tuple[bool | None, ...]:
    """Return the face's attributes in the order of `ATTRIBUTES`: True, False or None (not visible)."""
    return tuple(rule(face) for _, rule in ATTRIBUTES.values())


def split_of(face: Face) -> str:
    """Return the split of a face, from a hash of its attributes.

    Faces with the same attributes are in the same split. So no combination of attributes occurs in both splits, and
    no combination of choices either.
    """
    digest = hashlib.sha256(f"{SPLIT_SALT}{attributes(face)}".encode()).digest()
    return "heldout" if int.from_bytes(digest[:4]) < HELDOUT_SHARE * 2**32 else "train"


def draw_split(split: str, count: int) -> list[Face]:
    """Return the first `count` faces of a split, all different; a smaller count gives a prefix of a larger one."""
    rng = random.Random(SEED)
    faces: dict[Face, None] = {}  # a set that keeps its order
    while len(faces) < count:
        face = draw_face(rng)
        if split_of(face) == split:
            faces[face] = None
    return list(faces)


def svg(face: Face, image_size: int) -> str:
    """Return the head of a face as a square SVG of `image_size` pixels, on a transparent background."""
    hair = HAIR_COLOURS[face.hair_colour]
    avatar = pa.Avatar(
        style=pa.AvatarStyle.TRANSPARENT,
        top=pa.HatType[face.top] if face.top in HEADWEAR else pa.HairType[face.top],
        hat_color=CLOTH_COLOURS.get(face.hat_colour),
        eyebrows=pa.EyebrowType[face.eyebrows],
        eyes=pa.EyeType[face.eyes],
        nose=pa.NoseType[face.nose],
        mouth=pa.MouthType[face.mouth],
        facial_hair=pa.FacialHairType[face.facial_hair],
        skin_color=SKIN_COLOURS[face.skin],
        hair_color=hair,
        facial_hair_color=hair,
        accessory=pa.AccessoryType[face.accessory],
        clothing=pa.ClothingType.SHIRT_CREW_NECK,
        clothing_color=CLOTH_COLOURS[face.clothing_colour],
    )
    root = ElementTree.fromstring(avatar.render())
    root.attrib |= {"viewBox": VIEW_BOX, "width": str(image_size), "height": str(image_size)}
    _tint_brows(root, hair)
    _flatten_colours(root)
    return ElementTree.tostring(root, encoding="unicode")


def _tint_brows(root: ElementTree.Element, hair: str) -> None:
    """Give the brows, which are black, the colour of the hair, slightly darker so that blond brows are visible."""
    shade = "#" + "".join(f"{int(hair[i : i + 2], 16) * 7 // 10:02X}" for i in (1, 3, 5))
    for brow in root.find(".//*[@id='transparent_Eyebrow']").iter():
        if "fill-opacity" in brow.attrib:
            brow.set("fill-opacity", "0.9")
        if brow.get("fill") == "#000000":
            brow.set("fill", shade)


def _flatten_colours(root: ElementTree.Element) -> None:
    """Colour each shape itself, and remove the coloured layer above it, which the same shape masks.

    Two edges on one line would let the shape's own dark fill shine through; masks take half of the drawing time.
    """
    for parent in root.iter():
        layer = next((child for child in parent if child.get("id", "").endswith("-Color")), None)
        shapes = [] if layer is None else parent.findall("{http://www.w3.org/2000/svg}use")
        for shape in shapes:
            shape.set("fill", layer.get("fill"))
        if shapes:
            parent.remove(layer)


def draw(face: Face, image_size: int) -> bytes:
    """Return the pixels of a face: `image_size × image_size × 3` bytes, RGB."""
    ground = BACKGROUNDS[face.background]
    png = resvg_py.svg_to_bytes(svg_string=svg(face, image_size), background=ground, skip_system_fonts=True)
    return Image.open(io.BytesIO(png)).convert("RGB").tobytes()


def draw_all(faces: Sequence[Face], image_size: int) -> Iterator[bytes]:
    """Yield the pixels of every face, in order, drawn by one process per core (at most eight).

    Each process runs this file by its path, which loads nothing else of the package, and gets its share through a
    pipe. `multiprocessing` would import the caller's script again, which breaks scripts without a `__main__` guard.
    These processes end when the pipe closes, also if this process is killed.

    Raises:
        RuntimeError: a drawing process fails; the last line of its errors is in the message.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(cores, 8, len(faces)))
    workers: list[subprocess.Popen] = []
    try:
        for _ in range(count):
            command = [sys.executable, "-P", __file__]  # -P: import nothing from the folder of this file
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            workers.append(subprocess.Popen(command, **pipes))
        for k, worker in enumerate(workers):
            share = [asdict(face) for face in faces[k::count]]
            with suppress(BrokenPipeError):  # a process that failed at once is reported below
                worker.stdin.write(json.dumps({"image_size": image_size, "faces": share}).encode())
                worker.stdin.close()
        for i in range(len(faces)):
            worker = workers[i % count]
            pixels = worker.stdout.read(image_size * image_size * 3)
            if len(pixels) < image_size * image_size * 3:
                errors = worker.stderr.read().decode().strip().splitlines() or ["its process was killed"]
                raise RuntimeError(f"drawing face {i} failed: {errors[-1]}")
            yield pixels
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout, worker.stderr):
                with suppress(BrokenPipeError):
                    pipe.close()


def _draw_from_stdin() -> None:
    """Run a drawing process: read a share of the faces as JSON, write their pixels in the same order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which then ends this process
    job = json.load(sys.stdin)
    for choices in job["faces"]:
        sys.stdout.buffer.write(draw(Face(**choices), job["image_size"]))


if __name__ == "__main__":
    _draw_from_stdin()
