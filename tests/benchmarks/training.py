"""Training: frames a second and test error, against mace_run_train with the same hyperparameters."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import FOLDER, Options, Row

from longhot import frames as fr
from longhot.files import read_json
from longhot.models import FitTask, load, mace

if TYPE_CHECKING:
    from ase import Atoms

N_TRAIN = 100
STEPS = 2000
SHORT_STEPS = 200
CONFIG: dict[str, Any] = {
    "family": "mace",
    "max_L": 0,
    "correlation": 2,
    "channels": 16,
    "schedule": "constant",
    "energy_weight": 1.0,
    "forces_weight": 1000.0,
}


@dataclass(frozen=True)
class Data:
    """What is fitted and tested on, and where."""

    train: list[Atoms]
    valid: list[Atoms]
    test: list[Atoms]
    e0_eV: dict[str, float]
    device: str


def xtb_ethanol(folder: Path) -> None:
    """Ethanol sampled by Langevin MD with GFN2-xTB."""
    from longhot import datasets
    from longhot.datasets import generate
    from longhot.references import xtb

    config = generate.Config(
        reference="gfn2", molecule="CH3CH2OH", n_train_pool=N_TRAIN, n_valid=50, n_test=100, n_test_hot=0
    )
    datasets.build(config, xtb.Config(), folder, N_TRAIN)


def read(folder: Path, device: str) -> Data:
    """A dataset that the pipeline made."""
    pool, valid, test = (fr.read(folder / f"{name}.extxyz") for name in ("train_pool", "valid", "test"))
    order = np.random.default_rng(0).permutation(len(pool))
    e0_eV = read_json(folder / "atomic_energies.json")
    return Data([pool[i] for i in order[:N_TRAIN]], valid[:50], test[:200], e0_eV, device)


def fit(data: Data, name: str, steps: int, compile_steps: bool) -> tuple[Path, float]:
    """Fit with Longhot; returns the folder and the seconds of the steps after the first."""
    config = mace.Config.model_validate(
        CONFIG | {"gradient_steps": steps, "compile": "always" if compile_steps else "never", "validations": 5}
    )
    directory = FOLDER / "models" / name
    cache = FOLDER / "compiled" / f"train-{data.device}" if compile_steps else None
    task = FitTask(data.train, data.valid, data.e0_eV, 0, directory, data.device, cache)
    if compile_steps:
        mace.compile_step(config, task, [])
    mace.fit(config, task)
    record = read_json(directory / "fit.json")
    return directory, record["train_wall_s"] - record["compile_s"]


def mace_run_train(data: Data, epochs: int, name: str) -> tuple[Path, float]:
    """Fit with mace_run_train; returns its model file and the wall seconds of the whole command."""
    from ase.data import atomic_numbers

    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "valid"):
        fr.write(folder / f"{part}.xyz", getattr(data, part))
    options = {
        "name": "peer",
        "work_dir": folder,
        "train_file": folder / "train.xyz",
        "valid_file": folder / "valid.xyz",
        "E0s": str({atomic_numbers[symbol]: energy for symbol, energy in data.e0_eV.items()}),
        "model": "ScaleShiftMACE",
        "interaction_first": "RealAgnosticResidualInteractionBlock",
        "num_channels": 16,
        "max_L": 0,
        "correlation": 2,
        "num_interactions": 2,
        "max_ell": 3,
        "r_max": 5.0,
        "loss": "weighted",
        "energy_weight": 1,
        "forces_weight": 1000,
        "batch_size": 5,
        "valid_batch_size": 20,
        "max_num_epochs": epochs,
        "eval_interval": max(1, epochs // 5),
        "lr": 0.01,
        "scheduler": "ExponentialLR",
        "lr_scheduler_gamma": 1.0,
        "ema_decay": 0.99,
        "default_dtype": "float32",
        "device": data.device,
        "seed": 0,
        "error_table": "PerAtomMAE",
        "plot": False,
    }
    command = [str(Path(sys.executable).with_name("mace_run_train")), "--ema", "--amsgrad"]
    start = time.perf_counter()
    with (folder / "out.log").open("w") as log:
        subprocess.run(
            command + [f"--{key}={value}" for key, value in options.items()],
            check=True,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    return folder / "peer.model", time.perf_counter() - start


def speed_and_error(data: Data) -> list[Row]:
    """Training frames a second; the peer's start-up is taken off by a second, shorter run."""
    batches = N_TRAIN // 5
    _, short = mace_run_train(data, SHORT_STEPS // batches, "peer-short")
    model, long = mace_run_train(data, STEPS // batches, "peer")
    peer = 5 * (STEPS - SHORT_STEPS) / (long - short)
    rows = []
    for name, compiled in (("train_vs_mace_run_train", True), ("train_eager_vs_mace_run_train", False)):
        _, seconds = fit(data, name, STEPS, compiled)
        ours = 5 * STEPS / seconds
        rows.append(Row(name, ours, "frames/s", "mace_run_train", peer, ours / peer))
    ours_mae, peer_mae = test_error(data, FOLDER / "models" / "train_vs_mace_run_train"), peer_error(data, model)
    rows.append(Row("test_error_vs_mace_run_train", ours_mae, "meV/A", "mace_run_train", peer_mae, peer_mae / ours_mae))
    return rows


def test_error(data: Data, directory: Path) -> float:
    """Force MAE of a Longhot model on the test frames, in meV/A."""
    labels = load(directory, data.device).predict(data.test)
    errors = [
        np.abs(label.forces_eV_per_A - frame.arrays[fr.FORCES]).mean()
        for label, frame in zip(labels, data.test, strict=True)
    ]
    return 1e3 * float(np.mean(errors))


def peer_error(data: Data, model: Path) -> float:
    """Force MAE of mace_run_train's model on the test frames, in meV/A."""
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=str(model), device=data.device, default_dtype="float32")
    errors = [np.abs(calculator.get_forces(frame) - frame.arrays[fr.FORCES]).mean() for frame in data.test]
    return 1e3 * float(np.mean(errors))


def rows(options: Options) -> list[Row]:
    """All rows of this section, on the given dataset or on ethanol by GFN2-xTB."""
    folder = options.dataset or FOLDER / "ethanol"
    if not (folder / "card.json").exists():
        xtb_ethanol(folder)
    return speed_and_error(read(folder, options.device))
