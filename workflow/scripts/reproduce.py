"""Rule reproduce: hold a study that was run again against the stored one; fail where it is not the same."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.reproduction import study

    reproduced, said = study.reproduce(Path(snakemake.params.against), Path(snakemake.input.manifest).parent)
    print(f"\n{said}", file=sys.stderr)
if not reproduced:
    sys.exit(1)
