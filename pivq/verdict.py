"""Judge each checkable number or claim of the paper by ours: `reproduced`, `differs` or `needs paper-scale data`.

Our numbers come from the JSON files that the notebooks leave in `figures/<profile>/`; none is typed in. Those of
another seed, profile, data set or run are refused; only ablations may be of another profile.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pivq import paper
from pivq.capacity import matching_bits, multiset_bits, nearest_bits, positional_bits
from pivq.config import Config
from pivq.storage.origin import origin, other_origin
from pivq.storage.paths import ablations_file, figures_dir
from pivq.storage.writing import read_sealed

CLOSE = 0.1  # relative difference up to which a score of the paper's own experiment is reproduced; assumption
REPRODUCED, DIFFERS, NEEDS_SCALE = "reproduced", "differs", "needs paper-scale data"

# Files of numbers, each with the notebook that makes it.
SOURCES = {
    "ablations": "03_train",
    "capacity": "04_capacity",
    "interpolation": "05_interpolation",
    "sample_quality": "06_sample_quality",
    "probing": "07_probing",
}


class Judgement(NamedTuple):
    """The result of checking a claim.

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
Rule = Callable[[dict[str, Any], paper.Claim], Outcome]
RULES: dict[str, Rule] = {}  # by the claim's id; filled by `judges`


def load_facts(config: Config, names: Iterable[str] = tuple(SOURCES)) -> dict[str, Any]:
    """Return the numbers that the notebooks left, by file name, and `config`.

    Args:
        config: the numbers must be of this configuration.
        names: which of `SOURCES`; all by default.

    Raises:
        FileNotFoundError: a file is missing; names the notebook that makes it.
        ValueError: a file is damaged, was made from something else, or does not say from what; the same.
    """
    facts: dict[str, Any] = {"config": config}
    place = (config.profile, config.seed)
    for name in names:
        own, notebook = figures_dir(*place) / f"{name}.json", SOURCES[name]
        path = ablations_file(*place) if name == "ablations" else own
        command = f"./run_all.sh {config.options} --only {notebook[:2]}"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: run notebook {notebook} first ({command})")
        facts[name] = read_sealed(path)
        if name == "ablations" and "rows" not in facts[name]:
            raise ValueError(f"{path} is damaged: it has no rows. Run notebook {notebook} with --rerun-ablations")
        if name != "ablations" and (other := other_origin(facts[name], config)):
            raise ValueError(f"{path} was made from {other}: run notebook {notebook} first ({command})")
    return facts


def judge(facts: dict[str, Any]) -> list[Judgement]:
    """Judge every claim in `paper.CLAIMS`, in that order, from the facts of `load_facts`."""
    judgements = []
    for claim in paper.CLAIMS:
        ours, judgement, why = RULES[claim.id](facts, claim)
        number = "–" if claim.value is None else f"{claim.value:g} {claim.unit}".replace(" ×", "×")
        judgements.append(Judgement(claim.id, claim.where, claim.text, number, ours, judgement, why))
    return judgements


def judges(*claims: str) -> Callable[[Rule], Rule]:
    """Make the decorated function the rule for these claims, given by id.

    Raises:
        ValueError: a claim has a rule already.
    """

    def register(rule: Rule) -> Rule:
        for claim in claims:
            if claim in RULES:
                raise ValueError(f"claim {claim!r} has two rules: {RULES[claim].__name__} and {rule.__name__}")
            RULES[claim] = rule
        return rule

    return register


def _holds(condition: bool) -> str:
    return REPRODUCED if condition else DIFFERS


def _number(value: float, printed: float) -> str:
    """Judge a recomputed number: it must equal the printed one when rounded to as many decimals."""
    return _holds(round(value, _decimals(printed)) == printed)


def _decimals(printed: float) -> int:
    return len(f"{printed:g}".partition(".")[2])


# --- Arithmetic: the paper's own sizes, nothing trained ---------------------------------------------------------------


@judges("matching_bits")
def _matching_bits(facts: dict, claim: paper.Claim) -> Outcome:
    bits = matching_bits(paper.CODEBOOK_SIZE, paper.NUM_CODES)
    return f"{bits:,.1f} bits", _number(bits, claim.value), "Eq. (4), if every code is in use."


@judges("nearest_bits")
def _nearest_bits(facts: dict, claim: paper.Claim) -> Outcome:
    bits = nearest_bits(paper.CODEBOOK_SIZE, paper.TABLE2[0].codes_per_image, paper.NUM_CODES)
    why = "Eq. (2) with every code in use gives less than the printed number, and with fewer in use less still."
    return f"{bits:,.1f} bits", _number(bits, claim.value), why


@judges("capacity_ratio")
def _capacity_ratio(facts: dict, claim: paper.Claim) -> Outcome:
    near, match = (row.bits for row in paper.TABLE2)
    exact = matching_bits(paper.CODEBOOK_SIZE, paper.NUM_CODES) / nearest_bits(
        paper.CODEBOOK_SIZE, paper.TABLE2[0].codes_per_image, paper.NUM_CODES
    )
    why = f"Both the printed bits ({match / near:.2f}) and the equations; it rests on the paper's measured K_img."
    return f"{exact:.2f}×", _holds(min(exact, match / near) > claim.value), why


@judges("maximum_bits")
def _maximum_bits(facts: dict, claim: paper.Claim) -> Outcome:
    bits, top = multiset_bits(paper.CODEBOOK_SIZE, paper.NUM_CODES), facts["capacity"]["equation2_maximum"]
    why = f"It is the number of multisets; Eq. (2) itself over-counts and has its maximum at {top['bits']:,.0f} bits."
    return f"{bits:,.1f} bits", _number(bits, claim.value), why


@judges("vqgan_bits")
def _vqgan_bits(facts: dict, claim: paper.Claim) -> Outcome:
    bits = positional_bits(paper.VQGAN_CODEBOOK_SIZE, paper.VQGAN_NUM_CODES)
    return f"{bits:,.1f} bits", _number(bits, claim.value), "L · log2 K."


@judges("positional_above")
def _positional_above(facts: dict, claim: paper.Claim) -> Outcome:
    k, lengths = paper.CODEBOOK_SIZE, range(2, paper.NUM_CODES + 1)
    above = all(positional_bits(k, n) > matching_bits(k, n) for n in lengths)
    return f"for every L from 2 to {paper.NUM_CODES}", _holds(above), "Computed with K = 4096, Fig. 4."


@judges("average_fid", "average_precision", "average_recall", "average_density", "average_coverage")
def _average(facts: dict, claim: paper.Claim) -> Outcome:
    metric = claim.id.removeprefix("average_")
    own = [row for row in paper.TABLE3 if row.method == "PI-VQ"]
    if metric in ("density", "coverage"):  # averaged without CelebA-HQ, see `paper.TABLE3_AVERAGES`
        own = [row for row in own if row.data != paper.DATA["celebahq"]]
    mean = sum(getattr(row, metric) for row in own) / len(own)
    near_enough = abs(mean - claim.value) <= 0.5 * 10 ** -max(_decimals(claim.value), 1) + 1e-9
    return f"{mean:.3g}", _holds(near_enough), "Averaged again from the printed rows; no measurement of ours."


# --- Measured on our models -------------------------------------------------------------------------------------------


@judges("decoder_invariance")
def _decoder_invariance(facts: dict, claim: paper.Claim) -> Outcome:
    worst = facts["interpolation"]["order_difference"]
    why = "Greatest difference of any pixel (of 1) over random orders; float32 sums depend on their order."
    return f"{worst:.0e}", _holds(worst < 1e-5), why


@judges("nearest_codes_per_image")
def _nearest_codes_per_image(facts: dict, claim: paper.Claim) -> Outcome:
    most, length = facts["capacity"]["models"]["nearest"]["max_codes_per_image"], facts["capacity"]["L"]
    ours = f"{most} of {length}"
    if facts["config"].dataset not in ("celeba", "celebahq") or length != paper.NUM_CODES:
        return ours, NEEDS_SCALE, f"Measured by the paper on CelebA at L = {paper.NUM_CODES}; L = {length} here."
    return ours, _holds(abs(most - claim.value) <= CLOSE * claim.value), f"Within {CLOSE:.0%}; one seed."


@judges("matching_codes_per_image")
def _matching_codes_per_image(facts: dict, claim: paper.Claim) -> Outcome:
    model, length = facts["capacity"]["models"]["matching"], facts["capacity"]["L"]
    every = model["mean_codes_per_image"] == model["max_codes_per_image"] == length
    return f"{length} of {length} in every image", _holds(every), "By construction, and counted on all training images."


@judges("nearest_repeats")
def _nearest_repeats(facts: dict, claim: paper.Claim) -> Outcome:
    model, length = facts["capacity"]["models"]["nearest"], facts["capacity"]["L"]
    ours = f"{model['mean_codes_per_image']:.2f} of {length} differ on average, at most {model['max_codes_per_image']}"
    if model["max_codes_per_image"] < length / 2:
        return ours, REPRODUCED, "Half of the codes of an image or more are repeats."
    share = model["slot_dominant_share"]
    why = (
        f"{share:.0%} of a code's uses come from one learned token: they divide the codebook among themselves, so "
        "they seldom meet at a code. Larger L and longer training are untested."
    )
    return ours, DIFFERS, why


@judges("matching_raises_capacity")
def _matching_raises_capacity(facts: dict, claim: paper.Claim) -> Outcome:
    models, ratio = facts["capacity"]["models"], facts["capacity"]["ratio"]
    ours = f"matching {models['matching']['bits']:.1f}, nearest {models['nearest']['bits']:.1f} bits"
    if ratio > 1:
        return ours, REPRODUCED, f"{ratio:.2f} times, by Eqs. (4) and (2); only the quantizer differs."
    why = (
        "Nearest hardly repeats here, and Eq. (2) over-counts where K_img is near L "
        f"(counted once: {models['nearest']['bits_counted_once']:.1f} bits)."
    )
    return ours, DIFFERS, why


@judges("one_pass_sampling")
def _one_pass_sampling(facts: dict, claim: paper.Claim) -> Outcome:
    measured = facts["sample_quality"]["properties"]
    ours = f"{measured['decoder_runs']} run of the decoder for a batch of samples"
    return ours, _holds(measured["one_pass_sampling"]), "Counted while sampling from encoded images."


@judges("discrete")
def _discrete(facts: dict, claim: paper.Claim) -> Outcome:
    measured = facts["sample_quality"]["properties"]
    why = "Codes written to bytes and read back give the same image, bit for bit."
    return f"{measured['bits']:.0f} bits by Eq. (4)", _holds(measured["discrete"]), why


@judges("interpolation")
def _interpolation(facts: dict, claim: paper.Claim) -> Outcome:
    measured = facts["sample_quality"]["properties"]
    ours = f"largest step {measured['largest_step']:.0%} of the way" if measured["largest_step"] else "–"
    why = "Mean over paths between held-out images; a path is called smooth if no step goes half of the way."
    return ours, _holds(measured["interpolation"]), why


@judges("multiple_paths")
def _multiple_paths(facts: dict, claim: paper.Claim) -> Outcome:
    apart = [pair["apart"] for pair in facts["interpolation"]["pairs"]]
    ours = f"two random paths of a pair run {min(apart):.0%} to {max(apart):.0%} of the ends' distance apart"
    return ours, _holds(min(apart) > 0.02), "Mean over the steps between the ends, L1; Fig. 1 shows them."


@judges("path_count")
def _path_count(facts: dict, claim: paper.Claim) -> Outcome:
    pair = facts["interpolation"]["pairs"][0]
    digits = len(pair["paths"])  # at the paper's L the number is too large for a float
    return f"({pair['exchanged']}!)², {digits} digits, for the first pair", REPRODUCED, "By definition."


@judges("quantized_from_start")
def _quantized_from_start(facts: dict, claim: paper.Claim) -> Outcome:
    rows = {row["variation"]: row for row in facts["ablations"]["rows"]}
    at_once, usual = rows["quantized from the start"]["PSNR (dB)"], rows["as trained"]["PSNR (dB)"]
    steps, origin_of = facts["ablations"]["steps"], _ablations_of(facts)
    why = f"Otherwise equal runs of {steps:,} steps, {origin_of}; notebook 03 shows the pictures."
    return f"{at_once:.1f} dB against {usual:.1f} dB with delay", _holds(usual - at_once > 3), why


def _ablations_of(facts: dict) -> str:
    """Say of which profile the ablations are, and of which data and seed if these are not the run's."""
    made, own = facts["ablations"], origin(facts["config"])
    other = [f", {fact} {made[fact]}" for fact in ("dataset", "seed") if made.get(fact, own[fact]) != own[fact]]
    return f"profile {made['profile']}" + "".join(other)


@judges("repeated_initialisation")
def _repeated_initialisation(facts: dict, claim: paper.Claim) -> Outcome:
    rows = {row["variation"]: row for row in facts["ablations"]["rows"]}
    once, usual = rows["one initialisation"]["codes in use"], rows["as trained"]["codes in use"]
    why = f"Codes in use over the training images; several fits against one, {_ablations_of(facts)}, one seed."
    return f"{usual} codes in use against {once}", _holds(usual > once), why


def _samples(facts: dict) -> dict[str, Any]:
    """Return what was measured on our samples, a row of Table 3."""
    return next(row for row in facts["sample_quality"]["rows"] if row["method"] == "PI-VQ, matching: samples")


def _score(facts: dict, metric: str) -> tuple[float, str]:
    """Return our score in a metric of Table 3, and how it is shown."""
    quality, k = facts["sample_quality"], facts["config"].evaluation.prdc_k[0]
    value = _samples(facts)["distance" if metric == "fid" else f"{metric} (k={k})"]
    name = quality["distance_name"] if metric == "fid" else f"{metric}, k = {k}"
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return value, f"{number} ({name}, {facts['config'].dataset})"


@judges(*(claim.id for claim in paper.TABLE3_CLAIMS))
def _table3(facts: dict, claim: paper.Claim) -> Outcome:
    dataset, _, metric = claim.id.rpartition("_")
    value, ours = _score(facts, metric)
    if dataset != facts["config"].dataset or facts["sample_quality"]["distance_name"] != "FID":
        return ours, NEEDS_SCALE, "Needs its data set and Inception features; ours has others."
    judgement = _holds(abs(value - claim.value) <= CLOSE * claim.value)
    why = f"Within {CLOSE:.0%} counts as reproduced; {_samples(facts)['samples']:,} samples, one seed."
    return ours, judgement, why


@judges("dense_samples")
def _dense_samples(facts: dict, claim: paper.Claim) -> Outcome:
    value, ours = _score(facts, "density")
    if facts["config"].dataset not in ("ffhq", "celebahq") or facts["sample_quality"]["distance_name"] != "FID":
        return ours, NEEDS_SCALE, "A claim about 256×256 data sets, in Inception features."
    return ours, _holds(value > 1), "On one of the two data sets; one seed."


@judges("low_recall")
def _low_recall(facts: dict, claim: paper.Claim) -> Outcome:
    row, k = _samples(facts), facts["config"].evaluation.prdc_k[0]
    precision, recall = row[f"precision (k={k})"], row[f"recall (k={k})"]
    ours = f"recall {recall:.3f}, precision {precision:.3f}"
    if precision < 0.1:
        return ours, NEEDS_SCALE, "Few samples lie among real images at all after so short a training; nothing follows."
    return ours, _holds(recall < precision), f"In our features, k = {k}."


@judges("probing_above")
def _probing_above(facts: dict, claim: paper.Claim) -> Outcome:
    names, scored = facts["probing"]["significant_attributes"], facts["probing"]["scored"]
    return f"{len(names)} of {scored} attributes", _holds(bool(names)), f"Error bars apart: {', '.join(names[:3])}."


@judges("probing_not_above")
def _probing_not_above(facts: dict, claim: paper.Claim) -> Outcome:
    names, scored = facts["probing"]["not_significant"], facts["probing"]["scored"]
    ours = f"{len(names)} of {scored} attributes"
    if names:
        return ours, REPRODUCED, f"{', '.join(names[:4])}."
    drawn = facts["config"].dataset == "avatars"
    why = "The attributes of drawn faces are simpler than those of photographs." if drawn else "None in this set."
    return ours, DIFFERS, why
