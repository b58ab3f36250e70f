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
from typing import Annotated, Any, Literal

from pydantic import Field

from longhot.block import Block, InputError
from longhot.pickles import check_trusted

REMEMBERS = True
"""Many calculators begin an SCF with the density of the call before."""
SHELL_SIGNS = frozenset(";|&$`()*?!~#{}[]\\'\"\n")
"""What a shell would read as more than words; `<` and `>` name the files of a program."""
READ_BY_SHELL = ("command", "label", "prefix")
"""Arguments from which some of ASE's older calculators make the line that a shell runs."""


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
    trusted_files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default_factory=dict,
        description="SHA-256 by path of files named in the arguments that hold a Python pickle, such as a MACE "
        "`.model`: loading one runs whatever its author likes, so without this it is refused.",
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


def _made(path: str, arguments: dict[str, Any], package: str | None = None) -> Any:
    """The object that a class gives for some arguments.

    Args:
        path: where the class is imported from.
        arguments: plain data.
        package: where a profile must come from, that of its calculator; None: a calculator is wanted.

    Raises:
        InputError: the path cannot be imported, is no such class, or the class refuses the arguments.
    """
    module, _, name = path.rpartition(".")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"reference calculator {path}: cannot be imported ({error})") from None
    if package is None:
        wanted, sound = "a calculator", isinstance(make, type) and hasattr(make, "get_potential_energy")
    else:
        wanted, sound = f"a class of {package}", isinstance(make, type) and _package(make.__module__) == package
    if not sound:
        # Any function could be named, that which runs a program among them.
        raise InputError(f"reference calculator {path}: is not {wanted}, name one")
    values = {key: _value(one, package or _package(path)) for key, one in arguments.items()}
    try:
        return make(**values)
    except Exception as error:  # whatever the class does with arguments that it does not like
        raise InputError(f"reference calculator {path}: refuses its arguments ({error})") from None


def _package(path: str) -> str:
    return path.partition(".")[0]


def _value(raw: Any, package: str) -> Any:
    """An argument as it is, or the profile that it describes."""
    if isinstance(raw, dict) and isinstance(raw.get("import"), str) and raw.keys() <= {"import", "arguments"}:
        return _made(raw["import"], raw.get("arguments", {}), package)
    return raw


def _check_shell(config: Config) -> None:
    """Refuse arguments that a shell would read as more than a program, its arguments and its files.

    Raises:
        InputError: such an argument.
    """
    for key in READ_BY_SHELL:
        found = SHELL_SIGNS.intersection(str(config.arguments.get(key, "")))
        if found:
            raise InputError(
                f"reference calculator {config.calculator}: its {key!r} holds {min(found)!r}, which a shell would "
                "read, name a program and its arguments, or a script of your own"
            )


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
        InputError: the path cannot be imported, the class refuses the arguments, or they name what only a trusted
            author may give.
    """
    _check_shell(config)
    check_trusted(config.arguments, config.trusted_files)
    made = _made(config.calculator, config.arguments)
    if _works_with_files(made):
        _give_directory(made, config.arguments.get("directory", tempfile.gettempdir()))
    return made
