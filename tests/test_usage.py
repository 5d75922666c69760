"""Codebook use, by hand."""

import math

import numpy as np
import pytest
import torch

from pivq import usage
from pivq.usage import (
    best_overlap,
    code_usage,
    exchange_groups,
    near_images,
    pack_codes,
    presence,
    slot_usage,
    unpack_codes,
)

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


# Images with many codes in common, and codes that are alternatives: ours


def test_near_images_by_counting(monkeypatch):
    codes = np.random.default_rng(0).integers(0, 12, (40, 5))  # with repeats, and with many ties
    sets = [set(row) for row in codes.tolist()]
    expected = [
        sorted((j for j in range(40) if j != i), key=lambda j: (-len(sets[i] & sets[j]), j))[:7] for i in range(40)
    ]
    assert near_images(codes, 12, 7).tolist() == expected
    monkeypatch.setattr(usage, "BLOCK_ELEMENTS", 100)
    assert near_images(codes, 12, 7).tolist() == expected
    assert near_images(codes, 12, 39).shape == (40, 39)


@pytest.mark.parametrize("count", [0, -1, 3, 1.5, "2", True, None])
def test_near_images_needs_a_number_of_others(count):
    with pytest.raises(ValueError, match="count must be a whole number from 1 to 2, got"):
        near_images([[0], [1], [2]], 3, count)


def slots_of_their_own(images, num_codes, per_slot, seed):
    """Return codes of images whose slots share no code, in an order that says nothing; and each code's slot."""
    generator = np.random.default_rng(seed)
    names = generator.permutation(num_codes * per_slot).reshape(num_codes, per_slot)
    chosen = generator.integers(0, per_slot, (images, num_codes))
    codes = names[np.arange(num_codes), chosen]
    slots = np.empty(num_codes * per_slot, dtype=int)
    slots[names] = np.arange(num_codes)[:, None]
    return generator.permuted(codes, axis=1), slots


def same_partition(groups, others):
    return np.array_equal(groups[:, None] == groups, others[:, None] == others)


@pytest.mark.parametrize(("num_codes", "per_slot"), [(1, 5), (2, 3), (8, 4), (16, 8)])
def test_slots_that_share_no_code_are_found_from_the_sets_alone(num_codes, per_slot):
    codes, slots = slots_of_their_own(600, num_codes, per_slot, seed=num_codes)
    groups = exchange_groups(codes, num_codes * per_slot)
    assert groups.dtype == np.int64 and same_partition(groups, slots)


def test_a_slot_with_a_usual_code_is_found_too():
    """Slot 0 takes code 0 in nine images of ten, so its other codes seldom meet anything."""
    codes, slots = slots_of_their_own(3000, 6, 4, seed=0)
    usual = np.flatnonzero(slots == 0)
    rare = np.random.default_rng(1).random(3000) < 0.9
    codes = np.where(np.isin(codes, usual) & rare[:, None], usual[0], codes)
    assert same_partition(exchange_groups(codes, 24), slots)


def test_groups_of_sets_without_slots_hold_codes_that_meet_less_than_others():
    codes = np.random.default_rng(0).random((400, 30)).argsort(axis=1)[:, :6]
    groups = exchange_groups(codes, 30)
    assert np.unique(groups).tolist() == [*range(6)]
    inputs = presence(codes, 30)
    meetings = (inputs.T @ inputs).toarray()
    alike = groups[:, None] == groups
    np.fill_diagonal(alike, False)
    others = ~alike
    np.fill_diagonal(others, False)
    assert meetings[alike].mean() < 0.9 * meetings[others].mean()


def test_unused_codes_and_repeats_do_not_stop_the_groups():
    codes, slots = slots_of_their_own(600, 4, 3, seed=2)
    groups = exchange_groups(np.concatenate([codes, codes[:, :1]], axis=1), 20, num_groups=4)
    assert groups.shape == (20,) and same_partition(groups[:12], slots)


@pytest.mark.parametrize("number", [0, 3, -1])
def test_more_groups_than_an_image_has_codes_are_refused(number):
    with pytest.raises(ValueError, match="num_groups must be a whole number from 1 to 2, got"):
        exchange_groups([[0, 1], [1, 2]], 3, number)


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
    message = r"packed must be uint8 \(N, 3\), .* that 6 codes of 8 take, got uint8 \(1, 2\)"
    with pytest.raises(ValueError, match=message):
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
