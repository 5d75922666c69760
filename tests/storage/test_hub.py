"""The Hub, played by a folder: ids are found there, models go there, and nothing goes there unasked."""

import shutil
import sys
from inspect import signature
from types import ModuleType, SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, errors, snapshot_download

from pivq.model import PIVQ
from pivq.storage import hub
from pivq.storage.checkpoint import save_checkpoint


class Missing(OSError):
    """What the client raises for a repository that is not there."""


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    """Put a stand-in for `huggingface_hub` in place; return its folder of repositories and a log of calls."""
    store, calls = tmp_path / "hub", []

    def snapshot_download(repo_id, allow_patterns):
        calls.append(("download", repo_id, tuple(allow_patterns)))
        if not (store / repo_id).is_dir():
            raise Missing(repo_id)
        return str(store / repo_id)

    class HfApi:
        def create_repo(self, repo_id, private, exist_ok):
            calls.append(("create", repo_id, private, exist_ok))
            return f"https://hub.example/{repo_id}"

        def upload_folder(self, repo_id, folder_path, allow_patterns):
            (store / repo_id).mkdir(parents=True, exist_ok=True)
            for name in allow_patterns:
                shutil.copy(folder_path / name, store / repo_id / name)

    module = ModuleType("huggingface_hub")
    module.snapshot_download, module.HfApi = snapshot_download, HfApi
    module.errors = SimpleNamespace(RepositoryNotFoundError=Missing, HFValidationError=Missing)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return store, calls


@pytest.fixture
def run(tmp_path, tiny_config):
    """Return the folder of a run with only a checkpoint."""
    torch.manual_seed(0)
    config = tiny_config()
    ema = PIVQ(config.model).state_dict()
    state = {"config": config.as_dict(), "quantizer": "matching", "step": 8, "ema": ema}
    save_checkpoint(tmp_path / "run" / "checkpoint.pt", state)
    return tmp_path / "run"


def test_push_and_fetch(fake_hub, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path / "run")
    store, calls = fake_hub
    assert hub.push(run, "ada/faces", private=True) == "https://hub.example/ada/faces"
    files = ("model.safetensors", "config.json", "README.md")
    assert sorted(path.name for path in (store / "ada/faces").iterdir()) == sorted(files)
    model, trained = PIVQ.from_pretrained("ada/faces"), PIVQ.from_pretrained(run)
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in model.state_dict().items())
    assert model.facts["steps"] == 8
    said = capsys.readouterr()
    assert said.out == "" and "looking for it on the Hugging Face Hub" in said.err, "results alone go to stdout"
    assert calls == [("create", "ada/faces", True, True), ("download", "ada/faces", files)]
    assert [path.name for path in run.iterdir()] == ["checkpoint.pt"], "the run's folder stays as it was"


def test_push_of_an_exported_folder_keeps_its_card(fake_hub, run, tmp_path):
    PIVQ.from_pretrained(run).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("my own words")
    (tmp_path / "model" / "secret.txt").write_text("stays here")
    hub.push(tmp_path / "model", "ada/faces")
    assert (fake_hub[0] / "ada/faces" / "README.md").read_text() == "my own words"
    assert not (fake_hub[0] / "ada/faces" / "secret.txt").exists()


def test_nothing_damaged_or_misnamed_is_pushed(fake_hub, run, tmp_path):
    PIVQ.from_pretrained(run).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        hub.push(tmp_path / "model", "ada/faces")
    with pytest.raises(FileNotFoundError, match="no model at"):
        hub.push(tmp_path / "absent", "ada/faces")
    with pytest.raises(ValueError, match="a Hub id is owner/name, got 'faces'"):
        hub.push(run, "faces")
    assert fake_hub[1] == []


def test_there_is_no_network_for_anything_that_is_here_or_is_no_id(fake_hub, run, tmp_path, monkeypatch):
    (tmp_path / "ada").mkdir()
    shutil.copytree(run, tmp_path / "ada" / "faces")
    monkeypatch.chdir(tmp_path)
    PIVQ.from_pretrained("ada/faces")
    for name in ("absent", "a/b/c", "./faces", "../x/y", "~/faces", str(tmp_path / "absent")):
        with pytest.raises(FileNotFoundError, match="no model at"):
            PIVQ.from_pretrained(name)
    assert fake_hub[1] == []


def test_an_id_that_the_hub_does_not_know(fake_hub):
    with pytest.raises(
        FileNotFoundError, match="no model at ada/absent: neither a file or folder here, nor a model on"
    ):
        PIVQ.from_pretrained("ada/absent")


def test_offline_is_said(fake_hub, monkeypatch, capsys):
    def offline(*arguments, **settings):
        raise ConnectionError("[Errno -2] Name or service not known")

    monkeypatch.setattr(sys.modules["huggingface_hub"], "snapshot_download", offline)
    with pytest.raises(ConnectionError, match="no file or folder ada/faces here, and the Hub cannot be reached"):
        PIVQ.from_pretrained("ada/faces")
    assert "looking for it on the Hugging Face Hub" in capsys.readouterr().err, "said before the network is used"


def test_the_stand_in_is_like_the_real_client():
    assert {"repo_id", "allow_patterns"} <= signature(snapshot_download).parameters.keys()
    assert {"repo_id", "private", "exist_ok"} <= signature(HfApi.create_repo).parameters.keys()
    assert {"repo_id", "folder_path", "allow_patterns"} <= signature(HfApi.upload_folder).parameters.keys()
    assert issubclass(errors.OfflineModeIsEnabled, OSError) and issubclass(errors.LocalEntryNotFoundError, OSError)
    assert issubclass(errors.RepositoryNotFoundError, OSError) and issubclass(errors.HFValidationError, Exception)


def test_the_real_client_offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match="the Hub cannot be reached"):
        PIVQ.from_pretrained("pivq-tests/absent")
