"""A finished study to compare with: a results folder, or an archive."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longhot import integrity
from longhot.block import InputError
from longhot.files import visible
from longhot.reproduction.archive import Archive

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("config", "code_sha256", "versions", "machine", "devices", "seeds")
"""What a manifest must hold to be compared."""


@dataclass(frozen=True)
class Stored:
    """A finished study."""

    path: Path
    manifest: dict[str, Any]
    archive: Archive | None
    """Where the study is one; else it is a folder."""

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name, their cells as text."""
        from longhot.reproduction.compare import read_table, read_tables

        if self.archive is None:
            return read_tables(self.path / "tables")
        names = [Path(name) for name in self.archive.names() if name.startswith("tables/") and name.endswith(".csv")]
        return {name.stem: read_table(io.BytesIO(self.archive.read(name.as_posix()))) for name in names}


def open_study(path: Path) -> Stored:
    """A finished study, verified.

    Raises:
        InputError: there is none, or it is unfinished or damaged.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder, give a results folder or a file of `snakemake archive`")
    if path.is_dir():
        manifest = _folder_manifest(path)
        for compared in (path / "manifest.json", *visible(path / "tables", "*.csv")):
            integrity.verify(path, compared)
        return Stored(path, manifest, None)
    archive = Archive(path)
    return Stored(path, _manifest(path, archive.read("manifest.json").decode("utf-8")), archive)


def _folder_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not file.is_file() or not visible(path / "tables", "*.csv"):
        raise InputError(f"{path}: holds no manifest.json or no tables, it is no finished study: run it to its report")
    return _manifest(file, file.read_text(encoding="utf-8"))


def _manifest(path: Path, text: str) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
        missing = [key for key in NEEDED if key not in manifest]
    except (json.JSONDecodeError, TypeError) as error:
        raise InputError(f"{path}: the manifest is damaged ({error}), run the study's rule `manifest` anew") from None
    if missing:
        raise InputError(f"{path}: the manifest lacks {', '.join(missing)}, run the study's rule `manifest` anew")
    return dict(manifest)
