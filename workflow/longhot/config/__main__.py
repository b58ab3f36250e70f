"""Check a config file: ``python -m longhot.config FILE``."""

import sys

from longhot.block import InputError
from longhot.config import load_file

if __name__ == "__main__":
    # Snakemake's own reader ends with a traceback on a file that is no YAML at all.
    try:
        load_file(sys.argv[1])
    except InputError as error:
        sys.exit(f"config: {error}")
    print(f"{sys.argv[1]}: valid")
