"""Compiling the steps that all fits and MD runs of one model share."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError
from longhot.models._mace_kernels import Kernels, compile_into, md_sizes, seal
from longhot.models._mace_net import build_network
from longhot.models._mace_potential import StaticMaceBatch
from longhot.models._mace_train import Fit

if TYPE_CHECKING:
    from longhot.models import FitTask
    from longhot.models.mace import Config

logger = logging.getLogger(__name__)


def compile_step(config: Config, task: FitTask, replicas: list[int]) -> None:
    """Fill the compile cache with the step that fits take, and with MD batches of so many ``replicas`` and fewer.

    What could not be compiled (no C++ compiler, shapes that change) is written down in the cache, and runs eagerly.

    Raises:
        InputError: ``compile: always`` where compiling fails.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    assert task.compile_cache is not None
    compile_into(task.compile_cache)
    state, done = Fit(config, task), Kernels(training=False, md_sizes=[])
    try:
        if state.compiled:
            start = time.perf_counter()
            state.gradient_step()
            logger.info("compiled the training step in %.1f s", time.perf_counter() - start)
            done = Kernels(training=True, md_sizes=[])
        for size in md_sizes(replicas) if state.compiled else []:
            start, atoms = time.perf_counter(), task.valid[0]
            network = build_network(config, state.numbers, state.statistics, traceable=True).to(task.device)
            batch = StaticMaceBatch(network.requires_grad_(False), state.train.builder, atoms, size, compiled=True)
            batch.compute(np.stack([atoms.positions] * size))
            logger.info("compiled the MD batch of %d replicas in %.1f s", size, time.perf_counter() - start)
            done = Kernels(training=True, md_sizes=[*done.md_sizes, size])
    except Exception as error:  # the compiler may fail in any way, and eager steps give the same numbers
        cause = " ".join(str(error).split())[:300]
        if config.compile == "always":
            raise InputError(f"compile: always, but compiling failed ({cause}): use auto") from error
        logger.warning("compiling failed, these steps run eagerly: %s", cause)
    seal(task.compile_cache, done)
