"""What follows from the study of competition (`pivq.runs.competition`), in sentences.

Each sentence is computed from the rows, so that it is right for any rows; where rows that it needs are missing, it is
empty. No conclusion about samples rests on one seed.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pivq import paper
from pivq.runs.findings import FULL, KEYS, RANDOM, pairs, repeated

LONG = "drawn, three times as long"


def conclusions(frame: pd.DataFrame) -> dict[str, str]:
    """Return what follows from the rows, in Markdown, by what it is about; empty where rows are missing."""
    found = {about: say(frame) for about, say in _SAYING.items()}
    return {about: text for about, text in found.items() if text}


def bullets(said: dict[str, str], *about: str) -> str:
    """Return what `conclusions` says about these things as a list in Markdown, or that the rows do not show it.

    Example:
        >>> bullets({"steps": "It falls."}, "steps", "lengths"), bullets({}, "steps")
        ('- It falls.', 'The stored runs do not show this.')
    """
    return "\n".join(f"- {said[name]}" for name in about if name in said) or "The stored runs do not show this."


def before_and_after(frame: pd.DataFrame) -> str:
    """Return what training changes, as a list in Markdown with an entry for each kind of tokens.

    Args:
        frame: one row per model: `model` ("learned, untrained", "learned, nearest", …), `L`, and what
            `pivq.runs.competition.describe` returns.
    """
    rows, lines = frame.set_index("model"), []
    for kind in dict.fromkeys(name.partition(",")[0] for name in rows.index):
        start, end = rows.loc[f"{kind}, untrained"], rows.loc[f"{kind}, nearest"]
        before, after = (row["mean_codes_per_image_drawn"] / row["L"] for row in (start, end))
        more = "more" if after < before - 0.05 else "less" if after > before + 0.05 else "as much"
        ending = {
            (False, False): "These latents do not compete, and did not before training.",
            (False, True): "Training makes these latents compete.",
            (True, False): "These latents compete before training, and training ends it.",
            (True, True): f"These latents compete before training, and {more} after.",
        }[before < FULL, after < FULL]
        if start["draw_codes"] < 1:
            ending = (
                f"If other tokens are drawn, an image keeps {start['draw_codes']:.0%} of its codes before and "
                f"{end['draw_codes']:.0%} after. {ending}"
            )
        lines.append(
            f"- With {kind} tokens and nearest quantization, {_share(start['token'])} of the variance of the latents "
            f"is their token's before training and {_share(end['token'])} after. Of an image's {int(start['L'])} codes "
            f"{start['mean_codes_per_image_drawn']:.1f} are different before, "
            f"{end['mean_codes_per_image_drawn']:.1f} after. {ending}"
        )
    return "\n".join(lines)


def _share(value: float) -> str:
    return f"{value:.0%}" if 0.01 <= value <= 0.99 else f"{value:.1%}"


def _between(values: pd.Series | Sequence[float], digits: int = 1, unit: str = "") -> str:
    low, high = (f"{value * (100 if unit == '%' else 1):,.{digits}f}{unit}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _listed(values: Sequence[float], digits: int = 1) -> str:
    texts = [f"{value:,.{digits}f}" for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _paper_tokens(frame: pd.DataFrame) -> pd.Series:
    """Say which rows have the paper's learned tokens, from N(0, 1)."""
    return (frame["tokens"] == "learned") & (frame["token_spread"] == 1)


def _learned(frame: pd.DataFrame) -> str:
    rows = frame[_paper_tokens(frame) & (frame["quantizer"] == "nearest")]
    if not len(rows):
        return ""
    lengths = ", ".join(str(length) for length in sorted(set(rows["L"])))
    fewer = rows[rows["mean"] < rows["L"] - 0.005]
    if not len(fewer):
        return (
            f"With the paper's learned tokens, nearest quantization repeats no code in any of {len(rows)} runs "
            f"(L = {lengths}): every image has L different codes, and matching has nothing to decide."
        )
    shares = _between(fewer["mean"] / fewer["L"], 1, "%")
    return (
        f"With the paper's learned tokens, nearest quantization repeats codes in {len(fewer)} of {len(rows)} runs "
        f"(L = {lengths}); there, {shares} of an image's codes are different on average."
    )


def _drawn(frame: pd.DataFrame) -> str:
    rows = frame[(frame["tokens"] == "drawn") & (frame["quantizer"] == "nearest") & (frame["variation"] != RANDOM)]
    same = repeated(frame)
    near = same[same["quantizer"] == "nearest"]
    if not len(near):
        return ""
    fewer = rows[rows["mean"] < FULL * rows["L"]]
    length, size, steps = (int(near[name].iloc[0]) for name in ("L", "K", "steps"))
    seeds = f"{len(near)} seeds" if len(near) > 1 else "one seed"
    return (
        f"With tokens drawn anew for every image, nearest repeats codes in {len(fewer)} of {len(rows)} runs. For "
        f"L = {length}, K = {size} and {steps:,} steps, {_listed(near['mean'])} codes of {length} are different on "
        f"average ({seeds}), and at most {int(near['most'].max())}; matching always makes {length}."
    )


def _steps(frame: pd.DataFrame) -> str:
    near = frame[(frame["variation"] == LONG) & (frame["quantizer"] == "nearest")]
    if not len(near):
        return ""
    history = pd.Series(near["history"].iloc[0]).sort_index()
    third = history.iloc[np.abs(history.index - history.index[-1] / 3).argmin()]
    first, last = history.iloc[0], history.iloc[-1]
    numbers = (
        f"{first:.1f} when the codebook is first fitted, {third:.1f} after a third of the {history.index[-1]:,} steps, "
        f"{last:.1f} at the end"
    )
    if first > third > last:
        return (
            f"The number of different codes falls as long as the model is trained: {numbers}. The collapse is learned."
        )
    return f"The number of different codes does not fall all the time: {numbers}."


def _lengths(frame: pd.DataFrame) -> str:
    rows = frame[(frame["variation"] == "drawn") & (frame["quantizer"] == "nearest") & (frame["seed"] == 0)]
    if rows["L"].nunique() < 2:
        return ""
    size = rows.groupby("K")["L"].nunique().idxmax()
    series = rows[rows["K"] == size].sort_values("L")
    first, last, most = series.iloc[0], series.iloc[-1], rows.sort_values("L").iloc[-1]
    shares = [row["mean"] / row["L"] for row in (first, last)]
    grows = "a smaller share" if shares[1] < shares[0] else "no smaller share"
    theirs = paper.TABLE2[0].codes_per_image
    return (
        f"From L = {first['L']} to {last['L']} (K = {size}), an image's different codes go from {first['mean']:.1f} to "
        f"{last['mean']:.1f}, from {shares[0]:.0%} to {shares[1]:.0%} of L: {grows} of a longer set. The paper reports "
        f"at most {theirs} of {paper.NUM_CODES} ({theirs / paper.NUM_CODES:.0%}); our largest model (L = {most['L']}, "
        f"K = {most['K']:,}, {most['steps']:,} steps) has at most {int(most['most'])} ({most['most'] / most['L']:.0%})."
    )


def _quality(frame: pd.DataFrame) -> str:
    both = pairs(frame)
    if not len(both):
        return ""
    cost = both["psnr nearest"] - both["psnr matching"]
    worse, count = int((cost > 0).sum()), len(both)
    where = "Where latents compete for fitted codes, matching costs"
    if worse == count:
        return f"{where} PSNR in all {count} pairs of runs: {_between(cost, 2)} dB."
    if not worse:
        return f"{where} no PSNR: it has more in all {count} pairs of runs."
    return f"{where} PSNR in {worse} of {count} pairs of runs; nearest minus matching is {_between(cost, 2)} dB."


def _longer(frame: pd.DataFrame) -> str:
    both = pairs(frame).set_index(KEYS)
    gap = both["psnr nearest"] - both["psnr matching"]
    long = gap[gap.index.get_level_values("variation") == LONG]
    if not len(long):
        return ""
    (_, length, size, steps, seed), after = long.index[0], long.iloc[0]
    short = gap[[i[0] == "drawn" and i[1:3] == (length, size) and i[4] == seed for i in gap.index]]
    if not len(short):
        return ""
    before, row = short.iloc[0], both.loc[long.index[0]]
    verdict = (
        "has not passed" if after > 0.5 * before and after > 0 else "has become smaller" if after > 0 else "has passed"
    )
    return (
        f"The cost {verdict} after {steps:,} steps (one seed): {row['psnr nearest']:.1f} dB with nearest, "
        f"{row['psnr matching']:.1f} with matching, {after:.1f} dB apart, where {before:.1f} dB were after "
        f"{short.index[0][3]:,} steps."
    )


def _capacity(frame: pd.DataFrame) -> str:
    both = pairs(frame).dropna(subset=["once nearest", "once matching"])
    if not len(both):
        return ""
    ratio, formula = both["once matching"] / both["once nearest"], both["once matching"] / both["equation_2 nearest"]
    more = int((ratio > 1).sum())
    theirs = paper.TABLE2[1].bits / paper.TABLE2[0].bits
    most = both.loc[ratio.idxmax()]
    return (
        f"Counted once, matching's sets can hold more than nearest's multisets in {more} of {len(both)} pairs, "
        f"{_between(ratio, 2)} times as much; by Eqs. (4) and (2) {_between(formula, 2)} times. The most is at "
        f"L = {most['L']}, K = {most['K']:,}. The paper's {theirs:.1f} times needs a collapse as strong as its own."
    )


def _samples(frame: pd.DataFrame) -> str:
    joined = pairs(repeated(frame))
    if not len(joined):
        return ""
    gain = (joined["distance nearest"] - joined["distance matching"]).to_numpy()
    near, match = (_listed(joined[f"distance {name}"].tolist(), 0) for name in ("nearest", "matching"))
    better = int((gain > 0).sum())
    text = (
        f"FD of Algorithm 1's samples to the model's own reconstructions, L = {int(joined['L'].iloc[0])}, by seed: "
        f"nearest {near}, matching {match}. "
    )
    if len(joined) < 3:
        text += "Fewer than three seeds decide nothing."
    elif better in (0, len(joined)):
        text += f"{'Matching' if better else 'Nearest'} is better with each of the {len(joined)} seeds."
    else:
        first = "matching's" if gain[0] > 0 else "nearest's"
        text += (
            f"Matching is better with {better} of {len(joined)} seeds: neither wins consistently. The first seed alone "
            f"would have shown {first} samples to be better."
        )
    if (real := joined[["real nearest", "real matching"]]).notna().all(axis=None):
        near, match = (_listed(real[name].tolist(), 0) for name in real)
        text += f" FD to real images, which counts what decoding costs, too: nearest {near}, matching {match}."
    return text


def _decoders(frame: pd.DataFrame) -> str:
    fitted = frame[frame["variation"] != RANDOM]
    learned = fitted[_paper_tokens(fitted)]
    drawn = fitted[fitted["tokens"] == "drawn"]
    if not len(learned) or not len(drawn):
        return ""
    low, high = drawn["distance"].max(), learned["distance"].min()
    nearer = "are nearer to" if low < high else "are not all nearer to"
    return (
        f"Samples of models with drawn tokens {nearer} their own reconstructions than those of models with learned "
        f"tokens: FD {_between(drawn['distance'], 0)} against {_between(learned['distance'], 0)}. This judges the "
        "sampler alone: a model that draws nearly the same picture of every face has a small distance, too, so read it "
        f"with the PSNR ({_between(drawn['psnr'])} against {_between(learned['psnr'])} dB)."
    )


def _from_nowhere(frame: pd.DataFrame) -> str:
    known = frame[frame["variation"] != RANDOM].dropna(subset="gained")
    groups = {"learned tokens": known[_paper_tokens(known)]}
    for quantizer in ("nearest", "matching"):
        groups[f"drawn tokens, {quantizer}"] = known[(known["tokens"] == "drawn") & (known["quantizer"] == quantizer)]
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    if len(groups) < 2:
        return ""
    told = "; ".join(
        f"{name} {_between(rows['gained'], 1, '%')} of the samples (misread: "
        f"{_between(rows['gained_reading'], 1, '%')}), lost {_between(rows['lost'], 1, '%')} "
        f"(misread: {_between(rows['lost_reading'], 1, '%')})"
        for name, rows in groups.items()
    )
    excess = {name: (rows["gained"] - rows["gained_reading"]).mean() for name, rows in groups.items()}
    most = max(excess, key=excess.__getitem__)
    return (
        f"Traits that a sample shows and neither parent has, and traits that both have and the sample lacks: {told}. "
        f"Beyond misreading, most come from nowhere with {most}: {excess[most]:.1%} on average, where the others have "
        f"{_between([value for name, value in excess.items() if name != most], 1, '%')}."
    )


def _probing(frame: pd.DataFrame) -> str:
    known = frame[frame["variation"] != RANDOM].dropna(subset="probe")
    learned = known[_paper_tokens(known)]
    drawn = {q: known[(known["tokens"] == "drawn") & (known["quantizer"] == q)] for q in ("nearest", "matching")}
    if not len(learned) or not all(map(len, drawn.values())):
        return ""
    told = " and ".join(f"{_between(100 * rows['probe'])} ({q})" for q, rows in drawn.items())
    both = pairs(known)
    more = int((both["probe nearest"] > both["probe matching"]).sum())
    return (
        f"Probes gain {_between(100 * learned['probe'])} points of accuracy over the majority class with learned "
        f"tokens, {told} with drawn ones. Nearest's codes tell more than matching's in {more} of {len(both)} pairs."
    )


def _draws(frame: pd.DataFrame) -> str:
    rows = frame[(frame["tokens"] == "drawn") & (frame["variation"] != RANDOM)]
    if not len(rows):
        return ""
    told = []
    for quantizer, some in rows.groupby("quantizer", sort=False):
        ratio = some["draw_pixels"] / some["l1"]
        told.append(f"{quantizer} keeps {_between(some['same_codes'], 0, '%')} of the codes, and its pictures change "
                    f"by {_between(ratio, 0, '%')} of their error (L1)")  # fmt: skip
    return f"With another draw of the tokens, {'; '.join(told)}."


def _codebook(frame: pd.DataFrame) -> str:
    random, fitted = frame[frame["variation"] == RANDOM], frame[frame["variation"] == "drawn"]
    told = []
    for row in random.to_dict("records"):
        same = fitted[(fitted[["L", "K", "steps", "seed", "quantizer"]] == pd.Series(row)[
            ["L", "K", "steps", "seed", "quantizer"]]).all(axis=1)]  # fmt: skip
        if len(same):
            other = same.iloc[0]
            used = f"{int(row['in_use'])} code{'s' * (row['in_use'] != 1)} in use"
            told.append(f"with {row['quantizer']} {row['psnr']:.1f} dB and {used}, where a fitted one has "
                        f"{other['psnr']:.1f} dB and {int(other['in_use'])}")  # fmt: skip
    return f"A random codebook that is never fitted reaches {'; '.join(told)} (drawn tokens)." if told else ""


def _others(frame: pd.DataFrame) -> str:
    told = []
    for name in ("learned, N(0, 0.02²)", "learned plus noise", "drawn, N(0, 0.3²)"):
        near = frame[(frame["variation"] == name) & (frame["quantizer"] == "nearest")]
        if len(near):
            row = near.iloc[0]
            told.append(
                f"{name}: {row['mean']:.1f} of {row['L']} codes are different with nearest, {row['psnr']:.1f} dB"
            )
    return f"Other tokens, one seed each. {'; '.join(told)}." if told else ""


def _whole(frame: pd.DataFrame) -> str:
    near = frame[(frame["quantizer"] == "nearest") & (frame["variation"] != RANDOM)]
    learned, drawn = near[_paper_tokens(near)], near[near["tokens"] == "drawn"]
    if not len(learned) or not len(drawn):
        return ""
    competing = {name: rows["mean"] < FULL * rows["L"] for name, rows in (("learned", learned), ("drawn", drawn))}
    if not competing["learned"].any() and competing["drawn"].all():
        return (
            "The paper's description, learned tokens, and its finding, a collapse that matching prevents, do not go "
            "together in our models: the finding is there as soon as tokens are drawn instead. To decide it for the "
            "paper's own models, count in one of them which token uses which code."
        )
    told = ", ".join(f"{int(some.sum())} of {len(some)} with {name} tokens" for name, some in competing.items())
    return f"Nearest quantization repeats codes in {told}."


_SAYING = {
    "learned": _learned, "drawn": _drawn, "steps": _steps, "lengths": _lengths, "others": _others, "quality": _quality,
    "longer": _longer, "capacity": _capacity, "samples": _samples, "decoders": _decoders, "traits": _from_nowhere,
    "probing": _probing, "draws": _draws, "codebook": _codebook, "whole": _whole,
}  # fmt: skip
