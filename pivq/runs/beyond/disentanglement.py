"""Disentanglement, completeness and informativeness, and the gap of mutual information, computed on sets. Ours.

The scores of the literature are of representations whose units are numbered: dimension 3 is always dimension 3. A set
has no such units, so two stand in. A *code* is a unit of two values, there or not: K units. A *group* of alternatives
(the codes of a learned token, or an exchange group; `pivq.runs.beyond.atlas.alternatives`) is a unit whose value is the
code that the image has of it: L units, as a VAE has dimensions and a VQ-VAE has cells. Groups are compared with those.

* **DCI** (Eastwood and Williams, ICLR 2018). For each attribute, a predictor reads it from all units; how much it uses
  a unit is that unit's importance. Disentanglement: does a unit serve one attribute? Completeness: does an attribute
  need one unit? Informativeness: how well is it read?
* **MIG** (Chen et al., NeurIPS 2018). The bits that the best unit says about an attribute, less those of the second
  best, over the attribute's entropy.

The predictor is L1 logistic regression, on columns of unit variance, with the strength that validation images choose:
Eastwood and Williams use a lasso, too; boosted trees, which others use, are slow on the tens of thousands of sparse
columns of a VQ-VAE. The importance of a column is its absolute weight, that of a unit the sum over its columns. The
weakest choice is the empty predictor, so that where nothing can be read, nothing has importance, and completeness is 0.
A predictor that uses few units makes disentanglement high, even if it reads nothing; so both scores are also computed
with mutual information in the place of importance.
"""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import l1_min_c
from torch import Tensor

from pivq.rivals.rival import Rival
from pivq.rivals.vqvae import VQVAE
from pivq.runs.beyond.information import entropy_bits, unit_information
from pivq.runs.beyond.rival_training import encode_levels
from pivq.settings import refusal
from pivq.usage import presence

FITTED, VALIDATED = 3000, 1000  # training images for the predictors and for their strength; source: assumption
SCORED = FITTED + VALIDATED
STRENGTHS = (2.0, 6.0, 20.0, 60.0, 200.0, 600.0)  # times the largest C of the empty predictor; source: assumption
BINS = 20  # of numbers, for MIG; source: Locatello et al., ICML 2019
LEAST = 10  # images of either class among those fitted to; source: assumption
CODE, TOKEN, GROUP = "code", "token", "exchange group"  # kinds of units of a set
SCORES = ("disentanglement", "completeness", "informativeness", "mig", "disentanglement_bits", "completeness_bits")
EXACT, SHUFFLED = "exact", "shuffled"  # labels
# scikit-learn 1.8 renamed the choice of the penalty.
L1 = {"penalty": "l1"} if signature(LogisticRegression).parameters["penalty"].default == "l2" else {"l1_ratio": 1.0}

Features = NDArray | csr_matrix


class Representation(NamedTuple):
    """What is scored: features of both splits, and the kinds of units that their columns belong to.

    Attributes:
        name: of the model.
        train, heldout: `(N, F)` and `(M, F)`, an array of numbers, or a sparse matrix of counts of codes.
        units: by what a unit is called, the unit of each column, `(F,)` from 0.
    """

    name: str
    train: Features
    heldout: Features
    units: Mapping[str, NDArray]


def of_sets(
    name: str, train: NDArray, heldout: NDArray, codebook_size: int, groups: NDArray, kind: str = TOKEN
) -> Representation:
    """Return sets of codes `(N, L)` and `(M, L)` as what is scored, in groups `(K,)` of a kind, `TOKEN` or `GROUP`."""
    inputs = (presence(codes, codebook_size) for codes in (train[:SCORED], heldout))
    return Representation(name, *inputs, {CODE: np.arange(codebook_size), kind: groups})


def of_rival(name: str, rival: Rival, train: Tensor, heldout: Tensor, device: str | torch.device) -> Representation:
    """Return what a rival stores of images `(N, 3, H, W)` uint8 as what is scored.

    Its units are the dimensions of a VAE, the cells of a VQ-VAE with K columns each, and else the codes.
    """
    stored = [encode_levels(rival, images, device) for images in (train[:SCORED], heldout)]
    features = [rival.features(rows) for rows in stored]
    columns = np.arange(features[0].shape[1])
    if isinstance(rival, VQVAE):
        units = {"cell": columns // rival.config.codebook_size}
    else:
        units = {"dimension" if stored[0].is_floating_point() else CODE: columns}
    return Representation(name, *features, units)


def dci(importance: ArrayLike) -> tuple[float, float]:
    """Return disentanglement and completeness of importances `(U, A)`, each in [0, 1].

    With shares of a unit over attributes, P(u, a) = R(u, a) / sum over a, the disentanglement of a unit is 1 - H(P(u))
    with logarithms to base A, and that of all the mean, weighted by the units' importance. Completeness is the same by
    columns, to base U, with all attributes weighted alike; an attribute without any importance has 0. First each
    attribute's importances are divided by their sum, as those of trees are.

    Raises:
        ValueError: importances that are not `(U, A)` finite numbers from 0 on.

    Example:
        >>> dci(np.eye(3)), dci(np.ones((3, 3)))
        ((1.0, 1.0), (0.0, 0.0))
    """
    importance = np.asarray(importance, dtype=np.float64)
    if importance.ndim != 2 or not importance.size or not (np.isfinite(importance) & (importance >= 0)).all():
        raise refusal("importance", "finite numbers from 0 on, (U, A)", importance)
    sums = importance.sum(axis=0)
    shares = np.divide(importance, sums, out=np.zeros_like(importance), where=sums > 0)
    weights = shares.sum(axis=1)
    by_unit = _concentration(shares) @ weights / weights.sum() if weights.any() else 0.0
    return float(by_unit), float(_concentration(shares.T).mean())


def _concentration(rows: NDArray) -> NDArray:
    """Return 1 - entropy of each row's shares, to the base of their number: 1 for one alone, 0 for equal ones."""
    sums, number = rows.sum(axis=1, keepdims=True), rows.shape[1]
    shares = np.divide(rows, sums, out=np.zeros_like(rows), where=sums > 0)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)
    concentrated = (1 - entropy / np.log(max(number, 2))).round(12)  # no 2e-16 of equal shares
    return np.where(sums[:, 0] > 0, concentrated, 0.0)


def categories_of(features: Features, units: NDArray) -> NDArray[np.int64]:
    """Return a whole number per image and unit, `(N, U)`, that is equal where the unit's value is.

    Numbers are sorted into `BINS` bins of equal width from the least to the greatest; each is a unit of its own. Of
    sparse counts, a unit's value is which of its columns an image has, and how often.

    Raises:
        ValueError: several columns of numbers in a unit.

    Example:
        >>> categories_of(np.array([[0.0], [0.01], [1.0]]), np.array([0])).ravel().tolist()
        [0, 0, 19]
    """
    if issparse(features):
        # Columns get random numbers, so that different subsets have different sums; these stay exact in float64.
        numbers = np.random.default_rng(0).integers(1, 1 << 40, features.shape[1]).astype(np.float64)
        places = (numbers, (np.arange(len(units)), units))
        return np.asarray((features @ csr_matrix(places)).todense()).astype(np.int64)
    if len(np.unique(units)) != features.shape[1]:
        raise ValueError("units of numbers must have one column each")
    low, width = features.min(axis=0), np.ptp(features, axis=0)
    scaled = (features - low) / np.where(width > 0, width, 1) * BINS
    binned = np.minimum(scaled.astype(np.int64), BINS - 1)
    ordered = np.empty_like(binned)
    ordered[:, units] = binned
    return ordered


def mutual_information_gap(bits: NDArray, entropy: NDArray) -> float:
    """Return MIG: the gap between the two most informative units over the entropy, the mean over attributes.

    Args:
        bits: `(U, A)`, of `pivq.runs.beyond.information`.
        entropy: `(A,)` in bits; attributes without any are left out.

    Example:
        >>> mutual_information_gap(np.array([[1.0, 0.4], [0.0, 0.4], [0.0, 0.1]]), np.array([1.0, 0.8]))
        0.5
    """
    ordered = np.sort(np.concatenate([bits, np.zeros((1, bits.shape[1]))]), axis=0)
    there = entropy > 0
    return float(((ordered[-1] - ordered[-2])[there] / entropy[there]).mean()) if there.any() else 0.0


def importances(
    train: Features, attributes: pd.DataFrame, heldout: Features, tested: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Fit a predictor of each attribute and return how much it uses each column, and how well it reads.

    Args:
        train: features `(N, F)`; the first `FITTED` with a label are fitted to, the `VALIDATED` after them choose the
            strength (of fewer images, three quarters and the rest).
        attributes: N rows of 0, 1 and missing.
        heldout, tested: the same of held-out images.

    Returns:
        Absolute weights of the standardised columns, `(F, A)`; the accuracy on held-out images above that of the
        more frequent class, `(A,)`; and the names of the A attributes that have `LEAST` images of either class.
    """
    scale = StandardScaler(with_mean=not issparse(train)).fit(train[:SCORED])
    inputs, unseen = scale.transform(train[:SCORED]), scale.transform(heldout)
    weights, gains, names = [], [], []
    for name, column in attributes.items():
        known, test = (np.flatnonzero(part.notna()) for part in (column.iloc[: inputs.shape[0]], tested[name]))
        labels, truth = column.iloc[known].to_numpy(dtype=np.int64), tested[name].iloc[test].to_numpy(dtype=np.int64)
        fitted = len(labels) * FITTED // SCORED
        rarer = min(np.bincount(labels[:fitted], minlength=2))
        if rarer < LEAST or len(np.unique(truth)) < 2 or len(np.unique(labels[fitted:])) < 2:
            continue
        chosen = _best(inputs[known[:fitted]], labels[:fitted], inputs[known[fitted:]], labels[fitted:])
        majority = truth.mean() if labels.mean() > 0.5 else 1 - truth.mean()
        read = majority if chosen is None else chosen.score(unseen[test], truth)
        weights.append(np.zeros(inputs.shape[1]) if chosen is None else np.abs(chosen.coef_[0]))
        gains.append(read - majority)
        names.append(name)
    return np.array(weights).reshape(len(names), inputs.shape[1]).T, np.array(gains), names


def _best(inputs: Features, labels: NDArray, others: Features, truth: NDArray) -> LogisticRegression | None:
    """Return the fitted predictor with the least loss on other images, or None for the empty one.

    Strengths rise until the loss does: dense representations need more than sparse ones before they read as well.
    """
    share = np.clip(labels.mean(), 1e-6, 1 - 1e-6)
    best, least = None, log_loss(truth, np.full(len(truth), share), labels=[0, 1])
    smallest = l1_min_c(inputs, labels, loss="log")
    for strength in STRENGTHS:
        model = LogisticRegression(**L1, C=smallest * strength, solver="liblinear", random_state=0, max_iter=200)
        model.fit(inputs, labels)
        loss = log_loss(truth, model.predict_proba(others)[:, 1], labels=[0, 1])
        if loss < least:
            best, least = model, loss
        elif best is not None:
            break
    return best


def score(
    representation: Representation, attributes: pd.DataFrame, tested: pd.DataFrame, shuffled: int | None = None
) -> list[dict[str, Any]]:
    """Return a row of scores for each kind of unit of a representation.

    Args:
        representation: what is scored.
        attributes, tested: of its training and held-out images, rows in their order.
        shuffled: a seed that shuffles the training images' labels first: the control. None leaves them.

    Returns:
        Rows with `model`, `labels` (`EXACT` or `SHUFFLED`), `unit` and `units`, their number; `disentanglement` and
        `completeness` (`dci`); the same with bits as importance, which need no predictor and no choice of it
        (`…_bits`); `informativeness`, the mean accuracy above the majority class on held-out images; `mig`;
        `attributes`, how many could be scored. Scores are missing where none could.
    """
    if shuffled is not None:
        order = np.random.default_rng(shuffled).permutation(len(attributes))
        attributes = attributes.iloc[order]
    weights, gains, names = importances(representation.train, attributes, representation.heldout, tested)
    rows = []
    for unit, of_column in representation.units.items():
        number = int(of_column.max()) + 1
        row = {"model": representation.name, "labels": EXACT if shuffled is None else SHUFFLED, "unit": unit,
               "units": number, "attributes": len(names)} | dict.fromkeys(SCORES, np.nan)  # fmt: skip
        if names:
            importance = np.zeros((number, len(names)))
            np.add.at(importance, of_column, weights)
            bits = unit_information(categories_of(representation.train, of_column), attributes[names])
            gap = mutual_information_gap(bits, entropy_bits(attributes[names]))
            row |= dict(zip(SCORES, (*dci(importance), float(gains.mean()), gap, *dci(bits)), strict=True))
        rows.append(row)
    return rows


def score_all(
    representations: Sequence[Representation], attributes: pd.DataFrame, tested: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """Return the rows of `score` of all representations; of the first one also with shuffled labels, the control."""
    rows = [row for one in representations for row in score(one, attributes, tested)]
    return pd.DataFrame(rows + score(representations[0], attributes, tested, shuffled=seed))


def in_words(scores: pd.DataFrame) -> list[str]:
    """Return what the rows of `score_all` say: the first model against its controls, and against each other model."""
    scored = scores.dropna(subset="disentanglement")
    if not len(scored):
        return ["**Nothing could be scored**: no attribute has enough images of both classes."]
    first, rows = scored["model"].iloc[0], scored.set_index(["model", "labels", "unit"])
    (kind,) = {unit for model, _, unit in rows.index if model == first} - {CODE}
    ours, by_code, chance = (rows.loc[(first, *of)] for of in ((EXACT, kind), (EXACT, CODE), (SHUFFLED, kind)))
    sentences = [
        f"**Against chance**, by {kind}: completeness {ours['completeness']:.2f}, with shuffled labels "
        f"{chance['completeness']:.2f}; MIG {ours['mig']:.3f} and {chance['mig']:.3f}; disentanglement "
        f"{ours['disentanglement']:.2f} and {chance['disentanglement']:.2f}; with bits as importance "
        f"{ours['disentanglement_bits']:.2f} and {chance['disentanglement_bits']:.2f}. By code, MIG is "
        f"{by_code['mig']:.3f}."
    ]
    if chance["disentanglement"] >= ours["disentanglement"]:
        sentences[0] += (
            " The predictor's disentanglement is no lower with shuffled labels: where little can be read, few units are"
            " used, and each serves one attribute. Alone it says nothing."
        )
    others = scored[(scored["model"] != first) & (scored["labels"] == EXACT)]
    for name, of in others.groupby("model", sort=False):
        other = of.iloc[-1]  # the groups of sets follow the codes
        better = [score.replace("_", " by ") for score in SCORES if ours[score] > other[score]]
        sentences.append(
            f"**Against {name}** ({other['units']} {other['unit']}s): disentanglement by bits "
            f"{other['disentanglement_bits']:.2f} (ours {ours['disentanglement_bits']:.2f}), completeness "
            f"{other['completeness']:.2f} (ours {ours['completeness']:.2f}), informativeness "
            f"{other['informativeness']:.1%} (ours {ours['informativeness']:.1%}), MIG {other['mig']:.3f} (ours "
            f"{ours['mig']:.3f}). The trained sets score higher in {len(better)} of {len(SCORES)}: "
            f"{', '.join(better) or 'none'}."
        )
    return sentences
