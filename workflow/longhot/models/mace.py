"""MACE (Batatia et al., NeurIPS 2022, arXiv:2206.07697) through the library mace-torch."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from longhot.block import Block, Count
from longhot.models import FitTask, ModelBlock

if TYPE_CHECKING:
    from longhot.potential import Potential

Ell = Annotated[int, Field(ge=0, le=3)]
Correlation = Annotated[int, Field(ge=1, le=4)]
Width = Annotated[int, Field(gt=0, le=4096)]
Layers = Annotated[int, Field(gt=0, le=10)]
CutoffA = Annotated[float, Field(ge=0.5, le=30)]
MOST_VARIANTS = 1000
"""Models of one sweep."""


class Sweep(Block):
    """A product of lists of hyperparameters; each combination is one model."""

    max_L: list[Ell] | None = Field(None, description="Values of max_L.")
    correlation: list[Correlation] | None = Field(None, description="Values of correlation.")
    channels: list[Width] | None = Field(None, description="Values of channels.")
    layers: list[Layers] | None = Field(None, description="Values of layers.")
    r_max_A: list[CutoffA] | None = Field(None, description="Values of r_max_A.")


ID_PARTS = {"max_L": "L", "correlation": "nu", "channels": "c", "layers": "t", "r_max_A": "r"}
STEPS_THAT_PAY_FOR_COMPILING = 1500
"""A compile costs about as much as this many eager steps, and its cache serves further fits."""
ALWAYS_IN_ID = ("max_L", "correlation")


class Config(ModelBlock):
    """A MACE model, or a sweep of them."""

    runs_on_gpu: ClassVar[bool] = True

    family: Literal["mace"] = Field(description="Plugin name.")
    max_L: Ell = Field(0, description="Highest order of the equivariant messages.")
    correlation: Correlation = Field(2, description="Correlation order nu; the body order is nu + 1 in each layer.")
    channels: Width = Field(16, description="Channels of each irreducible representation.")
    layers: Layers = Field(2, description="Number of interaction layers.")
    max_ell: Annotated[int, Field(ge=1, le=3)] = Field(
        3, description="Highest order of the spherical harmonics on the edges; MACE cannot do with 0."
    )
    r_max_A: CutoffA = Field(5.0, description="Cutoff radius.")
    n_radial_basis: Annotated[int, Field(gt=0, le=100)] = Field(8, description="Number of radial basis functions.")
    radial_type: Literal["bessel", "gaussian", "chebyshev"] = Field("bessel", description="Radial basis.")
    cutoff_power: Annotated[int, Field(gt=0, le=100)] = Field(5, description="Power p of the polynomial cutoff.")
    radial_mlp: list[Width] = Field([64, 64, 64], description="Widths of the radial network.")
    readout_width: Width = Field(16, description="Width of the last readout.")
    dtype: Literal["float32", "float64"] = Field("float32", description="Precision of weights and products.")
    energy_weight: NonNegativeFloat = Field(1.0, description="Weight of the squared energy error per atom, in 1/eV^2.")
    forces_weight: NonNegativeFloat = Field(1000.0, description="Weight of the squared force error, in A^2/eV^2.")
    gradient_steps: Count | None = Field(None, description="Length of the fit in steps; or give epochs.")
    epochs: Count | None = Field(None, description="Length of the fit in passes over the training set.")
    batch_size: Count = Field(5, description="Frames in a step; a smaller training set is one batch.")
    optimiser: Literal["adam", "adamw"] = Field("adam", description="Optimiser, with AMSGrad.")
    learning_rate: PositiveFloat = Field(0.01, description="Initial learning rate.")
    schedule: Literal["cosine", "exponential", "constant"] = Field(
        "cosine", description="Cosine to zero, exponential to a hundredth at the last step, or constant."
    )
    weight_decay: NonNegativeFloat = Field(5e-7, description="Weight decay of products and linear layers.")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99, description="Decay of the exponential moving average of the weights; 0: none."
    )
    max_gradient_norm: PositiveFloat = Field(10.0, description="Gradients are clipped to this norm.")
    validations: Annotated[int, Field(ge=5)] = Field(20, description="How often the validation error is taken.")
    early_stopping_patience: Count | None = Field(
        None, description="Stop after so many validations without a new minimum; absent: never."
    )
    compile: Literal["auto", "always", "never"] = Field(
        "auto", description="Compiled steps: `auto` where shapes are static and the fit is long enough to pay for it."
    )
    sweep: list[Sweep] = Field(
        [], description="Products of hyperparameters, each combination a model; their union is fitted."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.gradient_steps is None) == (self.epochs is None):
            raise ValueError("give one of gradient_steps and epochs")
        n_variants = sum(math.prod(map(len, one.model_dump(exclude_none=True).values())) for one in self.sweep)
        if n_variants > MOST_VARIANTS:
            raise ValueError(
                f"sweep: makes {n_variants} models, at most {MOST_VARIANTS} are allowed, shorten its lists"
            )
        for layers, max_L in self._swept_pairs():
            if layers == 1 and max_L > 0:
                raise ValueError(
                    "max_L: a single layer passes no equivariant messages on, set max_L to 0 or layers to 2"
                )
        return self

    def _swept_pairs(self) -> list[tuple[int, int]]:
        """Every (layers, max_L) of the block."""
        blocks = self.sweep or [Sweep()]
        return [
            pair for one in blocks for pair in itertools.product(one.layers or [self.layers], one.max_L or [self.max_L])
        ]

    def variants(self, name: str) -> dict[str, Config]:
        """The models of the sweep by id, such as ``mace-L1-nu2``; keys with several values join the id."""
        products = [
            dict(zip(values, combination, strict=True))
            for block in self.sweep
            for values in [block.model_dump(exclude_none=True)]
            for combination in itertools.product(*values.values())
        ]
        if not products:
            return {name: self}
        shown = [
            key
            for key in ID_PARTS
            if key in ALWAYS_IN_ID or len({p.get(key, getattr(self, key)) for p in products}) > 1
        ]
        found = {}
        for product in products:
            variant = self.model_copy(update={**product, "sweep": []})
            tag = "-".join(f"{ID_PARTS[key]}{getattr(variant, key):g}" for key in shown)
            found[f"{name}-{tag}"] = variant
        return found

    def total_steps(self, train_size: int) -> int:
        """Gradient steps of a fit to ``train_size`` frames."""
        if self.gradient_steps is not None:
            return self.gradient_steps
        assert self.epochs is not None
        return self.epochs * (train_size // min(self.batch_size, train_size))

    def compiles(self, train_size: int) -> bool:
        """Whether a fit of this size compiles its step, where its shapes are static."""
        long = self.total_steps(train_size) >= STEPS_THAT_PAY_FOR_COMPILING
        return self.compile == "always" or (self.compile == "auto" and long)


def fit(config: Config, task: FitTask) -> None:
    """Fit one model; see ``longhot.models``."""
    from longhot.models._mace_train import fit as run

    run(config, task)


def load(directory: Path, device: str, compile_cache: Path | None = None) -> Potential:
    """Load a fitted model; see ``longhot.models``."""
    from longhot.models._mace_potential import MacePotential

    return MacePotential(directory, device, compile_cache)


def compile_step(config: Config, task: FitTask, replicas: list[int]) -> None:
    """Compile the training step, and the MD batches of so many ``replicas``."""
    from longhot.models._mace_compile import compile_step as run

    run(config, task, replicas)
