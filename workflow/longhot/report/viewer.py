"""The 3-D viewer of the page: its structures, and the library that draws them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from longhot.report import embed
from longhot.report.structures import read

CARRIER = "chemiscope"
"""The package that brings 3Dmol.js within its own script."""
SCRIPT = "chemiscope/sphinx/static/chemiscope.min.js"
NOTICES = "chemiscope/static/chemiscope-widget.mjs.LICENSE.txt"


def library() -> str:
    """The script that leaves ``$3Dmol`` behind, headed by the notices of everything in it."""
    package = distribution(CARRIER)
    notices, script = (Path(str(package.locate_file(name))).read_text(encoding="utf-8") for name in (NOTICES, SCRIPT))
    return f"{notices}\n{script}"


@dataclass(frozen=True)
class Viewer:
    """What the section says of its structures, and what it unpacks."""

    n_stored: int
    n_frames: int
    n_failures: int
    carrier: str
    blobs: dict[str, str]
    """Packed texts by the ids that they have in the page."""


def viewer(path: Path) -> Viewer | None:
    """The section of structures; None where there are none.

    Args:
        path: structures.json.gz.
    """
    structures = read(path) if path.exists() else {"films": []}
    if not structures["films"]:
        return None
    return Viewer(
        n_stored=len(structures["frames"]),
        n_frames=structures["n_frames"],
        n_failures=sum(film["kind"] == "failure" for film in structures["films"]),
        carrier=f"{CARRIER} {distribution(CARRIER).version}",
        blobs={"library-3dmol": embed.packed(library()), "data-structures": embed.packed_json(structures)},
    )
