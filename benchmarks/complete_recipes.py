"""Train and measure the recipes of notebook 16 that its stored file lacks, and add their rows to it.

    python benchmarks/complete_recipes.py                                         # all variants, three seeds
    python benchmarks/complete_recipes.py --seeds 0 --only "as trained" recombined

Rows that are stored stay as they are. Each row is written as soon as it is measured, and a training is saved every few
hundred steps and when Ctrl-C or SIGTERM stops it: the same command resumes. Run notebook 16 afterwards.
"""

import argparse
import signal
import sys

from pivq.config import load_config
from pivq.figures.artefacts import save_json
from pivq.profiles import PROFILES
from pivq.runs.beyond.comparison import comparison_facts
from pivq.runs.beyond.recipes import (
    MINUTES_PER_SEED,
    SEEDS,
    VARIANTS,
    keep_recipes,
    merge_recipes,
    run_recipes,
    stored_recipes,
    variants,
)
from pivq.runs.stopping import Stopped
from pivq.storage.paths import figures_dir


def main() -> None:
    """Complete the rows and write them, after each variant and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(variant.name for variant in VARIANTS)
    parser.add_argument("--profile", default="quick", choices=[name for name in PROFILES if name != "folder"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of the trainings (default: 0 1 2)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"variants (default: all): {names}")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args()
    config = load_config(arguments.profile)
    own = figures_dir(config.profile) / "recipes.json"
    stored = stored_recipes(config.profile) if own.exists() else []
    print(f"{keep_recipes(stored, config)} stored rows are taken over. A seed of all variants takes about "
          f"{MINUTES_PER_SEED} minutes of one core with the profile quick.")  # fmt: skip
    try:
        for seed in arguments.seeds:
            for variant in variants(arguments.only):
                new = run_recipes(config, [variant.name], [seed], arguments.device)
                stored = merge_recipes(stored, new)
                save_json({"rows": stored} | comparison_facts(stored, config), "recipes", config)
    except Stopped as stop:
        print(f"{stop} The same command resumes.")
        sys.exit(128 + (stop.number or signal.SIGINT))
    print(f"{len(stored)} rows in {own}")


if __name__ == "__main__":
    main()
