"""Reference methods: one file a method, named by the key ``method`` of its config block.

Each file gives a class ``Config`` (derived from ``Block``) and functions::

    calculator(config, spin: int | None = None) -> ase calculator
    level(config) -> str      the level of theory, as it stands in cards and tables
    version(config) -> str    of the libraries behind it; stored labels of another version are not used
    safer(config) -> Config   for a second attempt where the SCF did not converge; a file may lack it

``spin`` is given for an isolated, neutral atom: its number of unpaired electrons. Without it the
calculator describes the molecule that the config states.
A calculator may keep state between calls only where that does not change its results; a file whose
calculators may not keep to that says ``REMEMBERS = True``. One whose calculators use no GPU, no PyTorch and no program
outside says ``FORKS = True``: a process for them may be a fork, which starts faster than a program of its own.

Whatever a frame does to its calculation, it costs that frame alone: calculations run in a process that may crash and
is ended at the time limit (``InProcessLabeller``, ``attempt`` and ``evaluate`` are what runs there).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import longhot.references
from longhot.block import Block, InputError, parse_block, plugin
from longhot.potential import BatchResult, Label, LabelStatus, every_size
from longhot.references._time_limit import time_limit

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.references._workers import Workers

LARGEST_COORDINATE_A = 1e4
"""Further out than this a frame has exploded, and compiled codes may end the whole process on it."""
SMALLEST_DISTANCE_A = 0.05
"""Nuclei closer than this have fused; some codes return finite numbers for them all the same."""


def parse(raw: dict[str, Any] | Block) -> Block:
    """The config block of any method, from plain data.

    Raises:
        InputError: no key ``method``, an unknown method, or a fault in its keys.
    """
    return parse_block(longhot.references, "method", "reference", "reference method", raw)


def level_of_theory(config: Block) -> str:
    """The level of theory of a reference block, for cards and tables."""
    return plugin(longhot.references, config.method).level(config)  # type: ignore[attr-defined]


def new_calculator(config: Block, spin: int | None = None) -> Any:
    """An ASE calculator of a reference block; ``spin`` as in the package's docstring.

    Raises:
        InputError: the method's library is missing, or refuses its settings.
    """
    return plugin(longhot.references, config.method).calculator(config, spin)  # type: ignore[attr-defined]


def check_electrons(config: Block, numbers: np.ndarray) -> None:
    """Refuse a charge and multiplicity that the molecule's electrons cannot have.

    The xTB codes would run such an input, and pair the electrons as they see fit.

    Raises:
        InputError: an odd number of electrons with an odd multiplicity, or even with even.
    """
    charge, multiplicity = getattr(config, "charge", None), getattr(config, "multiplicity", None)
    if charge is None or multiplicity is None:
        return
    electrons = int(np.sum(numbers)) - charge
    if (electrons + multiplicity) % 2 == 0:
        raise InputError(
            f"reference: {electrons} electrons (charge {charge}) cannot have multiplicity {multiplicity}, "
            "set `charge` or `multiplicity`"
        )


def failed(n_atoms: int, status: LabelStatus, message: str, wall_s: float) -> Label:
    """A label without numbers."""
    return Label(np.nan, np.full((n_atoms, 3), np.nan), status, message, wall_s)


def _unusable(positions_A: np.ndarray, periodic: bool) -> tuple[LabelStatus, str] | None:
    """Why no code should see these positions; None where it may."""
    largest_A = np.abs(positions_A).max(initial=0.0)
    if not np.isfinite(largest_A):
        return "nonfinite", "a position is NaN or infinite"
    if largest_A > LARGEST_COORDINATE_A:
        return "nonfinite", f"a position lies beyond {LARGEST_COORDINATE_A:g} A"
    if not periodic:
        nearest_A = _nearest_A(positions_A)
        if nearest_A < SMALLEST_DISTANCE_A:
            return "crashed", f"two nuclei are {nearest_A:.3f} A apart"
    return None


def _nearest_A(positions_A: np.ndarray) -> float:
    """Smallest distance of two atoms; by products of vectors, which costs a sixth of what SciPy's pdist does."""
    products = positions_A @ positions_A.T
    squares = products.diagonal()
    squared_distances = squares[:, None] + squares - 2 * products
    np.fill_diagonal(squared_distances, np.inf)
    return float(np.sqrt(max(0.0, squared_distances.min(initial=np.inf))))


def evaluate(calculator: Any, atoms: Atoms) -> Label:
    """Energy and forces of one frame by an ASE calculator, or the typed reason why there are none.

    Never raises for what a frame can cause; one that takes longer than the time limit ends this process.
    """
    start = time.perf_counter()
    unusable = _unusable(atoms.positions, bool(atoms.pbc.any()))
    if unusable is not None:
        return failed(len(atoms), *unusable, time.perf_counter() - start)
    try:
        with time_limit():
            # Forces first: whoever computes them has the energy too. Asked for it, ASE compares all atoms again, which
            # costs a tenth of a fast method.
            forces_eV_per_A = np.array(calculator.get_forces(atoms), dtype=float)
            energy_eV = getattr(calculator, "results", {}).get("energy")
            energy_eV = float(calculator.get_potential_energy(atoms) if energy_eV is None else energy_eV)
    except Exception as error:  # any code may stand behind the calculator
        message = " ".join(f"{type(error).__name__}: {error}".split())
        status: LabelStatus = "not_converged" if _is_convergence_failure(error) else "crashed"
        return failed(len(atoms), status, message, time.perf_counter() - start)
    wall_s = time.perf_counter() - start
    if forces_eV_per_A.shape != (len(atoms), 3):
        return failed(len(atoms), "crashed", f"forces have the shape {forces_eV_per_A.shape}", wall_s)
    if not (np.isfinite(energy_eV) and np.isfinite(forces_eV_per_A).all()):
        return failed(len(atoms), "nonfinite", "the energy or a force is NaN or infinite", wall_s)
    return Label(energy_eV, forces_eV_per_A, wall_s=wall_s)


def _is_convergence_failure(error: Exception) -> bool:
    from ase.calculators.calculator import SCFError

    return isinstance(error, SCFError) or "converge" in str(error).lower()


def attempt(calculator: Any, config: Block, atoms: Atoms, spin: int | None = None) -> Label:
    """As ``evaluate``, with a second attempt by safer settings where the SCF did not converge.

    Args:
        calculator: of ``config`` and ``spin``.
        config: the reference method.
        atoms: the frame.
        spin: as in the package's docstring.
    """
    first = evaluate(calculator, atoms)
    settings = safer(config) if first.status == "not_converged" else None
    if settings is None:
        return first
    second = evaluate(new_calculator(settings, spin), atoms)
    wall_s = first.wall_s + second.wall_s
    if second.status == "ok":
        return replace(second, wall_s=wall_s, attempts=2)
    return replace(first, message=f"{first.message}; with safer settings {second.message}", wall_s=wall_s, attempts=2)


class InProcessLabeller:
    """Labels frame by frame with one method in this process, which a crash takes with it."""

    def __init__(self, config: Block, spin: int | None = None) -> None:
        """Set the method up; ``spin`` as in the package's docstring.

        Raises:
            InputError: its library is missing, or refuses its settings.
        """
        self._config, self._spin, self._calculator = config, spin, new_calculator(config, spin)

    def __call__(self, atoms: Atoms) -> Label:
        """Energy and forces of a frame, or the typed reason why there are none."""
        found = attempt(self._calculator, self._config, atoms, self._spin)
        if found.status != "ok" or found.attempts > 1:
            # A failed calculation may have spoilt the calculator for the frames that follow.
            self._calculator = new_calculator(self._config, self._spin)
        return found


class Labeller:
    """Labels frame by frame with one method, in a process of its own that ends with this object."""

    def __init__(self, config: Block, spin: int | None = None) -> None:
        """Set the method up; ``spin`` as in the package's docstring.

        Raises:
            InputError: its library is missing, or refuses its settings.
        """
        from longhot.references._guard import Guard

        self._guard = Guard(config, spin)
        self._guard.start()

    def __call__(self, atoms: Atoms) -> Label:
        """Energy and forces of a frame, or the typed reason why there are none."""
        self._guard.hold(atoms)
        (forces_eV_per_A,), [row] = self._guard.compute(atoms.positions[None])
        energy_eV, status, message, wall_s, attempts = row
        return Label(energy_eV, forces_eV_per_A, status, message, wall_s, attempts)


def safer(config: Block) -> Block | None:
    """Settings of the same level of theory for a second attempt; None where the method has none."""
    method = plugin(longhot.references, config.method)  # type: ignore[attr-defined]
    return method.safer(config) if hasattr(method, "safer") else None


def label(frames: Sequence[Atoms], config: Block, *, workers: int = 1, store: str | Path | None = None) -> list[Label]:
    """Energy and forces of each frame, in their order; a failed frame is a typed label and stops nothing.

    Args:
        frames: what to label.
        config: the reference method.
        workers: number of processes that label at once, each on one thread.
        store: folder of labels that are known from before, and of those that become known.

    Raises:
        InputError: the method itself cannot be set up.
    """
    if workers == 1 and store is None:
        labeller = Labeller(config)
        return [labeller(atoms) for atoms in frames]
    with new_workers(config, workers, store) as pool:
        return pool.label(frames)


def new_workers(config: Block, workers: int, store: str | Path | None = None) -> Workers:
    """Processes that label, as a context manager with ``start`` and ``label``; arguments as for ``label``.

    Raises:
        InputError: the library behind the method is missing.
    """
    from longhot.references._workers import Workers

    return Workers(config, workers, store)


def isolated_atom_energy_eV(symbol: str, config: Block) -> float:
    """Energy of one neutral atom in the spin state of its ground state.

    Raises:
        InputError: the method gives no energy for this element.
    """
    from ase import Atoms
    from ase.data import atomic_numbers, ground_state_magnetic_moments

    spin = int(ground_state_magnetic_moments[atomic_numbers[symbol]])
    atom = Atoms(symbol, positions=[(0.0, 0.0, 0.0)], magmoms=[spin])
    found = Labeller(config, spin)(atom)
    if found.status != "ok":
        raise InputError(
            f"reference {level_of_theory(config)} gives no energy for an isolated {symbol} atom ({found.message}): "
            "state it under `isolated_atoms` of the dataset, with origin `values`"
        )
    return found.energy_eV


class ReferenceBatch:
    """Replicas of the same atoms, computed one after the other in a process of their own."""

    def __init__(self, config: Block, atoms: Atoms):
        from longhot.references._guard import Guard

        self._guard = Guard(config)
        self._guard.hold(atoms)
        self._remembers = getattr(plugin(longhot.references, config.method), "REMEMBERS", False)  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Forget everything of earlier calls."""
        if self._remembers:
            self._guard.forget()

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Energies and forces; shapes as in ``longhot.potential.BatchPotential``."""
        found = self._guard.compute(positions_A, cell_A)
        return BatchResult(
            energy_eV=np.array([energy_eV for energy_eV, *_ in found.rows]),
            forces_eV_per_A=found.forces_eV_per_A,
            errors={
                index: f"{status}: {message}"
                for index, (_, status, message, *_) in enumerate(found.rows)
                if status != "ok"
            },
        )


class ReferencePotential:
    """A reference method as a potential: what the control and the baseline run."""

    def __init__(self, config: Block, *, workers: int = 1, store: str | Path | None = None):
        """Take a method; ``workers`` and ``store``, as for ``label``, are for its predictions."""
        self.config, self._workers, self._store = config, workers, store

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame."""
        return label(frames, self.config, workers=self._workers, store=self._store)

    def batch(self, atoms: Atoms, n_replicas: int) -> ReferenceBatch:
        """A potential for ``n_replicas`` copies of ``atoms``."""
        return ReferenceBatch(self.config, atoms)

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Every size, for replicas are computed one by one."""
        return every_size(n_replicas)
