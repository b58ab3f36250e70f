"""Structure search that learns, a round at a time: fit, search, relax what was found with the reference, add.

Round 0 fits a model to the initial frames; each later one refits it, from its last weights, to these and to what the
rounds before it labelled. The minima that the model's minima hopping finds are relaxed with the reference, so that
energies and structures compare like with like; the first, middle and last frame of each relaxation and the highest
frame of each hop become training frames. The search has converged when a round leaves the lowest structures found so
far as they were; what follows it costs nothing. The truth is the same search by the reference itself.

Each round has a folder::

    train.extxyz   added.extxyz   minima.extxyz   model/   record.json
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames as fr
from longhot import models
from longhot.config import REFERENCE_MODEL, StructureSearch
from longhot.files import atomic_path, read_json, write_json
from longhot.learning import fits
from longhot.learning.structure_search import Found, Relaxation, alike, distinct, fingerprint, relax, search
from longhot.models import FitTask

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

    from longhot.potential import Potential

logger = logging.getLogger(__name__)

SEED_STRIDE = 1000
"""Distance between the random seeds of two seeds of the search; its rounds lie between."""
MODEL_ENERGY = "model_energy_eV"
"""Key in ``atoms.info`` of a minimum: its energy by the model of the round."""
COLUMNS = (
    "dataset",
    "model",
    "round",
    "seed",
    "rank",
    "energy_meV",
    "model_energy_meV",
    "distance_A",
    "reference_rank",
    "found_by_reference",
    "n_labels",
    "n_reference_calls",
    "n_hops",
    "n_failed",
    "converged",
    "reason",
)

Fit = Callable[[list["Atoms"], Path, Path | None], "Potential"]
"""From training frames, a folder for the model and that of the model before it, to the model."""


@dataclass(frozen=True)
class Labelled:
    """What the reference made of a search."""

    minima: list[Atoms]
    """Distinct minima of the reference, from the lowest up."""
    added: list[Atoms]
    """Frames to learn, with labels."""
    n_calls: int
    n_failed: int
    """Frames and relaxations that the reference could not compute."""


def label(found: Found, reference: Potential, settings: StructureSearch) -> Labelled:
    """Relax the minima of a search with the reference, and label what lies between them."""
    relaxations = [relax(reference, frame) for frame in found.minima]
    labels = reference.predict(found.along)
    between = [
        fr.labelled(frame, one.energy_eV, one.forces_eV_per_A)
        for frame, one in zip(found.along, labels, strict=True)
        if one.status == "ok"
    ]
    return Labelled(
        minima=ends(relaxations, settings),
        added=[frame for one in relaxations for frame in _to_learn(one)] + between,
        n_calls=sum(one.n_calls for one in relaxations) + len(labels),
        n_failed=sum(bool(one.failure) for one in relaxations) + len(labels) - len(between),
    )


def ends(relaxations: Sequence[Relaxation], settings: StructureSearch) -> list[Atoms]:
    """The distinct minima that relaxations end in, from the lowest up."""
    reached = [one.path[-1] for one in relaxations if not one.failure]
    return [reached[index] for index in distinct(reached, fr.energies(reached), settings)]


def _to_learn(relaxation: Relaxation) -> list[Atoms]:
    """First, middle and last frame of a path, without repeats; none of one without a first."""
    if not relaxation.path:
        return []
    last = len(relaxation.path) - 1
    return [relaxation.path[index] for index in dict.fromkeys((0, last // 2, last))]


def unchanged(before: Sequence[Atoms], now: Sequence[Atoms], settings: StructureSearch) -> bool:
    """Whether the lowest structures, in order, are the same, and as many as asked for."""
    n_lowest = settings.n_lowest
    if min(len(before), len(now)) < n_lowest:
        return False
    pairs = zip(before[:n_lowest], now[:n_lowest], strict=True)
    return all(alike(one, other, one.info[fr.ENERGY] - other.info[fr.ENERGY], settings) for one, other in pairs)


def reference_search(reference: Potential, start: Atoms, settings: StructureSearch, seed: int, out: Path) -> None:
    """Search with the reference itself; its minima stand in ``minima.extxyz`` beside the record ``out``."""
    n_hops = settings.n_hops * (settings.rounds + 1)
    found = search(reference, start, settings, n_hops, SEED_STRIDE * seed)
    relaxed = [relax(reference, frame) for frame in found.minima]
    minima = ends(relaxed, settings)
    fr.write(out.parent / "minima.extxyz", minima)
    record = {
        "model": REFERENCE_MODEL,
        "round": None,
        "seed": seed,
        "folder": str(out.parent),
        "n_labels": None,
        "n_reference_calls": found.n_calls + sum(one.n_calls for one in relaxed),
        "n_hops": n_hops,
        "n_failed": len(found.failures),
        "converged": None,
        "reason": _reason(found, len(minima), settings),
    }
    write_json(out, record)
    logger.info("reference, seed %d: %d minima by %d calls", seed, len(minima), record["n_reference_calls"])


def new_fit(
    model: dict[str, Any],
    refit_steps: int | None,
    valid: str,
    atomic_energies: str,
    seed: int,
    device: str,
    code: str,
) -> Fit:
    """How the model of a search is fitted.

    Args:
        model: its block.
        refit_steps: gradient steps of a fit that begins with the weights of another; None: those of the block.
        valid: file of validation frames.
        atomic_energies: file of the energies of isolated atoms.
        seed: of the weights.
        device: as in the config.
        code: digest of the code.
    """
    held_out, energies_eV = fr.read(valid), read_json(atomic_energies)
    on = models.resolve_device(device)

    def fit(train: list[Atoms], directory: Path, warm_start: Path | None) -> Potential:
        block = dict(model)
        if warm_start is not None and refit_steps is not None:
            block["gradient_steps"] = refit_steps
        task = FitTask(train, held_out, energies_eV, seed, directory, on, code=code, warm_start=warm_start)
        fits.fit(block, task)
        return models.load(directory, on)

    return fit


def run_round(
    settings: StructureSearch,
    initial: list[Atoms],
    fit: Fit,
    reference: Potential,
    seed: int,
    number: int,
    before: Path | None,
    out: Path,
) -> None:
    """One round of one seed; one after the search has converged repeats the record before it.

    Args:
        settings: the question.
        initial: training frames of round 0; every search starts from the first of them.
        fit: fits the model.
        reference: labels and relaxes.
        seed: of the search.
        number: of the round.
        before: record of the round before; None for the first.
        out: ``record.json``; what the round made stands beside it.
    """
    last = read_json(before) if before else None
    if last is not None and last["converged"]:
        write_json(out, last | {"round": number})
        return
    folder, last_folder = out.parent, Path(last["folder"]) if last else None
    folder.mkdir(parents=True, exist_ok=True)
    train, known = initial, []
    if last_folder is not None:
        train = fr.read(last_folder / "train.extxyz") + fr.read(last_folder / "added.extxyz")
        known = fr.read(last_folder / "minima.extxyz")
    fr.write(folder / "train.extxyz", train)
    model = fit(train, folder / "model", last_folder / "model" if last_folder else None)
    found = search(model, initial[0], settings, settings.n_hops, SEED_STRIDE * seed + number)
    labelled = label(found, reference, settings)
    every = known + labelled.minima
    minima = [every[index] for index in distinct(every, fr.energies(every), settings)]
    for minimum, own in zip(minima, model.predict(minima), strict=True):
        minimum.info.pop(MODEL_ENERGY, None)
        if own.status == "ok":
            minimum.info[MODEL_ENERGY] = own.energy_eV
    fr.write(folder / "added.extxyz", labelled.added)
    fr.write(folder / "minima.extxyz", minima)
    record = {
        "model": settings.model,
        "round": number,
        "seed": seed,
        "folder": str(folder),
        "n_labels": len(train),
        "n_reference_calls": (last["n_reference_calls"] if last else len(initial)) + labelled.n_calls,
        "n_hops": (last["n_hops"] if last else 0) + settings.n_hops,
        "n_failed": len(found.failures) + labelled.n_failed,
        "converged": bool(found.minima) and unchanged(known, minima, settings),
        "reason": _reason(found, len(minima), settings),
    }
    write_json(out, record)
    logger.info(
        "seed %d, round %d: %d labels, %d minima, %d new; %d calls of the reference so far",
        *(seed, number, record["n_labels"], len(minima), len(minima) - len(known), record["n_reference_calls"]),
    )


def _reason(found: Found, n_minima: int, settings: StructureSearch) -> str:
    """What to know of a search: how its hops failed, and whether it found too few structures to compare."""
    parts = [f"{count} times {failure}" for failure, count in Counter(found.failures).most_common(2)]
    if n_minima < settings.n_lowest:
        parts.append(f"{n_minima} structures known, {settings.n_lowest} asked for")
    return "; ".join(parts)


def table(records: Sequence[dict[str, Any]], settings: StructureSearch) -> pd.DataFrame:
    """Rows of structure_search.csv: all structures known after each round of each seed, and those of the reference.

    Energies are the reference's, relative to the lowest structure of all; those of the model are relative to its own
    energy of the structure that the reference puts lowest in that round. Each structure is held against the minima
    that the reference found, of all its seeds together: ``reference_rank`` counts these from the lowest up, and
    ``distance_A`` is the root mean square difference of the sorted distances.

    Args:
        records: what ``run_round`` and ``reference_search`` left, whose folders hold the minima.
        settings: the question.
    """
    import pandas as pd

    minima = [fr.read(Path(one["folder"]) / "minima.extxyz") for one in records]
    every = [frame for own in minima for frame in own]
    lowest_eV = min(fr.energies(every), default=np.nan)
    truth = [
        frame for one, own in zip(records, minima, strict=True) if one["model"] == REFERENCE_MODEL for frame in own
    ]
    truth = [truth[index] for index in distinct(truth, fr.energies(truth), settings)]
    rows = []
    for record, own in zip(records, minima, strict=True):
        shared = {key: record.get(key) for key in COLUMNS} | {"dataset": settings.dataset}
        rows += [
            shared
            | {
                "rank": rank,
                "energy_meV": 1e3 * (frame.info[fr.ENERGY] - lowest_eV),
                "model_energy_meV": 1e3 * (_model_energy_eV(frame) - _model_energy_eV(own[0])),
            }
            | _match(frame, truth, settings)
            for rank, frame in enumerate(own, start=1)
        ] or [shared]
    # The reference has no rounds, and a gap must not make decimals of the numbers.
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"round": "Int64"})


def _model_energy_eV(minimum: Atoms) -> float:
    """Energy of a minimum by the model of its round; NaN where that gave none."""
    return float(minimum.info.get(MODEL_ENERGY, np.nan))


def _match(frame: Atoms, truth: Sequence[Atoms], settings: StructureSearch) -> dict[str, Any]:
    """The reference's minimum that a structure is, where it is one."""
    for rank, one in enumerate(truth, start=1):
        if alike(frame, one, frame.info[fr.ENERGY] - one.info[fr.ENERGY], settings):
            distance_A = float(np.sqrt(np.mean((fingerprint(frame) - fingerprint(one)) ** 2)))
            return {"distance_A": distance_A, "reference_rank": rank, "found_by_reference": True}
    return {"distance_A": None, "reference_rank": None, "found_by_reference": False}


def write_table(paths: Sequence[str], settings: StructureSearch, out: str) -> None:
    """Write structure_search.csv from the records of all searches."""
    with atomic_path(out) as temporary:
        table([read_json(path) for path in paths], settings).to_csv(temporary, index=False)
