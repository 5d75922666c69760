"""The study is trained in groups, resumes, keeps its rows and deletes its runs."""

import json
import os
import signal
import subprocess
import sys
from threading import Event
from types import SimpleNamespace

import pytest
from stand_ins import Colours, stand_in

from pivq.runs import competition, study
from pivq.runs.competition import Variation, settings_of
from pivq.runs.planned import STAGES, run_dir
from pivq.runs.study import finished_rows, keep_rows, row_files, run_group, run_study, study_facts, study_hours

SIZES = {"train__steps": 8, "train__quantize_from_step": 3, "model__num_codes": 4, "model__codebook_size": 12}
DRAWN = SIZES | {"model__tokens": "drawn"}
SMALL = [
    Variation("drawn", DRAWN, 0, "one"),
    Variation("drawn, random codebook", DRAWN | {"train__codebook_initialisations": 0}, 0, "one", ("matching",)),
    Variation("learned", SIZES, 1, "two", ("nearest",)),
]


@pytest.fixture
def measured(tiny_config, monkeypatch, tmp_path) -> list[str]:
    """Put small settings and noise in place of a profile, and processes; return which rows were measured."""

    def small_config(profile, seed=0, **settings):
        return tiny_config(seed=seed, **{name: value for name, value in settings.items() if "__" in name})

    def measure(variation, run, network):
        found.append(f"{variation.name} {run.quantizer}")
        for name in ("mine", "yours"):
            (tmp_path / "results" / "smoke" / "features" / f"{name}.npz").touch()
        return {"variation": variation.name, "quantizer": run.quantizer, "steps": run.summary["steps"],
                "device": "CPU"}  # fmt: skip

    def run_module(arguments, output, threads, stop, what, tick):
        module, usual, device, group = arguments
        assert module == "pivq.runs.study" and output.parent == tmp_path / "results" / "smoke" / "competition"
        try:
            run_group([variation for variation in SMALL if variation.group == group], json.loads(usual), device)
        except RuntimeError:
            stop.set()
            raise
        tick()

    found: list[str] = []
    stand_in(monkeypatch, tmp_path)
    features = tmp_path / "results" / "smoke" / "features"
    features.mkdir(parents=True)
    (features / "yours.npz").touch()
    monkeypatch.setattr(competition, "load_config", small_config)
    monkeypatch.setattr(competition, "SMALLER", {})
    monkeypatch.setattr(study, "measure", measure)
    monkeypatch.setattr(study, "run_module", run_module)
    monkeypatch.setattr(study, "load_feature_network", lambda name, device: Colours())
    monkeypatch.setattr(study, "real_features", lambda run, network: None)
    monkeypatch.setattr(study, "measure_cost", lambda config, device, steps: SimpleNamespace(seconds_per_step=0.5))
    return found


def test_rows_are_kept_in_order_and_runs_are_not(tiny_config, measured, tmp_path, capsys):
    rows = run_study(tiny_config(), "cpu", at_once=1, variations=SMALL)
    order = ["drawn nearest", "drawn matching", "drawn, random codebook matching", "learned nearest"]
    assert [f"{row['variation']} {row['quantizer']}" for row in rows] == order == measured
    assert "4 of 4 runs are missing: about 0.1 hours" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "results" / "smoke" / "features").iterdir()] == ["yours.npz"]
    for variation in SMALL:
        for run in (*variation.quantizers, *STAGES):
            assert not run_dir(settings_of(variation, "smoke"), run).exists()
    again = run_study(tiny_config(), "cpu", variations=SMALL)
    assert again == rows and len(measured) == 4, "nothing is measured twice"
    assert run_study(tiny_config(), "cpu", anew=True, at_once=1, variations=SMALL[2:]) == rows[3:]
    assert measured[4:] == ["learned nearest"]
    assert "devices" in study_facts(rows, tiny_config()) and study_facts(rows, tiny_config())["devices"] == ["CPU"]


def test_an_interrupted_study_resumes(tiny_config, measured, monkeypatch):
    real = study.train

    def train(config, quantizer, device):
        if quantizer == "matching":
            raise RuntimeError("no more")
        return real(config, quantizer, device)

    monkeypatch.setattr(study, "train", train)
    with pytest.raises(RuntimeError, match="no more"):
        run_study(tiny_config(), "cpu", at_once=1, variations=SMALL)
    assert measured == ["drawn nearest"], "the groups after it are not begun"
    assert [row["quantizer"] for row in finished_rows(tiny_config(), SMALL)] == ["nearest"]
    monkeypatch.setattr(study, "train", real)
    assert len(run_study(tiny_config(), "cpu", at_once=1, variations=SMALL)) == 4
    assert measured.count("drawn nearest") == 1


def test_a_damaged_row_is_measured_again(tiny_config, measured):
    rows = run_study(tiny_config(), "cpu", at_once=1, variations=SMALL)
    done = len(measured)
    usual = {"profile": "smoke", "data": "", "layout": "", "on_error": tiny_config().on_error}
    path = next(path for path, run in row_files(SMALL, usual).items() if run[0].name == "learned")
    path.write_bytes(path.read_bytes().replace(b"8", b"9", 1))
    with pytest.warns(UserWarning, match=f"{path.name} is damaged or .*; learned, nearest, is measured again"):
        assert run_study(tiny_config(), "cpu", at_once=1, variations=SMALL) == rows
    assert measured[done:] == ["learned nearest"]


def test_files_are_named_like_the_runs(measured):
    files = row_files(SMALL, {"profile": "smoke"})
    assert [path.stem for path in files] == [
        run_dir(settings_of(variation, "smoke"), quantizer).name for variation, quantizer in files.values()
    ]


def test_hours_count_shared_steps_once(measured, monkeypatch):
    monkeypatch.setattr(study, "MEASURING", 0)
    usual = {"profile": "smoke"}
    long = [variation._replace(settings=variation.settings | {"train__steps": 7200}) for variation in SMALL]
    assert study_hours([(long[0], "nearest"), (long[2], "nearest")], usual, "cpu") == 2.0
    halved = long[0].settings | {"train__quantize_from_step": 3600}
    pair = long[0]._replace(settings=halved)
    assert study_hours([(pair, "nearest"), (pair, "matching")], usual, "cpu") == 1.5


def test_a_group_that_is_stopped_is_not_begun(tiny_config, measured, monkeypatch):
    def side_by_side(run, works, at_once):
        stop = Event()
        stop.set()
        for work in works:
            run(work, 1, stop)

    monkeypatch.setattr(study, "side_by_side", side_by_side)
    assert run_study(tiny_config(), "cpu", variations=SMALL) == [] and measured == []


def test_a_group_s_process_is_this_module(checkout, tmp_path):
    """Of a group without variations there is nothing to do; the arguments are those that `run_study` gives."""
    command = [sys.executable, "-P", "-m", "pivq.runs.study", '{"profile": "smoke"}', "cpu", "no such group"]
    environment = os.environ | {"PYTHONPATH": str(checkout), "PIVQ_ROOT": str(tmp_path)}
    done = subprocess.run(command, env=environment, input="", capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGTERM), done.stderr  # its input had ended before the work had
    assert "Error" not in done.stderr


def test_stored_rows_are_kept_for_their_own_variation_alone(measured, tiny_config):
    def row(variation, quantizer, **more):
        of = settings_of(variation, profile="smoke").model
        sizes = {"tokens": of.tokens, "token_spread": of.token_spread, "L": of.num_codes, "K": of.codebook_size}
        return {"variation": variation.name, "quantizer": quantizer, "steps": 8, "seed": variation.seed} | sizes | more

    stored = [row(SMALL[0], "matching", psnr=1.0), row(SMALL[2], "nearest", seed=2), row(SMALL[1], "matching", steps=9)]
    assert keep_rows(stored, tiny_config(), SMALL) == 1, "of the others, seed or steps differ"
    assert keep_rows(stored, tiny_config(), SMALL) == 0, "what is there stays"
    rows = run_study(tiny_config(), "cpu", at_once=1, variations=SMALL)
    assert len(rows) == 4 and [row["psnr"] for row in rows if "psnr" in row] == [1.0]
    assert "drawn matching" not in measured, "the stored row is not measured again"
