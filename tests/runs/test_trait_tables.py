"""The tables of traits that go wrong, from shares made up so that the worst, the clear and the rise are known."""

from types import SimpleNamespace

import pandas as pd
import pytest

from pivq.runs.recombination import ALGORITHM, BY_SLOT, FADE
from pivq.runs.trait_tables import CASES, effect_of_slots, on_common_attributes, worst_traits


def traits(**shares):
    """Return a frame of traits; of each attribute the shares gained by Algorithm 1, slot by slot and cross-fades."""
    rows = []
    for name, (*gained, cases) in shares.items():
        for sampler, share in zip((ALGORITHM, BY_SLOT, FADE), gained, strict=True):
            rows.append({
                "sampler": sampler, "attribute": name, "gained": share, "gained_low": share - 0.05,
                "gained_high": share + 0.05, "neither": cases, "false_alarms": 0.1, "lost": 0.2, "lost_low": 0.15,
                "lost_high": 0.25, "both": CASES - 1, "misses": 0.0,
            })  # fmt: skip
    return pd.DataFrame(rows)


def test_the_worst_is_beyond_the_larger_control_and_has_enough_cases():
    found = worst_traits(traits(hat=(0.6, 0.3, 0.5, 50), beard=(0.4, 0.2, 0.0, 50), scar=(0.9, 0.9, 0.0, CASES - 1)))
    gained, lost = found.to_dict("records")
    assert gained["attribute"] == "beard", "0.3 beyond reconstructions; the hat is 0.1 beyond cross-fades"
    assert [gained[name] for name in ("algorithm", "by_slot", "reconstructions", "cross_fade")] == [0.4, 0.2, 0.1, 0]
    assert gained["cases"] == 50 and gained["clear"] == ["beard", "scar"]
    assert lost["error"] == "lost" and pd.isna(lost["attribute"]) and lost["clear"] == [], "too few cases, none clear"


def test_models_are_compared_on_the_attributes_that_both_count():
    both = {"learned": traits(hat=(0.6, 0.3, 0, 50), beard=(0.4, 0.2, 0, 50)), "drawn": traits(hat=(0.2, 0.2, 0, 50))}
    common, sums = on_common_attributes(both)
    assert common == ["hat"]
    shares = {kind: frame.set_index("sampler").loc[ALGORITHM, "gained"] for kind, frame in sums.items()}
    assert shares == pytest.approx({"learned": 0.6, "drawn": 0.2})
    assert on_common_attributes({"learned": both["learned"]}) == ([], {}), "one model: nothing to compare"


def test_slots_explain_what_goes_away_slot_by_slot_and_rise_with_their_number():
    twice = pd.DataFrame({"gained": [0.2, 0.3, 0.45], "gained slot by slot": [0.2, 0.2, 0.25]})
    found = effect_of_slots(SimpleNamespace(traits=traits(hat=(0.5, 0.3, 0, 50)), twice=twice))
    assert found == pytest.approx({"algorithm": 0.5, "by_slot": 0.3, "reconstructions": 0.1, "explained": 0.5,
                                   "rise": 0.25, "rise_by_slot": 0.05})  # fmt: skip
    more = effect_of_slots(SimpleNamespace(traits=traits(hat=(0.5, 0.8, 0, 50)), twice=twice))
    assert more["explained"] == 0, "slot by slot is worse: slots explain nothing"
    none = effect_of_slots(SimpleNamespace(traits=traits(hat=(0.1, 0.1, 0, 50)), twice=twice))
    assert none["explained"] is None, "recombining adds no errors"
