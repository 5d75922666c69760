"""Editing: add an attribute to a face, or remove it, by exchanging the fewest codes that a linear probe asks for. Ours.

The probe of Section 3.8 gives each code a weight: an image's score is b + the sum of its codes' weights. Exchanging a
code for another one of its exchange group changes the score by the difference of their weights, independently of the
other groups. So the most that m exchanges can gain is the sum of the m largest gains, and the fewest exchanges that
reach a score are the largest gains, one after the other: greedy is optimal here, which a linear probe and groups
without common codes make true. The set stays a set of L distinct codes.

Another classifier says whether the *picture* then shows the attribute: it reads features of pictures, is fitted to
real training pictures, and knows nothing of codes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from pivq.metrics.traits import LEAST
from pivq.pretrained.features import FeatureNet
from pivq.probing import INVERSE_REGULARISATION, MAX_ITERATIONS, SOLVER
from pivq.runs.beyond.picture_judge import Judge, compare_faces
from pivq.runs.evaluation import decoded_features
from pivq.runs.run import Run
from pivq.settings import check_whole
from pivq.usage import presence

GOAL = 0.9  # the probe's probability that an edit has to reach; source: assumption
GOALS = (0.6, 0.9, 0.99, 0.999)  # compared: a probe can be content with too little; source: assumption
MOST = 8  # exchanges of an edit; source: assumption
USES = 20  # training images that have a code which is put in: rarer ones have weights of little evidence; assumption
FACES = 30  # edited for each attribute and direction; source: assumption
READABLE = 0.8  # balanced accuracy on reconstructions from which on the judge is believed; source: assumption
ADD, REMOVE = "add", "remove"


class LinearProbe(NamedTuple):
    """Logistic regressions on the presence of codes: `names` of attributes, `weights` `(K, A)` and `bias` `(A,)`."""

    names: list[str]
    weights: NDArray
    bias: NDArray


class Edit(NamedTuple):
    """Edited sets `(N, L)`, which places were exchanged `(N, L)`, and whether the probe's goal was reached `(N,)`."""

    codes: NDArray
    exchanged: NDArray
    reached: NDArray


def fit_probe(codes: ArrayLike, attributes: pd.DataFrame, codebook_size: int) -> LinearProbe:
    """Fit the probe of `pivq.probing` to all images with a label, for attributes with `LEAST` images of each class."""
    inputs, names, weights, bias = presence(codes, codebook_size), [], [], []
    for name, column in attributes.items():
        known = np.flatnonzero(column.notna())
        labels = column.iloc[known].to_numpy(dtype=np.int64)
        if min(np.bincount(labels, minlength=2)) < LEAST:
            continue
        model = LogisticRegression(solver=SOLVER, C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
        model.fit(inputs[known], labels)
        names.append(name)
        weights.append(model.coef_[0])
        bias.append(model.intercept_[0])
    return LinearProbe(names, np.array(weights).reshape(len(names), codebook_size).T, np.array(bias))


def edit_sets(
    codes: NDArray, groups: NDArray, weights: NDArray, bias: float, add: bool, allowed: NDArray,
    goal: float = GOAL, most: int = MOST,
) -> Edit:  # fmt: skip
    """Exchange the fewest codes so that the probe's probability of the attribute reaches `goal`, or of its absence.

    Only a code that is the one of its group in its set is exchanged, for another one of that group. If `most` exchanges
    do not reach the goal, or no exchange gains any more, those that gain most are made.

    Args:
        codes: sets `(N, L)`.
        groups: `(K,)`.
        weights, bias: the probe's of one attribute, `(K,)` and a number.
        add: the attribute is added; else it is removed.
        allowed: `(K,)` bool, the codes that may be put in.
        goal: a probability between 0.5 and 1.
        most: exchanges of a set.

    Raises:
        ValueError: a goal or a number of exchanges out of range.

    Example:
        >>> groups, weights = np.array([0, 0, 1, 1]), np.array([-4.0, 4.0, 0.0, 1.0])
        >>> edit_sets(np.array([[0, 2]]), groups, weights, 0.0, True, np.ones(4, bool)).codes.tolist()
        [[1, 2]]
    """
    if not 0.5 < goal < 1:
        raise ValueError(f"goal must be a probability above 0.5 and below 1, got {goal!r}")
    most = check_whole("most", most, 0)
    weights, bias = (weights, bias) if add else (-weights, -bias)
    gains, best = _gains(codes, groups, weights, allowed)
    order = np.argsort(-gains, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(gains, order, axis=1), axis=1)[:, :most]
    missing = np.log(goal / (1 - goal)) - (bias + weights[codes].sum(axis=1))
    useful = (gains > 0).sum(axis=1)
    count = np.minimum((sums < missing[:, None]).sum(axis=1) + 1, np.minimum(useful, most))
    count = np.where(missing <= 0, 0, count)
    exchanged = np.zeros(codes.shape, dtype=bool)
    np.put_along_axis(exchanged, order, np.arange(codes.shape[1]) < count[:, None], axis=1)
    gained = np.where(exchanged, gains, 0).sum(axis=1)
    return Edit(np.where(exchanged, best, codes), exchanged, gained >= missing - 1e-12)


def _gains(codes: NDArray, groups: NDArray, weights: NDArray, allowed: NDArray) -> tuple[NDArray, NDArray]:
    """Return what the best exchange of each code gains, 0 where there is none, and what it brings, `(N, L)` each."""
    best = np.full(groups.max() + 1, -1)
    order = np.flatnonzero(allowed)[np.argsort(weights[allowed], kind="stable")]
    best[groups[order]] = order  # of each group the last one is kept: the one of most weight
    of_group = groups[codes]
    alone = np.stack([(of_group == of_group[:, [place]]).sum(axis=1) == 1 for place in range(codes.shape[1])], axis=1)
    found = best[of_group]
    gains = np.where(alone & (found >= 0), weights[found] - weights[codes], 0)
    return np.maximum(gains, 0), found


def random_exchanges(codes: NDArray, edit: Edit, groups: NDArray, allowed: NDArray, seed: int) -> NDArray:
    """Exchange the codes at the places that an edit exchanged, for random other allowed ones of their groups: `(N, L)`.

    By chance one may be the edit's own; a group of two codes leaves no other.
    """
    generator, changed = np.random.default_rng(seed), codes.copy()
    for row, place in np.argwhere(edit.exchanged):
        own = codes[row, place]
        others = np.flatnonzero(allowed & (groups == groups[own]))
        changed[row, place] = generator.choice(others[others != own])
    return changed


class Edited(NamedTuple):
    """Edits of one attribute in one direction, for a figure: sets before, after and after random exchanges, `(n, L)`;
    and whether the judge sees what was wanted, after each, `(n,)`."""

    before: NDArray
    after: NDArray
    control: NDArray
    success: NDArray
    control_success: NDArray


def measure_editing(
    run: Run, network: FeatureNet, judge: Judge, probe: LinearProbe, heldout: pd.DataFrame, groups: NDArray,
    faces: int = FACES, seed: int = 0, goal: float = GOAL,
) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Edited], dict[str, float]]:  # fmt: skip
    """Add each attribute to held-out faces that lack it, and remove it from faces that have it, and judge the pictures.

    The first `faces` are edited whose reconstruction the judge reads right, so that no success is there before.

    Args:
        run: of a matching model.
        network: describes pictures to the judge.
        judge, probe: fitted to training images.
        heldout: attributes of the held-out images.
        groups: `(K,)`.
        faces, seed: how many are edited; of the random exchanges.
        goal: as for `edit_sets`.

    Returns:
        A frame with a row per attribute and direction: `attribute`; `edit` (`ADD` or `REMOVE`); `faces`; `exchanges`,
        their mean number; `reached`, the share that the probe is content with; `success`, the share of pictures that
        the judge reads as wanted, `control` the same after random exchanges at the same places; `ceiling`, the share
        of reconstructions of real faces on the wanted side that the judge reads right; `readable`, whether it reads
        both sides well enough (`READABLE`); `identity`, the mean distance of features to the unedited picture over
        that between two faces, `identity_control`; `others`, how many other readable attributes the judge then reads
        differently, `others_control`. The edits by attribute and direction. And of two different faces: `distance`
        between their features, `others` that differ.
    """
    codes = run.codes("heldout")
    allowed = presence(run.codes("train"), run.config.model.codebook_size).getnnz(axis=0) >= USES
    again = decoded_features(run, network, torch.from_numpy(codes))
    shown, ceiling, plans = judge(again), judge.accuracy(again, heldout), []
    clear = ceiling.mean(axis=1).to_numpy() >= READABLE
    between = compare_faces(again, shown[:, clear], seed)
    for name, kind in ((name, kind) for name in judge.names if name in probe.names for kind in (ADD, REMOVE)):
        at, j, wanted = probe.names.index(name), judge.names.index(name), kind == ADD
        labels = heldout[name].to_numpy(dtype=np.float64, na_value=np.nan)
        rows = np.flatnonzero((labels == (not wanted)) & (shown[:, j] == (not wanted)))[:faces]
        if len(rows):
            edit = edit_sets(codes[rows], groups, probe.weights[:, at], probe.bias[at], wanted, allowed, goal)
            plans.append((name, kind, j, rows, edit, random_exchanges(codes[rows], edit, groups, allowed, seed)))
    if not plans:
        return pd.DataFrame(), {}, between
    sets = np.concatenate([part for *_, edit, control in plans for part in (edit.codes, control)])
    features = decoded_features(run, network, torch.from_numpy(sets))
    table, edits, start = [], {}, 0
    for name, kind, j, rows, edit, control in plans:
        row = {"attribute": name, "edit": kind, "faces": len(rows), "exchanges": float(edit.exchanged.sum(1).mean()),
               "reached": float(edit.reached.mean())}  # fmt: skip
        right = {}
        for column, suffix in (("success", ""), ("control", "_control")):
            made, start = features[start : start + len(rows)], start + len(rows)
            right[column] = (seen := judge(made))[:, j] == (kind == ADD)
            moved = np.linalg.norm(made - again[rows], axis=1).mean() / between["distance"]
            others = (seen != shown[rows])[:, clear & (np.arange(len(clear)) != j)].sum(axis=1).mean()
            share = float(right[column].mean())
            row |= {column: share, f"identity{suffix}": float(moved), f"others{suffix}": float(others)}
        row["ceiling"] = ceiling.loc[name, "with" if kind == ADD else "without"]
        table.append(row | {"readable": bool(clear[j])})
        edits[name, kind] = Edited(codes[rows], edit.codes, control, right["success"], right["control"])
    return pd.DataFrame(table), edits, between


def over_goals(
    run: Run, network: FeatureNet, judge: Judge, probe: LinearProbe, heldout: pd.DataFrame, groups: NDArray,
    goals: Sequence[float] = GOALS, faces: int = FACES // 3, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Return a row per goal of the probe: means over the edits that can be judged, of `measure_editing`.

    Columns: `goal`, `edits`, `exchanges`, `reached`, `success`, `control`, `identity`, `identity_control`. The other
    arguments are those of `measure_editing`. No rows where nothing can be judged.
    """
    rows, columns = [], ["exchanges", "reached", "success", "control", "identity", "identity_control"]
    for goal in goals:
        table, *_ = measure_editing(run, network, judge, probe, heldout, groups, faces, seed, goal)
        if len(table) and table["readable"].any():
            readable = table[table["readable"]]
            rows.append({"goal": goal, "edits": len(readable)} | readable[columns].mean().to_dict())
    return pd.DataFrame(rows, columns=["goal", "edits", *columns])


def in_plain_words(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `measure_editing` or `over_goals` as it is shown: no underscores, "yes" and "no".

    Example:
        >>> in_plain_words(pd.DataFrame({"attribute": ["red_hair"], "others_control": [1.5], "readable": [True]}))
          attribute  others, control readable
        0  red hair              1.5      yes
    """
    shown = table.rename(columns=lambda name: name.replace("_", ", "))
    if "attribute" in shown:
        shown["attribute"] = shown["attribute"].str.replace("_", " ")
    if "readable" in shown:
        shown["readable"] = shown["readable"].map({True: "yes", False: "no"})
    return shown


def chosen_edits(table: pd.DataFrame, count: int) -> dict[tuple[str, str], str]:
    """Return edits for a figure, evenly spaced from the most to the least successful, with their labels.

    Args:
        table: of `measure_editing`; edits that can be judged are taken, if there are any.
        count: how many, at most.
    """
    if not len(table):
        return {}
    rows = table[table["readable"]] if table["readable"].any() else table
    rows = rows.sort_values("success", ascending=False, kind="stable")
    spaced = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    return {(row.attribute, row.edit): f"{_title(row)}\n{row.exchanges:.1f} codes\n{row.success:.0%} succeed"
            for row in rows.iloc[spaced].itertuples()}  # fmt: skip


def goals_in_words(frame: pd.DataFrame) -> list[str]:
    """Return what the rows of `over_goals` say, in a sentence; none without rows."""
    if not len(frame):
        return []
    first, last = frame.iloc[0], frame.iloc[-1]
    return [
        f"**A surer probe.** From a goal of {first['goal']:.1%} to {last['goal']:.1%}, exchanges go from "
        f"{first['exchanges']:.1f} to {last['exchanges']:.1f}, success from {first['success']:.0%} to "
        f"{last['success']:.0%}, that of random exchanges from {first['control']:.0%} to {last['control']:.0%}, and "
        f"the way the picture moves from {first['identity']:.0%} to {last['identity']:.0%} of that to another face."
    ]


def mean_edit(table: pd.DataFrame) -> dict[str, float]:
    """Return the means of the table of `measure_editing` over the edits that can be judged; {} without any.

    Columns that are numbers, `edits`, how many there are, and `beyond`, how many are beyond their control.
    """
    rows = table[table["readable"]] if len(table) else table
    if not len(rows):
        return {}
    beyond = sum(beyond_control(row.success, row.control, row.faces) for row in rows.itertuples())
    return rows.mean(numeric_only=True).drop("readable").to_dict() | {"edits": len(rows), "beyond": beyond}


def in_words(table: pd.DataFrame, between: dict[str, float]) -> list[str]:
    """Return what the table of `measure_editing` says, in sentences; attributes that cannot be judged are named."""
    unread = table.loc[~table["readable"], "attribute"].unique() if len(table) else []
    rows = table[table["readable"]] if len(table) else table
    if not len(rows):
        return ["**Nothing could be judged**: the judge reads no attribute well enough on reconstructions."]
    failed = rows[[not beyond_control(row.success, row.control, row.faces) for row in rows.itertuples()]]
    of = mean_edit(table)
    sentences = [
        f"**Success.** Of {of['edits']} edits (an attribute, added or removed), {of['beyond']} succeed more often than "
        f"random exchanges at the same places, 95% intervals apart. On average {of['success']:.0%} of the pictures "
        f"show what was wanted, {of['control']:.0%} after random exchanges; the judge reads {of['ceiling']:.0%} of "
        "real faces' reconstructions right.",
        f"**Cost.** It takes {of['exchanges']:.1f} exchanges on average. The picture moves by {of['identity']:.0%} of "
        f"the distance between two faces (random exchanges {of['identity_control']:.0%}), and {of['others']:.1f} other "
        f"attributes are read differently (random exchanges {of['others_control']:.1f}, two faces "
        f"{between['others']:.1f}).",
        f"**Reading is not making.** The probe's goal is reached in {of['reached']:.0%} of the edits, and the picture "
        f"shows it in {of['success']:.0%}.",
    ]
    if len(failed):
        sentences.append(f"**Not beyond the control:** {', '.join(_title(row) for row in failed.itertuples())}.")
    if len(unread):
        sentences.append(f"**Not judged**, because the judge does not read them from reconstructions: "
                         f"{', '.join(str(name).replace('_', ' ') for name in unread)}.")  # fmt: skip
    return sentences


def beyond_control(success: float, control: float, faces: int) -> bool:
    """Say whether the 95% intervals (Wilson's) of two shares of as many faces are apart, the first above the other."""
    low, high = (binomtest(round(share * faces), faces).proportion_ci(method="wilson") for share in (success, control))
    return bool(low.low > high.high)


def _title(row: object) -> str:
    return f"{row.edit} {str(row.attribute).replace('_', ' ')}"
