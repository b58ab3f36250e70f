"""The same study once more: run beside the stored one, and held against it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longhot.block import InputError
from longhot.config import Study, load
from longhot.reproduction import origins
from longhot.reproduction.stored import Stored, open_study

logger = logging.getLogger(__name__)

KEY = "against"
"""Key beside the config that names the stored study."""
SUFFIX = "-reproduced"
"""Ends the name of a study that is run again, so that nothing of the stored one is read or lost."""


def study_of(raw: Mapping[str, Any], *, check: bool) -> tuple[Study, str | None]:
    """The study to run, and the stored one that it is to reproduce; None where there is none.

    Args:
        raw: the config, perhaps with the key ``against``.
        check: whether to look at the stored study, before any work is done: that it is there, whole, and the same.

    Raises:
        InputError: a fault of the config, or of the stored study.
    """
    study = load({key: value for key, value in raw.items() if key != KEY})
    if raw.get(KEY) is None:
        return study, None
    path = str(raw[KEY])
    again = study.model_copy(update={"study": study.study.model_copy(update={"name": study.study.name + SUFFIX})})
    if check:
        _check(study, again, Path(path))
    return again, path


def _check(study: Study, again: Study, path: Path) -> None:
    folder = Path("results") / again.study.name
    if path.resolve() == folder.resolve():
        raise InputError(f"{KEY}: {path} is where the study is run again, give the stored one")
    try:
        stored = open_study(path)
    except InputError as error:
        raise InputError(f"{KEY}: {error}") from None
    try:
        theirs = load(stored.manifest["config"])
    except InputError as error:
        raise InputError(f"{KEY}: {path} holds a config that this version does not know: {error}") from None
    found = origins.config_differences(theirs.model_dump(mode="json"), study.model_dump(mode="json"))
    if found:
        listed = "; ".join(
            f"{key} is {origins.shortened(first)} there and {origins.shortened(second)} here"
            for key, first, second in found[:3]
        )
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise InputError(
            f"{KEY}: {path} is another study: {listed}{more}; give --configfile the config that it was run with"
        )


def reproduce(stored: Path, folder: Path) -> tuple[bool, str]:
    """Hold a study that was run again against the stored one, and write ``reproduction.csv`` and ``reproduction.txt``.

    Every digit must be the same where code, packages and machine are the same; elsewhere all numbers together must lie
    within their error bars, with a probability of 95 % where nothing is wrong.

    Args:
        stored: a results folder or an archive.
        folder: results of the study that was run again.

    Returns:
        Whether it is reproduced, and the whole text.
    """
    from longhot.reproduction import text
    from longhot.reproduction.compare import compare, unequal

    first, second = open_study(stored), open_study(folder)
    found = origins.differences(first.manifest, second.manifest)
    reasons = origins.why_not_identical(found, _devices(first, second))
    tables = first.tables(), second.tables()
    cells, comparison = unequal(*tables), compare(*tables, jointly=True)
    reproduced = not (comparison.differences if reasons else cells)
    said = text.reproduction(stored, folder, found, reasons, cells, comparison)
    text.write(folder / "reproduction", said, [*comparison.findings, *([] if reasons else cells)])
    return reproduced, said


def _devices(*studies: Stored) -> list[str]:
    return sorted({device for one in studies for device in one.manifest["devices"]})
