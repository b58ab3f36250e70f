"""Where the files of a study stand."""

from __future__ import annotations

from typing import Any

FIT = "results/{study}/models/{dataset}/{model}/n{size}/seed{seed}"
PREDICTIONS = "results/{study}/predictions/{dataset}/{model}"
"""Of all fits of a model."""
PREDICTION = PREDICTIONS + "/n{size}/seed{seed}.npz"
SIMULATION = "results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}"
FIT_RECORD = FIT + "/fit.json"
OUTCOMES = SIMULATION + "/outcomes.csv"
FAILURES = SIMULATION + "/failures.extxyz"
RECHECK = "results/{study}/rechecks/{dataset}/{model}/n{size}/seed{seed}.csv"
SUBSET = "results/{study}/subsets/{dataset}/seed{seed}/n{size}.json"
SAMPLER = "results/{study}/melting_point/{sampler}"
BULK = SAMPLER + "/bulk/{phase}-T{temperature}.npz"
INTERFACE = SAMPLER + "/interfaces/{cell}-T{temperature}"
COEXISTENCE = SAMPLER + "/coexistence.npz"
ROUND = "results/{study}/active_learning/{strategy}/round{round}"
RECORDS = ROUND + "/records.json"
SEARCH = "results/{study}/structure_search/seed{seed}"
SEARCH_ROUND = SEARCH + "/round{round}/record.json"
REFERENCE_SEARCH = SEARCH + "/reference/record.json"
START = "start"
"""Stands for the strategy in round 0, with which all of them begin."""
COMMITTEE = SAMPLER + "/committees/{model}/n{size}"


def paths(pattern: str, jobs: list[dict[str, Any]]) -> list[str]:
    """One path for each job, without repeats."""
    return list(dict.fromkeys(pattern.format(**job) for job in jobs))
