"""MD: the engine against ASE and torch-sim, and what of a step is not the model call."""

from __future__ import annotations

import csv
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from common import FOLDER, Options, Row, compiled, exported, shaken, short_fit

from longhot.config import Protocol
from longhot.dynamics.detectors import Detectors
from longhot.dynamics.engine import simulate
from longhot.models import load

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import BatchPotential, Potential

TEMPERATURE_K = 300.0
TIME_STEP_FS = 0.5
REPLICAS = {"cpu": 16, "cuda": 512}
ROUNDS = 5
STEPS = {"ethanol": 600, "aspirin": 200}
PEER_STEPS = {"ethanol": 100, "aspirin": 60}
LARGEST_TO_TRY = 2**17


class Clock:
    """Seconds spent in some function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, clocked."""

        def clocked(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return clocked


class Clocked:
    """A potential whose calls are clocked, and whose batches are set up once for all runs."""

    def __init__(self, potential: Potential) -> None:
        self.potential, self.clock = potential, Clock()
        self._batches: dict[int, BatchPotential] = {}
        self.predict, self.batch_sizes = potential.predict, potential.batch_sizes

    def batch(self, atoms: Atoms, n_replicas: int) -> BatchPotential:
        """The batch, compiled by a first call that is not clocked."""
        if n_replicas not in self._batches:
            batch = self.potential.batch(atoms, n_replicas)
            batch.compute(np.stack([atoms.positions] * n_replicas))
            batch.compute = self.clock.around(batch.compute)  # type: ignore[method-assign]
            self._batches[n_replicas] = batch
        return self._batches[n_replicas]


def run(potential: Potential, starts: list[Atoms], steps: int, **protocol: Any) -> float:
    """Wall seconds of the whole engine, files and detectors included.

    Raises:
        RuntimeError: a replica failed, so fewer steps were done.
    """
    out = FOLDER / "md"
    settings = Protocol.model_validate(
        {
            "temperatures_K": [TEMPERATURE_K],
            "replicas": len(starts),
            "duration_ps": steps * TIME_STEP_FS * 1e-3,
            "time_step_fs": TIME_STEP_FS,
        }
        | protocol
    )
    start = time.perf_counter()
    simulate(potential, starts, settings, 0, out, identity=uuid.uuid4().hex)
    seconds = time.perf_counter() - start
    with Path(out, "outcomes.csv").open(newline="", encoding="utf-8") as handle:
        ended = [f"{row['outcome']} {row['cause']}" for row in csv.DictReader(handle) if row["outcome"] != "completed"]
    if ended:
        raise RuntimeError(f"the benchmark's own MD did not hold: {ended[0]}")
    return seconds


def ase_seconds_per_step(model: Path, start: Atoms, steps: int, device: str) -> Callable[[], float]:
    """A function that measures ASE's Langevin with MACECalculator, one trajectory."""
    from ase import units
    from ase.md.langevin import Langevin
    from mace.calculators import MACECalculator

    atoms = start.copy()
    atoms.calc = MACECalculator(model_paths=str(model), device=device, default_dtype="float32")
    dynamics = Langevin(
        atoms,
        TIME_STEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        friction=0.01 / units.fs,
        rng=np.random.default_rng(0),
    )
    dynamics.run(10)

    def measure() -> float:
        begin = time.perf_counter()
        dynamics.run(steps)
        return (time.perf_counter() - begin) / steps

    return measure


def torch_sim_seconds_per_step(model: Path, starts: list[Atoms], steps: int, device: str) -> Callable[[], float] | None:
    """A function that measures torch-sim's own runner with the same replicas; None where it is not installed."""
    try:
        import torch_sim
        from torch_sim.models.mace import MaceModel
    except ImportError:
        return None
    import torch

    network = torch.load(model, weights_only=False, map_location=device)
    wrapped = MaceModel(model=network, device=torch.device(device), dtype=torch.float32, compute_stress=False)

    def seconds(n_steps: int) -> float:
        systems = [start.copy() for start in starts]
        for system in systems:
            system.cell = np.eye(3) * 50.0  # it reads one, though it is not periodic
        begin = time.perf_counter()
        torch_sim.integrate(
            systems,
            wrapped,
            integrator=torch_sim.nvt_langevin,
            n_steps=n_steps,
            temperature=TEMPERATURE_K,
            timestep=TIME_STEP_FS * 1e-3,
        )
        return time.perf_counter() - begin

    def measure() -> float:
        # The difference of two lengths takes its start-up off.
        return (seconds(steps + 5) - seconds(5)) / steps

    return measure


def speed(molecule: str, device: str) -> list[Row]:
    """Steps of all replicas a second, engine and peers in turn; the engine's and the detectors' share of a step."""
    n_replicas, steps = REPLICAS[device], STEPS[molecule]
    starts = shaken(molecule, n_replicas, seed=1)
    potential = Clocked(compiled(molecule, n_replicas, device))
    model = exported(short_fit(molecule))
    ase = ase_seconds_per_step(model, starts[0], PEER_STEPS[molecule], device)
    torch_sim = torch_sim_seconds_per_step(model, starts, 20, device)
    run(potential, starts, 100)
    ours, peers, others, overheads, shares = [], [], [], [], []
    for _ in range(ROUNDS):
        potential.clock.seconds, looking = 0.0, Clock()
        with mock.patch.object(Detectors, "check", looking.around(Detectors.check)):
            seconds = run(potential, starts, steps)
        ours.append(n_replicas * steps / seconds)
        overheads.append(1 - potential.clock.seconds / seconds)
        shares.append(looking.seconds / seconds)
        peers.append(1 / ase())
        if torch_sim is not None:
            others.append(n_replicas / torch_sim())
    own, peer, overhead, share = (median(values) for values in (ours, peers, overheads, shares))
    rows = [Row(f"md_{molecule}_vs_ase", own, "steps/s", "ASE + MACECalculator", peer, own / peer)]
    if others:
        other = median(others)
        rows.append(Row(f"md_{molecule}_vs_torch_sim", own, "steps/s", "torch-sim's runner", other, own / other))
    if molecule == "ethanol":
        rows += [
            Row("engine_overhead", overhead, "fraction", "whole step", 1.0, overhead),
            Row("detectors_cost", share, "fraction", "whole step", 1.0, share),
        ]
    return rows


def largest_batch(device: str) -> list[Row]:
    """The most replicas of ethanol that a GPU's memory holds, by doubling, and their speed without compiling."""
    import torch

    potential, start = load(short_fit("ethanol"), device), shaken("ethanol", 1)[0]
    n_replicas, best, found = 1024, 0.0, 0
    while n_replicas <= LARGEST_TO_TRY:
        positions = np.stack([start.positions] * n_replicas)
        try:
            batch = potential.batch(start, n_replicas)
            batch.compute(positions)
            begin = time.perf_counter()
            batch.compute(positions)
        except torch.cuda.OutOfMemoryError:
            break
        best, found = n_replicas / (time.perf_counter() - begin), n_replicas
        n_replicas *= 2
    return [Row("largest_batch", found, "replicas", "one call of that batch, frames/s", best, 1.0)]


def rows(options: Options) -> list[Row]:
    """All rows of this section."""
    found = speed("ethanol", options.device) + speed("aspirin", options.device)
    return found + (largest_batch(options.device) if options.device == "cuda" else [])
