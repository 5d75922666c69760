"""Every checkable number or claim of the paper beside ours, and a judgement: `reproduced`, `differs`, or not testable.

The numbers come from the JSON files that the notebooks leave in `figures/<profile>/`, so that none is typed in.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from pivq import paper
from pivq.capacity import matching_bits, multiset_bits, nearest_bits, positional_bits
from pivq.config import Config
from pivq.storage.paths import ablations_file, figures_dir

CLOSE = 0.1  # relative difference up to which a score of the paper's own experiment is reproduced; assumption
REPRODUCED, DIFFERS, NEEDS_SCALE = "reproduced", "differs", "needs paper-scale data"

# File: the notebook that makes it.
SOURCES = {
    "ablations": "03_train",
    "capacity": "04_capacity",
    "interpolation": "05_interpolation",
    "sample_quality": "06_sample_quality",
    "probing": "07_probing",
}


class Judgement(NamedTuple):
    """What became of a claim.

    Attributes:
        id, where, claim: of `paper.Claim`.
        paper: its number with unit, or "–" for a claim in words.
        ours: what was computed or measured here.
        judgement: REPRODUCED, DIFFERS or NEEDS_SCALE.
        why: the reason, or what the judgement rests on.
    """

    id: str
    where: str
    claim: str
    paper: str
    ours: str
    judgement: str
    why: str


Outcome = tuple[str, str, str]  # ours, judgement, why


def load_facts(config: Config) -> dict[str, Any]:
    """Return the numbers that the notebooks left, by file name, and `config`.

    Raises:
        FileNotFoundError: a file is missing; names the notebook that makes it.
    """
    facts: dict[str, Any] = {"config": config}
    for name, notebook in SOURCES.items():
        own = figures_dir(config.profile) / f"{name}.json"
        path = ablations_file(config.profile) if name == "ablations" else own
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing: run notebook {notebook} first "
                f"(./run_all.sh --profile {config.profile} --only {notebook[:2]})"
            )
        facts[name] = json.loads(path.read_text())
    return facts


def judge(facts: dict[str, Any]) -> list[Judgement]:
    """Judge every claim in `paper.CLAIMS`, in that order, from `load_facts`."""
    judgements = []
    for claim in paper.CLAIMS:
        ours, judgement, why = RULES[claim.id](facts, claim)
        number = "–" if claim.value is None else f"{claim.value:g} {claim.unit}".replace(" ×", "×")
        judgements.append(Judgement(claim.id, claim.where, claim.text, number, ours, judgement, why))
    return judgements


def _holds(condition: bool) -> str:
    return REPRODUCED if condition else DIFFERS


def _number(value: float, printed: float) -> str:
    """Judge a recomputed number: equal to the printed one when rounded to its decimals."""
    decimals = len(f"{printed:g}".partition(".")[2])
    return _holds(round(value, decimals) == printed)


# --- Arithmetic: the paper's own sizes, nothing trained ---------------------------------------------------------------


def _recomputed(value: Callable[[], float], unit: str, why: str) -> Callable[[dict, paper.Claim], Outcome]:
    return lambda facts, claim: (f"{value():,.1f} {unit}", _number(value(), claim.value), why)


def _nearest_bits(facts: dict, claim: paper.Claim) -> Outcome:
    bits = nearest_bits(paper.CODEBOOK_SIZE, paper.TABLE2[0].codes_per_image, paper.NUM_CODES)
    why = "Eq. (2) with every code in use gives less than the printed number, and with fewer in use less still."
    return f"{bits:,.1f} bits", _number(bits, claim.value), why


def _capacity_ratio(facts: dict, claim: paper.Claim) -> Outcome:
    near, match = (row.bits for row in paper.TABLE2)
    exact = matching_bits(paper.CODEBOOK_SIZE, paper.NUM_CODES) / nearest_bits(
        paper.CODEBOOK_SIZE, paper.TABLE2[0].codes_per_image, paper.NUM_CODES
    )
    why = f"Both the printed bits ({match / near:.2f}) and the equations; it rests on the paper's measured K_img."
    return f"{exact:.2f}×", _holds(min(exact, match / near) > claim.value), why


def _maximum_bits(facts: dict, claim: paper.Claim) -> Outcome:
    bits, top = multiset_bits(paper.CODEBOOK_SIZE, paper.NUM_CODES), facts["capacity"]["equation2_maximum"]
    why = f"It is the number of multisets; Eq. (2) itself over-counts and has its maximum at {top['bits']:,.0f} bits."
    return f"{bits:,.1f} bits", _number(bits, claim.value), why


def _positional_above(facts: dict, claim: paper.Claim) -> Outcome:
    k, lengths = paper.CODEBOOK_SIZE, range(2, paper.NUM_CODES + 1)
    above = all(positional_bits(k, n) > matching_bits(k, n) for n in lengths)
    return f"for every L from 2 to {paper.NUM_CODES}", _holds(above), "Computed with K = 4096, Fig. 4."


def _average(metric: str, data: tuple[str, ...] = ()) -> Callable[[dict, paper.Claim], Outcome]:
    def rule(facts: dict, claim: paper.Claim) -> Outcome:
        own = [row for row in paper.TABLE3 if row.method == "PI-VQ" and (not data or row.data.startswith(data))]
        mean = sum(getattr(row, metric) for row in own) / len(own)
        decimals = len(f"{claim.value:g}".partition(".")[2])
        near_enough = abs(mean - claim.value) <= 0.5 * 10**-max(decimals, 1) + 1e-9
        return f"{mean:.3g}", _holds(near_enough), "Averaged again from the printed rows; no measurement of ours."

    return rule


# --- Measured on our models -------------------------------------------------------------------------------------------


def _invariance(facts: dict, claim: paper.Claim) -> Outcome:
    worst = facts["interpolation"]["order_difference"]
    why = "Greatest difference of any pixel (of 1) over random orders; float32 sums depend on their order."
    return f"{worst:.0e}", _holds(worst < 1e-5), why


def _nearest_codes_per_image(facts: dict, claim: paper.Claim) -> Outcome:
    model, length = facts["capacity"]["models"]["nearest"], facts["capacity"]["L"]
    ours, most = f"{model['max_codes_per_image']} of {length}", model["max_codes_per_image"]
    if facts["config"].dataset not in ("celeba", "celebahq") or length != paper.NUM_CODES:
        return ours, NEEDS_SCALE, f"Measured by the paper on CelebA at L = {paper.NUM_CODES}; L = {length} here."
    return ours, _holds(abs(most - claim.value) <= CLOSE * claim.value), f"Within {CLOSE:.0%}; one seed."


def _matching_codes_per_image(facts: dict, claim: paper.Claim) -> Outcome:
    model, length = facts["capacity"]["models"]["matching"], facts["capacity"]["L"]
    every = model["mean_codes_per_image"] == model["max_codes_per_image"] == length
    return f"{length} of {length} in every image", _holds(every), "By construction, and counted on all training images."


def _nearest_repeats(facts: dict, claim: paper.Claim) -> Outcome:
    model, length = facts["capacity"]["models"]["nearest"], facts["capacity"]["L"]
    ours = f"{model['mean_codes_per_image']:.2f} of {length} differ on average, at most {model['max_codes_per_image']}"
    collapsed = model["max_codes_per_image"] < length / 2
    if collapsed:
        return ours, REPRODUCED, "Half of the codes of an image or more are repeats."
    share = model["slot_dominant_share"]
    why = (
        f"{share:.0%} of a code's uses come from one learned token: they divide the codebook among themselves, so "
        "they seldom meet at a code. Larger L and longer training are untested."
    )
    return ours, DIFFERS, why


def _matching_raises_capacity(facts: dict, claim: paper.Claim) -> Outcome:
    models, capacity = facts["capacity"]["models"], facts["capacity"]
    ours = f"matching {models['matching']['bits']:.1f}, nearest {models['nearest']['bits']:.1f} bits"
    if capacity["ratio"] > 1:
        return ours, REPRODUCED, f"{capacity['ratio']:.2f} times, by Eqs. (4) and (2); only the quantizer differs."
    why = (
        "Nearest hardly repeats here, and Eq. (2) over-counts where K_img is near L "
        f"(counted once: {models['nearest']['bits_counted_once']:.1f} bits)."
    )
    return ours, DIFFERS, why


def _property(name: str, ours: Callable[[dict], str], why: str) -> Callable[[dict, paper.Claim], Outcome]:
    def rule(facts: dict, claim: paper.Claim) -> Outcome:
        measured = facts["sample_quality"]["properties"]
        return ours(measured), _holds(bool(measured[name])), why

    return rule


def _multiple_paths(facts: dict, claim: paper.Claim) -> Outcome:
    apart = [pair["apart"] for pair in facts["interpolation"]["pairs"]]
    ours = f"two random paths of a pair run {min(apart):.0%} to {max(apart):.0%} of the ends' distance apart"
    return ours, _holds(min(apart) > 0.02), "Mean over the steps between the ends, L1; Fig. 1 shows them."


def _path_count(facts: dict, claim: paper.Claim) -> Outcome:
    pair = facts["interpolation"]["pairs"][0]
    digits = len(pair["paths"])  # too large a number for a float at the paper's L
    return f"({pair['exchanged']}!)², {digits} digits, for the first pair", REPRODUCED, "By definition."


def _quantized_from_start(facts: dict, claim: paper.Claim) -> Outcome:
    rows = {row["variation"]: row for row in facts["ablations"]["rows"]}
    at_once, usual = rows["quantized from the start"]["PSNR (dB)"], rows["as trained"]["PSNR (dB)"]
    steps, profile = facts["ablations"]["steps"], facts["ablations"]["profile"]
    why = f"Otherwise equal runs of {steps:,} steps, profile {profile}; notebook 03 shows the pictures."
    return f"{at_once:.1f} dB against {usual:.1f} dB with delay", _holds(usual - at_once > 3), why


def _repeated_initialisation(facts: dict, claim: paper.Claim) -> Outcome:
    rows = {row["variation"]: row for row in facts["ablations"]["rows"]}
    once, usual = rows["one initialisation"]["codes in use"], rows["as trained"]["codes in use"]
    profile = facts["ablations"]["profile"]
    why = f"Codes in use over the training images; several fits against one, profile {profile}, one seed."
    return f"{usual} codes in use against {once}", _holds(usual > once), why


def _score(metric: str) -> Callable[[dict, paper.Claim], Outcome]:
    def rule(facts: dict, claim: paper.Claim) -> Outcome:
        quality, k = facts["sample_quality"], facts["config"].evaluation.prdc_k[0]
        row = next(row for row in quality["rows"] if row["method"] == "PI-VQ, matching: samples")
        value = row["distance"] if metric == "fid" else row[f"{metric} (k={k})"]
        name = quality["distance_name"] if metric == "fid" else f"{metric}, k = {k}"
        number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        ours = f"{number} ({name}, {facts['config'].dataset})"
        if claim.id != f"{facts['config'].dataset}_{metric}" or quality["distance_name"] != "FID":
            return ours, NEEDS_SCALE, "Needs its data set and Inception features; ours has others."
        judgement = _holds(abs(value - claim.value) <= CLOSE * claim.value)
        return ours, judgement, f"Within {CLOSE:.0%} counts as reproduced; {row['samples']:,} samples, one seed."

    return rule


def _dense_samples(facts: dict, claim: paper.Claim) -> Outcome:
    ours, _, _ = _score("density")(facts, claim)
    quality, k = facts["sample_quality"], facts["config"].evaluation.prdc_k[0]
    if facts["config"].dataset not in ("ffhq", "celebahq") or quality["distance_name"] != "FID":
        return ours, NEEDS_SCALE, "A claim about 256×256 data sets, in Inception features."
    row = next(row for row in quality["rows"] if row["method"] == "PI-VQ, matching: samples")
    return ours, _holds(row[f"density (k={k})"] > 1), "On one of the two data sets; one seed."


def _low_recall(facts: dict, claim: paper.Claim) -> Outcome:
    k = facts["config"].evaluation.prdc_k[0]
    row = next(row for row in facts["sample_quality"]["rows"] if row["method"] == "PI-VQ, matching: samples")
    precision, recall = row[f"precision (k={k})"], row[f"recall (k={k})"]
    ours = f"recall {recall:.3f}, precision {precision:.3f}"
    if precision < 0.1:
        return ours, NEEDS_SCALE, "Few samples lie among real images at all after so short a training; nothing follows."
    return ours, _holds(recall < precision), f"In our features, k = {k}."


def _probing_above(facts: dict, claim: paper.Claim) -> Outcome:
    names, scored = facts["probing"]["significant_attributes"], facts["probing"]["scored"]
    return f"{len(names)} of {scored} attributes", _holds(bool(names)), f"Error bars apart: {', '.join(names[:3])}."


def _probing_not_above(facts: dict, claim: paper.Claim) -> Outcome:
    names, scored = facts["probing"]["not_significant"], facts["probing"]["scored"]
    ours = f"{len(names)} of {scored} attributes"
    if not names:
        drawn = facts["config"].dataset == "avatars"
        why = "The attributes of drawn faces are simpler than those of photographs." if drawn else "None in this set."
        return ours, DIFFERS, why
    return ours, REPRODUCED, f"{', '.join(names[:4])}."


RULES: dict[str, Callable[[dict, paper.Claim], Outcome]] = {
    "decoder_invariance": _invariance,
    "matching_bits": _recomputed(
        lambda: matching_bits(paper.CODEBOOK_SIZE, paper.NUM_CODES), "bits", "Eq. (4), if every code is in use."
    ),
    "nearest_bits": _nearest_bits,
    "capacity_ratio": _capacity_ratio,
    "maximum_bits": _maximum_bits,
    "vqgan_bits": _recomputed(
        lambda: positional_bits(paper.VQGAN_CODEBOOK_SIZE, paper.VQGAN_NUM_CODES), "bits", "L · log2 K."
    ),
    "positional_above": _positional_above,
    "nearest_codes_per_image": _nearest_codes_per_image,
    "matching_codes_per_image": _matching_codes_per_image,
    "nearest_repeats": _nearest_repeats,
    "matching_raises_capacity": _matching_raises_capacity,
    "one_pass_sampling": _property(
        "one_pass_sampling",
        lambda measured: f"{measured['decoder_runs']} run of the decoder for a batch of samples",
        "Counted while sampling from encoded images.",
    ),
    "discrete": _property(
        "discrete",
        lambda measured: f"{measured['bits']:.0f} bits by Eq. (4)",
        "Codes written to bytes and read back give the same image, bit for bit.",
    ),
    "interpolation": _property(
        "interpolation",
        lambda measured: f"largest step {measured['largest_step']:.0%} of the way" if measured["largest_step"] else "–",
        "Mean over paths between held-out images; a path is called smooth if no step goes half of the way.",
    ),
    "multiple_paths": _multiple_paths,
    "path_count": _path_count,
    "quantized_from_start": _quantized_from_start,
    "repeated_initialisation": _repeated_initialisation,
    "average_fid": _average("fid"),
    "average_precision": _average("precision"),
    "average_recall": _average("recall"),
    "average_density": _average("density", ("FFHQ", "CelebA 64")),
    "average_coverage": _average("coverage", ("FFHQ", "CelebA 64")),
    "dense_samples": _dense_samples,
    "low_recall": _low_recall,
    "probing_above": _probing_above,
    "probing_not_above": _probing_not_above,
} | {
    claim.id: _score(claim.id.rpartition("_")[2])
    for claim in paper.CLAIMS
    if claim.where == "Table 3" and not claim.id.startswith("average")
}
