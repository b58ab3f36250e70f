"""Empty modules in place of those that a library loads and no job uses: a third of its start is theirs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Empty(ModuleType):
    """Gives whatever is imported from it: a class that refuses to be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__new__": _refuse})


def _refuse(cls: type, *_: Any, **__: Any) -> None:
    raise NotImplementedError(f"{cls.__name__} was left out to start faster: import its module before longhot does")


class _Finder(MetaPathFinder, Loader):
    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname in self.names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """Let imports in the block find empty modules of these names; those that are loaded already stay.

    Afterwards each of the names imports the real module again.
    """
    finder = _Finder([name for name in names if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.names:
            empty = sys.modules.pop(name, None)
            parent, _, last = name.rpartition(".")
            if empty is not None and getattr(sys.modules.get(parent), last, None) is empty:
                delattr(sys.modules[parent], last)
