"""Write ``requirements.lock`` and the conda YAMLs from pyproject.toml and the packages of this environment.

Run it as ``make lock`` after installing a new or newer package into .venv. All files carry the same pins,
each with everything that its direct dependencies need, so a job gives the same numbers in any of them.
"""

import platform
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENVS = Path(__file__).resolve().parent
CONDA_GROUPS = ("base", "xtb", "mace", "report")
APART = "slurm"
"""This group has a lock of its own, written by hand: installed here, its plugin would slow every start."""
HEADER = "# Written by `make lock` from pyproject.toml: edit that, not this.\n"


def direct_dependencies() -> dict[str, list[str]]:
    """Requirements of each group of pyproject.toml; each holds the ones common to all."""
    project = tomllib.loads((ENVS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["optional-dependencies"].items()
    return {name: project["dependencies"] + group for name, group in groups if name != APART}


def closure(requirements: list[str]) -> dict[str, str]:
    """Installed version of every package that ``requirements`` need, by name, sorted; local versions cut off.

    Raises:
        SystemExit: an installed version is not one that the requirement allows.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        package = distribution(requirement.name)
        if not requirement.specifier.contains(package.version, prereleases=True):
            raise SystemExit(f"{package.name} {package.version} is installed, {requirement} is required")
        found[package.name] = package.version.partition("+")[0]
        for extra in {"", *requirement.extras}:
            key = (canonicalize_name(package.name), extra)
            if key in seen:
                continue
            seen.add(key)
            needs = [Requirement(text) for text in package.requires or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def lock_text() -> str:
    """Text of requirements.lock: what the default study and the tests need."""
    everything = [one for group in direct_dependencies().values() for one in group]
    pins = [f"{name}=={version}\n" for name, version in closure(everything).items()]
    return HEADER + "".join(pins)


def conda_text(group: str) -> str:
    """Text of one conda YAML. All but Python comes from PyPI, whose wheels are those of the lock."""
    pins = [f"      - {name}=={version}\n" for name, version in closure(direct_dependencies()[group]).items()]
    head = f"channels:\n  - conda-forge\ndependencies:\n  - python={platform.python_version()}\n  - pip\n  - pip:\n"
    return HEADER + head + "".join(pins)


def texts() -> dict[Path, str]:
    """Text of every generated file of envs/."""
    conda = {ENVS / f"{group}.yaml": conda_text(group) for group in CONDA_GROUPS}
    return {ENVS / "requirements.lock": lock_text(), **conda}


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ENVS.parent)}: {text.count('==')} packages")
