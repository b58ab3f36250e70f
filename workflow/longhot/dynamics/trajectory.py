"""The files of a simulation: frames while it runs, frames.h5 and outcomes.csv when it is done.

While it runs, frames go to a plain file of fixed-size records, which a kill cannot corrupt: a restart
cuts it to the length that its checkpoint knows. Both directions stream, so memory does not grow with
the length of a run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

_CHUNK_RECORDS = 256


@dataclass(frozen=True)
class Snapshots:
    """Frames of one replica."""

    time_ps: np.ndarray
    """Shape (n_frames,), ascending."""
    positions_A: np.ndarray
    """Shape (n_frames, n_atoms, 3)."""
    energy_eV: np.ndarray
    """Potential energy, shape (n_frames,)."""
    temperature_K: np.ndarray
    """Kinetic temperature, shape (n_frames,)."""


def record_type(n_replicas: int, n_atoms: int) -> np.dtype:
    """One frame of the whole batch; the numbers of replicas that have ended are NaN."""
    return np.dtype(
        [
            ("time_ps", float),
            ("positions_A", float, (n_replicas, n_atoms, 3)),
            ("energy_eV", float, (n_replicas,)),
            ("temperature_K", float, (n_replicas,)),
        ]
    )


class FrameLog:
    """Append-only file of records."""

    def __init__(self, path: Path, record: np.dtype, n_kept: int) -> None:
        """Open ``path`` and keep its first ``n_kept`` records."""
        self.path, self._record = path, record
        self._handle = path.open("r+b" if n_kept else "w+b")
        self._handle.truncate(n_kept * record.itemsize)
        self._handle.seek(0, os.SEEK_END)
        self.n_records = n_kept

    def append(self, records: Sequence[np.ndarray]) -> None:
        """Write records at the end."""
        for record in records:
            self._handle.write(record.tobytes())
        self.n_records += len(records)

    def sync(self) -> None:
        """Return once all records are on disk."""
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def write_h5(
    path: Path,
    log: FrameLog,
    record: np.dtype,
    atoms: Atoms,
    n_frames: np.ndarray,
    before_failure: Mapping[int, Snapshots],
) -> None:
    """Turn a frame log into an HDF5 file, in chunks.

    The file holds ``time_ps`` (T,), ``positions_A`` (T, R, N, 3), ``energy_eV`` (T, R) and
    ``temperature_K`` (T, R) for T frames of R replicas; ``n_frames`` (R,) says how many of them each
    replica reached, the rest is NaN. ``numbers``, ``cell_A`` and ``pbc`` identify the atoms. The group
    ``before_failure/{replica}`` holds the same for the last checks of a failed replica, its last row
    being the failed frame itself.

    Args:
        path: of the new file.
        log: the frames.
        record: type of its records.
        atoms: any start frame.
        n_frames: number of valid frames of each replica, shape (R,).
        before_failure: by replica that failed.
    """
    import h5py

    with h5py.File(path, "w") as h5, log.path.open("rb") as raw:
        h5["numbers"], h5["cell_A"], h5["pbc"] = atoms.numbers, np.asarray(atoms.cell), atoms.pbc
        h5["n_frames"] = n_frames
        for name in record.names or ():
            kind, shape = record[name].base, record[name].shape
            h5.create_dataset(name, (log.n_records, *shape), dtype=kind)
        done = 0
        while done < log.n_records:
            chunk = np.fromfile(raw, record, min(_CHUNK_RECORDS, log.n_records - done))
            for name in record.names or ():
                h5[name][done : done + len(chunk)] = chunk[name]
            done += len(chunk)
        h5.create_group("before_failure")
        for replica, frames in before_failure.items():
            group = h5.create_group(f"before_failure/{replica}")
            for name, values in vars(frames).items():
                group[name] = values


def read_replica(path: str | Path, replica: int) -> tuple[Snapshots, Snapshots | None]:
    """Valid frames of one replica, and those of the checks before its failure where it failed.

    Args:
        path: of a frames.h5.
        replica: its number.
    """
    import h5py

    with h5py.File(path, "r") as h5:
        n_frames = int(h5["n_frames"][replica])
        frames = Snapshots(
            h5["time_ps"][:n_frames],
            h5["positions_A"][:n_frames, replica],
            h5["energy_eV"][:n_frames, replica],
            h5["temperature_K"][:n_frames, replica],
        )
        group = h5["before_failure"].get(str(replica))
        last = None if group is None else Snapshots(**{name: group[name][:] for name in group})
    return frames, last


def read_numbers(path: str | Path) -> np.ndarray:
    """Atomic numbers of the atoms of a frames.h5, shape (n_atoms,)."""
    import h5py

    with h5py.File(path, "r") as h5:
        return h5["numbers"][:]


class Ring:
    """The frames of the last checks of every replica, each replica's stopping when it ends."""

    DEPTH = 20

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.n_checks = np.zeros(shape[0], dtype=int)
        self.time_ps = np.full((shape[0], self.DEPTH), np.nan)
        self.positions_A = np.full((shape[0], self.DEPTH, *shape[1:]), np.nan)
        self.energy_eV = np.full((shape[0], self.DEPTH), np.nan)
        self.temperature_K = np.full((shape[0], self.DEPTH), np.nan)

    def add(
        self,
        time_ps: float,
        positions_A: np.ndarray,
        energy_eV: np.ndarray,
        temperature_K: np.ndarray,
        live: np.ndarray,
    ) -> None:
        """Store the frame of each live replica over its oldest; arrays are over all replicas."""
        slot = self.n_checks[live] % self.DEPTH
        self.time_ps[live, slot] = time_ps
        self.positions_A[live, slot] = positions_A[live]
        self.energy_eV[live, slot] = energy_eV[live]
        self.temperature_K[live, slot] = temperature_K[live]
        self.n_checks[live] += 1

    def of(self, replica: int) -> Snapshots:
        """The stored frames of one replica in the order of time."""
        count = int(self.n_checks[replica])
        order = np.arange(max(0, count - self.DEPTH), count) % self.DEPTH
        return Snapshots(
            self.time_ps[replica, order],
            self.positions_A[replica, order],
            self.energy_eV[replica, order],
            self.temperature_K[replica, order],
        )
