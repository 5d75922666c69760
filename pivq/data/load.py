"""`load_dataset`: any data set by name, folder or zip.

The avatars are drawn on first use and kept in `data/` (`pivq.data.avatars`). Other images (CelebA, CelebA-HQ, FFHQ or
any folder) are decoded on first use and then mapped from a cache (`pivq.data.photographs`).
"""

import os

from pivq.config import ON_ERROR, suggestion
from pivq.data import avatars, photographs
from pivq.data.arguments import check_choice, check_place, check_size
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
    """Load a data set; on first use, draw the avatars or decode the images.

    Args:
        name_or_dir: one of `DATASETS`; all but the avatars are expected in `data/<name>/`. Or a folder or zip of
            images, see docs/datasets.md.
        split: "train" or "heldout"; of all but the avatars also "all". No combination of attributes of the avatars
            (8,000 and 2,000) occurs in both splits. Without an official split, a hash of the id holds out a tenth.
        image_size: height and width in pixels, from 8 to 16,384.
        limit: number of images. They are the first ones of the split, and only they are drawn or decoded. None is
            all; so is 0, of all but the avatars.
        layout: "celeba", "celebahq", "ffhq" or "folder"; None recognises it by file names. Avatars have none.
        on_error: if images, or folders among them, cannot be read, "raise" an error that lists them, or "skip" them
            with a warning.

    Returns:
        The images, their ids and their attributes, and which images were left out.

    Raises:
        TypeError: `name_or_dir` is neither text nor a path.
        ValueError: an unknown name, split, layout or `on_error`; an invalid size or limit; images that cannot be read
            (`pivq.data.decoding.BadImages`); no images; or an official split that cannot be read.
        OSError: the data set is not in its place, or the images are not in `data/` and cannot be written there.

    Warns:
        UserWarning: what the set's layout has and is not found (an official split, labels) or does not fit; pictures
            that are left out. `pivq.data.report.describe` says all of it.

    Example:
        >>> faces = load_dataset("avatars", "heldout", limit=4)  # doctest: +SKIP
        >>> faces[0].shape, faces.attributes["glasses"].tolist()  # doctest: +SKIP
        (torch.Size([3, 64, 64]), [0, 1, 0, 0])
    """
    name, size = check_place(name_or_dir), check_size(image_size)
    if name not in DATASETS and not os.path.lexists(os.path.expanduser(name)):
        raise ValueError(f"unknown data set {name!r}, and no such folder or zip{suggestion(name, list(DATASETS))}")
    check_choice("on_error", on_error, ON_ERROR)
    if name == "avatars":
        return avatars.load(split, size, limit, layout)
    return photographs.load(name_or_dir, split, size, limit, layout, on_error)
