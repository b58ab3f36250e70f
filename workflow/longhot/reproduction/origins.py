"""What two studies were made with: where their manifests differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FREE = ("study.name", "study.question", "report.")
"""How keys of the config begin that no number hangs on."""


@dataclass(frozen=True)
class Difference:
    """One entry of two manifests that is not the same."""

    kind: str
    """config, code, versions, machine, devices or seeds."""
    key: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"{self.kind}: {self.key} {shortened(self.first)} -> {shortened(self.second)}".replace("  ", " ")


ABSENT = "(absent)"


def shortened(value: Any) -> str:
    """A value in words, its end left out where it is long."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    """Where two manifests differ in what may move a number; costs are left out."""
    found = [Difference("config", *one) for one in config_differences(first["config"], second["config"])]
    if first["code_sha256"] != second["code_sha256"]:
        found.append(Difference("code", "", first["code_sha256"][:16], second["code_sha256"][:16]))
    for kind in ("versions", "machine", "devices", "seeds"):
        found += [Difference(kind, *one) for one in _unequal(first.get(kind, {}), second.get(kind, {}))]
    return found


def config_differences(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Keys of two resolved configs whose values are not the same, with both values."""
    return [one for one in _unequal(first, second) if not one[0].startswith(FREE)]


def _unequal(first: Any, second: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    if not (isinstance(first, dict) and isinstance(second, dict)):
        if first != second:
            yield where, first, second
        return
    for key in dict.fromkeys((*first, *second)):
        yield from _unequal(first.get(key, ABSENT), second.get(key, ABSENT), f"{where}.{key}" if where else str(key))


def why_not_identical(found: list[Difference], devices: list[str]) -> list[str]:
    """Why the same config need not give the same digits; empty where it must.

    It must on the same processor, number of cores and C library, with the same packages and code, and on the CPU: a GPU
    adds up in any order. The number of threads changes nothing, since all sums run on one.
    """
    reasons = [
        str(one)
        for one in found
        if one.kind in ("code", "versions", "config", "seeds")
        or (one.kind == "machine" and one.key != "system")
        or (one.kind == "machine" and _c_library(one.first) != _c_library(one.second))
    ]
    if devices != ["cpu"]:
        reasons.append(f"devices: {', '.join(devices)}, which add up in any order")
    return reasons


def _c_library(system: str) -> str:
    """The end of ``platform.platform()``, such as glibc2.36: a kernel moves no number, the C library may."""
    return str(system).rpartition("-with-")[2]
