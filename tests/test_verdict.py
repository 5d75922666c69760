"""The judgements, on made-up measurements."""

import json

import pytest

from pivq import paper
from pivq.config import load_config
from pivq.figures.artefacts import save_json
from pivq.storage.origin import origin
from pivq.verdict import (
    DIFFERS,
    NEEDS_SCALE,
    REPRODUCED,
    RULES,
    SOURCES,
    judge,
    judges,
    load_facts,
)


def model(codes, bits, share=0.99):
    return {
        "max_codes_per_image": codes, "mean_codes_per_image": codes, "bits": bits, "bits_counted_once": bits,
        "slot_dominant_share": share,
    }  # fmt: skip


@pytest.fixture
def facts():
    """Return measurements in which nearest does not collapse and everything else goes as in the paper."""
    scores = {f"{name} (k={k})": value for k in (3, 5) for name, value in
              (("precision", 0.6), ("recall", 0.3), ("density", 0.7), ("coverage", 0.4))}  # fmt: skip
    return {
        "config": load_config("quick"),
        "ablations": {"steps": 10, "profile": "quick", "rows": [
            {"variation": "as trained", "PSNR (dB)": 23.0, "codes in use": 500},
            {"variation": "one initialisation", "PSNR (dB)": 22.0, "codes in use": 300},
            {"variation": "quantized from the start", "PSNR (dB)": 12.0, "codes in use": 20},
        ]},
        "capacity": {
            "L": 32, "ratio": 0.7, "equation2_maximum": {"bits": 3238.4},
            "models": {"nearest": model(31, 200.0), "matching": model(32, 140.0)},
        },
        "interpolation": {"order_difference": 2e-7, "pairs": [{"apart": 0.2, "exchanged": 3, "paths": "36"}]},
        "sample_quality": {
            "distance_name": "FD (some net)",
            "rows": [{"method": "PI-VQ, matching: samples", "samples": 9, "distance": 50.0, **scores}],
            "properties": {"discrete": True, "one_pass_sampling": True, "interpolation": True, "bits": 140.0,
                           "decoder_runs": 1, "largest_step": 0.1},
        },
        "probing": {"scored": 3, "significant_attributes": ["hat", "beard"], "not_significant": ["brow"]},
    }  # fmt: skip


def by_id(facts):
    return {judgement.id: judgement for judgement in judge(facts)}


def test_every_claim_has_exactly_one_rule():
    assert RULES.keys() == {claim.id for claim in paper.CLAIMS}
    with pytest.raises(ValueError, match="claim 'discrete' has two rules: _discrete and another"):

        @judges("discrete")
        def another(facts, claim):
            return "", DIFFERS, ""

    assert RULES["discrete"].__name__ == "_discrete"


def test_every_claim_is_judged_once_and_gives_a_reason(facts):
    judgements = judge(facts)
    assert [judgement.id for judgement in judgements] == [claim.id for claim in paper.CLAIMS]
    assert all(j.judgement in (REPRODUCED, DIFFERS, NEEDS_SCALE) and j.why and j.ours for j in judgements)


@pytest.mark.parametrize(
    "name, judgement, ours",
    [
        ("matching_bits", REPRODUCED, "2,220.7 bits"),
        ("nearest_bits", DIFFERS, "611.3 bits"),
        ("capacity_ratio", REPRODUCED, "3.63×"),
        ("maximum_bits", REPRODUCED, "2,313.1 bits"),
        ("vqgan_bits", REPRODUCED, "2,560.0 bits"),
        ("average_fid", REPRODUCED, "39.8"),
        ("average_precision", REPRODUCED, "0.707"),
        ("average_recall", REPRODUCED, "0.173"),
        ("average_density", REPRODUCED, "0.81"),
        ("average_coverage", REPRODUCED, "0.495"),
    ],
)
def test_arithmetic_of_the_paper(facts, name, judgement, ours):
    assert (by_id(facts)[name].judgement, by_id(facts)[name].ours) == (judgement, ours)


def test_a_nearest_model_that_does_not_collapse_is_said_to_differ(facts):
    judged = by_id(facts)
    assert judged["nearest_repeats"].judgement == judged["matching_raises_capacity"].judgement == DIFFERS
    facts["capacity"]["models"]["nearest"] = model(4, 50.0)
    facts["capacity"]["ratio"] = 2.8
    judged = by_id(facts)
    assert judged["nearest_repeats"].judgement == judged["matching_raises_capacity"].judgement == REPRODUCED


@pytest.mark.parametrize(
    "name, change",
    [
        ("decoder_invariance", lambda f: f["interpolation"].update(order_difference=0.1)),
        ("matching_codes_per_image", lambda f: f["capacity"]["models"].update(matching=model(31, 1.0))),
        ("quantized_from_start", lambda f: f["ablations"]["rows"][2].update({"PSNR (dB)": 22.5})),
        ("repeated_initialisation", lambda f: f["ablations"]["rows"][1].update({"codes in use": 500})),
        ("one_pass_sampling", lambda f: f["sample_quality"]["properties"].update(one_pass_sampling=False)),
        ("low_recall", lambda f: f["sample_quality"]["rows"][0].update({"recall (k=3)": 0.7})),
        ("multiple_paths", lambda f: f["interpolation"]["pairs"][0].update(apart=0.0)),
        ("probing_above", lambda f: f["probing"].update(significant_attributes=[])),
        ("probing_not_above", lambda f: f["probing"].update(not_significant=[])),
    ],
)
def test_contrary_measurements_turn_a_judgement(facts, name, change):
    assert by_id(facts)[name].judgement == REPRODUCED
    change(facts)
    assert by_id(facts)[name].judgement == DIFFERS


def test_scores_of_the_papers_own_experiment_are_judged(facts):
    facts["config"] = load_config("celeba64")
    facts["sample_quality"]["rows"][0] |= {"distance": 79.0, "precision (k=3)": 0.5}
    assert by_id(facts)["celeba_fid"].judgement == NEEDS_SCALE, "not in other features"
    facts["sample_quality"]["distance_name"] = "FID"
    judged = by_id(facts)
    assert judged["celeba_fid"].judgement == REPRODUCED, "73.2 and less than a tenth more"
    assert judged["celeba_precision"].judgement == DIFFERS, "0.58, and more than a tenth less"
    assert judged["ffhq_fid"].judgement == judged["celebahq_fid"].judgement == NEEDS_SCALE


@pytest.mark.parametrize("codes, judgement", [(47, REPRODUCED), (140, DIFFERS)])
def test_the_papers_own_sizes_are_judged(facts, codes, judgement):
    facts["config"] = load_config("celebahq256")
    facts["capacity"] |= {"L": 512, "models": {"nearest": model(codes, 600.0), "matching": model(512, 2200.0)}}
    assert by_id(facts)["nearest_codes_per_image"][4:6] == (f"{codes} of 512", judgement)
    assert by_id(facts)["dense_samples"].judgement == NEEDS_SCALE, "the density is of other features"
    facts["sample_quality"]["distance_name"] = "FID"
    assert by_id(facts)["dense_samples"].judgement == DIFFERS
    facts["sample_quality"]["rows"][0]["density (k=3)"] = 1.5
    assert by_id(facts)["dense_samples"].judgement == REPRODUCED


def test_scores_on_other_data_are_never_called_reproduced(facts):
    scores = [j for j in judge(facts) if j.where == "Table 3" and not j.id.startswith("average")]
    assert len(scores) == 15 and {j.judgement for j in scores} == {NEEDS_SCALE}


def test_recall_means_nothing_when_hardly_a_sample_is_real(facts):
    facts["sample_quality"]["rows"][0].update({"precision (k=3)": 0.01, "recall (k=3)": 0.0})
    assert by_id(facts)["low_recall"].judgement == NEEDS_SCALE


def test_a_missing_file_names_its_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    folder = tmp_path / "figures" / "smoke"
    folder.mkdir(parents=True)
    config = load_config("smoke")
    for name in SOURCES:
        (folder / f"{name}.json").write_text(json.dumps({"from": name, "rows": []} | origin(config)))
    assert load_facts(config)["capacity"] == {"from": "capacity", "rows": []} | origin(config)
    (folder / "capacity.json").unlink()
    with pytest.raises(FileNotFoundError, match="run notebook 04_capacity first .*--profile smoke --seed 0 --only 04"):
        load_facts(config)
    assert load_facts(config, ["probing"])["probing"]["from"] == "probing"
    (folder / "ablations.json").write_text("{}")
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
    path.write_text(json.dumps({"a": 1} | ({} if change is None else origin(config) | change)))
    with pytest.raises(ValueError) as refused:
        load_facts(config, [name])
    assert f"{path} {said}" in str(refused.value) and "\n" not in str(refused.value)
    assert f"run notebook {SOURCES[name]} first" in str(refused.value)
    path.write_text("[1")
    with pytest.raises(ValueError, match=f"{name}.json is damaged"):
        load_facts(config, [name])


def test_another_seed_finds_nothing_of_this_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    for name in SOURCES:
        path = tmp_path / "figures" / "smoke" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(origin(load_config("smoke"))))
    with pytest.raises(FileNotFoundError, match="smoke-seed1.capacity.json is missing.*--seed 1 --only 04"):
        load_facts(load_config("smoke", seed=1))
    with pytest.raises(FileNotFoundError, match="--data 'my pictures' --only 07"):
        load_facts(load_config("folder", data="my pictures"), ["probing"])


def test_ablations_of_another_seed_or_data_are_called_so(facts):
    facts["ablations"] |= {"dataset": "avatars", "seed": 0}
    assert ", profile quick, one seed" in by_id(facts)["repeated_initialisation"].why
    facts["ablations"] |= {"dataset": "celeba", "seed": 4}
    assert ", profile quick, dataset celeba, seed 4, one seed" in by_id(facts)["repeated_initialisation"].why
    assert "profile quick, dataset celeba, seed 4" in by_id(facts)["quantized_from_start"].why
