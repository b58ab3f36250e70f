"""Base class of every config block, and the one error that users see."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from pydantic import BaseModel, ConfigDict


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
