"""Fitting MACE: one loop of gradient steps, compiled or eager, that can be killed and goes on.

The order of the frames is a pure function of (seed, epoch), so a checkpoint needs no random state, and
a fit that was killed ends bit for bit like an unbroken one on the same CPU.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames as fr
from longhot.block import InputError
from longhot.files import (
    atomic_path,
    read_json,
    remove_checkpoints,
    sha256,
    sound_checkpoints,
    write_checkpoint,
    write_json,
    write_text,
)
from longhot.models import FitTask, peak_memory_MB
from longhot.models._mace_graphs import Batch, GraphBuilder, average_neighbours, is_static
from longhot.models._mace_kernels import KERNELS_FILE, kernels, work_on
from longhot.models._mace_net import (
    ARCHITECTURE,
    Compiled,
    build_network,
    evaluator,
    give_back,
    network_with,
    shape_of,
    take_compiled,
)

if TYPE_CHECKING:
    import torch
    from ase import Atoms

    from longhot.models.mace import Config

logger = logging.getLogger(__name__)

CONVERGED_FALL = 0.03
"""A fit whose validation error fell by more than this part over its last fifth is not converged."""
CHECKPOINT_INTERVAL_S = 30.0
VALIDATION_BATCH = 20
STEPS_THAT_PAY_FOR_LOADING = 200
"""To load a kernel that the cache holds takes as long as this many eager steps."""
WARM_START_RATE = 0.5
"""Part of the learning rate that a warm start begins with: the whole undoes more than a short fit mends. On methanol
(16 channels, 10 to 26 frames, 200 steps) the test error was 12 to 27 % lower with a half than with the whole."""
WEIGHTS_FILE = "model.safetensors"
HISTORY_COLUMNS = ("step", "train_loss", "valid_force_mae_meV_per_A", "valid_energy_mae_meV_per_atom", "wall_s")


@dataclass
class Progress:
    """Everything of a running fit besides weights and optimiser."""

    step: int = 0
    wall_s: float = 0.0
    compile_s: float = 0.0
    best_mae: float = math.inf
    stale: int = 0
    """Validations since the last new minimum."""
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[list[float]] = field(default_factory=list)


class FrameSet:
    """Labelled frames as batches on the device; energies are interaction energies."""

    def __init__(self, frames: list[Atoms], e0_eV: dict[str, float], builder: GraphBuilder, static: bool) -> None:
        self.frames, self.builder, self.static = frames, builder, static
        self.energies = builder.floats(interaction_energies(frames, e0_eV))
        self.forces = [builder.floats(force) for force in fr.forces(frames)]
        self.positions = [builder.floats(atoms.positions) for atoms in frames]
        self.sizes = builder.floats(np.array([len(atoms) for atoms in frames]))
        self._templates: dict[int, Batch] = {}

    def batch(self, indices: np.ndarray) -> tuple[Batch, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Graphs, interaction energies (n,), forces (n_nodes, 3) and atom counts (n,) of some frames."""
        import torch

        if self.static:
            if len(indices) not in self._templates:
                self._templates[len(indices)] = self.builder.static(self.frames[0], len(indices))
            graphs = dict(self._templates[len(indices)])
            graphs["positions"] = torch.cat([self.positions[i] for i in indices])
        else:
            graphs = self.builder.neighbours([self.frames[i] for i in indices])
        graphs["positions"].requires_grad_(True)
        chosen = torch.as_tensor(indices, device=self.energies.device)
        return graphs, self.energies[chosen], torch.cat([self.forces[i] for i in indices]), self.sizes[chosen]


def interaction_energies(frames: list[Atoms], e0_eV: dict[str, float]) -> np.ndarray:
    """Energies less those of the isolated atoms, in eV, float64, shape (n_frames,).

    Raises:
        InputError: an element has no isolated-atom energy.
    """
    missing = sorted({symbol for atoms in frames for symbol in atoms.symbols} - set(e0_eV))
    if missing:
        raise InputError(f"no isolated-atom energy for {', '.join(missing)}: add it to the dataset's isolated_atoms")
    return fr.energies(frames) - np.array([sum(e0_eV[symbol] for symbol in atoms.symbols) for atoms in frames])


def statistics(train: list[Atoms], valid: list[Atoms], e0_eV: dict[str, float], r_max_A: float) -> dict[str, float]:
    """The constants that scale the network, as mace_run_train takes them from the training set.

    The mean number of neighbours is a constant in the compiled code. It is taken from the validation set,
    which all sizes and seeds share, so that they share one compiled step too.
    """
    sizes = np.array([len(atoms) for atoms in train])
    rms = float(np.sqrt(np.mean(np.concatenate(fr.forces(train)) ** 2)))
    return {
        "avg_num_neighbors": average_neighbours(valid, r_max_A),
        "mean_eV": float(np.mean(interaction_energies(train, e0_eV) / sizes)),
        "rms_eV_per_A": rms if rms > 0 else 1.0,
    }


def earlier_statistics(config: Config, numbers: list[int], directory: Path) -> dict[str, float]:
    """``statistics`` of an earlier fit, whose weights a new one can begin with.

    Args:
        config: of the new fit.
        numbers: atomic numbers of its elements, ascending.
        directory: of the earlier fit.

    Raises:
        InputError: its network is another one.
    """
    earlier = read_json(directory / "model.json")
    wanted = {"family": config.family, "atomic_numbers": numbers}
    wanted |= {key: getattr(config, key) for key in ARCHITECTURE}
    found = {key: earlier.get(key, earlier.get("config", {}).get(key)) for key in wanted}
    differing = [f"{key} {found[key]} for {value}" for key, value in wanted.items() if found[key] != value]
    if differing:
        raise InputError(
            f"warm start: the model in {directory} has {', '.join(differing)}, begin with one of the same architecture"
        )
    return earlier["statistics"]


def uses_compiled_steps(config: Config, static: bool, train_size: int, compile_cache: Path | None = None) -> bool:
    """Whether the fit takes compiled steps: those of the cache, or its own.

    Raises:
        InputError: ``compile: always`` where the shapes are not static.
    """
    if config.compile == "always" and not static:
        raise InputError("compile: always needs frames of one small molecule, use auto or never for this dataset")
    at_hand = compile_cache is not None and (compile_cache / KERNELS_FILE).exists()
    pays = config.compiles(train_size) or (
        config.compile == "auto" and at_hand and config.total_steps(train_size) >= STEPS_THAT_PAY_FOR_LOADING
    )
    return static and pays and kernels(compile_cache).training


def parameter_groups(network: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for products and linear layers only, as in the MACE publication."""
    groups: dict[bool, list[Any]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        linear = name.startswith("interactions") and ("linear.weight" in name or "skip_tp_full.weight" in name)
        groups[linear or name.startswith("products")].append(parameter)
    return [{"params": groups[True], "weight_decay": weight_decay}, {"params": groups[False], "weight_decay": 0.0}]


def learning_rate(config: Config, step: int, total_steps: int, warm: bool = False) -> float:
    """Learning rate of a step; ``warm``: of a fit that began with the weights of another."""
    done, initial = step / total_steps, config.learning_rate * (WARM_START_RATE if warm else 1.0)
    if config.schedule == "cosine":
        return 0.5 * initial * (1 + math.cos(math.pi * done))
    return initial * (0.01**done if config.schedule == "exponential" else 1.0)


def batch_indices(n_frames: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Frames of one step: each epoch is a permutation by (seed, epoch), its incomplete last batch dropped."""
    size = min(batch_size, n_frames)
    epoch, place = divmod(step, n_frames // size)
    return np.random.default_rng([seed, epoch]).permutation(n_frames)[place * size : (place + 1) * size]


def is_converged(history: list[list[float]], total_steps: int) -> tuple[bool, str]:
    """Whether the validation force error had stopped falling; with the reason where it had not."""
    steps, maes = [row[0] for row in history], [row[2] for row in history]
    if not np.isfinite(maes).all():
        return False, "the validation force MAE became NaN or infinite: the fit diverged"
    before = float(np.interp(0.8 * total_steps, steps, maes))
    fall = (before - maes[-1]) / before if before else 0.0
    if fall > CONVERGED_FALL:
        return False, f"validation force MAE still fell by {100 * fall:.1f} % over the last fifth of the steps"
    return True, ""


class Fit:
    """State of one fit."""

    def __init__(self, config: Config, task: FitTask) -> None:
        import torch
        from ase.data import atomic_numbers

        self.config, self.task = config, task
        self.static = is_static(task.train + task.valid)
        self.total = config.total_steps(len(task.train))
        self.compiled = uses_compiled_steps(config, self.static, len(task.train), task.compile_cache)
        if self.compiled and task.compile_cache is not None:
            work_on(task.compile_cache)
        # Not only the training set's: a small one may lack an element that other frames hold.
        self.numbers = sorted(atomic_numbers[symbol] for symbol in task.atomic_energies_eV)
        builder = GraphBuilder(self.numbers, config.r_max_A, getattr(torch, config.dtype), task.device)
        self.statistics = (
            statistics(task.train, task.valid, task.atomic_energies_eV, config.r_max_A)
            if task.warm_start is None
            else earlier_statistics(config, self.numbers, task.warm_start)
        )
        self.train = FrameSet(task.train, task.atomic_energies_eV, builder, self.static)
        self.valid = FrameSet(task.valid, task.atomic_energies_eV, builder, self.static)
        self.shape = shape_of(config, self.numbers, self.statistics, task.device)
        self.network, self.step_function = self._network()
        self.validate_function = evaluator(self.network, compiled=False, training=False)
        optimiser = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
        groups = parameter_groups(self.network, config.weight_decay)
        self.optimiser = optimiser(groups, lr=config.learning_rate, amsgrad=True, fused=True)
        self.parameters = list(self.network.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.best = [parameter.clone() for parameter in self.average]
        self.progress = Progress()
        self.checkpoint = task.directory / ".checkpoint.pt"
        self.identity = self._identity()

    def _network(self) -> Compiled:
        """With fresh weights by the task's seed, or with those that it begins with; its step compiled or not."""
        import torch
        from safetensors.torch import load_file

        def build() -> torch.nn.Module:
            network = build_network(self.config, self.numbers, self.statistics, traceable=self.compiled)
            return network.to(self.task.device)

        warm_start = self.task.warm_start
        if warm_start is None:
            torch.manual_seed(self.task.seed)
            fresh = build()
            if self.compiled:
                return take_compiled(self.shape, self.statistics, dict(fresh.named_parameters()), lambda: fresh)
            return Compiled(fresh, evaluator(fresh, compiled=False, training=True))
        logger.info("beginning with the weights in %s", warm_start)
        weights = load_file(warm_start / WEIGHTS_FILE)
        if self.compiled:
            return take_compiled(self.shape, self.statistics, weights, build)
        network = network_with(self.config, self.numbers, self.statistics, weights).to(self.task.device)
        return Compiled(network, evaluator(network, compiled=False, training=True))

    def _identity(self) -> str:
        """Digest of what defines the fit, so that no checkpoint of another fit is continued."""
        import torch

        warm_start = self.task.warm_start
        text = json.dumps(
            [
                *(self.config.model_dump(mode="json"), self.task.seed, self.compiled, torch.__version__),
                *(self.task.code, self.statistics, warm_start and sha256(warm_start / WEIGHTS_FILE)),
            ]
        )
        digest = hashlib.sha256(text.encode())
        for part in (self.train, self.valid):
            for frame in part.frames:
                digest.update(frame.numbers.tobytes() + frame.cell.array.tobytes() + frame.pbc.tobytes())
            for tensor in (part.energies, *part.positions, *part.forces):
                digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def gradient_step(self) -> float:
        """One optimiser step; returns the loss."""
        import torch

        config, step = self.config, self.progress.step
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, step, self.total, self.task.warm_start is not None)
        graphs, energies, forces, sizes = self.train.batch(
            batch_indices(len(self.task.train), config.batch_size, self.task.seed, step)
        )
        self.optimiser.zero_grad(set_to_none=True)
        energy, force = self.step_function(graphs)
        loss = config.energy_weight * ((energy - energies) / sizes).square().mean()
        loss = loss + config.forces_weight * (force - forces).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, config.max_gradient_norm)
        self.optimiser.step()
        # As torch-ema does: the average follows the weights quickly while it is young.
        decay = min(config.ema_decay, (1 + step + 1) / (10 + step + 1))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        self.progress.step += 1
        return float(loss.detach())

    def validation_errors(self) -> tuple[float, float]:
        """Force MAE in meV/A and energy MAE in meV/atom of the averaged weights on the validation set."""
        import torch

        live = [parameter.detach().clone() for parameter in self.parameters]
        self._set_weights(self.average)
        force_errors, energy_errors = [], []
        for first in range(0, len(self.task.valid), VALIDATION_BATCH):
            indices = np.arange(first, min(first + VALIDATION_BATCH, len(self.task.valid)))
            graphs, energies, forces, sizes = self.valid.batch(indices)
            energy, force = self.validate_function(graphs)
            force_errors.append((force - forces).abs().flatten())
            energy_errors.append(((energy - energies) / sizes).abs())
        self._set_weights(live)
        return 1e3 * float(torch.cat(force_errors).mean()), 1e3 * float(torch.cat(energy_errors).mean())

    def _set_weights(self, weights: list[torch.Tensor]) -> None:
        import torch

        with torch.no_grad():
            torch._foreach_copy_(self.parameters, weights)

    def save_checkpoint(self) -> None:
        """Write everything that the rest of the fit depends on."""
        import torch

        content = {
            "identity": self.identity,
            "progress": vars(self.progress),
            "network": [parameter.detach() for parameter in self.parameters],
            "average": self.average,
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
        }
        written = io.BytesIO()
        torch.save(content, written)
        write_checkpoint(self.checkpoint, written.getvalue())

    def load_checkpoint(self) -> None:
        """Go on from the newest sound checkpoint of the same fit, where there is one."""
        import torch

        for written in sound_checkpoints(self.checkpoint):
            content = torch.load(io.BytesIO(written), weights_only=True, map_location=self.task.device)
            if content["identity"] != self.identity:
                logger.info("the checkpoint belongs to another fit, starting anew")
                return
            self.progress = Progress(**content["progress"])
            self._set_weights(content["network"])
            self.average, self.best = content["average"], content["best"]
            self.optimiser.load_state_dict(content["optimiser"])
            logger.info("going on from step %d of %d", self.progress.step, self.total)
            return

    def validate(self) -> None:
        """Take the validation error, keep the best weights, log one line."""
        progress = self.progress
        force_mae, energy_mae = self.validation_errors()
        progress.stale += 1
        if force_mae < progress.best_mae:
            progress.best_mae, progress.stale = force_mae, 0
            self.best = [average.clone() for average in self.average]
        loss = progress.loss_sum / progress.loss_count
        progress.loss_sum, progress.loss_count = 0.0, 0
        progress.history.append([progress.step, loss, force_mae, energy_mae, progress.wall_s])
        logger.info(
            "step %d of %d: loss %.4g, validation force MAE %.2f meV/A, energy MAE %.2f meV/atom, %.0f s left",
            *(progress.step, self.total, loss, force_mae, energy_mae),
            progress.wall_s / progress.step * (self.total - progress.step),
        )

    def run(self) -> None:
        """All steps, with validations, checkpoints and early stopping."""
        progress, interval = self.progress, max(1, self.total // self.config.validations)
        patience = self.config.early_stopping_patience or math.inf
        last = saved = time.perf_counter()
        compiling = self.compiled
        while progress.step < self.total and progress.stale < patience:
            progress.loss_sum += self.gradient_step()
            progress.loss_count += 1
            if compiling:
                compiling = False
                progress.compile_s += time.perf_counter() - last
                logger.info("first compiled step after %.1f s", time.perf_counter() - last)
            if progress.step % interval == 0 or progress.step == self.total:
                self.validate()
            now = time.perf_counter()
            progress.wall_s, last = progress.wall_s + now - last, now
            if now - saved > CHECKPOINT_INTERVAL_S:
                self.save_checkpoint()
                saved = now
        if progress.step < self.total:
            logger.info("stopped early: no new minimum in %d validations", progress.stale)

    def write(self) -> None:
        """Write weights, description, history and the record of the fit."""
        from safetensors.torch import save_file

        self._set_weights(self.best)
        directory, progress = self.task.directory, self.progress
        weights = {name: tensor.detach().contiguous().cpu() for name, tensor in self.network.named_parameters()}
        with atomic_path(directory / WEIGHTS_FILE) as temporary:
            save_file(weights, temporary)
        converged, reason = is_converged(progress.history, progress.step)
        write_json(
            directory / "fit.json",
            {
                "converged": converged,
                "reason": reason,
                "train_wall_s": progress.wall_s,
                "compile_s": progress.compile_s,
                "compiled": self.compiled,
                "device": self.task.device,
                "peak_memory_MB": peak_memory_MB(self.task.device),
                "n_parameters": sum(parameter.numel() for parameter in self.parameters),
                "n_steps": progress.step,
                "train_size": len(self.task.train),
                "seed": self.task.seed,
                "valid_force_mae_meV_per_A": progress.best_mae if math.isfinite(progress.best_mae) else None,
            },
        )
        table = io.StringIO()
        csv.writer(table).writerows([HISTORY_COLUMNS, *progress.history])
        write_text(directory / "history.csv", table.getvalue())
        write_json(
            directory / "model.json",
            {
                "family": "mace",
                "config": self.config.model_dump(mode="json"),
                "atomic_numbers": self.numbers,
                "statistics": self.statistics,
                "atomic_energies_eV": self.task.atomic_energies_eV,
            },
        )


def fit(config: Config, task: FitTask) -> None:
    """Fit, or go on with a fit that was killed; the weights of the lowest validation error are kept."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    task.directory.mkdir(parents=True, exist_ok=True)
    state = Fit(config, task)
    logger.info("%d frames, %d steps, %s", len(task.train), state.total, "compiled" if state.compiled else "eager")
    state.load_checkpoint()
    state.run()
    state.write()
    remove_checkpoints(state.checkpoint)
    if state.compiled:
        give_back(Compiled(state.network, state.step_function), state.shape)
