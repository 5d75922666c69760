"""What each part of the training contributes: the same run with one thing changed (Sections 3.6 and 3.7)."""

from typing import NamedTuple

import pandas as pd
from torch import Tensor

from pivq.config import Config, load_config
from pivq.inference import decode_levels
from pivq.metrics import frechet_distance
from pivq.pretrained.features import FeatureNet
from pivq.profiles import NEVER, PROFILES
from pivq.runs.evaluation import decoded_features, draw_samples, real_features
from pivq.runs.parallel import train_together
from pivq.runs.splits import load_split

SEEDS = 3  # of what the verdict speaks of


class Variation(NamedTuple):
    """A training with one thing changed, in words and as settings, and how many seeds it is trained with."""

    change: str
    settings: dict[str, float]
    seeds: int = 1


# The columns of the table that are figures of a run's summary.
SUMMARY = {"held-out L1": "heldout_l1", "PSNR (dB)": "heldout_psnr", "perceptual": "heldout_perceptual",
           "codes in use": "codes_in_use"}  # fmt: skip


def variations(config: Config) -> dict[str, Variation]:
    """Return the variations of a configuration's training by name.

    *Quantized from the start* lacks two things, the delay and the fitted codebook. *Fitted at step W* has the second
    without the first, or nearly: the first codebook is fitted as soon as there are W steps of latents. What the verdict
    speaks of has `SEEDS` seeds; in `smoke`, which shows nothing, one.
    """
    early, seeds = config.train.history_steps, 1 if config.profile == "smoke" else SEEDS
    return {
        "as trained": Variation("nothing", {}, seeds),
        "L1 only": Variation(
            "neither perceptual nor adversarial loss",
            dict(perceptual_weight=0.0, discriminator_from_step=NEVER, adversarial_from_step=NEVER + 1),
        ),
        "base code's weights": Variation(
            "perceptual weight 1, adversarial limit 1", dict(perceptual_weight=1.0, adversarial_limit=1.0),
        ),
        "one initialisation": Variation("codebook fitted once, at T_q", dict(codebook_initialisations=1), seeds),
        f"fitted at step {early}": Variation(
            f"hardly a delay: T_q = W = {early}, as many fits", dict(quantize_from_step=early), seeds,
        ),
        "quantized from the start": Variation(
            "no delay: a random codebook from step 0", dict(quantize_from_step=0, codebook_initialisations=0), seeds,
        ),
    }  # fmt: skip


def half_as_long(config: Config) -> dict[str, int]:
    """Return the settings of a training half as long, whose phases are as long in proportion.

    Twelve trainings of the whole length would take hours, and what the variations show is seen before.
    """
    train = config.train
    start, discriminating = max(train.quantize_from_step // 2, train.history_steps), train.discriminator_from_step // 2
    return {
        "steps": max(train.steps // 2, start + 1), "quantize_from_step": start,
        "discriminator_from_step": discriminating, "adversarial_from_step": discriminating + 1,
    }  # fmt: skip


def run_ablations(config: Config, network: FeatureNet, device: str = "auto") -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Train each variation of the matching model of `config`, or load it, and measure all of them in the same way.

    All are trained half as long as the configuration says (`half_as_long`).

    Return a frame with one row per variation and seed, the seeds from the configuration's on; and pictures
    `(8, 3, H, W)` uint8 of samples by variation, of the first seed, which have the same parents in all of them. The
    network's features give the Fréchet distance of the samples.
    """
    usual = {name: getattr(config, name) for name in ("profile", "data", "layout", "on_error")}
    found = variations(config)
    plan = [(name, config.seed + i) for name, variation in found.items() for i in range(variation.seeds)]
    half = half_as_long(config)
    if half["steps"] < PROFILES[config.profile]["train.warmup_steps"][0]:  # of a training much shorter than its profile
        half["warmup_steps"] = min(config.train.warmup_steps, half["steps"])
    changes = {
        name: {f"train__{setting}": value for setting, value in (half | variation.settings).items()}
        for name, variation in found.items()
    }
    jobs = [(load_config(**usual, seed=seed, **changes[name]), "matching") for name, seed in plan]
    runs, rows, pictures = train_together(jobs, device), [], {}
    real, count = real_features(runs[0], network), len(load_split(config, "heldout"))
    for (name, seed), run in zip(plan, runs, strict=True):
        samples, summary = draw_samples(run, count).codes, run.summary
        if seed == config.seed:
            pictures[name] = next(decode_levels(run.model(), samples[:8]))
        distance = frechet_distance(real=real, fake=decoded_features(run, network, samples))
        row = {"variation": name, "change": found[name].change, "seed": seed}
        row |= {column: summary[figure] for column, figure in SUMMARY.items()}
        rows.append(row | {network.distance_name: distance})
    return pd.DataFrame(rows), pictures


def over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of `run_ablations` with a row per variation: mean ± standard deviation over its seeds, as text.

    Rows of earlier versions, without seeds, count as one.

    Example:
        >>> rows = pd.DataFrame({"variation": ["a", "a", "b"], "change": "", "seed": [0, 1, 0], "dB": [1.0, 3.0, 5.0]})
        >>> over_seeds(rows)["dB"].tolist()
        ['2.00 ± 1.41', '5.00']
    """
    measures = [name for name in rows if name not in ("variation", "change", "seed")]
    groups = rows.groupby(["variation", "change"], sort=False)
    table = groups.size().rename("seeds").reset_index()
    for name in measures:
        largest = rows[name].abs().max()
        whole = pd.api.types.is_integer_dtype(rows[name])
        decimals = 0 if whole or largest >= 100 else 4 if largest < 1 else 2
        means, spreads = groups[name].mean().tolist(), groups[name].std().tolist()
        table[name] = [
            f"{mean:,.{decimals}f}" + ("" if pd.isna(spread) else f" ± {spread:,.{decimals}f}")
            for mean, spread in zip(means, spreads, strict=True)
        ]
    return table


def said(rows: list[dict]) -> list[str]:
    """Return in words what the rows of `run_ablations` bear, a sentence or two for each claim."""
    table = pd.DataFrame(rows).groupby("variation", sort=False)
    means = table.mean(numeric_only=True)
    psnr, codes, usual = means["PSNR (dB)"], means["codes in use"], "as trained"
    (distance,) = [name for name in means if name not in (*SUMMARY, "seed")]
    lost = psnr[usual] - psnr
    sentences = []
    for early in [name for name in means.index if name.startswith("fitted at step")]:
        start = "quantized from the start"
        sentence = (
            f"Quantized from the start, the model reaches {psnr[start]:.1f} dB instead of {psnr[usual]:.1f} and uses "
            f"{codes[start]:.0f} codes instead of {codes[usual]:.0f}. {early.capitalize()}, it reaches "
            f"{psnr[early]:.1f} dB and uses {codes[early]:.0f}. "
        )
        if lost[start] < 1:
            sentence += "So nothing fails in this run."
        elif lost[early] < lost[start] / 2:
            sentence += "So what fails is the random codebook, not the missing delay; a delay is one way to mend it."
        else:
            sentence += "So a fitted codebook alone does not mend it: the delay matters."
        sentences.append(sentence)
    if (once := "one initialisation") in means.index:
        all_codes = table["codes in use"]
        more = all_codes.min()[usual] > all_codes.max()[once]
        once_fd, usual_fd = means.loc[once, distance], means.loc[usual, distance]
        no_better = ", so more codes in use did not make better samples" if more and once_fd < usual_fd else ""
        clear = ": more with every seed." if all_codes.count()[usual] > 1 else ": more, of one seed."
        sentences.append(
            f"Fitted once, the codebook has {codes[once]:.0f} codes in use, fitted several times {codes[usual]:.0f}"
            + (clear if more else ": no clear difference.")
            + f" {distance} of the samples: {once_fd:,.0f} fitted once, {usual_fd:,.0f} several times{no_better}."
        )
    for name in [name for name in ("L1 only", "base code's weights") if name in means.index]:
        before, after = means.loc[usual], means.loc[name]
        sentences.append(
            f"{name[0].upper()}{name[1:]}: held-out L1 {after['held-out L1']:.4f} instead of "
            f"{before['held-out L1']:.4f}, {distance} of the samples {after[distance]:,.0f} instead of "
            f"{before[distance]:,.0f}."
        )
    return sentences
