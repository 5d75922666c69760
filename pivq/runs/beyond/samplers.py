"""Samplers in addition to Algorithm 1, from the same sets of codes: what they gain, and what they pay in novelty. Ours.

Algorithm 1 draws two images at random and mixes their codes one by one. Two things are changed, alone and together:
the second parent is drawn from the P images that have most codes in common with the first, and codes that are
alternatives to each other come from one parent (`pivq.sampling.interpolate`, `pivq.usage.exchange_groups`). Each sample
is still a set of L codes and one pass of the decoder. Parents that are alike make samples that are like them, so each
number is shown with the number of codes that are new.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pivq.data import ImageDataset
from pivq.metrics.neighbours import EmptyBallsWarning
from pivq.metrics.traits import TraitClassifier, count_traits
from pivq.pretrained.features import FeatureNet
from pivq.runs.evaluation import compare, decoded_features
from pivq.runs.recombination import READABLE, READERS, countable_attributes
from pivq.runs.run import Run
from pivq.sampling import SampledPairs, sample_pairs
from pivq.usage import best_overlap, exchange_groups, near_images

BY_CODE, BY_GROUP = "code by code", "group by group"
RECONSTRUCTIONS = "reconstructions of held-out images"
NEIGHBOURS = 3  # k of precision, recall, density and coverage; source: paper
PARTNERS = (0, 500, 20)  # P; 0 is any other image; source: assumption


class Sampler(NamedTuple):
    """How the second parent is chosen, and what is exchanged."""

    partners: int  # P, images that the second parent is drawn from; 0: all
    by_group: bool

    @property
    def name(self) -> str:
        """Return what it is called in tables."""
        near = f", {self.partners:,} near" if self.partners else ""
        return "Algorithm 1" if self == ALGORITHM_1 else (BY_GROUP if self.by_group else BY_CODE) + near


    def among(self, num_images: int) -> "Sampler":
        """Return the sampler; with fewer partners where there are not as many images, as in a trial."""
        return self if self.partners < num_images - 1 else self._replace(partners=num_images // 2)


ALGORITHM_1 = Sampler(0, by_group=False)
NEAR = Sampler(20, by_group=True)  # the best of notebook 11


def samplers(num_images: int) -> list[Sampler]:
    """Return the samplers that are compared; of those with near parents, the ones that N images have enough for."""
    return [Sampler(near, group) for near in PARTNERS if near < num_images - 1 for group in (False, True)]


def draw(codes: torch.Tensor, codebook_size: int, sampler: Sampler, count: int, seed: int) -> SampledPairs:
    """Draw `count` samples from encoded images `(N, L)`; `Sampler(0, by_group=False)` is Algorithm 1."""
    groups = torch.from_numpy(exchange_groups(codes, codebook_size)) if sampler.by_group else None
    near = torch.from_numpy(near_images(codes, codebook_size, sampler.partners)) if sampler.partners else None
    return sample_pairs(codes, count, seed, groups=groups, partners=near)


def group_sizes(codes: NDArray, groups: NDArray) -> dict[str, float]:
    """Return which shares of the pairs of image and group have no code, one code, or more.

    Args:
        codes: `(N, L)`.
        groups: `(K,)`, of `pivq.usage.exchange_groups`.

    Example:
        >>> group_sizes(np.array([[0, 2], [0, 1]]), np.array([0, 0, 1]))
        {'no code': 0.25, 'one code': 0.5, 'more': 0.25}
    """
    number = groups.max() + 1
    places = groups[codes] + number * np.arange(len(codes))[:, None]
    counts = np.bincount(places.ravel(), minlength=number * len(codes))
    return {"no code": float((counts == 0).mean()), "one code": float((counts == 1).mean()),
            "more": float((counts > 1).mean())}  # fmt: skip


def measure_samplers(
    run: Run, network: FeatureNet, train: ImageDataset, heldout: ImageDataset, seeds: Sequence[int] = (0, 1, 2)
) -> pd.DataFrame:
    """Return a row per sampler and seed of the drawing, and one of held-out images, as `RECONSTRUCTIONS`: the control.

    Columns: `sampler`, `partners`, `exchange`, `seed`; `distance` (Fréchet), `precision`, `recall`, `density`,
    `coverage` against reconstructions of training images, as many as samples, k = `NEIGHBOURS`; `new`, the codes of a
    sample that the most similar training image lacks, on average, and `copies`, the share of samples without any;
    `gained` and `lost`, the shares of traits from nowhere and of traits lost (`pivq.metrics.traits.count_traits`),
    which are missing where the images have no attributes that can be counted.

    Args:
        run: of a matching model, whose images are sets.
        network: describes an image.
        train, heldout: the run's images; samples have parents in `train`, the classifier of traits is fitted to
            reconstructions of `heldout`.
        seeds: of the drawing; the model is one.
    """
    codebook_size, count = run.config.model.codebook_size, run.config.evaluation.samples
    codes = {split: torch.from_numpy(run.codes(split)) for split in ("train", "heldout")}
    again = {split: decoded_features(run, network, codes[split]) for split in codes}
    reference, count_errors = again["train"][:count], _trait_errors(again, train, heldout)
    row = {"sampler": RECONSTRUCTIONS} | five_metrics(reference, again["heldout"][:count], network)
    rows = [row | novelty(codes["heldout"], codes["train"], codebook_size)]
    for sampler in samplers(len(codes["train"])):
        for seed in seeds:
            drawn = draw(codes["train"], codebook_size, sampler, count, seed)
            features = decoded_features(run, network, drawn.codes)
            row = {"sampler": sampler.name, "partners": sampler.partners, "seed": seed}
            row |= {"exchange": BY_GROUP if sampler.by_group else BY_CODE} | five_metrics(reference, features, network)
            row |= novelty(drawn.codes, codes["train"], codebook_size)
            rows.append(row | count_errors(features, drawn.pairs.numpy()))
    return pd.DataFrame(rows)


@contextmanager
def empty_balls_in_words() -> Iterator[list[str]]:
    """Say once, in a sentence, what `EmptyBallsWarning` says at each measurement within; other warnings stay.

    Yields:
        A list, empty at first; at the end it has the sentence, if there were such warnings.

    Example:
        >>> with empty_balls_in_words() as sentences:
        ...     warnings.warn("1 of 9 balls are empty", EmptyBallsWarning)
        >>> len(sentences), sentences[0][:22]
        (1, 'Some images equal k or')
    """
    sentences: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EmptyBallsWarning)
        yield sentences
    for one in caught:
        if not issubclass(one.category, EmptyBallsWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        elif not sentences:
            sentences.append(
                "Some images equal k or more others, as samples with the same codes do: nothing counts as inside their "
                "balls, which lowers precision, recall, density and coverage."
            )


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of `measure_samplers` with a row per sampler: means over the seeds, `deviation` of `distance`.

    Example:
        >>> rows = [{"sampler": "a", "distance": 1.0, "new": 4}, {"sampler": "a", "distance": 3.0, "new": 2}]
        >>> over_seeds(pd.DataFrame(rows)).to_dict("records")
        [{'sampler': 'a', 'distance': 2.0, 'new': 3.0, 'deviation': 1.4142135623730951}]
    """
    groups = frame.drop(columns=["seed", "exchange"], errors="ignore").groupby("sampler", sort=False)
    return groups.mean().assign(deviation=groups["distance"].std()).reset_index()


def said(means: pd.DataFrame) -> list[str]:
    """Return in words what the rows of `over_seeds` bear: what each change gains, and how new the samples are."""
    rows = means.set_index("sampler")
    control, usual = rows.loc[RECONSTRUCTIONS], rows.loc[ALGORITHM_1.name]
    best = rows.drop(index=RECONSTRUCTIONS)["distance"].idxmin()
    grouped = rows.loc[Sampler(0, by_group=True).name]
    found = rows.loc[best]
    sentences = [
        f"**{ALGORITHM_1.name}** lies {usual['distance']:,.0f} from the model's own reconstructions, where held-out "
        f"images lie {control['distance']:,.0f} (Fréchet distance). Exchanging group by group, between the same "
        f"parents, it is {grouped['distance']:,.0f}.",
        f"**{best[0].upper()}{best[1:]}** comes nearest: {found['distance']:,.0f}, precision {found['precision']:.2f} "
        f"and recall {found['recall']:.2f}, against {usual['precision']:.2f} and {usual['recall']:.2f}.",
        f"**How new.** A held-out image has {control['new']:.1f} codes that the most similar training image lacks, and "
        f"{control['copies']:.0%} have none. Of these samples it is {found['new']:.1f} and {found['copies']:.0%}; of "
        f"{ALGORITHM_1.name}'s {usual['new']:.1f} and {usual['copies']:.0%}.",
    ]
    if "gained" in rows and not pd.isna(found["gained"]):
        sentences.append(
            f"**Traits.** {found['gained']:.1%} of the traits that neither parent has come from nowhere, and "
            f"{found['lost']:.1%} of those that both have are lost; with {ALGORITHM_1.name} {usual['gained']:.1%} and "
            f"{usual['lost']:.1%}."
        )
    return sentences


def novelty(codes: torch.Tensor, train: torch.Tensor, codebook_size: int) -> dict[str, float]:
    """Return `new` and `copies` of samples `(M, L)` beside training images `(N, L)`: see `measure_samplers`."""
    new = codes.shape[1] - best_overlap(codes, train, codebook_size)
    return {"new": float(new.mean()), "copies": float((new == 0).mean())}


def five_metrics(reference: NDArray, features: NDArray, network: FeatureNet) -> dict[str, float]:
    """Return the metrics of features `(M, F)` against `(N, F)`, as `measure_samplers` has them."""
    (row,) = compare(reference, {"": features}, [NEIGHBOURS], network.device).values()
    return {name.partition(" ")[0]: value for name, value in row.items()}


def _trait_errors(
    again: Mapping[str, NDArray], train: ImageDataset, heldout: ImageDataset
) -> Callable[[NDArray, NDArray], dict[str, float]]:
    """Return what counts traits gained and lost, from features of samples `(M, F)` and parents `(M, 2)`."""
    names = countable_attributes(heldout, train)
    if not names:
        return lambda features, parents: {}
    read = TraitClassifier(again["heldout"][:READERS], heldout.attributes[names].iloc[:READERS])
    shown, labels = read(again["train"]), train.attributes[read.names].to_numpy(dtype=bool)
    shares = [((shown != labels) & of).sum(axis=0) / of.sum(axis=0) for of in (~labels, labels)]
    clear = sum(shares) / 2 <= READABLE  # balanced error, as in notebook 05

    def count(features: NDArray, parents: NDArray) -> dict[str, float]:
        counts = count_traits(read(features), parents, shown, labels)
        sums = {name: int(values[:, clear].sum()) for name, values in counts.items()}
        return {"gained": sums["gained"] / max(1, sums["neither"]), "lost": sums["lost"] / max(1, sums["both"])}

    return count
