"""The images that a profile trains on and holds out."""

from pivq.config import Config
from pivq.data import ImageDataset, load_dataset
from pivq.data.arguments import check_choice
from pivq.data.decoding import TooFewImages
from pivq.settings import refusal


def load_splits(config: Config) -> dict[str, ImageDataset]:
    """Return both splits by name; see `load_split`."""
    return {split: load_split(config, split) for split in ("train", "heldout")}


def load_split(config: Config, split: str) -> ImageDataset:
    """Return the configuration's images of a split, "train" or "heldout", as many as its profile uses.

    Images that cannot be read are left out if the configuration says so (`on_error`), and are in `left_out`.

    Raises:
        TypeError: the settings are none.
        BadImages: images cannot be read, and are not to be left out; lists them (`pivq.data.decoding`).
        ValueError: another split; or the set has fewer images than the settings need, and how many are for what.
    """
    if not isinstance(config, Config):
        raise refusal("config", "settings, such as of `load_config`", config)
    check_choice("split", split, ("train", "heldout"))
    needed = images_needed(config, split)
    try:
        dataset = _load_at_most(config, split)
        if config.dataset == "avatars" or len(dataset) >= max(needed.values()):
            return dataset
        found = f"{dataset}"
    except TooFewImages as error:  # there is none
        found = f"{error}. The set"
    what = ", ".join(f"{count} for {reason}" for reason, count in needed.items())
    enough = 10 * max(images_needed(config, "heldout").values())
    raise ValueError(
        f"{found} is too small for profile {config.profile!r}, whose {split} split needs {max(needed.values())} images "
        f"({what}). A tenth of a folder is held out: about {enough} images in all are enough."
    )


def _load_at_most(config: Config, split: str) -> ImageDataset:
    """Load as many images as the profile uses, or all there are."""
    limit = config.train.train_images if split == "train" else config.train.heldout_images
    layout = config.layout or (config.dataset if config.dataset not in ("avatars", "folder") else None)
    place, reading = (config.data or config.dataset, split, config.model.image_size), (layout, config.on_error)
    try:
        return load_dataset(*place, limit, *reading)
    except TooFewImages:
        return load_dataset(*place, None, *reading)


def images_needed(config: Config, split: str) -> dict[str, int]:
    """Return how many images of a split each part of the experiment needs at least."""
    metrics = {f"metrics with k = {max(config.evaluation.prdc_k)}": max(config.evaluation.prdc_k) + 1}
    if split == "heldout":
        return {"pictures and paths between pairs": 50} | metrics
    latents = -(-config.model.codebook_size // config.model.num_codes)
    return {"one batch": config.train.batch_size, "as many latents as codes": latents} | metrics
