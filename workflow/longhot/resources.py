"""What a job asks of a scheduler: memory and time that grow when it has to be tried again, and a GPU if it uses one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from longhot import devices
from longhot.config import Study


def growing(amount: int) -> Callable[[Any, int], int]:
    """``amount`` at the first attempt, twice as much at the second, and so on."""

    def of_attempt(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return of_attempt


def gpus(study: Study, model: str | None, reference: str | None = None) -> int:
    """GPUs of a job that runs a model, a reference method, or both: one at most, and none where neither uses it.

    Args:
        study: the config.
        model: id of a model; one that is no model of the study runs as the reference method does.
        reference: name of a reference.
    """
    block = study.variants().get(model or "")
    wanted = [study.study.device] if block is not None and block.runs_on_gpu else []
    if reference is not None and importlib.util.find_spec("gpu4pyscf"):
        wanted.append(getattr(study.references[reference], "device", "cpu"))
    return int(any(device in ("cuda", "gpu") or (device == "auto" and devices.usable()) for device in wanted))
