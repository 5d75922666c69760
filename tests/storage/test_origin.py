"""What tells artefacts apart."""

from pivq.config import load_config
from pivq.storage.origin import origin, origin_text, other_origin


def test_origin_changes_with_all_that_makes_other_numbers(tmp_path):
    configs = [
        load_config("smoke"), load_config("smoke", seed=1), load_config("quick"), load_config("smoke", train__steps=41),
        load_config("smoke", data=str(tmp_path)), load_config("smoke", data=str(tmp_path / "other")),
    ]  # fmt: skip
    assert len({str(origin(config)) for config in configs}) == len({origin_text(config) for config in configs}) == 6
    assert origin(configs[1]) == origin(load_config("smoke", seed=1))


def test_what_differs_is_said():
    config = load_config("smoke")
    assert other_origin({"more": 1} | origin(config), config) == ""
    assert other_origin(origin(load_config("smoke", seed=1)) | {"runs": origin(config)["runs"]}, config) == (
        "seed 1, not from seed 0"
    )
    assert other_origin({}, config).startswith("profile not noted, dataset not noted, seed not noted, runs not noted")
