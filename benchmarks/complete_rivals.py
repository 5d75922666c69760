"""Train and measure the rivals of notebook 13 that its stored file lacks, and add their rows to it.

    python benchmarks/complete_rivals.py                          # all rivals, three seeds
    python benchmarks/complete_rivals.py --seeds 0 --only VAE     # one of them, one seed

Rows that are stored stay as they are. Each row is written as soon as it is measured, and a training is saved every few
hundred steps and when Ctrl-C or SIGTERM stops it: the same command resumes. Run notebook 13 afterwards.
"""

import argparse
import signal
import sys

from pivq.config import load_config
from pivq.figures.artefacts import save_json
from pivq.profiles import PROFILES
from pivq.runs.beyond.comparison import comparison_facts
from pivq.runs.beyond.rivals import (
    CONTENDERS,
    MINUTES_PER_SEED,
    SEEDS,
    contenders,
    keep_rivals,
    merge_rivals,
    run_rivals,
    stored_rivals,
)
from pivq.runs.stopping import Stopped
from pivq.storage.paths import figures_dir


def main() -> None:
    """Complete the rows and write them, after each rival and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(contender.name for contender in CONTENDERS)
    parser.add_argument("--profile", default="quick", choices=[name for name in PROFILES if name != "folder"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of the trainings (default: 0 1 2)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"rivals (default: all): {names}")
    parser.add_argument("--minutes", type=float, default=0, metavar="M",
                        help="of each autoencoder's training (default: the steps of the profile)")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args()
    config = load_config(arguments.profile)
    own = figures_dir(config.profile) / "rivals.json"
    stored = stored_rivals(config.profile) if own.exists() else []
    print(f"{keep_rivals(stored, config)} stored rows are taken over. A seed of all rivals takes about "
          f"{MINUTES_PER_SEED} minutes of one core with the profile quick.")  # fmt: skip
    try:
        for seed in arguments.seeds:
            for contender in contenders(arguments.only):
                new = run_rivals(config, [contender.name], [seed], arguments.minutes, arguments.device)
                stored = merge_rivals(stored, new)
                save_json({"rows": stored} | comparison_facts(stored, config), "rivals", config)
    except Stopped as stop:
        print(f"{stop} The same command resumes.")
        sys.exit(128 + (stop.number or signal.SIGINT))
    print(f"{len(stored)} rows in {own}")


if __name__ == "__main__":
    main()
