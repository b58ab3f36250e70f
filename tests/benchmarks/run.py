"""Speed against named peers, each ratio measured in one run on one thread: ``make bench``.

Writes results/bench/bench.csv; rows of sections that are not measured this time are kept.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import io
import logging
from dataclasses import asdict, fields
from pathlib import Path

from common import FOLDER, Options, Row

from longhot.files import write_text

SECTIONS = {
    "train": "training",
    "md": "dynamics",
    "committee": "committee",
    "recheck": "labels",
    "memory": "memory",
    "pinning": "pinning",
    "pipeline": "pipeline",
}
"""Name on the command line and module, each of which gives ``rows(options)``."""
TABLE = FOLDER / "bench.csv"


def table(rows: list[Row]) -> str:
    """The new rows after the old ones that they do not replace, as CSV."""
    kept: dict[str, dict[str, str]] = {}
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as handle:
            kept = {row["name"]: row for row in csv.DictReader(handle)}
    for row in rows:
        values = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in asdict(row).items()}
        kept[row.name] = values
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)])
    writer.writeheader()
    writer.writerows(kept.values())
    return text.getvalue()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=SECTIONS, help="a section to measure; default: all")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where models run, ours and the peers'"
    )
    parser.add_argument(
        "--dataset", type=Path, help="results/<study>/datasets/<name> to train on; default: xTB ethanol"
    )
    parser.add_argument("--pyscf", action="store_true", help="also label with PBE/def2-SVP, which takes minutes")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    options = Options(arguments.device, arguments.dataset, arguments.pyscf)
    for name in arguments.only or SECTIONS:
        write_text(TABLE, table(importlib.import_module(SECTIONS[name]).rows(options)))
    print(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
