"""Offline active learning, a round at a time: choose frames of the last MD, label, refit, simulate, judge.

Round 0 fits a committee to the initial frames, alike for all strategies, and runs MD. Each later round chooses frames
of the MD before it, labels them with the reference, refits the committee from its last weights, and runs MD again.
The first member drives the MD and is judged; all members say how sure they are (as in DP-GEN: Zhang et al., Computer
Physics Communications 253, 107206 (2020)). A round whose chosen frames show an error within the tolerance before
the refit has converged: what follows it costs nothing.

Each seed has a folder, which holds all that its round made::

    added.extxyz   train.extxyz   chosen.json   members/<k>/   md/   recheck.csv   record.json
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames as fr
from longhot import models
from longhot.block import InputError
from longhot.config import ActiveLearning, Recheck
from longhot.dynamics import recheck as rechecking
from longhot.dynamics import tables
from longhot.dynamics.engine import choose_starts, simulate
from longhot.dynamics.trajectory import read_replica
from longhot.files import read_json, sha256, write_json
from longhot.learning import fits
from longhot.learning.acquisition import Pool, select, usable
from longhot.models import FitTask
from longhot.potential import Label
from longhot.uncertainty.committee import Committee

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential

logger = logging.getLogger(__name__)

MAX_CANDIDATES = 400
"""Frames of the MD that a strategy chooses from: each costs a prediction by every member."""
SEED_STRIDE = 1000
"""Distance between the seeds of the members of two seeds of the loop."""


@dataclass(frozen=True)
class Inputs:
    """What all rounds share."""

    settings: ActiveLearning
    model: dict[str, Any]
    reference_name: str
    initial: dict[int, list[Atoms]]
    """Initial training frames by seed."""
    valid: list[Atoms]
    test: list[Atoms]
    atomic_energies_eV: dict[str, float]
    device: str
    compile_cache: Path | None
    identity: str
    """Digest of the code and the files that all this came from."""
    label: Callable[[Sequence[Atoms]], Sequence[Label]]
    """Labels frames with the reference."""


def run(inputs: Inputs, strategy: str, number: int, before: Path | None, out: Path) -> None:
    """One round of one strategy for all seeds; seeds that are done are not done again.

    Args:
        inputs: what all rounds share.
        strategy: a name of ``acquisition.STRATEGIES``, or what round 0 is called, with which all of them begin.
        number: of the round.
        before: folder of the round before; None for the first.
        out: ``records.json``; the seeds' folders stand beside it.
    """
    records = []
    for seed in inputs.settings.seeds:
        folder = out.parent / f"seed{seed}"
        last = None if before is None else read_json(before / "records.json")[inputs.settings.seeds.index(seed)]
        if last is not None and last["converged"]:
            record = last | {"strategy": strategy, "round": number}
        else:
            record = _seed(inputs, strategy, number, seed, last, folder)
        records.append(record)
        logger.info(
            "%s, round %d, seed %d: %d labels, MD force MAE %.1f meV/A, %.0f %% of the replicas survive",
            *(strategy, number, seed, record["n_labels"]),
            *(record["md_force_mae_meV_per_A"] or np.nan, 100 * record["survival_at_end"]),
        )
    write_json(out, records)


def _seed(
    inputs: Inputs, strategy: str, number: int, seed: int, last: dict[str, Any] | None, folder: Path
) -> dict[str, Any]:
    """One round of one seed."""
    identity = _identity(inputs, strategy, number, seed, last)
    _claim(folder, identity)
    done = folder / "record.json"
    if done.exists():
        return read_json(done)
    core_began_s = time.process_time()
    chosen = _chosen(inputs, strategy, number, seed, last, folder)
    began = time.perf_counter()
    train = fr.read(folder / "train.extxyz")
    train_wall_s = _fit(inputs, seed, train, last, folder)
    starts = choose_starts(inputs.test, inputs.settings.start_set, inputs.settings.protocol.replicas)
    md_wall_s = _simulate(inputs, seed, starts, identity, folder)
    evaluation_began = time.perf_counter()
    scores = _judge(inputs, starts[0], folder)
    evaluation_wall_s = time.perf_counter() - evaluation_began
    # Fits that an earlier process made took none of this one's time.
    rest_s = max(0.0, time.perf_counter() - began - train_wall_s - md_wall_s - evaluation_wall_s)
    record = {
        "strategy": strategy,
        "round": number,
        "seed": seed,
        "folder": str(folder),
        "identity": identity,
        "n_labels": len(train),
        "n_reference_calls": (last["n_reference_calls"] if last else len(train)) + chosen["n_calls"],
        **scores,
        "chosen_force_mae_meV_per_A": chosen["force_mae_meV_per_A"],
        "chosen_spread_meV_per_A": chosen["spread_meV_per_A"],
        "n_chosen_failed": chosen["n_failed"],
        "train_wall_s": train_wall_s,
        "md_wall_s": md_wall_s,
        "label_wall_s": chosen["label_wall_s"],
        "evaluation_wall_s": evaluation_wall_s,
        "choose_wall_s": chosen["choose_wall_s"],
        # Workers label, each on one core.
        "core_s": time.process_time() - core_began_s + chosen["label_wall_s"],
        "overhead_wall_s": chosen["choose_wall_s"] + rest_s,
        "converged": chosen["converged"],
        "reason": chosen["reason"],
    }
    write_json(done, record)
    return record


def _identity(inputs: Inputs, strategy: str, number: int, seed: int, last: dict[str, Any] | None) -> str:
    """Digest of all that a round depends on."""
    shared = inputs.settings.model_dump(mode="json", exclude={"strategies", "seeds", "rounds", "online"})
    parts = [shared, inputs.model, inputs.identity, strategy, number, seed, last and last["identity"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _claim(folder: Path, identity: str) -> None:
    """Make the folder the round's own: what another round left there goes."""
    mark = folder / "identity.json"
    if folder.exists() and (not mark.exists() or read_json(mark) != identity):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(mark, identity)


def _chosen(
    inputs: Inputs, strategy: str, number: int, seed: int, last: dict[str, Any] | None, folder: Path
) -> dict[str, Any]:
    """Choose and label, and write the training set of the round; says what was found, and what it took."""
    path, began = folder / "chosen.json", time.perf_counter()
    if path.exists():
        return read_json(path)
    if last is None:
        fr.write(folder / "train.extxyz", inputs.initial[seed])
        found = _nothing_chosen("")
    else:
        found = _acquire(inputs, strategy, number, seed, Path(last["folder"]), folder)
    found["choose_wall_s"] = time.perf_counter() - began - found["label_wall_s"]
    write_json(path, found)
    return found


def _nothing_chosen(reason: str, n_failed: int = 0, label_wall_s: float = 0.0) -> dict[str, Any]:
    """Of a round that adds no frame: ``n_failed`` calls of the reference, none of which gave a label."""
    return {
        "n_calls": n_failed,
        "n_failed": n_failed,
        "force_mae_meV_per_A": None,
        "spread_meV_per_A": None,
        "label_wall_s": label_wall_s,
        "converged": False,
        "reason": reason,
    }


def _acquire(inputs: Inputs, strategy: str, number: int, seed: int, before: Path, folder: Path) -> dict[str, Any]:
    settings = inputs.settings
    known = fr.read(before / "train.extxyz")
    template = choose_starts(inputs.test, settings.start_set, 1)[0]
    candidates = visited(before / "md", template)
    committee = _committee(inputs, before)
    spreads = committee.atom_spreads(candidates)
    sound = [index for index, one in enumerate(spreads) if np.isfinite(one).all()]
    pool = Pool([candidates[one] for one in sound], [spreads[one] for one in sound], known)
    chosen = select(strategy, pool, settings.frames_per_round, SEED_STRIDE * seed + number)  # type: ignore[arg-type]
    frames = [pool.frames[one] for one in chosen]
    labelling_began = time.perf_counter()
    labels = inputs.label(frames) if frames else []
    # The times that labels carry are not of this round where they were known before.
    label_wall_s = time.perf_counter() - labelling_began
    good = [index for index, label in enumerate(labels) if label.status == "ok"]
    added = [fr.labelled(frames[one], labels[one].energy_eV, labels[one].forces_eV_per_A) for one in good]
    fr.write(folder / "train.extxyz", known + added)
    if not added:
        reason = f"no frame to add: {len(candidates)} usable ones, {len(frames)} chosen, none labelled"
        return _nothing_chosen(reason, len(frames), label_wall_s)
    own = committee.predict([frames[one] for one in good])
    errors = [np.abs(one.forces_eV_per_A - labels[i].forces_eV_per_A).mean() for one, i in zip(own, good, strict=True)]
    error_meV = 1e3 * float(np.mean(errors))
    return {
        "n_calls": len(frames),
        "n_failed": len(frames) - len(good),
        "force_mae_meV_per_A": error_meV,
        "spread_meV_per_A": 1e3 * float(np.mean([_rms(pool.spreads_eV_per_A[chosen[one]]) for one in good])),
        "label_wall_s": label_wall_s,
        "converged": error_meV < settings.tolerance_meV_per_A,
        "reason": "" if len(frames) == settings.frames_per_round else f"the MD held {len(frames)} new frames only",
    }


def _committee(inputs: Inputs, folder: Path) -> Any:
    """All members of a round, or the one model that knows its own error."""
    members = [models.load(folder / "members" / str(one), inputs.device) for one in range(inputs.settings.members)]
    return Committee(members) if len(members) > 1 else members[0]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def visited(md: Path, template: Atoms) -> list[Atoms]:
    """Frames that an MD visited and a label may be asked for: stored ones and checks before a failure.

    The starts are left out, for they are test frames; the failed frame itself and exploded ones are too.

    Args:
        md: folder of a simulation.
        template: its start, for elements, cell and pbc.
    """
    stored: list[Atoms] = []
    before_failure: list[Atoms] = []
    for _, row in tables.read(md / "outcomes.csv").iterrows():
        frames, last = read_replica(md / "frames.h5", float(row["temperature_K"]), int(row["replica"]))
        stored += [rechecking.frame_of(template, frames, int(index)) for index in np.flatnonzero(frames.time_ps > 0)]
        if last is not None:
            alive = np.flatnonzero((last.time_ps < last.time_ps[-1]) & (last.time_ps > 0))
            before_failure += [rechecking.frame_of(template, last, int(index)) for index in alive]
    every = stored + before_failure
    sound = [frame for frame, is_usable in zip(every, usable(every), strict=True) if is_usable]
    return [sound[index] for index in fr.evenly_spread(len(sound), MAX_CANDIDATES)]


def _fit(inputs: Inputs, seed: int, train: list[Atoms], last: dict[str, Any] | None, folder: Path) -> float:
    """Fit or refit all members; returns the wall time in s."""
    block = dict(inputs.model)
    if last is not None and inputs.settings.refit_steps is not None:
        block["gradient_steps"] = inputs.settings.refit_steps
    wall_s = 0.0
    for member in range(inputs.settings.members):
        directory = folder / "members" / str(member)
        if not (directory / "model.json").exists():
            fits.fit(
                block,
                FitTask(
                    train=train,
                    valid=inputs.valid,
                    atomic_energies_eV=inputs.atomic_energies_eV,
                    seed=SEED_STRIDE * seed + member,
                    directory=directory,
                    device=inputs.device,
                    compile_cache=inputs.compile_cache,
                    code=inputs.identity,
                    warm_start=Path(last["folder"], "members", str(member)) if last else None,
                ),
            )
        wall_s += read_json(directory / "fit.json")["train_wall_s"]
    return wall_s


def _simulate(inputs: Inputs, seed: int, starts: list[Atoms], identity: str, folder: Path) -> float:
    """MD by the first member; returns the wall time in s, of this part where it went on from a checkpoint."""
    md, began = folder / "md", time.perf_counter()
    if not (md / "outcomes.csv").exists():
        driver = models.load(folder / "members" / "0", inputs.device, inputs.compile_cache)
        simulate(driver, starts, inputs.settings.protocol, seed, md, identity=identity)
    return time.perf_counter() - began


def _judge(inputs: Inputs, template: Atoms, folder: Path) -> dict[str, Any]:
    """Errors of the first member on the test sets and on its MD, the survival of its replicas, and calibration."""
    settings, md = inputs.settings, folder / "md"
    driver = models.load(folder / "members" / "0", inputs.device)
    committee = _committee(inputs, folder)
    scores: dict[str, Any] = {}
    ratios: dict[str, float | None] = {}
    for name in dict.fromkeys(frame.info[fr.TEST_SET] for frame in inputs.test):
        own = [frame for frame in inputs.test if frame.info[fr.TEST_SET] == name]
        scores[f"{name}_force_mae_meV_per_A"] = _force_mae_meV(driver, own)
        ratios[name] = error_over_spread(committee, own)
    first = next(iter(scores.values()))
    outcomes = tables.read(md / "outcomes.csv")
    if not (folder / "recheck.csv").exists():
        rechecking.recheck(
            md / "frames.h5",
            md / "outcomes.csv",
            template,
            folder / "recheck.csv",
            reference=inputs.reference_name,
            label=inputs.label,
            model=driver,
            others=[],
            settings=Recheck(
                frames_per_replica=-(-settings.evaluation_frames // len(outcomes)),
                frames_before_failure=0,
                frames_highest_spread=0,
            ),
        )
    errors = tables.read(folder / "recheck.csv")[tables.ERROR].dropna()
    return {
        "force_mae_meV_per_A": scores.get("test_force_mae_meV_per_A", first),
        "hot_force_mae_meV_per_A": scores.get("test_hot_force_mae_meV_per_A"),
        "error_over_spread": ratios.get("test", next(iter(ratios.values()))),
        "hot_error_over_spread": ratios.get("test_hot"),
        "md_force_mae_meV_per_A": float(errors.mean()) if len(errors) else None,
        "n_md_frames": len(errors),
        "survival_at_end": float(1 - tables.failed(outcomes).mean()),
        "n_replicas": len(outcomes),
    }


def _force_mae_meV(potential: Potential, labelled: list[Atoms]) -> float | None:
    """Force MAE in meV/A over the frames for which the potential has forces."""
    labels = potential.predict(labelled)
    errors = [
        np.abs(label.forces_eV_per_A - truth).ravel()
        for label, truth in zip(labels, fr.forces(labelled), strict=True)
        if label.status == "ok"
    ]
    return 1e3 * float(np.mean(np.concatenate(errors))) if errors else None


def error_over_spread(committee: Any, labelled: list[Atoms]) -> float | None:
    """Root mean square of the force error over that of the uncertainty: 1 is honest, more is overconfident.

    Args:
        committee: a committee, or a model that knows its own error.
        labelled: frames with their labels; None comes back where no uncertainty is finite.
    """
    known = [
        (label.forces_eV_per_A - truth, spread)
        for label, truth, spread in zip(
            committee.predict(labelled), fr.forces(labelled), committee.atom_spreads(labelled), strict=True
        )
        if label.status == "ok" and np.isfinite(spread).all()
    ]
    if not known:
        return None
    errors, spreads = (np.concatenate(one) for one in zip(*known, strict=True))
    return _rms(errors) / _rms(spreads)


def read_inputs(
    settings: dict[str, Any],
    model: dict[str, Any],
    reference: dict[str, Any],
    reference_name: str,
    paths: dict[str, Path],
    load_initial: Callable[[int], list[Atoms]],
    device: str,
    compile_cache: Path | None,
    label: Callable[[Sequence[Atoms]], Sequence[Label]],
    code: str,
) -> Inputs:
    """Read the files of a round.

    Args:
        settings: the block ``active_learning``.
        model: the model's block.
        reference: the reference's block, for the digest.
        reference_name: its name.
        paths: of ``pool``, ``valid``, ``test`` and ``atomic_energies``.
        load_initial: the initial frames of a seed.
        device: as in the config.
        compile_cache: folder of compiled kernels, or None.
        label: labels frames with it.
        code: digest of the code.

    Raises:
        InputError: there is no validation frame.
    """
    block = ActiveLearning.model_validate(settings)
    valid = fr.read(paths["valid"])
    if not valid:
        raise InputError(f"{paths['valid']}: no validation frames, a fit needs them to pick its weights")
    files = {name: sha256(path) for name, path in sorted(paths.items())}
    return Inputs(
        settings=block,
        model=model,
        reference_name=reference_name,
        initial={seed: load_initial(seed) for seed in block.seeds},
        valid=valid,
        test=fr.read(paths["test"]),
        atomic_energies_eV=read_json(paths["atomic_energies"]),
        device=models.resolve_device(device),
        compile_cache=compile_cache,
        label=label,
        identity=hashlib.sha256(f"{files} {reference} {code}".encode()).hexdigest(),
    )
