"""Any ASE calculator, by its import path: so ORCA, FHI-aims, CP2K or VASP need no code here.

ORCA, for one::

    method: ase
    calculator: ase.calculators.orca.ORCA
    arguments:
      profile: {import: ase.calculators.orca.OrcaProfile, arguments: {command: /opt/orca/orca}}
      orcasimpleinput: PBE def2-SVP VeryTightSCF
    level_of_theory: PBE/def2-SVP (ORCA 6.0)

A calculator that works with files gets a directory of its own, below ``directory`` where the arguments
name one, else below the system's temporary one. It is emptied before each calculation, so that no old
orbitals are read, and removed at the end.
"""

from __future__ import annotations

import importlib
import inspect
import shutil
import tempfile
import uuid
import weakref
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from longhot.block import Block, InputError

REMEMBERS = True
"""Many calculators begin an SCF with the density of the call before."""


class Config(Block):
    """An ASE calculator of the user's choice."""

    method: Literal["ase"] = Field("ase", description="Names this plugin.")
    calculator: str = Field(
        description="Import path of the calculator's class, such as `ase.calculators.emt.EMT`.",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Keyword arguments of that class. A value `{import: path, arguments: {...}}` is made in the same "
        "way, for a profile.",
    )
    level_of_theory: str = Field(
        description="What it computes, for cards and tables, such as `PBE/def2-SVP`; where a program outside Python "
        "computes it, name its version too, for stored labels are known by it."
    )


def level(config: Config) -> str:
    """What the config says that it is."""
    return config.level_of_theory


def version(config: Config) -> str:
    """Versions of ASE and of the package that the class comes from."""
    top = config.calculator.partition(".")[0]
    packages = sorted({"ase", *metadata.packages_distributions().get(top, [])})
    return ", ".join(f"{name} {metadata.version(name)}" for name in packages)


def _made(path: str, arguments: dict[str, Any]) -> Any:
    """The object that a class or function gives for some arguments.

    Raises:
        InputError: the path cannot be imported, or the class refuses the arguments.
    """
    module, _, name = path.rpartition(".")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"reference calculator {path}: cannot be imported ({error})") from None
    values = {key: _value(one) for key, one in arguments.items()}
    try:
        return make(**values)
    except Exception as error:  # whatever the class does with arguments that it does not like
        raise InputError(f"reference calculator {path}: refuses its arguments ({error})") from None


def _value(raw: Any) -> Any:
    """An argument as it is, or the object that it describes."""
    if isinstance(raw, dict) and isinstance(raw.get("import"), str) and raw.keys() <= {"import", "arguments"}:
        return _made(raw["import"], raw.get("arguments", {}))
    return raw


def _works_with_files(made: Any) -> bool:
    """Whether the calculator has a place for files: by ASE's base class, or by what its class can be given."""
    from ase.calculators.calculator import FileIOCalculator

    named = inspect.signature(type(made)).parameters.keys() & {"directory", "label"}
    return isinstance(made, FileIOCalculator) or bool(named)


def _give_directory(made: Any, below: str) -> None:
    """Move a calculator into a new directory of its own, empty at the start of each calculation."""
    directory = Path(below).resolve() / f"longhot-{uuid.uuid4().hex}"
    made.directory = directory
    calculate = made.calculate

    def calculate_afresh(*args: Any, **kwargs: Any) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        calculate(*args, **kwargs)

    made.calculate = calculate_afresh
    weakref.finalize(made, shutil.rmtree, directory, ignore_errors=True)


def calculator(config: Config, spin: int | None = None) -> Any:
    """A new calculator. ``spin`` is not passed on: it stands in the initial magnetic moment of the atom.

    Raises:
        InputError: the path cannot be imported, or the class refuses the arguments.
    """
    made = _made(config.calculator, config.arguments)
    if _works_with_files(made):
        _give_directory(made, config.arguments.get("directory", tempfile.gettempdir()))
    return made
