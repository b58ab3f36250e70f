"""Base class of every config block, and the one error that users see."""

from __future__ import annotations

import importlib
import pkgutil
import reprlib
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

DEEPEST = 20
"""Levels of mappings and lists in a config."""
MOST_VALUES = 100_000
"""Values in a config, each as often as anchors repeat it."""
LARGEST_NUMBER = 1e12
LONGEST_TEXT = 20_000
MOST_FAULTS = 20
"""So many are told at once."""
LONGEST_NAME = 64
"""Of an id: several of them make up a path."""


class InputError(ValueError):
    """Bad input. The message is one sentence: what is wrong, where, and what to do."""


def one_line(text: str) -> str:
    """``text`` with escapes in place of line breaks and whatever else a terminal does not print, for a message."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80
LONGEST_SHOWN = 160


def shown(value: Any) -> str:
    """A value of a config as it stands in a message: on one line, and cut where it is long."""
    try:
        text = one_line(_REPR.repr(value))
    except ValueError:  # Python writes no integer of so many digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def check_plain(raw: Any) -> None:
    """Refuse what no config needs and what could harm: huge, deep or endless data, and other types than the plain.

    Raises:
        InputError: with the place.
    """
    n_values = 0

    def check(value: Any, where: str, depth: int) -> None:
        nonlocal n_values
        n_values += 1
        if n_values > MOST_VALUES:
            raise InputError(f"{where}: beyond {MOST_VALUES} values, repeats by anchors among them, shorten the config")
        if depth > DEEPEST:
            raise InputError(f"{shown(where)}: nested more than {DEEPEST} levels deep, flatten it")
        fault = _fault(value)
        if fault:
            raise InputError(f"{where or 'config'}: {fault}")
        if isinstance(value, list):
            for index, one in enumerate(value):
                check(one, f"{where}.{index}" if where else str(index), depth + 1)
        elif isinstance(value, dict):
            for key, one in value.items():
                if not isinstance(key, str) or len(key) > LONGEST_TEXT:
                    raise InputError(f"{where or 'config'}: the key {shown(key)} must be text, put it in quotes")
                name = one_line(key)
                check(one, f"{where}.{name}" if where else name, depth + 1)

    check(raw, "", 0)


def _fault(value: Any) -> str | None:
    """What is wrong with one value, its contents aside; None where nothing is."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            return f"text of {len(value)} characters, at most {LONGEST_TEXT} are allowed, shorten it"
        if any(unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t" for sign in value):
            return f"holds a control character, remove it, is {shown(value)}"
    elif isinstance(value, int | float) and abs(value) > LARGEST_NUMBER:
        return f"must lie within +-{LARGEST_NUMBER:g}, is {shown(value)}"
    elif not isinstance(value, int | float | list | dict | None):
        return f"is neither text, number, list nor block ({type(value).__name__}), put it in quotes"
    return None


def _distinct(values: list[Any]) -> list[Any]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"holds {shown(value)} twice, remove one")
    return values


def _in_six_digits(temperature_K: float) -> float:
    """A temperature stands in paths with six digits: a longer one would run as another."""
    if float(f"{temperature_K:g}") != temperature_K:
        raise ValueError(f"must have at most six digits, is {temperature_K!r}")
    return temperature_K


def _printable(path: Path) -> Path:
    if one_line(str(path)) != str(path) or len(path.name.encode()) > 255 or len(str(path).encode()) > 4000:
        raise ValueError(f"is no path that a file could have, is {shown(str(path))}")
    return path


Distinct = AfterValidator(_distinct)
"""For lists in which nothing may stand twice."""
Count = Annotated[int, Field(gt=0, le=100_000_000)]
"""How many of something that a run makes one after the other."""
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
TemperatureK = Annotated[float, Field(ge=1e-3, le=100_000), AfterValidator(_in_six_digits)]
TimeStepFs = Annotated[float, Field(ge=1e-3, le=100)]
FilePath = Annotated[Path, AfterValidator(_printable)]


class Block(BaseModel):
    """A config block: unknown keys are errors, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads `yes` and `on` as true, which Python takes for 1."""
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, bool) for one in values) and not _takes_switch(cls, info.field_name or ""):
            raise ValueError(f"must not be true or false (`yes` and `on` mean true), is {shown(value)}")
        return value


def _takes_switch(block: type[Block], key: str) -> bool:
    """Whether a key's type holds ``bool``, in whatever containers and unions, or is any."""
    waiting: list[Any] = [block.model_fields[key].annotation]
    while waiting:
        annotation = waiting.pop()
        if annotation in (bool, Any):
            return True
        waiting += [one for one in get_args(annotation) if one is Any or isinstance(one, type) or get_args(one)]
    return False


def plugin_names(package: ModuleType) -> list[str]:
    """Names of the plugin modules of ``package``: each file in it is one plugin."""
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def plugin(package: ModuleType, name: str) -> ModuleType:
    """Import plugin ``name`` of ``package``.

    Raises:
        InputError: no such plugin; the message lists those that exist.
    """
    names = plugin_names(package)
    if name not in names:
        kind = package.__name__.rpartition(".")[2]
        raise InputError(f"unknown name {shown(name)} in {kind}: use one of {', '.join(names)}")
    return importlib.import_module(f"{package.__name__}.{name}")


def parse_block(package: ModuleType, selector: str, kind: str, noun: str, raw: Any) -> Any:
    """The config block of any plugin of ``package``, from plain data; a block is given back as it is.

    Args:
        package: the plugins.
        selector: key that names the plugin.
        kind: what the block is, for the messages, such as "dataset".
        noun: what the selector names, such as "source".
        raw: the data.

    Raises:
        InputError: no selector, an unknown plugin, or a fault in the keys.
    """
    if isinstance(raw, Block):
        return raw
    check_plain(raw)
    if not isinstance(raw, dict) or not isinstance(raw.get(selector), str):
        raise InputError(f"{kind}: the key `{selector}` is missing, it names the {noun}")
    try:
        return plugin(package, raw[selector]).Config.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(
            f"{one_line('.'.join(map(str, one['loc'])))}: {one['msg']}" for one in error.errors()[:MOST_FAULTS]
        )
        raise InputError(f"{kind} {selector} {shown(raw[selector])}: {faults}") from None
