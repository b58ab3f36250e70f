"""The MACE network: built from its hyperparameters, evaluated on batches of graphs.

Atomic energies stay out of the network: they are taken off and added in float64, because a total
energy of thousands of eV leaves no digits for the interaction energy in float32.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from longhot.stand_ins import stand_ins

if TYPE_CHECKING:
    import torch

    from longhot.models.mace import Config

ARCHITECTURE = (
    *("max_L", "correlation", "channels", "layers", "max_ell", "r_max_A", "n_radial_basis", "radial_type"),
    *("cutoff_power", "radial_mlp", "readout_width", "dtype"),
)
"""Keys of the config block that say which network the weights belong to."""

logger = logging.getLogger(__name__)

UNUSED = (
    *("mace.tools.train", "e3nn.io._spherical_tensor", "torch._dynamo"),
    *("sympy", "sympy.printing", "sympy.printing.pycode"),
)
"""Modules that building and evaluating an eager network does not need."""

_prototypes: dict[str, torch.nn.Module] = {}
"""Eager networks that this process has built, by all that they are built from but weights and scale."""
_idle: dict[str, Compiled] = {}
"""Networks with compiled steps that no fit uses, by the same."""


def import_mace() -> Any:
    """Import mace.modules, without the warnings that it gives on every start and without what nothing here uses.

    Its training loop alone brings torchmetrics, pandas and matplotlib, a part of e3nn brings scipy.signal, and the
    compiler and e3nn's generator of code bring sympy: 2.5 s of 4.5 s.
    """
    with warnings.catch_warnings(), stand_ins(*UNUSED):
        warnings.simplefilter("ignore")
        import mace.modules

    return mace.modules


def build_network(
    config: Config, numbers: list[int], statistics: dict[str, float], traceable: bool, atomic_energies_eV: Any = None
) -> torch.nn.Module:
    """A ScaleShiftMACE with fresh weights from torch's global random state.

    Args:
        config: hyperparameters.
        numbers: atomic numbers of the elements, ascending; their order is that of the one-hot attributes.
        statistics: ``avg_num_neighbors``, ``mean_eV`` (interaction energy per atom), ``rms_eV_per_A``.
        traceable: build it so that torch.compile can trace it (mace.tools.compile), and with messages as matrix
            products, for all-pairs batches only; parameters are the same.
        atomic_energies_eV: for an export, shape (n_elements,); zeros where absent.
    """
    modules = import_mace()
    import torch
    from e3nn import o3

    irreps = o3.Irreps([(config.channels, (ell, (-1) ** ell)) for ell in range(config.max_L + 1)])

    def network() -> torch.nn.Module:
        built = modules.ScaleShiftMACE(
            r_max=config.r_max_A,
            num_bessel=config.n_radial_basis,
            num_polynomial_cutoff=config.cutoff_power,
            max_ell=config.max_ell,
            interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            num_interactions=config.layers,
            num_elements=len(numbers),
            hidden_irreps=irreps,
            MLP_irreps=o3.Irreps(f"{config.readout_width}x0e"),
            atomic_energies=np.zeros(len(numbers)) if atomic_energies_eV is None else np.asarray(atomic_energies_eV),
            avg_num_neighbors=statistics["avg_num_neighbors"],
            atomic_numbers=numbers,
            correlation=config.correlation,
            gate=torch.nn.functional.silu,
            radial_MLP=config.radial_mlp,
            radial_type=config.radial_type,
            atomic_inter_scale=statistics["rms_eV_per_A"],
            atomic_inter_shift=statistics["mean_eV"],
        )
        if traceable:
            from longhot.models._mace_dense import DenseMessages

            for interaction in built.interactions:
                interaction.conv_tp, interaction.conv_fusion = DenseMessages(interaction.conv_tp), True
        return built

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, config.dtype))
    try:
        with warnings.catch_warnings():
            # TorchScript warns of every annotation in e3nn's classes.
            warnings.simplefilter("ignore")
            return prepare(network)() if traceable else network()
    finally:
        torch.set_default_dtype(before)


def prepare(network: Callable[[], torch.nn.Module]) -> Callable[[], torch.nn.Module]:
    """mace.tools.compile.prepare, with the compiler that ``import_mace`` keeps from it."""
    import mace.tools.compile
    import torch._dynamo

    mace.tools.compile.dynamo = torch._dynamo
    return mace.tools.compile.prepare(network)


def network_with(
    config: Config,
    numbers: list[int],
    statistics: dict[str, float],
    weights: dict[str, torch.Tensor],
) -> torch.nn.Module:
    """A network with given weights: a copy where the process has built its like, for e3nn takes a second to build one.

    It is eager: e3nn turns the parts of copies into TorchScript, which cannot be traced.

    Args:
        config: hyperparameters.
        numbers: as in ``build_network``.
        statistics: as in ``build_network``.
        weights: of a network of the same hyperparameters, by name.

    Raises:
        RuntimeError: a parameter is missing or of another shape.
    """
    import torch

    key = shape_of(config, numbers, statistics)
    if key not in _prototypes:
        # What is drawn for weights that are never used must not move the generator of those that are.
        with torch.random.fork_rng():
            _prototypes[key] = build_network(config, numbers, statistics, traceable=False)
    network = copy.deepcopy(_prototypes[key])
    _fill(network, statistics, weights)
    return network


def _fill(network: Any, statistics: dict[str, float], weights: dict[str, torch.Tensor]) -> None:
    network.scale_shift.scale.fill_(statistics["rms_eV_per_A"])
    network.scale_shift.shift.fill_(statistics["mean_eV"])
    load_weights(network, weights)


def shape_of(config: Config, numbers: list[int], statistics: dict[str, float], device: str = "cpu") -> str:
    """All that tells networks apart but weights and scale: the mean number of neighbours is constant in their code."""
    architecture = {key: getattr(config, key) for key in ARCHITECTURE}
    return json.dumps([architecture, numbers, statistics["avg_num_neighbors"], device])


class Compiled(NamedTuple):
    """A network and its compiled training step."""

    network: torch.nn.Module
    step: Callable[[dict[str, torch.Tensor]], Any]


def take_compiled(
    shape: str,
    statistics: dict[str, float],
    weights: dict[str, torch.Tensor],
    build: Callable[[], torch.nn.Module],
) -> Compiled:
    """A network of a shape with given weights, and its compiled step: what was given back, else what ``build`` makes.

    To build a network takes most of a second, and to trace it some more, even where its kernels are at hand.
    """
    found = _idle.pop(shape, None)
    if found is None:
        network = build()
        found = Compiled(network, evaluator(network, compiled=True, training=True))
    _fill(found.network, statistics, weights)
    return found


def give_back(used: Compiled, shape: str) -> None:
    """Leave a network and its compiled step to the next fit of this process."""
    _idle[shape] = used


def evaluator(network: torch.nn.Module, compiled: bool, training: bool) -> Callable[[dict[str, torch.Tensor]], Any]:
    """Function from a batch to (interaction energy, forces), eager or compiled for one static shape.

    Shapes: energy (n_graphs,) in eV, forces (n_nodes, 3) in eV/A. Both carry gradients for the weights
    where ``training`` is set.
    """

    def evaluate(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        out = network(batch, training=training, compute_force=True)
        if training:
            return out["energy"], out["forces"]
        return out["energy"].detach(), out["forces"].detach()

    if not compiled:
        return evaluate
    import torch

    on_cpu = next(network.parameters()).device.type == "cpu"
    return torch.compile(
        evaluate,
        fullgraph=True,
        dynamic=False,
        # One C++ file in place of a hundred: it compiles in two thirds of the time, and no call goes through Python
        # between kernels.
        options={"cpp_wrapper": on_cpu},
        # Else a committee of more than eight would be refused as one function that is compiled too often.
        isolate_recompiles=True,
    )


def load_weights(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights into a network built with or without ``traceable``.

    Raises:
        RuntimeError: a parameter is missing or of another shape.
    """
    result = network.load_state_dict(weights, strict=False)
    parameters = dict(network.named_parameters())
    missing = [key for key in result.missing_keys if key in parameters]
    if missing:
        raise RuntimeError(f"weights lack {', '.join(missing)}")
