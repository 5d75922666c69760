"""Claims recomputed from the numbers that the paper prints: nothing trained is looked at."""

from itertools import pairwise, permutations

from pivq import paper
from pivq.capacity import matching_bits, multiset_bits, nearest_bits, positional_bits
from pivq.runs.verdict.facts import Facts, find, need
from pivq.runs.verdict.judging import RECOMPUTED, Outcome, holds, judges

K, L, K_IMG = paper.CODEBOOK_SIZE, paper.NUM_CODES, paper.TABLE2[0].codes_per_image
CELEBA_L = 32  # of the paper's models for 64×64 images (Section 4.1)
SIMILAR = 0.75  # share of a VQ-GAN's bits that counts as "overall similar"; assumption
SCORES = {"fid": False, "precision": True, "recall": True, "density": True, "coverage": True}  # whether more is better


def _equals(value: float, claim: paper.Claim) -> str:
    """Judge a recomputed number: it must equal the printed one when rounded to as many decimals."""
    return holds(abs(value - claim.value) <= 0.5 * 10**-claim.decimals + 1e-9)


@judges(RECOMPUTED, "matching_bits")
def _matching_bits(facts: Facts, claim: paper.Claim) -> Outcome:
    bits = matching_bits(K, L)
    return Outcome(f"{bits:,.1f} bits", _equals(bits, claim), "Eq. (4), if every code is in use.")


@judges(RECOMPUTED, "nearest_bits")
def _nearest_bits(facts: Facts, claim: paper.Claim) -> Outcome:
    bits = nearest_bits(K, K_IMG, L)
    why = (
        "Eq. (2) with every code in use gives less than the printed number, and with fewer in use less still. "
        "With K_img in place of K_img − 1 in its second factor it gives 614.7, so 614 for 4,030 to 4,086 codes in use."
    )
    return Outcome(f"{bits:,.1f} bits", _equals(bits, claim), why)


@judges(RECOMPUTED, "capacity_ratio")
def _capacity_ratio(facts: Facts, claim: paper.Claim) -> Outcome:
    near, match = (row.bits for row in paper.TABLE2)
    exact = matching_bits(K, L) / nearest_bits(K, K_IMG, L)
    why = f"Both the printed bits ({match / near:.2f}) and the equations; it rests on the paper's K_img."
    if ratio := find(facts, "capacity", "ratio"):
        once = need(facts, "capacity", "ratio_counted_once")
        why += f" Measured here: {ratio:.2f}× with learned tokens ({once:.2f}× with each set counted once)"
        drawn = find(facts, "capacity", "drawn")
        why += f", {drawn['matching']['bits'] / drawn['nearest']['bits']:.2f}× with drawn ones." if drawn else "."
    return Outcome(f"{exact:.2f}×", holds(min(exact, match / near) > claim.value), why)


@judges(RECOMPUTED, "maximum_bits")
def _maximum_bits(facts: Facts, claim: paper.Claim) -> Outcome:
    bits, top = multiset_bits(K, L), max(nearest_bits(K, n, L) for n in range(1, L + 1))
    why = f"It is the number of multisets; Eq. (2) itself over-counts and has its maximum at {top:,.0f} bits."
    return Outcome(f"{bits:,.1f} bits", _equals(bits, claim), why)


@judges(RECOMPUTED, "vqgan_bits")
def _vqgan_bits(facts: Facts, claim: paper.Claim) -> Outcome:
    bits = positional_bits(paper.VQGAN_CODEBOOK_SIZE, paper.VQGAN_NUM_CODES)
    return Outcome(f"{bits:,.1f} bits", _equals(bits, claim), "L · log2 K.")


@judges(RECOMPUTED, "similar_capacity")
def _similar_capacity(facts: Facts, claim: paper.Claim) -> Outcome:
    share = matching_bits(K, L) / positional_bits(paper.VQGAN_CODEBOOK_SIZE, paper.VQGAN_NUM_CODES)
    small = matching_bits(512, CELEBA_L) / positional_bits(512, CELEBA_L)
    why = f"From {SIMILAR:.0%} on. The model for 64×64 has {small:.0%} of what as many codes with positions hold."
    return Outcome(f"2,221 of 2,560 bits, {share:.0%}", holds(share >= SIMILAR), why)


@judges(RECOMPUTED, "positional_above")
def _positional_above(facts: Facts, claim: paper.Claim) -> Outcome:
    above = all(positional_bits(K, n) > matching_bits(K, n) for n in range(2, L + 1))
    return Outcome(f"for every L from 2 to {L}", holds(above), f"Computed with K = {K}, Fig. 4.")


@judges(RECOMPUTED, "matching_above")
def _matching_above(facts: Facts, claim: paper.Claim) -> Outcome:
    above = [n for n in range(1, L + 1) if matching_bits(K, n) > nearest_bits(K, min(K_IMG, n), n)]
    first = min(above)
    why = (
        f"Below, Eq. (2) gives more bits than Eq. (4), because it over-counts where K_img is near L: "
        f"so also at the paper's L = {CELEBA_L} for CelebA. At L = {L} matching is above."
    )
    return Outcome(f"from L = {first} on", holds(first <= CELEBA_L), why)


def _own(metric: str) -> list[float]:
    """Return the paper's own scores in a metric, in the rows that it averages (see `paper.TABLE3_AVERAGES`)."""
    rows = [row for row in paper.TABLE3 if row.method == "PI-VQ" and row.data in _compared(metric)]
    return [getattr(row, metric) for row in rows]


def _compared(metric: str) -> list[str]:
    """Return the data sets in which other methods have the metric, too."""
    return [data for data in paper.DATA.values() if _others(data, metric)]


def _others(data: str, metric: str) -> list[float]:
    values = [getattr(row, metric) for row in paper.TABLE3 if row.data == data and row.method != "PI-VQ"]
    return [value for value in values if value is not None]


@judges(RECOMPUTED, *(f"average_{metric}" for metric in SCORES))
def _average(facts: Facts, claim: paper.Claim) -> Outcome:
    values = _own(claim.id.removeprefix("average_"))
    mean = sum(values) / len(values)
    return Outcome(f"{mean:.3g}", _equals(mean, claim), "Averaged again from the printed rows; nothing measured here.")


@judges(RECOMPUTED, "best_averages")
def _best_averages(facts: Facts, claim: paper.Claim) -> Outcome:
    found, right = [], []
    for metric, more in SCORES.items():
        best = [(max if more else min)(_others(data, metric)) for data in _compared(metric)]
        mean, printed = sum(best) / len(best), getattr(paper.TABLE3_AVERAGES[0], metric)
        found.append(f"{mean:.3g}")
        right.append(abs(mean - printed) <= (0.05 if metric == "fid" else 0.005) + 1e-9)
    return Outcome(", ".join(found), holds(all(right)), "The best other method of each data set, averaged.")


@judges(RECOMPUTED, "neither_best_nor_worst")
def _neither_best_nor_worst(facts: Facts, claim: paper.Claim) -> Outcome:
    parts, majorities = [], []
    for data in paper.DATA.values():
        (own,) = [row for row in paper.TABLE3 if row.data == data and row.method == "PI-VQ"]
        between = {m: min(v) <= getattr(own, m) <= max(v) for m in SCORES if (v := _others(data, m))}
        parts.append(f"{data.split()[0]} {sum(between.values())} of {len(between)}")
        majorities.append(sum(between.values()) > len(between) / 2)
    why = f"Metrics in which another method is better and another worse; a majority in {sum(majorities)} of 3 sets."
    return Outcome(", ".join(parts), holds(all(majorities)), why)


@judges(RECOMPUTED, "path_count")
def _path_count(facts: Facts, claim: paper.Claim) -> Outcome:
    exchanged, paths = 3, set()
    for a in permutations(range(exchanged)):
        for b in permutations(range(exchanged, 2 * exchanged)):
            steps = [frozenset(a[:t] + b[t:]) for t in range(exchanged + 1)]
            assert all(len(now - before) == 1 for before, now in pairwise(steps))
            paths.add(tuple(steps))
    pair = need(facts, "interpolation", "pairs")[0]
    digits = len(pair["paths"])  # at the paper's L the number is too large for a float
    why = f"All paths listed for |R| = {exchanged}. The first pair here has ({pair['exchanged']}!)², {digits} digits."
    return Outcome(f"{len(paths)} for |R| = {exchanged}", holds(len(paths) == 36), why)
