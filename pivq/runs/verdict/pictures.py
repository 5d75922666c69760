"""Measured claims about decoded pictures: paths, samples, traits.

None is judged unless the model has learned to reconstruct: the control is the mean training image.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

from pivq import paper
from pivq.runs.verdict.facts import Facts, Undecided, find, need
from pivq.runs.verdict.judging import (
    CLOSE,
    DIFFERS,
    MEASURED,
    NEEDS_SCALE,
    REPRODUCED,
    UNDECIDED,
    Outcome,
    beside,
    holds,
    judges,
)

LEARNED_DB = 3.0  # dB above the mean image, half its squared error, from which pictures are judged; assumption
SMOOTH = 0.5  # of the way, the largest step of a smooth path: `pivq.sampling.SMOOTH_STEP`
AMONG_REAL = 0.1  # precision from which samples are judged as images of the set; assumption
PLAIN = 0.05  # share of samples beyond the control, error bars apart, from which a trait is gained or lost; assumption
SAMPLES, RECONSTRUCTIONS = "PI-VQ, matching: samples", "PI-VQ, matching: reconstructions"


def _need_pictures(facts: Facts, tokens: str = "learned") -> None:
    """Check that decoded pictures show something."""
    psnr, mean = need(facts, "reconstruction", tokens), need(facts, "reconstruction", "mean_image")
    if psnr < mean + LEARNED_DB:
        raise Undecided(
            f"The pictures show too little: reconstructions have {psnr:.1f} dB, the mean training image {mean:.1f} dB."
        )


def _of_both(facts: Facts, check: Callable[[Facts], Outcome]) -> Outcome:
    """Judge what notebook 05 measured with learned tokens, and put beside it what it measured with drawn ones."""
    _need_pictures(facts)
    found, variant = check(need(facts, "interpolation")), "–"
    try:
        _need_pictures(facts, "drawn")
        variant = beside(check, find(facts, "interpolation", "drawn"))
    except Undecided:
        pass
    return found._replace(variant=variant)


# --- Paths ------------------------------------------------------------------------------------------------------------


@judges(MEASURED, "interpolation")
def _interpolation(facts: Facts, claim: paper.Claim) -> Outcome:
    return _of_both(facts, _smooth)


def _smooth(part: Facts) -> Outcome:
    measured = need(part, "smoothness")
    largest, untrained = need(measured, "largest_step"), need(measured, "untrained_largest_step")
    why = "Mean of the paths' largest steps. Smooth: below half of the way, and clearly below the control."
    if (rough := find(measured, "share_with_large_step")) is not None:
        why += f" {rough:.0%} of the paths have a step of half the way or more."
    control = f"untrained: {untrained:.0%}"
    smooth = largest < min(SMOOTH, (1 - CLOSE) * untrained)
    return Outcome(f"largest step {largest:.0%} of the way", holds(smooth), why, control)


@judges(MEASURED, "multiple_paths")
def _multiple_paths(facts: Facts, claim: paper.Claim) -> Outcome:
    return _of_both(facts, _several)


def _several(part: Facts) -> Outcome:
    own, untrained, step = need(part, "apart"), need(part, "untrained_apart"), need(part, "smoothness", "step")
    low, high, least = need(own, "low"), need(own, "high"), need(untrained, "low")
    ours = f"two random paths of a pair run {low:.0%} to {high:.0%} of the ends' distance apart"
    why = f"10% to 90% of {own['pairs']} pairs: further apart than one step, and less erratic than without training. "
    why += "L1, mean over the steps; see Fig. 1."
    control = f"one step {step:.0%}; untrained {least:.0%} to {need(untrained, 'high'):.0%}"
    return Outcome(ours, holds(low > step and high < least), why, control)


@judges(MEASURED, "plausible_paths")
def _plausible_paths(facts: Facts, claim: paper.Claim) -> Outcome:
    return _of_both(facts, _plausible)


def _plausible(part: Facts) -> Outcome:
    found = need(part, "plausibility")
    half, fade, ends = (need(found, name) for name in ("half_way", "cross_fade_half_way", "ends"))
    nearer, pairs = need(found, "nearer"), need(found, "pairs")
    error = 1 / sqrt(pairs)  # two standard errors of a share of one half
    ours = f"half way, {nearer:.0%} are nearer to a real face than their cross-fade (distances: {half:.1f}, ends "
    ours += f"{ends:.1f})"
    why = f"Distance to the nearest training image in features, median of {pairs} paths. Reproduced if more than half "
    why += f"are nearer, two standard errors apart ({error:.0%})."
    control = f"a coin: 50%; cross-fade half way: {fade:.1f}"
    if abs(nearer - 0.5) <= error:
        return Outcome(ours, UNDECIDED, why, control)
    return Outcome(ours, holds(nearer > 0.5), why, control)


@judges(MEASURED, "global_codes")
def _global_codes(facts: Facts, claim: paper.Claim) -> Outcome:
    return _of_both(facts, _global)


def _global(part: Facts) -> Outcome:
    spread = need(part, "spread")
    median, low, high = (need(spread, name) for name in ("participation", "low", "high"))
    cell, faces = need(spread, "cell"), need(spread, "faces")
    ours = f"exchanging one code changes {median:.0%} of the picture ({low:.0%} to {high:.0%} for 10–90%)"
    why = f"Participation ratio of the change; between two faces {faces:.0%}. Judged: do 90% reach twice the control?"
    if before := find(spread, "untrained"):
        more = "training narrows it" if median < before else "training widens it"
        why += f" Before training {before:.0%}: it comes with the architecture, and {more}."
    return Outcome(ours, holds(low > 2 * cell), why, f"one cell of the grid, a code with a place: {cell:.1%}")


# --- Traits -----------------------------------------------------------------------------------------------------------


@judges(MEASURED, "shared_traits")
def _shared_traits(facts: Facts, claim: paper.Claim) -> Outcome:
    traits = need(facts, "interpolation", "traits")
    learned, drawn = ({"rows": find(traits, tokens, "rows")} for tokens in ("learned", "drawn"))
    found = _of_both(facts | {"interpolation": learned | {"drawn": drawn}}, _traits_kept)
    counted, of_drawn = ({row["attribute"]: 0 for row in part["rows"] or ()} for part in (learned, drawn))
    unread = [name.replace("_", " ") for name in counted if name not in of_drawn]
    if unread and found.variant.startswith(REPRODUCED):  # what cannot be read may go wrong unseen
        rest = found.variant.removeprefix(REPRODUCED)
        found = found._replace(variant=f"{UNDECIDED}, since its pictures do not show {', '.join(unread)}{rest}")
    return found


def _traits_kept(part: Facts) -> Outcome:
    rows = need(part, "rows")
    found, slots, faded = (_traits(rows, sampler) for sampler in ("Algorithm 1", "slot by slot", "cross-fade"))
    if not found["worst"]:
        raise Undecided("No attribute can be read from reconstructions.")
    excess, worst = found["worst"]
    ours = f"{found['gained']:.0%} of possible traits come from nowhere, {found['lost']:.0%} of shared ones are lost"
    control = f"errors on reconstructions: {found['false_alarms']:.1%} and {found['misses']:.1%}"
    if faded["worst"]:
        control += f"; cross-fades: {faded['gained']:.1%} and {faded['lost']:.1%}"
    why = f"Worst: {worst}." if excess > PLAIN else f"No attribute is {PLAIN:.0%} beyond both controls, errors apart."
    if slots["worst"]:
        why += f" Recombined slot by slot: {slots['gained']:.0%} and {slots['lost']:.0%}."
    return Outcome(ours, holds(excess <= PLAIN), why, control)


def _traits(rows: list[dict[str, Any]], sampler: str) -> dict[str, Any]:
    """Add up the errors of all attributes; find the one furthest beyond both controls, less two standard errors.

    The controls are reconstructions, and cross-fades, which have no trait but their parents'.
    """
    faded = {row["attribute"]: row for row in rows if row["sampler"] == "cross-fade"}
    rows = [row for row in rows if row["sampler"] == sampler]
    totals: dict[str, Any] = {}
    beyond = []
    sides = (("gained", "neither", "false_alarms", "have it and neither parent has"),
             ("lost", "both", "misses", "lack it and both parents have it"))  # fmt: skip
    for name, of, control, said in sides:
        known = [row for row in rows if row[of] and row[name] is not None and row[control] is not None]
        weight = sum(row[of] for row in known)
        for column in (name, control):
            totals[column] = sum(row[column] * row[of] for row in known) / weight if weight else 0.0
        for row in known:
            share, fade = row[name], faded.get(row["attribute"], {}).get(name)
            error = 2 * sqrt(max(share * (1 - share), 1 / row[of]) / row[of])
            trait = row["attribute"].replace("_", " ")
            text = f"{trait}: {share:.0%} of {row[of]:,} samples {said} ({row[control]:.1%}"
            text += ")" if fade is None else f"; cross-fades {fade:.1%})"
            beyond.append((share - max(row[control], fade or 0.0) - error, text))
    return totals | {"worst": max(beyond, default=None)}


# --- Samples ----------------------------------------------------------------------------------------------------------


def _row(facts: Facts, method: str, reference: str = "real") -> dict[str, Any]:
    """Return what was measured of a method, a row of Table 3."""
    for row in need(facts, "sample_quality", "rows"):
        if row["method"] == method and row.get("reference", "real") == reference:
            return row
    raise Undecided(f"Not measured by this run (no “{method}” against {reference}).")


def _score(facts: Facts, metric: str, method: str = SAMPLES, reference: str = "real") -> float:
    """Return a score in a metric of Table 3."""
    k = facts["config"].evaluation.prdc_k[0]
    return _row(facts, method, reference)["distance" if metric == "fid" else f"{metric} (k={k})"]


def _comparable(facts: Facts, *datasets: str) -> bool:
    return facts["config"].dataset in datasets and need(facts, "sample_quality", "distance_name") == "FID"


@judges(MEASURED, "competitive")
def _competitive(facts: Facts, claim: paper.Claim) -> Outcome:
    precision = _score(facts, "precision", RECONSTRUCTIONS)
    if not _comparable(facts, *paper.DATA):
        poor = " even" if precision < AMONG_REAL else ""
        why = f"Sample quality is not shown by this run:{poor} reconstructions of held-out images have precision "
        return Outcome("–", NEEDS_SCALE, f"{why}{precision:.2g} in other data and features.")
    others = [row for row in paper.TABLE3 if row.data == paper.DATA[facts["config"].dataset] and row.method != "PI-VQ"]
    near = []
    for metric in ("precision", "density", "coverage"):
        known = [value for row in others if (value := getattr(row, metric)) is not None]
        if known and _score(facts, metric) >= min(known):
            near.append(metric)
    why = "Metrics in which ours is not below all methods that the paper lists, two of three; one seed."
    control = f"reconstructions: precision {precision:.2f}"
    return Outcome(", ".join(near) or "none", holds(len(near) >= 2), why, control)


@judges(MEASURED, *(claim.id for claim in paper.TABLE3_CLAIMS))
def _table3(facts: Facts, claim: paper.Claim) -> Outcome:
    dataset, _, metric = claim.id.rpartition("_")
    if not _comparable(facts, dataset):
        return Outcome("–", NEEDS_SCALE, "Needs its data set and Inception features.")
    value, real = (_score(facts, metric, method) for method in (SAMPLES, "held-out images (real)"))
    why = f"Within {CLOSE:.0%} counts as reproduced; {_row(facts, SAMPLES)['samples']:,} samples, one seed."
    control = f"real held-out images: {real:.3g}"
    return Outcome(f"{value:.3g}", holds(abs(value - claim.value) <= CLOSE * claim.value), why, control)


@judges(MEASURED, "dense_samples")
def _dense_samples(facts: Facts, claim: paper.Claim) -> Outcome:
    if not _comparable(facts, "ffhq", "celebahq"):
        return Outcome("–", NEEDS_SCALE, "A claim about 256×256 data sets, in Inception features.")
    value, real = (_score(facts, "density", method) for method in (SAMPLES, "held-out images (real)"))
    why = "On one of the two data sets; one seed."
    return Outcome(f"{value:.3g}", holds(value > max(1, real)), why, f"real held-out images: {real:.3g}")


@judges(MEASURED, "low_recall")
def _low_recall(facts: Facts, claim: paper.Claim) -> Outcome:
    _need_pictures(facts)
    precision, recall = (_score(facts, metric) for metric in ("precision", "recall"))
    apart = ""
    try:
        scores = [_score(facts, metric, SAMPLES, "reconstructions") for metric in ("precision", "recall")]
        apart = f" Against reconstructions, which leaves out what decoding costs: {scores[0]:.2f} and {scores[1]:.2f}."
    except Undecided:
        pass
    real = [_score(facts, metric, "held-out images (real)") for metric in ("precision", "recall")]
    control = f"real held-out images: recall {real[1]:.2f}, precision {real[0]:.2f}"
    if precision < AMONG_REAL:
        why = f"Only {precision:.1%} of the samples lie among real images, so nothing follows.{apart}"
        return Outcome("–", UNDECIDED, why, control)
    lower = recall < precision and recall / precision < real[1] / real[0]
    return Outcome(f"recall {recall:.3f}, precision {precision:.3f}", holds(lower), f"In our features.{apart}", control)


@judges(MEASURED, "novel_images")
def _novel_images(facts: Facts, claim: paper.Claim) -> Outcome:
    _need_pictures(facts)
    found = need(facts, "sample_quality", "memorisation")
    copied, close = need(found, "copied_sets"), need(found, "suspiciously_close")
    ours = f"{copied:.1%} have the codes of a training image, {close:.2%} lie suspiciously close to one"
    control = "reconstructions of held-out images: 1% as close, by definition"
    among = _score(facts, "precision", SAMPLES, "reconstructions")
    why = f"And {among:.0%} of the samples lie among reconstructions of real images: they are no mere noise."
    if copied > 0.01 or close > 0.01:
        return Outcome(ours, DIFFERS, "Copies are more frequent than in the control.", control)
    if among < AMONG_REAL:
        why = f"No copies, but only {among:.1%} of the samples lie even among reconstructions: new, but hardly images."
        return Outcome(ours, UNDECIDED, why, control)
    return Outcome(ours, REPRODUCED, why, control)
