"""Train the runs of the study of notebook 09 that its stored file lacks, and add their rows to it.

    python benchmarks/complete_study.py

Rows that are stored stay as they are, on any device they were trained. An interrupted call stores the rows that
are finished, and the next one resumes. Run notebook 09 afterwards, to draw its figures from all rows.
"""

import argparse

from pivq.config import load_config
from pivq.figures.artefacts import save_json
from pivq.runs.competition import stored_study
from pivq.runs.study import finished_rows, keep_rows, run_study, study_facts


def main() -> None:
    """Complete the study and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=0, help="processes (default: one per core)")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args()
    config = load_config("quick")
    print(f"{keep_rows(stored_study(), config)} rows are taken from the stored study.")
    try:
        run_study(config, arguments.device, at_once=arguments.at_once)
    finally:
        rows = finished_rows(config)
        print(save_json({"rows": rows} | study_facts(rows, config), "competition", config))


if __name__ == "__main__":
    main()
