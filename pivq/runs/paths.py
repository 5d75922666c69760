"""Walks between images, measured: how smooth, how far apart, how plausible, and how far one code reaches (Fig. 1)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivq.inference import decode_in_batches
from pivq.metrics.neighbours import nearest_real
from pivq.pretrained.features import FeatureNet, extract
from pivq.runs.evaluation import real_features
from pivq.runs.run import Run
from pivq.sampling import SMOOTH_STEP, cross_fade, path_smoothness, smooth_path

STOPS = 17  # images of a walk that are drawn, both ends included
HEADWEAR = ("headwear", "Wearing_Hat")  # of the drawn faces, and of CelebA; so below
WORN = (*HEADWEAR, "glasses", "sunglasses", "Eyeglasses")
OUTLINE = (*HEADWEAR, "bald", "long_hair", "curly_hair", "Bald", "Wavy_Hair", "Straight_Hair")
Decode = Callable[[Tensor], Tensor]  # codes (B, L) to images (B, 3, H, W)


def pairs_to_show(pairs: Tensor, codes: Tensor, attributes: pd.DataFrame | None, count: int) -> Tensor:
    """Return the first `count` pairs, by a rule instead of a choice, but with outlines to mix.

    The second pair is the first one after the first pair in which both faces wear headwear; without any, in which each
    wears something of `WORN`. After it, pairs of one outline (alike in all that is known of `OUTLINE`) come after the
    others, and pairs with a single path (fewer than two codes to exchange) last.

    Args:
        pairs: rows `(P, 2)` of images a and b, in the order of the seed.
        codes: `(N, L)`.
        attributes: {0, 1, missing}, a row per image, or None.
        count: how many pairs.

    Example:
        >>> codes, pairs = torch.arange(24).reshape(8, 3), torch.arange(8).reshape(4, 2)
        >>> hats = pd.DataFrame({"headwear": [1, 1, 0, 1, 1, 1, 0, 0]})
        >>> pairs_to_show(pairs, codes, hats, 3).tolist()
        [[0, 1], [4, 5], [2, 3]]
    """
    rows = pairs.tolist()
    single = [len(set(codes[i].tolist()) - set(codes[j].tolist())) < 2 for i, j in rows]
    order = sorted(range(len(rows)), key=lambda at: single[at])
    if attributes is not None and len(rows) > 1:
        has = (attributes == 1).fillna(False)
        worn = [[name for name in names if name in has] for names in (HEADWEAR, WORN)]
        wears = [has[names].any(axis=1).to_numpy(bool) for names in worn]
        first, *others = order
        both = [at for of in wears for at in others if of[rows[at]].all()]
        shape = has[[name for name in OUTLINE if name in has]].to_numpy(bool)
        second = both[0] if both else others[0]
        others = [at for at in others if at != second]
        others.sort(key=lambda at: (single[at], (shape[rows[at][0]] == shape[rows[at][1]]).all()))
        order = [first, second, *others]
    return torch.tensor([rows[at] for at in order[:count]])


class Walks(NamedTuple):
    """Smooth paths between pairs of images, and cross-fades between the same ends.

    Attributes:
        numbers: over all paths, None where there is no path: `pairs`; means of `mean_exchanged` codes, `step`,
            `largest_step` and `path_length`, as shares of the distance between the ends;
            `share_with_large_step`, the share of paths with a step of at least `SMOOTH_STEP`; the medians
            `detail_half_way` and `detail_half_way_crossfade`, as shares of the ends' detail.
        distances: `(P, STOPS)` each, distance from the first image, by "codes" and "pixels".
        details: the same for detail, the mean absolute difference between neighbouring pixels.
    """

    numbers: dict[str, float | None]
    distances: dict[str, NDArray]
    details: dict[str, NDArray]


def measure_walks(
    decode: Decode, codes: Tensor, pairs: Tensor, generator: torch.Generator, multiset: bool = False
) -> Walks:
    """Walk between pairs of images and measure the images on the way.

    Args:
        decode: such as `PIVQ.decode`.
        codes: `(N, L)`.
        pairs: rows `(P, 2)` of images a, where a path begins, and b. Pairs without a path are left out.
        generator: of the paths.
        multiset: see `pivq.sampling.smooth_path`.
    """
    middle, t = STOPS // 2, torch.linspace(0, 1, STOPS)
    paths, distances, details = [], {"codes": [], "pixels": []}, {"codes": [], "pixels": []}
    for i, j in pairs.tolist():
        decoded = decode_in_batches(decode, smooth_path(codes[j], codes[i], generator, multiset))
        if len(decoded) < 3 or torch.equal(decoded[0], decoded[-1]):
            continue
        paths.append(path_smoothness(decoded))
        walk = decoded[(t * (len(decoded) - 1)).round().long()]
        for name, frames in {"codes": walk, "pixels": cross_fade(decoded[0], decoded[-1], STOPS)}.items():
            distances[name].append(path_smoothness(frames).from_start.numpy())
            detail = frames.diff(dim=3).abs().mean(dim=(1, 2, 3)) + frames.diff(dim=2).abs().mean(dim=(1, 2, 3))
            details[name].append((detail / detail[[0, -1]].mean()).numpy())
    of_paths = {
        "mean_exchanged": (np.mean, [len(path.steps) for path in paths]),
        "step": (np.mean, [float(path.steps.mean()) for path in paths]),
        "largest_step": (np.mean, [path.largest_step for path in paths]),
        "share_with_large_step": (np.mean, [path.largest_step >= SMOOTH_STEP for path in paths]),
        "path_length": (np.mean, [path.length for path in paths]),
        "detail_half_way": (np.median, [row[middle] for row in details["codes"]]),
        "detail_half_way_crossfade": (np.median, [row[middle] for row in details["pixels"]]),
    }
    numbers = {name: float(average(values)) if values else None for name, (average, values) in of_paths.items()}
    stacked = ({name: np.reshape(rows, (-1, STOPS)) for name, rows in kind.items()} for kind in (distances, details))
    return Walks({"pairs": len(paths)} | numbers, *stacked)


def paths_apart(one: Tensor, other: Tensor) -> float:
    """Return how far two paths between the same ends run apart, on average over what lies between the ends.

    Args:
        one, other: images `(T, 3, H, W)` of each.

    Returns:
        The mean absolute difference, as a share of that of the ends; 0 where nothing lies between them.

    Example:
        >>> grey = lambda *levels: torch.tensor(levels)[:, None, None, None]
        >>> paths_apart(grey(0.0, 0.25, 1.0), grey(0.0, 0.75, 1.0))
        0.5
    """
    whole = (one[0] - one[-1]).abs().mean()
    between = (one[1:-1] - other[1:-1]).abs()
    return float(between.mean() / whole) if len(between) and whole else 0.0


def measure_apart(decode: Decode, codes: Tensor, pairs: Tensor, generator: torch.Generator) -> dict[str, float | None]:
    """Measure how far apart two random paths of each pair run (`paths_apart`).

    Args:
        decode: such as `PIVQ.decode`.
        codes: `(N, L)`.
        pairs: rows `(P, 2)`. Pairs with a single path, of fewer than two codes to exchange, are left out.
        generator: of the paths.

    Returns:
        `median`, and `low` to `high` from 10% to 90% of the pairs, None without any; `pairs`, their number.
    """
    apart = []
    for i, j in pairs.tolist():
        one, other = (smooth_path(codes[j], codes[i], generator) for _ in range(2))
        if len(one) > 2:
            apart.append(paths_apart(decode_in_batches(decode, one), decode_in_batches(decode, other)))
    low, median, high = np.quantile(apart, (0.1, 0.5, 0.9)).tolist() if apart else (None, None, None)
    return {"low": low, "median": median, "high": high, "pairs": len(apart)}


def measure_plausibility(
    run: Run, network: FeatureNet, codes: Tensor, pairs: Tensor, generator: torch.Generator
) -> dict[str, float]:
    """Measure how near the images on a path are to real faces: medians of the distance to the nearest training image.

    Args:
        run: of matching quantization; its decoder makes the images.
        network: of the features in which distances are taken.
        codes: `(N, L)`.
        pairs: rows `(P, 2)`; one path for each.
        generator: of the paths.

    Returns:
        `ends`, the reconstructions of both images; `quarter` of the way and `half_way` by codes;
        `cross_fade_half_way`, the mean of both ends' pixels, the control; `nearer`, the share of pairs whose image
        half-way by codes is nearer to a training image than their cross-fade; `pairs`, their number.
    """
    paths = [smooth_path(codes[j], codes[i], generator) for i, j in pairs.tolist()]
    stops = {name: torch.stack([path[round(share * (len(path) - 1))] for path in paths])
             for name, share in (("first", 0), ("last", 1), ("quarter", 0.25), ("half_way", 0.5))}  # fmt: skip
    decode = run.model(network.device).decode
    images = {name: decode_in_batches(decode, rows) for name, rows in stops.items()}
    images["cross_fade_half_way"] = (images["first"] + images["last"]) / 2
    images["ends"] = torch.cat([images.pop("first"), images.pop("last")])
    real = real_features(run, network)
    order = ("ends", "quarter", "half_way", "cross_fade_half_way")
    features = extract(network, torch.cat([images[name] for name in order]), progress=False)
    distances = np.split(nearest_real(real, features)[1][:, 0], np.cumsum([len(images[name]) for name in order])[:-1])
    medians = {name: float(np.median(values)) for name, values in zip(order, distances, strict=True)}
    return medians | {"nearer": float((distances[2] < distances[3]).mean()), "pairs": len(pairs)}


def exchange_one_code(codes_a: Tensor, codes_b: Tensor, generator: torch.Generator) -> Tensor:
    """Give each image a one code of image b, in the place of the code of the same latent.

    Args:
        codes_a, codes_b: in latent order, `(B, L)`.
        generator: draws the latent, among those whose code in b is none of a's.

    Returns:
        `(B, L)`; the codes of a where b has no other code.

    Example:
        >>> a, b = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 9, 2]])
        >>> exchange_one_code(a, b, torch.Generator())
        tensor([[1, 9, 3]])
    """
    new = ~(codes_b[:, :, None] == codes_a[:, None, :]).any(dim=2)
    priority = torch.rand(codes_a.shape, generator=generator).masked_fill(~new, -1.0)
    chosen = torch.zeros_like(new).scatter_(1, priority.argmax(dim=1, keepdim=True), True) & new
    return torch.where(chosen, codes_b, codes_a)


def spread_of_change(before: Tensor, after: Tensor) -> Tensor:
    """Return over which share of each picture a change spreads: its participation ratio (Σ c)² / (N Σ c²).

    c is the absolute difference of a pixel, summed over its channels, and N the number of pixels. A change of one size
    everywhere has 1, one of 1/64 of the pixels has 1/64, and no change has NaN.

    Args:
        before, after: images `(B, 3, H, W)`.

    Returns:
        `(B,)`.

    Example:
        >>> before, after = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> after[:, :, :2, :2] = 0.5
        >>> spread_of_change(before, after)
        tensor([0.2500])
    """
    change = (after - before).abs().sum(dim=1).flatten(1)
    return change.sum(dim=1).square() / (change.shape[1] * change.square().sum(dim=1))


def measure_spread(decode: Decode, codes: Tensor, pairs: Tensor, grid_size: int, generator: torch.Generator) -> dict:
    """Measure over which share of the picture one code acts: "codes are global" (Section 3.2).

    Args:
        decode: such as `PIVQ.decode`.
        codes: in latent order, `(N, L)`.
        pairs: rows `(P, 2)`: image b gives one code to image a.
        grid_size: cells of the decoder's grid in a row.
        generator: draws the latents and the cells.

    Returns:
        Medians over the pairs of `spread_of_change`: `participation` with one code exchanged (`low` to `high`: from
        10% to 90% of the pairs); `faces`, from image a to b; `cell`, with one cell of the grid taken from image b,
        which is how far a code with a place would reach. `pairs`, their number; the others are None where it is 0.
    """
    codes_a, codes_b = codes[pairs].unbind(1)
    first, changed, last = (
        decode_in_batches(decode, rows) for rows in (codes_a, exchange_one_code(codes_a, codes_b, generator), codes_b)
    )
    side = first.shape[-1] // grid_size
    cells = torch.randint(grid_size**2, (len(pairs),), generator=generator)
    grid = torch.arange(grid_size**2).reshape(grid_size, grid_size)
    grid = grid.repeat_interleave(side, 0).repeat_interleave(side, 1)  # (H, W), the cell of each pixel
    patched = torch.where((grid == cells[:, None, None])[:, None], last, first)
    spreads = {name: spread_of_change(first, images).numpy()
               for name, images in {"participation": changed, "faces": last, "cell": patched}.items()}  # fmt: skip
    spreads = {name: values[np.isfinite(values)] for name, values in spreads.items()}
    numbers = {name: float(np.median(values)) if len(values) else None for name, values in spreads.items()}
    one = spreads["participation"]
    low, high = np.quantile(one, (0.1, 0.9)).tolist() if len(one) else (None, None)
    return numbers | {"low": low, "high": high, "pairs": len(one)}
