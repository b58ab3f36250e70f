"""Density-functional theory by PySCF, for molecules: restricted or unrestricted, with DFT-D4 where wanted.

PBE/def2-SVP, the level of rMD17, one ethanol molecule, one thread, against rMD17's own labels (ORCA):
8 s a frame with density fitting and grid level 3, forces within 0.4 meV/A (mean absolute difference of the
components) and energies within 1 meV; 9 s, 0.9 meV/A and 7 meV without density fitting; 3 s, 2.6 meV/A and
2 meV with grid level 1; 12 s, 0.1 meV/A and 1 meV with grid level 4.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from longhot.block import Block, InputError
from longhot.references._threads import one_thread

LEVEL_SHIFT_HARTREE = 0.3
"""Added to the empty orbitals in a cautious SCF: it holds back steps that let the occupation swing."""
DAMPING = 0.5
"""Share of the density before that a cautious SCF keeps at each step."""
BASIS_PROBES = ("H", "C", "Na", "Fe", "I", "U")
"""A name of a basis set that holds none of these is taken for a slip."""


class Config(Block):
    """Kohn-Sham or Hartree-Fock theory in a Gaussian basis; molecules only."""

    method: Literal["pyscf"] = Field("pyscf", description="Names this plugin.")
    xc: str = Field(min_length=1, description="Functional as PySCF names it, such as `pbe`, `b3lyp` or `r2scan`.")
    basis: str = Field(
        min_length=1, description="Basis set, such as `def2-svp`; its core potentials are used where it has them."
    )
    charge: int = Field(0, description="Total charge in elementary charges.")
    multiplicity: PositiveInt = Field(
        1, description="Number of unpaired electrons plus one: 1 runs restricted, all others unrestricted."
    )
    density_fit: bool = Field(True, description="Whether Coulomb integrals are fitted with an auxiliary basis.")
    grid_level: Annotated[int, Field(ge=0, le=9)] = Field(3, description="PySCF's level of the integration grid.")
    conv_tol_hartree: PositiveFloat = Field(1e-9, description="Change of the energy at which the SCF ends.")
    max_cycle: PositiveInt = Field(50, description="SCF cycles before a frame is given up as not converged.")
    solver: Literal["diis", "newton"] = Field(
        "diis",
        description="`newton`: level shift and damping, then a second-order solver; slower and more robust. A frame "
        "that `diis` does not converge is tried with it by itself.",
    )
    dispersion: Literal["none", "d4"] = Field("none", description="`d4`: DFT-D4 with the functional's parameters.")
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="`auto` takes a GPU where gpu4pyscf finds one; `newton` runs on the CPU in any case."
    )

    @field_validator("xc")
    @classmethod
    def _no_dispersion_in_the_name(cls, xc: str) -> str:
        if "-d3" in xc.lower() or "-d4" in xc.lower():
            raise ValueError("names a dispersion correction, take it off and use the key dispersion")
        return xc


def level(config: Config) -> str:
    """Functional, dispersion and basis, and who computes them."""
    dispersion = {"none": "", "d4": "-D4"}[config.dispersion]
    return f"{config.xc.upper()}{dispersion}/{config.basis} (PySCF)"


def safer(config: Config) -> Config:
    """Settings for a second attempt at the same level of theory."""
    return config.model_copy(update={"solver": "newton", "max_cycle": max(100, 2 * config.max_cycle)})


def version(config: Config) -> str:
    """Versions of the libraries behind it."""
    names = ["pyscf"] + (["dftd4"] if config.dispersion == "d4" else [])
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _gpu_is_there() -> bool:
    try:
        import cupy
        import gpu4pyscf  # noqa: F401  # what makes PySCF's objects move to a GPU

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # a CUDA library that is missing or does not fit raises what it likes
        return False


def _check(config: Config) -> None:
    """Refuse what no frame could be computed with.

    Raises:
        InputError: a functional or a basis set that PySCF does not know, a functional without parameters
            for DFT-D4, or a GPU that is not there.
    """
    from pyscf.dft import libxc

    try:
        libxc.parse_xc(config.xc)
    except (KeyError, ValueError, NotImplementedError) as error:
        raise InputError(f"reference xc {config.xc!r}: not a functional of PySCF ({error})") from None
    if not any(_basis_has(config.basis, symbol) for symbol in BASIS_PROBES):
        raise InputError(f"reference basis {config.basis!r}: not a basis set of PySCF")
    if config.dispersion == "d4":
        _d4_parameters(config.xc)
    if config.device == "gpu" and not _gpu_is_there():
        raise InputError("reference device gpu: gpu4pyscf is missing or finds no GPU, install it or use auto")


def _basis_has(basis: str, symbol: str) -> bool:
    import warnings

    from pyscf import gto

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PySCF's advice to look in a further package
            return bool(gto.basis.load(basis, symbol))
    except (RuntimeError, KeyError):
        return False


def _d4_parameters(xc: str) -> Any:
    """Damping of DFT-D4 for a functional.

    Raises:
        InputError: the package is missing, or has no parameters for the functional.
    """
    try:
        with one_thread():
            from dftd4.interface import DampingParam
    except ImportError as error:
        raise InputError(f"reference dispersion d4: the package dftd4 is missing ({error}), install it") from None
    try:
        return DampingParam(method=xc)
    except RuntimeError:
        raise InputError(
            f"reference dispersion d4: dftd4 has no parameters for xc {xc!r}, use none or another functional"
        ) from None


def d4(numbers: np.ndarray, positions_bohr: np.ndarray, charge: int, xc: str) -> tuple[float, np.ndarray]:
    """Dispersion energy in Hartree and its gradient in Hartree/Bohr, shape (n_atoms, 3).

    DFT-D4 (Caldeweyher et al., 2019, doi:10.1063/1.5090222) as the package dftd4 computes it.
    """
    parameters = _d4_parameters(xc)
    from dftd4.interface import DispersionModel

    found = DispersionModel(numbers, positions_bohr, charge).get_dispersion(parameters, grad=True)
    return float(found["energy"]), found["gradient"]


def _core_potentials(basis: str, symbols: set[str]) -> dict[str, str]:
    """The basis set's own core potential for each element that has one; PySCF takes none by itself."""
    from pyscf import gto

    return {symbol: basis for symbol in symbols if gto.basis.load_ecp(basis, symbol)}


def _molecule(config: Config, atoms: Any, charge: int, unpaired: int) -> Any:
    from ase.units import Bohr
    from pyscf import gto

    return gto.M(
        atom=list(zip(atoms.symbols, (atoms.positions / Bohr).tolist(), strict=True)),
        unit="Bohr",
        basis=config.basis,
        ecp=_core_potentials(config.basis, set(atoms.symbols)),
        charge=charge,
        spin=unpaired,
        verbose=0,
    )


def _mean_field(config: Config, molecule: Any, unrestricted: bool) -> Any:
    """The SCF object, not run yet."""
    from pyscf import dft

    field = (dft.UKS if unrestricted else dft.RKS)(molecule)
    # Before the fit, whose auxiliary basis depends on it.
    field.xc = config.xc
    if config.density_fit:
        field = field.density_fit()
    field.grids.level = config.grid_level
    field.conv_tol, field.max_cycle = config.conv_tol_hartree, config.max_cycle
    # Else every SCF writes a file of its orbitals, and a killed process leaves it behind.
    field.chkfile = None
    return field


def _converged(config: Config, field: Any) -> Any:
    """The field with a converged density.

    Raises:
        SCFError: no convergence within the cycles.
    """
    from ase.calculators.calculator import SCFError

    if config.solver == "newton":
        field.level_shift, field.damp = LEVEL_SHIFT_HARTREE, DAMPING
        field.kernel()
        if not field.converged:
            density = field.make_rdm1()
            field.level_shift, field.damp = 0.0, 0.0
            field = field.newton()
            field.max_cycle = config.max_cycle
            field.kernel(density)
    else:
        if config.device != "cpu" and _gpu_is_there():
            field = field.to_gpu()
        field.kernel()
    if not field.converged:
        raise SCFError(f"no SCF convergence within {config.max_cycle} cycles ({config.solver})")
    return field


def _gradient(field: Any) -> np.ndarray:
    """Gradient in Hartree/Bohr, shape (n_atoms, 3), of the energy as it is computed: on a grid that moves.

    PySCF by itself leaves the motion of the grid out. On grid level 4 that costs SCAN's forces 0.5 eV/A and
    r2SCAN's 40 meV/A, and nothing is saved by it.
    """
    from pyscf.dft import libxc

    method = field.nuc_grad_method()
    method.grid_response = libxc.xc_type(field.xc) != "HF"  # which has no grid
    return np.asarray(method.kernel())


@cache
def _calculator_class() -> Any:
    try:
        with one_thread():
            import pyscf.dft
            import pyscf.grad
    except ImportError as error:
        raise InputError(f"reference method pyscf: the package pyscf is missing ({error}), install it") from None
    from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
    from ase.units import Bohr, Hartree

    class PySCF(Calculator):
        """One SCF and its gradient a frame, each begun afresh from atomic densities."""

        implemented_properties: ClassVar = ["energy", "forces"]

        def __init__(self, config: Config, spin: int | None):
            super().__init__()
            self._settings, self._spin = config, spin

        def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
            if atoms.pbc.any():
                raise CalculationFailed("periodic frames are not for this method")
            super().calculate(atoms, properties, system_changes)
            config = self._settings
            charge, unpaired = (config.charge, config.multiplicity - 1) if self._spin is None else (0, self._spin)
            unrestricted = self._spin is not None or unpaired > 0
            # Sums over threads come in any order, and the last digits with them.
            pyscf.lib.num_threads(1)
            molecule = _molecule(config, atoms, charge, unpaired)
            field = _converged(config, _mean_field(config, molecule, unrestricted))
            energy, gradient = float(field.e_tot), _gradient(field)
            if config.dispersion == "d4":
                dispersion, pull = d4(atoms.numbers, molecule.atom_coords(), charge, config.xc)
                energy, gradient = energy + dispersion, gradient + pull
            self.results = {
                "energy": energy * Hartree,
                "free_energy": energy * Hartree,
                "forces": -gradient * Hartree / Bohr,
            }

    return PySCF


def calculator(config: Config, spin: int | None = None) -> Any:
    """A new ASE calculator; ``spin`` unpaired electrons on a neutral atom, unrestricted, where given.

    Raises:
        InputError: PySCF is missing, or as in ``_check``.
    """
    made = _calculator_class()(config, spin)
    _check(config)
    return made
