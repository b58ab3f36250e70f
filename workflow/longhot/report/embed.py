"""What the page carries within itself: styles, scripts, and packed data and libraries."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

from longhot.block import InputError

ASSETS = Path(__file__).parent / "assets"
FIRST = "core"
"""The script on which the others stand."""


def style() -> str:
    """The style sheets of the page as one text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(ASSETS.glob("*.css")))


def scripts() -> list[str]:
    """The scripts of the page in the order in which they run."""
    paths = sorted(ASSETS.glob("*.js"), key=lambda path: (path.stem != FIRST, path.stem))
    return [path.read_text(encoding="utf-8") for path in paths]


def packed(text: str) -> str:
    """A text as gzip in base64, the same for the same text: what ``longhot.library`` of core.js unpacks."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def packed_json(content: Any) -> str:
    """Plain data as JSON in gzip in base64: what ``longhot.data`` of core.js unpacks. NaN and infinity are refused."""
    return packed(json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False))


def plotly() -> str:
    """The plotting library, as its Python package brings it."""
    # Found, not imported: the package itself is not needed.
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise InputError("plotly, whose script the report carries, is not installed: run `make setup`")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
