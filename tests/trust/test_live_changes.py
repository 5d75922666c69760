"""Files of a run that somebody deletes or replaces while it trains, or before it is resumed."""

import os
import shutil
import warnings

import pytest
from stand_ins import same_results, stand_in

from pivq.runs.branching import train_ahead
from pivq.runs.planned import run_dir
from pivq.runs.run import open_run
from pivq.runs.tracking import FOLDER
from pivq.runs.training import train

AT = 7  # the step, counted from 0, in which files are changed; there is a checkpoint of step 4


class Writer:
    """In place of accelerate's tracker: appends to a file that it opens by its name each time, as tensorboard does."""

    def __init__(self, run_name, logging_dir, purge_step):
        self.file, self.tracker = os.path.join(logging_dir, run_name, "events.1"), self

    def start(self):
        os.makedirs(os.path.dirname(self.file), exist_ok=True)

    def log(self, values, step):
        with open(self.file, "a") as file:
            file.write(f"{step}\n")

    def log_images(self, values, step):
        self.log(values, step)

    def add_histogram(self, name, values, global_step):
        self.log(values, global_step)

    def finish(self):
        self.log({}, 0)


@pytest.fixture(scope="module")
def straight(tiny_config, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, tmp_path_factory.mktemp("straight"))
        yield train(tiny_config(), "matching")


@pytest.fixture
def meanwhile(tiny_config, tmp_path, monkeypatch):
    """Return a function that trains a run and calls `change(folder)` in step `AT`."""
    monkeypatch.setattr("accelerate.tracking.TensorBoardTracker", Writer)

    def trained(change, tracker=""):
        network = stand_in(monkeypatch, tmp_path)
        usual, folder = network.forward, run_dir(tiny_config(), "matching")

        def forward(images, targets):
            if images.requires_grad and network.calls == AT:
                change(folder)
            return usual(images, targets)

        network.forward = forward
        return train(tiny_config(), "matching", tracker=tracker)

    trained.network = lambda: stand_in(monkeypatch, tmp_path)
    return trained


def to_folder(path):
    path.unlink() if path.is_file() else shutil.rmtree(path)
    path.mkdir()


LOG = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, 100),
    "replaced": lambda path: path.write_text("<html>"),
    "a digit changed": lambda path: path.write_text(path.read_text().replace('"step": 2', '"step": 3', 1)),
    "gone with its folder": lambda path: shutil.rmtree(path.parent),
}


@pytest.mark.parametrize("way", LOG)
def test_a_log_that_is_changed_during_a_training_is_written_again(meanwhile, straight, way):
    with pytest.warns(UserWarning, match="log.jsonl was changed from outside during the training: it is written again"):
        run = meanwhile(lambda folder: LOG[way](folder / "log.jsonl"))
    assert same_results(run, straight), "the log's rows too"
    assert run.summary["training_seconds"] == pytest.approx(run.log()["seconds"].sum())


OTHERS = {
    "config.json": [lambda path: path.unlink(), lambda path: path.write_text("{"),
                    lambda path: path.write_text(path.read_text().replace('"steps": 8', '"steps": 9'))],
    "checkpoint.pt": [lambda path: path.unlink(), lambda path: path.write_bytes(b"x" * 100)],
    "codes.npz": [lambda path: path.write_bytes(b"x")],
    "summary.json": [lambda path: path.write_text("{}")],
    "reconstructions-000004.png": [lambda path: path.unlink()],
}  # fmt: skip


@pytest.mark.parametrize(("name", "change"), [(name, change) for name, ways in OTHERS.items() for change in ways])
def test_other_files_that_are_changed_during_a_training_change_nothing(meanwhile, straight, name, change):
    run = meanwhile(lambda folder: change(folder / name))
    assert same_results(run, straight)
    again = open_run(run.folder)  # reads its settings from the folder
    assert (again.config, again.quantizer) == (run.config, "matching")


@pytest.mark.parametrize("name", ["log.jsonl", "config.json", "checkpoint.pt", "summary.json"])
def test_a_folder_in_the_place_of_a_file_is_named_and_nothing_is_lost(meanwhile, straight, name):
    def change(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()
        places.append(folder / name)

    places = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the log is written again
        with pytest.raises(IsADirectoryError, match=f"{name} is a folder, where a file belongs: move it away"):
            meanwhile(change)
        places[0].rmdir()
        run = meanwhile(lambda folder: None)
    assert run.summary["model"] == straight.summary["model"] and run.summary["codes"] == straight.summary["codes"]


SHOWN = {
    "cut": lambda path: os.truncate(path / "events.1", 1),
    "emptied": lambda path: (path / "events.1").write_bytes(b""),
    "zeroed": lambda path: (path / "events.1").write_bytes(bytes(50)),
    "a folder in place of the file": lambda path: to_folder(path / "events.1"),
    "gone": lambda path: shutil.rmtree(path),
    "replaced by a file": lambda path: (shutil.rmtree(path), path.write_text("x")),
    "replaced by a broken link": lambda path: (shutil.rmtree(path), path.symlink_to(path.parent / "nowhere")),
    "replaced by a link to itself": lambda path: (shutil.rmtree(path), path.symlink_to(path)),
}
HARMLESS = ("cut", "emptied", "zeroed")


@pytest.mark.parametrize("way", SHOWN)
def test_what_happens_to_the_files_of_tensorboard_never_stops_a_training(meanwhile, straight, way):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = meanwhile(lambda folder: SHOWN[way](folder / FOLDER), tracker="tensorboard")
    assert same_results(run, straight)
    told = [str(warning.message) for warning in said if "TensorBoard shows nothing more" in str(warning.message)]
    assert len(told) == (way not in HARMLESS) and all(str(run.folder / FOLDER) in text for text in told)


@pytest.mark.parametrize("way", ["a folder in place of the file", "replaced by a file", "replaced by a broken link"])
@pytest.mark.parametrize("stage", ["trunk", "matching"])
def test_nor_does_it_stop_one_that_is_resumed_or_starts_from_a_stage(meanwhile, tiny_config, straight, stage, way):
    def stop(folder):
        raise KeyboardInterrupt

    config = tiny_config()
    if stage == "trunk":
        meanwhile.network()
        train_ahead("trunk", config, tracker="tensorboard")
    else:
        with pytest.raises(KeyboardInterrupt):
            meanwhile(stop, tracker="tensorboard")
    SHOWN[way](run_dir(config, stage) / FOLDER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert same_results(meanwhile(lambda folder: None, tracker="tensorboard"), straight)
