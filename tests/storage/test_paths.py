"""Where files go."""

from pivq.storage import paths


def test_root_is_the_checkout_unless_told_otherwise(checkout, monkeypatch, tmp_path):
    monkeypatch.delenv("PIVQ_ROOT", raising=False)
    monkeypatch.delenv("PIVQ_DATA", raising=False)
    assert paths.root() == checkout
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    assert paths.data_dir() == tmp_path / "data"
    assert paths.results_dir("quick") == tmp_path / "results" / "quick"
    assert paths.figures_dir("quick") == tmp_path / "figures" / "quick"
    assert paths.figures_dir("quick", 3) == tmp_path / "figures" / "quick-seed3"
    assert paths.notebooks_dir("quick") == tmp_path / "results" / "quick" / "notebooks"
    assert paths.notebooks_dir("quick", 3) == tmp_path / "results" / "quick" / "notebooks-seed3"
    assert list(tmp_path.iterdir()) == [], "asking for a path makes nothing"


def test_data_may_be_on_another_disk_than_results(monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "drive"))
    monkeypatch.setenv("PIVQ_DATA", str(tmp_path / "fast"))
    assert paths.data_dir() == tmp_path / "fast"
    assert paths.results_dir("quick") == tmp_path / "drive" / "results" / "quick"
    monkeypatch.setenv("PIVQ_DATA", "")
    assert paths.data_dir() == tmp_path / "drive" / "data"


def test_root_is_the_working_directory_for_a_package_without_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("PIVQ_ROOT", raising=False)
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert paths.root() == tmp_path


def test_ablations_are_those_of_the_project_until_there_are_others(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    come_with_it = checkout / "figures" / "quick" / "ablations.json"
    assert paths.stored_file("ablations", "quick") == paths.stored_file("ablations", "celeba64") == come_with_it
    assert paths.stored_file("competition", "celeba64") == come_with_it.with_name("competition.json")
    assert come_with_it.exists()
    own = tmp_path / "figures" / "celeba64" / "ablations.json"
    own.parent.mkdir(parents=True)
    own.touch()
    assert paths.stored_file("ablations", "celeba64") == own
    assert paths.stored_file("ablations", "celeba64", 1) == come_with_it, "another seed's are not taken"


def test_links_in_a_circle_are_a_place_like_any_other(monkeypatch, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for name, place in (("PIVQ_ROOT", paths.root), ("PIVQ_DATA", paths.data_dir)):
        monkeypatch.setenv(name, str(tmp_path / "loop"))
        assert place() == tmp_path / "loop"
