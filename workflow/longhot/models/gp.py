"""A sparse Gaussian process on SOAP descriptors, which tells its own uncertainty.

The manner of GAP (Bartok and Csanyi, Int. J. Quantum Chem. 115, 1051 (2015)); see ``_gp_regression`` for the
equations.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from longhot.models import FitTask, ModelBlock

if TYPE_CHECKING:
    from longhot.models._gp_potential import GPPotential


class Config(ModelBlock):
    """A sparse Gaussian process on SOAP descriptors."""

    knows_its_error: ClassVar[bool] = True

    family: Literal["gp"] = Field("gp", description="Plugin name.")
    r_max_A: Annotated[float, Field(gt=1, le=30)] = Field(
        4.0, description="Cutoff radius of the basis; a neighbour counts until its Gaussian has left the sphere."
    )
    n_max: Annotated[int, Field(gt=0, le=50)] = Field(4, description="Number of radial basis functions of SOAP.")
    l_max: Annotated[int, Field(ge=0, le=20)] = Field(3, description="Highest order of its spherical harmonics.")
    smearing_A: PositiveFloat = Field(0.3, description="Standard deviation of the Gaussian that stands for an atom.")
    zeta: Annotated[int, Field(gt=0, le=20)] = Field(4, description="Exponent of the kernel.")
    n_sparse: Annotated[int, Field(gt=0, le=1_000_000)] = Field(
        1000, description="Largest number of inducing environments, of all elements together."
    )
    rattle_A: NonNegativeFloat = Field(
        0.02,
        description="Displacements (standard deviation) in the unlabelled copies of the training frames that also give "
        "inducing environments where these frames alone are few; 0: no copies.",
    )
    energy_noise_meV_per_atom: PositiveFloat = Field(
        1.0, description="Standard deviation of the noise in the energies; n times as much for n atoms."
    )
    force_noise_meV_per_A: PositiveFloat = Field(
        5.0, description="Standard deviation of the noise in each force component."
    )
    signal_meV: PositiveFloat | None = Field(
        None, description="Standard deviation of a local energy before any data; absent: by marginal likelihood."
    )


def fit(config: Config, task: FitTask) -> None:
    """Fit one model; see ``longhot.models``."""
    from longhot.models._gp_fit import fit as run

    run(config, task)


def load(directory: Path, device: str = "cpu", compile_cache: Path | None = None) -> GPPotential:
    """Load a fitted model; it runs on the CPU, whatever ``device`` is."""
    from longhot.models._gp_potential import read

    return read(Path(directory))
