"""One bar for several trainings: which steps it counts, what it says, when it draws."""

import shutil
from types import SimpleNamespace

import pytest
from stand_ins import stand_in

from pivq.runs import watching
from pivq.runs.parallel import Job, train_together
from pivq.runs.planned import run_dir
from pivq.runs.watching import Watch, current_watch

LAST, T_Q = 8, 3  # steps of the tiny configuration


@pytest.fixture
def learned(tiny_config):
    return tiny_config()


def test_a_whole_training_is_one_bar_that_ends_full(learned, monkeypatch, tmp_path, capsys):
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(watching, "LOG_EVERY", 2)
    monkeypatch.setattr(watching, "SHORTEST", 0)
    monkeypatch.setattr(watching, "SHARE", 10**9)
    monkeypatch.setattr("pivq.runs.parallel.pick_device", lambda device: SimpleNamespace(type="gpu"))
    bars, real, each = [], watching.tqdm, {"mininterval": 0}
    monkeypatch.setattr(watching, "tqdm", lambda **options: bars.append(real(**options | each)) or bars[-1])
    train_together([Job(learned, quantizer) for quantizer in ("matching", "nearest")], device="cpu")
    said = capsys.readouterr().err
    (bar,) = bars
    assert (bar.n, bar.total, bar.initial) == (LAST, LAST, 0) and "8/8" in said
    assert "learned tokens, before T_q: 2 of 3" in said and "learned tokens, both quantizers: 6 of 8" in said
    assert current_watch() is None
    train_together([Job(learned, "matching")], device="cpu")
    assert len(bars) == 1 and capsys.readouterr().err == "", "nothing is left to do"


def test_a_resumed_training_begins_where_it_was(learned, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        watching_train(learned)
    network.interrupt_at = None
    assert Watch([(learned, "nearest")]).bar.initial == 6
    shutil.rmtree(run_dir(learned, "nearest"))
    assert Watch([(learned, "nearest")]).bar.initial == T_Q


def watching_train(config):
    from pivq.runs.training import train

    train(config, "nearest")


@pytest.mark.parametrize(
    "steps, shown",
    [
        (dict(trunk=2), ["before T_q"]),
        (dict(trunk=3, shared=3), ["both quantizers"]),
        (dict(trunk=3, shared=8, matching=8, nearest=8), ["both quantizers"]),
        (dict(trunk=3, shared=5, matching=5, nearest=5), ["both quantizers"]),
        (dict(trunk=3, shared=5, matching=7, nearest=6), ["matching", "nearest"]),
        (dict(trunk=3, nearest=4), ["nearest"]),
    ],
    ids=["before T_q", "copied", "one model", "parting", "parted", "alone"],
)
def test_a_stage_gives_way_to_what_goes_beyond_it(learned, monkeypatch, tmp_path, steps, shown):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    watch = Watch([(learned, quantizer) for quantizer in ("matching", "nearest")])
    reached = {run_dir(learned, run): step for run, step in steps.items()}
    monkeypatch.setattr(watching, "last_step", lambda folder: reached.get(folder, 0))
    titles = [stage.title for stage in watch.under_way().values()]
    assert titles == [f"learned tokens, {run}" for run in shown]
    watch.bar.close()


def test_how_long_it_will_take_is_told_from_the_mean_pace(learned, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    screen, reached = Screen(), {}
    monkeypatch.setattr("pivq.runs.notebook.shell", lambda: screen)
    monkeypatch.setattr(watching, "last_step", lambda folder: reached.get(folder, 0))
    reached[run_dir(learned, "trunk")] = 1  # resumed there
    watch = Watch([(learned, "nearest")])
    reached[run_dir(learned, "trunk")] = 3
    watch.bar.start_t -= 10
    watch.look(now=True)
    watch.bar.start_t -= 590  # ten minutes for two steps: five more take 25
    watch.look(now=True)
    assert [data["text/plain"] for data in screen.updates] == [
        "38% · 3 of 8 steps", "38% · 3 of 8 steps · about 25 min left",
    ]  # fmt: skip
    watch.bar.close()


def test_of_several_processes_the_first_one_shows_a_bar(learned, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with watching.watching([(learned, "nearest")]) as watch:
        watch.look()
    assert watch.bar is None and capsys.readouterr().err == ""


class Screen:
    """Stands in for a kernel's shell: keeps what is shown, by its place."""

    def __init__(self):
        self.kernel, self.shown, self.updates = None, {}, []
        self.display_pub = self

    def publish(self, data, metadata, transient, update):
        assert update == (transient["display_id"] in self.shown), "shown once, then replaced"
        self.shown[transient["display_id"]] = data
        self.updates.append(data)


def test_a_notebook_has_one_place_for_the_bar_and_one_for_the_figure(learned, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    screen, drawn_figures = Screen(), []
    monkeypatch.setattr("pivq.runs.notebook.shell", lambda: screen)
    monkeypatch.setattr(watching, "SHORTEST", 0)
    monkeypatch.setattr(watching, "SHARE", 10**9)
    monkeypatch.setattr(watching, "LOG_EVERY", 1)
    monkeypatch.setattr("pivq.runs.parallel.pick_device", lambda device: SimpleNamespace(type="gpu"))
    monkeypatch.setattr(watching.Area, "show_figure", lambda area, figure: area.show({"figure": figure}))

    def draw(logs, pictures):
        drawn_figures.append((
            {title: log["heldout_psnr"].count() for title, log in logs.items()},
            {title: images.shape for title, images in pictures.items()},
        ))  # fmt: skip
        return len(drawn_figures)

    train_together([Job(learned, "nearest")], device="cpu", draw=draw)
    bar, figure = screen.shown.values()
    assert bar["text/plain"] == "100% · 8 of 8 steps" and '<progress value="8" max="8"' in bar["text/html"]
    assert any("before <i>T<sub>q</sub></i>: 2 of 3" in data.get("text/html", "") for data in screen.updates)
    # Validation is after steps 3, 4, 5 and 6: at each fit of the codebook, and one step later.
    assert [sum(logs.values()) for logs, _ in drawn_figures] == [1, 2, 3, 4] and figure == {"figure": 4}
    assert drawn_figures[0] == ({"learned tokens, before T_q": 1},
                                {"learned tokens, before T_q, step 3": (16, 3, 16, 16)})  # fmt: skip
    assert drawn_figures[-1][1] == {"learned tokens, nearest, step 6": (24, 3, 16, 16)}, "with samples"
