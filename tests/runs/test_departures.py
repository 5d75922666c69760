"""The table "paper / here": it names what differs, with the values of the settings, and nothing else."""

from pivq.config import load_config
from pivq.runs.departures import THERE, departures


def test_departures_of_the_default_run():
    table = departures(load_config("quick")).set_index("")
    assert table.columns.tolist() == [THERE, "here, learned tokens", "here, drawn tokens (our variant)"]
    there, learned, drawn = (table[name] for name in table)
    assert "without DiffAug" in learned["discriminator"] and "with DiffAug" in there["discriminator"]
    assert "2 layers, width 16" in learned["discriminator"] and drawn["discriminator"] == "none"
    assert "1 layer in the encoder" in learned["transformers"] and "4 layers" in there["transformers"]
    assert "cosine decay" in learned["learning rate"] and there["learning rate"] == "constant"
    assert table.loc["factor on the first query and key weights"].tolist() == ["1", "3", "3"]
    assert "Muon" in learned["optimizer"] and there["optimizer"] == "Adam, learning rate 7.2e-05"
    assert learned["tokens of the encoder"] == there["tokens of the encoder"] != drawn["tokens of the encoder"]
    assert table.loc["L, K"].tolist() == ["32, 512", "32, 512", "64, 512"]


def test_the_paper_s_own_profiles_have_none():
    assert [len(departures(load_config(profile))) for profile in ("celeba64", "ffhq256", "celebahq256")] == [0, 0, 0]


def test_a_changed_setting_is_named():
    table = departures(load_config("celeba64", train__batch_size=8))
    assert table[""].tolist() == ["length"] and "batch 8" in table["here, learned tokens"][0]
