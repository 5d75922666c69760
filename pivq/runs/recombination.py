"""What recombining two images' codes does to their traits, beyond what decoding does (Section 3.5)."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivq.data import ImageDataset, to_uint8
from pivq.inference import BATCH
from pivq.metrics.traits import LEAST, TraitClassifier, count_traits
from pivq.model import PIVQ, model_digest
from pivq.pretrained.features import FeatureNet, cached_features
from pivq.runs.evaluation import decoded_features
from pivq.runs.run import Run
from pivq.sampling import SampledPairs, exchange_slots, sample_pairs
from pivq.storage.paths import results_dir
from pivq.storage.source import features_digest
from pivq.usage import slot_usage

READERS = 2000  # training images whose reconstructions the classifier of traits is fitted to, at most
READABLE = 0.10  # balanced error on held-out reconstructions up to which a trait is counted; source: assumption
ALGORITHM, BY_SLOT, FADE = "Algorithm 1", "slot by slot", "cross-fade"


class Recombination(NamedTuple):
    """Traits of samples and of their parents.

    Attributes:
        traits: one row per sampler and attribute that is read well enough (`READABLE`): `sampler`; `attribute`;
            `gained`, the share of samples that show the trait, of `neither` pairs whose parents both lack it; `lost`,
            the share that does not, of `both` pairs whose parents both have it; `false_alarms` and `misses`, the same
            errors on reconstructions of held-out images; `gained_low` to `gained_high`, `lost_low` to `lost_high`, 95%
            intervals (Wilson's).
        twice: one row per number of slots with two codes in a sample of Algorithm 1: `samples`, and the shares of
            `gained` and `lost` among the traits that could be; then the same pairs recombined slot by slot.
        unread: attributes that are not counted, because the classifier does not read them well enough.
        samples: the samples of Algorithm 1.
        from_nowhere: rows of these samples by attribute: they show it, and neither parent has it.
    """

    traits: pd.DataFrame
    twice: pd.DataFrame
    unread: list[str]
    samples: SampledPairs
    from_nowhere: dict[str, NDArray]


def countable_attributes(train: ImageDataset, heldout: ImageDataset) -> list[str]:
    """Return the attributes that a classifier can be fitted to: none missing, `LEAST` images with each and without."""
    if train.attributes is None or heldout.attributes is None:
        return []
    known = train.attributes.notna().all() & heldout.attributes.notna().all()
    readers = train.attributes.loc[:, known].iloc[:READERS].astype(int)
    return [name for name in readers if LEAST <= readers[name].sum() <= len(readers) - LEAST]


def measure_recombination(
    run: Run, train: ImageDataset, heldout: ImageDataset, network: FeatureNet, count: int = 4000
) -> Recombination:
    """Recombine held-out images and count traits from nowhere and traits lost.

    The classifier is fitted to reconstructions of training images; parents are held-out images, and the classifier's
    errors on their reconstructions are the first control. The same pairs are also recombined slot by slot
    (`pivq.sampling.exchange_slots`), where no slot has two codes, and cross-faded: the second control, pictures that
    are no faces, and have no trait but their parents'.

    Raises:
        ValueError: the images have no attributes that can be counted (`countable_attributes`).
    """
    names = countable_attributes(train, heldout)
    if not names:
        raise ValueError("traits can be counted only where the images have attributes, and enough of each kind")
    codes = {split: torch.from_numpy(run.codes(split)) for split in ("train", "heldout")}
    readers = slice(min(READERS, len(train)))
    labels_of_readers = train.attributes[names].iloc[readers]
    read = TraitClassifier(decoded_features(run, network, codes["train"][readers]), labels_of_readers)
    labels = heldout.attributes[read.names].to_numpy(dtype=bool)
    shown = read(decoded_features(run, network, codes["heldout"]))
    control = {"false_alarms": _share(shown & ~labels, ~labels), "misses": _share(~shown & labels, labels)}
    clear = (control["false_alarms"] + control["misses"]) / 2 <= READABLE  # not where there is none, NaN
    drawn = sample_pairs(codes["heldout"], count, run.config.seed, multiset=run.quantizer == "nearest")
    generator = torch.Generator().manual_seed(run.config.seed)
    by_slot = exchange_slots(*codes["heldout"][drawn.pairs].unbind(1), generator)
    features = {ALGORITHM: decoded_features(run, network, drawn.codes),
                BY_SLOT: decoded_features(run, network, by_slot),
                FADE: _faded_features(run, network, *codes["heldout"][drawn.pairs].unbind(1))}  # fmt: skip
    frames, counted = [], {}
    for name, rows in features.items():
        counts = count_traits(read(rows), drawn.pairs.numpy(), shown, labels)
        counted[name] = {kind: values[:, clear] for kind, values in counts.items()}
        frame = pd.DataFrame({"sampler": name, "attribute": read.names})
        for share, of in (("gained", "neither"), ("lost", "both")):
            frame[share], frame[of] = _share(counts[share], counts[of]), counts[of].sum(axis=0)
        frames.append(_with_intervals(frame.assign(**control))[clear])
    counts, read_well = counted[ALGORITHM], [name for name, well in zip(read.names, clear, strict=True) if well]
    return Recombination(
        pd.concat(frames, ignore_index=True),
        _by_slots(counted, slots_twice(drawn.codes, codes["train"], run.config.model.codebook_size)),
        [name for name in heldout.attributes if name not in read_well],
        drawn,
        {name: np.flatnonzero(counts["gained"][:, i]) for i, name in enumerate(read_well)},
    )


def total_errors(traits: pd.DataFrame) -> pd.DataFrame:
    """Add the attributes up: one row per sampler, and one for the classifier's errors on reconstructions.

    Args:
        traits: of `Recombination`.

    Returns:
        Columns `sampler`, `gained`, `neither`, `lost`, `both`. The row "reconstructions" has the errors that would be
        counted if samples were read as well as reconstructions: its shares are weighted as those of the samples.

    Example:
        >>> row = {"sampler": "Algorithm 1", "neither": 10, "lost": 0.0, "both": 5, "false_alarms": 0.1, "misses": 0.0}
        >>> total_errors(pd.DataFrame([row | {"gained": 0.5}, row | {"gained": 0.3}]))["gained"].tolist()
        [0.4, 0.1]
    """
    rows = []
    samplers = list(traits.groupby("sampler", sort=False))
    control = [frame.assign(gained=frame["false_alarms"], lost=frame["misses"]) for _, frame in samplers[:1]]
    for name, frame in [*samplers, *(("reconstructions", frame) for frame in control)]:
        row: dict[str, object] = {"sampler": name}
        for share, number in (("gained", "neither"), ("lost", "both")):
            of = int(frame[number].sum())
            row |= {share: float((frame[share].fillna(0) * frame[number]).sum() / of) if of else None, number: of}
        rows.append(row)
    return pd.DataFrame(rows, columns=["sampler", "gained", "neither", "lost", "both"])


def explained_by_slots(totals: pd.DataFrame, error: str = "gained") -> float | None:
    """Return which share of Algorithm 1's errors, beyond those on reconstructions, goes away slot by slot.

    Args:
        totals: of `total_errors`.
        error: "gained" or "lost".

    Returns:
        1 if all are gone, 0 if none, below 0 if there are more; None where Algorithm 1 makes no more than decoding.
    """
    shares = totals.set_index("sampler")[error].astype(float)
    excess = shares[ALGORITHM] - shares["reconstructions"]
    return float((shares[ALGORITHM] - shares[BY_SLOT]) / excess) if excess > 0 else None


def beyond_controls(traits: pd.DataFrame, error: str = "gained") -> list[str]:
    """Return the attributes that Algorithm 1 gets wrong more often than both controls, 95% intervals apart.

    Args:
        traits: of `Recombination`.
        error: "gained" or "lost".
    """
    of = {name: frame.set_index("attribute") for name, frame in traits.groupby("sampler")}
    if not of:
        return []
    lowest, control = of[ALGORITHM][f"{error}_low"], "false_alarms" if error == "gained" else "misses"
    above = (lowest > of[FADE][f"{error}_high"]) & (lowest > of[ALGORITHM][control])
    return list(above.index[above])


def as_records(frame: pd.DataFrame) -> list[dict]:
    """Return the rows of a frame for JSON: None where there is no number."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def slots_twice(samples: Tensor, codes: Tensor, codebook_size: int) -> NDArray[np.int64]:
    """Return how many codes of each sample `(M, L)` share their slot with another one, int64 `(M,)`.

    A code's slot is the learned token that takes it most often in the encoded images `codes` `(N, L)`. As samples have
    L codes, as many slots as this have no code at all.
    """
    owner = slot_usage(codes, codebook_size).counts.argmax(axis=0)
    owners = np.sort(owner[samples.numpy()], axis=1)
    return (np.diff(owners, axis=1) == 0).sum(axis=1)


def _by_slots(counted: dict[str, dict[str, NDArray]], twice: NDArray[np.int64]) -> pd.DataFrame:
    """Share the errors out among samples by their number of slots with two codes; or by quarters of the samples."""
    group = np.unique(twice, return_inverse=True)[1]
    if group.max() >= 4:
        edges = np.unique(np.quantile(twice, [0.25, 0.5, 0.75]))
        group = np.searchsorted(edges, twice, side="left")
    rows = []
    for value in np.unique(group):
        low, high = twice[group == value].min(), twice[group == value].max()
        row = {"slots with two codes": f"{low}–{high}" if low < high else f"{low}",
               "samples": int((group == value).sum())}  # fmt: skip
        for sampler, of in ((ALGORITHM, ""), (BY_SLOT, f" {BY_SLOT}")):
            sums = {name: count[group == value].sum() for name, count in counted[sampler].items()}
            row |= {f"gained{of}": sums["gained"] / max(1, sums["neither"]),
                    f"lost{of}": sums["lost"] / max(1, sums["both"])}  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)


def _faded_features(run: Run, network: FeatureNet, codes_a: Tensor, codes_b: Tensor) -> NDArray:
    """Return the features of cross-fades half way between reconstructions, of codes `(M, L)` each; cached."""
    model = run.model(network.device)
    digest = hashlib.sha256(torch.stack([codes_a, codes_b]).numpy()).hexdigest()
    identity = f"cross-fades {model_digest(model)} {features_digest(decoded=True)} {digest}"
    folder = results_dir(run.config.profile) / "features"
    return cached_features(network, _faded(model, codes_a, codes_b), folder, BATCH, identity=identity)


def _faded(model: PIVQ, codes_a: Tensor, codes_b: Tensor) -> Iterator[Tensor]:
    for a, b in zip(codes_a.split(BATCH), codes_b.split(BATCH), strict=True):
        yield to_uint8(((model.decode(a) + model.decode(b)) / 2).cpu())


def _with_intervals(frame: pd.DataFrame, z: float = 1.96) -> pd.DataFrame:
    """Add Wilson's intervals of the shares."""
    for share, of in (("gained", "neither"), ("lost", "both")):
        p, n = frame[share], frame[of].where(frame[of] > 0)
        middle, scale = p + z**2 / (2 * n), 1 + z**2 / n
        half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        frame[f"{share}_low"], frame[f"{share}_high"] = (middle - half) / scale, (middle + half) / scale
    return frame


def _share(counted: NDArray, of: NDArray) -> NDArray:
    return np.divide(counted.sum(axis=0), of.sum(axis=0), out=np.full(of.shape[1], np.nan), where=of.sum(axis=0) > 0)
