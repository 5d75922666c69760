"""The atlas of a codebook whose codes do known things: a decoder by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from pivq.runs.beyond.atlas import (
    alternatives,
    best_bits,
    code_atlas,
    consistency,
    in_words,
    labels_of_splits,
    measure_swaps,
    most_telling,
    picture_code,
    put_in,
)

GROUPS = np.array([0, 0, 0, 1, 1, 1, 2, 2])  # K = 8; code 5 is never used
CODES = np.array([[a, b, c] for a in (0, 1, 2) for b in (3, 4) for c in (6, 7)] * 10)  # 120 images, all twelve sets
SIZE = 6


def labels() -> pd.DataFrame:
    """Return "hat", which is code 0; "hair", which code 3 has with two exceptions; and "luck", which is chance."""
    hair = (CODES == 3).any(axis=1).astype(int)
    hair[:2] = 1 - hair[:2]
    luck = np.random.default_rng(0).integers(0, 2, len(CODES))
    return pd.DataFrame({"hat": (CODES == 0).any(axis=1).astype(int), "hair": hair, "luck": luck})


def decode(codes: torch.Tensor) -> torch.Tensor:
    """Draw a set: code 1 makes the top third bright, code 2 the bottom third; code 7 does what depends on others."""
    images = torch.zeros(len(codes), 3, SIZE, SIZE)
    images[(codes == 1).any(dim=1), :, :2] = 0.5
    images[(codes == 2).any(dim=1), :, 4:] = 0.75
    sign = torch.where((codes == 3).any(dim=1), 0.125, -0.125)[:, None, None, None]
    return images + sign * (codes == 7).any(dim=1)[:, None, None, None] + 0.25


def test_rows_say_who_has_a_code_and_what_it_tells():
    atlas, chance = code_atlas(CODES, labels(), len(GROUPS), GROUPS, shuffles=5)
    assert sorted(atlas["code"]) == [0, 1, 2, 3, 4, 6, 7], "an unused code has no row"
    assert atlas["bits"].is_monotonic_decreasing and 0 < chance < 0.2
    top = atlas.iloc[0]
    third = -(1 / 3 * np.log2(1 / 3) + 2 / 3 * np.log2(2 / 3))
    assert (top["code"], top["attribute"], top["images"], top["token"], top["group"]) == (0, "hat", 40, 0, 0)
    assert top["bits"] == pytest.approx(third) and top["part"] == pytest.approx(1)
    assert (top["with_code"], top["without_code"], top["token_share"]) == (1, 0, 1)
    assert top["lift"] == pytest.approx(3) and top["beyond_chance"] == 1
    hair = atlas.set_index("code").loc[3]
    assert hair["attribute"] == "hair" and (hair["with_code"], hair["without_code"]) == (58 / 60, 0)
    first = atlas[atlas["attribute"] == "hair"]["code"].iloc[0]  # 3 or 4: both say it
    assert most_telling(atlas, 5, chance)["code"].tolist() == [0, first]


def test_alternatives_are_the_codes_of_a_token_where_tokens_have_their_own():
    found = alternatives(CODES, len(GROUPS))
    assert found.kind == "token" and found.groups[[0, 1, 2, 3, 4, 6, 7]].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert found.sizes["one code"].tolist()[0] == 1
    turned = np.take_along_axis(CODES, np.random.default_rng(0).random(CODES.shape).argsort(axis=1), axis=1)
    found = alternatives(turned, len(GROUPS))  # the order of the codes says nothing now
    assert found.kind == "exchange group" and found.sizes["one code"].tolist()[1] == 1
    assert len(set(found.groups[:3])) == 1


def test_best_bits_of_groups_are_at_least_those_of_codes():
    best = best_bits(CODES, GROUPS, labels(), len(GROUPS))
    third = -(1 / 3 * np.log2(1 / 3) + 2 / 3 * np.log2(2 / 3))
    assert best["code"][0] == pytest.approx(third) and best["group"][0] == pytest.approx(third)
    assert (best["group"] >= best["code"] - 1e-12).all()


def test_a_code_is_put_in_for_the_one_of_its_group():
    rows, sets = put_in(CODES[:12], GROUPS, 1)
    assert rows.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert (sets[:, 0] == 1).all() and (sets[:, 1:] == CODES[rows, 1:]).all()
    rows, _ = put_in(np.array([[0, 2, 3], [3, 4, 6], [3, 6, 7]]), GROUPS, 1)
    assert not len(rows), "two codes of the group, or none: nothing to exchange it for"


def test_swaps_measure_what_a_code_does_everywhere_and_where():
    frame = measure_swaps(decode, CODES[:12], GROUPS, [0, 1, 2, 6, 7]).set_index("code")
    assert frame.loc[1, "faces"] == 8 and frame.loc[7, "faces"] == 6
    assert frame.loc[1, "where"] == "top" and frame.loc[2, "where"] == "bottom"
    # Code 1 in place of 0: +0.5 on top. In place of 2: the same, and -0.75 at the bottom. Four faces of each:
    before, after = decode(torch.tensor([[0, 3, 6], [2, 3, 6]])), decode(torch.tensor([[1, 3, 6]]))
    assert frame.loc[1, "consistency"] == pytest.approx(consistency(after - before))
    assert frame.loc[1, "change"] == pytest.approx((0.5 / 3 + (0.5 + 0.75) / 3) / 2)
    assert frame.loc[1, "there"] == pytest.approx(0.5 / (0.5 + 0.375))
    assert frame.loc[7, "consistency"] == pytest.approx(0, abs=1e-6), "it brightens half of the faces, darkens the rest"
    assert frame.loc[7, "spread"] == pytest.approx(1) and frame.loc[7, "change"] == pytest.approx(0.125)
    assert frame.loc[1, "consistency"] > frame.loc[1, "random_consistency"]
    assert np.isnan(frame.loc[7, "random_consistency"]), "its group has no third code that could be put in"


def test_consistency_by_hand():
    same, opposite, crossed = [[3.0, 4.0]] * 2, [[1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    found = [consistency(torch.tensor(rows)) for rows in (same, opposite, crossed)]
    assert found == pytest.approx([1, 0, 0.5**0.5])


def test_pictures_of_a_code_are_the_first_images_of_each_kind():
    images = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, SIZE, SIZE)
    found = picture_code(decode, images, CODES[:12], GROUPS, 1, shown=3, faces=5)
    assert found.having[:, 0, 0, 0].tolist() == [4, 5, 6] and found.lacking[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert torch.equal(found.before, decode(torch.from_numpy(CODES[:3])))
    assert torch.equal(found.after, found.before + torch.tensor([0.5, 0, 0]).repeat_interleave(2)[:, None])
    mean = torch.tensor([0.5, 0, -0.75 / 5]).repeat_interleave(2)[:, None].expand(6, 6)
    torch.testing.assert_close(found.change, mean)
    unused = picture_code(decode, images, CODES[:12] * 0 + [0, 1, 3], GROUPS, 2)
    assert len(unused.having) == len(unused.before) == 0 and not unused.change.any()


def test_images_without_labels_get_statistics_cut_at_the_training_median():
    def split(levels: list[int], attributes=None) -> SimpleNamespace:
        images = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
        return SimpleNamespace(images=images, ids=[str(level) for level in levels], attributes=attributes)

    train, heldout, given = labels_of_splits(split([10, 20, 30, 40]), split([90, 100]))
    assert not given and train["bright"].tolist() == [0, 0, 1, 1] and heldout["bright"].tolist() == [1, 1]
    exact = pd.DataFrame({"hat": [1]})
    assert labels_of_splits(split([1], exact), split([2], exact))[2] is True


def test_sentences_name_the_best_code_and_the_control():
    atlas, chance = code_atlas(CODES, labels(), len(GROUPS), GROUPS, shuffles=5)
    joined = atlas.merge(measure_swaps(decode, CODES[:12], GROUPS, atlas["code"].to_numpy()), on="code")
    told = in_words(joined, chance)
    telling = (atlas["bits"] > chance).sum()
    assert told[0].startswith(f"**What codes say.** {telling} of 7 codes") and "“hat” (code 0)" in told[0]
    assert "One code, one attribute" in told[1] and "For 3 of 3 codes" in told[2]
    assert "No code says anything" in in_words(atlas, chance=9.0)[1]
