"""A committee of four: mean and spread of forces, against MACECalculator with four models."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
from common import Options, Row, compiled, exported, shaken, short_fit
from dynamics import REPLICAS, ROUNDS

from longhot.uncertainty.committee import Committee

MEMBERS = 4
CALLS = 20


def rows(options: Options) -> list[Row]:
    """Frames of ethanol a second, in turn with the peer; both must give the same numbers."""
    from mace.calculators import MACECalculator

    n_replicas = REPLICAS[options.device]
    frames = shaken("ethanol", n_replicas, seed=2)
    positions = np.stack([frame.positions for frame in frames])
    members = [compiled("ethanol", n_replicas, options.device, seed) for seed in range(MEMBERS)]
    batch = Committee(members).batch(frames[0], n_replicas)
    models = [str(exported(short_fit("ethanol", seed))) for seed in range(MEMBERS)]
    peer = MACECalculator(model_paths=models, device=options.device, default_dtype="float32")

    found = batch.compute(positions)
    peer.calculate(frames[0])
    forces = np.array(peer.results["forces_comm"])
    np.testing.assert_allclose(found.forces_eV_per_A[0], forces.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(found.force_std_eV_per_A[0], forces.std(axis=0, ddof=1), atol=1e-3)

    ours, peers = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            batch.compute(positions)
        ours.append(CALLS * n_replicas / (time.perf_counter() - start))
        start = time.perf_counter()
        for frame in frames[:CALLS]:
            peer.calculate(frame)
        peers.append(min(CALLS, len(frames)) / (time.perf_counter() - start))
    own, other = median(ours), median(peers)
    return [Row("committee4_vs_ase", own, "frames/s", "MACECalculator, 4 models", other, own / other)]
