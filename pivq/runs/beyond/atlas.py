"""The code atlas: for each code, who has it, what it says about attributes, and what it does to a picture. Ours.

What a code *says* is counted: mutual information of its presence with exact attributes. What it *does* is decoded: it
is put into faces that lack it, in exchange for the code of its group, so that a set stays a set of L codes. Groups are
the codes of a learned token, or exchange groups (`pivq.usage.exchange_groups`); see `alternatives`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pivq.data import ImageDataset
from pivq.inference import decode_in_batches
from pivq.probing import pixel_statistics
from pivq.runs.beyond.disentanglement import GROUP, TOKEN, categories_of
from pivq.runs.beyond.information import (
    code_information,
    entropy_bits,
    largest_by_chance,
    shares_with_codes,
    unit_information,
)
from pivq.runs.beyond.samplers import group_sizes
from pivq.runs.paths import spread_of_change
from pivq.usage import exchange_groups, presence, slot_usage

SHUFFLES = 20  # of the labels, for what chance says; source: assumption
FACES = 16  # that each code is put into; source: assumption
THIRDS = ("top", "middle", "bottom")  # of the picture

Decode = Callable[[Tensor], Tensor]


class Alternatives(NamedTuple):
    """Groups of codes that can be exchanged for each other.

    Attributes:
        groups: the group of each code, `(K,)` from 0.
        kind: `TOKEN` or `GROUP`, what a group is.
        sizes: of both kinds, how many groups of an image have `no code`, `one code` or `more`.
    """

    groups: NDArray
    kind: str
    sizes: pd.DataFrame


class Labels(NamedTuple):
    """Attributes of both splits, `(N, A)` and `(M, A)`, and whether they are labels or statistics of pixels."""

    train: pd.DataFrame
    heldout: pd.DataFrame
    given: bool


class CodePictures(NamedTuple):
    """What a row of the atlas's figure shows of a code; images are `(n, 3, H, W)` floats in [0, 1].

    Attributes:
        code: its number.
        having, lacking: held-out images with the code and without it, uint8.
        before, after: reconstructions of those without it, and with the code put in.
        change: the mean signed change of a pixel's brightness over all images that it was put into, `(H, W)`.
    """

    code: int
    having: Tensor
    lacking: Tensor
    before: Tensor
    after: Tensor
    change: Tensor


def alternatives(codes: ArrayLike, codebook_size: int) -> Alternatives:
    """Return the groups of which images most often have exactly one code: by learned token, or exchange groups.

    A token's group are the codes that it takes more often than any other token does. Where tokens have divided the
    codebook among them, every image has exactly one code of each. Exchange groups are found from the sets alone: they
    can put codes of two tokens together that happen never to meet, and exchanging these leaves one token without a code
    and another one with two.

    Args:
        codes: `(N, L)`, in the order of the learned tokens.
        codebook_size: K.

    Example:
        >>> found = alternatives([[0, 2], [1, 3], [0, 3], [1, 2]], codebook_size=4)
        >>> found.kind, found.groups.tolist()
        ('token', [0, 0, 1, 1])
    """
    slots = slot_usage(codes, codebook_size).counts
    kinds = {TOKEN: slots.argmax(axis=0), GROUP: exchange_groups(codes, codebook_size)}
    sizes = pd.DataFrame([{"groups": kind} | group_sizes(np.asarray(codes), of) for kind, of in kinds.items()])
    kind = sizes.loc[sizes["one code"].idxmax(), "groups"]
    return Alternatives(kinds[kind], kind, sizes)


def labels_of_splits(train: ImageDataset, heldout: ImageDataset) -> Labels:
    """Return the attributes of both splits; of images without any, whether statistics of pixels are above the median.

    The median is that of the training images (`pivq.probing.pixel_statistics`).
    """
    if train.attributes is not None and heldout.attributes is not None:
        return Labels(train.attributes, heldout.attributes, True)
    statistics = [pixel_statistics(split.images, split.ids) for split in (train, heldout)]
    return Labels(*((frame > statistics[0].median()).astype("Int8") for frame in statistics), False)


def code_atlas(
    codes: ArrayLike, attributes: pd.DataFrame, codebook_size: int, groups: NDArray, shuffles: int = SHUFFLES,
    seed: int = 0,
) -> tuple[pd.DataFrame, float]:  # fmt: skip
    """Say for each code that is used what its presence says about attributes.

    Args:
        codes: `(N, L)`, in the order of the learned tokens.
        attributes: N rows of 0, 1 and missing.
        codebook_size: K.
        groups: `(K,)`, such as of `alternatives`.
        shuffles, seed: of `pivq.runs.beyond.information.largest_by_chance`.

    Returns:
        A frame with a row per used code, most bits first: `code`; `images` that have it; `token` that uses it most, and
        `token_share` of its uses by that token; `group`; `attribute` that it says most about, `bits` and their `part`
        of the attribute's entropy; `with_code` and `without_code`, the shares of positives; `lift`, `with_code` over
        the share among all images; `beyond_chance`, about how many attributes it says more than chance does. And the
        bits of chance, the most that any code says about any shuffled attribute.
    """
    inputs, slots = presence(codes, codebook_size), slot_usage(codes, codebook_size)
    bits = code_information(inputs, attributes)
    chance = largest_by_chance(lambda shuffled: code_information(inputs, shuffled), attributes, shuffles, seed)
    entropy, shares = entropy_bits(attributes), shares_with_codes(inputs, attributes)
    overall = attributes.mean().to_numpy(dtype=np.float64, na_value=np.nan)
    images, rows = np.asarray(inputs.sum(axis=0)).ravel(), []
    for code in np.flatnonzero(images):
        j, uses = bits[code].argmax(), slots.counts[:, code]
        rows.append({
            "code": int(code), "images": int(images[code]), "token": int(uses.argmax()),
            "token_share": float(uses.max() / uses.sum()), "group": int(groups[code]),
            "attribute": attributes.columns[j], "bits": bits[code, j],
            "part": bits[code, j] / entropy[j] if entropy[j] else 0.0, "with_code": shares[0][code, j],
            "without_code": shares[1][code, j], "lift": shares[0][code, j] / overall[j] if overall[j] else np.nan,
            "beyond_chance": int((bits[code] > chance).sum()),
        })  # fmt: skip
    return pd.DataFrame(rows).sort_values("bits", ascending=False, kind="stable").reset_index(drop=True), chance


def best_bits(codes: ArrayLike, groups: NDArray, attributes: pd.DataFrame, codebook_size: int) -> dict[str, NDArray]:
    """Return the bits that the best single "code" and the best "group" of codes say about each attribute, `(A,)` each.

    Arguments are those of `code_atlas`.
    """
    inputs = presence(codes, codebook_size)
    by_group = unit_information(categories_of(inputs, groups), attributes)
    return {"code": code_information(inputs, attributes).max(axis=0), "group": by_group.max(axis=0)}


def chance_of_groups(
    codes: ArrayLike, groups: NDArray, attributes: pd.DataFrame, codebook_size: int, seed: int = 0
) -> float:
    """Return the most bits that any group says about shuffled attributes; arguments are those of `code_atlas`."""
    values = categories_of(presence(codes, codebook_size), groups)
    return largest_by_chance(lambda shuffled: unit_information(values, shuffled), attributes, SHUFFLES, seed)


def put_in(codes: NDArray, groups: NDArray, code: int) -> tuple[NDArray, NDArray]:
    """Put a code into the sets that lack it and have one code of its group, in exchange for that one.

    Args:
        codes: `(N, L)`, each row distinct.
        groups: `(K,)`.
        code: which one.

    Returns:
        The rows of these sets `(Q,)`, and the sets `(Q, L)` with the code.

    Example:
        >>> rows, sets = put_in(np.array([[0, 2], [1, 3]]), np.array([0, 0, 1, 1]), code=1)
        >>> rows.tolist(), sets.tolist()
        ([0], [[1, 2]])
    """
    alike = groups[codes] == groups[code]
    rows = np.flatnonzero((alike.sum(axis=1) == 1) & ~(codes == code).any(axis=1))
    return rows, np.where(alike[rows], code, codes[rows])


def measure_swaps(decode: Decode, codes: NDArray, groups: NDArray, which: Sequence[int], seed: int = 0) -> pd.DataFrame:
    """Put codes into sets that lack them (`put_in`) and measure what they do to the pictures.

    The control puts a random other code of the same group into the same sets: an exchange that means nothing.

    Args:
        decode: such as `PIVQ.decode`.
        codes: sets `(P, L)`.
        groups: `(K,)`.
        which: codes that are measured; the control is drawn from these.
        seed: of the control.

    Returns:
        A frame with a row per code: `code`; `faces` that it was put into; `change`, the mean absolute change of a pixel
        as a share of its range; `consistency`, the length of the mean change over the mean length of the changes: 1 if
        a code changes all pictures alike, about 1 / sqrt(faces) for unrelated changes; `random_consistency`, that of
        the control; `spread`, the share of the picture that changes (median of `spread_of_change`); `where`, the third
        of the picture with most of the mean change, and `there`, how much of it. Missing where a code was put into
        fewer than two sets or nothing changed.
    """
    codes, which = np.asarray(codes), np.asarray(which)
    generator, before = np.random.default_rng(seed), decode_in_batches(decode, torch.from_numpy(codes))
    rows = []
    for group in np.unique(groups[which]):
        members = which[groups[which] == group]
        made = {code: put_in(codes, groups, code) for code in members.tolist()}
        sets = np.concatenate([sets for _, sets in made.values()])
        if not len(sets):
            rows += [{"code": code, "faces": 0} for code in made]
            continue
        after = decode_in_batches(decode, torch.from_numpy(sets)).split([len(found) for found, _ in made.values()])
        changes = {code: images - before[found] for (code, (found, _)), images in zip(made.items(), after, strict=True)}
        for code, (found, _) in made.items():
            others = [_any_other(made, changes, code, row, generator) for row in found]
            rows.append(_effect(code, before[found], changes[code], [other for other in others if other is not None]))
    return pd.DataFrame(rows)


def _any_other(made: dict, changes: dict, code: int, row: int, generator: np.random.Generator) -> Tensor | None:
    """Return the change of a set, by its row, that a random other code of the group makes; None if there is none."""
    able = [other for other, (rows, _) in made.items() if other != code and row in rows]
    if not able:
        return None
    other = able[generator.integers(len(able))]
    return changes[other][int(np.flatnonzero(made[other][0] == row)[0])]


def _effect(code: int, before: Tensor, changes: Tensor, others: list[Tensor]) -> dict:
    """Return a row of `measure_swaps`, from changes `(Q, 3, H, W)` and those of the control."""
    row = {"code": code, "faces": len(changes)}
    if len(changes) < 2 or not changes.any():
        return row
    mean = changes.mean(dim=0).abs().sum(dim=0)
    thirds = torch.stack([part.sum() for part in mean.tensor_split(3)])
    spread = spread_of_change(before, before + changes)
    row |= {"change": float(changes.abs().mean()), "consistency": consistency(changes)}
    row |= {"random_consistency": consistency(torch.stack(others))} if len(others) > 1 else {}
    row |= {"spread": float(spread[spread.isfinite()].median()), "where": THIRDS[int(thirds.argmax())]}
    return row | {"there": float(thirds.max() / thirds.sum())}


def consistency(changes: Tensor) -> float:
    """Return the length of the mean of changes `(Q, …)` over their mean length, in [0, 1]; NaN without a change.

    Example:
        >>> consistency(torch.tensor([[3.0, 4.0], [3.0, 4.0]])), consistency(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        (1.0, 0.0)
    """
    flat = changes.flatten(1)
    return float(flat.mean(dim=0).norm() / flat.norm(dim=1).mean())


def most_telling(atlas: pd.DataFrame, count: int, chance: float = 0.0) -> pd.DataFrame:
    """Return for each of `count` attributes the code that says most about it, most bits first, if more than chance."""
    return atlas[atlas["bits"] > chance].drop_duplicates("attribute").head(count).reset_index(drop=True)


def row_label(row: dict) -> str:
    """Return the text beside a code in the figure, from a row of `code_atlas`.

    Example:
        >>> row_label({"code": 7, "token": 2, "attribute": "red_hair", "bits": 0.25, "lift": 3.14})
        'code 7, token 2\\nred hair\\n0.25 bits, × 3.1'
    """
    name = str(row["attribute"]).replace("_", " ")
    return f"code {row['code']}, token {row['token']}\n{name}\n{row['bits']:.2f} bits, × {row['lift']:.1f}"


def picture_code(
    decode: Decode, images: Tensor, codes: NDArray, groups: NDArray, code: int, shown: int = 4, faces: int = FACES
) -> CodePictures:
    """Return what the figure shows of a code; the first images of a kind are taken, none are chosen.

    Args:
        decode: such as `PIVQ.decode`.
        images: `(N, 3, H, W)` uint8, of the sets `codes` `(N, L)`.
        groups: `(K,)`.
        code: which one.
        shown: images of each kind, at most.
        faces: over how many the mean change is taken, at most.
    """
    having = np.flatnonzero((codes == code).any(axis=1))[:shown]
    rows, sets = put_in(codes, groups, code)
    rows, sets = rows[:faces], sets[:faces]
    if not len(rows):
        blank = torch.zeros(0, *images.shape[1:])
        return CodePictures(code, images[having], images[rows], blank, blank, torch.zeros(images.shape[2:]))
    before, after = (decode_in_batches(decode, torch.from_numpy(part)) for part in (codes[rows], sets))
    change = (after - before).mean(dim=(0, 1))
    return CodePictures(code, images[having], images[rows[:shown]], before[:shown], after[:shown], change)


def in_words(atlas: pd.DataFrame, chance: float) -> list[str]:
    """Return what the atlas says, in sentences: an `atlas` of `code_atlas`, joined with `measure_swaps` by code."""
    telling, top = atlas[atlas["bits"] > chance], atlas.iloc[0]
    name = str(top["attribute"]).replace("_", " ")
    sentences = [
        f"**What codes say.** {len(telling)} of {len(atlas)} codes say more about an attribute than any code says "
        f"about shuffled labels ({chance:.4f} bits). The most is {top['bits']:.2f} bits, {top['part']:.0%} of the "
        f"entropy of “{name}” (code {top['code']}); the median code says {atlas['bits'].median():.3f} bits about its "
        "best attribute.",
        f"**One code, one attribute?** A code that says anything does so about {telling['beyond_chance'].median():.0f} "
        f"attributes in the median; {int((telling['beyond_chance'] == 1).sum())} codes about one alone."
        if len(telling) else "**No code says anything** about these attributes beyond chance.",
    ]  # fmt: skip
    both = ["consistency", "random_consistency"]
    measured = atlas.dropna(subset=both) if {*both} <= {*atlas} else atlas[:0]
    if len(measured):
        alike = int((measured["consistency"] > measured["random_consistency"]).sum())
        sentences.append(
            f"**What codes do.** Put into a face in exchange for another code of its group, the median code changes a "
            f"pixel by {measured['change'].median():.1%} of its range, over {measured['spread'].median():.0%} of the "
            f"picture. The change is the same in all faces with a consistency of {measured['consistency'].median():.2f}"
            f" (1: always the same change); a random code of the group in its place has "
            f"{measured['random_consistency'].median():.2f}. For {alike} of {len(measured)} codes it is higher than "
            "the control's. That can hardly fail: the control gives each face another random code, the code itself is "
            "the same for all. It says that the codes of a group differ in what they do; whether a code does the same "
            "in all faces, its own consistency says."
        )
    return sentences
