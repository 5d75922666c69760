"""Kinds of claims, judgements, and the rules that make them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pivq import paper
from pivq.runs.verdict.facts import Facts, Undecided

RECOMPUTED, CONSTRUCTION, MEASURED = "recomputed from the paper", "by construction", "measured with a control"
KINDS = {
    MEASURED: "reproduced only where the measurement is beyond its control",
    CONSTRUCTION: "true of any model, trained or not",
    RECOMPUTED: "arithmetic on the paper's own numbers",
}
REPRODUCED, DIFFERS = "reproduced", "differs"
NEEDS_SCALE, UNDECIDED = "needs paper-scale data", "not decided by this run"
DECIDED = (REPRODUCED, DIFFERS)
JUDGEMENTS = (*DECIDED, UNDECIDED, NEEDS_SCALE)
# Relative difference up to which a score of the paper's own experiment is reproduced, and beyond which a measurement
# without error bars is beyond its control. Source: assumption.
CLOSE = 0.1


class Outcome(NamedTuple):
    """What a rule finds: `ours`, the number or words; the judgement; the reason; the control with its number; and what
    our variant with drawn tokens shows, see `beside`."""

    ours: str
    judgement: str
    why: str
    control: str = "–"
    variant: str = "–"


class Judgement(NamedTuple):
    """The result of checking a claim.

    Attributes:
        id, where, claim: of `paper.Claim`.
        kind: RECOMPUTED, CONSTRUCTION or MEASURED.
        paper: its number with unit, or "–" for a claim in words.
        ours: what was computed or measured here; "–" where this run has no number to be set beside the paper's.
        control: for the kind MEASURED, what a claim that says nothing would give.
        judgement: REPRODUCED, DIFFERS, NEEDS_SCALE or UNDECIDED. The paper's setting decides, learned tokens.
        variant: the same with tokens drawn anew for every image, our variant: judgement, number and control.
        why: the reason, or what the judgement rests on.
    """

    id: str
    where: str
    claim: str
    kind: str
    paper: str
    ours: str
    control: str
    judgement: str
    variant: str
    why: str


class Rule(NamedTuple):
    """How a claim is judged."""

    kind: str
    check: Callable[[Facts, paper.Claim], Outcome]


RULES: dict[str, Rule] = {}  # by the claim's id; filled by `judges`


def judges(kind: str, *claims: str) -> Callable[[Callable], Callable]:
    """Make the decorated function the rule for these claims, given by id.

    Raises:
        ValueError: a claim has a rule already, or the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}, expected one of {', '.join(KINDS)}")

    def register(check: Callable[[Facts, paper.Claim], Outcome]) -> Callable:
        for claim in claims:
            if claim in RULES:
                other = RULES[claim].check.__name__
                raise ValueError(f"claim {claim!r} has two rules: {other} and {check.__name__}")
            RULES[claim] = Rule(kind, check)
        return check

    return register


def beside(check: Callable[[Any], Outcome], part: Any) -> str:
    """Return what a check finds in the measurements of our variant, "–" where there are none or nothing is decided."""
    try:
        outcome = check(part) if part else None
    except Undecided:
        outcome = None
    if outcome is None or outcome.judgement not in DECIDED:
        return "–"
    return f"{outcome.judgement}: {outcome.ours}" + (f" ({outcome.control})" if outcome.control != "–" else "")


def holds(condition: bool) -> str:
    """Return the judgement of a claim that is decided."""
    return REPRODUCED if condition else DIFFERS


def judge(facts: Facts) -> list[Judgement]:
    """Judge every claim in `paper.CLAIMS`, in that order, from the facts of `load_facts`.

    Two facts are optional: `reconstruction`, `{"learned": …, "drawn": …, "mean_image": …}`, all in dB on held-out
    images, without which no claim about decoded pictures is decided; and `cost`, what `cost.growth` found.
    """
    judgements = []
    for claim in paper.CLAIMS:
        kind, check = RULES[claim.id]
        try:
            outcome = check(facts, claim)
        except Undecided as reason:
            outcome = Outcome("–", UNDECIDED, str(reason))
        ours, judgement, why, control, variant = outcome
        row = (claim.id, claim.where, claim.text, kind, claim.printed, ours, control, judgement, variant, why)
        judgements.append(Judgement(*row))
    return judgements


def in_order(judgements: list[Judgement]) -> list[Judgement]:
    """Return them sorted for reading: findings first, and of each kind what is decided first."""

    def place(row: Judgement) -> tuple[int, int]:
        return list(KINDS).index(row.kind), 0 if row.judgement in DECIDED else JUDGEMENTS.index(row.judgement)

    return sorted(judgements, key=place)


def counts(judgements: list[Judgement]) -> str:
    """Return how many claims of each kind hold, in one line.

    Example:
        >>> hold, fail = (Judgement(*"abc", kind, *"def", found, *"gh")
        ...               for kind, found in ((RECOMPUTED, REPRODUCED), (MEASURED, DIFFERS)))
        >>> counts([hold, fail])
        'recomputed from the paper: 1 of 1 hold; by construction: 0 of 0 hold; measured with a control: 0 of 1 seen'
    """  # noqa: E501
    parts = []
    for kind, word in ((RECOMPUTED, "hold"), (CONSTRUCTION, "hold"), (MEASURED, "seen")):
        found = [row.judgement for row in judgements if row.kind == kind]
        decided = [judgement for judgement in found if judgement in DECIDED]
        more = [(UNDECIDED, "not decided by this run"), (NEEDS_SCALE, "need the paper's data")]
        rest = "".join(f", {found.count(judgement)} {said}" for judgement, said in more if judgement in found)
        parts.append(f"{kind}: {decided.count(REPRODUCED)} of {len(decided)} {word}{rest}")
    return "; ".join(parts)


def summary(judgements: list[Judgement]) -> str:
    """Return what was measured in a few lines of Markdown: which claims hold, which do not, which are not decided."""
    short = {claim.id: claim.short for claim in paper.CLAIMS if claim.short}
    rows = [row for row in judgements if row.id in short]
    said = {name: [row for row in rows if row.judgement == judgement] for name, judgement in (
        ("Seen", REPRODUCED), ("Not seen", DIFFERS), ("Not decided by this run", UNDECIDED))}  # fmt: skip
    only = [row for row in rows if row.judgement != REPRODUCED and row.variant.startswith(REPRODUCED)]
    said["Seen only with drawn tokens, our variant"] = only
    return "\n".join(f"- **{name}**: {'; '.join(short[r.id] for r in found)}." for name, found in said.items() if found)
