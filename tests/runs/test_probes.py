"""Fig. 5 beside its control: what only the trained codes tell, and what training lost."""

import pandas as pd

from pivq.runs.probes import compare_probes, in_words


def frame(**accuracies):
    rows = [{"attribute": name, "accuracy": value, "std": 0.01, "baseline": 0.5, "baseline_std": 0.01,
             "significant": value > 0.53} for name, value in accuracies.items()]  # fmt: skip
    return pd.DataFrame(rows)


PROBES = {
    "learned": frame(hat=0.99, mouth_open=0.55, skin=0.90, rare=float("nan")),
    "untrained": frame(hat=0.90, mouth_open=0.73, skin=0.895, rare=float("nan")),
}


def test_only_what_is_beyond_the_untrained_encoder_was_learned():
    found = compare_probes(PROBES)
    assert found["beyond_untrained"].tolist() == [True, False, False, False]
    assert found["below_untrained"].tolist() == [False, True, False, False]
    assert found["untrained"].tolist()[:3] == [0.90, 0.73, 0.895]
    assert "drawn" not in found and "untrained" not in PROBES["learned"]


def test_words_name_what_was_gained_and_what_was_lost():
    drawn = PROBES | {"drawn": frame(hat=0.6, mouth_open=0.6, skin=0.6, rare=float("nan"))}
    above, gained, lost, means = in_words(compare_probes(drawn))
    assert "3 of 3 attributes with the trained codes, 3 with" in above
    assert "1 attributes easier" in gained and "hat (90.0% → 99.0%)" in gained and "skin" not in gained
    assert lost.startswith("Training lost 1: mouth open (73.0% → 55.0%).")
    assert "drawn tokens 10.0%" in means
    same = in_words(compare_probes(PROBES | {"untrained": PROBES["learned"]}))
    assert same[1:] == ["Training made 0 attributes easier to read from the codes: none.", "Training lost 0: none."]
