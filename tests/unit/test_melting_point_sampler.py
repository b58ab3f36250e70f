"""The sampler's runs: what a killed job keeps, and what becomes of runs that a failed one makes impossible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from melting_point_runs import ICE, run_of

from longhot.config import Coexistence, Conditions, Pinning
from longhot.dynamics.samples import Samples, Settings, failed, load
from longhot.observables.melting_point import interfaces, sampler

REPEATS = (2, 2, 2)
ORDER = {"solid": 12.0, "liquid": 1.0, "pinned": 6.5}
NAMES = tuple(ORDER)


class Run:
    """Leaves made-up samples, and notes of what; it is killed at the start of one run, once."""

    def __init__(self, killed_at: str = "", failures: dict[str, str] | None = None) -> None:
        self.done: list[str] = []
        self.killed_at, self.failures = killed_at, failures or {}

    def __call__(self, atoms: Atoms, settings: Settings, out: Path) -> None:
        if out.stem == self.killed_at:
            self.killed_at = ""
            raise KeyboardInterrupt
        self.done.append(out.stem)
        failure = self.failures.get(out.stem, "")
        run_of(np.zeros(50), order=ORDER[out.stem], samples_per_frame=50, failure=failure).save(out)


def interface(run: Run, folder: Path, identity: str = "mW", kappa_eV: float = 0.17) -> dict[str, Samples]:
    """A job of the rule: Snakemake removes the outputs that are there before it starts."""
    out = {name: folder / f"{name}.npz" for name in NAMES}
    for path in out.values():
        path.unlink(missing_ok=True)
    block = Pinning(temperatures_K=[280.0], kappa_eV=kappa_eV)
    sampler.interface(sampler.Runner(run, identity), Conditions(), block, REPEATS, 280.0, out)
    assert sorted(folder.iterdir()) == sorted(out.values())
    return {name: load(path) for name, path in out.items()}


@pytest.mark.parametrize(("killed_at", "kept"), [("solid", 0), ("liquid", 1), ("pinned", 2)])
def test_a_killed_interface_repeats_no_run_that_is_done(tmp_path: Path, killed_at: str, kept: int) -> None:
    run = Run(killed_at)
    with pytest.raises(KeyboardInterrupt):
        interface(run, tmp_path)
    assert run.done == list(NAMES[:kept])
    found = interface(run, tmp_path)
    assert run.done == list(NAMES)
    assert {name: one.order_parameter[0] for name, one in found.items()} == ORDER


@pytest.mark.parametrize("changed", [{"identity": "another"}, {"kappa_eV": 0.3}])
def test_runs_of_another_potential_or_of_other_settings_are_not_kept(tmp_path: Path, changed: dict) -> None:
    with pytest.raises(KeyboardInterrupt):
        interface(Run("pinned"), tmp_path)
    run = Run()
    interface(run, tmp_path, **changed)
    assert run.done == list(NAMES)


def test_a_finished_interface_runs_again_when_it_is_asked_for(tmp_path: Path) -> None:
    run = Run()
    for _ in range(2):
        interface(run, tmp_path)
    assert run.done == [*NAMES, *NAMES]


@pytest.mark.parametrize(("name", "n_runs"), [("solid", 1), ("liquid", 2)])
def test_a_whole_phase_that_fails_leaves_the_cause_for_all_after_it(tmp_path: Path, name: str, n_runs: int) -> None:
    run = Run(failures={name: "lost atoms"})
    found = interface(run, tmp_path)
    assert run.done == list(NAMES[:n_runs])
    for skipped in NAMES[n_runs:]:
        assert found[skipped].failure == f"not run, for the whole {name} ended early: lost atoms"
        assert len(found[skipped].time_ps) == 0


BROKEN = run_of(np.zeros(50), order=6.5 + 0.1 * np.random.default_rng(0).normal(size=50), failure="lost atoms")
SKIPPED = "not run, for the whole solid ended early: lost atoms"


@pytest.mark.parametrize(
    ("pinned", "cause"),
    [
        (failed(ICE, "melting: too hot"), "not run, for the pinned run ended early: melting: too hot"),
        (BROKEN, "not run, for the pinned run ended early: lost atoms"),
        (failed(ICE, SKIPPED), SKIPPED),
    ],
    ids=["before its first sample", "later", "skipped"],
)
def test_coexistence_after_a_pinned_run_that_failed(tmp_path: Path, pinned: Samples, cause: str) -> None:
    """It leaves the cause, and the study goes on."""
    out = tmp_path / "coexistence.npz"
    sampler.coexistence(Run(), Conditions(), Coexistence(), REPEATS, pinned, 280.0, out)
    runs = {name: run_of(np.zeros(50), name, order=ORDER[name], samples_per_frame=50) for name in NAMES[:2]}
    beside = interfaces.pinning("2x2x2", 280.0, runs | {"pinned": pinned}, 0.17, 0.0)
    found = interfaces.coexistence("2x2x2", load(out), beside, 0.0)
    assert (found.valid, found.reason) == (False, cause)
