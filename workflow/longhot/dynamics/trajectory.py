"""The files of a simulation: frames while it runs, frames.h5 and failures.extxyz when it is done.

While it runs, frames go to a plain file of fixed-size records, which a kill cannot corrupt: a restart cuts it
to the length that its checkpoint knows, whose SHA-256 it knows too. Both directions stream, so memory does not
grow with the length of a run. When it is done they become H5MD 1.1 (de Buyl, Colberg and Hoefling, Computer
Physics Communications 185, 1546, 2014), with one particles group a replica.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import __version__
from longhot.block import InputError
from longhot.files import Log, atomic_path

if TYPE_CHECKING:
    from ase import Atoms

_CHUNK_RECORDS = 4096
_GROUP_BYTES = 20_000
"""More than what describes the data of a replica in a frames.h5."""
OFFENDING = "offending"
"""Array of a failure's frames: whether the atom is one of those that ended the trajectory."""


@dataclass(frozen=True)
class Snapshots:
    """Frames of one replica."""

    time_ps: np.ndarray
    """Shape (n_frames,), ascending."""
    positions_A: np.ndarray
    """Shape (n_frames, n_atoms, 3)."""
    cell_A: np.ndarray
    """Shape (n_frames, 3, 3), rows are cell vectors; zeros where there is none."""
    energy_eV: np.ndarray
    """Potential energy, shape (n_frames,)."""
    temperature_K: np.ndarray
    """Kinetic temperature, shape (n_frames,)."""

    def __len__(self) -> int:
        return len(self.time_ps)


def record_type(n_atoms: int) -> np.dtype:
    """One frame of one replica."""
    return np.dtype(
        [
            ("replica", np.int64),
            ("step", np.int64),
            ("time_ps", float),
            ("positions_A", float, (n_atoms, 3)),
            ("cell_A", float, (3, 3)),
            ("energy_eV", float),
            ("temperature_K", float),
        ]
    )


class FrameLog(Log):
    """Append-only file of records, which belongs to one process at a time."""

    def __init__(self, path: Path, record: np.dtype) -> None:
        """Open ``path``, and make it where it is not; ``keep`` or ``clear`` comes next.

        Raises:
            InputError: another process has it open.
        """
        super().__init__(path)
        self.record = record
        self.lock(
            f"{path.parent}: another process runs this simulation, wait until it has ended or stop it, and run again"
        )

    @property
    def n_records(self) -> int:
        """How many records it holds."""
        return self.n_bytes // self.record.itemsize

    def append_records(self, records: Sequence[np.ndarray]) -> None:
        """Write arrays of records at the end."""
        for part in records:
            self.append(part.tobytes())

    def keep_records(self, n_records: int, digest: str) -> bool:
        """``keep`` of so many records."""
        return self.keep(n_records * self.record.itemsize, digest)

    def chunks(self) -> Iterator[np.ndarray]:
        """All records, a bounded number at a time."""
        with self.path.open("rb") as raw:
            done = 0
            while done < self.n_records:
                yield (chunk := np.fromfile(raw, self.record, min(_CHUNK_RECORDS, self.n_records - done)))
                done += len(chunk)


def group_name(temperature_K: float, replica: int) -> str:
    """Name of one replica's group in frames.h5."""
    return f"T{temperature_K:g}_replica{replica:04d}"


def reserve(path: Path, n_bytes: int) -> None:
    """Make sure that there is room for a file: on a full disk HDF5 loses data without an error, and may crash.

    Raises:
        OSError: there is none.
    """
    with path.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, n_bytes)


def _n_bytes(frames: Snapshots) -> int:
    return sum(values.nbytes for values in vars(frames).values())


def write_h5(
    path: Path,
    log: FrameLog,
    atoms: Atoms,
    replicas: Sequence[tuple[float, int]],
    n_frames: np.ndarray,
    before_failure: Mapping[int, Snapshots],
) -> None:
    """Turn a frame log into an H5MD file, in chunks.

    ``particles/T<temperature>_replica<number>`` holds ``position`` (T, N, 3) with its ``step`` and ``time``,
    ``box`` and ``species``; ``observables/<same name>`` holds ``potential_energy`` and ``temperature``
    (T,). ``before_failure/<same name>`` holds the same numbers, by the names of ``Snapshots``, for the last
    checks of a replica that failed, the last row being the failed frame itself.

    Args:
        path: of the new file.
        log: the frames.
        atoms: any start frame.
        replicas: temperature in K and number of each replica of the log.
        n_frames: number of frames of each replica, shape (n_replicas,).
        before_failure: by index in ``replicas``, of those that failed.

    Raises:
        OSError: there is no room for it.
    """
    import h5py

    names = [group_name(*replica) for replica in replicas]
    n_bytes = log.n_records * log.record.itemsize + sum(_n_bytes(one) for one in before_failure.values())
    reserve(path, n_bytes + _GROUP_BYTES * (1 + len(names)))
    with h5py.File(path, "w") as h5:
        _write_header(h5)
        for name, count in zip(names, n_frames, strict=True):
            _create_group(h5, name, atoms, int(count))
        done = np.zeros(len(names), dtype=int)
        for chunk in log.chunks():
            for replica in np.unique(chunk["replica"]).tolist():
                rows = chunk[chunk["replica"] == replica]
                _fill(h5, names[replica], rows, slice(done[replica], done[replica] + len(rows)))
                done[replica] += len(rows)
        h5.create_group("before_failure")
        for replica, frames in before_failure.items():
            group = h5.create_group(f"before_failure/{names[replica]}")
            for key, values in vars(frames).items():
                group[key] = values


def _write_header(h5: Any) -> None:
    header = h5.create_group("h5md")
    header.attrs["version"] = np.array([1, 1])
    header.create_group("author").attrs["name"] = "Longhot"
    creator = header.create_group("creator")
    creator.attrs["name"], creator.attrs["version"] = "Longhot", __version__


def _create_group(h5: Any, name: str, atoms: Atoms, n_frames: int) -> None:
    """Make the empty datasets of one replica; its elements share ``step`` and ``time`` by links."""
    particles, observables = h5.create_group(f"particles/{name}"), h5.create_group(f"observables/{name}")
    particles["species"] = atoms.numbers
    step = particles.create_dataset("position/step", (n_frames,), np.int64)
    time = particles.create_dataset("position/time", (n_frames,), float)
    time.attrs["unit"] = "ps"
    box = particles.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs["boundary"] = np.array(["periodic" if periodic else "none" for periodic in atoms.pbc], dtype="S8")
    elements = {
        "position": (particles, (len(atoms), 3), "Angstrom"),
        "potential_energy": (observables, (), "eV"),
        "temperature": (observables, (), "K"),
        "edges": (box, (3, 3), "Angstrom"),
    }
    if not atoms.pbc.any():
        del elements["edges"]
    for element, (parent, shape, unit) in elements.items():
        group = parent.require_group(element)
        group.create_dataset("value", (n_frames, *shape), float).attrs["unit"] = unit
        if element != "position":
            group["step"], group["time"] = step, time


def _fill(h5: Any, name: str, rows: np.ndarray, where: slice) -> None:
    particles, observables = h5[f"particles/{name}"], h5[f"observables/{name}"]
    particles["position/step"][where] = rows["step"]
    particles["position/time"][where] = rows["time_ps"]
    particles["position/value"][where] = rows["positions_A"]
    observables["potential_energy/value"][where] = rows["energy_eV"]
    observables["temperature/value"][where] = rows["temperature_K"]
    if "edges" in particles["box"]:
        particles["box/edges/value"][where] = rows["cell_A"]


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """A frames.h5 to read.

    Raises:
        InputError: it is cut off, damaged or no such file.
    """
    import h5py

    try:
        with h5py.File(path, "r") as h5:
            yield h5
    except (OSError, KeyError, RuntimeError) as error:
        cause = " ".join(str(error).split())
        raise InputError(
            f"{path}: is damaged or no trajectory of ours ({cause}), remove it and run again to have it made anew"
        ) from error


def read_replica(path: str | Path, temperature_K: float, replica: int) -> tuple[Snapshots, Snapshots | None]:
    """Frames of one replica, and those of the checks before its failure where it failed.

    Args:
        path: of a frames.h5.
        temperature_K: of its thermostat.
        replica: its number at this temperature.

    Raises:
        InputError: the file is cut off or damaged, or lacks the replica.
    """
    name = group_name(temperature_K, replica)
    with _opened(path) as h5:
        particles, observables = h5[f"particles/{name}"], h5[f"observables/{name}"]
        n_frames = len(particles["position/step"])
        edges = particles["box"].get("edges/value")
        frames = Snapshots(
            time_ps=particles["position/time"][:],
            positions_A=particles["position/value"][:],
            cell_A=np.zeros((n_frames, 3, 3)) if edges is None else edges[:],
            energy_eV=observables["potential_energy/value"][:],
            temperature_K=observables["temperature/value"][:],
        )
        group = h5["before_failure"].get(name)
        last = None if group is None else Snapshots(**{key: group[key][:] for key in group})
    return frames, last


def read_numbers(path: str | Path) -> np.ndarray:
    """Atomic numbers of the atoms of a frames.h5, shape (n_atoms,).

    Raises:
        InputError: the file is cut off or damaged.
    """
    with _opened(path) as h5:
        return next(iter(h5["particles"].values()))["species"][:]


def export_extxyz(path: str | Path, template: Atoms, temperature_K: float, replica: int, output: Path) -> None:
    """Write the trajectory of one replica as extended XYZ, with time, energy and temperature in each frame.

    Args:
        path: of a frames.h5.
        template: any frame of the same atoms, for periodicity.
        temperature_K: of its thermostat.
        replica: its number at this temperature.
        output: file to write.
    """
    import ase.io

    frames, _ = read_replica(path, temperature_K, replica)
    with atomic_path(output) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for index in range(len(frames)):
            ase.io.write(handle, _atoms(template, frames, index), format="extxyz")


def _atoms(template: Atoms, frames: Snapshots, index: int) -> Atoms:
    """One frame as bare atoms, its numbers in ``info``."""
    from ase import Atoms

    return Atoms(
        numbers=template.numbers,
        positions=frames.positions_A[index],
        cell=frames.cell_A[index],
        pbc=template.pbc,
        info={
            "time_ps": float(frames.time_ps[index]),
            "potential_energy_eV": float(frames.energy_eV[index]),
            "kinetic_temperature_K": float(frames.temperature_K[index]),
        },
    )


def write_failures(path: Path, template: Atoms, failures: Sequence[tuple[Mapping[str, Any], Snapshots]]) -> None:
    """Write the frames around each failure as extended XYZ; an empty file where nothing failed.

    Each frame says in ``info`` which trajectory it is of, when it was, what ended it (``outcome``, ``cause``,
    ``offending_atoms``), and whether it is the failed frame itself (``failed``); the array ``offending``
    marks the atoms.

    Args:
        path: file to write.
        template: any start frame.
        failures: the outcome's row and the frames of its last checks, for each trajectory that failed.
    """
    import ase.io

    with path.open("w", encoding="utf-8") as handle:
        for row, frames in failures:
            offending = [int(atom) for atom in str(row["atoms"]).split()]
            for index in range(len(frames)):
                frame = _atoms(template, frames, index)
                for key in ("temperature_K", "replica", "outcome", "cause"):
                    frame.info[key] = row[key]
                frame.info["offending_atoms"] = " ".join(map(str, offending))
                frame.info["failed"] = index == len(frames) - 1
                frame.arrays[OFFENDING] = np.isin(np.arange(len(frame)), offending)
                ase.io.write(handle, frame, format="extxyz")


class Ring:
    """The frames of the last checks of every place in the batch, each replica's stopping when it ends."""

    DEPTH = 20

    def __init__(self, n_replicas: int, n_atoms: int) -> None:
        self.n_checks = np.zeros(n_replicas, dtype=int)
        self.time_ps = np.full((n_replicas, self.DEPTH), np.nan)
        self.positions_A = np.full((n_replicas, self.DEPTH, n_atoms, 3), np.nan)
        self.cell_A = np.full((n_replicas, self.DEPTH, 3, 3), np.nan)
        self.energy_eV = np.full((n_replicas, self.DEPTH), np.nan)
        self.temperature_K = np.full((n_replicas, self.DEPTH), np.nan)

    def add(
        self,
        time_ps: np.ndarray,
        positions_A: np.ndarray,
        cell_A: np.ndarray,
        energy_eV: np.ndarray,
        temperature_K: np.ndarray,
        wanted: np.ndarray,
    ) -> None:
        """Store the frame of each wanted replica over its oldest; arrays are over all replicas."""
        slot = self.n_checks[wanted] % self.DEPTH
        self.time_ps[wanted, slot] = time_ps[wanted]
        self.positions_A[wanted, slot] = positions_A[wanted]
        self.cell_A[wanted, slot] = cell_A[wanted]
        self.energy_eV[wanted, slot] = energy_eV[wanted]
        self.temperature_K[wanted, slot] = temperature_K[wanted]
        self.n_checks[wanted] += 1

    def of(self, place: int) -> Snapshots:
        """The stored frames of one place in the order of time."""
        count = int(self.n_checks[place])
        order = np.arange(max(0, count - self.DEPTH), count) % self.DEPTH
        return Snapshots(
            **{name: values[place, order].copy() for name, values in vars(self).items() if name != "n_checks"}
        )
