"""Train and measure the models of notebook 15 on other aligned pictures than faces, and add their rows to its file.

    python benchmarks/complete_other_data.py                      # digits and glyphs, of packages that are installed
    python benchmarks/complete_other_data.py --only digits        # one of them
    python benchmarks/complete_other_data.py --folder DIR --title "my faces, 64×64"   # and any folder of pictures

Each row is written as soon as it is measured, and a training is saved every few hundred steps and when Ctrl-C or
SIGTERM stops it: the same command resumes. Rows that are stored stay as they are. Run notebook 15 afterwards.
"""

import argparse
import signal
import sys

from pivq.config import load_config
from pivq.figures.artefacts import save_json
from pivq.profiles import LAYOUTS
from pivq.runs.beyond.other_data import (
    STEPS,
    TITLES,
    ImageSet,
    finished_runs,
    image_sets,
    keep_rows,
    merged,
    other_data_facts,
    run_set,
    stored_other_data,
    trained_as,
)
from pivq.runs.beyond.other_measures import keep_pictures
from pivq.runs.stopping import Stopped
from pivq.storage.paths import figures_dir


def main() -> None:
    """Complete the rows and write them, after each set and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME",
                        help=f"sets (default: all that are there): {', '.join(TITLES)}")  # fmt: skip
    parser.add_argument("--folder", default="", metavar="DIR", help="pictures of your own, for the set folder")
    parser.add_argument("--title", default="", help="what that set is called in tables")
    parser.add_argument("--layout", default="", choices=["", *LAYOUTS], help="how it is read (default: recognised)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the trainings (default: 0)")
    parser.add_argument("--steps", type=int, default=None, help=f"of each training (default: {STEPS}; smoke: its own)")
    parser.add_argument("--profile", default="quick", choices=["quick", "smoke"],
                        help="whose figures the rows stand among; smoke is a trial")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args()
    config = load_config(arguments.profile)
    trained, steps = trained_as(arguments.profile)
    steps = steps if arguments.steps is None else arguments.steps
    stored = stored_other_data(config.profile) if (figures_dir(config.profile) / "other_data.json").exists() else []
    try:
        chosen = image_sets(arguments.only, arguments.folder, arguments.title, arguments.layout)
    except ValueError as error:
        parser.error(str(error))
    try:
        for one in chosen:
            for seed in arguments.seeds:
                taken = keep_rows(stored, one, seed, trained, steps)
                print(f"{one.title}, seed {seed}: {taken} rows are there already")
                stored = merged(stored, run_set(one, seed, trained, steps, arguments.device))
                save_json({"rows": stored} | other_data_facts(stored, config), "other_data", config)
            picture(one, arguments.seeds[0], trained, steps, arguments.device)
    except Stopped as stop:
        print(f"{stop} The same command resumes.")
        sys.exit(128 + (stop.number or signal.SIGINT))
    print(f"{len(stored)} rows in {figures_dir(config.profile) / 'other_data.json'}")


def picture(chosen: ImageSet, seed: int, profile: str, steps: int, device: str) -> None:
    """Keep what the figure shows of a set, if its runs are here."""
    runs = finished_runs(chosen, seed, profile, steps)
    if len(runs) == 2:
        keep_pictures(chosen.name, runs, seed, device)


if __name__ == "__main__":
    main()
