"""Fixtures that several files share; threads are pinned before any numerical library is imported."""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from pathlib import Path

import model_examples
import pytest
from ase import Atoms


@pytest.fixture(scope="session")
def methanol() -> list[Atoms]:
    """Labelled frames of methanol near its minimum."""
    return model_examples.methanol_frames(30)


@pytest.fixture(scope="session")
def mace_fit(methanol: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small MACE, fitted in float64."""
    directory = tmp_path_factory.mktemp("mace")
    model_examples.fit("mace", methanol, directory)
    return directory
