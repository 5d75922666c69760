"""Codebook use, by hand."""

import math

import numpy as np
import pytest
import torch

from pivq import usage
from pivq.usage import best_overlap, code_usage, pack_codes, presence, slot_usage, unpack_codes

# Codes in use, codes per image, slots


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
    first = 0.5 * 1 + 2 * 0.25 * 2  # shares 1/2, 1/4, 1/4
    second = 0.25 * 2 - 0.75 * math.log2(0.75)
    assert slots.entropy_bits == pytest.approx(first + second)


def test_a_slot_that_owns_no_code_adds_no_bits():
    slots = slot_usage(np.array([[0, 0], [0, 0], [0, 1]]), codebook_size=2)  # 0 is slot 0's, 1 is slot 1's
    assert slots.bits == 0.0
    shared = slot_usage(np.array([[0, 1], [1, 0], [0, 1], [1, 0]]), codebook_size=2)  # ties go to the first slot
    assert shared.dominant_share == 0.5
    assert shared.bits == pytest.approx(1.0)


def test_entropy_of_slots_that_always_and_evenly_choose():
    assert slot_usage(np.array([[3, 1], [3, 1]]), codebook_size=4).entropy_bits == 0.0
    everything = np.stack(np.meshgrid(np.arange(4), np.arange(4, 12)), axis=-1).reshape(-1, 2)
    assert slot_usage(everything, codebook_size=12).entropy_bits == pytest.approx(2 + 3)


# Presence


def test_presence_by_hand():
    inputs = presence([[0, 3, 0], [2, 1, 3]], codebook_size=5)
    assert inputs.toarray().tolist() == [[1, 0, 0, 1, 0], [0, 1, 1, 1, 0]]
    assert inputs.nnz == 5 and inputs.format == "csr" and inputs.dtype == np.float64


def test_presence_ignores_order_and_takes_tensors():
    rng = np.random.default_rng(0)
    codes = np.stack([rng.permutation(20)[:6] for _ in range(200)])
    expected = presence(codes, 20).toarray()
    assert (presence(codes[:, ::-1], 20).toarray() == expected).all()
    assert (presence(torch.tensor(codes), 20).toarray() == expected).all()
    assert (presence(codes.astype(np.int16), 20).toarray() == expected).all()
    assert (expected.sum(axis=1) == 6).all()


# Overlap with a reference set


def test_best_overlap_by_hand():
    reference = [[0, 1, 2], [2, 3, 4], [5, 6, 7]]
    codes = [[2, 1, 0], [4, 2, 8], [8, 9, 8]]
    assert best_overlap(codes, reference, codebook_size=10).tolist() == [3, 2, 0]
    excluded = [[0, 2], [1, 0], [0, 1]]
    assert best_overlap(codes, reference, codebook_size=10, excluded=excluded).tolist() == [1, 0, 0]


def test_best_overlap_counts_distinct_codes_and_does_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    codes, reference = rng.integers(30, size=(23, 8)), rng.integers(30, size=(40, 8))
    excluded = np.stack([rng.permutation(40)[:2] for _ in codes])
    expected = [
        max(len({*row.tolist()} & {*other.tolist()}) for i, other in enumerate(reference) if i not in left_out)
        for row, left_out in zip(codes, excluded, strict=True)
    ]
    for elements in (1, 5 * 40, 1 << 22):
        monkeypatch.setattr(usage, "BLOCK_ELEMENTS", elements)
        found = best_overlap(codes, reference, 30, excluded)
        assert found.tolist() == expected and found.dtype == np.int64


# Bytes


@pytest.mark.parametrize(("codebook_size", "num_bytes"), [(1, 1), (2, 1), (3, 2), (512, 6), (513, 7), (4096, 8)])
def test_codes_are_read_back_as_they_were_written(codebook_size, num_bytes):
    codes = np.random.default_rng(2).integers(codebook_size, size=(7, 5))
    codes[0], codes[1] = 0, codebook_size - 1
    packed = pack_codes(codes, codebook_size)
    assert packed.dtype == np.uint8 and packed.shape == (7, num_bytes)  # ⌈5 ⌈log2 K⌉ / 8⌉
    read = unpack_codes(packed, 5, codebook_size)
    assert read.dtype == np.int64 and (read == codes).all()


def test_packed_bytes_by_hand():
    # Three bits each, the lowest first: 110 000 111, then zeros.
    assert pack_codes([[3, 0, 7]], codebook_size=8).tolist() == [[0b11000011, 0b10000000]]


def test_bytes_of_other_codes_are_refused():
    packed = pack_codes([[3, 0, 7]], codebook_size=8)
    with pytest.raises(ValueError, match=r"packed must be uint8 .N, 3., .* 6 codes of 8 take, got uint8 .1, 2."):
        unpack_codes(packed, 6, 8)
    with pytest.raises(ValueError, match="0 … 4, got 0 … 7"):
        unpack_codes(packed, 3, 5)


# Whatever is no codes


def overlap(codes, codebook_size):
    return best_overlap([[0, 1]], codes, codebook_size)


@pytest.mark.parametrize("count", [code_usage, slot_usage, presence, overlap, pack_codes])
@pytest.mark.parametrize(
    "codes, message",
    [
        (np.array([[0, 4]]), "must lie in 0 … 3, got 0 … 4"),
        (np.array([[-1, 0]]), "must lie in 0 … 3, got -1 … 0"),
        (np.array([[0.0, 1.0]]), r"must be whole numbers \(B, L\) with L >= 1, got torch.float64 \(1, 2\)"),
        (np.array([[True, False]]), "must be whole numbers"),
        (np.array([0, 1]), r"must be whole numbers \(B, L\) with L >= 1, got torch.int64 \(2,\)"),
        (np.empty((0, 4), int), r"must not be empty, got \(0, 4\)"),
    ],
)
def test_refuses_what_are_no_codes(count, codes, message):
    with pytest.raises(ValueError, match=message):
        count(codes, codebook_size=4)
