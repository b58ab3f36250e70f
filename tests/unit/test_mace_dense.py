"""Messages as matrix products: the network with them is the network without them, to its second derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import model_examples
import numpy as np
import pytest
from ase import Atoms

from longhot.models import _mace_train
from longhot.models._mace_graphs import GraphBuilder, all_pairs
from longhot.models._mace_net import build_network, evaluator, load_weights, network_with
from longhot.models.mace import Config


def test_edges_stand_together_by_receiver() -> None:
    senders, receivers = all_pairs(4)
    assert receivers.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert senders.tolist() == [1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2]


@pytest.mark.parametrize(("max_L", "correlation"), [(0, 2), (1, 1), (2, 2)])
def test_the_network_is_the_same(max_L: int, correlation: int, methanol: list[Atoms], tmp_path: Path) -> None:
    import torch

    config = Config.model_validate(
        {"family": "mace", "dtype": "float64", "channels": 4, "max_L": max_L, "correlation": correlation}
        # A cutoff within the molecule: some of the pairs must count for nothing.
        | {"max_ell": 2, "radial_mlp": [8], "r_max_A": 2.5, "gradient_steps": 1}
    )
    task = model_examples.task(methanol, tmp_path)
    statistics = _mace_train.statistics(task.train, task.valid, task.atomic_energies_eV, config.r_max_A)
    torch.manual_seed(0)
    plain = build_network(config, [1, 6, 8], statistics, traceable=False)
    dense = build_network(config, [1, 6, 8], statistics, traceable=True)
    load_weights(dense, plain.state_dict())
    frames = _mace_train.FrameSet(
        task.train, task.atomic_energies_eV, GraphBuilder([1, 6, 8], config.r_max_A, torch.float64, "cpu"), static=True
    )

    def results(network: Any) -> tuple[Any, Any, dict[str, Any]]:
        """Energies, forces, and the gradient of the forces' squares for every weight."""
        graphs, *_ = frames.batch(np.arange(3))
        energy, forces = evaluator(network, compiled=False, training=True)(graphs)
        forces.square().sum().backward()
        return energy.detach(), forces.detach(), {name: one.grad for name, one in network.named_parameters()}

    found, expected = results(dense), results(plain)
    assert float(expected[1].abs().max()) > 0.1
    torch.testing.assert_close(found[0], expected[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-9, atol=1e-10)
    assert found[2].keys() == expected[2].keys()
    scale = max(float(one.abs().max()) for one in expected[2].values() if one is not None)
    for name, gradient in expected[2].items():
        if gradient is None:
            assert found[2][name] is None
        else:
            torch.testing.assert_close(found[2][name], gradient, rtol=1e-7, atol=1e-10 * scale, msg=name)


def test_a_copied_network_is_that_which_is_built(methanol: list[Atoms]) -> None:
    """Of whatever scale, and the copies share no weight with one another."""
    import torch

    config = Config.model_validate(model_examples.EXAMPLES["mace"])
    scales = [{"avg_num_neighbors": 4.0, "mean_eV": -one, "rms_eV_per_A": 0.5 * one} for one in (1.0, 2.0)]
    builder = GraphBuilder([1, 6, 8], config.r_max_A, torch.float64, "cpu")
    built = [build_network(config, [1, 6, 8], one, traceable=False) for one in scales]
    weights = [{name: tensor.detach().clone() for name, tensor in one.named_parameters()} for one in built]
    drawn = torch.random.get_rng_state()
    copies = [network_with(config, [1, 6, 8], one, own) for one, own in zip(scales, weights, strict=True)]
    assert torch.equal(torch.random.get_rng_state(), drawn)

    def forces(network: torch.nn.Module) -> np.ndarray:
        graphs = builder.static(methanol[0], 1)
        graphs["positions"] = builder.floats(methanol[0].positions).requires_grad_(True)
        return evaluator(network, compiled=False, training=False)(graphs)[1].numpy()

    found = [forces(one) for one in copies]
    for one, other in zip(built, found, strict=True):
        np.testing.assert_allclose(forces(one), other, atol=1e-9)
    assert np.abs(found[0] - found[1]).max() > 1e-3
