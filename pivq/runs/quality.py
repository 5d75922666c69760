"""Table 3 for one model: its samples against real images, and against its own reconstructions.

The decoder limits both. Against reconstructions of training images what decoding costs falls out, and what is left is
what recombining costs.
"""

from collections.abc import Sequence
from typing import Any

import torch

from pivq.pretrained.features import FeatureNet
from pivq.runs.evaluation import compare, decoded_features, draw_samples, real_features, reference_features
from pivq.runs.run import Run

REAL, OWN = "real", "reconstructions"  # what is compared with
# What the models of `pivq.runs.models` are called in Table 3: the paper's by its name, our variant by its tokens.
NAMES = {"learned, matching": "PI-VQ, matching", "learned, nearest": "PI-VQ, nearest",
         "drawn, matching": "drawn tokens, matching", "drawn, nearest": "drawn tokens, nearest"}  # fmt: skip
FLOOR = 0.1  # precision below which the metrics say nothing on samples; source: assumption


def measure_quality(run: Run, network: FeatureNet, name: str) -> list[dict[str, Any]]:
    """Return the rows of Table 3 of a run: its samples and its reconstructions of held-out images, against both.

    `samples` is M, the images in question, `reference_images` is N of the Fréchet distance; precision, recall, density
    and coverage are of min(N, M) on both sides (`pivq.runs.evaluation.compare`). Held-out images are compared with
    training images only, whatever the reference: they are not to be compared with themselves. If there are fewer of
    them than samples, a row has as many samples.

    Args:
        run: the model.
        network: describes an image in all metrics.
        name: of the model, in the rows.
    """
    evaluation, ks = run.config.evaluation, run.config.evaluation.prdc_k
    codes = {split: torch.from_numpy(run.codes(split)[: evaluation.samples]) for split in ("train", "heldout")}
    made = decoded_features(run, network, draw_samples(run, evaluation.samples).codes)
    again = {f"{name}: reconstructions": decoded_features(run, network, codes["heldout"])}
    samples = {f"{name}: samples": made}
    if len(made) > len(codes["heldout"]):
        samples[f"{name}: as many samples as held-out images"] = made[: len(codes["heldout"])]
    own = decoded_features(run, network, codes["train"])
    found = (
        (REAL, reference_features(run, network), samples),
        (REAL, real_features(run, network), again),
        (OWN, own, samples | again),
    )
    return [
        {"method": method, "reference": against, "samples": len(fakes[method]), "reference_images": len(reference)} | of
        for against, reference, fakes in found
        for method, of in compare(reference, fakes, ks, network.device).items()
    ]


def measure_real(run: Run, network: FeatureNet) -> list[dict[str, Any]]:
    """Return the row of the real held-out images, against training images."""
    count, reference = run.config.evaluation.samples, real_features(run, network)
    images = {"held-out images (real)": real_features(run, network, "heldout")[:count]}
    (row,) = compare(reference, images, run.config.evaluation.prdc_k, network.device).items()
    sizes = {"samples": len(images[row[0]]), "reference_images": len(reference)}
    return [{"method": row[0], "reference": REAL} | sizes | row[1]]


def in_words(rows: Sequence[dict[str, Any]], names: Sequence[str], k: int, distance: str) -> list[str]:
    """Return what rows of Table 3 say on the models `names`; `distance` is what the Fréchet distance is called."""
    found = {(row["method"], row["reference"]): row for row in rows}
    real, sentences = found["held-out images (real)", REAL], []
    for name in names:
        made, again = (found[f"{name}: {what}", REAL] for what in ("samples", "reconstructions"))
        precision = [row[f"precision (k={k})"] for row in (made, again, real)]
        sentence = (
            f"**{name}, against real images.** Samples have precision {precision[0]:.2g}; reconstructions of held-out "
            f"images have {precision[1]:.2g}, the held-out images themselves {precision[2]:.2g}. "
        )
        if precision[1] < FLOOR:
            sentence += "So even reconstructions hardly count as real, and this comparison says nothing on the samples."
        elif precision[0] < FLOOR:
            sentence += "So the model can make images that count as real, but hardly any sample is one."
        else:
            recall = [row[f"recall (k={k})"] for row in (made, real)]
            lower = "below" if recall[0] < precision[0] else "not below"
            sentence += (
                f"Their recall, {recall[0]:.2g}, is {lower} their precision; of real held-out images it is "
                f"{recall[1]:.2g}. In the paper, recall is below precision on every data set."
            )
        sentences.append(sentence)
        made, again = (found[f"{name}: {what}", OWN] for what in ("samples", "reconstructions"))
        scores = [
            f"{metric} {made[f'{metric} (k={k})']:.2f} instead of {again[f'{metric} (k={k})']:.2f}"
            for metric in ("precision", "recall", "density", "coverage")
        ]
        sentences.append(
            f"**{name}, against its own reconstructions.** This is what recombining alone costs: {distance} "
            f"{_short(made['distance'])} instead of {_short(again['distance'])} for reconstructions of other images; "
            f"{', '.join(scores)}."
        )
    return sentences


def against_own(found: dict[str, Any], label: str, k: int) -> dict[str, Any]:
    """Return what `sample_quality.json` has on a model's samples against its own reconstructions, as two cells.

    `label` is that of `pivq.runs.models`. Learned tokens with nearest, which are not measured where they are the same
    model as with matching, have its numbers.
    """
    rows = {row["method"]: row for row in found["rows"] if row.get("reference") == OWN}
    name = NAMES[label]
    if label == "learned, nearest" and f"{name}: samples" not in rows:
        name = NAMES["learned, matching"]
    row = rows.get(f"{name}: samples", {})
    shares = [row.get(f"{metric} (k={k})") for metric in ("precision", "recall")]
    short = found["distance_name"].partition(" ")[0]
    return {
        f"samples to own reconstructions: {short}": row.get("distance"),
        "precision, recall": "–" if None in shares else ", ".join(f"{share:.2f}" for share in shares),
    }


def fewest_lost(rows: Sequence[dict[str, Any]], names: Sequence[str], distance: str) -> str:
    """Return in a sentence whose samples are nearest to the reconstructions of the same model, best first."""
    scores = {row["method"].removesuffix(": samples"): row["distance"] for row in rows
              if row["method"].endswith(": samples") and row["reference"] == OWN}  # fmt: skip
    ranked = sorted(names, key=scores.__getitem__)
    shown = ", ".join(f"{name} {_short(scores[name])}" for name in ranked)
    return f"{distance} of samples to reconstructions, lowest first: {shown}. One seed each: notebook 09 has more."


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
