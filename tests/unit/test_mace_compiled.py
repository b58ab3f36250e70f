"""Compiled steps of MACE against eager ones. In a file of its own, since a compile takes a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import model_examples
import numpy as np
import pytest
from ase import Atoms

from longhot.models import FitTask, _mace_net, _mace_train, load
from longhot.models._mace_graphs import GraphBuilder
from longhot.models._mace_kernels import Kernels, md_sizes, seal
from longhot.models._mace_net import build_network, evaluator
from longhot.models.mace import Config

TINY = {"channels": 4, "max_ell": 1, "layers": 1, "correlation": 1, "radial_mlp": [8], "gradient_steps": 1}


@pytest.fixture
def kernels(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    """Folder of compiled kernels; kept between runs, where an unchanged network need not be compiled again."""
    kept = getattr(pytestconfig, "cache", None)
    return kept.mkdir("kernels") if kept else tmp_path


def gradients(compiled: bool, task: FitTask, batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """Energies, forces and the gradient of a loss for every weight."""
    import torch

    config = Config.model_validate({"family": "mace", "dtype": "float64"} | TINY)
    torch.manual_seed(0)
    scale = _mace_train.statistics(task.train, task.valid, task.atomic_energies_eV, config.r_max_A)
    network = build_network(config, [1, 6, 8], scale, traceable=compiled)
    graphs, energies, reference_forces, sizes = batch
    energy, forces = evaluator(network, compiled, training=True)(dict(graphs))
    loss = ((energy - energies) / sizes).square().mean() + 100 * (forces - reference_forces).square().mean()
    loss.backward()
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    return energy.detach(), forces.detach(), found


def test_a_compiled_step_is_the_eager_one(
    methanol: list[Atoms], kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(kernels))
    task = model_examples.task(methanol, tmp_path)
    builder = GraphBuilder([1, 6, 8], 5.0, torch.float64, "cpu")
    batch = _mace_train.FrameSet(task.train, task.atomic_energies_eV, builder, static=True).batch(np.arange(2))
    compiled, eager = (gradients(one, task, batch) for one in (True, False))
    torch.testing.assert_close(compiled[0], eager[0], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(compiled[1], eager[1], rtol=1e-8, atol=1e-8)
    assert compiled[2].keys() == eager[2].keys()
    scale = max(float(gradient.abs().max()) for gradient in eager[2].values())
    assert scale > 0
    for name, gradient in eager[2].items():
        torch.testing.assert_close(compiled[2][name], gradient, rtol=1e-6, atol=1e-9 * scale, msg=name)


def test_a_compiled_md_batch_is_the_eager_one_and_shrinks_to_compiled_sizes_only(
    methanol: list[Atoms], kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(kernels))
    model_examples.fit("mace", methanol, tmp_path, max_L=0, **TINY)
    seal(kernels, Kernels(training=True, md_sizes=[3]))
    compiled, eager = load(tmp_path, "cpu", kernels), load(tmp_path)
    assert compiled.batch_sizes(3) == [3]
    assert eager.batch_sizes(3) == [3, 2, 1]
    positions = np.stack([frame.positions for frame in methanol[:3]])
    found, expected = (one.batch(methanol[0], 3).compute(positions) for one in (compiled, eager))
    np.testing.assert_allclose(found.forces_eV_per_A, expected.forces_eV_per_A, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.energy_eV, expected.energy_eV, rtol=1e-12)
    assert np.ptp(found.energy_eV) > 1e-3


@pytest.mark.parametrize(
    ("replicas", "sizes"),
    [([], []), ([1], [1]), ([31], [31]), ([64], [64, 16]), ([130], [130, 33, 9]), ([8, 64], [64, 16, 8])],
)
def test_sizes_of_md_batches_are_few(replicas: list[int], sizes: list[int]) -> None:
    assert md_sizes(replicas) == sizes


def test_a_second_fit_of_a_process_takes_the_compiled_step_of_the_first(
    methanol: list[Atoms], kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own weights and scale: the fits are those of processes of their own."""
    config = Config.model_validate(
        {"family": "mace", "compile": "always", "validations": 5} | TINY | {"gradient_steps": 5}
    )
    traced = []

    def counted(network: Any, compiled: bool, training: bool) -> Any:
        traced.append(compiled)
        return evaluator(network, compiled, training)

    monkeypatch.setattr(_mace_net, "_idle", {})
    monkeypatch.setattr(_mace_net, "evaluator", counted)

    def fitted(frames: list[Atoms], name: str, warm_start: Path | None = None) -> bytes:
        e0_eV = model_examples.atomic_energies(methanol)
        task = FitTask(frames, methanol[:5], e0_eV, 1, tmp_path / name, "cpu", kernels, warm_start=warm_start)
        _mace_train.fit(config, task)
        return (tmp_path / name / "model.safetensors").read_bytes()

    fitted(methanol[:5], "first")
    second = fitted(methanol[5:10], "second")
    assert sum(traced) == 1
    monkeypatch.setattr(_mace_net, "_idle", {})
    assert fitted(methanol[5:10], "alone") == second
    warm = fitted(methanol[:5], "warm", tmp_path / "second")
    monkeypatch.setattr(_mace_net, "_idle", {})
    assert fitted(methanol[:5], "warm_alone", tmp_path / "second") == warm != second
