"""Priors over the sets of a trained model: trained once and kept, then bits, samples, in-filling, anomalies. Ours.

What a prior is, is in `pivq.rivals.set_prior`; here it meets a run. Samples are measured as in `samplers`.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pivq.capacity import matching_bits
from pivq.data.faces import draw_split
from pivq.pretrained.features import FeatureNet
from pivq.rivals.any_order import Predictor, at_temperature, draw_sets, leave_one_out_bits, set_bits, tightened
from pivq.rivals.set_prior import PriorSettings, SetPrior, TrainedPrior, frequencies, train_set_prior
from pivq.runs.beyond.face_bits import face_bits
from pivq.runs.beyond.samplers import ALGORITHM_1, NEAR, RECONSTRUCTIONS, draw, five_metrics, novelty
from pivq.runs.evaluation import decoded_features
from pivq.runs.run import Run, arrays_digest
from pivq.storage.paths import results_dir
from pivq.storage.source import prior_digest
from pivq.storage.writing import kept_arrays
from pivq.usage import code_usage, exchange_groups

PRIOR, PAIRS, FREQUENCIES = "prior", "pairs alone", "frequencies"
RECIPE = "the recipe of the faces"  # by which they are drawn
FEW_PASSES = 4  # of the prior, for the cheap samples; source: assumption
TEMPERATURES = (0.9, 1.5, 2.0)  # the first chosen by one seed of drawing, the others for novelty; source: assumption
IMAGES, ORDERS = 500, 8  # whose bits are measured, and random orders of each; source: assumption
ALTERNATIVE, ANY_CODE = "an alternative", "any code"  # what an exchanged code is exchanged for

Draw = Callable[[int, int], Tensor]  # from how many and a seed to sets `(M, L)`


def trained_prior(run: Run, seed: int = 0, settings: PriorSettings | None = None, force: bool = False) -> TrainedPrior:
    """Return the prior over a run's training sets; it is trained the first time, and kept with the profile's results.

    The file's name has a digest of the codes, the model, the settings, the seed and the code that trains it, and the
    file itself has them with a checksum of the weights: a prior of another model is never used. A damaged one is
    trained again, with a warning.

    Args:
        run: of a matching model.
        seed: of the training.
        settings: the default ones if None.
        force: train again.
    """
    settings, codes, size = settings or PriorSettings(), run.codes("train"), run.config.model.codebook_size
    key = _key(run, seed, settings)
    path = prior_file(run, key)
    if force:
        path.unlink(missing_ok=True)

    def train() -> dict[str, NDArray]:
        started = time.perf_counter()
        trained = train_set_prior(torch.from_numpy(codes), size, seed, settings)
        facts = {"fact seconds": np.array(time.perf_counter() - started)}
        weights = {f"weight {name}": value.numpy() for name, value in trained.prior.state_dict().items()}
        return facts | weights | {f"log {name}": value.to_numpy() for name, value in pd.DataFrame(trained.log).items()}

    arrays = kept_arrays(path, {"key": key}, train, "the weights of the prior", digest=arrays_digest)
    parts = {"weight": {}, "log": {}, "fact": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition(" ")
        parts[part][rest] = array
    prior = SetPrior(size, settings)
    prior.load_state_dict({name: torch.from_numpy(array) for name, array in parts["weight"].items()})
    seconds = float(parts["fact"]["seconds"]) if parts["fact"] else None  # earlier versions did not keep them
    return TrainedPrior(prior.eval().requires_grad_(False), pd.DataFrame(parts["log"]).to_dict("records"), seconds)


def has_prior(run: Run, seed: int = 0, settings: PriorSettings | None = None) -> bool:
    """Tell whether `trained_prior` finds a file, whole or not."""
    return prior_file(run, _key(run, seed, settings or PriorSettings())).exists()


def _key(run: Run, seed: int, settings: PriorSettings) -> str:
    """Return what a prior is made from, in one text."""
    codes = hashlib.sha256(np.ascontiguousarray(run.codes("train"))).hexdigest()
    known = {"codes": codes, "model": run.summary.get("model"), "codebook_size": run.config.model.codebook_size}
    return json.dumps(known | {"seed": seed, "code": prior_digest()} | asdict(settings))


def prior_file(run: Run, key: str) -> Path:
    """Return where the prior of a key is kept."""
    name = f"prior-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    return results_dir(run.config.profile) / "priors" / name


def measure_bits(
    run: Run, predictors: Mapping[str, Predictor], images: int = IMAGES, orders: int = ORDERS
) -> pd.DataFrame:
    """Return the bits per set: a row for Eq. (4), then one per predictor and split; frequencies come first.

    Columns: `predictor`; `split`; `bits`, the one-order bound, the mean over images and orders; `error`, the standard
    error over images; `tightened`, the bound of all `orders` together; `images`. Training images that the prior was
    trained on are compared with held-out ones: the difference is what it knows by heart. Of drawn faces, the last rows
    are of the recipe that draws them, exactly: no code that is computed from a face has more bits on average.
    """
    size = run.config.model.codebook_size
    codes = {split: torch.from_numpy(run.codes(split)) for split in ("train", "heldout")}
    used = code_usage(codes["train"], size).codes_in_use
    capacity = matching_bits(used, codes["train"].shape[1])
    rows = [{"predictor": "Eq. (4)", "split": "any", "bits": capacity, "tightened": capacity}]
    for name, predict in ({FREQUENCIES: frequencies(codes["train"], size)} | dict(predictors)).items():
        for split, sets in codes.items():
            bits = set_bits(predict, sets[:images], size, orders)
            each = bits.mean(dim=1)
            rows.append({"predictor": name, "split": split, "bits": float(each.mean()),
                         "error": float(each.std() / len(each) ** 0.5), "tightened": float(tightened(bits).mean()),
                         "images": len(each)})  # fmt: skip
    for split in codes if run.config.dataset == "avatars" else ():
        drawn = np.array([face_bits(face) for face in draw_split(split, min(images, len(codes[split])))])
        rows.append({"predictor": RECIPE, "split": split, "bits": drawn.mean(), "tightened": drawn.mean(),
                     "error": drawn.std(ddof=1) / len(drawn) ** 0.5, "images": len(drawn)})  # fmt: skip
    return pd.DataFrame(rows)


def drawers(run: Run, priors: Sequence[Predictor], others: Mapping[str, Predictor] | None = None) -> dict[str, Draw]:
    """Return what draws sets: Algorithm 1, group by group between near parents, the priors with many and few passes.

    With many passes, the priors also draw at each of `TEMPERATURES`. Of several priors, seed i of the drawing uses
    prior i, from the first again where there are more seeds. Each of `others` draws with many passes.
    """
    codes, size = torch.from_numpy(run.codes("train")), run.config.model.codebook_size
    length = codes.shape[1]
    ways = [way for way in (ALGORITHM_1, NEAR) if way.partners < len(codes) - 1]
    found = {way.name: lambda count, seed, way=way: draw(codes, size, way, count, seed).codes for way in ways}
    for passes in (length, FEW_PASSES):
        found[f"{PRIOR}, {passes} passes"] = lambda count, seed, passes=passes: draw_sets(
            priors[seed % len(priors)], count, length, size, seed, passes
        )
    for degree in TEMPERATURES:
        found[at(degree)] = lambda count, seed, degree=degree: draw_sets(
            at_temperature(priors[seed % len(priors)], degree), count, length, size, seed
        )
    for name, predict in (others or {}).items():
        found[f"{name}, {length} passes"] = lambda count, seed, predict=predict: draw_sets(
            predict, count, length, size, seed
        )
    return found


def at(temperature: float) -> str:
    """Return what samples of the prior at a temperature are called in tables."""
    return f"{PRIOR}, temperature {temperature:g}"


def measure_draws(
    run: Run, network: FeatureNet, draws: Mapping[str, Draw], seeds: Sequence[int] = (0, 1, 2)
) -> pd.DataFrame:
    """Return a row per way of drawing and seed, and one of held-out images, the control.

    Columns are those of `pivq.runs.beyond.samplers.measure_samplers` without the traits, which need parents.
    """
    size, count = run.config.model.codebook_size, run.config.evaluation.samples
    train, heldout = (torch.from_numpy(run.codes(split)) for split in ("train", "heldout"))
    reference = decoded_features(run, network, train[:count])
    rows = []
    sets = {(RECONSTRUCTIONS, None): heldout[:count]}
    sets |= {(name, seed): way(count, seed) for name, way in draws.items() for seed in seeds}
    for (name, seed), codes in sets.items():
        row = {"sampler": name, "seed": seed} | five_metrics(reference, decoded_features(run, network, codes), network)
        rows.append(row | novelty(codes, train, size))
    return pd.DataFrame(rows)


def halves(codes: Tensor, seed: int) -> Tensor:
    """Return a random half of each set `(N, L)`, rounded down, `(N, L // 2)`."""
    order = torch.rand(codes.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    return codes.gather(1, order[:, : codes.shape[1] // 2])


def measure_filling(run: Run, predictors: Mapping[str, Predictor], images: int = IMAGES, seed: int = 0) -> pd.DataFrame:
    """Return per predictor how many of the hidden codes of held-out sets come back when half of the codes is given.

    Columns: `predictor`; `recovered`, the share of the hidden codes; `error`, the standard error over images.
    """
    size = run.config.model.codebook_size
    codes = torch.from_numpy(run.codes("heldout"))[:images]
    given, length = halves(codes, seed), codes.shape[1]
    known = {FREQUENCIES: frequencies(torch.from_numpy(run.codes("train")), size)}
    rows = []
    for name, predict in (known | dict(predictors)).items():
        filled = draw_sets(predict, len(codes), length, size, seed, given=given)
        common = (filled[:, :, None] == codes[:, None]).any(dim=2).sum(dim=1) - given.shape[1]
        share = common.double() / (length - given.shape[1])
        rows.append({"predictor": name, "recovered": float(share.mean()),
                     "error": float(share.std() / len(share) ** 0.5)})  # fmt: skip
    return pd.DataFrame(rows)


def exchange_one(codes: NDArray, pool: NDArray, groups: NDArray, seed: int) -> tuple[NDArray, NDArray]:
    """Exchange one random code of each set for one that it does not have, of the same group, drawn from other images.

    Args:
        codes: `(N, L)`.
        pool: `(M, L)`, sets that the new codes come from, as often as they have them.
        groups: `(K,)`, of `pivq.usage.exchange_groups`; zeros are one group, of all codes.
        seed: of the drawing.

    Returns:
        The sets `(N, L)` with the new codes, and where these stand `(N,)`.

    Raises:
        ValueError: a set has no code that another one of its group could replace.
    """
    generator, flat, codes = np.random.default_rng(seed), pool.ravel(), codes.copy()
    pools = {group: flat[groups[flat] == group] for group in np.unique(groups)}
    places = np.empty(len(codes), dtype=np.int64)
    for row, image in enumerate(codes):
        for place in generator.permutation(len(image)):
            others = pools[groups[image[place]]]
            others = others[~np.isin(others, image)]
            if len(others):
                break
        else:
            raise ValueError(f"image {row} has no code that another one of its group could replace")
        codes[row, place], places[row] = generator.choice(others), place
    return codes, places


def measure_anomalies(
    run: Run, predictors: Mapping[str, Predictor], images: int = IMAGES, seed: int = 0
) -> pd.DataFrame:
    """Return per predictor how well a held-out set with one exchanged code is told from one without.

    The score of a set is its most surprising code given the others (`leave_one_out_bits`). Columns: `exchanged`, for
    `ALTERNATIVE` of the same exchange group or `ANY_CODE`; `predictor`; `auroc` of whole sets, half of them exchanged;
    `found`, the share of exchanged sets whose most surprising code is the exchanged one.
    """
    size, train = run.config.model.codebook_size, run.codes("train")
    codes, groups = run.codes("heldout")[:images], exchange_groups(train, size)
    known = {FREQUENCIES: frequencies(torch.from_numpy(train), size)} | dict(predictors)
    rows = []
    for exchanged, of in {ALTERNATIVE: groups, ANY_CODE: np.zeros_like(groups)}.items():
        changed, places = exchange_one(codes, train, of, seed)
        for name, predict in known.items():
            clean, other = (leave_one_out_bits(predict, torch.from_numpy(sets), size) for sets in (codes, changed))
            scores = torch.cat([clean, other]).max(dim=1).values.numpy()
            truth = np.repeat([0, 1], len(codes))
            found = float((other.argmax(dim=1).numpy() == places).mean())
            rows.append({"exchanged": exchanged, "predictor": name, "auroc": float(roc_auc_score(truth, scores)),
                         "found": found})  # fmt: skip
    return pd.DataFrame(rows)


def in_words(bits: pd.DataFrame, means: pd.DataFrame, filling: pd.DataFrame, anomalies: pd.DataFrame) -> list[str]:
    """Return what the frames bear, in sentences; `means` are of `samplers.over_seeds` of `measure_draws`."""
    bound = bits.set_index(["predictor", "split"])["tightened"]
    rows = means.set_index("sampler")
    exact, usual = next(name for name in rows.index if name.startswith(PRIOR)), rows.loc[ALGORITHM_1.name]
    made, control = rows.loc[exact], rows.loc[RECONSTRUCTIONS]
    share, odd = filling.set_index("predictor")["recovered"], anomalies.set_index(["exchanged", "predictor"])["auroc"]
    sentences = [
        f"**Bits.** The prior describes a held-out image with at most {bound[PRIOR, 'heldout']:.1f} of "
        f"{bound['Eq. (4)', 'any']:.1f} bits, {FREQUENCIES} {bound[FREQUENCIES, 'heldout']:.1f}; with the prior, "
        f"training images take {bound[PRIOR, 'train']:.1f}. The weights of pairs alone need "
        f"{bound[PAIRS, 'heldout']:.1f}.",
        f"**Samples.** The distance of its samples to reconstructions is {made['distance']:,.0f}, of "
        f"{ALGORITHM_1.name}'s {usual['distance']:,.0f}, of held-out images {control['distance']:,.0f}. Its recall, "
        f"{made['recall']:.2f}, is {'at least' if made['recall'] >= usual['recall'] else 'below'} that of "
        f"{ALGORITHM_1.name}, {usual['recall']:.2f}. A sample has {made['new']:.1f} new codes, a held-out image "
        f"{control['new']:.1f}; {made['copies']:.0%} and {control['copies']:.0%} have none.",
        f"**In-filling.** Of the hidden half, {share[PRIOR]:.0%} of the codes come back; by pairs alone "
        f"{share[PAIRS]:.0%}, by {FREQUENCIES} {share[FREQUENCIES]:.0%}.",
        f"**Anomalies.** A set with one code exchanged for {ALTERNATIVE} is told from one without with an AUROC of "
        f"{odd[ALTERNATIVE, PRIOR]:.2f}; by pairs alone {odd[ALTERNATIVE, PAIRS]:.2f}, by {FREQUENCIES} "
        f"{odd[ALTERNATIVE, FREQUENCIES]:.2f}.",
    ]
    if (RECIPE, "heldout") in bound:
        sentences[0] += (
            f" The choices by which these images are drawn have {bound[RECIPE, 'heldout']:.1f} bits, so a set cannot "
            "need more: what the prior finds is how few choices there are."
        )
    if (pairs := next((name for name in rows.index if name.startswith(PAIRS)), None)) is not None:
        sentences[1] += f" Samples of pairs alone lie {rows.loc[pairs, 'distance']:,.0f} from reconstructions."
    if NEAR.name in rows.index:
        near = rows.loc[NEAR.name, "distance"]
        below = "below" if made["distance"] < near else "not below"
        sentences[1] += f" The distance is {below} that of {NEAR.name}, {near:,.0f}."
    for degree in TEMPERATURES:
        if (name := at(degree)) in rows.index:
            drawn = rows.loc[name]
            sentences[1] += (
                f" At a temperature of {degree:g} it is {drawn['distance']:,.0f}, with a recall of "
                f"{drawn['recall']:.2f} and {drawn['new']:.1f} new codes."
            )
    return sentences
