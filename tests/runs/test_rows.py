"""Rows that take hours: what is damaged is said and measured again, never taken for a number."""

import pytest

from pivq.figures.artefacts import save_json
from pivq.runs.rows import keep_row, kept_row, rows_stamp, stored_rows


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
