"""Any ASE calculator, by its import path."""

from __future__ import annotations

import importlib
from typing import Any, Literal

from pydantic import Field

from longhot.block import Block, InputError


class Config(Block):
    """An ASE calculator of the user's choice."""

    method: Literal["ase"] = Field("ase", description="Names this plugin.")
    calculator: str = Field(
        description="Import path of the calculator's class, such as `ase.calculators.emt.EMT`.",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of that class.")
    level_of_theory: str = Field(description="What it computes, for cards and tables, such as `PBE/def2-SVP`.")


def level(config: Config) -> str:
    """What the config says that it is."""
    return config.level_of_theory


def calculator(config: Config, spin: int | None = None) -> Any:
    """A new calculator. ``spin`` is not passed on: it stands in the initial magnetic moment of the atom.

    Raises:
        InputError: the path cannot be imported, or the class refuses the arguments.
    """
    module, _, name = config.calculator.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"reference calculator {config.calculator}: cannot be imported ({error})") from None
    try:
        return made(**config.arguments)
    except Exception as error:  # whatever the class does with arguments that it does not like
        raise InputError(f"reference calculator {config.calculator}: refuses its arguments ({error})") from None
