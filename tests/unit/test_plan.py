"""The jobs of a study, from its config alone."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from longhot.block import InputError
from longhot.config import Study, load
from longhot.plan import active_learning, files, melting_point, modules, outputs, simulation, training

SMOKE = Path(__file__).resolve().parents[2] / "config" / "smoke.yaml"


def study(**changes: Any) -> Study:
    """The smoke study with keys changed; a key such as ``robustness__seeds`` reaches into blocks, None removes."""
    raw = copy.deepcopy(yaml.safe_load(SMOKE.read_text(encoding="utf-8")))
    for key, value in changes.items():
        *way, last = key.split("__")
        block = raw
        for name in way:
            block = block[name]
        if value is None:
            block.pop(last, None)
        else:
            block[last] = value
    return load(raw)


def wildcards(model: str, size: int = 20, seed: int = 0) -> SimpleNamespace:
    return SimpleNamespace(study="smoke", dataset="methanol", model=model, size=str(size), seed=str(seed))


def test_a_fit_for_each_model_size_and_seed() -> None:
    jobs = training.fits(study())
    models = ["mace-L0-nu1", "mace-L0-nu2", "mace-L1-nu2", "gfn1"]
    assert [(job["model"], job["size"], job["seed"]) for job in jobs] == [
        (model, size, seed) for model in models for size in (10, 20) for seed in (0, 1)
    ]
    assert {job["dataset"] for job in jobs} == {"methanol"}
    assert files.paths(files.FIT, jobs)[0] == "results/smoke/models/methanol/mace-L0-nu1/n10/seed0"


def test_a_question_may_pick_a_block_or_single_models() -> None:
    picked = study(learning_curves__models=["mace-L0-nu2", "gfn1"])
    assert {job["model"] for job in training.fits(picked)} == {"mace-L0-nu2", "gfn1"}
    block = study(learning_curves__models=["mace", "gfn1"])
    assert len({job["model"] for job in training.fits(block)}) == 4


def test_a_prediction_of_each_fit_stands_in_the_folder_of_its_model() -> None:
    folder = files.PREDICTIONS.format(study="smoke", dataset="methanol", model="gfn1")
    models = [path.split("/")[-3:-1] for path in training.fits_of(study(), wildcards("gfn1"))]
    fits = [job for job in training.fits(study()) if job["model"] == "gfn1"]
    assert files.paths(files.PREDICTION, fits) == [f"{folder}/{size}/{seed}.npz" for size, seed in models]


def test_simulations_hold_the_control_and_one_run_of_the_baseline() -> None:
    one = study(robustness__seeds=[0, 1])
    runs = [(job["model"], job["size"], job["seed"]) for job in simulation.simulations(one)]
    mace = [("mace-L0-nu2", size, seed) for size in (10, 20) for seed in (0, 1)]
    assert runs == [("reference", 0, 0), *mace, ("gfn1", 20, 0)]


def test_a_job_holds_all_temperatures_but_the_baselines_the_hottest_only() -> None:
    one = study(robustness__protocol__temperatures_K=[300.0, 1000.0])
    for model, temperatures in (("reference", [300, 1000]), ("mace-L0-nu2", [300, 1000]), ("gfn1", [1000])):
        assert simulation.protocol(one, model)["temperatures_K"] == temperatures


def test_every_simulated_model_is_fitted() -> None:
    one = study(robustness__seeds=[0, 1])
    fitted = set(files.paths(files.FIT, training.fits(one)))
    needed = {files.FIT.format(**job) for job in simulation.simulations(one) if job["model"] != "reference"}
    assert needed <= fitted


def test_paths_do_not_repeat() -> None:
    jobs = simulation.simulations(study())
    assert files.paths("{model}", jobs) == ["reference", "mace-L0-nu2", "gfn1"]


def test_committee_is_the_other_seeds_of_the_same_fit() -> None:
    one = study(learning_curves__seeds=[0, 1, 2])
    assert simulation.committee(one, wildcards("mace-L0-nu2", 10, 1)) == [
        f"results/smoke/models/methanol/mace-L0-nu2/n10/seed{seed}/model.json" for seed in (0, 2)
    ]
    assert simulation.committee(one, wildcards("gfn1")) == []
    assert simulation.committee(one, wildcards("reference", 0)) == []


def test_only_long_fits_read_compiled_kernels() -> None:
    folder = ["results/smoke/compiled/methanol/mace-L0-nu2"]
    assert training.compile_cache(study(), wildcards("mace-L0-nu2")) == []
    assert training.compile_cache(study(models__mace__compile="always"), wildcards("mace-L0-nu2")) == folder
    auto = {"models__mace__compile": "auto"}
    assert training.compile_cache(study(**auto), wildcards("mace-L0-nu2")) == []
    assert training.compile_cache(study(**auto, models__mace__gradient_steps=5000), wildcards("mace-L0-nu2")) == folder
    assert training.compile_cache(study(**auto), wildcards("gfn1")) == []


def test_a_fit_by_epochs_compiles_by_its_size() -> None:
    epochs = study(models__mace__gradient_steps=None, models__mace__epochs=500, models__mace__compile="auto")
    assert training.compile_cache(epochs, wildcards("mace-L0-nu2", 10)) == []
    assert training.compile_cache(epochs, wildcards("mace-L0-nu2", 20)) != []


def test_md_is_compiled_where_it_is_long_and_the_fit_is_compiled() -> None:
    long_fit = {"models__mace__compile": "always"}
    long_md = {"robustness__protocol__duration_ps": 10.0}
    both = study(**long_fit, **long_md, robustness__protocol__batch_replicas=None)
    assert simulation.md_replicas_to_compile(both, "methanol", "mace-L0-nu2") == [8], "4 at each of two temperatures"
    few = study(**long_fit, **long_md, robustness__protocol__batch_replicas=3)
    assert simulation.md_replicas_to_compile(few, "methanol", "mace-L0-nu2") == [3]
    assert simulation.md_replicas_to_compile(both, "methanol", "mace-L0-nu1") == [], "runs no MD"
    assert simulation.md_replicas_to_compile(study(**long_fit), "methanol", "mace-L0-nu2") == []
    assert simulation.md_replicas_to_compile(study(**long_fit, robustness=None), "methanol", "mace-L0-nu2") == []
    assert simulation.md_compile_cache(both, wildcards("mace-L0-nu2")) == training.compile_cache(
        both, wildcards("mace-L0-nu2")
    )
    assert simulation.md_compile_cache(both, wildcards("reference", 0)) == []
    assert simulation.md_compile_cache(study(**long_md), wildcards("mace-L0-nu2")) == []


def test_first_subset_is_one_that_the_study_draws() -> None:
    path = training.first_subset(study(learning_curves__seeds=[3, 0]), wildcards("mace-L0-nu2"))
    assert path == "results/smoke/subsets/methanol/seed0/n20.json"


def test_tables_and_figures_of_the_questions_asked() -> None:
    both, curves_only = (
        study(melting_point=None, active_learning=None),
        study(robustness=None, melting_point=None, active_learning=None),
    )
    names = [Path(path).stem for path in outputs.table_paths(both)]
    assert names[:2] == ["learning_curves", "learning_curve_slopes"]
    assert {"stability", "survival", "recheck", "robustness"} <= set(names[2:])
    assert [Path(path).stem for path in outputs.table_paths(curves_only)] == [*names[:2], *outputs.MAP_TABLES]
    assert {"robustness", "survival"} <= {Path(path).stem for path in outputs.figure_paths(both, "robustness")}
    assert outputs.figure_paths(curves_only, "robustness") == []


def test_a_study_without_questions_makes_its_datasets() -> None:
    bare = study(robustness=None, learning_curves=None, melting_point=None, active_learning=None)
    assert training.fits(bare) == simulation.simulations(bare) == outputs.table_paths(bare) == []
    assert outputs.card_paths(bare) == [f"results/smoke/datasets/{name}/card.json" for name in ("methanol", "ice")]
    assert training.largest_train_size(bare, "methanol") == 0


def test_plugins_of_the_digests() -> None:
    one = study()
    assert modules.model_plugins(one, "mace-L0-nu2") == ["longhot.models.mace"]
    assert modules.model_plugins(one, "gfn1") == ["longhot.models.nonml", "longhot.references.xtb"]
    assert modules.model_plugins(one, "reference") == ["longhot.models.reference", "longhot.references.xtb"]
    assert modules.dataset_plugins(one, "methanol") == ["longhot.datasets.generate", "longhot.references.xtb"]
    assert modules.reference_plugins(one, None) == []


def test_committees_share_the_reference_as_their_sampler() -> None:
    one = study()
    assert melting_point.samplers(one) == ["reference"]
    assert melting_point.sampler_fits(one, "reference") == []
    assert len(melting_point.member_fits(one, "water", 5)) == 4
    assert training.largest_train_size(one, "ice") == 10


def test_a_committee_that_samples_is_a_sampler_at_each_size() -> None:
    one = study(melting_point__sampler="committee", melting_point__coexistence=None)
    assert melting_point.samplers(one) == ["water-n5", "water-n10"]
    assert melting_point.sampler_fits(one, "water-n5") == melting_point.member_fits(one, "water", 5)


@pytest.mark.parametrize(
    ("changes", "sampler"),
    [
        ({"melting_point__sampler": "committee"}, "a committee"),
        ({"datasets__ice__reference": "gfn2"}, "references.gfn2 of method xtb"),
    ],
)
def test_coexistence_is_refused_where_no_pair_style_of_lammps_samples(changes: dict[str, str], sampler: str) -> None:
    """Before anything runs: its engine alone has constant enthalpy."""
    with pytest.raises(InputError) as caught:
        study(**changes)
    assert str(caught.value) == (
        "melting_point.coexistence: needs constant enthalpy, which a reference of method lammps alone can run, "
        f"and {sampler} samples here: remove the block"
    )
    assert melting_point.coexistence_paths(study(**changes, melting_point__coexistence=None), "reference") == []


def test_a_member_runs_its_own_interface_where_asked() -> None:
    own = {"train_sizes": [10], "seeds": [2], "cells": [[1, 2, 4]], "temperatures_K": [270]}
    one = study(melting_point__member_pinning=own)
    small, large = melting_point.committees(one)
    assert melting_point.member_samplers(one, small) == {}
    assert melting_point.member_samplers(one, large) == {2: "water-n10-seed2"}
    assert melting_point.sampler_fits(one, "water-n10-seed2") == [melting_point.member_fits(one, "water", 10)[2]]
    (path,) = melting_point.pinned_paths(one, "water-n10-seed2")
    assert path.endswith("water-n10-seed2/interfaces/1x2x4-T270/pinned.npz")


def test_a_member_stays_with_the_cells_of_the_sampler() -> None:
    own = {"train_sizes": [10], "cells": [[1, 2, 5]], "temperatures_K": [270]}
    with pytest.raises(InputError, match=r"^melting_point\.member_pinning\.cells: \[1, 2, 5\] not in .*size effect"):
        study(melting_point__member_pinning=own)


@pytest.mark.parametrize("question", ["recheck", "start_set"])
def test_no_md_no_settings(question: str) -> None:
    assert not getattr(simulation, question)(study(robustness=None))
    assert getattr(simulation, question)(study())
    assert simulation.protocol(study(robustness=None), "gfn1") == {}


def test_rounds_share_their_start_and_wait_for_the_one_before() -> None:
    one = study()
    jobs = [(job["strategy"], job["round"]) for job in active_learning.rounds(one)]
    loops = [("random", 1), ("random", 2), ("uncertain_diverse", 1), ("uncertain_diverse", 2)]
    assert jobs == [("start", 0), *loops]
    folder = "results/smoke/active_learning"
    before = [
        active_learning.round_before(one, SimpleNamespace(study="smoke", strategy=strategy, round=str(number)))
        for strategy, number in jobs[:3]
    ]
    assert before == [[], [f"{folder}/start/round0/records.json"], [f"{folder}/random/round1/records.json"]]
    assert active_learning.initial_subsets(one) == [
        f"results/smoke/subsets/methanol/seed{seed}/n10.json" for seed in (0, 1)
    ]
    assert active_learning.online_traces(one) == [f"{folder}/online/trace.csv"]
    assert active_learning.online_traces(study(active_learning__online=None)) == []
    assert (
        active_learning.rounds(study(active_learning=None))
        == active_learning.online_traces(study(active_learning=None))
        == []
    )


def test_loop_compiles_where_its_fits_do() -> None:
    one = study(models__mace__compile="always")
    assert active_learning.loop_compile_cache(one) == ["results/smoke/compiled/methanol/mace-L0-nu2"]
    assert active_learning.loop_compile_cache(study()) == []
    assert active_learning.loop_compile_cache(study(active_learning=None)) == []


def test_batches_of_the_loop_are_compiled_where_all_its_md_is_long() -> None:
    """Two seeds, two strategies of two rounds and one that they share: ten runs."""
    long_enough = {"robustness": None, "active_learning__protocol__duration_ps": 0.3}
    assert simulation.md_replicas_to_compile(study(**long_enough), "methanol", "mace-L0-nu2") == [2]
    short = {"robustness": None, "active_learning__protocol__duration_ps": 0.2}
    assert simulation.md_replicas_to_compile(study(**short), "methanol", "mace-L0-nu2") == []
