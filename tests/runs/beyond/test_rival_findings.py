"""What the rows of the rivals say: Table 1 measured, and losses that are computed, not written."""

import math

import pytest

from pivq.runs.beyond.comparison import means
from pivq.runs.beyond.rival_findings import MEASURES, capabilities, rivals_frame, where_pivq_loses


def row(name: str, seed: int = 0, **more) -> dict:
    metrics = {"distance": 100.0, "precision": 0.5, "recall": 0.5, "density": 0.5, "coverage": 0.5}
    usual = {
        "name": name, "seed": seed, "discrete": True, "passes": 1, "l1": 0.03, "psnr": 25.0, "real": metrics,
        "own": metrics, "control_real": metrics, "path": {"largest_step": 0.2, "nearer": 0.8},
        "probing": {"gain": 0.05}, "memorisation": {"too_near": 0.01}, "seconds_per_sample": 0.001,
    }  # fmt: skip
    return usual | more


def test_a_frame_has_the_numbers_of_the_rows_and_nan_for_what_is_missing():
    frame = rivals_frame([row("PI-VQ", real={"distance": 7.0}, probing=None)])
    line = frame.iloc[0]
    assert (line["fd_real"], line["fd_own"], line["psnr"]) == (7.0, 100.0, 25.0)
    assert math.isnan(line["precision"]) and math.isnan(line["probing"])
    assert set(MEASURES) <= set(frame.columns) and len(rivals_frame([])) == 0


def test_a_frame_says_how_large_each_prior_is_and_how_long_it_was_trained():
    of_prior = {"prior_steps": 1360, "prior_seconds": 60.5, "prior_parameters": 536704}
    frame = rivals_frame([row("PI-VQ"), row("VQ-VAE, absorbing", **of_prior)])
    assert frame.loc[1, list(of_prior)].tolist() == [1360, 60.5, 536704] and frame["prior_parameters"].isna()[0]
    line = means(frame[frame["prior_parameters"].notna()], ["prior_parameters", "prior_steps"]).to_dict("records")
    assert line == [{"name": "VQ-VAE, absorbing", "seeds": 1, "prior_parameters": "536,704", "prior_steps": "1,360"}]


def test_table_1_measured_stands_beside_reported():
    rough = {"largest_step": 0.9, "nearer": 0.9}
    blurred = {"largest_step": 0.1, "nearer": 0.3}
    frame = rivals_frame([
        row("PI-VQ"), row("VAE", discrete=False, path=blurred), row("VAE", 1, discrete=False),
        row("VQ-VAE, absorbing", passes=17, path=rough), row("TokenSet, reduced", passes=21),
    ])  # fmt: skip
    table = capabilities(frame).set_index("method")
    assert list(table.index) == ["PI-VQ", "VAE", "VQ-VAE, absorbing", "TokenSet, reduced"]
    assert table.loc["PI-VQ", ["discrete", "one pass", "smooth", "realistic"]].tolist() == ["yes"] * 4
    assert table.loc["PI-VQ", ["discrete, reported", "interpolation, reported"]].tolist() == ["yes"] * 2
    vae = table.loc["VAE"]
    assert (vae["discrete"], vae["discrete, reported"], vae["one pass"]) == ("no", "no", "yes")
    assert (vae["smooth"], vae["realistic"]) == ("yes", "by seed")
    vqvae = table.loc["VQ-VAE, absorbing"]
    assert (vqvae["one pass"], vqvae["passes"], vqvae["smooth"], vqvae["realistic"]) == ("no", "17", "no", "yes")
    assert (vqvae["stands for"], vqvae["one pass, reported"]) == ("VQ-GAN (UT)", "no")
    assert table.loc["TokenSet, reduced", "discrete, reported"] == "–"


def test_losses_are_computed_from_the_rows():
    ours = [row("PI-VQ", seed, psnr=25.0 + seed) for seed in (0, 1)]
    theirs = [row("VAE", seed, psnr=22.0, real=ours[0]["real"] | {"distance": 50.0}) for seed in (0, 1)]
    (sentence,) = where_pivq_loses(rivals_frame([*ours, *theirs]))
    assert sentence == (
        f"**PI-VQ loses to VAE** in 1 of {len(MEASURES)} measures: FD to real images; it wins in 1 of {len(MEASURES)} "
        "measures: PSNR of reconstructions (2 seeds each)."
    )
    (alone,) = where_pivq_loses(rivals_frame([ours[0], row("VAE")]))
    assert "in no measure; it wins in no measure (one seed" in alone
    assert where_pivq_loses(rivals_frame([row("VAE")])) == [] == where_pivq_loses(rivals_frame([]))


def test_every_measure_says_which_way_is_better():
    for more in (True, False):
        ours, theirs = row("PI-VQ"), row("VAE")
        names = [name for name, (path, _, way) in MEASURES.items() if way is more and len(path) == 1]
        for name in names:
            theirs[name] = ours[name] * (2 if more else 0.5)
        (sentence,) = where_pivq_loses(rivals_frame([ours, theirs]))
        assert f"in {len(names)} of" in sentence and "wins in no measure" in sentence, names
    with pytest.raises(KeyError):
        MEASURES["order"]
