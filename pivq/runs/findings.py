"""The rows of the study of competition (`pivq.runs.competition`) as a frame, as tables, and in pairs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pivq.runs.recombination import ALGORITHM, total_errors

FULL = 0.95  # share of L from which on an image's codes count as all different; source: assumption
RANDOM = "drawn, random codebook"  # a variation whose pictures show hardly anything
KEYS = ["variation", "L", "K", "steps", "seed"]  # of a row; with the quantizer they name it
NUMBERS = {"psnr": "psnr", "mean": "mean_codes_per_image", "most": "codes_per_image", "in_use": "codes_in_use",
           "equation_2": "bits_equation_2", "once": "bits_counted_once", "probe": "probe_gain", "l1": "l1",
           "agreement": "agreement", "dominant": "dominant_share", "same_codes": "draw_codes",
           "draw_pixels": "draw_pixels"}  # fmt: skip


def study_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of the study as a frame, one row each: `KEYS`, `quantizer`, `tokens`, `token_spread`, `device`,
    `torch`, `history`, the columns of `NUMBERS`, and those of the samples.

    `distance`, `precision` and `recall` compare samples with the model's own reconstructions, `real` is their distance
    to real images; `gained` and `lost` are
    the shares of traits from nowhere and of traits lost, `gained_reading` and `lost_reading` what misreading explains:
    of the attributes `common_attributes`, so that all rows count the same ones.
    """
    found, counted = [], common_attributes(rows)
    for row in rows:
        samples = row["against_reconstructions"]["samples"]
        new = {name: row[name] for name in (*KEYS, "quantizer", "tokens", "token_spread", "device", "torch")}
        new |= {"history": {int(step): value for step, value in row["history"].items()}}
        new |= {name: row.get(key) for name, key in NUMBERS.items()}
        new |= {key.partition(" ")[0]: value for key, value in samples.items()}
        new["real"] = row.get("against_real", {}).get("samples", {}).get("distance")
        found.append(new | _traits(row, counted))
    frame = pd.DataFrame(found)
    numbers = [*NUMBERS, "distance", "real", "gained", "gained_reading", "lost", "lost_reading"]
    return frame.astype(dict.fromkeys(numbers, float))


def common_attributes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the attributes that can be read in the pictures of all rows; those of `RANDOM` do not count."""
    read = [{trait["attribute"]: 0 for trait in row["traits"]}
            for row in rows if "traits" in row and row["variation"] != RANDOM]  # fmt: skip
    return [name for name in (read[0] if read else []) if all(name in names for names in read)]


def _traits(row: dict[str, Any], counted: list[str]) -> dict[str, float | None]:
    """Return the shares of these attributes together; empty for a row that lacks one."""
    names, traits = ("gained", "lost"), [trait for trait in row.get("traits", []) if trait["attribute"] in counted]
    if not traits or not {*counted} <= {trait["attribute"] for trait in traits}:
        return dict.fromkeys([*names, *(f"{name}_reading" for name in names)])
    totals = total_errors(pd.DataFrame(traits)).set_index("sampler")
    shares = {name: totals.loc[ALGORITHM, name] for name in names}
    return shares | {f"{name}_reading": totals.loc["reconstructions", name] for name in names}


# --- Tables -----------------------------------------------------------------------------------------------------------


def study_tables(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables with one row per variation and quantizer: codes and capacity; samples, traits, probes, draws.

    Of several seeds, a cell has the mean and the range.
    """
    codes, samples = [], []
    for names, rows in frame.groupby(["variation", "L", "K", "steps", "quantizer"], sort=False):
        head = dict(zip(["tokens", "L", "K", "steps", "quantizer"], names, strict=True))
        equation = "equation_2" if head["quantizer"] == "nearest" else "once"
        codes.append(head | {
            "seeds": len(rows), "PSNR (dB)": spread(rows["psnr"], 1), "K_img (mean)": spread(rows["mean"], 1),
            "K_img (most)": spread(rows["most"], 0), "codes in use": spread(rows["in_use"], 0),
            "bits, Eq. (2) / (4)": spread(rows[equation], 0), "bits, counted once": spread(rows["once"], 0),
            "both rules agree": spread(rows["agreement"], 0, "%"),
            "uses by the main token": spread(rows["dominant"], 0, "%"),
            "device": ", ".join(dict.fromkeys(rows["device"])),
        })  # fmt: skip
        samples.append(head | {
            "FD": spread(rows["distance"], 0), "precision": spread(rows["precision"], 2),
            "recall": spread(rows["recall"], 2), "FD to real images": spread(rows["real"], 0),
            "traits from nowhere": spread(rows["gained"], 0, "%"),
            "misread": spread(rows["gained_reading"], 0, "%"), "traits lost": spread(rows["lost"], 0, "%"),
            "probes above the majority": spread(rows["probe"], 1, "%"),
            "same codes after another draw": spread(rows["same_codes"], 0, "%"),
            "pictures differ by": spread(rows["draw_pixels"], 3),
        })  # fmt: skip
    return pd.DataFrame(codes), pd.DataFrame(samples)


def spread(values: pd.Series, digits: int, unit: str = "") -> str:
    """Return the mean and, of several values, the range.

    Example:
        >>> spread(pd.Series([0.25, 0.75]), 0, "%"), spread(pd.Series([3.14]), 1), spread(pd.Series([None]), 1)
        ('50 (25–75)%', '3.1', '–')
    """
    known = values.dropna().astype(float) * (100 if unit == "%" else 1)
    if not len(known):
        return "–"
    mean, low, high = (f"{value:,.{digits}f}" for value in (known.mean(), known.min(), known.max()))
    return (mean if low == high else f"{mean} ({low}–{high})") + unit


def pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the runs in which latents compete and that were trained with both quantizers, one row each.

    Columns are those of `frame` with the quantizer after the name, as in `psnr nearest`. Left out are a codebook that
    is not fitted, and runs in which nearest gives nearly all latents of an image codes of their own (`FULL`).
    """
    kept = frame[frame["variation"] != RANDOM]
    near, matched = (
        kept[kept["quantizer"] == name].drop(columns="quantizer").set_index(KEYS).add_suffix(f" {name}")
        for name in ("nearest", "matching")
    )
    joined = near.join(matched, how="inner").reset_index()
    return joined[joined["mean nearest"] < FULL * joined["L"]]


def repeated(frame: pd.DataFrame, variation: str = "drawn") -> pd.DataFrame:
    """Return the rows of the sizes of a variation that were trained with the most seeds; the longest of equal ones."""
    rows = frame[frame["variation"] == variation]
    if not len(rows):
        return rows
    sizes = rows.groupby(["L", "K", "steps"])["seed"].nunique()
    length, size, steps = max(sizes.index, key=lambda index: (sizes[index], index[2]))
    return rows[(rows["L"] == length) & (rows["K"] == size) & (rows["steps"] == steps)].sort_values("seed")
