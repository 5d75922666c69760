"""`load_dataset`: any data set by name, folder or zip.

`avatars` are drawn on the first use (`pivq.data.avatars`) and kept in `data/`. Images from elsewhere, CelebA,
CelebA-HQ, FFHQ or any folder, are decoded on the first use (`pivq.data.layouts`) and mapped from a cache after that.
"""

import difflib
import os
from pathlib import Path

from pivq.data import layouts
from pivq.data.avatars import SPLITS, load_faces
from pivq.data.dataset import ImageDataset

DATASETS = ("avatars", "celeba", "celebahq", "ffhq")


def load_dataset(
    name_or_dir: str | os.PathLike,
    split: str = "train",
    image_size: int = 64,
    limit: int | None = None,
    layout: str | None = None,
    on_error: str = "raise",
) -> ImageDataset:
    """Load a data set; draw the avatars, or decode the images, if that has not been done yet.

    Args:
        name_or_dir: a name out of `DATASETS`, of which all but avatars are looked for in `data/<name>/`; or a folder
            or zip of images, see docs/datasets.md.
        split: "train" or "heldout"; of images from elsewhere also "all". No combination of attributes of the avatars
            (8,000 and 2,000) occurs in both. Without an official split a tenth is held out by a hash of the id.
        image_size: height and width in pixels.
        limit: only the first so many images; they are the same whatever the limit, and only they are drawn or decoded.
            None, and of images from elsewhere 0, is all.
        layout: of images from elsewhere, "celeba", "celebahq", "ffhq" or "folder"; None recognises it by file names.
        on_error: when images cannot be read, "raise" an error that lists them, or "skip" them and warn of their number.

    Returns:
        The images, their ids and their attributes.

    Raises:
        ValueError: for an unknown name or split, a size or limit that cannot be, images that cannot be read (as
            `pivq.data.decoding.BadImages`), none at all, or labels that are not what they should be.
        OSError: if the set is not in its place, or `data/` cannot be written to and the images are not in it.

    Example:
        >>> faces = load_dataset("avatars", "heldout", limit=4)  # doctest: +SKIP
        >>> faces[0].shape, faces.attributes["glasses"].tolist()  # doctest: +SKIP
        (torch.Size([3, 64, 64]), [0, 1, 0, 0])
    """
    drawn = str(name_or_dir) == "avatars"
    if str(name_or_dir) not in DATASETS and not os.path.lexists(Path(name_or_dir).expanduser()):
        check_known("data set", str(name_or_dir), DATASETS, ", or a folder or zip that exists")
    check_known("split", str(split), tuple(SPLITS) if drawn else layouts.SPLITS)
    if layout is not None:
        check_known("layout", str(layout), () if drawn else tuple(layouts.EXPECTED))
    check_known("on_error", str(on_error), ("raise", "skip"))
    if image_size < 8 or image_size != int(image_size):
        raise ValueError(f"image_size must be a whole number of at least 8 pixels, got {image_size}")
    if not drawn:
        if limit is not None and (limit < 0 or limit != int(limit)):
            raise ValueError(f"limit must be a whole number of at least 1, or 0 or None for all, got {limit}")
        count = int(limit) if limit else None
        return ImageDataset(**layouts.load(name_or_dir, split, int(image_size), count, layout, on_error))
    if limit is None:
        limit = SPLITS[split]
    if not 1 <= limit <= SPLITS[split] or limit != int(limit):
        raise ValueError(f"limit must be a whole number from 1 to {SPLITS[split]} (all of {split!r}), got {limit}")
    return load_faces(split, int(image_size), int(limit))


def check_known(kind: str, name: str, known: tuple[str, ...], more: str = "") -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown {kind} {name!r}.{hint} There are: {', '.join(known) or 'none'}{more}")
