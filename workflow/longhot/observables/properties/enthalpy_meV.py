"""Enthalpy per molecule in meV, without the kinetic energy, which all phases and potentials share."""

from __future__ import annotations

import numpy as np

from longhot.dynamics.samples import Samples

PHASES = ("solid", "liquid")


def coordinates(samples: Samples) -> None:
    """A single number."""


def values(samples: Samples, enthalpies_meV: np.ndarray) -> np.ndarray:
    """Shape (n_frames, 1)."""
    return enthalpies_meV[:, None]
