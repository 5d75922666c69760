"""Rows that take hours: what is damaged is said and measured again, never taken for a number."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from pivq.figures.artefacts import save_json
from pivq.runs.rows import (
    keep_row,
    keep_stored,
    kept_row,
    lines_named,
    merged,
    rows_stamp,
    run_missing,
    stored_rows,
)
from pivq.storage.writing import seal


class Line(NamedTuple):
    """A line of a comparison of which only the name matters."""

    name: str


LINES = [Line("VAE"), Line("β-VAE"), Line("TokenSet")]


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))


def test_a_row_is_found_again_until_it_is_damaged_or_another(tmp_path, recwarn):
    path, row = tmp_path / "rows" / "a.json", {"name": "VAE", "seed": 0, "psnr": 25.5}
    assert kept_row(path, name="VAE", seed=0) is None
    assert keep_row(path, row) == kept_row(path, name="VAE", seed=0) and not recwarn
    assert kept_row(path).items() >= row.items()
    with pytest.warns(UserWarning, match=f"{path} has another row than its name says; VAE, seed 1, is measured again"):
        assert kept_row(path, name="VAE", seed=1) is None
    path.write_text(path.read_text().replace("25.5", "26.5"))
    with pytest.warns(UserWarning, match=f"{path} .*; VAE, seed 0, is measured again"):
        assert kept_row(path, name="VAE", seed=0) is None


def test_stored_rows_are_the_profiles_own_or_none_and_damage_is_told(tiny_config, tmp_path):
    config, rows = tiny_config(), [{"name": "a", "device": "cpu"}, {"name": "b", "device": "cuda"}]
    assert stored_rows("rivals_of_nobody", "smoke", "complete.py") == []
    save_json({"rows": rows} | rows_stamp(rows, config, "a protocol"), "rivals", config)
    path = tmp_path / "figures" / "smoke" / "rivals.json"
    assert stored_rows("rivals", "smoke", "complete.py") == rows
    path.write_text(path.read_text().replace('"cuda"', '"tpu"'))
    with pytest.raises(ValueError, match=f"{path} .*; delete it, and benchmarks/complete.py makes it again"):
        stored_rows("rivals", "smoke", "complete.py")
    save_json({"rows": "none"} | rows_stamp(rows, config, "a protocol"), "rivals", config)
    with pytest.raises(ValueError, match="it has no rows; delete it, and benchmarks/complete.py makes it again"):
        stored_rows("rivals", "smoke", "complete.py")
    assert rows_stamp(rows, config, "a protocol")["devices"] == ["cpu", "cuda"]


@pytest.fixture
def plan(tiny_config, tmp_path):
    """Return jobs of two lines and two seeds by their files."""
    configs = [replace(tiny_config(), seed=seed) for seed in (0, 1)]
    return {tmp_path / f"{line.name}-{own.seed}.json": (own, line) for own in configs for line in LINES[:2]}


def make(own, line, bar) -> dict:
    bar.update(10)
    return {"name": line.name, "seed": own.seed, "samples": 3, "found": own.seed + 0.5}


def steps(jobs) -> int:
    return 10 * len(list(jobs))


def nothing(*_) -> dict:
    pytest.fail("made again")


def test_rows_that_are_missing_are_made_once_in_the_order_of_the_plan(plan, capfd):
    rows = run_missing(plan, "rivals", steps, make)
    assert [(row["name"], row["seed"]) for row in rows] == [("VAE", 0), ("β-VAE", 0), ("VAE", 1), ("β-VAE", 1)]
    assert "rivals" in (told := capfd.readouterr().err) and "40/40" in told and "β-VAE, seed 1" in told
    next(iter(plan)).unlink()
    seen = []
    assert run_missing(plan, "rivals", steps, lambda own, line, bar: seen.append(line) or make(own, line, bar)) == rows
    assert seen == [LINES[0]] and "10/10" in capfd.readouterr().err
    assert run_missing(plan, "rivals", steps, nothing) == rows


def test_a_stop_keeps_the_rows_that_are_made(plan):
    made = []

    def once(own, line, bar):
        if made:
            raise KeyboardInterrupt
        made.append(line)
        return make(own, line, bar)

    with pytest.raises(KeyboardInterrupt):
        run_missing(plan, "rivals", steps, once)
    assert [path.exists() for path in plan] == [True, False, False, False]


@pytest.mark.parametrize("damage", [
    lambda content: content[:-30], lambda content: b"", lambda content: bytes(len(content)), lambda content: b"[]\n",
    lambda content: content.replace(b'"samples": 3', b'"samples": 2'),
    lambda content: json.dumps(seal({"name": "VAE", "seed": 1})).encode(),
])  # fmt: skip
def test_a_damaged_row_is_named_and_made_again(plan, damage):
    rows, path = run_missing(plan, "rivals", steps, make), next(iter(plan))
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    with pytest.warns(UserWarning, match=f"{path}.*; VAE, seed 0, is measured again"):
        assert run_missing(plan, "rivals", steps, make) == rows
    assert path.read_bytes() == content


def test_lines_are_named_or_all_and_a_wrong_name_is_told_with_the_likely_one():
    assert lines_named([], LINES, "rival") == LINES and lines_named(["β-VAE"], LINES, "rival") == LINES[1:2]
    with pytest.raises(ValueError, match="unknown rival 'VEA'; did you mean VAE"):
        lines_named(iter(["VAE", "VEA"]), LINES, "rival")


def test_stored_rows_are_written_where_there_is_none_and_others_left_out(tmp_path):
    rows = [{"name": name, "seed": 0} for name in ("VAE", "β-VAE", "gone")]

    def file_of(row: dict) -> Path | None:
        return tmp_path / f"{row['name']}.json" if row["name"] != "gone" else None

    keep_row(tmp_path / "VAE.json", {"name": "VAE", "seed": 0, "own": True})
    assert keep_stored(rows, file_of) == 1 and keep_stored(rows, file_of) == 0
    assert kept_row(tmp_path / "VAE.json")["own"] and kept_row(tmp_path / "β-VAE.json")["name"] == "β-VAE"


def test_new_rows_replace_those_of_the_same_line_in_the_order_of_the_table():
    def row(name, seed, found, **more):
        return {"name": name, "seed": seed, "found": found} | more

    stored = [row("β-VAE", 1, "old"), row("β-VAE", 0, "old"), row("β-VAE", 0, "timed", minutes=2.0)]
    made = merged(stored, [row("β-VAE", 0, "new"), row("VAE", 2, "new")], LINES)
    assert [(one["name"], one["seed"], one["found"]) for one in made] == [
        ("VAE", 2, "new"), ("β-VAE", 0, "new"), ("β-VAE", 0, "timed"), ("β-VAE", 1, "old")]  # fmt: skip
