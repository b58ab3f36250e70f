"""What the control and the non-ML baseline share: a reference block that stands in the model's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from longhot import references
from longhot.block import Block
from longhot.files import write_json, write_text
from longhot.models import ModelBlock, peak_memory_MB


class ReferenceBased(ModelBlock):
    """A model whose forces come from a reference method."""

    forces_depend_on_data: ClassVar[bool] = False

    reference_method: Annotated[Any, BeforeValidator(references.parse)] = Field(
        description="The method, with the same keys as a block of `references`."
    )


def write_fit(directory: Path, family: str, method: Block, shifts_eV: dict[str, float], started: float) -> None:
    """Write model.json, fit.json and an empty history.csv; ``started`` by ``time.perf_counter``."""
    write_text(directory / "history.csv", "step,wall_s,valid_loss\n")
    write_json(
        directory / "fit.json",
        {
            "converged": True,
            "reason": "",
            "train_wall_s": time.perf_counter() - started,
            "device": "cpu",
            "peak_memory_MB": peak_memory_MB("cpu"),
            "n_parameters": len(shifts_eV),
            "n_steps": 0,
        },
    )
    write_json(
        directory / "model.json",
        {
            "family": family,
            "reference_method": method.model_dump(mode="json"),
            "level_of_theory": references.level_of_theory(method),
            "shifts_eV": shifts_eV,
        },
    )
