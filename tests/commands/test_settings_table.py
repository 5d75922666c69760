"""The table of settings: complete, and the file is what the code says."""

from dataclasses import fields

from pivq.commands.settings_table import PARTS, settings_markdown
from pivq.profiles import PROFILES


def test_file_is_what_the_code_says(checkout):
    said = (checkout / "docs" / "settings.md").read_text()
    assert said == settings_markdown(), "write it anew: python -m pivq.commands.settings_table > docs/settings.md"


def test_every_setting_of_every_profile_has_its_cell():
    rows = {line.split("`")[1]: line for line in settings_markdown().splitlines() if line.startswith("| `")}
    assert set(rows) == {"dataset"} | {field.name for part in PARTS.values() for field in fields(part)}
    for line in rows.values():
        assert line.count("<br>*") == len(PROFILES)
    assert "| 0.995<br>*paper* |" in rows["ema_decay"]
    assert "30,000<br>*base code*" in rows["discriminator_from_step"]
    assert "of each level" not in rows["width"] and "channels of the first convolutional level" in rows["width"]
