"""Simulate many replicas in one batch until each fails or ends; a killed run goes on where it stood.

The noise is a function of the step, the reference forgets its history at fixed steps, and checkpoints
hold all else, so a run that was killed leaves the same frames and outcomes, bit by bit, as one that was
not (on hardware whose arithmetic repeats itself).
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.detectors import CENSORED, Detectors, Outcome, nonfinite_cause
from longhot.dynamics.trajectory import FrameLog, Ring, record_type, write_h5
from longhot.files import atomic_path
from longhot.frames import TEST_SET
from longhot.langevin import BLOCK_STEPS, Integrator, State, draw_noise, draw_velocities

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential

logger = logging.getLogger(__name__)

WORK_FOLDER = ".partial"
"""Folder of the files of a run that is not done, beside its outputs."""
START_INDEX = "start_index"
"""Key in ``atoms.info`` of a start: its index among all test frames."""
_LOG_INTERVAL_S = 15.0


def choose_starts(frames: Sequence[Atoms], start_set: str, n_replicas: int) -> list[Atoms]:
    """Start frames spread evenly over one test set; used again from the first where they are too few.

    Raises:
        InputError: no frame of that test set, or its frames differ in their atoms.
    """
    indices = [index for index, frame in enumerate(frames) if frame.info.get(TEST_SET) == start_set]
    if not indices:
        names = sorted({str(frame.info.get(TEST_SET)) for frame in frames})
        raise InputError(f"robustness.start_set: no test set {start_set!r}, use one of {', '.join(names)}")
    kept = [indices[i] for i in np.linspace(0, len(indices) - 1, min(n_replicas, len(indices))).round().astype(int)]
    starts = []
    for replica in range(n_replicas):
        start = frames[kept[replica % len(kept)]].copy()
        start.info[START_INDEX] = kept[replica % len(kept)]
        starts.append(start)
    return starts


def simulate(
    potential: Potential,
    starts: Sequence[Atoms],
    protocol: Protocol,
    temperature_K: float,
    seed: int,
    directory: str | Path,
    *,
    ids: Mapping[str, Any] | None = None,
    identity: str = "",
) -> None:
    """Run one protocol at one temperature and leave ``outcomes.csv`` and ``frames.h5`` in ``directory``.

    A friction of 0 gives NVE. Times of failure are those of the check that found it, so they are late by
    at most one check interval; a calculation that fails or gives no finite numbers is found at its step.
    An exception of the potential is no outcome: it ends the job, and a later run goes on from there.

    Args:
        potential: a model or a reference.
        starts: one frame a replica, all of the same atoms.
        protocol: lengths and intervals; those that are no multiple of the time step are rounded to one.
        temperature_K: of the thermostat and of the initial velocities.
        seed: of velocities and noise.
        directory: for the two files.
        ids: further columns of outcomes.csv, the same in each row.
        identity: digest of what ``potential`` was made from; a checkpoint of another is not continued.

    Raises:
        InputError: the starts differ in their atoms.
    """
    if not all(np.array_equal(start.numbers, starts[0].numbers) for start in starts):
        raise InputError("robustness.start_set: its frames differ in their atoms, which one batch cannot hold")
    with _sigterm() as stop, np.errstate(over="ignore", invalid="ignore"):
        run = _Run(potential, starts, protocol, temperature_K, seed, Path(directory), identity)
        try:
            run.advance(stop)
        except BaseException:
            run.save_checkpoint()
            raise
    run.finish({**(ids or {}), "seed": seed, "temperature_K": temperature_K})


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; in a thread, where Python allows no handlers, nothing sets it."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def _steps(interval_fs: float, protocol: Protocol) -> int:
    """An interval in steps, at least one."""
    return max(1, round(interval_fs / protocol.time_step_fs))


def _digest(identity: str, starts: Sequence[Atoms], protocol: Protocol, temperature_K: float, seed: int) -> str:
    """SHA-256 of all that decides what a run computes."""
    settings = protocol.model_dump(exclude={"temperatures_K", "checkpoint_interval_s", "time_limit_s"})
    digest = hashlib.sha256(json.dumps([identity, settings, temperature_K, seed], sort_keys=True).encode())
    for start in starts:
        for values in (start.numbers, start.get_masses(), start.positions, np.asarray(start.cell), start.pbc):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


class _Run:
    """One simulation: its state, its files and its loop."""

    def __init__(
        self,
        potential: Potential,
        starts: Sequence[Atoms],
        protocol: Protocol,
        temperature_K: float,
        seed: int,
        directory: Path,
        identity: str,
    ) -> None:
        n_replicas, masses = len(starts), starts[0].get_masses()
        self.atoms, self.protocol, self.seed, self.directory = starts[0], protocol, seed, directory
        self.symbols = self.atoms.get_chemical_symbols()
        self.start_index = [int(start.info.get(START_INDEX, index)) for index, start in enumerate(starts)]
        self.start_positions_A = np.array([start.positions for start in starts], dtype=float)
        self.n_steps = _steps(protocol.duration_ps * 1000, protocol)
        self.check_steps = _steps(protocol.check_interval_fs, protocol)
        self.frame_steps = _steps(protocol.frame_interval_fs, protocol)
        self.batch = potential.batch(self.atoms, n_replicas)
        self.integrator = Integrator(masses, n_replicas, protocol.time_step_fs, protocol.friction_per_ps, temperature_K)
        self.detectors = Detectors(starts, temperature_K, self.integrator.degrees_of_freedom)

        self.step = 0
        self.state = State(
            self.start_positions_A.copy(),
            draw_velocities(seed, range(n_replicas), masses, temperature_K),
            np.zeros_like(self.start_positions_A),
            np.zeros(n_replicas),
        )
        self.start_energy_eV = np.zeros(n_replicas)
        self.live = np.ones(n_replicas, dtype=bool)
        self.n_frames = np.zeros(n_replicas, dtype=int)
        self.ring = Ring(self.start_positions_A.shape)
        self.ended: dict[int, dict[str, Any]] = {}
        self.pending: list[np.ndarray] = []

        self.digest = _digest(identity, starts, protocol, temperature_K, seed)
        self.work = directory / WORK_FOLDER
        self.work.mkdir(parents=True, exist_ok=True)
        self.record = record_type(n_replicas, len(self.atoms))
        self.snapshot: dict[str, np.ndarray] = {}
        self.wall_before_s, self.clock = 0.0, time.perf_counter()
        self.log = FrameLog(self.work / "frames.bin", self.record, self._load_checkpoint())

    # The loop

    def advance(self, stop: threading.Event) -> None:
        """Step until every replica has ended."""
        if not self.snapshot:
            self._compute()
            self.start_energy_eV += self.state.energy_eV + self.integrator.kinetic_energy_eV(self.state)
            self._observe(check=True, frame=True)
            self._close_block()
        saved = logged = time.perf_counter()
        logged_step = self.step
        while self.step < self.n_steps and self.live.any():
            self._block(stop)
            now = time.perf_counter()
            if now - saved >= self.protocol.checkpoint_interval_s:
                self.save_checkpoint()
                saved = now
            if now - logged >= _LOG_INTERVAL_S:
                self._log_progress((self.step - logged_step) / (now - logged))
                logged, logged_step = now, self.step
        for replica in np.flatnonzero(self.live).tolist():
            self._end(replica, "completed")

    def _block(self, stop: threading.Event) -> None:
        """Up to BLOCK_STEPS steps; restarts happen between blocks, so the reference forgets its history here."""
        if hasattr(self.batch, "reset"):
            self.batch.reset()
        n_replicas, n_atoms, _ = self.start_positions_A.shape
        block, limit_s = self.step // BLOCK_STEPS, self.protocol.time_limit_s
        for noise in draw_noise(self.seed, range(n_replicas), block, n_atoms)[: self.n_steps - self.step]:
            self.step += 1
            self.integrator.before_forces(self.state, noise)
            self._compute()
            self.integrator.after_forces(self.state)
            check = self.step % self.check_steps == 0 or self.step == self.n_steps
            frame = self.step % self.frame_steps == 0
            if check or frame:
                self._observe(check, frame)
            if not self.live.any():
                break
            if limit_s is not None and self._wall_s() > limit_s and self.step < self.n_steps:
                for replica in np.flatnonzero(self.live).tolist():
                    self._end(replica, "timeout", f"wall time beyond {limit_s:g} s")
                break
            if stop.is_set():
                raise SystemExit(128 + signal.SIGTERM)
        self._close_block()

    def _compute(self) -> None:
        """Energies and forces at the present positions; ends the replicas for which there are none."""
        result = self.batch.compute(self.state.positions_A)
        forces, energy = self.state.forces_eV_per_A, self.state.energy_eV
        forces[...] = result.forces_eV_per_A
        energy[...] = result.energy_eV
        if not result.errors and np.isfinite(forces.sum() + energy.sum()):
            return
        for replica in np.flatnonzero(self.live).tolist():
            cause = nonfinite_cause(self.symbols, forces[replica], energy[replica], "force")
            if replica in result.errors:
                self._fail(replica, "engine_error", result.errors[replica])
            elif cause:
                self._fail(replica, "nonfinite", cause)
        forces[~self.live] = 0

    def _observe(self, check: bool, frame: bool) -> None:
        """Look for failures; then keep the frames of the sound replicas."""
        state = self.state
        kinetic = self.integrator.kinetic_energy_eV(state)
        temperature = self.integrator.temperature_K(kinetic)
        change = None if self.integrator.thermostatted else state.energy_eV + kinetic - self.start_energy_eV
        failures = self.detectors.check(state.positions_A, state.energy_eV, temperature, change, self.live)
        for replica, (outcome, cause) in failures.items():
            self._fail(replica, outcome, cause)
        if check:
            self.ring.add(self._time_ps(), state.positions_A, state.energy_eV, temperature, self.live)
        if frame and self.live.any():
            record = np.zeros((), self.record)
            record["time_ps"] = self._time_ps()
            record["positions_A"] = np.where(self.live[:, None, None], state.positions_A, np.nan)
            record["energy_eV"] = np.where(self.live, state.energy_eV, np.nan)
            record["temperature_K"] = np.where(self.live, temperature, np.nan)
            self.pending.append(record)
            self.n_frames += self.live

    def _fail(self, replica: int, outcome: Outcome, cause: str) -> None:
        only = np.arange(len(self.live)) == replica
        temperature = self.integrator.temperature_K(self.integrator.kinetic_energy_eV(self.state))
        self.ring.add(self._time_ps(), self.state.positions_A, self.state.energy_eV, temperature, only)
        self._end(replica, outcome, cause)
        logger.info("replica %d: %s after %.4g ps, %s", replica, outcome, self._time_ps(), cause)

    def _end(self, replica: int, outcome: Outcome, cause: str = "") -> None:
        """Record an outcome, and freeze the replica at its start, where it stays finite."""
        self.ended[replica] = {
            "outcome": outcome,
            "failure_time_ps": "" if outcome in CENSORED else self._time_ps(),
            "simulated_ps": self._time_ps(),
            "wall_s": round(self._wall_s(), 3),
            "cause": cause,
        }
        self.live[replica] = False
        self.integrator.freeze(self.state, replica, self.start_positions_A[replica])

    def _time_ps(self) -> float:
        return round(self.step * self.protocol.time_step_fs / 1000, 9)

    def _wall_s(self) -> float:
        return self.wall_before_s + time.perf_counter() - self.clock

    def _log_progress(self, steps_per_s: float) -> None:
        step_ns = self.protocol.time_step_fs * 1e-6
        logger.info(
            "%.4g of %.4g ps, %d of %d replicas live, %.3g ns/day in all, %.0f s left",
            self._time_ps(),
            self.n_steps * self.protocol.time_step_fs / 1000,
            self.live.sum(),
            len(self.live),
            steps_per_s * 86400 * step_ns * self.live.sum(),
            (self.n_steps - self.step) / steps_per_s,
        )

    # Its files

    def _arrays(self) -> dict[str, np.ndarray]:
        """Every array that changes, by name; all are changed in place."""
        own = {name: getattr(self, name) for name in ("start_energy_eV", "live", "n_frames")}
        return {**own, **vars(self.state), **{f"ring_{name}": values for name, values in vars(self.ring).items()}}

    def _close_block(self) -> None:
        """Hand the frames to the log and note the state that a checkpoint would hold."""
        self.log.append(self.pending)
        self.pending = []
        scalars = {
            "digest": self.digest,
            "step": self.step,
            "n_records": self.log.n_records,
            "wall_s": self._wall_s(),
            "ended": self.ended,
        }
        arrays = {name: values.copy() for name, values in self._arrays().items()}
        self.snapshot = {"scalars": np.array(json.dumps(scalars)), **arrays}

    def save_checkpoint(self) -> None:
        """Write the state at the end of the last block, with its frames on disk before it."""
        if not self.snapshot:
            return
        self.log.sync()
        with atomic_path(self.work / "checkpoint.npz") as temporary:
            np.savez(temporary, allow_pickle=False, **self.snapshot)

    def _load_checkpoint(self) -> int:
        """Take up the state of a checkpoint of this very run; the number of frames it knows, 0 without one."""
        path, frames = self.work / "checkpoint.npz", self.work / "frames.bin"
        if not path.exists() or not frames.exists():
            return 0
        with np.load(path) as stored:
            scalars = json.loads(str(stored["scalars"]))
            if scalars["digest"] != self.digest or frames.stat().st_size < scalars["n_records"] * self.record.itemsize:
                logger.info("the checkpoint in %s is of another run, starting anew", self.work)
                return 0
            for name, values in self._arrays().items():
                values[...] = stored[name]
            self.snapshot = dict(stored)
        self.step, self.wall_before_s = scalars["step"], scalars["wall_s"]
        self.ended = {int(replica): row for replica, row in scalars["ended"].items()}
        for replica in self.ended:
            self.integrator.freeze(self.state, replica, self.start_positions_A[replica])
        logger.info("continuing at %.4g ps", self._time_ps())
        return int(scalars["n_records"])

    def finish(self, ids: Mapping[str, Any]) -> None:
        """Write the two outputs, whole, and remove what only a restart needs."""
        failed = {r: self.ring.of(r) for r, row in self.ended.items() if row["outcome"] not in CENSORED}
        self.log.sync()
        write_h5(self.work / "frames.h5", self.log, self.record, self.atoms, self.n_frames, failed)
        self.log.close()
        rows = [
            {**ids, "replica": replica, **self.ended[replica], "start_index": self.start_index[replica]}
            for replica in sorted(self.ended)
        ]
        with (self.work / "outcomes.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for name in ("frames.h5", "outcomes.csv"):
            (self.work / name).replace(self.directory / name)
        shutil.rmtree(self.work)
