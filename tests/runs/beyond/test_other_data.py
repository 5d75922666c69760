"""Which sets there are, with which settings; rows that are made once, kept, merged and read back."""

import itertools
from types import SimpleNamespace

import pytest

from pivq.config import load_config
from pivq.runs.beyond import other_data as module
from pivq.runs.beyond import other_sets
from pivq.runs.beyond.other_data import (
    FOLDER,
    STEPS,
    finished_runs,
    image_sets,
    keep_rows,
    merged,
    other_data_facts,
    row_file,
    run_set,
    settings_for,
    settings_table,
    stored_other_data,
)
from pivq.runs.rows import keep_row
from pivq.runs.splits import load_split
from pivq.storage.writing import seal, write_json


@pytest.fixture
def few(tiny_config, monkeypatch, tmp_path):
    """Put small settings in place of the profile's, and 330 digits; nothing is trained. Return what was measured."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setitem(other_sets.MAKERS, "digits", lambda: itertools.islice(other_sets.draw_digits(), 330))
    sizes, found, trained = {"train__train_images": 60, "train__heldout_images": 60}, [], {}

    def small_config(profile, seed=0, data="", layout="", steps=0, **changes):
        assert {*changes} == {"model__image_size", "model__patch_size"}
        return tiny_config(seed=seed, **sizes, data=str(data), layout=layout)

    def train(config, quantizer, device):
        return trained.setdefault((config, quantizer), SimpleNamespace(config=config, quantizer=quantizer))

    def measure(run, network):
        config = run.config
        found.append(f"{config.model.tokens} {run.quantizer}")
        return {
            "tokens": config.model.tokens,
            "quantizer": run.quantizer,
            "seed": config.seed,
            "profile": "smoke",
            "L": config.model.num_codes,
            "steps": config.train.steps,
            "device": "cpu",
            "fingerprints": {name: load_split(config, name).fingerprint for name in ("train", "heldout")},
        }

    stand_ins = {"load_config": small_config, "train": train, "train_ahead": lambda *_: None, "measure": measure,
                 "find_run": lambda config, quantizer: trained.get((config, quantizer)),
                 "load_feature_network": lambda name, device: None}  # fmt: skip
    for name, function in stand_ins.items():
        monkeypatch.setattr(module, name, function)
    return found


def test_sets_are_those_that_are_there():
    assert [one.name for one in image_sets()] == ["digits", "glyphs"]
    own = image_sets(folder="somewhere", title="mine", layout="ffhq")[-1]
    assert (own.name, own.title, own.place, own.layout) == (FOLDER, "mine", "somewhere", "ffhq")
    assert [one.name for one in image_sets(["glyphs", "glyphs"], folder="somewhere")] == ["glyphs"]
    with pytest.raises(ValueError, match="unknown set 'digit'; did you mean digits"):
        image_sets(["digit"])
    with pytest.raises(ValueError, match="needs a folder of pictures: --folder DIR"):
        image_sets([FOLDER])


def test_settings_are_the_profile_s_but_for_what_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "made_set", lambda name: tmp_path)
    (digits,), (own,) = image_sets(["digits"]), image_sets([FOLDER], folder=str(tmp_path))
    usual = load_config("folder", data=str(tmp_path), steps=STEPS)
    small, large = settings_for(digits, "learned"), settings_for(own, "learned")
    assert large == usual, "a reader's folder has the profile's own settings"
    changed = {name for name, (value, _) in small.settings.items() if usual.settings[name][0] != value}
    assert changed == {"model.image_size", "model.patch_size"} and small.layout == "celeba"
    assert small.model.grid_size == usual.model.grid_size == 8
    assert settings_for(digits, "drawn") == small.drawn() and small.drawn().train.steps == STEPS
    assert settings_for(digits, "learned", steps=0).train.steps == 3400
    assert settings_for(digits, "learned", profile="smoke", steps=0).train.steps == 40
    said = settings_table().set_index("setting")["value"].to_dict()
    assert said == {"model.image_size": "32", "model.patch_size": "2", "train.steps": f"{STEPS:,}"}
    with pytest.raises(ValueError, match="unknown tokens 'draw'; did you mean drawn"):
        settings_for(digits, "draw")


def test_rows_are_made_once_and_come_back_as_they_were(few, monkeypatch, tmp_path):
    (digits,) = image_sets(["digits"])
    rows = run_set(digits, 0, "smoke", 0)
    assert few == ["learned nearest", "learned matching", "drawn nearest", "drawn matching"]
    assert [(row["set"], row["title"]) for row in rows] == 4 * [("digits", "digits")]
    assert run_set(digits, 0, "smoke", 0) == rows and len(few) == 4
    runs = finished_runs(digits, 0, "smoke", 0)
    assert [run.quantizer for run in runs.values()] == ["matching", "matching"]
    assert runs["drawn"].config.model.tokens == "drawn" and finished_runs(digits, 1, "smoke", 0) == {}

    for row in rows:
        row_file(settings_for(digits, row["tokens"], 0, "smoke", 0), row["quantizer"]).unlink()
    others = [rows[0] | {"steps": 9}, rows[1] | {"fingerprints": {}}]
    assert keep_rows([*others, *rows[2:]], digits, 0, "smoke", 0) == 2, "others are of other steps or pictures"
    assert keep_rows(rows, digits, 0, "smoke", 0) == 2 and keep_rows(rows, digits, 0, "smoke", 0) == 0
    assert run_set(digits, 0, "smoke", 0) == rows and len(few) == 4


def test_rows_made_anew_are_not_those_that_were_stored(few):
    (digits,) = image_sets(["digits"])
    rows = run_set(digits, 0, "smoke", 0)
    first = settings_for(digits, "learned", 0, "smoke", 0)
    keep_row(row_file(first, rows[0]["quantizer"]), rows[0] | {"psnr": 99.0})
    assert run_set(digits, 0, "smoke", 0)[0]["psnr"] == 99.0
    assert run_set(digits, 0, "smoke", 0, anew=True) == rows
    assert row_file(first, rows[0]["quantizer"], anew=True).exists()


def test_a_stopped_set_keeps_what_is_measured(few, monkeypatch):
    usual = module.train

    def train(config, quantizer, device):
        if config.model.tokens == "drawn":
            raise KeyboardInterrupt
        return usual(config, quantizer, device)

    (digits,) = image_sets(["digits"])
    monkeypatch.setattr(module, "train", train)
    with pytest.raises(KeyboardInterrupt):
        run_set(digits, 0, "smoke", 0)
    assert few == ["learned nearest", "learned matching"]
    monkeypatch.setattr(module, "train", usual)
    assert len(run_set(digits, 0, "smoke", 0)) == 4 and few[2:] == ["drawn nearest", "drawn matching"]


def test_rows_are_in_the_order_of_sets_seeds_tokens_and_quantizers():
    def row(name, tokens, quantizer, seed=0, title="", **more):
        return {"set": name, "title": title or name, "tokens": tokens, "quantizer": quantizer, "seed": seed} | more

    stored = [row(FOLDER, "learned", "nearest", title="mine"), row("digits", "drawn", "nearest", found="old")]
    new = [row("digits", "drawn", "nearest", found="new"), row("digits", "learned", "matching"),
           row("digits", "learned", "nearest", seed=1), row(FOLDER, "learned", "nearest", title="yours")]  # fmt: skip
    found = [(one["title"], one["seed"], one["tokens"], one["quantizer"]) for one in merged(stored, new)]
    assert found == [
        ("digits", 0, "learned", "matching"), ("digits", 0, "drawn", "nearest"), ("digits", 1, "learned", "nearest"),
        ("mine", 0, "learned", "nearest"), ("yours", 0, "learned", "nearest"),
    ]  # fmt: skip
    assert merged(stored, new)[1]["found"] == "new"
    assert other_data_facts([{"device": "cpu"}], load_config("smoke"))["devices"] == ["cpu"]


def test_without_a_file_there_are_no_rows_and_a_damaged_one_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("pivq.runs.rows.stored_file", lambda name, profile: tmp_path / f"{name}.json")
    assert stored_other_data() == []
    write_json(tmp_path / "other_data.json", seal({"rows": [{"title": "digits"}]}))
    assert stored_other_data() == [{"title": "digits"}]
    write_json(tmp_path / "other_data.json", seal({"lines": 1}))
    with pytest.raises(ValueError, match="other_data.json is damaged"):
        stored_other_data()
