"""References, data sets and models of a study: their settings, and the modules behind them.

A digest of the modules tells whether the code that made a file is still the same.
"""

from __future__ import annotations

from typing import Any

from longhot.config import REFERENCE_MODEL, Study


def reference_block(study: Study, name: str | None) -> dict[str, Any] | None:
    """A references block as plain data."""
    return None if name is None else study.references[name].model_dump(mode="json")


def reference_plugins(study: Study, name: str | None) -> list[str]:
    """Module of a reference, for the digest of the code that a rule runs."""
    return [] if name is None else [f"longhot.references.{study.references[name].method}"]


def dataset_plugins(study: Study, dataset: str) -> list[str]:
    """Modules that sample or read a dataset."""
    block = study.datasets[dataset]
    return [f"longhot.datasets.{block.source}", *reference_plugins(study, block.reference)]


def model_plugins(study: Study, model: str) -> list[str]:
    """Modules of a model's family, and of the method that it wraps; for the control of all that run one."""
    if model == REFERENCE_MODEL:
        names = {study.control_reference(dataset) for dataset in study.picked("robustness", "datasets")}
        return [
            "longhot.models.reference",
            *(m for name in sorted(filter(None, names)) for m in reference_plugins(study, name)),
        ]
    block = study.variants()[model]
    wrapped = getattr(block, "reference_method", None)
    return [f"longhot.models.{block.family}"] + ([f"longhot.references.{wrapped.method}"] if wrapped else [])
