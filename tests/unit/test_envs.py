"""All environments carry the same pins, and those that this very environment has."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ENVS = ROOT / "envs"
CONDA_FILES = sorted(ENVS.glob("*.yaml"))


def pins(lines: list[str]) -> dict[str, str]:
    return dict(line.split("==") for line in lines)


def lock_pins() -> dict[str, str]:
    lines = (ENVS / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return pins([line for line in lines if not line.startswith("#")])


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ENVS / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lock_pins_exact_versions_without_addresses() -> None:
    text = (ENVS / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    for name, version in lock_pins().items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name} {version}"


@pytest.mark.parametrize("path", CONDA_FILES, ids=lambda path: path.stem)
def test_conda_pins_are_those_of_the_lock(path: Path) -> None:
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    assert f"python={sys.version.split()[0]}" in dependencies
    (pip,) = [one["pip"] for one in dependencies if isinstance(one, dict)]
    assert pins(pip).items() <= lock_pins().items()


def test_generated_files_are_up_to_date(lock: ModuleType) -> None:
    """Holds every dependency's own dependencies, and nothing that nothing needs."""
    for path, text in lock.texts().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date, run `make lock`"


def test_lock_refuses_a_version_that_is_not_allowed(lock: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"numpy .* is installed, numpy<1 is required"):
        lock.closure(["numpy<1"])


def test_every_rule_names_an_environment_that_exists() -> None:
    named = {
        name
        for path in (ROOT / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"envs/([\w.-]+\.yaml)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= {path.name for path in CONDA_FILES}
