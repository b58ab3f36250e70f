"""The config block of MACE: sweeps, lengths, and when steps are compiled."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from longhot.models.mace import STEPS_THAT_PAY_FOR_COMPILING, Config


def config(**keys: Any) -> Config:
    return Config.model_validate({"family": "mace", "gradient_steps": 100} | keys)


def test_without_a_sweep_the_block_is_the_model() -> None:
    assert config().variants("net") == {"net": config()}


def test_a_sweep_is_the_union_of_products() -> None:
    block = config(sweep=[{"max_L": [0], "correlation": [1, 2, 3]}, {"max_L": [1, 2], "correlation": [2]}])
    found = block.variants("mace")
    assert list(found) == ["mace-L0-nu1", "mace-L0-nu2", "mace-L0-nu3", "mace-L1-nu2", "mace-L2-nu2"]
    assert (found["mace-L2-nu2"].max_L, found["mace-L2-nu2"].correlation) == (2, 2)
    assert all(one.sweep == [] for one in found.values())
    assert all(one.gradient_steps == 100 for one in found.values())


def test_a_combination_that_stands_twice_is_fitted_once() -> None:
    block = config(sweep=[{"max_L": [0, 1], "correlation": [2]}, {"max_L": [1], "correlation": [2, 3]}])
    assert list(block.variants("m")) == ["m-L0-nu2", "m-L1-nu2", "m-L1-nu3"]


def test_only_keys_with_several_values_join_the_id() -> None:
    block = config(sweep=[{"channels": [8, 16], "layers": [2], "r_max_A": [4.5, 5.0]}])
    assert list(block.variants("m")) == [
        "m-L0-nu2-c8-r4.5",
        "m-L0-nu2-c8-r5",
        "m-L0-nu2-c16-r4.5",
        "m-L0-nu2-c16-r5",
    ]


def test_a_key_that_one_product_leaves_at_its_default_joins_the_id() -> None:
    block = config(channels=16, sweep=[{"channels": [32], "max_L": [0]}, {"max_L": [1]}])
    assert list(block.variants("m")) == ["m-L0-nu2-c32", "m-L1-nu2-c16"]


@pytest.mark.parametrize(
    "keys",
    [
        {"gradient_steps": None},
        {"epochs": 5},
        {"max_L": 4},
        {"max_ell": 0},
        {"correlation": 0},
        {"validations": 4},
        {"ema_decay": 1.0},
        {"sweep": [{"max_L": [5]}]},
        {"sweep": [{"dtype": ["float32"]}]},
        {"r_max": 5.0},
    ],
)
def test_bad_keys(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**keys)


@pytest.mark.parametrize(("train_size", "expected"), [(3, 10), (5, 10), (12, 20), (100, 200)])
def test_epochs_in_steps(train_size: int, expected: int) -> None:
    assert config(gradient_steps=None, epochs=10, batch_size=5).total_steps(train_size) == expected
    assert config().total_steps(train_size) == 100


def test_auto_compiles_long_fits() -> None:
    assert not config(gradient_steps=STEPS_THAT_PAY_FOR_COMPILING - 1).compiles(100)
    assert config(gradient_steps=STEPS_THAT_PAY_FOR_COMPILING).compiles(100)
    assert not config(gradient_steps=10**6, compile="never").compiles(100)
    assert config(gradient_steps=1, compile="always").compiles(100)


@pytest.mark.parametrize("keys", [{"layers": 1, "max_L": 1}, {"layers": 1, "sweep": [{"max_L": [0, 1]}]}])
def test_one_layer_refuses_equivariant_messages(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="single layer passes no equivariant messages"):
        config(**keys)
