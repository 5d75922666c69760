"""The files of numbers: which are read, and which are refused."""

import json

import pytest

from pivq.config import load_config
from pivq.figures.artefacts import save_json
from pivq.runs.verdict import SOURCES, load_facts, made_by_other_code
from pivq.runs.verdict.facts import Undecided, find, need
from pivq.storage.origin import origin
from pivq.storage.source import code_digest
from pivq.storage.writing import seal, write_json


def test_what_is_not_there_was_not_measured():
    facts = {"capacity": {"L": 32, "untrained": None}}
    assert need(facts, "capacity", "L") == find(facts, "capacity", "L") == 32
    assert find(facts, "capacity", "untrained", "agreement") is None
    with pytest.raises(Undecided, match="Not measured by this run .no capacity.untrained.agreement."):
        need(facts, "capacity", "untrained", "agreement")


def test_a_missing_file_names_its_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    folder = tmp_path / "figures" / "smoke"
    folder.mkdir(parents=True)
    config = load_config("smoke")
    for name in SOURCES:
        write_json(folder / f"{name}.json", seal({"from": name, "rows": []} | origin(config)))
    assert load_facts(config)["capacity"] == {"from": "capacity", "rows": []} | origin(config)
    (folder / "capacity.json").unlink()
    with pytest.raises(FileNotFoundError, match="run notebook 04_capacity first .*--profile smoke --seed 0 --only 04"):
        load_facts(config)
    assert load_facts(config, ["probing"])["probing"]["from"] == "probing"
    write_json(folder / "ablations.json", seal({}))
    with pytest.raises(ValueError, match="ablations.json is damaged: it has no rows. Run notebook 03_train with"):
        load_facts(config, ["ablations"])


@pytest.mark.parametrize("name", SOURCES)
def test_one_changed_digit_is_noticed(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    path = save_json({"rows": [{"value": 12.5}]}, name, load_config("smoke"))
    path.write_text(path.read_text().replace("12.5", "13.5"))
    with pytest.raises(ValueError, match=f"{name}.json is damaged or was changed"):
        load_facts(load_config("smoke"), [name])


@pytest.mark.parametrize(
    "change, said",
    [
        ({"seed": 1}, "was made from seed 1, not from seed 0"),
        ({"profile": "quick"}, "was made from profile quick, not from profile smoke"),
        ({"dataset": "folder"}, "was made from dataset folder, not from dataset avatars"),
        ({"runs": {"matching": "0", "nearest": "1"}}, "was made from runs {'matching': '0', 'nearest': '1'}, not from"),
        ({"runs": None}, "was made from runs None"),
        (None, "was made from profile not noted, dataset not noted, seed not noted, runs not noted, not from"),
    ],
)
@pytest.mark.parametrize("name", ["capacity", "interpolation", "sample_quality", "probing"])
def test_numbers_of_something_else_are_refused(tmp_path, monkeypatch, name, change, said):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    config = load_config("smoke")
    path = tmp_path / "figures" / "smoke" / f"{name}.json"
    path.parent.mkdir(parents=True)
    write_json(path, seal({"a": 1} | ({} if change is None else origin(config) | change)))
    with pytest.raises(ValueError) as refused:
        load_facts(config, [name])
    assert f"{path} {said}" in str(refused.value) and "\n" not in str(refused.value)
    assert f"run notebook {SOURCES[name]} first" in str(refused.value)
    path.write_text("[1")
    with pytest.raises(ValueError, match=f"{name}.json is damaged"):
        load_facts(config, [name])


@pytest.mark.parametrize("name", ["capacity", "interpolation", "sample_quality", "probing", "ablations"])
def test_numbers_without_a_checksum_or_under_another_s_name_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    config = load_config("smoke")
    path = save_json({"rows": []}, name, config)
    values = json.loads(path.read_text())
    values.pop("sha256")
    write_json(path, values)
    command = f"run notebook {SOURCES[name]} first .*--only {SOURCES[name][:2]}"
    with pytest.raises(ValueError, match=f"{name}.json has no checksum: .*{command}"):
        load_facts(config, [name])
    save_json({"rows": []}, "verdict", config).rename(path)
    with pytest.raises(ValueError, match=f"{name}.json has the numbers of verdict.json: {command}"):
        load_facts(config, [name])


@pytest.mark.parametrize("stale", [[], ["capacity"], ["interpolation", "probing"]])
def test_numbers_of_other_code_are_stale(tmp_path, monkeypatch, stale):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    config = load_config("smoke")
    for name in SOURCES:
        code = "0123456789abcdef" if name in [*stale, "ablations"] else code_digest()
        save_json({"rows": [], "code": code}, name, config)
    assert made_by_other_code(load_facts(config)) == stale
    save_json({"rows": [], "code": code_digest(), "measures": "0123456789abcdef"}, "probing", config)
    assert made_by_other_code(load_facts(config)) == sorted({*stale, "probing"}), "what measures was edited"
    path = save_json({"rows": []}, "capacity", config)
    values = json.loads(path.read_text())
    write_json(path, seal({name: value for name, value in values.items() if name not in ("code", "sha256")}))
    assert made_by_other_code(load_facts(config, ["capacity"])) == [], "of an earlier version"


def test_another_seed_finds_nothing_of_this_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    for name in SOURCES:
        path = tmp_path / "figures" / "smoke" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, seal(origin(load_config("smoke"))))
    with pytest.raises(FileNotFoundError, match="smoke-seed1.capacity.json is missing.*--seed 1 --only 04"):
        load_facts(load_config("smoke", seed=1))
    with pytest.raises(FileNotFoundError, match="--data 'my pictures' --only 07"):
        load_facts(load_config("folder", data="my pictures"), ["probing"])
