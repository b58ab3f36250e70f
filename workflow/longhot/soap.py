"""SOAP of the library dscribe, without the parts of it that nothing here uses: they take ten times as long to load."""

from __future__ import annotations

from typing import Any

from longhot.stand_ins import stand_ins

UNUSED = (
    "sparse",
    *(f"dscribe.descriptors.{name}" for name in ("acsf", "mbtr", "lmbtr", "valleoganov", "ewaldsummatrix")),
    *(f"dscribe.descriptors.{name}" for name in ("coulombmatrix", "sinematrix")),
)
"""Other descriptors, which bring scikit-learn, and sparse arrays, which bring numba."""


def soap(**settings: Any) -> Any:
    """A ``dscribe.descriptors.SOAP`` with dense output.

    Args:
        settings: as SOAP takes them.
    """
    with stand_ins(*UNUSED):
        from dscribe.descriptors import SOAP

    return SOAP(**settings)
