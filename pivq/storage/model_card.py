"""The model card of an exported model: what it is, how it was trained, what it is not for; standard library only."""

from typing import Any

# Data set: what its images are, and the terms they come under.
DATA = {
    "avatars": ("faces drawn from python_avatars parts", "drawn by code under the MIT licence"),
    "celeba": ("CelebA photographs", "for non-commercial research only, by the terms of CelebA"),
    "celebahq": ("CelebA-HQ photographs", "for non-commercial research only, by the terms of CelebA"),
    "ffhq": ("FFHQ photographs", "for non-commercial use, CC BY-NC-SA 4.0, in addition to the photographers' licences"),
    "folder": ("a folder of images of the trainer's own", "whose terms only those who trained the model know"),
}
FRONT_MATTER = """\
---
license: mit
library_name: pivq
tags:
- pivq
- vector-quantization
- permutation-invariant
- image-autoencoder
---
"""


def model_card(sizes: dict[str, Any], quantizer: str, facts: dict[str, Any]) -> str:
    """Return a model card in Markdown, with the Hub's front matter.

    Args:
        sizes: the settings of `pivq.config.ModelConfig` by name.
        quantizer: "matching" or "nearest".
        facts: of the run, see `pivq.storage.checkpoint.Stored`; the card leaves out what is missing.

    Example:
        >>> card = model_card({"image_size": 64, "codebook_size": 512, "num_codes": 32}, "matching", {"steps": 100})
        >>> "| training | 100 steps |" in card
        True
    """
    size, dataset = sizes["image_size"], facts.get("dataset")
    images, terms = DATA.get(dataset, ("images", "whose terms are not recorded"))
    rows = "\n".join(f"| {name} | {value} |" for name, value in _rows(sizes, quantizer, facts))
    return f"""{FRONT_MATTER}
# PI-VQ, {quantizer} quantization, {dataset or "unnamed images"} {size}×{size}

A permutation-invariant vector-quantized autoencoder: it turns an aligned image into an unordered set of
{sizes["num_codes"]} codes out of {sizes["codebook_size"]}, and such a set back into an image. After *Investigating
Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images*
([arXiv:2604.01843](https://arxiv.org/abs/2604.01843)), made with its companion package `pivq`.

| | |
|---|---|
{rows}

## Load it

```python
import torch
from pivq.model import PIVQ

model = PIVQ.from_pretrained("path/to/this/folder")  # or, from the Hub, "owner/name"
codes = model.encode(torch.rand(1, 3, {size}, {size}))  # images in [0, 1] to (1, {sizes["num_codes"]}) whole numbers
image = model.decode(codes)  # the order of the codes does not matter
```

The weights are the exponential moving average over the training.

## What it is not for

- Images unlike the aligned ones it was trained on, {images}: it reconstructs them badly.
- Identifying people or deciding anything about them: codes are related to attributes of the training images only.
- Presenting its images as photographs of people.
- Judging the paper, unless the table above says that the model was trained at the paper's scale.

## Licence

Code and weights: MIT. The training images: {images}, {terms}. Terms that limit the use of
images may also limit the use of a model trained on them.
"""


def _rows(sizes: dict[str, Any], quantizer: str, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of the table, name and value, without unknown values."""
    steps, planned = facts.get("steps"), facts.get("planned_steps")
    unfinished = f" of {planned:,}: unfinished" if planned and steps is not None and steps < planned else ""
    size, codebook_size = sizes["image_size"], sizes["codebook_size"]
    rows = [
        ("quantizer", quantizer),
        ("images", f"{size}×{size}, RGB in [0, 1]"),
        ("codes", f"{sizes['num_codes']} per image, out of {codebook_size}"),
        ("parameters", _shown(facts, "parameters", "{:,}")),
        ("data set", _shown(facts, "dataset", "{}")),
        ("profile", _shown(facts, "profile", "{}")),
        ("training", _shown(facts, "steps", "{:,} steps") + unfinished),
        ("recipe", _shown(facts, "recipe", "{}: changes of the paper's training, by those who wrote `pivq`")),
        ("seed", _shown(facts, "seed", "{}")),
        ("held-out L1", _shown(facts, "heldout_l1", "{:.4f} on the [0, 1] scale")),
        ("held-out PSNR", _shown(facts, "heldout_psnr", "{:.2f} dB")),
        ("codes in use", _shown(facts, "codes_in_use", f"{{}} of {codebook_size}")),
        ("distinct codes per image", _shown(facts, "mean_codes_per_image", "{:.2f}")),
    ]
    return [(name, value) for name, value in rows if value]


def _shown(facts: dict[str, Any], name: str, form: str) -> str:
    return form.format(facts[name]) if facts.get(name) is not None else ""
