"""Simulate many replicas in one batch until each fails or ends; a killed run goes on where it stood.

A replica stands in a place of the batch. One that ends leaves it to the next that waits, and where none
waits the batch shrinks. What a replica does depends on its own steps only, not on its place or its
neighbours (but for rounding, where the shape of a batch changes how a potential adds numbers).

The noise is a function of the step, the reference forgets its history at fixed steps, and checkpoints
hold all else, so a run that was killed leaves the same frames and outcomes, bit by bit, as one that was
not (on hardware whose arithmetic repeats itself).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.barostat import ADAPTING_SHARE, MOVE_STEPS, MOVES_IN_BLOCK, move_volumes
from longhot.dynamics.detectors import CENSORED, MAX_NAMED, Detectors, Failure, Outcome, name_atom, nonfinite
from longhot.dynamics.places import Places
from longhot.dynamics.trajectory import FrameLog, Snapshots, record_type, write_failures, write_h5
from longhot.files import sound_checkpoints, sync, write_checkpoint
from longhot.frames import TEST_SET, evenly_spread
from longhot.langevin import BLOCK_STEPS, Integrator, Stream, draw_noise, draw_velocities, draw_volume_noise

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import BatchResult, Potential

logger = logging.getLogger(__name__)

WORK_FOLDER = ".partial"
"""Folder of the files of a run that is not done, beside its outputs."""
OUTPUTS = ("frames.h5", "failures.extxyz", "outcomes.csv")
"""Files that a simulation leaves."""
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
    kept = [indices[place] for place in evenly_spread(len(indices), n_replicas)]
    starts = []
    for replica in range(n_replicas):
        start = frames[kept[replica % len(kept)]].copy()
        start.info[START_INDEX] = kept[replica % len(kept)]
        starts.append(start)
    return starts


@dataclass(frozen=True)
class Replica:
    """One trajectory to run."""

    start: Atoms
    start_index: int
    """Of its start among all test frames."""
    temperature_K: float
    number: int
    """Among the replicas at the same temperature."""


def simulate(
    potential: Potential,
    starts: Sequence[Atoms],
    protocol: Protocol,
    seed: int,
    directory: str | Path,
    *,
    ids: Mapping[str, Any] | None = None,
    identity: str = "",
) -> None:
    """Run one trajectory for each temperature and start; leave ``OUTPUTS`` in ``directory``.

    Times of failure are those of the check that found it, so they are late by at most one check interval;
    a calculation that fails or gives no finite numbers is found at its step. An exception of the potential
    is no outcome: it ends the job, and a later run goes on from there.

    Args:
        potential: a model or a reference.
        starts: one frame a replica, all of the same atoms.
        protocol: ensemble, lengths and intervals; those that are no multiple of the time step are rounded to one.
        seed: of velocities and noise.
        directory: for the files.
        ids: further columns of outcomes.csv, the same in each row.
        identity: digest of what ``potential`` was made from; a checkpoint of another is not continued.

    Raises:
        InputError: the starts differ in their atoms, or have no cell whose volume could change, or another process
            runs the same.
        SystemExit: SIGTERM came; a later run goes on from there.
    """
    if not all(np.array_equal(start.numbers, starts[0].numbers) for start in starts):
        raise InputError("robustness.start_set: its frames differ in their atoms, which one batch cannot hold")
    if protocol.ensemble == "npt" and not all(start.pbc.all() for start in starts):
        raise InputError("robustness.protocol.ensemble: npt needs frames that are periodic in all directions, use nvt")
    work = Path(directory) / WORK_FOLDER
    work.mkdir(parents=True, exist_ok=True)
    with (
        closing(FrameLog(work / "frames.bin", record_type(len(starts[0])))) as log,
        sigterm() as stop,
        np.errstate(over="ignore", invalid="ignore"),
    ):
        run = _Run(potential, starts, protocol, seed, log, identity)
        try:
            run.advance(stop)
        except BaseException:
            run.save_checkpoint()
            raise
        run.finish(Path(directory), {**(ids or {}), "seed": seed})


@contextmanager
def sigterm() -> Iterator[threading.Event]:
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


def replicas_of(starts: Sequence[Atoms], protocol: Protocol) -> list[Replica]:
    """All trajectories in the order in which they take places: the hottest first, for they end first."""
    return [
        Replica(start, int(start.info.get(START_INDEX, number)), temperature_K, number)
        for temperature_K in sorted(protocol.temperatures_K, reverse=True)
        for number, start in enumerate(starts)
    ]


def _digest(identity: str, starts: Sequence[Atoms], protocol: Protocol, seed: int) -> str:
    """SHA-256 of all that decides what a run computes."""
    settings = protocol.model_dump(exclude={"checkpoint_interval_s", "time_limit_s"})
    digest = hashlib.sha256(json.dumps([identity, settings, seed], sort_keys=True).encode())
    for start in starts:
        for values in (start.numbers, start.get_masses(), start.positions, np.asarray(start.cell), start.pbc):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


class _Run:
    """One simulation: its places, its files and its loop."""

    def __init__(
        self,
        potential: Potential,
        starts: Sequence[Atoms],
        protocol: Protocol,
        seed: int,
        log: FrameLog,
        identity: str,
    ) -> None:
        self.potential, self.protocol, self.seed, self.log = potential, protocol, seed, log
        self.atoms = starts[0]
        self.masses_amu, self.symbols = self.atoms.get_masses(), self.atoms.get_chemical_symbols()
        self.periodic = bool(self.atoms.pbc.any())
        self.replicas = replicas_of(starts, protocol)
        self.n_steps = _steps(protocol.duration_ps * 1000, protocol)
        self.check_steps = _steps(protocol.check_interval_fs, protocol)
        self.frame_steps = _steps(protocol.frame_interval_fs, protocol)

        self.step = 0
        self.next_replica = 0
        self.places = Places.empty(
            min(protocol.batch_replicas or len(self.replicas), len(self.replicas)), len(self.atoms)
        )
        self.n_frames = np.zeros(len(self.replicas), dtype=int)
        self.ended: dict[int, dict[str, Any]] = {}
        self.failed_frames: dict[int, Snapshots] = {}
        self.pending: list[np.ndarray] = []

        self.digest = _digest(identity, starts, protocol, seed)
        self.work = log.path.parent
        self.record = record_type(len(self.atoms))
        self.snapshot: dict[str, np.ndarray] = {}
        self.saved = self.snapshot
        self.wall_before_s, self.clock = 0.0, time.perf_counter()
        self._load_checkpoint()
        self._build_batch()

    # The loop

    def advance(self, stop: threading.Event) -> None:
        """Step until every replica has ended."""
        saved = logged = time.perf_counter()
        done_before = self._done_steps()
        while len(self.ended) < len(self.replicas):
            self._block(stop)
            now = time.perf_counter()
            if now - saved >= self.protocol.checkpoint_interval_s:
                self.save_checkpoint()
                saved = now
            if now - logged >= _LOG_INTERVAL_S:
                self._log_progress((self._done_steps() - done_before) / (now - logged))
                logged, done_before = now, self._done_steps()

    def _block(self, stop: threading.Event) -> None:
        """Up to BLOCK_STEPS steps; restarts happen between blocks, so the reference forgets its history here."""
        # Twice, for a replica's first energies must not remember whose place it took either.
        self._forget()
        self._refill()
        self._shrink()
        self._forget()
        places = self.places
        blocks = ((self.step - places.started) // BLOCK_STEPS).tolist()
        noise = draw_noise(self.streams, blocks, len(self.atoms)) if self.integrator.thermostatted else None
        volume_noise = draw_volume_noise(self.streams, blocks, MOVES_IN_BLOCK) if self._has_barostat() else None
        for index in range(BLOCK_STEPS):
            if not places.live.any():
                break
            self.step += 1
            self.integrator.before_forces(places.state, None if noise is None else noise[index])
            self._compute()
            self.integrator.after_forces(places.state)
            if volume_noise is not None and (index + 1) % MOVE_STEPS == 0:
                self._move_volumes(volume_noise[index // MOVE_STEPS])
            self._look()
            if self._out_of_time():
                self._end_all("timeout", f"wall time beyond {self.protocol.time_limit_s:g} s")
            if stop.is_set():
                raise SystemExit(128 + signal.SIGTERM)
        self._close_block()

    def _forget(self) -> None:
        """Let the potential forget what it was asked before."""
        if hasattr(self.batch, "reset"):
            self.batch.reset()

    def _look(self) -> None:
        """Check and store the replicas that are due at this step, and end those that have done all steps."""
        places = self.places
        done = self.step - places.started
        finished = places.live & (done == self.n_steps)
        check = places.live & ((done % self.check_steps == 0) | finished)
        frame = places.live & (done % self.frame_steps == 0)
        if check.any() or frame.any():
            self._observe(check, frame)
        if finished.any():
            for place in np.flatnonzero(finished & places.live).tolist():
                self._end(place, "completed")

    def _compute(self) -> None:
        """Energies and forces at the present positions; ends the replicas for which there are none."""
        state = self.places.state
        result = self._evaluate(state.positions_A, state.cell_A)
        state.forces_eV_per_A[...] = result.forces_eV_per_A
        state.energy_eV[...] = result.energy_eV
        self._end_the_lost(result)

    def _evaluate(self, positions_A: np.ndarray, cell_A: np.ndarray) -> BatchResult:
        return self.batch.compute(positions_A, cell_A) if self.periodic else self.batch.compute(positions_A)

    def _end_the_lost(self, result: BatchResult) -> None:
        """End the replicas whose calculation failed or gave no finite numbers."""
        state, live = self.places.state, self.places.live
        if not result.errors and np.isfinite(state.forces_eV_per_A.sum() + state.energy_eV.sum()):
            return
        for place in np.flatnonzero(live).tolist():
            lost = nonfinite(self.symbols, state.forces_eV_per_A[place], state.energy_eV[place], "force")
            if place in result.errors:
                self._fail(place, Failure("engine_error", result.errors[place]))
            elif lost:
                self._fail(place, lost)
        state.forces_eV_per_A[~live] = 0
        state.energy_eV[~live] = 0

    def _has_barostat(self) -> bool:
        return self.protocol.ensemble == "npt"

    def _move_volumes(self, uniform: np.ndarray) -> None:
        places = self.places
        adapting = self.step - places.started <= ADAPTING_SHARE * self.n_steps
        move_volumes(
            places.state,
            places.moves,
            self._evaluate,
            uniform,
            self.temperatures_K,
            self.protocol.pressure_bar,
            self.protocol.barostat_axes,
            adapting,
            places.live,
        )

    def _observe(self, check: np.ndarray, frame: np.ndarray) -> None:
        """Look for failures among the places of both masks; then keep the frames of those that are sound."""
        places, state = self.places, self.places.state
        kinetic = self.integrator.kinetic_energy_eV(state)
        temperature = self.integrator.temperature_K(kinetic)
        change = None if self.integrator.thermostatted else state.energy_eV + kinetic - places.start_energy_eV
        failures = self.detectors.check(
            state.positions_A, state.cell_A, state.energy_eV, temperature, change, check | frame
        )
        for place, failure in failures.items():
            self._fail(place, failure)
        sound = check & places.live
        self._remember(sound, temperature)
        self._store(frame & places.live, temperature)

    def _remember(self, wanted: np.ndarray, temperature_K: np.ndarray) -> None:
        """Put the present frame of some places into the ring."""
        state = self.places.state
        self.places.ring.add(self._times_ps(), state.positions_A, state.cell_A, state.energy_eV, temperature_K, wanted)

    def _store(self, wanted: np.ndarray, temperature_K: np.ndarray) -> None:
        """Hand the present frame of some places to the trajectory."""
        places, state = self.places, self.places.state
        records = np.zeros(int(wanted.sum()), self.record)
        records["replica"] = places.replica[wanted]
        records["step"] = (self.step - places.started)[wanted]
        records["time_ps"] = self._times_ps()[wanted]
        for name in ("positions_A", "cell_A", "energy_eV"):
            records[name] = getattr(state, name)[wanted]
        records["temperature_K"] = temperature_K[wanted]
        self.pending.append(records)
        self.n_frames[places.replica[wanted]] += 1

    def _fail(self, place: int, failure: Failure) -> None:
        places = self.places
        kinetic = self.integrator.kinetic_energy_eV(places.state)
        self._remember(np.arange(len(places)) == place, self.integrator.temperature_K(kinetic))
        if failure.outcome == "temperature_runaway":
            failure = self._name_the_hot(place, failure)
        replica = self.replicas[places.replica[place]]
        self.failed_frames[int(places.replica[place])] = places.ring.of(place)
        logger.info(
            "%g K, replica %d: %s after %.4g ps, %s",
            replica.temperature_K,
            replica.number,
            failure.outcome,
            self._times_ps()[place],
            failure.cause,
        )
        self._end(place, failure.outcome, failure.cause, failure.atoms)

    def _name_the_hot(self, place: int, failure: Failure) -> Failure:
        """Add the atoms with the most kinetic energy."""
        energies = self.masses_amu * (self.places.state.velocities[place] ** 2).sum(axis=1)
        hottest = np.argsort(-energies, kind="stable")[:MAX_NAMED]
        names = ", ".join(name_atom(self.symbols, atom) for atom in hottest)
        atoms = tuple(sorted({*failure.atoms, *hottest.tolist()}))
        return Failure(failure.outcome, f"{failure.cause}, most of it in {names}", atoms)

    def _end(self, place: int, outcome: Outcome, cause: str = "", atoms: Sequence[int] = ()) -> None:
        """Record an outcome and freeze the place."""
        time_ps = float(self._times_ps()[place])
        self._record(int(self.places.replica[place]), outcome, time_ps, cause, atoms)
        self.places.live[place] = False
        self._freeze(place)

    def _record(self, replica: int, outcome: Outcome, time_ps: float, cause: str, atoms: Sequence[int] = ()) -> None:
        self.ended[replica] = {
            "outcome": outcome,
            "failure_time_ps": "" if outcome in CENSORED else time_ps,
            "simulated_ps": time_ps,
            "wall_s": round(self._wall_s(), 3),
            "cause": cause,
            "atoms": " ".join(map(str, atoms)),
        }

    def _end_all(self, outcome: Outcome, cause: str) -> None:
        """End those in places, and those that still wait."""
        for place in np.flatnonzero(self.places.live).tolist():
            self._end(place, outcome, cause)
        for replica in range(self.next_replica, len(self.replicas)):
            self._record(replica, outcome, 0.0, cause)
        self.next_replica = len(self.replicas)

    def _out_of_time(self) -> bool:
        limit_s = self.protocol.time_limit_s
        return limit_s is not None and self._wall_s() > limit_s and len(self.ended) < len(self.replicas)

    # Places

    def _refill(self) -> None:
        """Give places whose replica has ended to those that wait."""
        free = np.flatnonzero(~self.places.live)[: len(self.replicas) - self.next_replica]
        if not free.size:
            return
        for place in free.tolist():
            self._seat(place)
        self._build_factors()
        state, new = self.places.state, np.isin(np.arange(len(self.places)), free)
        result = self._evaluate(state.positions_A, state.cell_A)
        state.forces_eV_per_A[new] = result.forces_eV_per_A[new]
        state.energy_eV[new] = result.energy_eV[new]
        self.places.start_energy_eV[new] = (state.energy_eV + self.integrator.kinetic_energy_eV(state))[new]
        self._end_the_lost(result)
        self._observe(new & self.places.live, new & self.places.live)

    def _seat(self, place: int) -> None:
        """Let the next replica that waits take a place."""
        replica = self.replicas[self.next_replica]
        self.places.clear(place)
        self.places.replica[place], self.places.started[place] = self.next_replica, self.step
        self.places.live[place] = True
        state = self.places.state
        state.positions_A[place], state.cell_A[place] = replica.start.positions, np.asarray(replica.start.cell)
        state.velocities[place] = draw_velocities(self._stream(self.next_replica), self.masses_amu)
        self.next_replica += 1

    def _shrink(self) -> None:
        """Go on in the smallest batch that holds all live replicas."""
        n_live = int(self.places.live.sum())
        size = min(size for size in self.potential.batch_sizes(len(self.places)) if size >= n_live)
        if size == len(self.places):
            return
        order = np.argsort(~self.places.live, kind="stable")
        self.places = self.places.take(np.sort(order[:size]))
        self._build_batch()

    def _build_batch(self) -> None:
        self.batch = self.potential.batch(self.atoms, len(self.places))
        self._build_factors()

    def _build_factors(self) -> None:
        """Make what depends on who stands where."""
        here = [self.replicas[max(replica, 0)] for replica in self.places.replica.tolist()]
        protocol = self.protocol
        self.temperatures_K = np.array([one.temperature_K for one in here])
        friction = 0.0 if protocol.ensemble == "nve" else protocol.friction_per_ps
        self.integrator = Integrator(self.masses_amu, self.temperatures_K, protocol.time_step_fs, friction)
        self.detectors = Detectors(
            [one.start for one in here], self.temperatures_K, self.integrator.degrees_of_freedom, protocol.bond_checks
        )
        self.streams = [self._stream(replica) for replica in self.places.replica.tolist()]
        for place in np.flatnonzero(~self.places.live).tolist():
            self._freeze(place)

    def _stream(self, replica: int) -> Stream:
        one = self.replicas[max(replica, 0)]
        return Stream(self.seed, one.temperature_K, one.number)

    def _freeze(self, place: int) -> None:
        """Leave a place at rest at the start of its last replica, where every potential stays finite."""
        start = self.replicas[max(int(self.places.replica[place]), 0)].start
        self.places.state.cell_A[place] = np.asarray(start.cell)
        self.integrator.freeze(self.places.state, place, start.positions)

    # Time

    def _times_ps(self) -> np.ndarray:
        """Time that each place's replica has simulated, shape (n_places,)."""
        return np.round((self.step - self.places.started) * self.protocol.time_step_fs / 1000, 9)

    def _wall_s(self) -> float:
        return self.wall_before_s + time.perf_counter() - self.clock

    def _done_steps(self) -> int:
        """Steps of all replicas together."""
        ended_ps = sum(row["simulated_ps"] for row in self.ended.values())
        return round(ended_ps * 1000 / self.protocol.time_step_fs) + int(
            (self.step - self.places.started)[self.places.live].sum()
        )

    def _log_progress(self, steps_per_s: float) -> None:
        live = self.places.live
        left = int((self.n_steps - self.step + self.places.started)[live].sum())
        left += self.n_steps * (len(self.replicas) - self.next_replica)
        logger.info(
            "%d of %d replicas live, %d wait, %d ended, %.3g ns/day in all, %.0f s left",
            live.sum(),
            len(self.replicas),
            len(self.replicas) - self.next_replica,
            len(self.ended),
            steps_per_s * 86400 * self.protocol.time_step_fs * 1e-6,
            left / max(steps_per_s, 1e-9),
        )

    # Its files

    def _close_block(self) -> None:
        """Hand the frames to the log and note the state that a checkpoint would hold."""
        self.log.append_records(self.pending)
        self.pending = []
        scalars = {
            "digest": self.digest,
            "step": self.step,
            "next_replica": self.next_replica,
            "n_places": len(self.places),
            "n_records": self.log.n_records,
            "frames_sha256": self.log.digest(),
            "wall_s": self._wall_s(),
            "ended": self.ended,
        }
        self.snapshot = {
            "scalars": np.array(json.dumps(scalars)),
            "n_frames": self.n_frames.copy(),
            **{f"places_{name}": values.copy() for name, values in self.places.arrays()},
            **{
                f"failed_{replica}_{name}": values
                for replica, frames in self.failed_frames.items()
                for name, values in vars(frames).items()
            },
        }

    def save_checkpoint(self) -> None:
        """Write the state at the end of the last block, with its frames on disk before it."""
        # Twice the same state would leave no older one to fall back on.
        if self.snapshot is self.saved:
            return
        self.log.sync()
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **self.snapshot)
        write_checkpoint(self._checkpoint(), content.getvalue())
        self.saved = self.snapshot

    def _checkpoint(self) -> Path:
        return self.work / "checkpoint.npz"

    def _load_checkpoint(self) -> None:
        """Take up the state of the newest sound checkpoint of this very run; without one, begin."""
        for content in sound_checkpoints(self._checkpoint()):
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                snapshot = dict(stored)
            scalars = json.loads(str(snapshot["scalars"]))
            if scalars["digest"] != self.digest:
                logger.info("a checkpoint in %s is of another run, which is not continued", self.work)
            elif not self.log.keep_records(scalars["n_records"], scalars["frames_sha256"]):
                logger.warning("%s is damaged: its frames are not those that a checkpoint knows", self.log.path)
            else:
                self._take_up(snapshot, scalars)
                return
        self.log.clear()

    def _take_up(self, snapshot: dict[str, np.ndarray], scalars: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.snapshot = self.saved = snapshot
        self.places = Places.empty(scalars["n_places"], len(self.atoms))
        for name, values in self.places.arrays():
            values[...] = snapshot[f"places_{name}"]
        self.n_frames[...] = snapshot["n_frames"]
        self.step, self.next_replica, self.wall_before_s = (scalars[key] for key in ("step", "next_replica", "wall_s"))
        self.ended = {int(replica): row for replica, row in scalars["ended"].items()}
        self.failed_frames = {
            replica: Snapshots(**{name: snapshot[f"failed_{replica}_{name}"] for name in Snapshots.__annotations__})
            for replica, row in self.ended.items()
            if row["outcome"] not in CENSORED
        }
        logger.info("continuing: %d of %d replicas have ended", len(self.ended), len(self.replicas))

    def finish(self, directory: Path, ids: Mapping[str, Any]) -> None:
        """Write the outputs, whole, and remove what only a restart needs."""
        order = sorted(self.ended, key=lambda index: (self.replicas[index].temperature_K, self.replicas[index].number))
        rows = {
            index: {
                **ids,
                "temperature_K": self.replicas[index].temperature_K,
                "replica": self.replicas[index].number,
                **self.ended[index],
                "start_index": self.replicas[index].start_index,
            }
            for index in order
        }
        self.log.sync()
        names = [(one.temperature_K, one.number) for one in self.replicas]
        write_h5(self.work / "frames.h5", self.log, self.atoms, names, self.n_frames, self.failed_frames)
        failures = [(rows[index], self.failed_frames[index]) for index in order if index in self.failed_frames]
        write_failures(self.work / "failures.extxyz", self.atoms, failures)
        with (self.work / "outcomes.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(rows[order[0]]))
            writer.writeheader()
            writer.writerows(rows.values())
        for name in OUTPUTS:
            sync(self.work / name)
        for name in OUTPUTS:
            (self.work / name).replace(directory / name)
        shutil.rmtree(self.work)
        total_ns = sum(row["simulated_ps"] for row in self.ended.values()) / 1000
        logger.info(
            "%.4g ns of %d replicas in %.0f s of wall time, %.3g ns/day",
            total_ns,
            len(self.replicas),
            self._wall_s(),
            total_ns * 86400 / max(self._wall_s(), 1e-9),
        )
