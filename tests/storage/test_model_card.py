"""The model card says what is known of a run, and nothing else."""

import re

from pivq.storage.model_card import DATA, model_card

SIZES = {"image_size": 64, "codebook_size": 512, "num_codes": 32}
FACTS = {
    "profile": "quick", "dataset": "avatars", "seed": 4, "steps": 3000, "planned_steps": 3000, "heldout_l1": 0.036302,
    "heldout_psnr": 23.6386, "codes_in_use": 509, "mean_codes_per_image": 31.996, "parameters": 1295904,
}  # fmt: skip


def rows(card: str) -> dict[str, str]:
    return dict(re.findall(r"^\| (.+?) \| (.+) \|$", card, re.M))


def test_front_matter_is_what_the_hub_reads():
    first, front, _ = model_card(SIZES, "matching", FACTS).split("---\n", 2)
    assert first == ""
    lines = front.splitlines()
    assert lines[:3] == ["license: mit", "library_name: pivq", "tags:"]
    assert lines[3:] and all(re.fullmatch(r"- [a-z-]+", line) for line in lines[3:])


def test_the_table_holds_the_facts():
    assert rows(model_card(SIZES, "matching", FACTS)) == {
        "quantizer": "matching",
        "images": "64×64, RGB in [0, 1]",
        "codes": "32 per image, out of 512",
        "parameters": "1,295,904",
        "data set": "avatars",
        "profile": "quick",
        "training": "3,000 steps",
        "seed": "4",
        "held-out L1": "0.0363 on the [0, 1] scale",
        "held-out PSNR": "23.64 dB",
        "codes in use": "509 of 512",
        "distinct codes per image": "32.00",
    }


def test_what_is_not_known_is_left_out():
    assert set(rows(model_card(SIZES, "nearest", {}))) == {"quantizer", "images", "codes"}
    assert rows(model_card(SIZES, "nearest", {"seed": 0}))["seed"] == "0", "zero is a value"


def test_an_unfinished_run_is_said_to_be_one():
    card = model_card(SIZES, "matching", FACTS | {"steps": 1200})
    assert rows(card)["training"] == "1,200 steps of 3,000: unfinished"


def test_each_data_set_states_its_terms():
    for name, (images, terms) in DATA.items():
        card = model_card(SIZES, "matching", {"dataset": name})
        assert images in card and terms in card
    assert "terms are not recorded" in model_card(SIZES, "matching", {"dataset": "other"})


def test_the_code_of_the_card_runs(tmp_path, tiny_config, monkeypatch):
    from pivq.model import PIVQ

    PIVQ(tiny_config().model).save_pretrained(tmp_path / "path" / "to" / "this" / "folder")
    card = (tmp_path / "path" / "to" / "this" / "folder" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    assert sum(line != "" for line in code.splitlines()) == 5
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["codes"].shape == (1, 4) and names["image"].shape == (1, 3, 16, 16)
