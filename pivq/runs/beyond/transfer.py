"""What of the findings on drawn faces holds on other pictures: one rule each, with the numbers that it is judged by.

The rows are those of `pivq.runs.beyond.other_data`. Beside them stand the drawn faces of the profile `quick`, as far as
their files in `figures/quick/` have the numbers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pivq.runs.verdict.pictures import LEARNED_DB
from pivq.sampling import SMOOTH_STEP
from pivq.storage.paths import CHECKOUT
from pivq.storage.writing import read_sealed

FACES = "drawn faces"  # the title of the stored rows of notebooks 03 to 11
HOLDS, DOES_NOT, BY_SEED, NOT_MEASURED = "holds", "does not hold", "by seed", "not measured"
UNDECIDED = "not decided"
OWN = 0.9  # share of a code's uses by its own token, and of different codes, from which on there is no competition
COLLAPSED = 0.5  # share of different codes in an image, up to which nearest has collapsed
FAR, BETTER = 3, 0.5  # ratios of Fréchet distances: samples to the control; near parents' share of the gap, at most
GLOBAL = 5  # times the part of the picture that one cell of the grid changes
DETAIL = 0.5  # dB
# All of these thresholds: assumption, set before the other pictures were measured. A coin and `LEARNED_DB` came later.
LM, LN, DM, DN = "learned, matching", "learned, nearest", "drawn, matching", "drawn, nearest"
_A1, _AGAIN = ("against_reconstructions", "samples", "distance"), ("against_reconstructions", "reconstructions")


class Finding(NamedTuple):
    """A finding, and how it is judged.

    Attributes:
        says: what was found on the drawn faces.
        rule: when it holds, in words.
        parts: by name, where the numbers are: the run, by tokens and quantizer, and the path in its row.
        holds: the rule; takes the parts by name. None where the numbers do not decide.
        shown: the cell; a format of the parts.
        of_training: it says something about training: the architecture, or an untrained model, does not meet the rule.
    """

    says: str
    rule: str
    parts: Mapping[str, tuple[str, ...]]
    holds: Callable[..., bool | None]
    shown: str
    of_training: bool = True


FINDINGS = [
    Finding(
        "A model rebuilds pictures that it has not seen", "PSNR above that of the nearest training image",
        {"psnr": (LM, "psnr"), "near": (LM, "nearest_image", "psnr"), "mean": (LM, "mean_image", "psnr")},
        lambda psnr, near, mean: psnr > max(near, mean), "{psnr:.1f} dB; nearest image {near:.1f}, mean {mean:.1f}",
    ),
    Finding(
        "The order of the codes does not matter", "no pixel changes by 0.001 or more",
        {"order": (LM, "order")}, lambda order: order < 1e-3, "{order:.0e}", of_training=False,
    ),
    Finding(
        "Learned tokens divide the codebook", f"{OWN:.0%} or more of a code's uses come from one token",
        {"share": (LM, "slots", "dominant_share"), "before": (LM, "untrained", "dominant_share")},
        lambda share, before: share >= OWN, "{share:.0%}; untrained {before:.0%}", of_training=False,
    ),
    Finding(
        "With learned tokens, nearest does not collapse", f"{OWN:.0%} or more of an image's codes differ",
        {"used": (LN, "mean_codes_per_image"), "most": (LN, "L")},
        lambda used, most: used >= OWN * most, "{used:.1f} of {most:.0f}", of_training=False,
    ),
    Finding(
        "With learned tokens, both quantizers train one model", "they choose the same codes in every step",
        {"shared": (LM, "shared_steps"), "steps": (LM, "steps")},
        lambda shared, steps: shared >= steps, "{shared:,.0f} of {steps:,.0f} steps",
    ),
    Finding(
        "With drawn tokens, nearest collapses", f"{COLLAPSED:.0%} or less of an image's codes differ",
        {"used": (DN, "mean_codes_per_image"), "most": (DN, "L"), "before": (DN, "untrained", "mean_codes_per_image")},
        lambda used, most, before: used <= COLLAPSED * most, "{used:.1f} of {most:.0f}; untrained {before:.1f}",
    ),
    Finding(
        "With drawn tokens, matching holds more bits", "more than nearest, each set counted once",
        {"matching": (DM, "bits_counted_once"), "nearest": (DN, "bits_counted_once")},
        lambda matching, nearest: matching > nearest, "{matching:.0f}; nearest {nearest:.0f}",
    ),
    Finding(
        "Drawn tokens with matching cost detail", f"PSNR lower by {DETAIL} dB or more than with learned tokens",
        {"drawn": (DM, "psnr"), "learned": (LM, "psnr")},
        lambda drawn, learned: drawn <= learned - DETAIL, "{drawn:.1f} dB; learned {learned:.1f}",
    ),
    Finding(
        "Algorithm 1's samples are far from the model's own reconstructions",
        f"{FAR} or more times as far as reconstructions of held-out images (FD)",
        {"far": (LM, *_A1), "control": (LM, *_AGAIN, "distance")},
        lambda far, control: far >= FAR * control, "{far:,.0f}; held out {control:,.0f}",
    ),
    Finding(
        "Near parents mend that", f"{BETTER:.0%} or more of the gap is closed (FD)",
        {"near": (LM, "near", "distance"), "far": (LM, *_A1), "control": (LM, *_AGAIN, "distance")},
        lambda near, far, control: far - near >= BETTER * (far - control) > 0,
        "{near:,.0f}; Algorithm 1 {far:,.0f}, held out {control:,.0f}",
    ),
    Finding(
        "Drawn tokens mix better", "Algorithm 1's samples are nearer to own reconstructions than with learned (FD)",
        {"drawn": (DM, *_A1), "learned": (LM, *_A1), "psnr": (DM, "psnr"), "mean": (LM, "mean_image", "psnr")},
        lambda drawn, learned, psnr, mean: None if psnr < mean + LEARNED_DB else drawn < learned,
        "{drawn:,.0f}; learned {learned:,.0f}; drawn tokens' PSNR {psnr:.1f}, mean {mean:.1f}",
    ),
    Finding(
        "Codes are global", f"one code changes {GLOBAL} or more times the part of the picture that a cell changes",
        {"one": (LM, "spread", "participation"), "cell": (LM, "spread", "cell"),
         "before": (LM, "untrained", "spread", "participation")},
        lambda one, cell, before: one >= GLOBAL * cell, "{one:.0%}; cell {cell:.0%}, untrained {before:.0%}",
        of_training=False,
    ),
    Finding(
        "Paths are smooth", f"the largest step is below {SMOOTH_STEP:.0%} of the way on average, and below untrained",
        {"step": (LM, "path", "largest_step"), "before": (LM, "untrained", "path", "largest_step")},
        lambda step, before: step < min(SMOOTH_STEP, before), "{step:.0%}; untrained {before:.0%}",
    ),
    Finding(
        "Half way, a path is less real than a cross-fade",
        "nearer to a training image in fewer than half of the pairs, two standard errors apart",
        {"nearer": (LM, "path", "nearer"), "pairs": (LM, "path", "pairs"), "half": (LM, "path", "half_way"),
         "fade": (LM, "path", "cross_fade")},
        lambda nearer, pairs, half, fade: None if abs(nearer - 0.5) <= 1 / math.sqrt(pairs) else nearer < 0.5,
        "{nearer:.0%} of {pairs:.0f}; distance {half:.1f}, cross-fade {fade:.1f}",
    ),
    Finding(
        "Training makes codes that predict labels", "mean gain over the majority class above the untrained encoder's",
        {"gain": (LM, "probing", "gain"), "before": (LM, "probing", "untrained_gain")},
        lambda gain, before: gain > before, "{gain:.1%}; untrained {before:.1%}",
    ),
]  # fmt: skip


def judge(finding: Finding, runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a cell: whether a finding holds for a set, and the numbers, which are means over its seeds.

    Args:
        finding: with its rule.
        runs: of each seed the rows, by tokens and quantizer ("learned, matching").

    Returns:
        `HOLDS` or `DOES_NOT` where all seeds agree, `UNDECIDED` where none decides, else `BY_SEED`, then the numbers;
        `NOT_MEASURED` where no seed has all of them.

    Example:
        >>> rule = Finding("codes differ", "9 or more", {"used": ("a", "used")}, lambda used: used >= 9, "{used:.1f}")
        >>> judge(rule, [{"a": {"used": 9.0}}]), judge(rule, [{"a": {"used": 9.0}}, {"a": {"used": 7.0}}])
        ('holds: 9.0', 'by seed (1 of 2): 8.0')
        >>> judge(rule, [{"a": {"used": None}}])
        'not measured'
    """
    found = [{name: value_at(rows, path) for name, path in finding.parts.items()} for rows in runs]
    whole = [parts for parts in found if not any(map(math.isnan, parts.values()))]
    if not whole:
        return NOT_MEASURED
    held = [finding.holds(**parts) for parts in whole]
    word = HOLDS if all(held) else f"{BY_SEED} ({sum(map(bool, held))} of {len(held)})" if any(held) else DOES_NOT
    if not any(held) and None in held:
        word = UNDECIDED
    means = {name: float(np.mean([parts[name] for parts in whole])) for name in finding.parts}
    return f"{word}: {finding.shown.format(**means)}"


def value_at(row: Any, path: Sequence[str]) -> float:
    """Return the number at a path of keys, or NaN if there is none."""
    for part in path:
        row = row.get(part) if isinstance(row, Mapping) else None
    return math.nan if row is None else float(row)


def by_set(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Mapping[str, Any]]]]:
    """Return rows by the title of their set, then for each seed by tokens and quantizer."""
    sets: dict[str, dict[int, dict[str, Mapping[str, Any]]]] = {}
    for row in rows:
        of_seed = sets.setdefault(row["title"], {}).setdefault(row["seed"], {})
        of_seed[f"{row['tokens']}, {row['quantizer']}"] = row
    return {title: [seeds[seed] for seed in sorted(seeds)] for title, seeds in sets.items()}


def transfer_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a line for each finding, with its rule and a column for each set."""
    sets = by_set(rows)
    return pd.DataFrame([
        {"finding": one.says, "rule": one.rule} | {title: judge(one, runs) for title, runs in sets.items()}
        for one in FINDINGS
    ])  # fmt: skip


def in_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each set but the faces: which of the findings that hold on the faces hold there."""
    table = transfer_table(rows)
    sentences = []
    for title in [name for name in table.columns if name not in ("finding", "rule", FACES)]:
        cells = table[title]
        holds = cells.str.startswith(HOLDS)
        held, measured = int(holds.sum()), int((cells != NOT_MEASURED).sum())
        alone = sum(not one.of_training for one, meets in zip(FINDINGS, holds, strict=True) if meets)
        failed = table.loc[cells.str.startswith(DOES_NOT), "finding"]
        failed = [text if text.startswith("Algorithm 1") else text[0].lower() + text[1:] for text in failed]
        sentence = f"**{title[0].upper()}{title[1:]}**: {held} of {measured} findings hold"
        sentence += f", {alone} of them without any training." if alone else "."
        undecided = int(cells.str.startswith(UNDECIDED).sum())
        sentence += f" {undecided} cannot be decided." if undecided else ""
        sentences.append(sentence + (f" Not: {'; '.join(failed)}." if failed else ""))
    return sentences


# --- The measures -----------------------------------------------------------------------------------------------------

# Column of a frame of rows: its path in a row, and in words.
MEASURES: dict[str, tuple[tuple[str, ...], str]] = {
    "psnr": (("psnr",), "PSNR, held out"),
    "l1": (("l1",), "L1, held out"),
    "psnr_nearest": (("nearest_image", "psnr"), "PSNR of the nearest training image"),
    "psnr_mean": (("mean_image", "psnr"), "PSNR of the mean image"),
    "codes_in_use": (("codes_in_use",), "codes in use"),
    "codes": (("mean_codes_per_image",), "different codes per image"),
    "dominant_share": (("slots", "dominant_share"), "uses by a code's main token"),
    "entropy": (("slots", "entropy_bits"), "entropy of the tokens' codes, bits"),
    "bits": (("bits_counted_once",), "bits, each set once"),
    "fd_own": ((*_A1,), "FD of Algorithm 1 to own reconstructions"),
    "fd_near": (("near", "distance"), "FD of near parents to own reconstructions"),
    "fd_control": ((*_AGAIN, "distance"), "FD of held-out reconstructions to the same"),
    **{f"{metric}_own": (("against_reconstructions", "samples", f"{metric} (k=3)"), f"{metric} against own")
       for metric in ("precision", "recall", "density", "coverage")},
    "fd_real": (("against_real", "samples", "distance"), "FD of Algorithm 1 to real images"),
    "fd_decoder": (("against_real", "reconstructions", "distance"), "FD of held-out reconstructions to real images"),
    **{f"{metric}_real": (("against_real", "samples", f"{metric} (k=3)"), f"{metric} against real images")
       for metric in ("precision", "recall", "density", "coverage")},
    "order": (("order",), "greatest change by order"),
    "largest_step": (("path", "largest_step"), "largest step of a path"),
    "nearer": (("path", "nearer"), "middle of a path more real than a cross-fade"),
    "gain": (("probing", "gain"), "gain of probes"),
    "untrained_gain": (("probing", "untrained_gain"), "gain of probes, untrained"),
    "shared_steps": (("shared_steps",), "steps before the quantizers part"),
    "steps": (("steps",), "steps"),
    "seconds": (("seconds",), "seconds of training"),
}  # fmt: skip


def measures_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a line for each row: `name`, of set, tokens and quantizer, `seed`, and the columns of `MEASURES`.

    What a row does not have is NaN.
    """
    lines = [{"name": f"{row['title']}: {row['tokens']}, {row['quantizer']}", "seed": row["seed"]}
             | {name: value_at(row, path) for name, (path, _) in MEASURES.items()} for row in rows]  # fmt: skip
    return pd.DataFrame(lines, columns=["name", "seed", *MEASURES])


SHARES = ("dominant_share", "largest_step", "nearer", "gain", "untrained_gain")  # of `MEASURES`, shown in per cent


def in_percent(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of `measures_frame` with its `SHARES` in per cent."""
    return frame.assign(**{name: 100 * frame[name] for name in SHARES if name in frame})


# Headline of the chart: in words, and from the rows of a set and seed.
HEADLINES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "learned": ("learned, nearest:\ndifferent codes of L", (LN, "mean_codes_per_image"), (LN, "L")),
    "drawn": ("drawn, nearest:\ndifferent codes of L", (DN, "mean_codes_per_image"), (DN, "L")),
    "algorithm": ("FD of Algorithm 1,\ntimes held out", (LM, *_A1), (LM, *_AGAIN, "distance")),
    "near": ("FD of near parents,\ntimes held out", (LM, "near", "distance"), (LM, *_AGAIN, "distance")),
}


def headline_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a line for each set and seed: `name`, `seed`, and the ratios of `HEADLINES`."""
    lines = []
    for title, seeds in by_set(rows).items():
        for runs in seeds:
            line: dict[str, Any] = {"name": title, "seed": next(iter(runs.values()))["seed"]}
            for name, (_, above, below) in HEADLINES.items():
                line[name] = value_at(runs, above) / value_at(runs, below)
            lines.append(line)
    return pd.DataFrame(lines, columns=["name", "seed", *HEADLINES])


# --- The drawn faces --------------------------------------------------------------------------------------------------


def stored_faces() -> list[dict[str, Any]]:
    """Return the drawn faces of `quick` as rows of the same form, from the files that come with the project.

    They have what notebooks 03 to 11 measure, and lack the rest. The paths are of 50 pairs, their middles of 300, and
    all of learned tokens; the probes are of all 10,000 images.
    """
    folder = CHECKOUT / "figures" / "quick"
    names = ("capacity", "interpolation", "sample_quality", "probing", "samplers")
    found = {name: read_sealed(folder / f"{name}.json") for name in names}
    training = pd.read_csv(folder / "training.csv").set_index("tokens, quantizer")
    control = pd.read_csv(folder / "results.csv").set_index("quantizer")["PSNR (dB)"]["mean image (control)"]
    return [_face_row(found, training, tokens, quantizer) | {"mean_image": {"psnr": float(control)}}
            for tokens in ("learned", "drawn") for quantizer in ("nearest", "matching")]  # fmt: skip


def _face_row(found: Mapping[str, Any], training: pd.DataFrame, tokens: str, quantizer: str) -> dict[str, Any]:
    capacity = found["capacity"] if tokens == "learned" else found["capacity"]["drawn"]
    codes = capacity["models" if tokens == "learned" else quantizer]
    codes, before = codes.get(quantizer, codes), capacity["untrained"]
    trained = training.loc[f"{tokens}, {quantizer}"]
    row: dict[str, Any] = {
        "set": "avatars", "title": FACES, "tokens": tokens, "quantizer": quantizer, "seed": 0, "profile": "quick",
        "L": capacity["L"], "K": capacity["K"], "steps": int(trained["steps"]), "psnr": float(trained["PSNR (dB)"]),
        "l1": float(trained["held-out L1"]), "codes_in_use": codes["codes_in_use"],
        "mean_codes_per_image": codes["mean_codes_per_image"], "bits_counted_once": codes["bits_counted_once"],
        "slots": {"dominant_share": codes["slot_dominant_share"], "entropy_bits": codes["slot_entropy_bits"]},
        "untrained": {"mean_codes_per_image": before["mean_codes_per_image"],
                      "dominant_share": before["slot_dominant_share"]},
    }  # fmt: skip
    if quantizer == "matching":
        row["against_reconstructions"] = _against_own(found["samplers"][f"{tokens}, matching"])
        row["near"] = _sampler(found["samplers"][f"{tokens}, matching"], "group by group, 20 near")
    if (tokens, quantizer) == ("learned", "matching"):
        _add_paths_and_probes(row, found)
        same = capacity["models"]["nearest"]
        if same["agreement"] == 1 and same["codes_in_use"] == codes["codes_in_use"]:
            row["shared_steps"] = row["steps"]
    return row


def _sampler(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    return next(dict(row) for row in rows if row["sampler"] == name)


def _against_own(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return Algorithm 1's samples and the reconstructions of held-out images, in the form of a row."""
    names = {"samples": "Algorithm 1", "reconstructions": "reconstructions of held-out images"}
    found = {key: _sampler(rows, name) for key, name in names.items()}
    metrics = ("precision", "recall", "density", "coverage")
    return {key: {"distance": row["distance"]} | {f"{metric} (k=3)": row[metric] for metric in metrics}
            for key, row in found.items()}  # fmt: skip


def _add_paths_and_probes(row: dict[str, Any], found: Mapping[str, Any]) -> None:
    paths, probes = found["interpolation"], pd.DataFrame(found["probing"]["attributes"])
    real = paths["plausibility"]
    row["order"], row["spread"] = paths["order_difference"], paths["spread"]
    row["path"] = {"largest_step": paths["smoothness"]["largest_step"], "cross_fade": real["cross_fade_half_way"]}
    row["path"] |= {name: real[name] for name in ("nearer", "pairs", "half_way")}
    row["untrained"] |= {"path": {"largest_step": paths["smoothness"]["untrained_largest_step"]},
                         "spread": {"participation": paths["spread"]["untrained"]}}  # fmt: skip
    gains = {prefix: float((probes[of] - probes["baseline"]).mean()) for prefix, of in
             (("gain", "accuracy"), ("untrained_gain", "untrained"))}  # fmt: skip
    row["probing"] = gains | {"of": "labels"}
