"""Measured claims about codes: collapse and capacity, the start of quantization, what probes read.

What is judged is the paper's setting, learned tokens. What our variant shows, tokens drawn anew for every image, stands
beside it.
"""

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
from pivq.storage.origin import origin

FEW = 0.5  # share of L below which K_img counts as "much smaller than L"; the paper has 49 of 512; assumption
STEEPER = 0.5  # by how much matching's exponent must be above nearest's; O(n³) against O(n²) is 1; assumption
LOST_DB = 3.0  # dB of PSNR lost, twice the squared error, by which a training counts as failed; assumption


def _parts(facts: Facts) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return what notebook 04 measured with learned tokens, and with drawn ones if they are trained."""
    capacity = need(facts, "capacity")
    return capacity | need(facts, "capacity", "models"), capacity.get("drawn")


def _collapse(part: dict[str, Any]) -> Outcome:
    """The one rule for rows about collapse: nearest has few codes an image, and clearly fewer than before training."""
    length, near = need(part, "L"), need(part, "nearest")
    mean, most = near["mean_codes_per_image"], near["max_codes_per_image"]
    before = find(part, "untrained", "mean_codes_per_image")
    few = most < FEW * length
    if few and before is None:
        raise Undecided("Not measured by this run (no capacity.untrained).")
    ours = f"{mean:.1f} of {length} differ on average, at most {most}"
    control = "–" if before is None else f"before training: {before:.1f}"
    if few and mean < (1 - CLOSE) * before:
        return Outcome(ours, REPRODUCED, f"Seen at L = {length}.", control)
    if few:
        return Outcome(ours, DIFFERS, f"At L = {length} no more than before training.", control)
    already = ": already so before training (notebook 02)" if before is not None and before >= FEW * length else ""
    return Outcome(ours, DIFFERS, f"Not seen at L = {length}{already}.", control)


@judges(MEASURED, "nearest_codes_per_image")
def _nearest_codes_per_image(facts: Facts, claim: paper.Claim) -> Outcome:
    learned, drawn = _parts(facts)
    found, length, most = _collapse(learned), learned["L"], learned["nearest"]["max_codes_per_image"]
    found = found._replace(ours=f"{most} of {length}", variant=beside(_collapse, drawn))
    why = f"{found.why} Table 2 says CelebA-HQ, Section 4.2 CelebA; with L = 512 only CelebA-HQ fits."
    if found.judgement == DIFFERS:
        return found._replace(why=why)
    if facts["config"].dataset not in ("celeba", "celebahq") or length != paper.NUM_CODES:
        why = f"The number is of L = {paper.NUM_CODES} and the paper's data. {why}"
        return found._replace(ours="–", judgement=NEEDS_SCALE, why=why)
    near = abs(most - claim.value) <= CLOSE * claim.value
    return found._replace(judgement=holds(near), why=f"Within {CLOSE:.0%}. {why}")


@judges(MEASURED, "nearest_repeats")
def _nearest_repeats(facts: Facts, claim: paper.Claim) -> Outcome:
    learned, drawn = _parts(facts)
    found = _collapse(learned)
    why = f"{found.why} {learned['nearest']['slot_dominant_share']:.0%} of a code's uses come from one learned token."
    return found._replace(why=why, variant=beside(_collapse, drawn))


def _more_bits(part: dict[str, Any]) -> Outcome:
    found, near, matched = _collapse(part), part["nearest"], part["matching"]
    more = part["ratio"] > 1 and need(part, "ratio_counted_once") > 1
    why = found.why
    if near["bits"] > near["bits_counted_once"]:
        why += " Eq. (2) over-counts, most where K_img is near L, so the control counts each set once."
    ours = f"matching {matched['bits']:.1f}, nearest {near['bits']:.1f} bits"
    once = f"counted once: {matched['bits_counted_once']:.1f} against {near['bits_counted_once']:.1f}"
    return Outcome(ours, holds(more and found.judgement == REPRODUCED), why, once)


@judges(MEASURED, "matching_raises_capacity")
def _matching_raises_capacity(facts: Facts, claim: paper.Claim) -> Outcome:
    learned, drawn = _parts(facts)
    return _more_bits(learned)._replace(variant=beside(_more_bits, drawn))


@judges(MEASURED, "collapse_remains")
def _collapse_remains(facts: Facts, claim: paper.Claim) -> Outcome:
    learned, drawn = _parts(facts)
    return _out_of_use(learned)._replace(variant=beside(_out_of_use, drawn))


def _out_of_use(part: dict[str, Any]) -> Outcome:
    used, before = need(part, "matching", "codes_in_use"), need(part, "untrained", "codes_in_use")
    why = f"Reproduced if fewer by more than {CLOSE:.0%}. The paper's own 2,221 bits need 4,095 of "
    why += "4,096 codes in use, that is, hardly any collapse."
    control = f"a codebook just fitted, before training: {before:,}"
    ours = f"{used:,} of {need(part, 'K'):,} codes in use"
    return Outcome(ours, holds(used < (1 - CLOSE) * before), why, control)


@judges(MEASURED, "matching_cost")
def _matching_cost(facts: Facts, claim: paper.Claim) -> Outcome:
    cost = need(facts, "cost")
    steeper = max(row["matching_exponent"] - row["nearest_exponent"] for row in cost)
    ours = "; ".join(
        f"{row['latents']}: n^{row['matching_exponent']:.1f}, {row['ratio']:.1f} times nearest's time" for row in cost
    )
    control = "nearest: " + " and ".join(f"n^{row['nearest_exponent']:.1f}" for row in cost)
    why = (
        "Time of one image up to K = 4096, L = 512, distances included, on made-up latents: no model of this size was "
        f"trained here. The exact solver of this package avoids most of the Hungarian algorithm's work. Reproduced if "
        f"an exponent is {STEEPER} above nearest's."
    )
    return Outcome(ours, holds(steeper >= STEEPER), why, control)


def _ablation(facts: Facts, variation: str, column: str) -> list[float]:
    """Return a measurement of each seed of a variation whose name begins so."""
    rows = [row for row in need(facts, "ablations", "rows") if row["variation"].startswith(variation)]
    if not rows:
        raise Undecided(f"Not measured by this run (no ablation “{variation}”).")
    return [row[column] for row in rows]


def _range(values: list[float], form: str = ".1f") -> str:
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low} to {high}"


def _ablations_of(facts: Facts, seeds: int) -> str:
    """Say of which profile the ablations are, of how many seeds, and of which data if these are not the run's."""
    made, own = facts["ablations"], origin(facts["config"])
    other = [f", {fact} {made[fact]}" for fact in ("dataset", "seed") if made.get(fact, own[fact]) != own[fact]]
    return f"profile {made['profile']}{''.join(other)}, {'one seed' if seeds == 1 else f'{seeds} seeds'}"


@judges(MEASURED, "quantized_from_start")
def _quantized_from_start(facts: Facts, claim: paper.Claim) -> Outcome:
    at_once, usual = (_ablation(facts, name, "PSNR (dB)") for name in ("quantized from the start", "as trained"))
    why = f"Otherwise equal runs of {facts['ablations']['steps']:,} steps, {_ablations_of(facts, len(at_once))}."
    try:
        early = _ablation(facts, "fitted at step", "PSNR (dB)")
    except Undecided:
        early = []
    if early and min(usual) - min(early) <= LOST_DB:
        why += f" With a codebook fitted early it does not fail ({_range(early)} dB): it is the random codebook that "
        why += "fails, not the early start."
    elif early:
        why += f" With a codebook fitted early: {_range(early)} dB."
    control = f"with the delay: {_range(usual)} dB"
    return Outcome(f"{_range(at_once)} dB", holds(min(usual) - max(at_once) > LOST_DB), why, control)


@judges(MEASURED, "repeated_initialisation")
def _repeated_initialisation(facts: Facts, claim: paper.Claim) -> Outcome:
    once, usual = (_ablation(facts, name, "codes in use") for name in ("one initialisation", "as trained"))
    why = f"Codes in use over the training images, {_ablations_of(facts, len(once))}."
    control = f"one fit: {_range(once, ',.0f')}"
    return Outcome(f"{_range(usual, ',.0f')} codes in use", holds(min(usual) > max(once)), why, control)


def _names(attributes: list[str], most: int = 4) -> str:
    more = f" and {len(attributes) - most} more" if len(attributes) > most else ""
    return ", ".join(name.replace("_", " ") for name in attributes[:most]) + more


def _probes(facts: Facts) -> list[dict[str, Any]]:
    """Return the scored attributes, each with what the codes of an untrained encoder reach."""
    rows = need(facts, "probing", "attributes")
    need({"probing": rows[0] if rows else {}}, "probing", "untrained")
    return rows


@judges(MEASURED, "probing_above")
def _probing_above(facts: Facts, claim: paper.Claim) -> Outcome:
    scored, above = need(facts, "probing", "scored"), need(facts, "probing", "significant")
    beyond = need(facts, "probing", "above_untrained")
    why = f"{above} are above the majority class, error bars apart; {len(beyond)} also above the control"
    why += f": {_names(beyond)}." if beyond else "."
    untrained = find(facts, "probing", "untrained_significant")
    control = "codes of an untrained encoder" + ("" if untrained is None else f": {untrained} above the majority class")
    return Outcome(f"{len(beyond)} of {scored} attributes", holds(bool(beyond)), why, control)


@judges(MEASURED, "probing_not_above")
def _probing_not_above(facts: Facts, claim: paper.Claim) -> Outcome:
    names, scored = need(facts, "probing", "not_significant"), need(facts, "probing", "scored")
    ours = f"{len(names)} of {scored} attributes"
    if not names:
        drawn = facts["config"].dataset == "avatars"
        why = "The attributes of drawn faces are simpler than those of photographs." if drawn else "None in this set."
        return Outcome(ours, DIFFERS, why, "codes of an untrained encoder")
    rows = {row["attribute"]: row for row in _probes(facts)}
    lost = [name for name in names if name in rows and _readable(rows[name])]
    control = f"codes of an untrained encoder predict {len(lost)} of these"
    if not lost:
        why = f"{_names(names)}: an untrained encoder's codes do not predict them either; perhaps no image shows them."
        return Outcome(ours, UNDECIDED, why, control)
    return Outcome(ours, REPRODUCED, f"The images show them, the codes do not: {_names(lost)}.", control)


def _readable(row: dict[str, Any]) -> bool:
    return row["untrained"] - row["untrained_std"] > row["baseline"] + row["baseline_std"]


@judges(MEASURED, "probing_learned")
def _probing_learned(facts: Facts, claim: paper.Claim) -> Outcome:
    rows = _probes(facts)
    better = [r["attribute"] for r in rows if r["accuracy"] - r["std"] > r["untrained"] + r["untrained_std"]]
    worse = [r["attribute"] for r in rows if r["accuracy"] + r["std"] < r["untrained"] - r["untrained_std"]]
    why = f"Reproduced if more than half gain, error bars apart. {len(worse)} lose"
    why += f": {_names(worse)}." if worse else "."
    ours = f"training raises {len(better)} of {len(rows)} attributes"
    return Outcome(ours, holds(len(better) > len(rows) / 2), why, "codes of an untrained encoder")
