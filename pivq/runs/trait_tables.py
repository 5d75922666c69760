"""Which traits recombining gets wrong, as the tables of notebook 05; `pivq.runs.recombination` counts them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pivq.runs.recombination import (
    ALGORITHM,
    BY_SLOT,
    FADE,
    Recombination,
    beyond_controls,
    explained_by_slots,
    total_errors,
)

CASES = 20  # pairs of parents from which on an attribute can be the worst; source: assumption
# Of each error: the number of its cases, and the classifier's own error on reconstructions.
ERRORS = {"gained": ("neither", "false_alarms"), "lost": ("both", "misses")}


def worst_traits(traits: pd.DataFrame) -> pd.DataFrame:
    """Return the attribute that Algorithm 1 most often adds, and the one it most often loses, beyond both controls.

    Args:
        traits: of `Recombination`.

    Returns:
        A row for each of `ERRORS`, with the columns `error`; `attribute`, missing where none has `CASES`; the shares
        `algorithm`, `by_slot`, `reconstructions`, `cross_fade`; `cases`, their number; `clear`, all attributes whose
        95% interval is clear of both controls.
    """
    of = {name: frame.set_index("attribute") for name, frame in traits.groupby("sampler")}
    rows = []
    for error, (cases, control) in ERRORS.items():
        made, faded = of[ALGORITHM], of[FADE][error]
        excess = (made[error] - np.maximum(made[control], faded))[made[cases] >= CASES].dropna()
        row = {"error": error, "attribute": None, "clear": beyond_controls(traits, error)}
        if len(excess):
            name = excess.idxmax()
            row |= {"attribute": name, "algorithm": made.loc[name, error], "by_slot": of[BY_SLOT].loc[name, error]}
            row |= {"reconstructions": made.loc[name, control], "cross_fade": faded[name]}
            row |= {"cases": int(made.loc[name, cases])}
        rows.append(row)
    columns = ["error", "attribute", "algorithm", "by_slot", "reconstructions", "cross_fade", "cases", "clear"]
    return pd.DataFrame(rows, columns=columns)


def on_common_attributes(traits: Mapping[str, pd.DataFrame]) -> tuple[list[str], dict[str, pd.DataFrame]]:
    """Return the attributes that are counted in all models, and `total_errors` of each model on these.

    Models that read other attributes can be compared on these alone. Of a single model there is nothing to compare.
    """
    if len(traits) < 2:
        return [], {}
    common = sorted(set.intersection(*(set(frame["attribute"]) for frame in traits.values())))
    return common, {kind: total_errors(frame[frame["attribute"].isin(common)]) for kind, frame in traits.items()}


def effect_of_slots(measured: Recombination) -> dict[str, float | None]:
    """Return what slots with two codes have to do with traits from nowhere.

    Returns:
        The shares `algorithm`, `by_slot` and `reconstructions` over all attributes; `explained`, the part of the errors
        that recombining adds and that goes away slot by slot, at least 0 and None if it adds none; `rise` and
        `rise_by_slot`, how much the share grows from the samples with the fewest such slots to those with the most,
        and in the same pairs slot by slot, where it is due to the pairs.
    """
    totals, twice = total_errors(measured.traits), measured.twice
    gained = totals.set_index("sampler")["gained"].astype(float)
    part = explained_by_slots(totals)
    rises = {name: twice[column].iloc[-1] - twice[column].iloc[0]
             for name, column in (("rise", "gained"), ("rise_by_slot", "gained slot by slot"))}  # fmt: skip
    return {
        "algorithm": gained[ALGORITHM], "by_slot": gained[BY_SLOT], "reconstructions": gained["reconstructions"],
        "explained": None if part is None else max(0.0, part),
    } | rises  # fmt: skip
