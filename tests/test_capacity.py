"""Eqs. (2) and (4), the multiset bound and positional VQ: the paper's numbers and counts made by enumeration."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from pivq.capacity import exactly_distinct_bits, matching_bits, multiset_bits, nearest_bits, positional_bits


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (matching_bits(4096, 512), 2220.710),
        (nearest_bits(4096, 49, 512), 611.284),
        (exactly_distinct_bits(4096, 49, 512), 604.647),
        (multiset_bits(4096, 512), 2313.103),
        (matching_bits(512, 32), 168.910),
        (positional_bits(512, 32), 288.0),
        (positional_bits(1024, 256), 2560.0),
        (matching_bits(4096, 512) / nearest_bits(4096, 49, 512), 3.633),
    ],
)
def test_numbers_of_the_paper(bits, expected):
    assert bits == pytest.approx(expected, abs=5e-4)


def test_nearest_bound_overcounts_and_the_exact_count_does_not():
    sizes = range(1, 513)
    assert max(nearest_bits(4096, size, 512) for size in sizes) == pytest.approx(3238.384, abs=5e-4)
    bits = [exactly_distinct_bits(4096, size, 512) for size in sizes]
    assert max(bits) == pytest.approx(2309.029, abs=5e-4)
    assert sizes[bits.index(max(bits))] == 456
    assert max(bits) < multiset_bits(4096, 512) < 3238


def test_matching_reaches_2221_only_with_every_code_in_use():
    assert round(matching_bits(4095, 512)) == round(matching_bits(4096, 512)) == 2221
    assert round(matching_bits(4094, 512)) == 2220


@pytest.mark.parametrize(("codebook_size", "num_codes"), [(1, 1), (1, 4), (4, 1), (4, 3), (5, 5), (3, 6)])
def test_counts_agree_with_enumeration(codebook_size, num_codes):
    multisets = list(itertools.combinations_with_replacement(range(codebook_size), num_codes))
    assert 2 ** multiset_bits(codebook_size, num_codes) == pytest.approx(len(multisets))
    assert 2 ** positional_bits(codebook_size, num_codes) == pytest.approx(
        len(list(itertools.product(range(codebook_size), repeat=num_codes)))
    )
    for distinct in range(1, min(codebook_size, num_codes) + 1):
        exact = sum(len(set(codes)) == distinct for codes in multisets)
        assert 2 ** exactly_distinct_bits(codebook_size, distinct, num_codes) == pytest.approx(exact)
        assert nearest_bits(codebook_size, distinct, num_codes) >= math.log2(exact) - 1e-12
    if num_codes <= codebook_size:
        sets = list(itertools.combinations(range(codebook_size), num_codes))
        assert 2 ** matching_bits(codebook_size, num_codes) == pytest.approx(len(sets))


def test_nearest_bound_term_by_term():
    # C(6, 2) = 15 choices of the two codes; C(3 + 2 - 1, 1) = 4 ways to share three uses, none included.
    assert nearest_bits(codes_in_use=6, codes_per_image=2, num_codes=3) == pytest.approx(math.log2(60), abs=1e-12)


def test_one_code_holds_nothing():
    assert matching_bits(7, 7) == 0.0
    assert multiset_bits(1, 9) == 0.0
    assert positional_bits(1, 9) == 0.0
    assert exactly_distinct_bits(1, 1, 9) == 0.0


def test_counts_beyond_the_range_of_a_float():
    # log2 of a binomial by a sum of logarithms, a second way that never forms the large integer.
    expected = math.fsum(math.log2((65536 - i) / (2048 - i)) for i in range(2048))
    assert matching_bits(65536, 2048) == pytest.approx(expected, abs=1e-8)


def test_numpy_integers_do_not_overflow():
    assert matching_bits(np.int16(4096), np.int16(512)) == matching_bits(4096, 512)
    assert type(positional_bits(np.int32(1024), np.int32(256))) is float


@pytest.mark.parametrize("bad", [0, -1, 2.0, 2.5, "3", None, True, float("nan"), torch.tensor(True)])
def test_sizes_that_are_not_positive_integers_are_refused(bad):
    for call in (
        lambda: matching_bits(bad, 1),
        lambda: matching_bits(8, bad),
        lambda: nearest_bits(bad, 1, 1),
        lambda: nearest_bits(8, bad, 8),
        lambda: nearest_bits(8, 1, bad),
        lambda: exactly_distinct_bits(8, bad, 8),
        lambda: multiset_bits(bad, 1),
        lambda: multiset_bits(8, bad),
        lambda: positional_bits(bad, 1),
        lambda: positional_bits(8, bad),
    ):
        with pytest.raises(ValueError, match="must be a whole number from 1 to [0-9,]+, got"):
            call()


def test_sizes_that_cannot_be_are_refused_with_both_values():
    with pytest.raises(ValueError, match="num_codes=33 .* codes_in_use=32"):
        matching_bits(32, 33)
    for bits in (nearest_bits, exactly_distinct_bits):
        with pytest.raises(ValueError, match="codes_per_image=9 exceeds codes_in_use=8"):
            bits(8, 9, 10)
        with pytest.raises(ValueError, match="codes_per_image=9 exceeds num_codes=8"):
            bits(10, 9, 8)


def test_capacity_is_computed_without_importing_torch_or_numpy():
    program = (
        "import sys, pivq.capacity; pivq.capacity.matching_bits(8, 4); "
        "sys.exit(', '.join(m for m in ('torch', 'numpy') if m in sys.modules) or None)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
