"""Modules that nothing uses are left out of an import, and can be had later."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from longhot.stand_ins import stand_ins

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("from shop.heavy import Lorry\n")
    (tmp_path / "shop" / "heavy.py").write_text("class Lorry:\n    wheels = 6\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shop", "shop.heavy"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("package")
def test_a_stand_in_is_empty_and_says_so_when_it_is_used() -> None:
    with stand_ins("shop.heavy"):
        shop = importlib.import_module("shop")
    with pytest.raises(NotImplementedError, match="Lorry was left out"):
        shop.Lorry()
    assert not hasattr(shop, "heavy")
    assert importlib.import_module("shop.heavy").Lorry.wheels == 6


@pytest.mark.usefixtures("package")
def test_a_stand_in_holds_others() -> None:
    with stand_ins("shop", "shop.heavy", "shop.heavy.wheels"):
        assert not importlib.import_module("shop.heavy.wheels").__dict__.get("Wheel")
    assert importlib.import_module("shop").Lorry().wheels == 6


@pytest.mark.usefixtures("package")
def test_what_is_loaded_stays() -> None:
    importlib.import_module("shop.heavy")
    with stand_ins("shop.heavy"):
        assert importlib.import_module("shop").Lorry().wheels == 6
    assert "shop.heavy" in sys.modules


def loaded_by(code: str) -> set[str]:
    """Names of all modules after some code in a process of its own."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "workflow")}, capture_output=True, text=True)
    return set(done.stdout.split())


def test_mace_comes_without_what_only_its_training_program_needs() -> None:
    names = loaded_by("from longhot.models import _mace_net\n_mace_net.import_mace()")
    assert {"mace.modules", "torch", "e3nn.o3"} <= names
    assert not names & {"torchmetrics", "matplotlib", "pandas", "scipy.signal", "mace.tools.train"}
    assert not names & {"torch._dynamo", "sympy"}


def test_scores_come_without_scikit_learn_and_plots() -> None:
    names = loaded_by(
        "import numpy as np\nfrom longhot.uncertainty.calibration import scores\n"
        "assert scores(np.array([0.1, -0.2, 0.3]), np.full(3, 0.2)).miscalibration_area > 0"
    )
    assert "uncertainty_toolbox.metrics_calibration" in names
    assert not names & {"sklearn", "matplotlib", "pandas"}


def test_frames_are_read_without_scipy(tmp_path: Path) -> None:
    path = tmp_path / "water.xyz"
    path.write_text("1\nLattice='3 0 0 0 3 0 0 0 3' Properties=species:S:1:pos:R:3 pbc='T T T'\nH 0 0 0\n")
    names = loaded_by(f"from longhot import frames\nassert frames.read('{path}')[0].pbc.all()")
    assert "ase.io.extxyz" in names
    assert not names & {"scipy.stats", "scipy.integrate"}


def test_soap_comes_without_numba_and_scikit_learn() -> None:
    names = loaded_by(
        "from longhot.soap import soap\nfrom ase.build import molecule\n"
        "soap(species=['H', 'O'], r_cut=3.0, n_max=2, l_max=2).create(molecule('H2O'))"
    )
    assert "dscribe.descriptors.soap" in names
    assert not names & {"numba", "sklearn", "sparse"}
