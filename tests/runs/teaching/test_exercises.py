"""Typical wrong answers are told what is wrong with them. (The right ones are the notebooks': tests/test_exercises.)"""

import math
import random

import numpy as np
import pytest
import torch

from pivq.runs.teaching import exercises
from pivq.runs.teaching.checking import EMPTY, WRONG


def cheapest(distances):
    return torch.topk(distances, 1, largest=False).indices.flatten()


def squared(distances):
    from pivq.matching import match

    return match(distances**2)


def from_a_alone(a, b, rng):
    return set(a)


def shared_only(a, b, rng):
    return a & b


def lost_gradient(latents, vectors):
    return vectors


def kept_gradients(latents, vectors):
    return latents + vectors - latents.detach()


def half_gradient(latents, vectors):
    return 0.5 * latents + (vectors - 0.5 * latents).detach()


def equation_2(size, distinct, length):
    return math.comb(size, distinct) * math.comb(length + distinct - 1, distinct - 1)


def twice(codes, size):
    return np.stack([np.bincount(row, minlength=size) for row in codes])


def by_list(codes, labels):
    groups = {}
    for row, label in zip(codes.tolist(), labels.tolist(), strict=True):
        groups.setdefault(tuple(row), []).append(label)
    return sum(max(of.count(0), of.count(1)) for of in groups.values()) / len(labels)


def own_neighbour(real, fake, k):
    between = np.linalg.norm(real[:, None] - real, axis=2)
    radius = np.sort(between, axis=1)[:, k - 1]
    return float((np.linalg.norm(fake[:, None] - real, axis=2) <= radius).any(axis=1).mean())


WRONG_ANSWERS = [
    (exercises.check_best_constant, [lambda images: images.mean(dim=0)], "by absolute differences"),
    (exercises.check_attend, [lambda q, k, v: torch.softmax(k @ q, dim=0) @ v], "square root of d"),
    (exercises.check_attend, [lambda q, k, v: v[0]], "softmax"),
    (exercises.check_nearest, [lambda distances: distances.argmin(dim=0)], "column of its least distance"),
    (exercises.check_greedy, [cheapest], "a code is taken twice"),
    (exercises.check_matching, [cheapest], "a code is taken twice"),
    (exercises.check_matching, [lambda distances: range(len(distances))], "is possible"),
    (exercises.check_matching, [lambda distances: [0]], "1 codes for 2 latents"),
    (exercises.check_matching, [squared], "is possible"),
    (exercises.check_worst_table, [torch.ones(3, 3)], "10 are asked for"),
    (exercises.check_worst_table, [torch.ones(2, 2)], r"got shape (2, 2)"),
    (exercises.check_worst_table, [[[1, 2], [3]]], "Three rows"),
    (exercises.check_straight_through, [lost_gradient], "does not reach the latents"),
    (exercises.check_straight_through, [kept_gradients], "also reaches the code vectors"),
    (exercises.check_straight_through, [half_gradient], "decoder's gradient, unchanged"),
    (exercises.check_straight_through, [lambda z, e: z], "must see the code vectors"),
    (exercises.check_straight_through, [lambda z, e: e.detach()], "no gradient flows at all"),
    (exercises.check_hinge, [lambda real, fake: fake.mean() - real.mean(), lambda fake: -fake.mean()], "below 1"),
    (exercises.check_half_life, [0.5 / 0.005], "to the power n"),
    (exercises.check_set_bits, [lambda size, length: math.comb(size, length)], "base-2 logarithms"),
    (exercises.check_multisets, [equation_2], "the count of Eq. (2)"),
    (exercises.check_multisets, [lambda size, distinct, length: 1], "Choose the codes"),
    (exercises.check_order_bites, [32], "half of L log2 K"),
    (exercises.check_recombine, [from_a_alone], "Each should be in about half"),
    (exercises.check_recombine, [shared_only], "2 codes, expected L = 4"),
    (exercises.check_recombine, [lambda a, b, rng: {1, 2, 5, 6}], "lacks shared codes, [3, 4]"),
    (exercises.check_recombine, [lambda a, b, rng: {3, 4, 8, 9}], "codes of neither parent, [8, 9]"),
    (exercises.check_number_of_samples, [math.factorial(16) ** 2], "number of *paths*"),
    (exercises.check_number_of_samples, [2**16], "their order does not matter"),
    (exercises.check_precision, [own_neighbour], "not its own neighbour"),
    (exercises.check_presence, [twice], "1, not 2"),
    (exercises.check_ceiling, [by_list], "same *set*"),
    (exercises.check_expected_distinct, [lambda size, length: min(size, length)], "missed by all latents"),
]


@pytest.mark.parametrize(("check", "answers", "hint"), WRONG_ANSWERS)
def test_a_wrong_answer_is_told_why(check, answers, hint):
    said = check(*answers)
    assert said.startswith(WRONG) and hint in said, said


def test_every_check_has_a_wrong_answer_here_and_notices_a_missing_one():
    checks = {name: check for name, check in vars(exercises).items() if name.startswith("check_")}
    assert {check.__name__ for check, *_ in WRONG_ANSWERS} == checks.keys()
    for check, answers, _ in WRONG_ANSWERS:
        assert check(*[...] * len(answers)) == f"{WRONG} {EMPTY}"


def test_odds_are_judged_with_an_unfair_draw():
    def unfair(a, b, rng: random.Random):
        return (a & b) | set(rng.sample(sorted(a - b), 1)) | {5}

    assert "Each should be in about half" in exercises.check_recombine(unfair)
