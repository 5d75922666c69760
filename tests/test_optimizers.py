"""Tests of the optimizers: Muon against torch's, which matrices it gets, the learning rate."""

import pytest
import torch
from torch import nn

from pivq.config import load_config
from pivq.model import PIVQ
from pivq.optimizers import Muon, Optimizers, learning_rate_factor, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
def test_orthogonal_brings_singular_values_near_one_and_keeps_directions(shape):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonal(matrix) @ right.T
    assert torch.allclose(found - found.diag().diag(), torch.zeros_like(found), atol=1e-4)
    assert found.diag().min() > 0.6 and found.diag().max() < 1.3


@pytest.mark.parametrize("shape", [(12, 12), (6, 20), (20, 6)])
def test_muon_takes_the_steps_of_torchs(shape):
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = Muon([ours], lr=0.01, weight_decay=0.1)
    reference = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        gradient = torch.randn(shape, generator=generator)
        for weight, optimizer in ((ours, mine), (theirs, reference)):
            weight.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved  # theirs is in bfloat16


def test_muon_gets_the_matrices_of_the_transformers_and_adam_all_else():
    model = PIVQ(load_config("smoke").model)
    config = load_config("smoke", train__muon_learning_rate=0.01).train
    optimizers = Optimizers(model, config)
    names = {weight: name for name, weight in model.named_parameters()}
    muon = {names[weight] for group in optimizers.muon.param_groups for weight in group["params"]}
    adam = {names[weight] for group in optimizers.adam.param_groups for weight in group["params"]}
    assert muon | adam == set(names.values()) and not muon & adam
    assert muon == {n for n, w in model.named_parameters() if ".transformer." in n and w.ndim == 2}
    assert Optimizers(model, load_config("smoke", train__muon_learning_rate=0.0).train).muon is None


def test_learning_rates_follow_the_factor_of_both_peaks():
    model = PIVQ(load_config("smoke").model)
    optimizers = Optimizers(model, load_config("smoke", train__muon_learning_rate=0.01).train)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizers.step(0.5)
    assert {group["lr"] for group in optimizers.adam.param_groups} == {0.5 * 1.5e-3}
    assert {group["lr"] for group in optimizers.muon.param_groups} == {0.005}


def test_learning_rate_factor_never_falls_without_decay():
    config = load_config("smoke", train__decay_from=1.0, train__warmup_steps=0)
    assert [learning_rate_factor(step, config) for step in (0, 20, 39)] == [1.0] * 3
