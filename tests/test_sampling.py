"""Algorithm 1, smooth paths and batches of samples: hand-made cases, and properties by counting with `Counter`."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from pivq import sampling
from pivq.sampling import cross_fade, interpolate, path_smoothness, sample_batches, sample_pairs, smooth_path


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_sets(batch, num_codes, codebook_size, seed=0):
    keys = torch.rand(batch, codebook_size, generator=generator(seed))
    return keys.argsort(dim=1)[:, :num_codes]


def random_multisets(batch, num_codes, codebook_size, seed=0):
    return torch.randint(codebook_size, (batch, num_codes), generator=generator(seed))


# Algorithm 1


def test_shared_codes_stay_and_one_of_the_two_others_is_drawn():
    codes = interpolate(torch.tensor([[7, 1, 4]] * 64), torch.tensor([[4, 7, 9]] * 64), generator())
    assert codes.dtype == torch.int64
    assert {tuple(row) for row in codes.tolist()} == {(1, 4, 7), (4, 7, 9)}


def test_identical_images_give_themselves():
    codes = random_sets(5, 6, 20)
    assert torch.equal(interpolate(codes, codes.flip(1), generator()), codes.sort(dim=1).values)


@pytest.mark.parametrize(("num_codes", "codebook_size"), [(1, 2), (4, 4), (8, 12), (32, 512), (512, 4096)])
def test_result_contains_the_intersection_and_lies_in_the_union(num_codes, codebook_size):
    codes_a, codes_b = random_sets(16, num_codes, codebook_size, 1), random_sets(16, num_codes, codebook_size, 2)
    codes = interpolate(codes_a, codes_b, generator(3))
    for a, b, result in zip(codes_a.tolist(), codes_b.tolist(), codes.tolist(), strict=True):
        assert len(set(result)) == num_codes == len(result)
        assert set(a) & set(b) <= set(result) <= set(a) | set(b)


def test_every_half_of_the_symmetric_difference_is_equally_likely():
    # C_c = {9}, C_d = {0, 1, 2, 3}: 2 of 4 are drawn, six outcomes of probability 1/6 each.
    draws = 6000
    codes = interpolate(torch.tensor([[0, 9, 1]]).expand(draws, -1), torch.tensor([[2, 3, 9]]).expand(draws, -1),
                        generator(4))
    counts = Counter(tuple(row) for row in codes.tolist())
    assert set(counts) == {(*pair, 9) for pair in itertools.combinations(range(4), 2)}
    chi_square = sum((count - draws / 6) ** 2 / (draws / 6) for count in counts.values())
    assert chi_square < 20.5  # 99.9% point of the chi-square distribution with 5 degrees of freedom


def test_interpolation_is_symmetric_in_its_parents_and_ignores_their_order():
    codes_a, codes_b = random_sets(8, 6, 20, 1), random_sets(8, 6, 20, 2)
    expected = interpolate(codes_a, codes_b, generator(3))
    assert torch.equal(interpolate(codes_b, codes_a, generator(3)), expected)
    assert torch.equal(interpolate(codes_a.flip(1), codes_b.roll(2, dims=1), generator(3)), expected)


def test_interpolation_repeats_with_its_generator_and_leaves_its_arguments_alone():
    codes_a, codes_b = random_sets(8, 6, 20, 1), random_sets(8, 6, 20, 2)
    before_a, before_b = codes_a.clone(), codes_b.clone()
    first, second = interpolate(codes_a, codes_b, generator(3)), interpolate(codes_a, codes_b, generator(3))
    assert torch.equal(first, second)
    assert not torch.equal(first, interpolate(codes_a, codes_b, generator(4)))
    assert torch.equal(codes_a, before_a) and torch.equal(codes_b, before_b)


def test_without_a_generator_torch_s_global_one_is_used():
    codes_a, codes_b = random_sets(8, 6, 20, 1), random_sets(8, 6, 20, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = interpolate(codes_a, codes_b)
        torch.manual_seed(0)
        assert torch.equal(interpolate(codes_a, codes_b), first)


# Multisets


def test_multiset_by_hand():
    # {1, 1, 1, 2} and {1, 1, 3, 3}: the intersection is {1, 1}, the symmetric difference {1, 2, 3, 3}.
    draws = 6000
    codes = interpolate(torch.tensor([[1, 2, 1, 1]]).expand(draws, -1), torch.tensor([[3, 1, 3, 1]]).expand(draws, -1),
                        generator(), multiset=True)
    counts = Counter(tuple(row) for row in codes.tolist())
    # Of the six pairs of the four leftovers, two (one for each 3) give {1, 3} and two give {2, 3}.
    assert set(counts) == {(1, 1, 1, 2), (1, 1, 1, 3), (1, 1, 2, 3), (1, 1, 3, 3)}
    expected = {(1, 1, 1, 2): 1 / 6, (1, 1, 1, 3): 2 / 6, (1, 1, 2, 3): 2 / 6, (1, 1, 3, 3): 1 / 6}
    chi_square = sum((counts[codes] - draws * p) ** 2 / (draws * p) for codes, p in expected.items())
    assert chi_square < 16.3  # 99.9% point, 3 degrees of freedom


def test_multiset_counts_lie_between_the_parents():
    codes_a, codes_b = random_multisets(32, 12, 6, 1), random_multisets(32, 12, 6, 2)
    codes = interpolate(codes_a, codes_b, generator(3), multiset=True)
    for a, b, result in zip(codes_a.tolist(), codes_b.tolist(), codes.tolist(), strict=True):
        a, b, result = Counter(a), Counter(b), Counter(result)
        assert result.total() == 12
        assert a & b <= result <= a | b  # Counter's & is the minimum of counts and | the maximum


def test_multiset_agrees_with_sets_on_sets():
    codes_a, codes_b = random_sets(8, 6, 20, 1), random_sets(8, 6, 20, 2)
    expected = interpolate(codes_a, codes_b, generator(3))
    assert torch.equal(interpolate(codes_a, codes_b, generator(3), multiset=True), expected)


def test_repeats_are_refused_with_image_code_and_remedy():
    sets, repeats = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[3, 2, 1], [6, 5, 6]])
    for call in (
        lambda: interpolate(repeats, sets),
        lambda: interpolate(sets, repeats),
        lambda: sample_pairs(repeats, 4, seed=0),
    ):
        with pytest.raises(ValueError, match=r"image 1 uses code 6 2 times.*multiset=True"):
            call()
    with pytest.raises(ValueError, match=r"codes_b: image 0 uses code 6 2 times"):
        smooth_path(sets[1], repeats[1])


# Samples of an encoded set


def test_samples_depend_on_seed_and_index_alone(monkeypatch):
    codes = random_sets(30, 8, 40)
    samples = sample_pairs(codes, 50, seed=7)
    few = sample_pairs(codes, 13, seed=7)
    assert torch.equal(few.pairs, samples.pairs[:13]) and torch.equal(few.codes, samples.codes[:13])
    for elements in (1, 100, 333):
        monkeypatch.setattr(sampling, "CHUNK_ELEMENTS", elements)
        again = sample_pairs(codes, 50, seed=7)
        assert torch.equal(again.pairs, samples.pairs) and torch.equal(again.codes, samples.codes)
    assert not torch.equal(sample_pairs(codes, 50, seed=8).pairs, samples.pairs)


def test_samples_are_children_of_their_pairs_and_differ_from_each_other():
    codes = random_sets(30, 8, 40)
    samples = sample_pairs(codes, 200, seed=0)
    assert samples.pairs.shape == (200, 2) and samples.codes.shape == (200, 8)
    for (a, b), result in zip(samples.pairs.tolist(), samples.codes.tolist(), strict=True):
        parent_a, parent_b = set(codes[a].tolist()), set(codes[b].tolist())
        assert a != b
        assert len(set(result)) == 8
        assert parent_a & parent_b <= set(result) <= parent_a | parent_b
    assert len({tuple(row) for row in samples.codes.tolist()}) > 190


def test_ordered_pairs_of_distinct_images_are_equally_likely():
    samples = sample_pairs(torch.tensor([[0], [1], [2]]), 6000, seed=1)
    counts = Counter(tuple(pair) for pair in samples.pairs.tolist())
    assert set(counts) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 20.5
    # With one code each, sample i is one parent or the other, half of the time each.
    from_a = (samples.codes[:, 0] == samples.pairs[:, 0]).float().mean().item()
    assert abs(from_a - 0.5) < 4 * 0.5 / 6000**0.5


def test_samples_of_multisets():
    codes = random_multisets(20, 10, 5)
    samples = sample_pairs(codes, 40, seed=0, multiset=True)
    for (a, b), result in zip(samples.pairs.tolist(), samples.codes.tolist(), strict=True):
        a, b = Counter(codes[a].tolist()), Counter(codes[b].tolist())
        assert a & b <= Counter(result) <= a | b


def test_samples_accept_numpy_codes_of_any_integer_type():
    codes = random_sets(10, 8, 40)
    expected = sample_pairs(codes, 5, seed=0)
    assert torch.equal(sample_pairs(codes.numpy().astype(np.int16), 5, seed=0).codes, expected.codes)


@pytest.mark.parametrize(
    ("codes", "num_samples", "seed", "message"),
    [
        (torch.zeros(1, 1, dtype=torch.long), 4, 0, "at least two encoded images, got 1"),
        (torch.zeros(2, 1, dtype=torch.long), 0, 0, "num_samples must be a whole number from 1 .*, got 0"),
        (torch.zeros(2, 1, dtype=torch.long), 4, -1, "seed must be a whole number from 0 .*, got -1"),
    ],
)
def test_samples_that_cannot_be_are_refused(codes, num_samples, seed, message):
    with pytest.raises(ValueError, match=message):
        sample_pairs(codes, num_samples, seed)


# Smooth paths


def test_path_by_hand():
    path = smooth_path(torch.tensor([5, 1, 2]), torch.tensor([2, 5, 9]), generator())
    assert [set(row) for row in path.tolist()] == [{2, 5, 9}, {1, 2, 5}]  # t = 0 is image b, t = |R| image a


@pytest.mark.parametrize("multiset", [False, True])
def test_path_follows_its_definition(multiset):
    make = random_multisets if multiset else random_sets
    a, b = make(2, 12, 20, seed=5)
    path = smooth_path(a, b, generator(6), multiset=multiset)
    common = Counter(a.tolist()) & Counter(b.tolist())
    exchanged = 12 - common.total()
    assert path.shape == (exchanged + 1, 12) and path.dtype == torch.int64
    assert Counter(path[0].tolist()) == Counter(b.tolist())
    assert Counter(path[-1].tolist()) == Counter(a.tolist())
    assert ((path[1:] != path[:-1]).sum(dim=1) == 1).all()
    permuted_a = path[-1, common.total():].tolist()
    permuted_b = path[0, common.total():].tolist()
    for t, row in enumerate(path.tolist()):
        assert Counter(row) == common + Counter(permuted_a[:t]) + Counter(permuted_b[t:])


def test_path_between_disjoint_images_exchanges_every_code():
    path = smooth_path(torch.arange(6), torch.arange(6, 12), generator())
    assert path.shape == (7, 6)
    assert ((path < 6).sum(dim=1) == torch.arange(7)).all()


def test_path_between_identical_images_is_one_row():
    path = smooth_path(torch.tensor([3, 1, 2]), torch.tensor([1, 2, 3]), generator())
    assert path.tolist() == [[1, 2, 3]]


def test_all_paths_of_a_pair_occur():
    # |R| = 2: (2!)^2 = 4 paths, told apart by their middle row: one of {0, 1} and one of {2, 3}.
    paths = [smooth_path(torch.tensor([0, 1]), torch.tensor([2, 3]), generator(seed)) for seed in range(40)]
    assert {tuple(sorted(path[1].tolist())) for path in paths} == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_two_draws_from_one_generator_give_two_paths():
    source = generator(0)
    first, second = (smooth_path(torch.arange(16), torch.arange(16, 32), source) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, smooth_path(torch.arange(16), torch.arange(16, 32), generator(0)))


# Bad codes


@pytest.mark.parametrize(
    ("codes_a", "codes_b", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), "codes_a must be whole numbers .*got torch.float32"),
        (torch.arange(3), torch.arange(3), r"codes_a must be whole numbers \(B, L\).*got torch.int64 \(3,\)"),
        (torch.arange(3)[None], torch.arange(4)[None], r"\(1, 3\) and codes_b \(1, 4\) must have one shape"),
        (torch.tensor([[0, 1]]), torch.tensor([[0, -2]]), "codes_b must lie in 0 … .*, got -2 … 0"),
        (torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long), "L >= 1"),
    ],
)
def test_bad_codes_are_refused(codes_a, codes_b, message):
    with pytest.raises(ValueError, match=message):
        interpolate(codes_a, codes_b)


def test_a_path_takes_one_image_of_each():
    with pytest.raises(ValueError, match=r"codes_a must be whole numbers \(L,\)"):
        smooth_path(torch.arange(3)[None], torch.arange(3)[None])


# Batches of samples


CODES = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i))[:4] for i in range(9)])


def joined(count, seed=5, **options):
    """Return pairs and codes of all batches, joined, and the sizes of the batches."""
    batches = list(sample_batches(CODES, count, seed, **options))
    return *(torch.cat(parts) for parts in zip(*batches, strict=True)), [len(batch.codes) for batch in batches]


def test_batches_are_the_whole_sample():
    pairs, codes, sizes = joined(150, batch_size=64)
    whole = sample_pairs(CODES, 150, seed=5)
    assert torch.equal(codes, whole.codes) and torch.equal(pairs, whole.pairs)
    assert sizes == [64, 64, 22]


@pytest.mark.parametrize("batch_size", [1, 7, 64, None])
@pytest.mark.parametrize("start, count", [(0, 1), (0, 65), (10, 60), (64, 64), (299, 1)])
def test_sample_i_depends_on_seed_and_i_alone_in_any_batches_from_any_start(start, count, batch_size):
    whole = sample_pairs(CODES, 300, seed=5)
    pairs, codes, _ = joined(count, start=start, batch_size=batch_size)
    chosen = slice(start, start + count)
    assert torch.equal(codes, whole.codes[chosen]) and torch.equal(pairs, whole.pairs[chosen])
    assert not torch.equal(joined(300, seed=6)[1], whole.codes)


def test_samples_far_along_are_those_that_all_samples_before_them_lead_to():
    """Nothing starts again after some number of samples: 65,536 was one."""
    far = (1 << 16) - 3
    pairs, codes, _ = joined(6, start=far, batch_size=4)
    whole = sample_pairs(CODES, far + 6, seed=5)
    assert torch.equal(codes, whole.codes[far:]) and torch.equal(pairs, whole.pairs[far:])
    assert not torch.equal(pairs[3:], whole.pairs[:3])


def test_batches_draw_no_further_than_they_are_asked(monkeypatch):
    asked, uniforms = [], sampling.sample_uniforms
    monkeypatch.setattr(sampling, "sample_uniforms", lambda *given: asked.append(given[1:3]) or uniforms(*given))
    batches = sample_batches(CODES, 10**9, seed=0, start=5, batch_size=64)
    next(batches)
    next(batches)
    assert asked == [(5, 69), (69, 133)]


def test_batches_refuse_what_sample_pairs_refuses():
    with pytest.raises(ValueError, match="multiset=True"):
        next(sample_batches(torch.tensor([[1, 1], [2, 3]]), 3, seed=0))
    with pytest.raises(ValueError, match="at least two encoded images"):
        next(sample_batches(CODES[:1], 3, seed=0))


# Exchange groups and partners: ours

GROUPS = torch.arange(40) // 4  # ten groups of four codes


def one_of_each_group(batch, seed):
    return 4 * torch.arange(10) + torch.randint(4, (batch, 10), generator=generator(seed))


def test_with_groups_each_group_comes_from_one_parent():
    codes_a, codes_b = one_of_each_group(400, 1), one_of_each_group(400, 2)
    samples = interpolate(codes_a, codes_b, generator(), groups=GROUPS)
    assert torch.equal(GROUPS[samples], torch.arange(10).expand(400, 10)), "each sample has one code of each group"
    assert bool(((samples == codes_a) | (samples == codes_b)).all())
    from_a = (samples == codes_a)[codes_a != codes_b].double().mean()
    assert abs(from_a - 0.5) < 0.03
    assert not torch.equal(GROUPS[interpolate(codes_a, codes_b, generator())], GROUPS[samples]), "Algorithm 1 does not"


def test_groups_that_fit_no_image_still_give_sets_of_the_parents_codes():
    codes_a, codes_b = random_sets(300, 6, 40, seed=1), random_sets(300, 6, 40, seed=2)
    for a, b, sample in zip(codes_a, codes_b, interpolate(codes_a, codes_b, generator(), groups=GROUPS), strict=True):
        a, b, sample = set(a.tolist()), set(b.tolist()), set(sample.tolist())
        assert len(sample) == 6 and a & b <= sample <= a | b


def test_of_two_groups_both_of_a_or_both_of_b_leave_half():
    """Codes 0, 1 | 2 of image a, and 3 | 4, 5 of b, in groups (0, 1, 3) and (2, 4, 5): by hand."""
    groups = torch.tensor([0, 0, 1, 0, 1, 1])
    samples = interpolate(torch.tensor([[0, 1, 2]] * 900), torch.tensor([[3, 4, 5]] * 900), generator(), groups=groups)
    found = Counter(map(tuple, samples.tolist()))
    # Coins a, a: all of a. b, b: all of b. a, b: three of 0, 1, 4, 5. b, a: 2 and 3, and one of the other four.
    four = (0, 1, 4, 5)
    mixed = {*itertools.combinations(four, 3), *(tuple(sorted((2, 3, other))) for other in four)}
    assert set(found) == {(0, 1, 2), (3, 4, 5)} | mixed
    assert 0.2 < found[0, 1, 2] / 900 < 0.3 and 0.2 < found[3, 4, 5] / 900 < 0.3


def test_one_group_leaves_samples_one_parent_and_a_group_per_code_is_algorithm_1_by_coins():
    codes_a, codes_b = random_sets(50, 5, 40, seed=1), random_sets(50, 5, 40, seed=2)
    samples = interpolate(codes_a, codes_b, generator(), groups=torch.zeros(40, dtype=torch.int64))
    parents = torch.stack([codes_a, codes_b]).sort(dim=2).values
    assert bool((samples == parents).all(dim=2).any(dim=0).all())


def test_partners_are_drawn_evenly_and_change_nothing_else():
    codes = random_sets(4, 3, 20)
    partners = torch.tensor([[1, 2], [0, 3], [0, 1], [2, 2]])
    drawn = sample_pairs(codes, 4000, seed=0, partners=partners)
    counts = Counter(map(tuple, drawn.pairs.tolist()))
    expected = {(a, b): 500 for a in range(3) for b in partners[a].tolist()} | {(3, 2): 1000}
    assert set(counts) == set(expected)
    assert all(abs(counts[pair] - number) < 120 for pair, number in expected.items())
    assert torch.equal(drawn.pairs[:, 0], sample_pairs(codes, 4000, seed=0).pairs[:, 0])


def test_sample_i_depends_on_seed_and_i_alone_with_groups_and_partners():
    codes, partners = one_of_each_group(30, 3), (torch.arange(30)[:, None] + torch.tensor([1, 2])) % 30
    whole = sample_pairs(codes, 100, seed=5, groups=GROUPS, partners=partners)
    parts = [*sample_batches(codes, 60, 5, start=40, batch_size=7, groups=GROUPS, partners=partners)]
    assert torch.equal(torch.cat([part.codes for part in parts]), whole.codes[40:])


@pytest.mark.parametrize(("options", "message"), [
    ({"groups": torch.zeros(7, dtype=torch.int64)}, "has no group of code"),
    ({"groups": torch.zeros(40)}, "groups must be whole numbers"),
    ({"groups": torch.full((40,), -1)}, "groups must lie in 0"),
    ({"partners": torch.tensor([[0], [0], [0], [0]])}, "image 0 is its own partner"),
    ({"partners": torch.tensor([[1], [0], [0]])}, r"partners \(3, 1\) must be \(N, P\) with N = 4"),
    ({"partners": torch.tensor([[1], [0], [0], [4]])}, "partners must lie in 0 … 3"),
    ({"partners": "near"}, "partners must be whole numbers"),
])  # fmt: skip
def test_groups_and_partners_that_cannot_be_are_refused(options, message):
    codes = torch.tensor([[0, 39], [1, 38], [2, 37], [3, 36]])
    with pytest.raises((TypeError, ValueError), match=message):
        sample_pairs(codes, 5, seed=0, **options)


# Smoothness of a path


def grey(*levels):
    """Return one grey image of 2 × 2 pixels for each level."""
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 2, 2)


def test_smoothness_by_hand():
    path = path_smoothness(grey(0.2, 0.3, 0.8, 0.6))  # the last step goes back
    assert path.steps.tolist() == pytest.approx([0.25, 1.25, 0.5])
    assert path.from_start.tolist() == pytest.approx([0, 0.25, 1.5, 1])
    assert path.length == pytest.approx(2.0) and path.largest_step == pytest.approx(1.25)


def test_steps_are_mean_absolute_differences_over_pixels():
    images = torch.zeros(3, 3, 2, 2)
    images[1, 0, 0, 0] = 1.0  # one value of twelve
    images[2, :, 0, 0] = 1.0  # three
    assert path_smoothness(images).steps.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_two_images_are_one_step():
    path = path_smoothness(grey(1.0, 0.0))
    assert (path.steps.tolist(), path.from_start.tolist(), path.length, path.largest_step) == ([1], [0, 1], 1, 1)


@pytest.mark.parametrize("images", [grey(0.5), grey(0.5, 0.7, 0.5)])
def test_a_path_that_leads_nowhere_has_no_smoothness(images):
    with pytest.raises(ValueError, match=f"two different images, got equal ends in {len(images)} images"):
        path_smoothness(images)


def test_a_cross_fade_is_straight_and_ends_at_its_images():
    first, last = torch.rand(2, 3, 4, 4, generator=generator())
    images = cross_fade(first, last, 5)
    assert images.shape == (5, 3, 4, 4)
    assert torch.equal(images[0], first) and torch.equal(images[-1], last)
    torch.testing.assert_close(images[1], 0.75 * first + 0.25 * last)
    path = path_smoothness(images)
    assert path.length == pytest.approx(1) and path.steps.tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64])
def test_codes_of_any_integer_type_and_kind_are_taken(kind):
    a, b = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[2, 3, 4, 5]])
    expected = interpolate(a, b, torch.Generator().manual_seed(0))
    assert torch.equal(interpolate(a.to(kind), b.to(kind), torch.Generator().manual_seed(0)), expected)
    assert torch.equal(interpolate(a.numpy(), b.tolist(), torch.Generator().manual_seed(0)), expected)


@pytest.mark.parametrize("code", [2**40, 2**61, 2**62, 2**63 - 1])
def test_codes_whose_elements_would_overflow_are_refused(code):
    for call in (lambda: interpolate(torch.tensor([[code, 1, 2]]), torch.tensor([[code, 1, 3]])),
                 lambda: smooth_path(torch.tensor([code, 1, 2]), torch.tensor([code, 1, 3])),
                 lambda: sample_pairs(torch.tensor([[code, 1], [2, 3]]), 2, 0)):  # fmt: skip
        with pytest.raises(ValueError, match=f"must lie in 0 … {2**40 - 1}, got 1 … {code}"):
            call()


@pytest.mark.parametrize("seed", [-1, 1.5, "1", float("nan"), None, True, 2**200])
def test_seed_and_number_of_samples_are_whole_numbers(seed):
    codes = torch.tensor([[0, 1], [2, 3]])
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to"):
        sample_pairs(codes, 2, seed)
    with pytest.raises(ValueError, match="num_samples must be a whole number from 1 to"):
        sample_pairs(codes, seed, 0)
