"""What jobs ask of a scheduler, and the profiles that pass it on."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from longhot import devices
from longhot.config import load
from longhot.plan.melting_point import sampler_model
from longhot.resources import gpus, growing

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "workflow" / "profiles"
RULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
NAMES = set(re.findall(r"^rule (\w+):", RULES, re.MULTILINE))
TARGETS = {"learning_curves", "robustness", "melting_point", "active_learning", "structure_search"}


def profile(name: str) -> dict[str, Any]:
    return yaml.safe_load((PROFILES / name / "profile.yaml").read_text(encoding="utf-8"))


def smoke(**changes: str) -> Any:
    raw = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text(encoding="utf-8"))
    raw["study"] |= changes
    return load(raw)


def blocks(name: str) -> list[str]:
    """The resources of each rule that states some."""
    return re.findall(rf"^        {name}=(.+)$", RULES, re.MULTILINE)


def test_what_a_job_asks_for_grows_with_its_attempt() -> None:
    assert [growing(4000)(SimpleNamespace(), attempt) for attempt in (1, 2, 3)] == [4000, 8000, 12000]
    assert blocks("mem_mb")
    assert all(value.startswith("growing(") or "attempt" in value for value in blocks("mem_mb") + blocks("runtime"))
    for name in ("slurm", "kubernetes"):
        asked = profile(name)["default-resources"]
        assert all("attempt" in asked[key] for key in ("mem_mb", "runtime"))


@pytest.mark.parametrize(
    ("device", "on_machine", "expected"), [("cpu", 2, 0), ("cuda", 0, 1), ("auto", 2, 1), ("auto", 0, 0)]
)
def test_a_mace_job_takes_one_gpu(device: str, on_machine: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "usable", lambda: ["GPU"] * on_machine)
    study = smoke(device=device)
    assert gpus(study, "mace-L0-nu2") == expected
    assert gpus(study, sampler_model(study, "water-n5-seed0")) == expected
    assert (
        gpus(study, "gfn1") == gpus(study, "reference", "gfn2") == gpus(study, sampler_model(study, "reference")) == 0
    )


def test_every_rule_that_takes_a_device_says_so_to_the_scheduler() -> None:
    for rule in re.split(r"(?m)^(?=rule )", RULES):
        if "device=STUDY.study.device" in rule:
            assert "        gpu=" in rule, rule.splitlines()[0]


def test_groups_name_rules_and_components_name_groups() -> None:
    slurm = profile("slurm")
    assert slurm["groups"].keys() <= NAMES - TARGETS
    assert slurm["group-components"].keys() <= set(slurm["groups"].values())


def test_every_short_rule_is_grouped() -> None:
    """All that asks for no time of its own, targets aside, and the short ones among the rest."""
    short = {
        re.match(r"rule (\w+):", rule).group(1)  # type: ignore[union-attr]
        for rule in re.split(r"(?m)^(?=rule )", RULES)
        if "    script:" in rule and "    resources:" not in rule
    }
    assert short | {"predict", "recheck"} <= profile("slurm")["groups"].keys() | ALONE


ALONE = {"structure_search_table", "reproduce", "archive"}
"""Short, but one in a study, with no neighbour to go with."""


def test_a_submission_holds_one_gpu() -> None:
    slurm = profile("slurm")
    assert slurm["resources"] == {"gpu": 1}
    assert slurm["set-resource-scopes"] == {"gpu": "local"}


def test_the_plugin_is_pinned_and_stands_apart_from_the_lock() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = map(Requirement, project["optional-dependencies"]["slurm"])
    lines = (ROOT / "envs" / "slurm.lock").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert wanted.specifier.contains(pins[wanted.name])
    lock = (ROOT / "envs" / "requirements.lock").read_text(encoding="utf-8")
    assert not any(name in lock for name in pins)


def test_the_example_of_partitions_has_room_for_every_job() -> None:
    partitions = yaml.safe_load((PROFILES / "slurm" / "partitions.yaml").read_text(encoding="utf-8"))["partitions"]
    assert partitions["cpu"]["max_gpu"] == 0 < partitions["gpu"]["max_gpu"]
    assert min(one["max_threads"] for one in partitions.values()) >= profile("slurm")["cores"]


def kubernetes_objects() -> dict[str, Any]:
    text = (PROFILES / "kubernetes" / "cluster.yaml").read_text(encoding="utf-8")
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def test_kubernetes_jobs_run_where_its_objects_are() -> None:
    example, objects = profile("kubernetes"), kubernetes_objects()
    assert example["kubernetes-namespace"] == objects["Namespace"]["metadata"]["name"]
    assert example["kubernetes-service-account-name"] == objects["ServiceAccount"]["metadata"]["name"]
    claim, path = example["kubernetes-persistent-volumes"].split(":")
    (container,) = objects["Pod"]["spec"]["containers"]
    assert claim == objects["PersistentVolumeClaim"]["metadata"]["name"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [path]
    assert container["image"] == example["container-image"]
    in_namespace = [one["metadata"]["namespace"] for kind, one in objects.items() if kind != "Namespace"]
    assert set(in_namespace) == {example["kubernetes-namespace"]}


@pytest.mark.parametrize("name", ["apptainer.def", "Dockerfile"])
def test_containers_hold_what_the_lock_pins(name: str) -> None:
    """On the Python of the conda environments, and with no other package of pip."""
    text = (ROOT / "envs" / name).read_text(encoding="utf-8")
    (python,) = re.findall(r"(?im)^from:? python:([\d.]+)-slim", text)
    base = yaml.safe_load((ROOT / "envs" / "base.yaml").read_text(encoding="utf-8"))
    assert f"python={python}" in base["dependencies"]
    copied = re.findall(r"(?m)^(?:COPY| )\s*(envs/\S+) (/\S+)$", text)
    ((source, target),) = copied
    assert (ROOT / source).name == "requirements.lock"
    installs = re.findall(r"pip install --no-cache-dir (.+?)(?: \\)?$", text, re.MULTILINE)
    assert installs[0] == f"--requirement {target}"
    assert all(re.fullmatch(r'"snakemake-executor-plugin-[\w-]+==[\d.]+"', one) for one in installs[1:])


def test_the_image_that_jobs_run_in_is_the_one_that_is_built() -> None:
    (image,) = re.findall(r'^container: "(.+)"$', (ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE)
    definition = (ROOT / "envs" / "apptainer.def").read_text(encoding="utf-8")
    assert f"apptainer build {image} envs/apptainer.def" in definition
    assert set(re.findall(r"^%(\w+)", definition, re.MULTILINE)) == {"files", "post", "environment", "test"}
