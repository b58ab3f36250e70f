"""What a study has to make: the jobs of each stage, as lists of paths and settings for the rules."""

from longhot.plan import (
    active_learning,
    data_map,
    files,
    melting_point,
    modules,
    outputs,
    simulation,
    structure_search,
    training,
)

__all__ = [
    "active_learning",
    "data_map",
    "files",
    "melting_point",
    "modules",
    "outputs",
    "simulation",
    "structure_search",
    "training",
]
