"""The whole verdict on a model that was never trained: no finding may come out of it.

Measured with the functions that the notebooks call, on made-up pictures with four traits. The model under test has the
first weights of seed 1, the control those of seed 0, so that the two differ as two trainings that did nothing.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pivq.capacity import exactly_distinct_bits, matching_bits, nearest_bits
from pivq.data import ImageDataset
from pivq.inference import encode_images, latents_in_batches, order_difference, reconstruction_errors
from pivq.matching import match
from pivq.pretrained.features import FeatureNet
from pivq.probing import probe
from pivq.runs import evaluation
from pivq.runs.evaluation import draw_samples
from pivq.runs.paths import measure_apart, measure_plausibility, measure_spread, measure_walks
from pivq.runs.probes import compare_probes
from pivq.runs.quality import measure_quality, measure_real
from pivq.runs.recombination import measure_recombination
from pivq.runs.untrained import untrained_model
from pivq.runs.verdict import judge
from pivq.runs.verdict.cost import stored_growth
from pivq.runs.verdict.judging import CONSTRUCTION, DIFFERS, MEASURED, RECOMPUTED, REPRODUCED
from pivq.sampling import SMOOTH_STEP
from pivq.usage import best_overlap, code_usage, slot_usage

SIZES = {"model__codebook_size": 64, "model__num_codes": 8, "model__dim": 32, "train__train_images": 480,
         "train__heldout_images": 160, "evaluation__samples": 160}  # fmt: skip
TRAITS = {"red_top": np.s_[0, :8], "green_left": np.s_[1, :, :8], "blue_spot": np.s_[2, 6:10, 6:10],
          "dark_foot": np.s_[:, 12:]}  # fmt: skip


class Pixels(FeatureNet):
    """Means of 4 × 4 pixels: features that show every trait."""

    name, label, num_features, distance_name = "efficientnet_lite0", "Pixels", 48, "FD (Pixels)"

    def __init__(self):
        super().__init__(nn.Identity(), "none", "1" * 64)

    def _features(self, levels):
        return nn.functional.avg_pool2d(levels, 4).flatten(1) / 255


def draw_split(config, name: str) -> ImageDataset:
    """Return pictures of noise on which each trait is there or not."""
    count = config.train.train_images if name == "train" else config.train.heldout_images
    rng = np.random.default_rng(count)
    levels, has = rng.integers(60, 120, (count, 3, 16, 16)), rng.random((count, len(TRAITS))) < 0.4
    for trait, (channel, *area) in enumerate(TRAITS.values()):
        for picture in levels[has[:, trait]]:
            picture[(channel, *area)] = 20 if channel == slice(None) else 230
    ids = [f"{name}-{i}" for i in range(count)]
    attributes = pd.DataFrame(has.astype(int), index=ids, columns=list(TRAITS)).astype("Int8")
    return ImageDataset(torch.from_numpy(levels.astype(np.uint8)), ids, "drawn", name, f"{name}-{count}", attributes)


class Untrained:
    """What stands for a run: a configuration, a model, and the codes that it gives."""

    def __init__(self, config, quantizer, splits):
        self.config, self.quantizer = config, quantizer
        self._model = untrained_model(config, splits["train"].images, quantizer)
        self._codes = {name: encode_images(self._model, split.images) for name, split in splits.items()}

    def model(self, device="cpu"):
        return self._model

    def codes(self, split):
        return self._codes[split]


def measure_capacity(runs, control):
    """As notebook 04 does it."""
    models, size, length = {}, SIZES["model__codebook_size"], SIZES["model__num_codes"]
    for name, run in (runs | {"untrained": control["nearest"]}).items():
        usage, slots = code_usage(run.codes("train"), size), slot_usage(run.codes("train"), size)
        used, most = usage.codes_in_use, usage.max_codes_per_image
        once = np.logaddexp2.reduce([exactly_distinct_bits(used, n, length) for n in range(1, most + 1)])
        bits = matching_bits(used, length) if name == "matching" else nearest_bits(used, most, length)
        models[name] = {
            "codes_in_use": used, "max_codes_per_image": most, "mean_codes_per_image": usage.mean_codes_per_image,
            "bits": bits, "bits_counted_once": bits if name == "matching" else float(once),
            "slot_dominant_share": slots.dominant_share,
        }  # fmt: skip
    untrained = models.pop("untrained")
    near, matched = models["nearest"], models["matching"]
    ratios = {"ratio": matched["bits"] / near["bits"]}
    ratios["ratio_counted_once"] = matched["bits_counted_once"] / near["bits_counted_once"]
    return {"K": size, "L": length, "models": models, "untrained": untrained} | ratios


def measure_interpolation(run, control, splits, network):
    """As notebook 05 does it."""
    generator = torch.Generator().manual_seed(0)
    pairs, grid = torch.arange(120).reshape(-1, 2), run.config.model.grid_size
    walks, apart = {}, {}
    for name, made in (("own", run), ("untrained", control)):
        codes, decode = torch.from_numpy(made.codes("heldout")), made.model().decode
        walks[name] = measure_walks(decode, codes, pairs, generator).numbers
        apart[name] = measure_apart(decode, codes, pairs, generator)
    codes = torch.from_numpy(run.codes("heldout"))
    traits = measure_recombination(run, splits["train"], splits["heldout"], network, count=500).traits
    return {
        "order_difference": order_difference(run.model().decode, codes[:20], generator),
        "pairs": [{"exchanged": 3, "paths": "36"}], "apart": apart["own"], "untrained_apart": apart["untrained"],
        "smoothness": walks["own"] | {"untrained_largest_step": walks["untrained"]["largest_step"]},
        "plausibility": measure_plausibility(run, network, codes, pairs, generator),
        "spread": measure_spread(run.model().decode, codes, pairs, grid, generator),
        "traits": {"learned": {"rows": traits.astype(object).where(traits.notna(), None).to_dict("records")}},
    }  # fmt: skip


def measure_samples(run, network, smooth):
    """As notebook 06 does it."""
    rows = measure_real(run, network) + measure_quality(run, network, "PI-VQ, matching")
    samples = draw_samples(run, 160)
    overlap = best_overlap(samples.codes, run.codes("train"), 64, excluded=samples.pairs.numpy())
    return {
        "rows": rows, "distance_name": network.distance_name,
        "memorisation": {"copied_sets": float((overlap == 8).mean()), "suspiciously_close": 0.0},
        "properties": {"discrete": True, "one_pass_sampling": True, "interpolation": smooth, "bits": 1.0,
                       "decoder_runs": 1, "largest_step": 1.0},
    }  # fmt: skip


def measure_probing(run, control, splits):
    """As notebook 07 does it."""
    labels, size = splits["train"].attributes, SIZES["model__codebook_size"]
    own, other = (probe(made.codes("train"), labels, size) for made in (run, control))
    rows = compare_probes({"learned": own, "untrained": other})
    above = rows[rows["significant"] & rows["beyond_untrained"]]
    return {
        "scored": len(rows), "significant": int(rows["significant"].sum()), "attributes": rows.to_dict("records"),
        "significant_attributes": rows.loc[rows["significant"], "attribute"].tolist(),
        "not_significant": rows.loc[~rows["significant"], "attribute"].tolist(),
        "above_untrained": above["attribute"].tolist(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def untrained(tiny_config, tmp_path_factory):
    """Return the facts of a model that was never trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIVQ_ROOT", str(tmp_path_factory.mktemp("root")))
        patch.setattr(evaluation, "load_split", draw_split)
        configs = {"own": tiny_config(**SIZES, seed=1), "control": tiny_config(**SIZES)}
        splits, network = {name: draw_split(configs["own"], name) for name in ("train", "heldout")}, Pixels()
        own, control = ({q: Untrained(config, q, splits) for q in ("matching", "nearest")}
                        for config in configs.values())  # fmt: skip
        run, heldout = own["matching"], splits["heldout"].images
        mean = splits["train"].images.float().mean(dim=0) / 255
        fakes = (lambda x: run.model().decode(run.model().encode(x)), lambda x: mean.expand_as(x))
        psnr = [reconstruction_errors(fake, heldout, 32, "cpu")[1] for fake in fakes]
        variations = ("as trained", "one initialisation", "fitted at step 2", "quantized from the start")
        capacity = measure_capacity(own, control)
        interpolation = measure_interpolation(run, control["matching"], splits, network)
        latents = torch.cat(list(latents_in_batches(run.model(), heldout)))
        distances = run.model().quantizer.distances(latents)
        assert torch.equal(match(distances), torch.from_numpy(run.codes("heldout")))
        smooth = interpolation["smoothness"]["largest_step"] < SMOOTH_STEP
        used = capacity["models"]["matching"]["codes_in_use"]
        yield {
            "config": configs["own"], "capacity": capacity, "interpolation": interpolation,
            "reconstruction": dict(zip(("learned", "mean_image"), psnr, strict=True)),
            "sample_quality": measure_samples(run, network, smooth),
            "probing": measure_probing(run, control["matching"], splits),
            "ablations": {"steps": 0, "profile": "smoke", "rows": [
                {"variation": name, "seed": 1, "PSNR (dB)": psnr[0], "codes in use": used} for name in variations
            ]},
            "cost": stored_growth(),
        }  # fmt: skip


@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
def test_nothing_is_found_in_a_model_that_was_never_trained(untrained):
    judgements = judge(untrained)
    assert [row.id for row in judgements if row.kind == MEASURED and row.judgement == REPRODUCED] == []
    assert {row.judgement for row in judgements if row.kind == CONSTRUCTION} == {REPRODUCED}
    differs = {row.id for row in judgements if row.kind == RECOMPUTED and row.judgement == DIFFERS}
    assert differs == {"nearest_bits", "matching_above", "neither_best_nor_worst"}


def test_everything_was_measured(untrained):
    """So that nothing is left undecided for want of a number."""
    assert not [row.id for row in judge(untrained) if row.why.startswith("Not measured")]


def test_controls_hold_without_the_check_of_the_pictures(untrained):
    """Even if its pictures were taken for those of a trained model, the controls of its paths would not be passed."""
    facts = untrained | {"reconstruction": {"learned": 30.0, "mean_image": 10.0}}
    found = {row.id: row for row in judge(facts)}
    for name in ("interpolation", "multiple_paths", "low_recall"):
        assert found[name].judgement != REPRODUCED, found[name]
