"""Codebook use, by hand."""

import math

import numpy as np
import pytest

from pivq.usage import code_usage, slot_usage


def test_code_usage_by_hand():
    usage = code_usage(np.array([[0, 0, 5], [5, 1, 2], [5, 5, 5]]), codebook_size=8)
    assert usage.counts.tolist() == [2, 1, 1, 0, 0, 5, 0, 0]
    assert usage.codes_in_use == 4
    assert usage.max_codes_per_image == 3
    assert usage.mean_codes_per_image == pytest.approx((2 + 3 + 1) / 3)


def test_single_code_per_image_and_small_integer_types():
    usage = code_usage(np.array([[255], [255], [0]], dtype=np.uint8), codebook_size=256)
    assert (usage.codes_in_use, usage.max_codes_per_image, usage.mean_codes_per_image) == (2, 1, 1.0)
    assert len(usage.counts) == 256 and usage.counts[255] == 2


def test_uint8_codes_do_not_wrap_around_in_slot_counts():
    counts = slot_usage(np.array([[200, 200, 7]], dtype=np.uint8), codebook_size=201).counts
    assert counts.shape == (3, 201)
    assert [counts[0, 200], counts[1, 200], counts[2, 7], counts.sum()] == [1, 1, 1, 3]


def test_slot_usage_by_hand():
    # Slot 0 takes 0, 0, 1, 3; slot 1 takes 2, 3, 3, 3. Code 3 belongs to slot 1 (3 uses of 4), the others to one slot.
    slots = slot_usage(np.array([[0, 2], [0, 3], [1, 3], [3, 3]]), codebook_size=5)
    assert slots.counts.tolist() == [[2, 1, 0, 1, 0], [0, 0, 1, 3, 0]]
    assert slots.dominant_share == pytest.approx(7 / 8)
    assert slots.codes_per_slot == pytest.approx((3 + 2) / 2)
    assert slots.bits == pytest.approx(math.log2(2 * 2))  # slot 0 owns 0 and 1, slot 1 owns 2 and 3


def test_a_slot_that_owns_no_code_adds_no_bits():
    slots = slot_usage(np.array([[0, 0], [0, 0], [0, 1]]), codebook_size=2)  # 0 is slot 0's, 1 is slot 1's
    assert slots.bits == 0.0
    shared = slot_usage(np.array([[0, 1], [1, 0], [0, 1], [1, 0]]), codebook_size=2)  # ties go to the first slot
    assert shared.dominant_share == 0.5
    assert shared.bits == pytest.approx(1.0)


@pytest.mark.parametrize("count", [code_usage, slot_usage])
@pytest.mark.parametrize(
    "codes, message",
    [
        (np.array([[0, 4]]), "0 … 3, got 0 … 4"),
        (np.array([[-1, 0]]), "0 … 3, got -1 … 0"),
        (np.array([[0.0, 1.0]]), "whole numbers"),
        (np.array([[True, False]]), "whole numbers"),
        (np.array([0, 1]), r"\(N, L\)"),
        (np.empty((0, 4), int), "at least one"),
    ],
)
def test_refuses_what_are_no_codes(count, codes, message):
    with pytest.raises(ValueError, match=message):
        count(codes, codebook_size=4)
