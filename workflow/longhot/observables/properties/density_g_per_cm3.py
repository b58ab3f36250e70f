"""Mass density in g/cm3."""

from __future__ import annotations

import numpy as np
from ase import units

from longhot.dynamics.samples import Samples

PHASES = ("solid", "liquid")


def coordinates(samples: Samples) -> None:
    """A single number."""


def values(samples: Samples, enthalpies_meV: np.ndarray) -> np.ndarray:
    """Shape (n_frames, 1)."""
    volume_cm3 = samples.volume_A3[samples.frame_sample] * 1e-24
    return (samples.masses_amu.sum() * units._amu * 1e3 / volume_cm3)[:, None]
