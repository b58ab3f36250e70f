"""The job that calibrates a committee: its reference labels by a process of its own, and none of its frames twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fake_calculators
import numpy as np
import pytest
from melting_point_runs import ICE, N_SITES, run_of

from longhot import frames as fr
from longhot.files import read_json
from longhot.models import reference
from longhot.provenance import WORKFLOW

N_VISITED, N_TEST, N_STRAINS = 3, 4, 12
JOB = """
import json, runpy, sys
from types import SimpleNamespace

class Inputs(SimpleNamespace):
    def __iter__(self):
        return iter([*self.bulk, *self.models, self.test])

given = json.loads(sys.argv[2])
snakemake = SimpleNamespace(
    rule="calibrate", threads=1, resources={}, log=given["log"], output=given["output"],
    input=Inputs(**given["input"]), params=SimpleNamespace(**given["params"]),
)
runpy.run_path(sys.argv[1], init_globals={"snakemake": snakemake})
"""


class Study:
    """A committee of scaled mW water, and a reference that counts its calls."""

    def __init__(self, folder: Path, positions_A: np.ndarray) -> None:
        self.folder, self.calls = folder, folder / "calls"
        rng = np.random.default_rng(0)
        labelled = [fr.labelled(ICE, rng.normal(), rng.normal(size=(N_SITES, 3))) for _ in range(N_TEST)]
        for frame in labelled:
            frame.positions += 0.05 * rng.normal(size=(N_SITES, 3))
        fr.write(folder / "test.extxyz", labelled)
        run = run_of(np.zeros(N_VISITED))
        run.positions_A[:] = positions_A
        run.save(folder / "bulk.npz")
        (folder / "results" / "mine" / "logs").mkdir(parents=True)

    def calibrate(self, size: int) -> list[dict]:
        """Rows of the scope md of one committee."""
        models = [self.folder / f"n{size}" / f"seed{seed}" for seed in range(2)]
        for seed, model in enumerate(models):
            model.mkdir(parents=True)
            reference.write({"method": "lammps", "energy_scale": 1 + 0.1 * seed + 0.01 * size}, model)
        out = Path("results", "mine", f"calibration{size}.json")
        springs = {"method": "ase", "calculator": "fake_calculators.Springs", "level_of_theory": "none"}
        given = {
            "log": ["results/mine/logs/calibrate.log"],
            "output": [str(out)],
            "input": {
                "bulk": ["bulk.npz"],
                "models": [str(model / "model.json") for model in models],
                "test": "test.extxyz",
            },
            "params": {
                "device": "cpu",
                "equilibration_ps": 0.0,
                "n_frames": N_VISITED,
                "reference": springs | {"arguments": {"calls": str(self.calls)}},
                "store": str(self.folder / "labels"),
            },
        }
        path = os.pathsep.join([str(WORKFLOW), str(Path(__file__).parent)])
        subprocess.run(
            [sys.executable, "-c", JOB, str(WORKFLOW / "scripts" / "calibrate.py"), json.dumps(given)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path},
            check=True,
        )
        return [row for row in read_json(self.folder / out)["calibration"] if row["scope"] == "md"]

    def n_calls(self) -> int:
        return len(self.calls.read_text(encoding="utf-8").splitlines())


@pytest.fixture
def visited_A() -> np.ndarray:
    """Frames that differ."""
    return ICE.positions + 0.05 * np.random.default_rng(1).normal(size=(N_VISITED, N_SITES, 3))


def test_committees_share_the_labels_of_their_frames_and_of_those_under_strain(
    tmp_path: Path, visited_A: np.ndarray
) -> None:
    study = Study(tmp_path, visited_A)
    rows = study.calibrate(5)
    assert {row["n_frames"] for row in rows} == {N_VISITED}
    assert {row["quantity"] for row in rows} >= {"energy_meV_per_atom", "stress_GPa"}
    assert study.n_calls() == N_VISITED + N_STRAINS * (N_TEST + 2)  # stresses are of pairs of frames
    study.calibrate(10)
    assert study.n_calls() == N_VISITED + N_STRAINS * (N_TEST + 2)


def test_a_crash_of_the_reference_costs_its_frame(tmp_path: Path, visited_A: np.ndarray) -> None:
    visited_A[1, 0, 0] = fake_calculators.DIES_AT_A
    rows = Study(tmp_path, visited_A).calibrate(5)
    assert {row["n_frames"] for row in rows} == {N_VISITED - 1}
