"""Traits from nowhere are counted by hand, and on models whose decoder makes them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from stand_ins import Colours

from pivq.metrics import traits
from pivq.runs import recombination
from pivq.runs.recombination import (
    ALGORITHM,
    BY_SLOT,
    FADE,
    as_records,
    beyond_controls,
    countable_attributes,
    explained_by_slots,
    measure_recombination,
    slots_twice,
    total_errors,
)


def frame(**shares):
    rows = [
        {"sampler": sampler, "attribute": name, "gained": gained, "neither": neither, "lost": 0.0, "both": 4,
         "false_alarms": 0.1, "misses": 0.0}
        for sampler, of in shares.items() for name, (gained, neither) in of.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).replace({"sampler": {"algorithm": ALGORITHM, "slots": BY_SLOT}})


def test_totals_weigh_attributes_by_their_samples():
    table = frame(algorithm={"beard": (0.6, 30), "hat": (0.2, 10)}, slots={"beard": (0.3, 30), "hat": (0.3, 10)})
    totals = total_errors(table).set_index("sampler")
    assert totals.loc[ALGORITHM, "gained"] == pytest.approx(0.5) and totals.loc[ALGORITHM, "neither"] == 40
    assert totals.loc["reconstructions", "gained"] == pytest.approx(0.1)
    assert explained_by_slots(totals.reset_index()) == pytest.approx((0.5 - 0.3) / (0.5 - 0.1))
    assert explained_by_slots(totals.reset_index(), "lost") is None, "nothing to explain"
    assert len(total_errors(table[:0])) == 0


def test_intervals_are_wilson_s_and_decide_what_is_beyond_the_controls():
    few, many = {"beard": (0.6, 100)}, {"beard": (0.5, 100)}
    table = recombination._with_intervals(frame(algorithm=few, fade=many).replace({"fade": FADE}))
    assert table.loc[0, ["gained_low", "gained_high"]].tolist() == pytest.approx([0.502, 0.691], abs=1e-3)
    assert beyond_controls(table) == [], "0.6 of 100 is not clear of 0.5 of 100"
    table.loc[1, "gained_high"] = 0.4
    assert beyond_controls(table) == ["beard"] and beyond_controls(table.assign(false_alarms=0.55)) == []
    assert beyond_controls(table, "lost") == beyond_controls(table[:0]) == []


def test_slots_with_two_codes():
    codes = torch.tensor([[0, 2, 4], [1, 3, 5], [0, 3, 5]])  # slot 0 has codes 0, 1; slot 1 has 2, 3; slot 2 has 4, 5
    samples = torch.tensor([[0, 2, 4], [0, 1, 4], [1, 0, 5], [4, 5, 2]])
    assert slots_twice(samples, codes, 6).tolist() == [0, 1, 1, 1]


def test_records_hold_no_nan():
    assert as_records(pd.DataFrame({"a": [1.5, np.nan], "b": [1, 2]})) == [{"a": 1.5, "b": 1}, {"a": None, "b": 2}]


def test_countable_attributes(monkeypatch):
    monkeypatch.setattr(recombination, "LEAST", 2)
    table = pd.DataFrame({"rare": [1, 0, 0, 0], "known": [1, 1, 0, 0], "hidden": [1, 1, 0, None]}).astype("Int64")
    images = SimpleNamespace(attributes=table)
    assert countable_attributes(images, images) == ["known"]
    assert countable_attributes(images, SimpleNamespace(attributes=None)) == []


class Toy:
    """A run with three slots of two codes: red, green and blue, or not; two codes of one slot make blue, too."""

    quantizer, config = "matching", SimpleNamespace(seed=0, profile="smoke", model=SimpleNamespace(codebook_size=6))

    def codes(self, split):
        return np.stack([2 * slot + np.arange(64) // 2**slot % 2 for slot in range(3)], axis=1)

    def decode(self, codes):
        has = torch.zeros(len(codes), 6).scatter_(1, codes, 1.0).bool()
        twice = (has[:, 0] & has[:, 1]) | (has[:, 2] & has[:, 3]) | (has[:, 4] & has[:, 5])
        levels = torch.stack([has[:, 1], has[:, 3], has[:, 5] | twice], dim=1)
        return levels.float()[:, :, None, None].expand(-1, 3, 4, 4)


class Images(SimpleNamespace):
    def __len__(self):
        return len(self.attributes)


@pytest.fixture
def toy(monkeypatch):
    """Measure the toy run; its features are the mean colours, so the classifier reads every trait right."""
    decoded = lambda run, network, codes: run.decode(codes).mean(dim=(2, 3)).numpy()  # noqa: E731
    monkeypatch.setattr(recombination, "decoded_features", decoded)
    monkeypatch.setattr(recombination, "_faded_features", lambda run, network, a, b:
                        (decoded(run, network, a) + decoded(run, network, b)) / 2)  # fmt: skip
    for module in (recombination, traits):
        monkeypatch.setattr(module, "LEAST", 5)
    codes = Toy().codes("train")
    labels = pd.DataFrame(codes % 2, columns=["red", "green", "blue"]).astype("Int64")
    noise = pd.Series(np.random.default_rng(0).integers(0, 2, len(codes)), dtype="Int64")
    images = Images(attributes=labels.assign(noise=noise))
    return measure_recombination(Toy(), images, images, Colours(), 400)


def test_only_what_is_read_well_is_counted(toy):
    assert toy.unread == ["noise"] and set(toy.traits["attribute"]) == {"red", "green", "blue"}


def test_slots_explain_everything_where_they_are_the_traits(toy):
    table = toy.traits.set_index(["sampler", "attribute"])
    assert table.loc[(ALGORITHM, "blue"), "gained"] > 0.02, "two codes of one slot make a trait from nowhere"
    assert (table.loc[BY_SLOT, ["gained", "lost"]] == 0).all(axis=None)
    assert (table.loc[FADE, ["gained", "lost"]] == 0).all(axis=None), "half of nothing is nothing"
    assert (toy.traits[["false_alarms", "misses"]] == 0).all(axis=None)
    assert explained_by_slots(total_errors(toy.traits)) == 1


def test_samples_with_more_slots_of_two_codes_go_wrong_more_often(toy):
    assert toy.twice["samples"].sum() == 400 and (toy.twice["gained slot by slot"] == 0).all()
    assert toy.twice["slots with two codes"].tolist() == ["0", "1"]
    assert toy.twice["gained"].iloc[0] == 0 < toy.twice["gained"].iloc[1]


def test_samples_with_a_trait_from_nowhere_are_named(toy):
    for name, rows in toy.from_nowhere.items():
        counted = toy.traits[(toy.traits["sampler"] == ALGORITHM) & (toy.traits["attribute"] == name)].iloc[0]
        assert len(rows) == round(counted["gained"] * counted["neither"])


def test_images_without_attributes_are_refused():
    images = SimpleNamespace(attributes=None)
    with pytest.raises(ValueError, match="only where the images have attributes"):
        measure_recombination(Toy(), images, images, Colours())
