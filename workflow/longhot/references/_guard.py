"""One reference method in a process of its own, for whoever needs each answer before the next question, as MD does.

A frame that is the end of that process, by a crash or by the time limit, costs a typed label; a new process goes on
with the others. Results are those of the same calculators in this process, bit for bit: each replica has its own.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import shutil
import signal
import tempfile
import weakref
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import longhot.references
from longhot.block import Block, InputError, plugin
from longhot.potential import LabelStatus
from longhot.references import InProcessLabeller
from longhot.references._frames import Packed, pack, unpack
from longhot.references._processes import Fork, Program, cause_of_death

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

Question = tuple[list[int], bytes, bytes | None, Packed | None, bool]
"""What is sent once a batch: the numbers of the replicas, each of which has a calculator of its own; their positions
and cells; what they are copies of, or None where that is as before; and whether the calculators are made anew. Arrays
go as bytes, which pickle in a third of the time: next to a cheap frame it counts."""
Row = tuple[float, LabelStatus, str, float, int]
"""The fields of a label but for its forces, in an order of their own: energy_eV, status, message, wall_s, attempts."""


class Answer(NamedTuple):
    """Labels of some replicas, in what a batch wants."""

    forces_eV_per_A: np.ndarray
    """Shape (n_replicas, n_atoms, 3)."""
    rows: list[Row]


def _joined(answers: list[Answer]) -> Answer:
    return Answer(np.concatenate([one.forces_eV_per_A for one in answers]), [one.rows[0] for one in answers])


def serve(questions: Connection, answers: Connection) -> None:
    """What the process runs: set a reference method up, then compute what comes until nothing does."""
    config, spin = questions.recv()
    try:
        replicas = _Replicas(config, spin)
    except InputError as error:
        answers.send(error)
        return
    answers.send(None)
    with contextlib.suppress(EOFError):
        while True:
            # Plain pickle: the connections' own costs several times as much.
            question = pickle.loads(questions.recv_bytes())
            answers.send_bytes(pickle.dumps(replicas.answer(question)))
    # Whoever asked is gone, which ends this process and removes what it leaves: an end of its own would leave it there.
    signal.pause()


class _Replicas:
    """Copies of the same atoms with a calculator each, in the process that computes."""

    def __init__(self, config: Block, spin: int | None) -> None:
        self._config, self._spin = config, spin
        # The first shows that the method can be set up.
        self._labellers = {0: InProcessLabeller(config, spin)}
        self._copies: dict[int, Atoms] = {}
        self._atoms: Atoms | None = None

    def answer(self, question: Question) -> tuple[bytes, list[Row]]:
        """All forces, shape (n_replicas, n_atoms, 3), and the other fields of each label."""
        numbers, positions, cells, atoms, forget = question
        if forget:
            self._labellers.clear()
            # Calculators hold themselves in cycles, which Python alone would let grow to gigabytes.
            gc.collect()
        if atoms is not None:
            self._atoms = unpack(*atoms)
            self._copies.clear()
        positions_A = np.frombuffer(positions).reshape(len(numbers), -1, 3)
        cells_A = None if cells is None else np.frombuffer(cells).reshape(-1, 3, 3)
        labels = []
        for index, number in enumerate(numbers):
            replica, labeller = self._replica(number)
            replica.positions = positions_A[index]
            if cells_A is not None:
                replica.cell = cells_A[index]
            labels.append(labeller(replica))
        forces = b"".join(one.forces_eV_per_A.tobytes() for one in labels)
        return forces, [(one.energy_eV, one.status, one.message, one.wall_s, one.attempts) for one in labels]

    def _replica(self, number: int) -> tuple[Atoms, InProcessLabeller]:
        if number not in self._copies:
            assert self._atoms is not None
            self._copies[number] = self._atoms.copy()
        if number not in self._labellers:
            self._labellers[number] = InProcessLabeller(self._config, self._spin)
        return self._copies[number], self._labellers[number]


def _bytes(values: np.ndarray) -> bytes:
    return np.asarray(values, dtype=float).tobytes()


class _Ended(Exception):
    """The process ended before it answered."""

    def __init__(self, status: LabelStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def _end(process: Program | Fork, temporary: str | None, owner: int) -> int:
    """End a process and remove what it left; its exit code. A fork of the owner has no say in it."""
    if os.getpid() != owner:
        return 0
    code = process.end()
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)
    return code


class Guard:
    """One reference method in a process of its own, which ends with this object."""

    def __init__(self, config: Block, spin: int | None = None) -> None:
        """Start no process yet; ``spin`` as in the docstring of ``longhot.references``."""
        self._config, self._spin = config, spin
        self._process: Program | Fork | None = None
        self._atoms: Packed | None = None
        self._atoms_are_new = self._forget = False
        self._deadly: dict[bytes, Answer] = {}

    def start(self) -> None:
        """Start a process, unless one runs.

        Raises:
            InputError: the method cannot be set up.
        """
        if self._process is not None:
            return
        temporary = None
        if getattr(plugin(longhot.references, self._config.method), "FORKS", False):  # type: ignore[attr-defined]
            # Here first, so that no fork has to import its library again.
            longhot.references.new_calculator(self._config, self._spin)
            self._process = Fork(serve)
        else:
            temporary = tempfile.mkdtemp(prefix="longhot-")
            self._process = Program(__name__, temporary)
        self._close = weakref.finalize(self, _end, self._process, temporary, os.getpid())
        try:
            said = self._exchange((self._config, self._spin))
        except _Ended as ended:
            raise InputError(f"reference: {ended} while it was set up") from None
        if said is not None:
            self._stop()
            raise said
        self._atoms_are_new, self._forget = True, False

    def hold(self, atoms: Atoms) -> None:
        """Take the atoms that the replicas are copies of from now on."""
        self._atoms, self._atoms_are_new = pack(atoms), True
        self._deadly.clear()

    def forget(self) -> None:
        """Let the next answer depend on none before."""
        self._forget = True

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> Answer:
        """What the method says of each replica; shapes as in ``longhot.potential.BatchPotential``.

        Raises:
            InputError: the method cannot be set up.
        """
        replicas = list(range(len(positions_A)))
        # A frame that was the end of a process is not tried again: MD leaves a replica that ended where it began.
        known = {
            number: self._deadly[frame]
            for number in (replicas if self._deadly else ())
            if (frame := self._frame(number, positions_A, cell_A)) in self._deadly
        }
        if not known:
            return self._computed(replicas, positions_A, cell_A)
        rest = [number for number in replicas if number not in known]
        found = self._computed(rest, positions_A, cell_A) if rest else Answer(np.empty(0), [])
        known |= {number: Answer(found.forces_eV_per_A[i, None], [found.rows[i]]) for i, number in enumerate(rest)}
        return _joined([known[number] for number in replicas])

    def _frame(self, number: int, positions_A: np.ndarray, cell_A: np.ndarray | None) -> bytes:
        return _bytes(positions_A[number]) + (b"" if cell_A is None else _bytes(cell_A[number]))

    def _computed(self, replicas: list[int], positions_A: np.ndarray, cell_A: np.ndarray | None) -> Answer:
        """An answer for some replicas; where they are the end of the process, each is tried alone."""
        try:
            return self._ask(replicas, positions_A, cell_A)
        except _Ended as ended:
            if len(replicas) == 1:
                logger.warning("the reference has no label for a frame: %s, %s", ended.status, ended.message)
                nothing = np.full((1, *positions_A.shape[1:]), np.nan)
                answer = Answer(nothing, [(np.nan, ended.status, ended.message, 0.0, 1)])
                self._deadly[self._frame(replicas[0], positions_A, cell_A)] = answer
                return answer
            logger.warning(
                "the reference has no labels for %d frames (%s), each is tried alone", len(replicas), ended.message
            )
        return _joined([self._computed([one], positions_A, cell_A) for one in replicas])

    def _ask(self, replicas: list[int], positions_A: np.ndarray, cell_A: np.ndarray | None) -> Answer:
        self.start()
        atoms = self._atoms if self._atoms_are_new else None
        if len(replicas) < len(positions_A):
            positions_A, cell_A = positions_A[replicas], None if cell_A is None else cell_A[replicas]
        cells = None if cell_A is None else _bytes(cell_A)
        forces, rows = self._exchange((replicas, _bytes(positions_A), cells, atoms, self._forget))
        self._atoms_are_new = self._forget = False
        # A copy, for the bytes themselves are not writable.
        return Answer(np.frombuffer(forces).reshape(positions_A.shape).copy(), rows)

    def _exchange(self, message: Any) -> Any:
        """What the process says to a message.

        Raises:
            _Ended: it ended in place of that.
        """
        assert self._process is not None
        try:
            self._process.questions.send_bytes(pickle.dumps(message))
            return pickle.loads(self._process.answers.recv_bytes())
        except (EOFError, ConnectionError):
            raise _Ended(*cause_of_death(self._stop())) from None
        except BaseException:
            # Else its answer would be taken for that to the next question.
            self._stop()
            raise

    def _stop(self) -> int:
        self._process = None
        code = self._close()
        assert code is not None
        return int(code)
