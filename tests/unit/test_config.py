"""Config files: what is refused, and in which words."""

import copy
from pathlib import Path
from typing import Any

import pytest

from longhot.block import InputError
from longhot.config import Study, load, load_file

BASE: dict[str, Any] = {
    "study": {"name": "demo", "question": "Does it learn?"},
    "references": {"xtb": {"method": "xtb"}},
    "datasets": {"ethanol": {"source": "generate", "reference": "xtb", "molecule": "CH3CH2OH"}},
    "models": {
        "mace": {"family": "mace", "gradient_steps": 10, "sweep": [{"max_L": [0, 1], "correlation": [1, 2]}]},
        "plain": {"family": "mace", "gradient_steps": 10},
    },
    "learning_curves": {"train_sizes": [10, 20], "seeds": [0, 1]},
    "robustness": {"models": ["mace-L0-nu2"], "train_sizes": [20], "protocol": {"temperatures_K": [300]}},
}


def changed(**changes: Any) -> dict[str, Any]:
    """The base config with values put at dotted keys (double underscores stand for dots)."""
    raw = copy.deepcopy(BASE)
    for key, value in changes.items():
        *path, last = key.split("__")
        block = raw
        for part in path:
            block = block[part]
        if value is None:
            del block[last]
        else:
            block[last] = value
    return raw


def message(raw: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        load(raw)
    return str(caught.value)


def test_base_is_valid() -> None:
    assert isinstance(load(changed()), Study)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("stdy", {}, "stdy: unknown key, remove it or correct its spelling (config/README.md lists all keys)"),
        ("study__nam", "x", "study.nam: unknown key"),
        ("models__mace__chanels", 8, "models.mace.chanels: unknown key"),
        ("robustness__protocol__temperature_K", 300, "robustness.protocol.temperature_K: unknown key"),
        ("datasets__ethanol__n_trainpool", 8, "datasets.ethanol.n_trainpool: unknown key"),
        ("study__question", None, "study.question: missing, add it"),
        ("study__name", "a/b", "study.name: may hold only letters, digits, dots, dashes and underscores, is 'a/b'"),
        ("models__mace__channels", "many", "models.mace.channels: must be a valid integer"),
        ("models__mace__channels", 0, "models.mace.channels: must be greater than 0, is 0"),
        ("models__mace__sweep", [{"max_L": [5]}], "models.mace.sweep.0.max_L.0: must be less than or equal to 3, is 5"),
        ("learning_curves__train_sizes", 10, "learning_curves.train_sizes: must be a list, is 10"),
        ("learning_curves__train_sizes", [], "learning_curves.train_sizes: must not be empty, is []"),
        ("learning_curves__train_sizes", [20, 10], "learning_curves.train_sizes: must ascend without repeats"),
        ("learning_curves__train_sizes", [10, 20, 20], "learning_curves.train_sizes: must ascend without repeats"),
        ("learning_curves__subset", "best", "learning_curves.subset: must be 'random' or 'farthest_point', is 'best'"),
        ("learning_curves__datasets", "every", "learning_curves.datasets: must be a list, is 'every' or must be 'all'"),
        ("learning_curves__models", ["mase"], "learning_curves.models: no 'mase', use one of mace-L0-nu1, "),
        ("learning_curves__datasets", ["methanol"], "learning_curves.datasets: no 'methanol', use one of ethanol"),
        ("learning_curves", None, "robustness: needs the block learning_curves, whose models it runs"),
        ("robustness__train_sizes", [30], "robustness.train_sizes: [30] not in learning_curves.train_sizes"),
        ("robustness__seeds", [7], "robustness.seeds: [7] not in learning_curves.seeds"),
        (
            "robustness__recheck",
            {"reference": "dft"},
            "robustness.recheck.reference: no 'dft' in references, which has xtb",
        ),
        ("datasets__ethanol__reference", "dft", "datasets.ethanol.reference: no 'dft' in references, which has xtb"),
        ("datasets", {}, "datasets: must not be empty"),
        ("models", [1], "models: must be a mapping from names to blocks, is [1]"),
        ("models__other", 3, "models.other.family: missing, it names the plugin"),
        ("study", "demo", "study: must be a block of keys, is 'demo'"),
    ],
)
def test_a_fault_is_one_line_with_its_key(key: str, value: Any, expected: str) -> None:
    text = message(changed(**{key: value}))
    assert text.startswith(expected)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("block", "selector"), [("references__xtb", "method"), ("datasets__ethanol", "source"), ("models__mace", "family")]
)
def test_an_unknown_plugin_is_named_with_those_that_exist(block: str, selector: str) -> None:
    text = message(changed(**{f"{block}__{selector}": "none-such"}))
    assert text.startswith(f"{block.replace('__', '.')}.{selector}: unknown name 'none-such'")
    assert "use one of" in text


def test_several_faults_are_several_lines() -> None:
    text = message(changed(study__name="a/b", learning_curves__seeds=[-1, "a"]))
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "study.name",
        "learning_curves.seeds.0",
        "learning_curves.seeds.1",
    ]


def test_the_id_of_the_control_is_taken() -> None:
    text = message(changed(models__reference={"family": "mace", "gradient_steps": 1}))
    assert text == "models: 'reference' is the id of the control, use another"


def test_two_blocks_with_the_same_model_id_are_refused() -> None:
    raw = changed()
    raw["models"]["mace-L0-nu1"] = {"family": "mace", "gradient_steps": 1}
    assert "the id 'mace-L0-nu1' stands twice, rename one block" in message(raw)


def test_recheck_needs_a_reference() -> None:
    dataset = {"source": "extxyz", "train_pool": "a.xyz", "n_valid": 5, "test_sets": {"test": "b.xyz"}}
    text = message(changed(datasets={"mine": dataset}))
    assert text == "robustness.recheck.reference: missing, and datasets.mine names no reference of its own"


def test_sweep_ids() -> None:
    study = load(changed())
    assert list(study.variants()) == ["mace-L0-nu1", "mace-L0-nu2", "mace-L1-nu1", "mace-L1-nu2", "plain"]
    assert study.variants()["mace-L1-nu2"].max_L == 1
    assert study.variants()["mace-L1-nu2"].correlation == 2


def test_sweep_names_further_keys_where_they_vary() -> None:
    sweep = [{"max_L": [0], "correlation": [2], "channels": [8, 16], "r_max_A": [4.5]}]
    study = load(changed(models__mace__sweep=sweep, robustness__models=["plain"]))
    assert list(study.variants()) == ["mace-L0-nu2-c8", "mace-L0-nu2-c16", "plain"]
    assert {block.r_max_A for name, block in study.variants().items() if name != "plain"} == {4.5}


def test_picked_resolves_all_blocks_and_ids() -> None:
    study = load(changed(learning_curves__models=["plain", "mace", "mace-L0-nu2"]))
    assert study.picked("learning_curves", "models") == [
        "plain",
        "mace-L0-nu1",
        "mace-L0-nu2",
        "mace-L1-nu1",
        "mace-L1-nu2",
    ]
    assert study.picked("learning_curves", "datasets") == ["ethanol"]
    assert study.picked("robustness", "models") == ["mace-L0-nu2"]
    assert load(changed(robustness=None)).picked("robustness", "models") == []


def test_recheck_takes_the_named_reference_or_the_datasets_own() -> None:
    assert load(changed()).recheck_reference("ethanol") == "xtb"
    raw = changed(robustness__recheck={"reference": "second"})
    raw["references"]["second"] = {"method": "tblite"}
    assert load(raw).recheck_reference("ethanol") == "second"


def test_blocks_do_not_change_after_validation() -> None:
    study = load(changed())
    with pytest.raises(ValueError, match="frozen"):
        study.study.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study: [", "no valid YAML"),
        ("- a\n- b\n", "must hold a mapping of blocks"),
        ("", "must hold a mapping of blocks"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected) as caught:
        load_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
