"""``python -m longhot.reproduction A B STEM``: compare two studies, results folders or archives.

Prints what differs, writes it to STEM.txt and STEM.csv, and exits with 1 where a number moved beyond its error bar.
"""

from __future__ import annotations

import sys
from pathlib import Path

from longhot.block import InputError
from longhot.reproduction import origins, text
from longhot.reproduction.compare import compare
from longhot.reproduction.stored import open_study


def main(arguments: list[str]) -> int:
    """Compare the two studies that the arguments name; the exit code."""
    if len(arguments) != 3 or not all(arguments):
        print("Usage: make report-diff A=results/one B=results/other (folders, or files of `snakemake archive`)")
        return 2
    first, second, stem = map(Path, arguments)
    try:
        one, other = open_study(first), open_study(second)
        comparison = compare(one.tables(), other.tables())
    except InputError as error:
        print(f"report-diff: {error}", file=sys.stderr)
        return 2
    said = text.difference(first, second, origins.differences(one.manifest, other.manifest), comparison)
    text.write(stem, said, comparison.findings)
    print(said)
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
