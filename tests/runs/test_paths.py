"""Walks between images are measured by hand-made decoders, whose images can be computed on paper."""

import numpy as np
import pandas as pd
import pytest
import torch
from stand_ins import Colours

from pivq.runs import paths
from pivq.runs.paths import (
    exchange_one_code,
    measure_apart,
    measure_plausibility,
    measure_spread,
    measure_walks,
    pairs_to_show,
    paths_apart,
    spread_of_change,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def grey(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 4, 4)


def mean_decoder(codes):
    """Decode codes to a grey picture: the mean code, over ten."""
    return (codes.float().mean(dim=1) / 10)[:, None, None, None].expand(-1, 3, 4, 4)


def jump_decoder(codes):
    """Decode codes to black or white: white once code 9 is there."""
    return (codes == 9).any(dim=1).float()[:, None, None, None].expand(-1, 3, 4, 4)


CODES = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3], [6, 7, 8, 9]])


def test_a_walk_of_equal_steps():
    numbers, distances, details = measure_walks(mean_decoder, CODES, torch.tensor([[0, 1]]), generator())
    assert numbers["pairs"] == 1 and numbers["mean_exchanged"] == 4
    assert numbers["step"] == pytest.approx(0.25) and numbers["path_length"] >= 1 - 1e-6
    assert distances["codes"].shape == distances["pixels"].shape == details["codes"].shape == (1, paths.STOPS)
    np.testing.assert_allclose(distances["pixels"][0], np.linspace(0, 1, paths.STOPS), atol=1e-6)


def test_one_large_step_is_counted_though_the_others_are_none():
    numbers = measure_walks(jump_decoder, CODES, torch.tensor([[0, 3], [3, 0], [0, 2]]), generator()).numbers
    assert numbers["pairs"] == 2, "a pair with the same codes is left out"
    assert numbers["share_with_large_step"] == 1 and numbers["largest_step"] == 1 and numbers["path_length"] == 1


def test_no_path_gives_no_numbers():
    walks = measure_walks(mean_decoder, CODES, torch.tensor([[0, 2]]), generator())
    assert walks.numbers.pop("pairs") == 0 and set(walks.numbers.values()) == {None}
    assert walks.distances["codes"].shape == (0, paths.STOPS)


def test_paths_apart_by_hand():
    assert paths_apart(grey(0.0, 0.2, 1.0), grey(0.0, 0.6, 1.0)) == pytest.approx(0.4)
    assert paths_apart(grey(0.2, 0.4, 0.6), grey(0.2, 0.4, 0.6)) == 0
    assert paths_apart(grey(0.0, 1.0), grey(0.0, 1.0)) == 0, "nothing between the ends"


def test_paths_of_many_pairs_are_apart_by_hand():
    """A set's picture is grey of one hundredth of its greatest code; only the middle set of a path is not given."""
    decode = lambda codes: (codes.max(dim=1).values / 100).float()[:, None, None, None].expand(-1, 3, 2, 2)  # noqa: E731
    codes = torch.tensor([[0, 10], [80, 90], [0, 1], [2, 1], [0, 10]])
    pairs, drawn = torch.tensor([[0, 1]] * 200 + [[2, 3], [0, 4]]), torch.Generator().manual_seed(0)
    found = measure_apart(decode, codes, pairs, drawn)
    assert found["pairs"] == 200, "those with a single path, or none, are left out"
    # Half way, a path has the greatest code 80 or 90, each half of the time: two differ by 0.1 of 0.8 half of the time.
    assert found["low"] == 0 and found["high"] == pytest.approx(0.125)
    assert found["median"] in (0, pytest.approx(0.0625), pytest.approx(0.125))
    assert measure_apart(decode, codes, pairs[:0], drawn) == {"low": None, "median": None, "high": None, "pairs": 0}


def test_plausibility_is_the_distance_to_the_nearest_real_image(monkeypatch):
    """The network sees the mean colour; all real images are white, so black has the distance √3."""
    monkeypatch.setattr(paths, "real_features", lambda run, network: np.ones((5, 3), dtype=np.float32))

    class Run:
        def model(self, device):
            return type("Model", (), {"decode": staticmethod(jump_decoder)})

    found = measure_plausibility(Run(), Colours(), CODES, torch.tensor([[0, 0], [3, 3], [1, 1]]), generator())
    assert found == pytest.approx({"ends": 3**0.5, "quarter": 3**0.5, "half_way": 3**0.5,
                                   "cross_fade_half_way": 3**0.5, "nearer": 0, "pairs": 3})  # fmt: skip
    found = measure_plausibility(Run(), Colours(), CODES, torch.tensor([[0, 3]] * 40), generator())
    assert found["cross_fade_half_way"] == pytest.approx(3**0.5 / 2, abs=0.01), "grey"
    assert 0 < found["nearer"] < 1, "code 9 comes early in some paths and late in others"


def test_one_code_is_exchanged_in_its_place_and_none_repeats():
    a = torch.rand(200, 40, generator=generator()).argsort(dim=1)[:, :8]
    b = torch.rand(200, 40, generator=generator(1)).argsort(dim=1)[:, :8]
    changed = exchange_one_code(a, b, generator())
    differs = changed != a
    assert (differs.sum(dim=1) == 1).all() and torch.equal(changed[differs], b[differs])
    assert all(len(set(row)) == 8 for row in changed.tolist())
    assert differs.any(dim=0).all(), "any latent may be drawn"
    assert torch.equal(exchange_one_code(a, a.flip(1), generator()), a), "b has no other code"


def test_spread_by_hand():
    before, after = torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, 8, 8)
    after[0] += 0.3  # everywhere alike
    after[1, 0, :4, :4] = 1.0  # a quarter, one channel
    after[2, :, 0, 0], after[2, :, 0, 1] = 0.2, 0.4  # (1 + 2)² / (64 · (1 + 4))
    spread = spread_of_change(before, after)
    assert spread[:3].tolist() == pytest.approx([1, 1 / 4, 9 / (64 * 5)]) and spread[3].isnan()


def test_spread_of_a_code_with_a_place_and_of_one_without():
    def local(codes):  # code i of the list is the level of quarter i
        levels = (codes.float() / 10).reshape(-1, 1, 2, 2).expand(-1, 3, 2, 2)
        return levels.repeat_interleave(2, 2).repeat_interleave(2, 3)

    pairs = torch.tensor([[0, 1], [1, 3], [3, 0]])
    with_places = measure_spread(local, CODES, pairs, 2, generator())
    assert with_places["participation"] == with_places["low"] == with_places["high"] == pytest.approx(1 / 4)
    assert with_places["cell"] == pytest.approx(1 / 4) and with_places["pairs"] == 3
    assert measure_spread(mean_decoder, CODES, pairs, 2, generator())["participation"] == pytest.approx(1)
    assert measure_spread(local, CODES, torch.tensor([[0, 2]]), 2, generator())["participation"] is None


def test_the_second_pair_shown_has_headwear_or_else_something_worn_on_both_sides():
    codes, pairs = torch.arange(30).reshape(10, 3), torch.tensor([[9, 8], [0, 1], [2, 3], [4, 5], [6, 7]])
    worn = pd.DataFrame({"headwear": [1, 0, 1, None, 0, 1, 1, 1, 1, 1], "glasses": [1, 0, 0, 0, 1, 0, 1, 0, 0, 0],
                         "beard": [1] * 10})  # fmt: skip
    assert pairs_to_show(pairs, codes, worn, 3).tolist() == [[9, 8], [6, 7], [0, 1]], "both have headwear"
    one_hat = worn.assign(headwear=worn["headwear"].where(worn.index != 7, 0))
    assert pairs_to_show(pairs, codes, one_hat, 3).tolist() == [[9, 8], [4, 5], [0, 1]], "one has glasses, one a hat"
    for unknown in (None, worn[["beard"]], worn * 0):
        assert pairs_to_show(pairs, codes, unknown, 4).tolist() == pairs[:4].tolist()
    codes[8] = codes[9]
    codes[5, :2] = codes[4, :2]
    assert pairs_to_show(pairs, codes, worn, 5).tolist() == [[0, 1], [6, 7], [2, 3], [4, 5], [9, 8]], "few codes: last"


def test_pairs_of_one_outline_are_shown_after_the_others():
    codes, pairs = torch.arange(30).reshape(10, 3), torch.arange(10).reshape(5, 2)
    known = pd.DataFrame({"bald": [1, 1, 0, 0, 1, 1, 0, 1, 0, 0], "long_hair": [0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
                          "beard": [0, 1] * 5})  # fmt: skip
    assert pairs_to_show(pairs, codes, known, 5).tolist() == [[0, 1], [2, 3], [6, 7], [8, 9], [4, 5]], "both bald: last"
    assert pairs_to_show(pairs, codes, known[["beard"]], 5).tolist() == pairs.tolist()
