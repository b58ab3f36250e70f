"""SHA-256 of what each job left, checked before another job reads it: disks and copies flip bits.

For each output of a job a file below ``results/<study>/.sha256/`` holds its digest and those of the files that belong
to it, in the format of sha256sum. To check a study::

    make verify STUDY=results/<study>
    cd results/<study> && sha256sum --check --quiet $(find .sha256 -type f)

What has no digest is not checked, so a change that is meant is accepted by removing the digest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from longhot.block import InputError
from longhot.files import sha256, write_text

FOLDER = ".sha256"
BELONGS = {"model.json": "model.*", "record.json": "**/*", "records.json": "**/*"}
"""Outputs that stand for further files of their folder, which Snakemake does not know: weights, and all of a round."""


def digest_file(study: Path, output: Path) -> Path:
    """Where the digests of an output stand; ``study`` is ``results/<study>``."""
    place = study / FOLDER / output.relative_to(study)
    return place.with_name(f"{place.name}.sha256")


def record(study: Path, output: Path) -> None:
    """Write down the digests of a file or folder that a job has made, and of what belongs to it."""
    lines = [f"{sha256(path)}  {path.relative_to(study).as_posix()}\n" for path in sorted(_files(output))]
    write_text(digest_file(study, output), "".join(lines))


def _files(output: Path) -> Iterator[Path]:
    """Hidden files are left out: they are of a job that goes on, or Snakemake's."""
    if not output.is_dir() and output.name not in BELONGS:
        yield output
        return
    folder, pattern = (output, "**/*") if output.is_dir() else (output.parent, BELONGS[output.name])
    for path in folder.glob(pattern):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def verify(study: Path, made: Path) -> None:
    """Check what a job reads; what lies outside the study, or has no digest, passes.

    Raises:
        InputError: a file is not what the job that made it left.
    """
    if not made.is_relative_to(study) or not (digests := digest_file(study, made)).exists():
        return
    for line in digests.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = study / name
        if path.exists() and sha256(path) == digest:
            continue
        fault = "has changed since it was made (its SHA-256 is another)" if path.exists() else "is gone"
        # A round that finds its folder takes from there what it holds.
        whole = made.parent if BELONGS.get(made.name) == "**/*" else made
        raise InputError(
            f"{path}: {fault}, remove {whole} and run again to have it made anew, or where the change is meant "
            f"remove {digests} to accept it"
        )


def damaged(study: Path) -> list[str]:
    """A sentence for each output of a study that is not as its job left it.

    Raises:
        InputError: the folder holds no digests.
    """
    if not (study / FOLDER).is_dir():
        raise InputError(f"{study}: holds no {FOLDER}, give the results folder of a study that has been run")
    found = []
    for digests in sorted((study / FOLDER).rglob("*.sha256")):
        if digests.name.startswith("."):  # left of a job that was killed while it wrote
            continue
        made = study / digests.relative_to(study / FOLDER).with_suffix("")
        try:
            verify(study, made)
        except InputError as error:
            found.append(str(error))
    return found


def check(study: Path) -> None:
    """Check everything in a study that has digests.

    Raises:
        InputError: a file is not what the job that made it left; the first of them.
    """
    if (study / FOLDER).is_dir() and (found := damaged(study)):
        raise InputError(found[0])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("give the results folder of one study, such as results/default")
    try:
        faults = damaged(Path(sys.argv[1]))
    except InputError as error:
        sys.exit(str(error))
    print("\n".join(faults) or f"{sys.argv[1]}: everything is as it was made")
    sys.exit(bool(faults))
