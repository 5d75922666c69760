"""Run the harness, and write docs/robustness.md from what it found.

    python tests/trust/report.py                            # everything: hours
    python tests/trust/report.py --only kills --share 0.1   # a tenth of that; what the others found stays
    python tests/trust/report.py --only ''                  # nothing: write the document again

The counts are kept in docs/robustness.json.
"""

import argparse
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import bombs
import clashes
import damage
import determinism
import full_disk
import kills
import mutants
import oracles
from checkout import CHECKOUT
from trials import tally

DOCUMENT = CHECKOUT / "docs" / "robustness.md"
KEPT = DOCUMENT.with_suffix(".json")
TEMPLATE = Path(__file__).with_name("robustness.md")


class Theme(NamedTuple):
    """A campaign of the harness, how often each thing is tried for the document, and a heading."""

    campaign: ModuleType
    many: int
    heading: str


THEMES = {
    "kills": Theme(kills, 200, "Kills"),
    "clashes": Theme(clashes, 30, "Two at once"),
    "damage": Theme(damage, 6, "Damaged files"),
    "full_disk": Theme(full_disk, 100, "A full disk"),
    "bombs": Theme(bombs, 8, "Bombs"),
    "oracles": Theme(oracles, 2000, "Random cases against other answers"),
    "determinism": Theme(determinism, 1, "Twice the same"),
}


def main(argv: list[str] | None = None) -> int:
    """Run the themes that are asked for; return 1 if anything was wrong, or a mutant survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[*THEMES, "mutants"], help="names of themes, or mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="how much of the usual number is tried, e.g. 0.1")
    arguments = parser.parse_args(argv)
    wrong = 0
    for name in filter(None, arguments.only):
        if name == "mutants":
            kept = read() | {name: mutants.run([])}
            wrong += sum(not killed for *_, killed in kept[name])
        else:
            many = max(1, round(arguments.share * THEMES[name].many))
            found = tally(THEMES[name].campaign.trials(many, arguments.seed))
            kept = read() | {name: found | {"many": many, "seed": arguments.seed}}
            wrong += len(kept[name]["faults"])
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    DOCUMENT.write_text(render(read()), encoding="utf-8")
    return int(wrong > 0)


def read() -> dict[str, Any]:
    """Return what earlier runs found, by theme."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


def render(kept: dict[str, Any]) -> str:
    """Return the document."""
    done = [name for name in THEMES if name in kept]
    total = sum(sum(outcomes.values()) for name in done for outcomes in kept[name]["counts"].values())
    parts = dict.fromkeys(THEMES, "Not run yet.") | {name: _theme(name, kept[name]) for name in done}
    rows = [f"| {what} | `{file}` | {'yes' if killed else '**no**'} |" for what, file, killed in kept["mutants"]]
    table = "\n".join(["| fault | file | noticed |", "|---|---|---|", *rows])
    noticed = f"{sum(killed for *_, killed in kept['mutants'])} of {len(rows)} noticed."
    text = TEMPLATE.read_text(encoding="utf-8").replace("{total}", f"{total:,}")
    for name, part in (parts | {"mutants": f"{table}\n\n{noticed}"}).items():
        text = text.replace(f"{{{name}}}", part)
    return text


def _theme(name: str, found: dict[str, Any]) -> str:
    """Return the table of a theme: what was tried, how often, and how it ended."""
    rows = []
    for what, outcomes in found["counts"].items():
        ends = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
        rows.append(f"| {what} | {sum(outcomes.values()):,} | {ends} |")
    command = f"`python tests/trust/{name}.py --many {found['many']} --seed {found['seed']}`"
    wrong = "none wrong" if not found["faults"] else f"**{len(found['faults'])} wrong**"
    last = f"{command}, {max(1, round(found['seconds'] / 60))} min: {wrong}."
    return "\n".join(["| what | tries | outcome |", "|---|---:|---|", *rows, "", last])


if __name__ == "__main__":
    sys.exit(main())
