"""A sparse Gaussian process of local energies, trained on total energies and forces.

The local energy of an atom is a Gaussian process over its unit SOAP vector p, with the covariance

    s^2 [(p . p')^zeta + OFFSET^2]     between atoms of one element, 0 between elements,

where s is the signal. Energies and forces are sums of local energies and of their derivatives (Bartok and
Csanyi, Int. J. Quantum Chem. 115, 1051 (2015)). The process is held by M inducing environments as in the
deterministic training conditional (Quinonero-Candela and Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005)):

    f = s phi v,   v ~ N(0, 1),   phi = [K_fM L^-T, OFFSET * atoms by element],   K_MM = L L^T.

Everything here is in units of s: kernels have no unit, derivatives have 1/A.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.optimize import minimize_scalar

from longhot.models._gp_soap import Environments

OFFSET = 10.0
"""Standard deviation of an element's constant share of the local energy, in units of s: nearly free."""
RESIDUAL_FLOOR = 1e-10
"""A candidate is no inducing point below this variance, given those before it: takes the place of a jitter."""
SIGNAL_BOUNDS_EV = (1e-4, 1e3)


@dataclass(frozen=True)
class Basis:
    """The inducing environments."""

    numbers: np.ndarray
    """Atomic numbers, shape (n_sparse,)."""
    vectors: np.ndarray
    """Unit SOAP vectors, shape (n_sparse, n_features)."""
    cholesky: np.ndarray
    """L, lower triangular, shape (n_sparse, n_sparse)."""
    elements: np.ndarray
    """Atomic numbers that the model knows, ascending, shape (n_elements,)."""
    zeta: int


@dataclass(frozen=True)
class Posterior:
    """What the training data say about v."""

    signal_eV: float
    mean: np.ndarray
    """Shape (n_sparse + n_elements,)."""
    root: np.ndarray
    """T with covariance T T^T, shape (n_sparse + n_elements, n_sparse + n_elements)."""


def kernel(
    numbers: np.ndarray, vectors: np.ndarray, basis_numbers: np.ndarray, basis_vectors: np.ndarray, zeta: int
) -> np.ndarray:
    """(p . p')^zeta between atoms of one element, else 0; shape (n, n_basis)."""
    return np.where(numbers[:, None] == basis_numbers, vectors @ basis_vectors.T, 0.0) ** zeta


def choose_basis(numbers: np.ndarray, vectors: np.ndarray, zeta: int, n_sparse: int, first: int) -> Basis:
    """Inducing points by pivoted Cholesky decomposition: farthest points in the metric of the kernel.

    Each is the candidate with the largest variance given those before it (Fine and Scheinberg, J. Mach.
    Learn. Res. 2, 243 (2001)), so every element gets as many as its environments differ. There are fewer than
    ``n_sparse`` where the candidates are fewer, or tell nothing new.

    Args:
        numbers: atomic numbers of the candidates, shape (n_candidates,).
        vectors: their unit SOAP vectors, shape (n_candidates, n_features).
        zeta: exponent of the kernel.
        n_sparse: largest number of inducing points.
        first: index of the first of them.
    """
    n_largest = min(n_sparse, len(numbers))
    factor = np.zeros((n_largest, len(numbers)))
    residual = np.ones(len(numbers))
    chosen: list[int] = []
    pivot = first
    while len(chosen) < n_largest and residual[pivot] > RESIDUAL_FLOOR:
        step = len(chosen)
        column = kernel(numbers[[pivot]], vectors[[pivot]], numbers, vectors, zeta)[0]
        factor[step] = (column - factor[:step, pivot] @ factor[:step]) / np.sqrt(residual[pivot])
        residual -= factor[step] ** 2
        chosen.append(pivot)
        residual[chosen] = 0.0
        pivot = int(np.argmax(residual))
    return Basis(numbers[chosen], vectors[chosen], np.tril(factor[: len(chosen), chosen].T), np.unique(numbers), zeta)


def features(environments: Environments, basis: Basis) -> np.ndarray:
    """Rows phi of one frame: its energy, then its force components atom by atom.

    Shape (1 + 3 n_atoms, n_sparse + n_elements).
    """
    n_atoms = len(environments.numbers)
    rows = np.zeros((1 + 3 * n_atoms, len(basis.numbers)))
    forces = rows[1:].reshape(n_atoms, 3, -1)
    for number, p, atoms, derivative in zip(
        environments.numbers, environments.vectors, environments.moved_by, environments.derivatives, strict=True
    ):
        same = basis.numbers == number
        points = basis.vectors[same]
        overlap = points @ p
        rows[0, same] += overlap**basis.zeta
        forces[np.ix_(atoms, np.arange(3), np.flatnonzero(same))] -= (
            basis.zeta * overlap ** (basis.zeta - 1) * (derivative @ points.T)
        )
    counts = np.zeros((len(rows), len(basis.elements)))
    counts[0] = (environments.numbers[:, None] == basis.elements).sum(axis=0)
    return np.hstack([solve_triangular(basis.cholesky, rows.T, lower=True).T, OFFSET * counts])


def prior_variances(environments: Environments, zeta: int) -> np.ndarray:
    """Variance of the energy and of each force component before any data, without the constant shares.

    d2k/dr dr' = sum over pairs i, j of zeta c^(zeta-1) D_i . D_j + zeta (zeta-1) c^(zeta-2) (D_i . p_j)(p_i . D_j)
    with c = p_i . p_j and D_i = dp_i/dr. Shape (1 + 3 n_atoms,), in the order of ``features``.
    """
    numbers, vectors = environments.numbers, environments.vectors
    n_atoms = len(numbers)
    found = np.zeros(1 + 3 * n_atoms)
    found[0] = kernel(numbers, vectors, numbers, vectors, zeta).sum()
    for atom in range(n_atoms):
        seen_by = [centre for centre, atoms in enumerate(environments.moved_by) if atom in atoms]
        for number in np.unique(numbers[seen_by]):
            centres = [centre for centre in seen_by if numbers[centre] == number]
            p = vectors[centres]
            d = np.stack(
                [environments.derivatives[c][np.searchsorted(environments.moved_by[c], atom)] for c in centres], axis=1
            )
            overlap = p @ p.T
            across = d @ p.T
            second = zeta * overlap ** (zeta - 1) * (d @ d.swapaxes(1, 2))
            if zeta > 1:
                second += zeta * (zeta - 1) * overlap ** (zeta - 2) * across * across.swapaxes(1, 2)
            found[1 + 3 * atom : 4 + 3 * atom] += second.sum(axis=(1, 2))
    return found


def triangle(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """R of the QR decomposition of all rows together, shape (min(n_labels, n_weights + 1), n_weights + 1).

    Never holds more than a few times the rows that R has.

    Args:
        blocks: rows [phi, label], each divided by the noise of its label, (n_labels, n_weights + 1) a block.
    """
    waiting: list[np.ndarray] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= 3 * block.shape[1]:
            waiting = [_reduced(waiting)]
    return _reduced(waiting)


def _reduced(blocks: list[np.ndarray]) -> np.ndarray:
    """R of the QR decomposition of a few blocks of rows; the Q that SciPy leaves out here is never formed."""
    (triangular,) = qr(np.concatenate(blocks), mode="r", check_finite=False)
    return triangular[: triangular.shape[1]]


def condition(reduced: np.ndarray, signal_eV: float | None) -> Posterior:
    """The posterior of v, by singular values of the whitened rows rather than their normal equations.

    Args:
        reduced: what ``triangle`` gives.
        signal_eV: s; None: the one of largest marginal likelihood.
    """
    n_weights = reduced.shape[1] - 1
    u, values, vt = np.linalg.svd(reduced[:, :n_weights])
    strength = np.zeros(max(len(u), n_weights))
    strength[: len(values)] = values
    projected = np.zeros(len(strength))
    projected[: len(u)] = u.T @ reduced[:, n_weights]

    def loss(log_signal: float) -> float:
        """Twice the negative logarithm of the marginal likelihood, without its constant."""
        gain = 1 + (np.exp(log_signal) * strength) ** 2
        return float(np.sum(projected**2 / gain + np.log(gain)))

    if signal_eV is None:
        signal_eV = float(np.exp(minimize_scalar(loss, bounds=np.log(SIGNAL_BOUNDS_EV), method="bounded").x))
    scaled = signal_eV * strength[:n_weights]
    mean = vt.T @ (scaled / (1 + scaled**2) * projected[:n_weights])
    return Posterior(signal_eV, mean, vt.T / np.sqrt(1 + scaled**2))
