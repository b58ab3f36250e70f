"""Spoilt configs: each is refused in plain sentences, or it is sound through and through."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from fuzzing import cases, check_sentences, nasty
from hypothesis import example, given
from hypothesis import strategies as st

from longhot import plan
from longhot.block import MOST_FAULTS, InputError
from longhot.config import MOST_JOBS, MOST_STEPS, Question, Study, load, load_file

FOLDER = Path(__file__).resolve().parents[2] / "config"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml"))}
CONFIGS = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
MOST_LINES = MOST_FAULTS + 1
STRUCTURES = ("train_sizes", "seeds", "temperatures_K", "strategies", "lambdas", "cells")


MOST_ARITHMETIC = 1e100
"""An earlier change may have made an integer that no float and no text can hold."""


def places(raw: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a config."""
    inner = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return ([way] if way else []) + [one for key, value in inner for one in places(value, (*way, key))]


def similar(value: Any) -> st.SearchStrategy[Any]:
    """Values that differ a little from a sound one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return st.sampled_from([[value], [value, value], {"a": value}, str(value), [value] * 3])
    if abs(value) > MOST_ARITHMETIC:
        return st.sampled_from([[value], {"a": value}, -value])
    return st.sampled_from([-value, 2 * value, value + 1, value / 3, 1000 * value, str(value), [value], value * 1.0])


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A shipped config with up to three changes."""
    raw = copy.deepcopy(CONFIGS[draw(st.sampled_from(sorted(CONFIGS)))])
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(raw)[:300]))
        block = raw
        for part in way:
            block = block[part]
        match draw(st.sampled_from(["nasty", "similar", "remove", "extra", "rename", "move"])):
            case "nasty":
                block[last] = copy.deepcopy(draw(nasty))
            case "similar":
                block[last] = draw(similar(block[last]))
            case "remove":
                del block[last]
            case "extra" if isinstance(block, dict):
                block[draw(nasty.filter(lambda one: one.__hash__ is not None and not isinstance(one, tuple)))] = (
                    copy.deepcopy(draw(nasty))
                )
            case "rename" if isinstance(block, dict):
                block[draw(st.text(max_size=8) | st.just(f"{last} "))] = block.pop(last)
            case _:
                other = CONFIGS[draw(st.sampled_from(sorted(CONFIGS)))]
                key = draw(st.sampled_from(sorted(other)))
                raw[key] = copy.deepcopy(other[key])
        if not places(raw):
            break
    return raw


def numbers(value: Any) -> list[float]:
    """All numbers in plain data."""
    if isinstance(value, dict | list):
        return [one for part in (value.values() if isinstance(value, dict) else value) for one in numbers(part)]
    return [value] if isinstance(value, int | float) else []


def planned_paths(study: Study) -> list[str]:
    """All files that the rules would make."""
    made = plan.files
    found = plan.outputs.table_paths(study) + plan.outputs.figure_paths(study) + plan.outputs.card_paths(study)
    found += made.paths(made.FIT, plan.training.fits(study))
    found += made.paths(made.OUTCOMES, plan.simulation.simulations(study))
    found += made.paths(made.RECORDS, plan.active_learning.rounds(study))
    found += plan.active_learning.initial_subsets(study)
    found += plan.melting_point.sampler_paths(study) + plan.melting_point.committee_paths(study)
    return found


def check_sound(study: Study) -> None:
    """What must hold of a config that is accepted."""
    name = study.study.name
    plain = study.model_dump(mode="json")
    assert load(plain) == study, "what is written beside the results is not what was read"
    assert all(math.isfinite(one) and abs(one) <= 1e12 for one in numbers(plain))
    folder = re.compile(rf"results/{re.escape(name)}(/[A-Za-z0-9][\w.+-]*)+")
    paths = planned_paths(study)
    for path in paths:
        assert folder.fullmatch(path), path
        assert ".." not in Path(path).parts
        assert max(len(part) for part in Path(path).parts) <= 255
    assert len(paths) == len(set(paths)), "two jobs would write one file"
    assert len(plan.training.fits(study)) <= MOST_JOBS
    for question in get_args(Question):
        block = getattr(study, question)
        for key in STRUCTURES:
            values = getattr(block, key, [])
            assert values == [one for index, one in enumerate(values) if one not in values[:index]], key
    runs = [getattr(block, "protocol", None) for block in (study.robustness, study.active_learning)]
    for protocol in filter(None, runs):
        assert 1 <= round(1e3 * protocol.duration_ps / protocol.time_step_fs) <= MOST_STEPS
        assert all(1e-3 <= one <= 1e5 for one in protocol.temperatures_K)
        assert (
            protocol.time_step_fs <= protocol.frame_interval_fs * (1 + 1e-6) <= 1e3 * protocol.duration_ps * (1 + 1e-5)
        )


def judge(raw: Any) -> bool:
    """Whether a config is accepted; either way it must be so for good reason."""
    try:
        study = load(raw)
    except InputError as error:
        check_sentences(error, MOST_LINES)
        return False
    check_sound(study)
    return True


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_shipped_configs_are_sound(name: str) -> None:
    assert judge(CONFIGS[name])


@cases(1000)
@given(spoilt())
def test_spoilt_configs(raw: dict[str, Any]) -> None:
    judge(raw)


@cases(200)
@given(nasty | st.dictionaries(st.sampled_from(sorted(Study.model_fields)), nasty, max_size=4))
def test_anything_in_place_of_a_config(raw: Any) -> None:
    assert not judge(raw)


def test_endless_and_exploding_data() -> None:
    """What anchors in a YAML file can make; nothing may try to print it."""
    cycle: dict[str, Any] = {}
    cycle["loop"] = cycle
    layer: list[Any] = [0]
    for _ in range(18):
        layer = [layer] * 10
    for harm in (cycle, layer):
        for way in ("study", "references", "models"):
            assert not judge(CONFIGS["smoke.yaml"] | {way: harm})
            assert not judge(CONFIGS["smoke.yaml"] | {way: {"a": harm}})


BOMB = "a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@st.composite
def spoilt_text(draw: st.DrawFn) -> bytes:
    """A shipped config file, spoilt as text."""
    text = TEXTS[draw(st.sampled_from(sorted(TEXTS)))]
    for _ in range(draw(st.integers(1, 3))):
        lines = text.splitlines(keepends=True) or [""]
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "twice", "garbage", "indent", "anchor", "drop", "tag"])):
            case "cut":
                text = text[: draw(st.integers(0, len(text)))]
            case "twice":
                text = "".join(lines[: at + 1] + lines[at:])
            case "garbage":
                text = "".join(lines[:at]) + draw(st.text(max_size=12)) + "".join(lines[at:])
            case "indent":
                text = "".join([*lines[:at], " " + lines[at], *lines[at + 1 :]])
            case "anchor":
                text = "".join([*lines[:at], "? &a [*a]\n", *lines[at:]])
            case "drop":
                text = "".join(lines[:at] + lines[at + 1 :])
            case _:
                text = text.replace(
                    ": ", draw(st.sampled_from([": !!python/object/apply:os.system ", ": !!binary "])), 1
                )
    return text.encode("utf-8", errors="surrogatepass")


@cases(300)
@given(spoilt_text() | st.binary(max_size=200))
@example(BOMB.encode())
@example(b"study: &a {name: *a}\n")
@example(b"[" * 5000)
@example(b"study: " + b"1" * 5000)
@example(b"study: 2001-99-99\n")
@example(b"study: {name: a, question: b}\nstudy: {name: b, question: b}\n")
@example(b"\xff\xfe\x00")
@example(b"x: " + b"y" * 2_000_000)
def test_spoilt_files(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "spoilt.yaml"
    path.write_bytes(text)
    try:
        study = load_file(path)
    except InputError as error:
        check_sentences(error, MOST_LINES)
    else:
        check_sound(study)


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", "a b", "$(id)", "", "labels", "x" * 65, "a\n"])
def test_ids_cannot_leave_the_results_folder(name: str) -> None:
    raw = copy.deepcopy(CONFIGS["smoke.yaml"])
    raw["study"]["name"] = name
    assert not judge(raw)
    for kind in ("references", "datasets", "models"):
        raw = copy.deepcopy(CONFIGS["smoke.yaml"])
        raw[kind][name] = next(iter(raw[kind].values()))
        assert name == "labels" or not judge(raw)


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(TEXTS["smoke.yaml"] + "references: {}\n")
    with pytest.raises(InputError, match=r"twice.yaml: .*line \d+: the key 'references' stands twice"):
        load_file(path)
