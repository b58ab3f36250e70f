"""The control: the reference method itself, run and judged as if it were a model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from longhot import references
from longhot.block import Block
from longhot.files import read_json
from longhot.models import FitTask
from longhot.models._reference_based import ReferenceBased, write_fit
from longhot.references import ReferencePotential


class Config(ReferenceBased):
    """A reference method as a model; nothing is fitted."""

    family: Literal["reference"] = Field("reference", description="Names this plugin.")


def fit(config: Config, task: FitTask) -> None:
    """Write down the method; the data are not looked at."""
    write(config.reference_method, task.directory)


def write(method: Block | dict[str, Any], directory: Path) -> None:
    """Write a reference method down as a model."""
    write_fit(directory, "reference", references.parse(method), {}, time.perf_counter())


def load(directory: Path, device: str = "cpu", compile_cache: Path | None = None) -> ReferencePotential:
    """The method as a potential; it runs on the CPU, whatever ``device`` is."""
    return ReferencePotential(references.parse(read_json(Path(directory) / "model.json")["reference_method"]))
