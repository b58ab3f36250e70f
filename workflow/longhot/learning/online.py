"""Learning on the fly: one MD run that asks the reference where its model is not sure, and learns the answer.

At every step of Langevin MD the model gives its forces and how sure it is of them. Where the uncertainty of any
atom passes a threshold, the reference computes the frame, the step ends with the reference's forces, and the model
is fitted anew, from where it stood, to all frames that were taken so far (Csanyi et al., Phys. Rev. Lett. 93,
175503, 2004; Jinnouchi et al., Phys. Rev. B 100, 014105, 2019; Vandermause et al., npj Computational Materials 6,
20, 2020).

The noise is a function of the step, and a checkpoint follows each call of the reference, so a run that was killed
leaves the same numbers, bit by bit, as one that was not (on hardware whose arithmetic repeats itself).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longhot import frames as fr
from longhot.block import InputError
from longhot.config import Online
from longhot.dynamics.detectors import Detectors, Outcome, name_atom, nonfinite
from longhot.dynamics.engine import sigterm
from longhot.files import Log, sound_checkpoints, write_checkpoint, write_json, write_text
from longhot.langevin import BLOCK_STEPS, Integrator, State, Stream, draw_noise, draw_velocities
from longhot.learning.learners import STEP, Learner, frames_digest

if TYPE_CHECKING:
    import threading

    from ase import Atoms

    from longhot.potential import Label

logger = logging.getLogger(__name__)

WORK_FOLDER = ".partial"
"""Folder of the files of a run that is not done, beside its outputs."""
OUTPUTS = ("trace.csv", "learned.extxyz", "outcome.json")
"""Files that a run leaves."""
TRACE_COLUMNS = (
    *("step", "time_ps", "estimated_meV_per_A", "true_meV_per_A", "threshold_meV_per_A", "kind", "atoms", "wall_s"),
)
CALL_WEIGHT = 0.2
"""Weight of the last call in the ratio of true to estimated errors."""
_LOG_INTERVAL_S = 15.0


Reference = Callable[["Atoms"], "Label"]
"""Labels a frame, by the frame alone: what it was asked before must not matter."""


def true_error(forces_eV_per_A: np.ndarray, reference_eV_per_A: np.ndarray) -> float:
    """Largest error of the force on an atom in eV/A: root mean square over its three components.

    Args:
        forces_eV_per_A: of the model, shape (n_atoms, 3).
        reference_eV_per_A: shape (n_atoms, 3).
    """
    return float(np.sqrt(((forces_eV_per_A - reference_eV_per_A) ** 2).mean(axis=1)).max())


def updated_ratio(ratio: float, true: float, estimated: float) -> float:
    """How many times its estimate the true error is, after one more call.

    The root of a moving average: r_{n+1}^2 = (1 - w) r_n^2 + w (true_n / estimated_n)^2, with r_0 = 1 and the weight
    w of ``CALL_WEIGHT``. Squares, for an estimate is a standard deviation, and one call that was far better than its
    estimate must not silence the model. The threshold of the estimate is then tolerance / r.

    Args:
        ratio: before the call.
        true: error of the model at the call, before it learnt the frame.
        estimated: its uncertainty there, in the same unit.
    """
    return float(np.sqrt((1 - CALL_WEIGHT) * ratio**2 + CALL_WEIGHT * (true / estimated) ** 2))


def run(
    learner: Learner,
    reference: Reference,
    initial: list[Atoms],
    start: Atoms,
    settings: Online,
    seed: int,
    directory: str | Path,
    *,
    identity: str = "",
) -> None:
    """Run to the end, or go on with a run that was killed; leave ``OUTPUTS`` in ``directory``.

    ``trace.csv`` tells estimated and true errors, of the model as it was before it learnt the frame, and which
    atoms passed the threshold; ``learned.extxyz`` holds the frames that were learnt, those of the run with their
    ``step``; ``outcome.json`` says how it ended, and what ``_summary`` says. The learner ends with all of these
    frames learnt, also one that the last step left: its last model is a result too.

    Args:
        learner: the model.
        reference: what it learns from.
        initial: labelled frames that it knows before the run, of the atoms of the start; their cells may differ.
        start: first frame, which holds the atoms, the cell and the periodicity.
        settings: of the run.
        seed: of velocities and noise.
        directory: for the files.
        identity: digest of what the learner and the reference were made from; a checkpoint of another is not
            continued.

    Raises:
        InputError: an initial frame differs from the start in its atoms, their order or its periodicity.
        SystemExit: SIGTERM came; a later run goes on from there.
    """
    _check_atoms(initial, start)
    with sigterm() as stop, np.errstate(over="ignore", invalid="ignore"):
        state = _Run(learner, reference, initial, start, settings, seed, Path(directory), identity)
        state.advance(stop)
    state.finish()


def _check_atoms(initial: list[Atoms], start: Atoms) -> None:
    for index, frame in enumerate(initial):
        if not (np.array_equal(frame.numbers, start.numbers) and np.array_equal(frame.pbc, start.pbc)):
            raise InputError(
                f"active_learning.online: initial frame {index} ({frame.symbols}) differs in its atoms, their order or "
                f"its periodicity from the frame that the run starts from ({start.symbols}), give a dataset of one "
                "system or leave `online` out"
            )


@dataclass(frozen=True)
class _Ending:
    """How a run ended; ``out_of_calls``: the model was not sure, and all calls were spent."""

    outcome: Outcome | Literal["out_of_calls"]
    cause: str = ""


@dataclass(frozen=True)
class _Row:
    """One row of the trace, errors in eV/A."""

    kind: Literal["step", "call", "audit"]
    estimated: float
    threshold: float
    true: float | None
    atoms: str


@dataclass
class _Tally:
    """Everything countable of a run that a restart takes up."""

    step: int = -1
    """Last step that is done; the start itself is step 0."""
    n_calls: int = 0
    n_audits: int = 0
    ratio: float = 1.0
    wall_s: float = 0.0
    """Of earlier processes and, at a checkpoint, of this one."""
    fit_s: float = 0.0
    reference_s: float = 0.0
    audit_s: float = 0.0


def _digest(identity: str, initial: list[Atoms], start: Atoms, settings: Online, seed: int) -> str:
    """SHA-256 of all that decides what a run computes."""
    parts = [identity, settings.model_dump(), seed, frames_digest(initial)]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for values in (start.numbers, start.get_masses(), start.positions, start.cell.array, start.pbc):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _summary(rows: Sequence[dict[str, str]], tally: _Tally, n_initial: int, settings: Online) -> dict[str, Any]:
    """What a run cost, and how wrong the model was.

    ``share_saved`` is the share of all frames, each step and the start, that the reference did not have to
    compute for the model; audits do not count. ``mean_true_error_meV_per_A`` is over the steps that are multiples
    of the audit interval, whether audited or learnt, so it is an average over time; None where there is none.

    Args:
        rows: of trace.csv.
        tally: at the end of the run.
        n_initial: labelled frames before the run.
        settings: of the run.
    """
    known = [row for row in rows if row["true_meV_per_A"]]
    regular = [row for row in known if int(row["step"]) % settings.audit_interval_steps == 0]
    calls = [row for row in known if row["kind"] == "call"]
    n_reference_calls = n_initial + tally.n_calls
    return {
        "n_steps": tally.step,
        "n_initial": n_initial,
        "n_reference_calls": n_reference_calls,
        "n_audits": tally.n_audits,
        "share_saved": 1 - n_reference_calls / (tally.step + 1),
        "mean_true_error_meV_per_A": _mean_true_error(regular),
        "mean_true_error_at_calls_meV_per_A": _mean_true_error(calls),
        "md_s": tally.wall_s - tally.fit_s - tally.reference_s - tally.audit_s,
        "fit_s": tally.fit_s,
        "reference_s": tally.reference_s,
        "audit_s": tally.audit_s,
    }


def _mean_true_error(rows: Sequence[dict[str, str]]) -> float | None:
    return float(np.mean([float(row["true_meV_per_A"]) for row in rows])) if rows else None


def _line(cells: Sequence[Any]) -> bytes:
    """A line of the trace."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


class _Run:
    """One run: its state, its frames, its files and its loop."""

    def __init__(
        self,
        learner: Learner,
        reference: Reference,
        initial: list[Atoms],
        start: Atoms,
        settings: Online,
        seed: int,
        directory: Path,
        identity: str,
    ) -> None:
        from ase import Atoms

        self.learner, self.reference, self.settings, self.directory = learner, reference, settings, directory
        # Nothing else that the start may carry, such as labels, belongs to later frames.
        self.seed, self.atoms = seed, Atoms(start.numbers, start.positions, cell=start.cell, pbc=start.pbc)
        self.symbols, masses_amu = start.get_chemical_symbols(), start.get_masses()
        self.n_steps = max(1, round(1000 * settings.duration_ps / settings.time_step_fs))
        temperatures_K = [settings.temperature_K]
        self.integrator = Integrator(masses_amu, temperatures_K, settings.time_step_fs, settings.friction_per_ps)
        self.detectors = Detectors([start], temperatures_K, self.integrator.degrees_of_freedom, settings.bond_checks)
        self.stream = Stream(seed, settings.temperature_K, 0)
        self.state = State(
            self.atoms.positions[None].copy(),
            draw_velocities(self.stream, masses_amu)[None],
            np.zeros((1, len(self.atoms), 3)),
            np.zeros(1),
            self.atoms.cell.array[None].copy(),
        )
        self.tally = _Tally()
        self.n_initial, self.learned = len(initial), list(initial)
        self.ending: _Ending | None = None
        self.noise_block, self.noise = -1, np.empty(0)
        self.clock = time.perf_counter()
        self.digest = _digest(identity, initial, start, settings, seed)
        self.work = directory / WORK_FOLDER
        self.work.mkdir(parents=True, exist_ok=True)
        self.trace = Log(self.work / "trace.csv")
        self._load_checkpoint()

    # The loop

    def advance(self, stop: threading.Event) -> None:
        """Step until the run has ended."""
        self._learn()
        logged, done_before = time.perf_counter(), self.tally.step
        while self.ending is None:
            called = self._next_step()
            if self.ending is None:
                if called or stop.is_set() or self.tally.step % BLOCK_STEPS == 0:
                    self.save_checkpoint()
                if stop.is_set():
                    raise SystemExit(128 + signal.SIGTERM)
            if called:
                self._learn()
            now = time.perf_counter()
            if now - logged >= _LOG_INTERVAL_S:
                self._log_progress((self.tally.step - done_before) / (now - logged))
                logged, done_before = now, self.tally.step
        logger.info(
            "%s after %d of %d steps. %s", self.ending.outcome, self.tally.step, self.n_steps, self.ending.cause
        )

    def _learn(self) -> None:
        with self._timed("fit_s"):
            self.learner.learn(self.learned)

    def _next_step(self) -> bool:
        """One step, the first being the start itself; whether it left a frame to learn."""
        tally, state = self.tally, self.state
        tally.step += 1
        if tally.step > 0:
            self.integrator.before_forces(state, self._noise())
        self.atoms.positions = state.positions_A[0]
        energy_eV, forces_eV_per_A, spreads = self.learner.predict(self.atoms)
        state.energy_eV[0], state.forces_eV_per_A[0] = energy_eV, forces_eV_per_A
        row = self._look(spreads)
        if tally.step > 0:
            self.integrator.after_forces(state)
        if self.ending is None and tally.step == self.n_steps:
            self.ending = _Ending("completed")
        if row.kind != "step" or self.ending is not None or tally.step % self.settings.trace_interval_steps == 0:
            self._write(row)
        return row.kind == "call"

    def _noise(self) -> np.ndarray:
        """Of this step, shape (1, n_atoms, 3)."""
        block, index = divmod(self.tally.step - 1, BLOCK_STEPS)
        if block != self.noise_block:
            self.noise_block, self.noise = block, draw_noise([self.stream], [block], len(self.atoms))
        return self.noise[index]

    def _look(self, spreads: np.ndarray) -> _Row:
        """Judge the present frame; where the reference was called, its forces replace the model's."""
        estimated, threshold = float(spreads.max()), self._threshold()
        names = " ".join(name_atom(self.symbols, atom) for atom in np.flatnonzero(spreads > threshold).tolist())
        row = _Row("step", estimated, threshold, None, names)
        self.ending = self._failure(spreads)
        if self.ending is not None:
            return row
        if estimated > threshold:
            if self.tally.n_calls == self.settings.max_calls:
                cause = f"{names} beyond {1e3 * threshold:.4g} meV/A, and all {self.tally.n_calls} calls are spent"
                self.ending = _Ending("out_of_calls", cause)
                return row
            return self._call(row)
        if self.tally.step % self.settings.audit_interval_steps == 0:
            return self._audit(row)
        return row

    def _threshold(self) -> float:
        """Uncertainty in eV/A beyond which the reference is called."""
        return 1e-3 * self.settings.threshold_meV_per_A / (self.tally.ratio if self.settings.adaptive else 1.0)

    def _failure(self, spreads: np.ndarray) -> _Ending | None:
        """What the detectors say; velocities are those before the last kick, as canonical as those after it."""
        state = self.state
        vectors = np.column_stack([state.forces_eV_per_A[0], spreads])
        lost = nonfinite(self.symbols, vectors, state.energy_eV[0], "force or its uncertainty")
        if lost is None:
            temperature_K = self.integrator.temperature_K(self.integrator.kinetic_energy_eV(state))
            everyone = np.ones(1, dtype=bool)
            lost = self.detectors.check(
                state.positions_A, state.cell_A, state.energy_eV, temperature_K, None, everyone
            ).get(0)
        return None if lost is None else _Ending(lost.outcome, lost.cause)

    def _call(self, row: _Row) -> _Row:
        """Take the present frame into the training set."""
        with self._timed("reference_s"):
            label = self.reference(self.atoms)
        self.tally.n_calls += 1
        if label.status != "ok":
            self.ending = _Ending("engine_error", f"reference {label.status}: {label.message}")
            return row
        true = true_error(self.state.forces_eV_per_A[0], label.forces_eV_per_A)
        frame = fr.labelled(self.atoms, label.energy_eV, label.forces_eV_per_A)
        frame.info[STEP] = self.tally.step
        self.learned.append(frame)
        self.state.energy_eV[0], self.state.forces_eV_per_A[0] = label.energy_eV, label.forces_eV_per_A
        self.tally.ratio = updated_ratio(self.tally.ratio, true, row.estimated)
        logger.info(
            "step %d, call %d: estimated %.4g, true %.4g meV/A, not sure of %s",
            *(self.tally.step, self.tally.n_calls, 1e3 * row.estimated, 1e3 * true, row.atoms),
        )
        return replace(row, kind="call", true=true)

    def _audit(self, row: _Row) -> _Row:
        """Ask the reference for the record alone."""
        with self._timed("audit_s"):
            label = self.reference(self.atoms)
        self.tally.n_audits += 1
        true = None
        if label.status == "ok":
            true = true_error(self.state.forces_eV_per_A[0], label.forces_eV_per_A)
        return replace(row, kind="audit", true=true)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """Add the time that passes to one of the tally's."""
        before = time.perf_counter()
        yield
        setattr(self.tally, name, getattr(self.tally, name) + time.perf_counter() - before)

    def _wall_s(self) -> float:
        return self.tally.wall_s + time.perf_counter() - self.clock

    def _time_ps(self) -> float:
        return round(self.tally.step * self.settings.time_step_fs / 1000, 9)

    def _log_progress(self, steps_per_s: float) -> None:
        logger.info(
            "step %d of %d: %d calls, threshold %.4g meV/A, %.3g ns/day, %.0f s left",
            *(self.tally.step, self.n_steps, self.tally.n_calls, 1e3 * self._threshold()),
            steps_per_s * 86400 * self.settings.time_step_fs * 1e-6,
            (self.n_steps - self.tally.step) / max(steps_per_s, 1e-9),
        )

    # Its files

    def _write(self, row: _Row) -> None:
        errors = (row.estimated, row.true, row.threshold)
        cells = ["" if one is None or not np.isfinite(one) else f"{1e3 * one:.6g}" for one in errors]
        self.trace.append(
            _line([self.tally.step, self._time_ps(), *cells, row.kind, row.atoms, f"{self._wall_s():.3f}"])
        )

    def save_checkpoint(self) -> None:
        """Write everything that the rest of the run depends on, with the trace on disk before it.

        Of the frames only those of the run: the initial ones are given to whoever goes on, and the digest knows them.
        """
        own = self.learned[self.n_initial :]
        tally = asdict(replace(self.tally, wall_s=self._wall_s()))
        self.trace.sync()
        scalars = {
            "digest": self.digest,
            "tally": tally,
            "trace_bytes": self.trace.n_bytes,
            "trace_sha256": self.trace.digest(),
        }
        content = io.BytesIO()
        np.savez(
            content,
            allow_pickle=False,
            scalars=np.array(json.dumps(scalars)),
            **vars(self.state),
            learned_positions_A=np.array([frame.positions for frame in own]),
            learned_energy_eV=fr.energies(own),
            learned_forces_eV_per_A=np.array(fr.forces(own)),
            learned_step=np.array([frame.info[STEP] for frame in own], dtype=int),
        )
        write_checkpoint(self.work / "checkpoint.npz", content.getvalue())

    def _load_checkpoint(self) -> None:
        """Take up the newest sound checkpoint of this very run; without one, begin."""
        for content in sound_checkpoints(self.work / "checkpoint.npz"):
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                stored = dict(archive)
            scalars = json.loads(str(stored["scalars"]))
            if scalars["digest"] != self.digest:
                logger.info("the checkpoint in %s is of another run, starting anew", self.work)
                break
            if self.trace.keep(scalars["trace_bytes"], scalars["trace_sha256"]):
                self._take_up(stored, _Tally(**scalars["tally"]))
                return
            logger.warning("%s is damaged: its rows are not those that a checkpoint knows", self.trace.path)
        self.trace.clear()
        self.trace.append(_line(TRACE_COLUMNS))

    def _take_up(self, stored: dict[str, np.ndarray], tally: _Tally) -> None:
        """Go on from a checkpoint."""
        for name in vars(self.state):
            getattr(self.state, name)[...] = stored[name]
        names = ("learned_positions_A", "learned_energy_eV", "learned_forces_eV_per_A", "learned_step")
        for positions_A, energy_eV, forces_eV_per_A, step in zip(*(stored[name] for name in names), strict=True):
            frame = fr.labelled(self.atoms, energy_eV, forces_eV_per_A)
            frame.positions = positions_A
            frame.info[STEP] = int(step)
            self.learned.append(frame)
        self.tally = tally
        logger.info("going on from step %d of %d", self.tally.step, self.n_steps)

    def finish(self) -> None:
        """Write the outputs, whole, the outcome last, and remove what only a restart needs."""
        assert self.ending is not None
        self.trace.sync()
        self.trace.close()
        text = self.trace.path.read_text(encoding="utf-8")
        write_text(self.directory / "trace.csv", text)
        fr.write(self.directory / "learned.extxyz", self.learned)
        tally = replace(self.tally, wall_s=self._wall_s())
        write_json(
            self.directory / "outcome.json",
            {
                **asdict(self.ending),
                "threshold_meV_per_A": 1e3 * self._threshold(),
                "simulated_ps": self._time_ps(),
                **_summary(list(csv.DictReader(io.StringIO(text))), tally, self.n_initial, self.settings),
            },
        )
        shutil.rmtree(self.work)
