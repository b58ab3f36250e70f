"""Structures that the report shows: which frames, within what budget, and the keys that plotted points know them by."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longhot import frames as fr
from longhot.config import REFERENCE_MODEL
from longhot.dynamics import samples
from longhot.dynamics.recheck import RecheckedFrames
from longhot.dynamics.tables import ERROR, SPREAD
from longhot.dynamics.tables import read as read_table
from longhot.dynamics.trajectory import OFFENDING
from longhot.files import atomic_path
from longhot.learning import dataset_map
from longhot.learning.dataset_map import PhaseRun, Simulation, Sources
from longhot.report.rows import rows_of

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

MOST_NUMBERS = 400_000
"""Coordinates and force components that the page carries: about 2.4 MB of text, and 1 MB packed."""
N_WORST = 6
"""Frames of the largest errors that are shown of each model, training size and temperature."""
FARTHEST_A = 1e4
"""A frame with an atom farther out has exploded beyond any picture."""
GOLDEN = 0.618034
THOUSANDTHS = 1000
"""Positions are stored in mA, forces in meV/A: three decimals."""


def key(
    dataset: str, model: str, train_size: int, seed: int, temperature_K: float, replica: int, time_ps: float
) -> str:
    """Name of a frame of a simulation, in plots and in the viewer."""
    return f"{dataset}/{model}/n{int(train_size)}/seed{int(seed)}/{temperature_K:g}K/{int(replica)}/{time_ps:.9g}ps"


def data_key(dataset: str, kind: str, frame: int) -> str:
    """Name of a frame of a data set: ``kind`` is train, valid or the name of a test set, ``frame`` its place there."""
    return f"{dataset}/{kind}/{int(frame)}"


def phase_key(dataset: str, model: str, phase: str, temperature_K: float, frame: int) -> str:
    """Name of a frame of the run of a phase."""
    return f"{dataset}/{model}/{phase}/{temperature_K:g}K/{int(frame)}"


def map_keys(table: pd.DataFrame) -> list[str]:
    """The key of each row of dataset_map.csv."""
    return [_map_key(row) for row in table.to_dict("records")]


def _map_key(row: Mapping[str, Any]) -> str:
    if row["kind"] not in (dataset_map.MD, dataset_map.FAILURE):
        return data_key(row["dataset"], row["kind"], row["frame"])
    if row["phase"]:
        return phase_key(row["dataset"], row["model"], row["phase"], row["temperature_K"], row["frame"])
    ids = ("dataset", "model", "train_size", "seed", "temperature_K", "replica", "time_ps")
    return key(**{name: row[name] for name in ids})


@dataclass(frozen=True)
class Candidate:
    """A frame that the page may carry."""

    key: str
    atoms: Atoms
    facts: dict[str, Any] = field(default_factory=dict)
    """What the viewer says beside it."""
    forces_eV_per_A: dict[str, np.ndarray] = field(default_factory=dict)
    """By whose they are: ``model`` and ``reference``, each of shape (n_atoms, 3)."""

    @property
    def cost(self) -> int:
        """Numbers that it takes."""
        return 3 * len(self.atoms) * (1 + len(self.forces_eV_per_A))


@dataclass(frozen=True)
class Film:
    """Frames of the same atoms that are shown one after the other."""

    group: str
    label: str
    kind: Literal["failure", "worst", "rechecked", "data"]
    frames: Sequence[Candidate]
    turn: int = 0
    """Of failures: how many of the same group and outcome come before it."""
    note: str = ""
    offending: Sequence[int] = ()

    @property
    def priority(self) -> tuple[int, int]:
        """Films of low numbers are stored first."""
        first = {"failure": 2 if self.turn else 0, "worst": 1, "rechecked": 3, "data": 4}
        return first[self.kind], self.turn

    @property
    def is_whole(self) -> bool:
        """Whether it is of no use in parts."""
        return self.kind == "failure"

    def in_turn(self) -> list[Candidate]:
        """Its frames in the order in which they are stored: any first few are spread evenly, or are the worst."""
        if self.kind == "worst":
            return list(self.frames)
        places = np.argsort((GOLDEN * np.arange(1, len(self.frames) + 1)) % 1, kind="stable")
        return [self.frames[place] for place in np.argsort(places, kind="stable")]


class Store:
    """The frames that the page carries, each once, within the budget."""

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.frames: list[dict[str, Any]] = []
        self.systems: list[dict[str, Any]] = []
        self._places: dict[str, int] = {}

    def add(self, candidate: Candidate) -> None:
        """Store a frame, or what it adds to the stored one of its key, where the budget allows it."""
        if candidate.key not in self._places:
            if candidate.cost > self.left:
                return
            self._places[candidate.key] = len(self.frames)
            self.frames.append(self._placed(candidate))
            self.left -= 3 * len(candidate.atoms)
        stored = self.frames[self._places[candidate.key]]
        stored.update(candidate.facts)
        for name, values in candidate.forces_eV_per_A.items():
            if name not in stored and values.size <= self.left:
                stored[name] = _integers(values)
                self.left -= values.size

    def places(self, frames: Sequence[Candidate]) -> list[int]:
        """Where those of some frames that are stored stand."""
        return [self._places[one.key] for one in frames if one.key in self._places]

    def _placed(self, candidate: Candidate) -> dict[str, Any]:
        atoms = centred(candidate.atoms)
        placed = {"key": candidate.key, "system": self._system(atoms), "positions": _integers(atoms.positions)}
        return placed | ({"cell": _integers(atoms.cell.array)} if atoms.pbc.any() else {})

    def _system(self, atoms: Atoms) -> int:
        system = {"symbols": atoms.get_chemical_symbols(), "periodic": bool(atoms.pbc.any())}
        if system not in self.systems:
            self.systems.append(system)
        return self.systems.index(system)


def _integers(values: np.ndarray) -> list[int]:
    return np.rint(THOUSANDTHS * np.asarray(values, dtype=float)).astype(int).ravel().tolist()


def centred(atoms: Atoms) -> Atoms:
    """A molecule about the origin, wherever it drifted to; the atoms of a crystal within their cell."""
    atoms = atoms.copy()
    if atoms.pbc.any():
        atoms.wrap()
    else:  # by the median, which a few atoms that fly away do not move
        atoms.positions -= np.median(atoms.positions, axis=0)
    return atoms


def drawable(positions_A: np.ndarray) -> bool:
    """Whether a frame can be shown at all."""
    return bool(np.isfinite(positions_A).all() and np.abs(positions_A).max(initial=0.0) < FARTHEST_A)


def films(sources: Sources, places: pd.DataFrame) -> list[Film]:
    """Everything of one data set that is worth showing, in reading order.

    Args:
        sources: its files.
        places: its rows of dataset_map.csv: the frames of the data set, and of phases, that stand on the map.
    """
    rechecked = [frame for one in sources.simulations for frame in _rechecked(sources.dataset, one)]
    phases = [_phase(sources.dataset, run, places) for run in sources.phases]
    return [*_worst(rechecked), *_failures(sources), *_along(rechecked), *_data(sources, places), *phases]


def group_name(dataset: str, model: str, train_size: int, temperature_K: float) -> str:
    """What the viewer calls the simulations of one model at one temperature."""
    who = "control" if model == REFERENCE_MODEL else f"{model}, N = {int(train_size)}"
    return f"{dataset}: {who}, {temperature_K:g} K"


def trajectory_name(seed: int, replica: int) -> str:
    """What the viewer calls one of them."""
    return f"seed {int(seed)}, replica {int(replica)}"


def _failures(sources: Sources) -> Iterator[Film]:
    """A film of the last checks of each trajectory that failed."""
    turns: Counter[tuple[str, str]] = Counter()
    for simulation in sources.simulations:
        stored = fr.read(simulation.failures) if simulation.failures.stat().st_size else []
        for _, each in itertools.groupby(stored, lambda one: (one.info["temperature_K"], one.info["replica"])):
            frames = list(each)
            last = frames[-1]
            shown = [frame for frame in frames if drawable(frame.positions)]
            group = group_name(sources.dataset, simulation.model, simulation.train_size, last.info["temperature_K"])
            outcome = str(last.info["outcome"]).replace("_", " ")
            yield Film(
                group,
                f"{outcome} after {last.info['time_ps']:.4g} ps, "
                f"{trajectory_name(simulation.seed, last.info['replica'])}",
                "failure",
                [_check(sources.dataset, simulation, frame) for frame in shown],
                turn=turns[group, outcome],
                note=str(last.info["cause"]) + ("" if shown[-1:] == [last] else "; the failed frame cannot be drawn"),
                offending=np.flatnonzero(last.arrays[OFFENDING]).tolist(),
            )
            turns[group, outcome] += 1


def _check(dataset: str, simulation: Simulation, frame: Atoms) -> Candidate:
    """One of the last checks of a trajectory that failed."""
    info = frame.info
    name = key(
        dataset,
        simulation.model,
        simulation.train_size,
        simulation.seed,
        float(info["temperature_K"]),
        int(info["replica"]),
        float(info["time_ps"]),
    )
    facts = _facts(time_ps=info["time_ps"], kinetic_K=info["kinetic_temperature_K"])
    facts["trajectory"] = trajectory_name(simulation.seed, info["replica"])
    return Candidate(name, frame, facts | ({"failed": True} if info["failed"] else {}))


def _facts(**numbers: float) -> dict[str, Any]:
    """Those numbers that are known, with the digits that are worth showing."""
    return {name: float(f"{value:.6g}") for name, value in numbers.items() if np.isfinite(value)}


@dataclass(frozen=True)
class Rechecked:
    """A rechecked frame and its trajectory."""

    group: str
    trajectory: str
    error: float
    frame: Candidate


def _rechecked(dataset: str, simulation: Simulation) -> Iterator[Rechecked]:
    """The rechecked frames of a simulation, with the forces that are known."""
    from ase import Atoms

    table, stored = read_table(simulation.recheck), RecheckedFrames.load(simulation.recheck.with_suffix(".npz"))
    ids = (dataset, simulation.model, simulation.train_size)
    for row, positions_A, cell_A, own, truth in zip(
        table.to_dict("records"),
        stored.positions_A,
        stored.cell_A,
        stored.model_forces_eV_per_A,
        stored.reference_forces_eV_per_A,
        strict=True,
    ):
        forces = {"model": own, "reference": truth}
        facts = _facts(
            time_ps=row["time_ps"],
            force_mae=row[ERROR],
            energy_error=row["energy_error_meV_per_atom"],
            spread=row[SPREAD],
        )
        trajectory = trajectory_name(simulation.seed, row["replica"])
        yield Rechecked(
            group_name(*ids, row["temperature_K"]),
            trajectory,
            row[ERROR],
            Candidate(
                key(*ids, simulation.seed, row["temperature_K"], row["replica"], row["time_ps"]),
                Atoms(stored.numbers, positions_A, cell=cell_A, pbc=stored.pbc),
                {"choice": row["choice"], "trajectory": trajectory, **facts},
                {name: values for name, values in forces.items() if np.isfinite(values).all()},
            ),
        )


def _worst(rechecked: Sequence[Rechecked]) -> Iterator[Film]:
    """Of each group the frames of the largest errors, the worst first."""
    for group, own in _grouped(rechecked, lambda one: one.group).items():
        known = sorted((one for one in own if one.error > 0), key=lambda one: -one.error)
        if known:
            yield Film(group, "worst rechecked frames", "worst", [one.frame for one in known[:N_WORST]])


def _along(rechecked: Sequence[Rechecked]) -> Iterator[Film]:
    """The rechecked frames of each trajectory in the order of time."""
    for (group, trajectory), own in _grouped(rechecked, lambda one: (one.group, one.trajectory)).items():
        yield Film(group, f"rechecked frames, {trajectory}", "rechecked", [one.frame for one in own])


def _grouped(rechecked: Sequence[Rechecked], by: Callable[[Rechecked], Any]) -> dict[Any, list[Rechecked]]:
    """Frames by a property, the groups in the order in which they first come."""
    groups: dict[Any, list[Rechecked]] = {}
    for one in rechecked:
        groups.setdefault(by(one), []).append(one)
    return groups


def _data(sources: Sources, places: pd.DataFrame) -> Iterator[Film]:
    """The frames of the data set that stand on the map, with their labels."""
    files = {dataset_map.TRAIN: "train_pool", dataset_map.VALID: "valid"}
    for kind, rows in places[~places["kind"].isin([dataset_map.MD, dataset_map.FAILURE])].groupby("kind", sort=False):
        stored = fr.read(sources.folder / f"{files.get(str(kind), 'test')}.extxyz")
        label = "training pool" if kind == dataset_map.TRAIN else f"{kind} frames"
        frames = [
            Candidate(
                data_key(sources.dataset, str(kind), index),
                stored[index],
                forces_eV_per_A={"reference": stored[index].arrays[fr.FORCES]},
            )
            for index in rows["frame"].astype(int)
        ]
        yield Film(f"{sources.dataset}: data", label, "data", frames)


def _phase(dataset: str, run: PhaseRun, places: pd.DataFrame) -> Film:
    """The frames of the run of a phase that stand on the map."""
    from ase import Atoms

    stored, frames = samples.load(run.path), []
    of_run = rows_of(places, model=run.model, phase=run.phase, temperature_K=run.temperature_K)
    for index in of_run["frame"].astype(int):
        sample = stored.frame_sample[index]
        atoms = Atoms(stored.numbers, stored.positions_A[index], cell=stored.cell_A[sample], pbc=True)
        name = phase_key(dataset, run.model, run.phase, run.temperature_K, index)
        frames.append(Candidate(name, atoms, _facts(time_ps=stored.time_ps[sample])))
    who = "the reference" if run.model == REFERENCE_MODEL else run.model
    return Film(f"{dataset}: MD of {who}", f"{run.phase} at {run.temperature_K:g} K", "data", frames)


def collect(every: Sequence[Film], budget: int = MOST_NUMBERS) -> dict[str, Any]:
    """What the viewer reads, as plain data: systems, frames and films, and how many frames there were.

    Of films of one priority each gives a frame in turn. A film of which nothing could be stored is left out.

    Args:
        every: the films in reading order.
        budget: numbers that may be stored.
    """
    from ase.data import atomic_numbers, covalent_radii

    usable = [replace(film, frames=[one for one in film.frames if drawable(one.atoms.positions)]) for film in every]
    store = Store(budget)
    for _, level in itertools.groupby(sorted(usable, key=lambda film: film.priority), lambda film: film.priority):
        in_parts = []
        for film in level:
            if not film.is_whole:
                in_parts.append(film.in_turn())
            elif sum(one.cost for one in film.frames) <= store.left:
                for candidate in film.frames:
                    store.add(candidate)
        for candidate in itertools.chain(*itertools.zip_longest(*in_parts)):
            if candidate is not None:
                store.add(candidate)
    shown = []
    for film in usable:
        places = store.places(film.frames)
        if places and (not film.is_whole or len(places) == len(film.frames)):
            about = {name: getattr(film, name) for name in ("group", "label", "kind", "note")}
            shown.append({**about, "offending": list(film.offending), "frames": places})
    symbols = {symbol for system in store.systems for symbol in system["symbols"]}
    return {
        "films": shown,
        "frames": store.frames,
        "systems": store.systems,
        "radii_A": {symbol: float(covalent_radii[atomic_numbers[symbol]]) for symbol in sorted(symbols)},
        "n_frames": len({one.key for film in usable for one in film.frames}),
    }


def write(sources: Sequence[Sources], dataset_map_path: str | Path, out: str | Path) -> None:
    """Write what the viewer reads as gzipped JSON, the same bytes for the same structures.

    Args:
        sources: the files of each data set.
        dataset_map_path: dataset_map.csv.
        out: structures.json.gz.
    """
    places = dataset_map.read(dataset_map_path)
    every = [film for one in sources for film in films(one, rows_of(places, dataset=one.dataset))]
    text = json.dumps(collect(every), separators=(",", ":"), allow_nan=False)
    with atomic_path(out) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))


def read(path: str | Path) -> dict[str, Any]:
    """Read what ``write`` wrote."""
    return json.loads(gzip.decompress(Path(path).read_bytes()))
