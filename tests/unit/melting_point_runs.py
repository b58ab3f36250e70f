"""Runs that were never run: samples of phases and interfaces with known averages and correlations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longhot.datasets._ice import ice_ih_sites
from longhot.dynamics.samples import Samples
from longhot.observables.melting_point.phases import Phase
from longhot.uncertainty.reweighting import student_factor

ICE = ice_ih_sites((2, 2, 2))
N_SITES = len(ICE)
WATER_AMU = 18.015
SAMPLE_PS = 0.1


def positions_A(phase: str, n_frames: int, seed: int = 0) -> np.ndarray:
    """Frames of the lattice with small displacements, or random sites, shape (n_frames, N_SITES, 3)."""
    rng = np.random.default_rng(seed)
    solid = ICE.positions + 0.1 * rng.normal(size=(n_frames, N_SITES, 3))
    liquid = rng.random((n_frames, N_SITES, 3)) @ ICE.cell.array
    return {"solid": solid, "liquid": liquid}[phase]


def run_of(
    energy_eV: np.ndarray | Sequence[float],
    phase: str = "solid",
    *,
    order: np.ndarray | float = 0.0,
    temperature_K: np.ndarray | float = 270.0,
    samples_per_frame: int = 1,
    failure: str = "",
) -> Samples:
    """Samples every ``SAMPLE_PS``; the frames are few different ones, again and again."""
    energy_eV = np.asarray(energy_eV, dtype=float)
    n_samples = len(energy_eV)
    frame_sample = np.arange(samples_per_frame - 1, n_samples, samples_per_frame)
    few = positions_A(phase, 5)
    return Samples(
        time_ps=SAMPLE_PS * (1 + np.arange(n_samples)),
        energy_eV=energy_eV,
        temperature_K=np.broadcast_to(temperature_K, n_samples).astype(float),
        cell_A=np.broadcast_to(ICE.cell.array, (n_samples, 3, 3)).copy(),
        order_parameter=np.broadcast_to(order, n_samples).astype(float),
        frame_sample=frame_sample,
        positions_A=few[np.arange(len(frame_sample)) % len(few)],
        numbers=np.full(N_SITES, 8),
        masses_amu=np.full(N_SITES, WATER_AMU),
        failure=failure,
    )


def phase_of(phase: str, temperature_K: float, energies_meV: np.ndarray, *, fault: str = "") -> Phase:
    """A bulk run of independent samples, each a frame, by its energies per molecule."""
    run = run_of(1e-3 * N_SITES * np.asarray(energies_meV), phase)
    return Phase(phase, temperature_K, run, 1.0, float(phase == "solid"), not fault, fault)


def exactly(mean: float, error: float, n_samples: int = 100) -> np.ndarray:
    """A series whose mean and standard error, were it independent, are as given, Student's factor included."""
    signs = np.resize([-1.0, 1.0], n_samples)
    return mean + error / student_factor(n_samples) * np.sqrt(n_samples - 1) * signs


def autoregressive(mean: float, spread: float, phi: float, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """A stationary series with the correlation phi^t: its inefficiency is (1 + phi) / (1 - phi)."""
    from scipy.signal import lfilter

    kicks = rng.normal(size=n_samples)
    kicks[1:] *= np.sqrt(1 - phi**2)
    return mean + spread * lfilter([1.0], [1.0, -phi], kicks)
