"""Made-up measurements for the judgements."""

from pivq.config import load_config


def model(most, bits, share=0.99, in_use=500):
    return {
        "codes_in_use": in_use, "max_codes_per_image": most, "mean_codes_per_image": most, "bits": bits,
        "bits_counted_once": bits, "slot_dominant_share": share, "agreement": 1.0,
    }  # fmt: skip


def scores(precision=0.6, recall=0.3, density=0.7, coverage=0.4):
    values = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    return {f"{name} (k={k})": value for k in (3, 5) for name, value in values.items()}


def traits(gained, lost, sampler="Algorithm 1"):
    return {"sampler": sampler, "attribute": "beard", "gained": gained, "neither": 2666, "lost": lost, "both": 131,
            "false_alarms": 0.002, "misses": 0.01}  # fmt: skip


def probed(name, accuracy, untrained, baseline=0.5):
    spread = {"std": 0.01, "untrained_std": 0.01, "baseline_std": 0.0}
    return {"attribute": name, "accuracy": accuracy, "untrained": untrained, "baseline": baseline} | spread


def make_facts():
    """Return measurements in which everything goes as in the paper, but for tests on which it does not."""
    real, made = {"reference": "real"}, {"reference": "reconstructions"}
    return {
        "config": load_config("quick"),
        "reconstruction": {"learned": 24.0, "drawn": 23.0, "mean_image": 14.0},
        "cost": [{"latents": "any", "nearest_exponent": 2.0, "matching_exponent": 3.0, "ratio": 9.0}],
        "ablations": {"steps": 10, "profile": "quick", "rows": [
            {"variation": name, "seed": seed, "PSNR (dB)": psnr, "codes in use": used}
            for name, psnr, used in (("as trained", 23.0, 500), ("one initialisation", 22.0, 300),
                                     ("fitted at step 100", 22.5, 490), ("quantized from the start", 12.0, 20))
            for seed in (0, 1)
        ]},
        "capacity": {
            "K": 512, "L": 32, "ratio": 1.7, "ratio_counted_once": 1.7,
            "models": {"nearest": model(4, 100.0), "matching": model(32, 170.0, in_use=400)},
            "untrained": {"mean_codes_per_image": 20.0, "codes_in_use": 512, "agreement": 0.5},
        },
        "interpolation": {
            "order_difference": 2e-7,
            "pairs": [{"exchanged": 3, "paths": "36"}],
            "apart": {"low": 0.18, "median": 0.2, "high": 0.25, "pairs": 50},
            "untrained_apart": {"low": 2.6, "median": 2.8, "high": 3.1, "pairs": 25},
            "smoothness": {"step": 0.07, "largest_step": 0.1, "untrained_largest_step": 2.0,
                           "share_with_large_step": 0.02},
            "plausibility": {"ends": 24.5, "quarter": 25.0, "half_way": 26.0, "cross_fade_half_way": 27.5,
                             "nearer": 0.7, "pairs": 400},
            "spread": {"participation": 0.32, "low": 0.18, "high": 0.52, "faces": 0.58, "cell": 0.016},
            "traits": {"learned": {"rows": [traits(0.003, 0.0), traits(0.002, 0.0, "slot by slot")]}},
        },
        "sample_quality": {
            "distance_name": "FD (some net)",
            "rows": [
                {"method": "PI-VQ, matching: samples", "samples": 9, "distance": 50.0} | scores() | real,
                {"method": "PI-VQ, matching: samples", "samples": 9, "distance": 50.0} | scores() | made,
                {"method": "PI-VQ, matching: reconstructions", "samples": 9, "distance": 9.0} | scores(0.7) | real,
                {"method": "held-out images (real)", "samples": 9, "distance": 1.0} | scores(0.9, 0.9, 1, 0.9) | real,
            ],
            "memorisation": {"copied_sets": 0.0, "suspiciously_close": 0.0005},
            "properties": {"discrete": True, "one_pass_sampling": True, "interpolation": True, "bits": 140.0,
                           "decoder_runs": 1, "largest_step": 0.1},
        },
        "probing": {
            "scored": 3, "significant": 2, "significant_attributes": ["hat", "beard"], "not_significant": ["brow"],
            "above_untrained": ["hat", "beard"],
            "attributes": [probed("hat", 0.9, 0.8), probed("beard", 0.8, 0.7), probed("brow", 0.505, 0.6)],
        },
    }  # fmt: skip
