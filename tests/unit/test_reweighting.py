"""Reweighting against Gaussians, harmonic oscillators and Einstein crystals, whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units

from longhot.block import InputError
from longhot.uncertainty import reweighting
from longhot.uncertainty.reweighting import FreeEnergyDifference, free_energy_difference

T = 300.0
KT = units.kB * T


def gauss_hermite(n_points: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a standard normal distribution, exact for polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_points)
    return nodes, weights / weights.sum()


def einstein_h(stiffer: float, n_atoms: int, n_frames: int, seed: int = 0) -> np.ndarray:
    """Reduced differences h of an Einstein crystal whose springs are ``stiffer`` times those it was sampled with.

    beta k0 r^2 summed over the 3N coordinates is chi^2 with as many degrees of freedom.
    """
    squares = np.random.default_rng(seed).chisquare(3 * n_atoms, n_frames)
    return (stiffer - 1) / 2 * squares


def einstein_truth(stiffer: float, n_atoms: int) -> float:
    """F_k - F_0 = (3N/2) kT ln(k/k0), in units of kT."""
    return 1.5 * n_atoms * np.log(stiffer)


def autoregressive(phi: float, n_frames: int, seed: int) -> np.ndarray:
    """Stationary series of unit variance with the correlation phi^t: g = (1 + phi)/(1 - phi)."""
    kicks = np.random.default_rng(seed).normal(size=n_frames)
    series = np.empty(n_frames)
    series[0] = kicks[0]
    for frame in range(1, n_frames):
        series[frame] = phi * series[frame - 1] + np.sqrt(1 - phi**2) * kicks[frame]
    return series


def test_averages_of_the_cumulant_expansion_over_the_members_are_those_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    members = rng.normal(size=(6, 400)) + 1e3
    values = rng.normal(size=(400, 2, 3))
    h = members - members.mean(axis=0)
    found = np.mean([reweighting.cumulant_average(values, one) for one in h], axis=0)
    np.testing.assert_allclose(found, values.mean(axis=0), atol=1e-13)


def test_the_cumulant_expansion_is_exact_for_a_shifted_oscillator() -> None:
    """V_0 = x^2/2, V_k = V_0 + f x: <x>_k = -f, however strong f is.

    On a grid of 3 nodes with equal weights, 0 and +- sqrt(3/2), x has mean 0 and variance 1, which is all the expansion
    asks about; three frames so give the exact answer.
    """
    x = np.sqrt(1.5) * np.array([-1.0, 0.0, 1.0])
    for force in (0.1, -4.0):
        assert reweighting.cumulant_average(x, force * x) == pytest.approx(-force, abs=1e-14)


def test_direct_averages_by_quadrature() -> None:
    """Weights of a quadrature are just another ln w: <x>_k = -f and <x^2>_k = 1 + f^2."""
    nodes, weights = gauss_hermite()
    values = np.stack([nodes, nodes**2], axis=1)
    found = reweighting.direct_average(values, 1.5 * nodes - np.log(weights))
    np.testing.assert_allclose(found, [-1.5, 1 + 1.5**2], atol=1e-9)


def test_both_averages_of_samples_converge_to_the_truth() -> None:
    x = np.random.default_rng(0).normal(size=400_000)
    assert reweighting.direct_average(x, 0.8 * x) == pytest.approx(-0.8, abs=0.01)
    assert reweighting.cumulant_average(x, 0.8 * x) == pytest.approx(-0.8, abs=0.01)


def test_values_keep_their_shape() -> None:
    values = np.random.default_rng(0).normal(size=(50, 4, 3))
    for average in (reweighting.direct_average, reweighting.cumulant_average):
        found = average(values, np.full(50, 1e5))
        np.testing.assert_allclose(found, values.mean(axis=0), atol=1e-12)


def test_effective_sample_size() -> None:
    """1 for constant h, half for a half of the frames, e^(-s^2) for Gaussian h; nothing overflows."""
    assert reweighting.effective_sample_size(np.full(7, -1e4)) == pytest.approx(1.0)
    assert reweighting.effective_sample_size(np.repeat([-1e4, 1e4], 5)) == pytest.approx(0.5)
    h = 0.7 * np.random.default_rng(0).normal(size=200_000)
    assert reweighting.effective_sample_size(h) == pytest.approx(np.exp(-(0.7**2)), rel=0.02)


@pytest.mark.parametrize("constant", [0.3, -2000.0])
def test_a_constant_is_its_own_free_energy(constant: float) -> None:
    differences = np.full(200, constant)
    assert reweighting.free_energy_direct(differences, T) == pytest.approx(constant)
    assert reweighting.free_energy_cumulant(differences, T) == pytest.approx(constant)
    found = free_energy_difference(differences, T)
    assert (found.method, found.valid, found.reason) == ("direct", True, "")
    assert found.ess == pytest.approx(1.0)
    assert found.value_eV == pytest.approx(constant)
    assert found.error_eV == pytest.approx(0.0, abs=1e-9)


def test_free_energies_of_a_gaussian_by_quadrature() -> None:
    """-ln<e^-h> = m - s^2/2; the quadrature enters the direct formula as h - ln(n w)."""
    nodes, weights = gauss_hermite()
    h = 0.4 + 1.2 * nodes
    found = reweighting.free_energy_direct(KT * (h - np.log(len(nodes) * weights)), T)
    assert found == pytest.approx(KT * (0.4 - 1.2**2 / 2), rel=1e-9)


def test_second_order_by_hand() -> None:
    """Two frames: mean 2 and unbiased variance 2, in units of kT."""
    assert reweighting.free_energy_cumulant(KT * np.array([1.0, 3.0]), T) == pytest.approx(KT * (2.0 - 1.0))


@pytest.mark.parametrize("stiffer", [0.95, 1.05])
def test_direct_reweighting_between_close_einstein_crystals(stiffer: float) -> None:
    found = free_energy_difference(KT * einstein_h(stiffer, 50, 2000), T)
    assert (found.method, found.valid, found.reason) == ("direct", True, "")
    assert abs(found.value_eV / KT - einstein_truth(stiffer, 50)) < 3 * found.error_eV / KT
    assert 0.5 < found.error_eV / KT / (abs(stiffer - 1) * np.sqrt(75 / 2000)) < 2


def test_second_order_between_close_einstein_crystals_of_many_atoms() -> None:
    """5000 atoms, springs 1.8 % stiffer: variance of h 2.4, third order 0.015 kT."""
    found = free_energy_difference(KT * einstein_h(1.018, 5000, 1000), T)
    assert (found.method, found.valid, found.reason) == ("cumulant", True, "")
    assert found.ess < reweighting.MIN_ESS
    assert abs(found.value_eV / KT - einstein_truth(1.018, 5000)) < 3 * found.error_eV / KT


@pytest.mark.parametrize("stiffer", [0.5, 1.5])
def test_einstein_crystals_far_apart_are_refused(stiffer: float) -> None:
    found = free_energy_difference(KT * einstein_h(stiffer, 50, 2000), T)
    assert not found.valid
    assert "variance of beta (V_k - V_0) is" in found.reason
    assert "sample stages between the potentials" in found.reason
    assert abs(found.value_eV / KT - einstein_truth(stiffer, 50)) > 2  # kT: the refusal is not for nothing


def test_stages_between_einstein_crystals_far_apart() -> None:
    stiffness = np.geomspace(1.0, 1.5, 6)
    n_frames = np.full(6, 500)
    rng = np.random.default_rng(0)
    squares = np.concatenate([rng.chisquare(150, 500) / k for k in stiffness])
    found = reweighting.staged_free_energy(stiffness[:, None] * squares / 2, n_frames)
    assert (found.valid, found.reason) == (True, "")
    assert found.overlap > 0.1
    assert 0 < found.error_kT < 0.2
    assert abs(found.difference_kT - einstein_truth(1.5, 50)) < 3 * found.error_kT
    backwards = reweighting.staged_free_energy(
        stiffness[::-1, None] * np.concatenate(np.split(squares, 6)[::-1]) / 2, n_frames
    )
    assert backwards.difference_kT == pytest.approx(-found.difference_kT, abs=1e-6)


def oscillators(centres: list[float], n_frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Reduced energies and numbers of frames of unit oscillators at these places, all of the same free energy."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([centre + rng.normal(size=n_frames) for centre in centres])
    return (x - np.array(centres)[:, None]) ** 2 / 2, np.full(len(centres), n_frames)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("far", [6.0, 100.0])
def test_stages_without_overlap_are_refused(far: float) -> None:
    found = reweighting.staged_free_energy(*oscillators([0.0, 1.0, far], 300))
    assert not found.valid
    assert found.overlap < reweighting.MIN_OVERLAP
    assert "states 1 and 2 overlap by" in found.reason
    assert np.isnan(found.difference_kT) == np.isnan(found.error_kT)


def test_stages_that_mbar_cannot_solve_say_so() -> None:
    energies, n_frames = oscillators([0.0, 1.0], 20)
    wrong = reweighting.staged_free_energy(energies, n_frames + 1)
    assert not wrong.valid
    assert wrong.reason.startswith("MBAR found no free energies: ")
    energies[0, 3] = np.inf
    lost = reweighting.staged_free_energy(energies, n_frames)
    assert (lost.valid, lost.reason) == (False, "1 reduced energies are not finite")
    assert np.isnan([lost.difference_kT, lost.error_kT, lost.overlap]).all()


@pytest.mark.parametrize("deviation", [1.0, 1.8])
def test_errors_cover_the_truth_of_a_gaussian(deviation: float) -> None:
    """Direct at s = 1, second order at s = 1.8; about 95 % of 300 within two errors."""
    rng = np.random.default_rng(1)
    found = [free_energy_difference(KT * deviation * rng.normal(size=400), T) for _ in range(300)]
    valid = [one for one in found if one.valid]
    method = "direct" if deviation == 1.0 else "cumulant"
    assert np.mean([one.method == method for one in valid]) > 0.9
    assert len(valid) > 0.9 * len(found)
    assert 0.9 < coverage(valid, -(deviation**2) / 2) < 0.99


def coverage(found: list[FreeEnergyDifference], truth_kT: float) -> float:
    """Share of results within two of their errors of the truth."""
    return float(np.mean([abs(one.value_eV / KT - truth_kT) < 2 * one.error_eV / KT for one in found]))


def test_errors_of_a_correlated_run_need_the_number_of_independent_frames() -> None:
    runs = [0.7 * autoregressive(0.8, 2000, seed) for seed in range(100)]
    counted = [free_energy_difference(KT * h, T, reweighting.decorrelate(h).n_independent) for h in runs]
    naive = [free_energy_difference(KT * h, T) for h in runs]
    assert coverage(counted, -(0.7**2) / 2) > 0.88
    assert coverage(naive, -(0.7**2) / 2) < 0.7


def test_stages_cover_the_truth() -> None:
    found = [reweighting.staged_free_energy(*oscillators([0.0, 1.0, 2.0], 200, seed)) for seed in range(60)]
    assert all(one.valid for one in found)
    assert np.mean([abs(one.difference_kT) < 2 * one.error_kT for one in found]) > 0.88


def test_few_frames_are_refused() -> None:
    """30 frames at s = 0.9: about half of them count, too few for either method."""
    found = free_energy_difference(KT * 0.9 * np.random.default_rng(0).normal(size=30), T)
    assert not found.valid
    assert "it takes 200 independent frames" in found.reason
    assert "of 30 independent frames" in found.reason


def test_h_that_is_not_gaussian_is_refused() -> None:
    """A tenth of the frames, 4 kT below the rest, decide."""
    rng = np.random.default_rng(0)
    h = rng.normal(size=600) * 0.3 - 4.0 * (rng.random(600) < 0.1)
    found = free_energy_difference(KT * h, T)
    assert found.ess < reweighting.MIN_ESS
    assert not found.valid
    assert "is not Gaussian, with a skewness of -" in found.reason


def test_disagreement_of_the_methods_is_refused() -> None:
    """Four values of h that have the first seven moments of a Gaussian, but not its tail."""
    nodes, weights = gauss_hermite(4)
    h = np.repeat(1.9 * nodes, np.round(1e5 * weights).astype(int))
    found = free_energy_difference(KT * h, T)
    assert found.ess < reweighting.MIN_ESS
    assert not found.valid
    assert "standard errors off the direct value" in found.reason


@pytest.mark.parametrize(
    ("differences", "what"), [([0.1, np.nan, np.inf], "2 of 3 energy differences"), ([0.1], "1 fr")]
)
def test_what_has_no_free_energy_says_so(differences: list[float], what: str) -> None:
    found = free_energy_difference(np.array(differences), T)
    assert not found.valid
    assert np.isnan([found.value_eV, found.error_eV, found.ess]).all()
    assert what in found.reason


@pytest.mark.parametrize("n_independent", [0, 11])
def test_impossible_numbers_of_independent_frames_are_refused(n_independent: int) -> None:
    with pytest.raises(InputError, match=f"{n_independent} independent of 10 frames"):
        free_energy_difference(np.arange(10.0), T, n_independent)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_statistical_inefficiency_of_a_known_process(phi: float) -> None:
    g = (1 + phi) / (1 - phi)
    series = autoregressive(phi, 100_000, 3)
    found = reweighting.decorrelate(series)
    assert found.statistical_inefficiency == pytest.approx(g, rel=0.15)
    assert found.n_independent == pytest.approx(100_000 / g, rel=0.15)
    assert found.reason == ""
    apart = series[found.indices]
    assert abs(np.corrcoef(apart[1:], apart[:-1])[0, 1]) < 0.2


def test_the_slowest_series_decides_and_constants_do_not_count() -> None:
    slow, fast = autoregressive(0.9, 20_000, 0), autoregressive(0.0, 20_000, 1)
    alone = reweighting.decorrelate(slow)
    for series in ((fast, slow), (np.ones(20_000), slow, fast)):
        found = reweighting.decorrelate(*series)
        assert found.statistical_inefficiency == alone.statistical_inefficiency
        np.testing.assert_array_equal(found.indices, alone.indices)


def test_a_short_run_is_flagged() -> None:
    found = reweighting.decorrelate(autoregressive(0.98, 1000, 0))
    assert "underestimated in runs below 50 times: errors may be too small, run longer" in found.reason


def test_a_run_in_which_nothing_changes_is_worth_one_frame() -> None:
    found = reweighting.decorrelate(np.ones(100), np.zeros(100))
    assert (found.n_independent, found.statistical_inefficiency) == (1, 100.0)
    assert "nothing changes" in found.reason


def test_equilibration_is_found() -> None:
    series = autoregressive(0.5, 4000, 0)
    assert reweighting.equilibrated(series) < 400
    series[:1000] += np.linspace(20.0, 0.0, 1000)
    assert 700 < reweighting.equilibrated(series) < 1300


def test_lost_numbers_are_not_decorrelated() -> None:
    series = np.array([0.0, 1.0, np.nan, 2.0])
    with pytest.raises(InputError, match="1 of 4 values are not finite"):
        reweighting.decorrelate(np.arange(4.0), series)
    with pytest.raises(InputError, match="1 of 4 values are not finite"):
        reweighting.equilibrated(series)
