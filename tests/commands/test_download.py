"""`pivq download`, from a server on this computer: what is said first, what lands where, and how it fails."""

import dataclasses
import hashlib
import json
import zipfile

import pytest
from web import served

import pivq.pretrained.weights
from pivq.commands import download
from pivq.commands.cli import main
from pivq.commands.download import FFHQ_LABELS, download_labels, download_weights
from pivq.pretrained.weights import WEIGHTS, WeightsFile
from pivq.storage import fetching
from pivq.storage.fetching import FetchError
from pivq.storage.locking import InUse, locked

CONTENTS = {"lpips_vgg": b"vgg" * 1000, "inception": b"inception" * 1000}


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(fetching, "WAIT", 0.0)
    with served() as server:
        yield server


@pytest.fixture
def weights(web, monkeypatch, tmp_path) -> dict[str, WeightsFile]:
    """Return stand-ins of both files, which the server has; caches and data are inside `tmp_path`."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "top"))
    monkeypatch.setattr(pivq.pretrained.weights.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    for file in WEIGHTS.values():
        monkeypatch.delenv(file.variable, raising=False)
    for name, content in CONTENTS.items():
        file, sha256 = WEIGHTS[name], hashlib.sha256(content).hexdigest()
        stand_in = dataclasses.replace(file, url=f"{web.url}/{file.name}", sha256=sha256, size=len(content))
        monkeypatch.setitem(WEIGHTS, name, stand_in)
        web.files[file.name] = content
    return WEIGHTS


def assert_both_are_there(weights) -> None:
    for name, content in CONTENTS.items():
        assert weights[name].find() == weights[name].places()[0]
        assert weights[name].find().read_bytes() == content


# --- Weights ----------------------------------------------------------------------------------------------------------


def test_both_files_land_in_the_cache_after_size_source_and_licence_are_said(weights, tmp_path, capsys):
    assert main(["download", "weights"]) == 0
    assert_both_are_there(weights)
    out, err = capsys.readouterr()
    for file in weights.values():
        assert str(file.places()[0]).startswith(str(tmp_path / "torch" / "hub" / "checkpoints"))
        plan, bar = err.index(file.url), err.index(f"{file.name}: 100%")
        assert f"licence {file.licence}" in err and plan < bar
        assert f"downloaded and checked: {file.places()[0]}" in out


def test_published_sizes_and_licences_are_said():
    assert all(file.size > 90_000_000 and file.licence for file in WEIGHTS.values())


def test_what_is_there_is_not_asked_for_again(weights, web, capsys):
    download_weights(weights)
    asked = len(web.asked)
    download_weights(weights)
    assert len(web.asked) == asked and capsys.readouterr().out.count("already there and checked") == 2


def test_only_the_networks_that_need_a_file_and_only_those_asked_for(weights, web):
    download_weights(["efficientnet_lite0", "inception", "inception"])
    assert len(web.asked) == 1 and weights["inception"].find()
    with pytest.raises(FileNotFoundError):
        weights["lpips_vgg"].find()


def test_half_a_download_of_another_program_is_replaced(weights, capsys):
    place = weights["lpips_vgg"].places()[0]
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENTS["lpips_vgg"][:100])
    download_weights(weights)
    assert_both_are_there(weights)
    assert "is not the published vgg16-397923af.pth" in capsys.readouterr().err


def test_the_folder_of_a_variable_is_the_place(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_VGG16", str(tmp_path / "mine"))
    download_weights(["lpips_vgg"])
    assert (tmp_path / "mine" / weights["lpips_vgg"].name).read_bytes() == CONTENTS["lpips_vgg"]


def test_a_file_of_the_user_is_never_replaced(weights, monkeypatch, tmp_path, capsys):
    (tmp_path / "own.pth").write_bytes(b"own")
    monkeypatch.setenv("PIVQ_VGG16", str(tmp_path / "own.pth"))
    assert main(["download", "weights"]) == 1
    assert (tmp_path / "own.pth").read_bytes() == b"own"
    assert "PIVQ_VGG16 names" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_a_mirror(weights, web, tmp_path, kind):
    for file in weights.values():
        (tmp_path / file.name).write_bytes(web.files[file.name])
        web.files[f"mirror/{file.name}"] = web.files.pop(file.name)
    assert main(["download", "weights", "--from", str(tmp_path) if kind == "folder" else f"{web.url}/mirror/"]) == 0
    assert_both_are_there(weights)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"other", "is not the published vgg16-397923af.pth: it has SHA-256"),
        (b"<html>quota</html>", "answered with a web page"),
        (None, "answered 404 Not Found"),
    ],
)
def test_a_failure_is_one_line_and_1(weights, web, capsys, content, said):
    web.files.pop(weights["lpips_vgg"].name)
    if content:
        web.files[weights["lpips_vgg"].name] = content
    assert main(["download", "weights"]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("pivq download: error: ") and said in last and "--from DIR|URL" in last


def test_another_process_that_downloads_is_named(weights, capsys):
    with locked(weights["lpips_vgg"].places()[0].parent, "used for a download"):
        assert main(["download", "weights"]) == 1
    assert "is being used for a download by process" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["weights", "--from", "nowhere"], "--from nowhere: no such folder"),
        (["weights", "--from", "ftp://x"], "expected an address that begins with http"),
        (["celeba", "--from", "nowhere"], "--from nowhere: it is for weights and ffhq-labels"),
    ],
)
def test_a_source_that_cannot_be(weights, capsys, words, said):
    assert main(["download", *words]) == 1
    assert said in capsys.readouterr().err


# --- CelebA -----------------------------------------------------------------------------------------------------------


def test_of_celeba_the_steps_are_printed_and_nothing_is_fetched(weights, web, tmp_path, capsys):
    assert main(["download", "celeba"]) == 1
    out, err = capsys.readouterr()
    for part in (
        "mmlab.ie.cuhk.edu.hk",
        "img_align_celeba.zip",
        "list_attr_celeba.txt",
        str(tmp_path / "top" / "data"),
    ):
        assert part in out
    assert err.count("\n") == 1 and "its terms do not permit" in err and web.asked == []
    (tmp_path / "top" / "data" / "celeba").mkdir(parents=True)
    assert main(["download", "celeba"]) == 0
    assert "already there" in capsys.readouterr().out


# --- FFHQ's attribute files -------------------------------------------------------------------------------------------

LABELS = {f"{i:05}.json": json.dumps([{"faceId": i}]).encode() for i in range(7)}


def write_zip(path, labels: dict[str, bytes], inside: str = "ffhq-features-dataset-9c4c7ef/json") -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ffhq-features-dataset-9c4c7ef/README.md", "text")
        for name, content in reversed(labels.items()):  # the order in the zip does not count
            archive.writestr(f"{inside}/{name}", content)
    return path.read_bytes()


@pytest.fixture
def labels(web, tmp_path, monkeypatch):
    """Return an archive of seven files, which the server has."""
    lines = [f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in sorted(LABELS.items())]
    web.files["labels.zip"] = write_zip(tmp_path / "a.zip", LABELS)
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    archive = dataclasses.replace(
        FFHQ_LABELS, url=f"{web.url}/labels.zip", size=5000, unpacked=0, files=len(LABELS),
        sha256=hashlib.sha256("".join(lines).encode()).hexdigest(),
    )  # fmt: skip
    monkeypatch.setattr(download, "FFHQ_LABELS", archive)
    return archive


def test_labels_land_where_the_loader_looks(labels, tmp_path, capsys):
    folder = tmp_path / "data" / "ffhq"
    assert main(["download", "ffhq-labels"]) == 0
    assert {path.name: path.read_bytes() for path in (folder / "json").iterdir()} == LABELS
    assert [path.name for path in folder.iterdir()] == ["json"]
    assert "CC BY-NC-SA 4.0" in capsys.readouterr().err
    assert main(["download", "ffhq-labels"]) == 0
    assert "already there" in capsys.readouterr().out


def test_a_cut_download_of_labels_is_resumed(labels, web, tmp_path):
    web.cuts = [100]
    download_labels(labels, tmp_path / "ffhq")
    assert len(list((tmp_path / "ffhq" / "json").iterdir())) == len(LABELS)
    assert web.asked == [None, "bytes=100-"]


@pytest.mark.parametrize("change", ["less", "other", "no zip", "large", "elsewhere"])
def test_other_labels_are_refused_and_leave_nothing(labels, web, tmp_path, change):
    other = dict(LABELS)
    if change == "less":
        del other["00003.json"]
    other["00001.json"] = {"other": b"[]", "large": b" " * 100_000}.get(change, other["00001.json"])
    content = write_zip(tmp_path / "b.zip", other, "json/../../json" if change == "elsewhere" else "x/json")
    web.files["labels.zip"] = b"PK no zip" if change == "no zip" else content
    if change == "elsewhere":  # only the files' names are used: nothing is written outside the folder
        download_labels(labels, tmp_path / "ffhq")
        assert len(list((tmp_path / "ffhq" / "json").iterdir())) == len(LABELS)
        assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "b.zip", "ffhq"}
        return
    with pytest.raises(FetchError, match="does not hold the 7 published attribute files .*: take them from another"):
        download_labels(labels, tmp_path / "ffhq")
    assert [path.name for path in (tmp_path / "ffhq").rglob("*")] == [".json.partial"]


def test_labels_of_the_user_are_not_touched(labels, tmp_path):
    (tmp_path / "ffhq" / "json").mkdir(parents=True)
    (tmp_path / "ffhq" / "json" / "00000.json").write_text("[]")
    with pytest.raises(FetchError, match="json holds 1 of 7 attribute files: move it away"):
        download_labels(labels, tmp_path / "ffhq")
    assert (tmp_path / "ffhq" / "json" / "00000.json").read_text() == "[]"


def test_two_at_once_and_no_space_for_labels(labels, web, tmp_path, monkeypatch):
    with locked(tmp_path / "ffhq" / ".json.partial", "used for a download"), pytest.raises(InUse):
        download_labels(labels, tmp_path / "ffhq")
    full = dataclasses.replace(labels, unpacked=10**18)
    with pytest.raises(FetchError, match="are needed for ffhq-features-dataset.zip: free space there"):
        download_labels(full, tmp_path / "ffhq")
    asked = len(web.asked)
    download_labels(labels, tmp_path / "ffhq")
    assert len(web.asked) == asked + 1 and (tmp_path / "ffhq" / "json").is_dir()


def test_the_published_labels_are_pinned():
    assert len(FFHQ_LABELS.sha256) == 64 and FFHQ_LABELS.files == 70_000 and "/archive/9c4c7ef5132d" in FFHQ_LABELS.url
