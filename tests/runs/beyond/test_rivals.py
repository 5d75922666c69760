"""Who takes part, and rows that are made once, kept, and read back as they were."""

from dataclasses import replace

import pytest
import torch
from stand_ins import Perceptual, stand_in

from pivq.config import load_config
from pivq.data import from_uint8
from pivq.rivals.absorbing import AbsorbingPrior
from pivq.rivals.any_order import draw_sets
from pivq.rivals.autoregressive import AutoregressivePrior
from pivq.rivals.rival import Rival, count_passes
from pivq.rivals.set_prior import PriorSettings, SetPrior
from pivq.rivals.training import prior_settings
from pivq.runs.beyond import rival_training, rivalry
from pivq.runs.beyond import rivals as module
from pivq.runs.beyond.rival_training import count_weights
from pivq.runs.beyond.rivals import (
    CONTENDERS,
    SAMPLERS,
    contenders,
    is_trained,
    keep_rivals,
    open_contender,
    ours,
    row_file,
    run_rivals,
    set_prior_settings,
)
from pivq.runs.beyond.samplers import draw
from pivq.runs.beyond.set_priors import trained_prior
from pivq.runs.splits import load_splits


@pytest.fixture
def config(tiny_config, monkeypatch, tmp_path):
    """Return small settings with noise for images; a row says what was measured, and `tmp_path` holds all files."""
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(rival_training, "load_perceptual", lambda name: Perceptual())

    def measured(rival, config, network, splits):
        codes = rival.encode(from_uint8(splits["heldout"].images))
        return {"device": "cpu", "samples": 3, "found": float(codes.float().sum())}

    monkeypatch.setattr(module, "measured", measured)
    return tiny_config()


def test_names_are_those_of_the_contenders_and_all_by_default():
    assert contenders() == CONTENDERS and [one.name for one in contenders(["β-VAE"])] == ["β-VAE"]
    with pytest.raises(ValueError, match="unknown rival 'VEA'; did you mean VAE"):
        contenders(["VAE", "VEA"])


def test_rows_are_made_once_and_say_what_they_are_of(config, monkeypatch):
    names = ["VAE", "VQ-VAE, absorbing"]
    rows = run_rivals(config, names, seeds=[0, 1])
    assert [(row["name"], row["seed"]) for row in rows] == [("VAE", 0), ("VQ-VAE, absorbing", 0), ("VAE", 1),
                                                            ("VQ-VAE, absorbing", 1)]  # fmt: skip
    assert rows[0]["steps"] == 8 and rows[1]["prior_steps"] == 3 and "prior_steps" not in rows[0]
    assert rows[0]["found"] != rows[2]["found"] and rows[0]["minutes"] is None
    assert {"code", "rivals_code", "seconds", "parameters", "distance_name", "batch_size"} <= rows[0].keys()
    monkeypatch.setattr(module, "make_row", lambda *_: pytest.fail("measured again"))
    assert run_rivals(config, names, seeds=[0, 1]) == rows


def test_rows_made_anew_are_not_those_that_were_stored(config, monkeypatch):
    own = replace(config, seed=0)
    (row,) = run_rivals(config, ["VAE"], seeds=[0], anew=True)
    assert not row_file(own, contenders(["VAE"])[0]).exists(), "it stands apart"
    stored = row | {"psnr": 99.0}
    assert keep_rivals([stored], config) == 1 and run_rivals(config, ["VAE"], seeds=[0])[0]["psnr"] == 99.0
    monkeypatch.setattr(module, "make_row", lambda *_: pytest.fail("measured again"))
    assert run_rivals(config, ["VAE"], seeds=[0], anew=True) == [row], "an interrupted comparison resumes"


def test_pi_vq_is_the_run_of_notebook_03_with_two_samplers(config):
    algorithm, near = contenders(["PI-VQ", "PI-VQ, near parents"])
    assert not is_trained(config, algorithm)
    rival, facts = open_contender(config, algorithm)
    assert is_trained(config, near) and facts["steps"] == 8
    run = module.train(config, "matching")
    codes = torch.from_numpy(run.codes("train"))
    for contender in (algorithm, near):
        way = SAMPLERS[contender.prior]
        way = way if way.partners < 23 else way._replace(partners=12)
        expected = draw(codes, 12, way, 5, 7).codes
        assert torch.equal(ours(run, contender.prior).draw(5, 7), expected)
    images = from_uint8(load_splits(config)["heldout"].images)
    assert torch.equal(rival.encode(images), torch.from_numpy(run.codes("heldout")))


def test_the_prior_over_sets_draws_for_the_same_run(config, monkeypatch):
    (contender,) = contenders(["PI-VQ, prior over sets"])
    assert not is_trained(config, contender)
    run = module.train(config, "matching")
    assert not is_trained(config, contender), "the model alone"
    rival, facts = open_contender(config, contender)
    assert is_trained(config, contender) and not is_trained(replace(config, seed=1), contender)
    trained = trained_prior(run, config.seed, set_prior_settings(config))
    assert torch.equal(rival.sample(5, 7), run.model().decode(draw_sets(trained.prior, 5, 4, 12, 7)))
    assert facts["prior_seconds"] == trained.seconds and facts["steps"] == 8 and facts["prior_steps"] == 3
    assert facts["prior_parameters"] == sum(value.numel() for value in trained.prior.parameters())
    images = load_splits(config)["heldout"].images
    found = rivalry._prior_bits(rival, images, torch.device("cpu"), 5)
    assert found == trained.prior.bits(torch.from_numpy(run.codes("heldout")), torch.Generator().manual_seed(5))
    assert count_passes(rival) == 4 + 1


def test_the_priors_of_sets_and_of_grids_are_of_one_size_and_length():
    config = load_config("quick")
    size, cells = config.model.codebook_size, config.model.grid_size**2
    settings = set_prior_settings(config)
    ours = count_weights(SetPrior(size, settings))
    for kind in (AutoregressivePrior, AbsorbingPrior):
        assert ours == pytest.approx(count_weights(kind(size, cells)), rel=0.2), kind
    assert settings.steps == prior_settings(config).train.steps
    assert (PriorSettings().dim, PriorSettings().steps) == (64, 5500), "notebook 12's are its own"


def test_a_rival_is_trained_when_its_prior_is(config):
    first, second = contenders(["VQ-VAE, autoregressive", "VQ-VAE, absorbing"])
    open_contender(config, first)
    assert is_trained(config, first) and not is_trained(config, second)


def test_stored_rows_come_back_as_they_were(config, monkeypatch, tmp_path):
    rows = run_rivals(config, ["VAE"], seeds=[0, 1])
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "elsewhere"))
    others = [rows[0] | {"steps": 9}, rows[0] | {"profile": "quick"}, rows[0] | {"name": "gone"},
              rows[1] | {"minutes": 2.0}]  # fmt: skip
    assert keep_rivals([*rows, *others], config) == 2
    monkeypatch.setattr(module, "make_row", lambda *_: pytest.fail("measured again"))
    assert run_rivals(config, ["VAE"], seeds=[0, 1]) == rows
    assert keep_rivals(rows, config) == 0


def test_minutes_make_rows_of_their_own(config, monkeypatch, tiny_config):
    longer = {seed: tiny_config(seed=seed, train__steps=10) for seed in (0, 1)}
    monkeypatch.setattr(module, "settings_for_minutes", lambda config, kind, minutes, device: longer[config.seed])
    (row,) = run_rivals(config, ["VAE"], seeds=[0], minutes=2.0)
    assert row["steps"] == 10 and row["minutes"] == 2.0
    assert run_rivals(config, ["VAE"], seeds=[0])[0]["steps"] == 8


def test_every_contender_has_a_row_of_its_own(tiny_config):
    files = {row_file(replace(tiny_config(), seed=seed), one) for one in CONTENDERS for seed in (0, 1)}
    assert len(files) == 2 * len(CONTENDERS)


def test_contenders_can_do_what_rivals_do(config):
    for contender in CONTENDERS:
        rival, _ = open_contender(config, contender)
        assert isinstance(rival, Rival) and rival.sample(2, seed=1).shape == (2, 3, 16, 16), contender.name
        assert torch.equal(rival.sample(2, seed=1), rival.sample(2, seed=1))
        images = from_uint8(load_splits(config)["heldout"].images)
        way = rival.interpolate(images[0], images[1], torch.tensor([0.0, 1.0]))
        assert torch.allclose(way, rival.reconstruct(images[:2]), atol=1e-5), contender.name
        assert rival.encode_features(images).shape[0] == 10
