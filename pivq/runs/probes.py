"""Fig. 5 with its control: probes of a trained model's codes beside those of an untrained encoder's."""

from collections.abc import Mapping

import pandas as pd


def compare_probes(probes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put frames of `pivq.probing.probe` on the same images into one.

    Args:
        probes: "learned", the trained model with the paper's tokens; "untrained", the control; and "drawn", our
            variant, where it is trained.

    Returns:
        The frame of "learned" with columns added: `untrained`, `untrained_std`, `untrained_significant`; with drawn
        tokens `drawn` and `drawn_std`; `beyond_untrained` and `below_untrained`, whether the error bars of trained and
        untrained codes are apart.
    """
    frame, control = probes["learned"].copy(), probes["untrained"]
    frame["untrained"], frame["untrained_std"] = control["accuracy"], control["std"]
    frame["untrained_significant"] = control["significant"]
    if "drawn" in probes:
        frame["drawn"], frame["drawn_std"] = probes["drawn"]["accuracy"], probes["drawn"]["std"]
    # NaN, where nothing was scored, compares as False.
    frame["beyond_untrained"] = frame["accuracy"] - frame["std"] > frame["untrained"] + frame["untrained_std"]
    frame["below_untrained"] = frame["accuracy"] + frame["std"] < frame["untrained"] - frame["untrained_std"]
    return frame


def in_words(frame: pd.DataFrame) -> list[str]:
    """Return what the frame of `compare_probes` says on what training put into the codes, and what it lost."""
    scored = frame.dropna(subset=["accuracy", "untrained"])
    count, gained, lost = len(scored), scored[scored["beyond_untrained"]], scored[scored["below_untrained"]]
    lines = [
        f"Above the majority class, error bars apart: {int(scored['significant'].sum())} of {count} attributes with "
        f"the trained codes, {int(scored['untrained_significant'].sum())} with those of the untrained encoder.",
        f"Training made {len(gained)} attributes easier to read from the codes: {_named(gained)}.",
        f"Training lost {len(lost)}: {_named(lost)}."
        + (" Their probes were better before training, so the encoder sees them and learned to leave them out."
           if len(lost) else ""),
    ]  # fmt: skip
    if "drawn" in frame:
        gain = {name: float((scored[name] - scored["baseline"]).mean()) for name in ("accuracy", "untrained", "drawn")}
        lines.append(
            f"Mean gain over the majority class: learned tokens {gain['accuracy']:.1%}, drawn tokens "
            f"{gain['drawn']:.1%}, untrained encoder {gain['untrained']:.1%}."
        )
    return lines


def _named(rows: pd.DataFrame) -> str:
    ordered = rows.assign(change=(rows["accuracy"] - rows["untrained"])).sort_values("change", key=abs, ascending=False)
    shown = [f"{row['attribute'].replace('_', ' ')} ({row['untrained']:.1%} → {row['accuracy']:.1%})"
             for _, row in ordered.iterrows()]  # fmt: skip
    return ", ".join(shown) or "none"
