"""Files of weights that would take the memory are refused before their tensors are read."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from conftest import make_tiny_config
from stand_ins import load_profile

from pivq.discriminator import PatchDiscriminator
from pivq.model import PIVQ
from pivq.profiles import PROFILES
from pivq.runs.run import read_arrays
from pivq.storage.bounds import ARRAYS, Refused, check_arrays, check_extent, most_bytes, tensors
from pivq.storage.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def path(tmp_path):
    config = make_tiny_config()
    weights = PIVQ(config.model, "nearest").state_dict()
    state = {"config": config.as_dict(), "quantizer": "nearest", "step": 3, "model": weights, "ema": weights}
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    return tmp_path / "checkpoint.pt"


@pytest.fixture
def unread(monkeypatch):
    """Fail where tensors are read."""
    load = torch.load

    def outline(file, map_location, **options):
        assert map_location == "meta", "read"
        return load(file, map_location=map_location, **options)

    monkeypatch.setattr(torch, "load", outline)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_s_files_are_far_below_their_bound(profile):
    config = load_profile(profile)
    with torch.device("meta"):
        model = PIVQ(config.model)
        judge = PatchDiscriminator(config.train.discriminator_width, config.train.discriminator_layers)
        latents = config.train.history_steps * config.train.batch_size * config.model.num_codes
        history = [torch.empty(latents, config.model.dim)]
    weights, size = dict(model.state_dict()), 4 * sum(value.numel() for value in model.state_dict().values())
    assert size + 10**5 < most_bytes(config.as_dict()["model"]) < 6 * size + 2 * 10**7
    judges = dict(judge.state_dict())
    state = {"config": config.as_dict(), "model": weights, "ema": weights, "history": history}
    size = 4 * size + 3 * 4 * sum(value.numel() for value in judges.values()) + history[0].nbytes
    check_extent(state, size + 10**6)
    with pytest.raises(Refused, match="more than the .* that a run of its settings can need"):
        check_extent(state, 40 * size + 10**8)


def rewrite(path, compression=zipfile.ZIP_STORED, **extra):
    """Write the entries of a checkpoint again, and more."""
    with zipfile.ZipFile(path) as file:
        entries = {entry.filename: file.read(entry) for entry in file.infolist()}
    root = next(iter(entries)).partition("/")[0]
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in (entries | {f"{root}/{name}": content for name, content in extra.items()}).items():
            file.writestr(name, content)


def test_compressed_checkpoints_are_refused_unread(path, unread):
    """13 MB took 3.6 GB."""
    torch.save({"step": torch.zeros(10**7)}, path)
    rewrite(path, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match="checkpoint.pt is damaged or not a checkpoint; delete it"):
        load_checkpoint(path)


def test_a_large_checkpoint_of_small_settings_is_refused_unread(path, unread):
    rewrite(path, **{"data/9999": bytes(3 * 10**7)})
    with pytest.raises(ValueError, match=r"checkpoint.pt has 3[\d,]+ bytes, more than the .* its settings can need;"):
        load_checkpoint(path)


def test_a_large_file_of_something_else_is_refused_unread(path, unread):
    torch.save({"weights": torch.zeros(10**7)}, path)
    with pytest.raises(ValueError, match="checkpoint.pt has 40,00.* bytes, more than the 10,000,000"):
        load_checkpoint(path)
    with open(path, "wb") as file:
        file.truncate(20 * 10**9)
    with pytest.raises(ValueError, match="checkpoint.pt is damaged or not a checkpoint"):
        load_checkpoint(path)


def test_what_is_no_tensor_is_short(path, unread):
    rewrite(path, **{"more.pkl": bytes(11 * 10**6)})
    with pytest.raises(ValueError, match="checkpoint.pt is damaged or not a checkpoint"):
        load_checkpoint(path)


def test_tensors_larger_than_what_is_stored_of_them_are_refused_unread(path, unread):
    for value in (torch.zeros(1).expand(10**12), torch.zeros(3, device="meta"), torch.zeros(10, 10).to_sparse()):
        torch.save({"step": 1, "ema": {"a": value}}, path)
        with pytest.raises(ValueError, match="checkpoint.pt is damaged or not a checkpoint"):
            load_checkpoint(path)


def test_a_number_of_elements_that_lies_is_refused(path):
    """The pickle says how large a tensor is, the archive how much is there."""
    torch.save({"a": torch.zeros(16)}, path)
    with zipfile.ZipFile(path) as file:
        entries = {entry.filename: file.read(entry) for entry in file.infolist()}
    [name] = [name for name in entries if name.endswith("data.pkl")]
    assert entries[name].count(b"K\x10") == 2  # the number 16
    entries[name] = entries[name].replace(b"K\x10", b"J" + (2**31 - 1).to_bytes(4, "little"))
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    with pytest.raises(ValueError, match="checkpoint.pt is damaged or not a checkpoint"):
        load_checkpoint(path)


def test_names_of_tensors():
    found = [name for name, _ in tensors({"a": {"b": [torch.zeros(1), 3, (torch.zeros(1),)]}, "c": torch.zeros(1)})]
    assert found == ["a.b.0", "a.b.2.0", "c"]
    assert not list(tensors(pickle.dumps(1)))


def zipped(path, **rows: int) -> None:
    """Write arrays of zeros, of so many rows of 1,000 bytes, as `.npz`, without having them in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, count in rows.items():
            with archive.open(f"{name}.npy", "w") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": (count, 1000)}
                np.lib.format.write_array_header_1_0(file, header)
                for _ in range(count // 1000):
                    file.write(bytes(1_000_000))


@pytest.mark.parametrize("rows", [{"codes": 201_000}, {"codes": 101_000, "ids": 101_000}, {"other": 300_000}])
def test_arrays_out_of_proportion_are_refused_unread(tmp_path, rows, monkeypatch):
    """Zeros shrink by a thousand: 13 MB took 6.7 GB. What the arrays are named, and their number, does not matter."""
    zipped(tmp_path / "codes.npz", **rows)
    assert (tmp_path / "codes.npz").stat().st_size < ARRAYS / 50
    with open(tmp_path / "codes.npz", "rb") as file, pytest.raises(Refused, match="would take 2|would take 3"):
        check_arrays(file)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"codes\.npz would take .* bytes of memory, more than the 200,000,000 of a"):
        read_arrays(tmp_path / "codes.npz")


def test_codes_of_whole_sets_are_far_below_their_bound(tmp_path):
    """FFHQ's 70,000 images, 512 codes each, may be all alike; and what does not shrink may be of any size."""
    assert 2 * 70_000 * 512 < ARRAYS / 2
    zipped(tmp_path / "codes.npz", codes=5_000)
    assert read_arrays(tmp_path / "codes.npz")["codes"].shape == (5_000, 1000)
