"""Speed against named peers, each ratio measured in one run on one thread: ``make bench``.

Writes results/bench/bench.csv. Ethanol by GFN2-xTB is sampled first; --dataset takes another dataset of
one molecule, such as rMD17 ethanol, for the comparison of test errors.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames as fr
from longhot.config import Protocol
from longhot.files import read_json, write_json, write_text
from longhot.models import FitTask, load, mace

if TYPE_CHECKING:
    from ase import Atoms

FOLDER = Path(__file__).resolve().parents[2] / "results" / "bench"
N_REPLICAS = 16
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
class Row:
    """One figure; ``ratio`` says how many times better than the peer it is."""

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float


@dataclass(frozen=True)
class Data:
    """What is fitted and tested on."""

    train: list[Atoms]
    valid: list[Atoms]
    test: list[Atoms]
    e0_eV: dict[str, float]


def xtb_ethanol(folder: Path) -> None:
    """Ethanol sampled by Langevin MD with GFN2-xTB."""
    from longhot import datasets
    from longhot.datasets import generate
    from longhot.references import xtb

    config = generate.Config(
        reference="gfn2", molecule="CH3CH2OH", n_train_pool=N_TRAIN, n_valid=50, n_test=100, n_test_hot=0
    )
    datasets.build(config, xtb.Config(), folder, N_TRAIN)


def read(folder: Path) -> Data:
    """A dataset that the pipeline made."""
    pool, valid, test = (fr.read(folder / f"{name}.extxyz") for name in ("train_pool", "valid", "test"))
    order = np.random.default_rng(0).permutation(len(pool))
    return Data([pool[i] for i in order[:N_TRAIN]], valid[:50], test[:200], read_json(folder / "atomic_energies.json"))


def fit(data: Data, name: str, steps: int, compile_steps: bool) -> tuple[Path, float]:
    """Fit with Longhot; returns the folder and the seconds of the steps after the first."""
    config = mace.Config.model_validate(
        CONFIG | {"gradient_steps": steps, "compile": "always" if compile_steps else "never", "validations": 5}
    )
    directory = FOLDER / "models" / name
    cache = FOLDER / "compiled" if compile_steps else None
    task = FitTask(data.train, data.valid, data.e0_eV, 0, directory, "cpu", cache)
    if compile_steps:
        mace.compile_step(config, task, N_REPLICAS)
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
        "device": "cpu",
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


def training(data: Data) -> list[Row]:
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
    labels = load(directory).predict(data.test)
    errors = [
        np.abs(label.forces_eV_per_A - frame.arrays[fr.FORCES]).mean()
        for label, frame in zip(labels, data.test, strict=True)
    ]
    return 1e3 * float(np.mean(errors))


def peer_error(data: Data, model: Path) -> float:
    """Force MAE of mace_run_train's model on the test frames, in meV/A."""
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=str(model), device="cpu", default_dtype="float32")
    errors = [np.abs(calculator.get_forces(frame) - frame.arrays[fr.FORCES]).mean() for frame in data.test]
    return 1e3 * float(np.mean(errors))


def ase_steps_per_s(directory: Path, start: Atoms, steps: int) -> float:
    """Langevin steps a second of ASE with MACECalculator, one trajectory."""
    from ase import units
    from ase.md.langevin import Langevin
    from mace.calculators import MACECalculator

    from longhot.models._mace_potential import export

    export(directory, FOLDER / "exported.model")
    atoms = start.copy()
    atoms.calc = MACECalculator(model_paths=str(FOLDER / "exported.model"), device="cpu", default_dtype="float32")
    dynamics = Langevin(
        atoms, 0.5 * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=np.random.default_rng(0)
    )
    dynamics.run(20)
    begin = time.perf_counter()
    dynamics.run(steps)
    return steps / (time.perf_counter() - begin)


def engine_seconds(directory: Path, starts: list[Atoms], steps: int) -> float:
    """Wall seconds of the whole engine for ``steps``, files and detectors included."""
    from longhot.dynamics.engine import simulate

    protocol = Protocol(temperatures_K=[300], replicas=N_REPLICAS, duration_ps=steps * 0.5e-3)
    potential = load(directory, "cpu", FOLDER / "compiled")
    out = FOLDER / f"md-{steps}"
    begin = time.perf_counter()
    simulate(potential, starts, protocol, 300.0, 0, out, identity=str(time.time()))
    return time.perf_counter() - begin


def molecular_dynamics(data: Data, directory: Path) -> list[Row]:
    """MD steps a second, all replicas together, and the part of the step outside the model."""
    starts = [data.test[i] for i in range(N_REPLICAS)]
    batch = load(directory, "cpu", FOLDER / "compiled").batch(starts[0], N_REPLICAS)
    positions = np.stack([start.positions for start in starts])
    for _ in range(20):
        batch.compute(positions)
    begin = time.perf_counter()
    for _ in range(200):
        batch.compute(positions)
    call_s = (time.perf_counter() - begin) / 200
    peer = ase_steps_per_s(directory, starts[0], 200)
    # The difference of two lengths takes the loading of the kernels off.
    step_s = (engine_seconds(directory, starts, 1200) - engine_seconds(directory, starts, 200)) / 1000
    ours = N_REPLICAS / step_s
    overhead = 1 - call_s / step_s
    return [
        Row("md_ethanol_vs_ase", ours, "steps/s", "ASE + MACECalculator", peer, ours / peer),
        Row("engine_overhead", overhead, "fraction", "model call alone", 0.0, overhead),
    ]


def no_op() -> list[Row]:
    """Seconds of a second run of a finished study with nothing to do; no row where none is finished."""
    root = FOLDER.parents[1]
    for study in ("default", "smoke"):
        config = root / "config" / ("config.yaml" if study == "default" else f"{study}.yaml")
        if not (root / "results" / study / "report" / "index.html").exists():
            continue
        command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--configfile", str(config)]
        plan = subprocess.run([*command, "--dry-run"], check=True, capture_output=True, text=True, cwd=root)
        if "Nothing to be done" not in plan.stdout + plan.stderr:
            continue
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=root)
        seconds = time.perf_counter() - start
        return [Row("noop_s", seconds, "s", "limit", 10.0, 10.0 / seconds)]
    return []


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, help="folder results/<study>/datasets/<name>; default: xTB ethanol")
    folder = parser.parse_args().dataset or FOLDER / "ethanol"
    logging.basicConfig(level=logging.WARNING)
    if not (folder / "card.json").exists():
        xtb_ethanol(folder)
    data = read(folder)
    rows = training(data)
    rows += molecular_dynamics(data, FOLDER / "models" / "train_vs_mace_run_train") + no_op()
    table = io.StringIO()
    writer = csv.DictWriter(table, list(asdict(rows[0])))
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in asdict(row).items()}
        for row in rows
    )
    write_text(FOLDER / "bench.csv", table.getvalue())
    write_json(FOLDER / "settings.json", {"config": CONFIG, "steps": STEPS, "n_train": N_TRAIN, "replicas": N_REPLICAS})
    print(table.getvalue())


if __name__ == "__main__":
    main()
