"""How often the tables' intervals hold the truth: ``make intervals`` writes results/bench/coverage.csv."""

from __future__ import annotations

import argparse
import csv
import io
import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cases import Case, Coverage, cases, measure, verdict

from longhot.files import write_text

TABLE = Path(__file__).resolve().parents[2] / "results" / "bench" / "coverage.csv"
REPEATS = 1000
NOMINAL = 0.95
logger = logging.getLogger(__name__)


def row(case: Case, found: Coverage) -> dict[str, object]:
    """One row of the table."""
    return {
        "estimator": case.estimator,
        "regime": case.regime,
        "nominal": NOMINAL,
        "coverage": f"{found.share:.3f}",
        "standard_error": f"{found.error:.3f}",
        "n_repeats": found.n,
        "n_refused": found.n_refused,
        "verdict": verdict(case, found),
        "why": case.where,
    }


def measured(place: int, repeats: int) -> dict[str, object]:
    """The row of one case by its place: functions that draw do not travel to other processes."""
    case = cases()[place]
    made = row(case, measure(case, repeats))
    logger.info("%s | %s | %s | %s", *(made[name] for name in ("estimator", "regime", "coverage", "verdict")))
    return made


def merged(rows: list[dict[str, object]]) -> str:
    """The table as CSV, with the rows of cases that were not measured now, in the order of the cases."""
    kept: dict[tuple[object, object], dict[str, object]] = {}
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as handle:
            kept = {(one["estimator"], one["regime"]): dict(one) for one in csv.DictReader(handle)}
    kept |= {(one["estimator"], one["regime"]): one for one in rows}
    order = [(case.estimator, case.regime) for case in cases()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(kept[key] for key in order if key in kept)
    return text.getvalue()


def main() -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the estimator's name")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    places = [place for place, case in enumerate(cases()) if arguments.only in case.estimator]
    with ProcessPoolExecutor(arguments.cores) as pool:
        rows = list(pool.map(measured, places, [arguments.repeats] * len(places)))
    write_text(TABLE, merged(rows))
    logger.info("%d cases, written to %s", len(rows), TABLE)


if __name__ == "__main__":
    main()
