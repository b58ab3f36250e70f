"""A map of a data set: where training, test and visited frames lie, and how far MD goes from its training set.

Frames are compared by the kernel k = (p.p')^4 of their normalised mean SOAP vectors p. In the space of this kernel
two frames are sqrt(2 - 2k) apart. The map is the plane in which the training frames spread most (kernel PCA,
Schoelkopf, Smola and Mueller, Neural Computation 10, 1299, 1998); what leaves it sideways keeps its distance.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames as fr
from longhot.config import REFERENCE_MODEL
from longhot.dynamics import samples
from longhot.dynamics.recheck import RecheckedFrames
from longhot.dynamics.statistics import rank_agreement
from longhot.dynamics.tables import ERROR
from longhot.dynamics.tables import read as read_table
from longhot.files import atomic_path, read_json
from longhot.learning.subsets import descriptors

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

EXPONENT = 4
"""Of the kernel, as is usual with SOAP."""
MOST_FRAMES = 1000
"""Frames of one kind and data set, spread evenly over those there are ..."""
MOST_ATOMS = 50_000
"""... and no more than have so many atoms together, which bounds the cost for large systems too."""
PHASE_FRAMES = 25
"""Frames of each run of a phase."""

TRAIN, VALID, MD, FAILURE = "train", "valid", "md", "failure"
"""Kinds of frames; those of a test set have its name, which a source must not let be one of these."""
EVEN = "even"
"""The choice of frames that stand for all that MD visited; the others were picked for their errors."""
PLACE = ["component_1", "component_2"]
"""Columns of the place on the map."""
COLUMNS = (
    "dataset",
    "kind",
    "frame",
    "model",
    "train_size",
    "seed",
    "temperature_K",
    "replica",
    "phase",
    "time_ps",
    "choice",
    *PLACE,
    "distance",
    "farthest_test",
    ERROR,
)
TEXT = ("model", "phase", "choice")
"""Columns of text, empty where they say nothing of a frame."""
NO_ERRORS = "control: what it runs is the truth here, it has no errors"
GROUP = ["dataset", "model", "train_size", "temperature_K", "phase"]


@dataclass(frozen=True)
class Simulation:
    """The files of one MD job."""

    model: str
    train_size: int
    seed: int
    recheck: Path
    """Table of the rechecked frames, which stand beside it."""
    failures: Path
    """Frames around its failures."""
    subset: Path | None
    """Indices of the training frames; None where the forces depend on none."""


@dataclass(frozen=True)
class PhaseRun:
    """The file of one run of a phase."""

    model: str
    """What ran it, as in the tables of the melting point."""
    phase: str
    temperature_K: float
    path: Path


@dataclass(frozen=True)
class Sources:
    """What the map of one data set is made from."""

    dataset: str
    folder: Path
    """Of the data set."""
    simulations: Sequence[Simulation] = ()
    phases: Sequence[PhaseRun] = ()


def sources_of(raw: Sequence[Mapping[str, Any]]) -> list[Sources]:
    """Sources from plain data, whose paths are texts."""
    return [
        Sources(
            one["dataset"],
            Path(one["folder"]),
            [
                Simulation(
                    run["model"],
                    run["train_size"],
                    run["seed"],
                    Path(run["recheck"]),
                    Path(run["failures"]),
                    Path(run["subset"]) if run["subset"] else None,
                )
                for run in one["simulations"]
            ],
            [PhaseRun(run["model"], run["phase"], run["temperature_K"], Path(run["path"])) for run in one["phases"]],
        )
        for one in raw
    ]


@dataclass
class Frames:
    """Frames, and what the table says of each."""

    atoms: list[Atoms] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, atoms: Atoms, **row: Any) -> None:
        """Append a frame; one that is not finite has no place on a map."""
        if np.isfinite(atoms.positions).all():
            self.atoms.append(atoms)
            self.rows.append(row)


def most_of(frames: Sequence[Atoms]) -> int:
    """How many frames like these may be looked at."""
    return max(1, min(MOST_FRAMES, MOST_ATOMS // max(map(len, frames), default=1)))


def vectors(frames: Sequence[Atoms]) -> np.ndarray:
    """Mean SOAP vector of each frame at unit length, shape (n_frames, n_features).

    Does not change when a frame is rotated, translated, or its atoms of one element are permuted.
    """
    found = descriptors(frames)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _apart(products: np.ndarray) -> np.ndarray:
    """Distances in the kernel's space from scalar products of unit vectors."""
    return np.sqrt(np.maximum(0.0, 2 - 2 * np.maximum(0.0, products) ** EXPONENT))


def distances(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the known ones, shape (n_points,).

    Args:
        points: unit vectors, shape (n_points, n_features).
        known: unit vectors, shape (n_known, n_features), at least one.
    """
    return _apart((points @ known.T).max(axis=1))


def distances_to_others(points: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the others, shape (n_points,); NaN of one that is alone."""
    products = points @ points.T
    np.fill_diagonal(products, -1.0)
    return _apart(products.max(axis=1)) if len(points) > 1 else np.full(len(points), np.nan)


def coordinates(points: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Places on the map that training frames span, shape (n_points, 2).

    Of each axis the training frame farthest out lies on the positive side, so that nothing is left to chance.

    Args:
        points: unit vectors, shape (n_points, n_features).
        train: unit vectors, shape (n_train, n_features).
    """
    from sklearn.decomposition import KernelPCA

    plane = KernelPCA(2, kernel="poly", degree=EXPONENT, gamma=1, coef0=0, eigen_solver="dense").fit(train)
    own, places = plane.transform(train), plane.transform(points)
    farthest = own[np.abs(own).argmax(axis=0), np.arange(own.shape[1])]
    places = places * np.where(farthest < 0, -1, 1)
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))  # a single training frame spans no plane


def dataset_map(sources: Sources) -> pd.DataFrame:
    """One row for each frame of one data set, with the columns of ``COLUMNS``.

    ``distance`` is that to the nearest frame that the model was trained on; where there is no model, or none that
    learnt, that to the nearest of the whole training pool; for a training frame that to the nearest other one.
    ``farthest_test`` is the largest distance of any test frame to the same training frames. Of MD those frames are
    there that the reference computed again, whose errors are known, and of each failure the last finite frame.
    """
    import pandas as pd

    pool = fr.read(sources.folder / "train_pool.extxyz")
    subsets = {
        str(one.subset): sorted(read_json(one.subset)["indices"][: most_of(pool)])
        for one in sources.simulations
        if one.subset is not None
    }
    train = sorted({*fr.evenly_spread(len(pool), most_of(pool)), *itertools.chain.from_iterable(subsets.values())})
    frames = Frames()
    for index in train:
        frames.add(pool[index], kind=TRAIN, frame=index)
    _add_held_out(frames, sources.folder)
    for simulation in sources.simulations:
        _add_visited(frames, simulation, most_of(pool) // len(sources.simulations))
        _add_failures(frames, simulation)
    for run in sources.phases:
        _add_phase(frames, run)

    points = vectors(frames.atoms)
    known = points[: len(train)]
    table = pd.DataFrame(frames.rows).reindex(columns=[*COLUMNS, "subset", "is_test"]).assign(dataset=sources.dataset)
    table[PLACE] = coordinates(points, known)
    is_test, trained_on = table["is_test"].notna().to_numpy(), table["subset"].fillna("")
    for subset, indices in {"": train, **subsets}.items():
        found = distances(points, known[np.searchsorted(train, indices)])
        rows = (trained_on == subset).to_numpy()
        table.loc[rows, "distance"] = found[rows]
        table.loc[rows, "farthest_test"] = found[is_test].max() if is_test.any() else np.nan
    table.loc[table["kind"] == TRAIN, "distance"] = distances_to_others(known)
    return table[list(COLUMNS)].fillna(dict.fromkeys(TEXT, ""))


def _add_held_out(frames: Frames, folder: Path) -> None:
    valid, test = fr.read(folder / "valid.extxyz"), fr.read(folder / "test.extxyz")
    for index in fr.evenly_spread(len(valid), most_of(valid)):
        frames.add(valid[index], kind=VALID, frame=index)
    for name in dict.fromkeys(frame.info[fr.TEST_SET] for frame in test):
        own = [index for index, frame in enumerate(test) if frame.info[fr.TEST_SET] == name]
        for place in fr.evenly_spread(len(own), most_of(test)):
            frames.add(test[own[place]], kind=name, frame=own[place], is_test=True)


def _ids(simulation: Simulation) -> dict[str, Any]:
    ids = {name: getattr(simulation, name) for name in ("model", "train_size", "seed")}
    return ids | {"subset": "" if simulation.subset is None else str(simulation.subset)}


def _add_visited(frames: Frames, simulation: Simulation, most: int) -> None:
    from ase import Atoms

    table, stored = read_table(simulation.recheck), RecheckedFrames.load(simulation.recheck.with_suffix(".npz"))
    for index in fr.evenly_spread(len(table), max(1, most)):
        row = table.iloc[index][["temperature_K", "replica", "time_ps", "choice", ERROR]].to_dict()
        atoms = Atoms(stored.numbers, stored.positions_A[index], cell=stored.cell_A[index], pbc=stored.pbc)
        frames.add(atoms, kind=MD, **_ids(simulation), **row)


def _add_failures(frames: Frames, simulation: Simulation) -> None:
    last: dict[tuple[float, int], Atoms] = {}
    for frame in fr.read(simulation.failures) if simulation.failures.stat().st_size else []:
        if np.isfinite(frame.positions).all():
            last[float(frame.info["temperature_K"]), int(frame.info["replica"])] = frame
    for (temperature_K, replica), frame in last.items():
        row = {"temperature_K": temperature_K, "replica": replica, "time_ps": frame.info["time_ps"]}
        frames.add(frame, kind=FAILURE, **_ids(simulation), **row)


def _add_phase(frames: Frames, run: PhaseRun) -> None:
    from ase import Atoms

    stored = samples.load(run.path)
    for index in fr.evenly_spread(len(stored.frame_sample), PHASE_FRAMES):
        sample = stored.frame_sample[index]
        atoms = Atoms(stored.numbers, stored.positions_A[index], cell=stored.cell_A[sample], pbc=True)
        row = {"model": run.model, "train_size": 0, "seed": 0, "temperature_K": run.temperature_K, "phase": run.phase}
        frames.add(atoms, kind=MD, frame=index, time_ps=stored.time_ps[sample], **row)


def read(path: str | Path) -> pd.DataFrame:
    """Read a map; columns of text that say nothing are empty, those of numbers NaN."""
    import pandas as pd

    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str)).fillna(dict.fromkeys(TEXT, ""))


def visited(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a map that stand for all that MD visited."""
    return table[(table["kind"] == MD) & table["choice"].isin([EVEN, ""])]


def reach_table(table: pd.DataFrame) -> pd.DataFrame:
    """How far each model's MD went from its training frames, all seeds together.

    ``n_beyond`` counts the visited frames that lie farther from the model's training frames than any test frame
    does. ``kendall_tau`` is the rank correlation of distance and force error, with an interval by trajectories.
    """
    import pandas as pd

    rows = []
    for ids, group in visited(table).groupby(GROUP, sort=True):
        beyond = int((group["distance"] > group["farthest_test"]).sum())
        known = group.dropna(subset=[ERROR])
        trajectories = known.groupby(["seed", "replica"]).ngroup().to_numpy()
        agreement = asdict(rank_agreement(known["distance"].to_numpy(), known[ERROR].to_numpy(), trajectories))
        if not (known[ERROR] > 0).any() and (ids[1] == REFERENCE_MODEL or ids[4]):
            agreement["reason"] = NO_ERRORS
        rows.append(
            {
                **dict(zip(GROUP, ids, strict=True)),
                "n_frames": len(group),
                "n_beyond": beyond,
                "share_beyond": beyond / len(group),
                "median_distance": group["distance"].median(),
                "farthest_test": group["farthest_test"].mean(),
                **{name: agreement[name] for name in ("kendall_tau", "ci_low", "ci_high", "reason")},
            }
        )
    columns = [*GROUP, "n_frames", "n_beyond", "share_beyond", "median_distance", "farthest_test"]
    return pd.DataFrame(rows, columns=[*columns, "kendall_tau", "ci_low", "ci_high", "reason"])


def write_tables(sources: Sequence[Sources], dataset_map_path: str | Path, reach_path: str | Path) -> None:
    """Write the map of all data sets, and how far MD went on each.

    Args:
        sources: the files of each data set.
        dataset_map_path: dataset_map.csv.
        reach_path: training_reach.csv.
    """
    import pandas as pd

    table = pd.concat([dataset_map(one) for one in sources], ignore_index=True)
    whole = ["frame", "train_size", "seed", "replica"]
    with atomic_path(dataset_map_path) as temporary:
        table.astype(dict.fromkeys(whole, "Int64")).to_csv(temporary, index=False, float_format="%.10g")
    with atomic_path(reach_path) as temporary:
        reach_table(table).to_csv(temporary, index=False)
