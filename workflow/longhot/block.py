"""Base class of every config block, and the one error that users see."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class InputError(ValueError):
    """Bad input. The message is one sentence: what is wrong, where, and what to do."""


class Block(BaseModel):
    """A config block: unknown keys are errors, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
        raise InputError(f"unknown name {name!r} in {kind}: use one of {', '.join(names)}")
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
    if not isinstance(raw, dict) or not isinstance(raw.get(selector), str):
        raise InputError(f"{kind}: the key `{selector}` is missing, it names the {noun}")
    try:
        return plugin(package, raw[selector]).Config.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InputError(f"{kind} {selector} {raw[selector]!r}: {faults}") from None
