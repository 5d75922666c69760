"""Claims that hold by construction, of any model: a check of the code, no finding."""

from pivq import paper
from pivq.runs.verdict.facts import Facts, find, need
from pivq.runs.verdict.judging import CLOSE, CONSTRUCTION, Outcome, holds, judges


@judges(CONSTRUCTION, "decoder_invariance")
def _decoder_invariance(facts: Facts, claim: paper.Claim) -> Outcome:
    worst = need(facts, "interpolation", "order_difference")
    why = "Greatest difference of any pixel (of 1) over random orders; float32 sums depend on their order."
    return Outcome(f"{worst:.0e}", holds(worst < 1e-5), why)


@judges(CONSTRUCTION, "matching_codes_per_image")
def _matching_codes_per_image(facts: Facts, claim: paper.Claim) -> Outcome:
    models = {"learned tokens": (need(facts, "capacity", "L"), need(facts, "capacity", "models", "matching"))}
    if drawn := find(facts, "capacity", "drawn"):
        models["drawn tokens"] = drawn["L"], drawn["matching"]
    every = all(m["mean_codes_per_image"] == m["max_codes_per_image"] == length for length, m in models.values())
    counted = [f"{m['mean_codes_per_image']:g} of {length} ({name})" for name, (length, m) in models.items()]
    return Outcome(", ".join(counted), holds(every), "Counted on all training images.")


@judges(CONSTRUCTION, "one_pass_sampling")
def _one_pass_sampling(facts: Facts, claim: paper.Claim) -> Outcome:
    measured = need(facts, "sample_quality", "properties")
    ours = f"{measured['decoder_runs']} run of the decoder for a batch of samples"
    return Outcome(ours, holds(measured["one_pass_sampling"]), "Counted while sampling from encoded images.")


@judges(CONSTRUCTION, "discrete")
def _discrete(facts: Facts, claim: paper.Claim) -> Outcome:
    measured = need(facts, "sample_quality", "properties")
    why = "Codes written to bytes and read back give the same image, bit for bit."
    return Outcome(f"{measured['bits']:.0f} bits by Eq. (4)", holds(measured["discrete"]), why)


@judges(CONSTRUCTION, "density_one")
def _density_one(facts: Facts, claim: paper.Claim) -> Outcome:
    k = facts["config"].evaluation.prdc_k[0]
    rows = need(facts, "sample_quality", "rows")
    row = next(row for row in rows if row["method"] == "held-out images (real)")
    density = row[f"density (k={k})"]
    why = f"Real held-out images against real training images, k = {k}: a property of the metric, of no model."
    return Outcome(f"{density:.2f}", holds(abs(density - 1) <= CLOSE), why)
