"""Two studies side by side: what is the same, what lies within its error bar, what moved."""

from __future__ import annotations

import csv
from pathlib import Path

import finished_studies
import numpy as np
import pandas as pd
import pytest
from finished_studies import melting_points, stability

from longhot.block import InputError
from longhot.plan.outputs import MAP_TABLES, TABLES
from longhot.reproduction import __main__ as report_diff
from longhot.reproduction import bars, origins, text
from longhot.reproduction.compare import Comparison, compare, read_tables, unequal
from longhot.reproduction.contracts import CONTRACTS
from longhot.reproduction.study import reproduce, study_of

CURVE = {"dataset": "methanol", "model": "mace", "train_size": 10, "test_set": "test"}


def as_text(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {name: table.astype(object).where(table.notna(), "").astype(str) for name, table in tables.items()}


def compared(name: str, first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    return compare(as_text({name: first}), as_text({name: second}))


def verdicts(comparison: Comparison, column: str) -> list[str]:
    return [one.verdict for one in comparison.findings if one.column == column]


def curves(errors: dict[int, float], **changes: object) -> pd.DataFrame:
    """Test error by seed, with the wall time that no two runs share."""
    rows = [
        {
            **CURVE,
            "seed": seed,
            "force_mae_meV_per_A": error,
            "train_wall_s": np.random.default_rng().random(),
            **changes,
        }
        for seed, error in errors.items()
    ]
    return pd.DataFrame(rows)


# Known answers


@pytest.mark.parametrize("name", [*MAP_TABLES, *(name for names in TABLES.values() for name in names)])
def test_every_table_says_what_its_rows_are_about(name: str) -> None:
    assert CONTRACTS[name].keys


def test_a_shift_of_three_sigma_is_found_and_one_of_a_third_is_not() -> None:
    moved = compared("melting_point", melting_points(), melting_points(shift_K=6.0))
    assert verdicts(moved, "melting_point_K") == ["moved", "moved"]
    assert [one.bar for one in moved.differences] == pytest.approx([1.96 * np.hypot(2, 2)] * 2, rel=1e-3)
    assert moved.differences[0].judged_by == "sampling_error_K"
    within = compared("melting_point", melting_points(), melting_points(shift_K=0.6))
    assert verdicts(within, "melting_point_K") == ["within", "within"]
    assert within.differences == []


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [(0.97, 0.96, "within"), (0.01, 0.03, "within"), (0.97, 0.6, "moved"), (0.01, 0.3, "moved")],
)
def test_the_ice_like_share_is_judged_as_a_share_of_the_sites(first: float, second: float, verdict: str) -> None:
    """By Newcombe's interval of 96 sites: relative to a share of nothing, any would have moved."""
    ids = {"dataset": "ice", "sampler": "reference", "phase": "solid", "temperature_K": 270.0, "n_sites": 96}
    tables = [pd.DataFrame([{**ids, "crystalline_share": share}]) for share in (first, second)]
    assert verdicts(compared("phases", *tables), "crystalline_share") == [verdict]


def test_phases_that_left_no_frame_are_compared_too() -> None:
    ids = {"dataset": "ice", "sampler": "reference", "phase": "solid", "temperature_K": 270.0, "n_sites": 96}
    lost = pd.DataFrame([{**ids, "crystalline_share": np.nan, "valid": False}])
    assert compared("phases", lost, lost).differences == []


def test_equal_tables_are_identical_whatever_they_cost() -> None:
    later = stability().assign(wall_s=99.0)
    comparison = compared("stability", stability(), later)
    assert {one.verdict for one in comparison.findings} == {"identical"}
    assert unequal(as_text({"stability": stability()}), as_text({"stability": later})) == []


def test_the_outcome_of_a_number_that_is_no_longer_valid_is_named() -> None:
    first = melting_points()
    second = first.assign(valid=[True, False])
    (changed,) = compared("melting_point", first, second).differences
    assert (changed.verdict, changed.first, changed.second) == ("outcome changed", "True", "False")
    assert "estimate=coexistence" in changed.row


def test_one_flipped_trajectory_is_named_and_judged_by_the_share() -> None:
    comparison = compared("stability", stability(), stability("completed bond_broken bond_broken completed"))
    (flip,) = [one for one in comparison.findings if one.verdict == "by chance"]
    assert "replica=1" in flip.row
    assert (flip.column, flip.first, flip.second) == ("outcome", "completed", "bond_broken")
    assert comparison.differences == []


def test_trajectories_that_all_end_otherwise_moved() -> None:
    comparison = compared("stability", stability("completed " * 8), stability("overlap " * 8))
    assert {one.row.rpartition(" ")[2] for one in comparison.differences} == {"outcome=completed", "outcome=overlap"}


def test_a_missing_row_is_named_and_so_is_a_new_one() -> None:
    first = melting_points()
    for one, other, verdict in ((first, first[1:], "missing"), (first[1:], first, "new")):
        (found,) = compared("melting_point", one, other).differences
        assert (found.verdict, found.row) == (verdict, "dataset=ice model=reference train_size=0 estimate=pinning")


def test_a_repeat_that_is_missing_is_named_where_both_have_the_same_seeds() -> None:
    both = pd.concat([curves({0: 50.0, 1: 51.0}), curves({0: 40.0, 1: 41.0}, train_size=20)])
    (missing,) = compared("learning_curves", both, both[:3]).differences
    assert missing.row.endswith("train_size=20 test_set=test seed=1")


def test_a_table_that_is_missing_is_named() -> None:
    tables = as_text({"melting_point": melting_points(), "stability": stability()})
    (missing,) = compare(tables, {"stability": tables["stability"]}).differences
    assert (missing.table, missing.verdict) == ("melting_point", "missing")


def test_other_seeds_are_judged_by_the_spread_over_them() -> None:
    first, near, far = (
        curves(dict(zip(seeds, errors, strict=True)))
        for seeds, errors in (
            (range(4), (50.0, 52.0, 48.0, 51.0)),
            (range(4, 8), (51.0, 53.0, 49.0, 50.0)),
            (range(4, 8), (81.0, 83.0, 79.0, 80.0)),
        )
    )
    assert verdicts(compared("learning_curves", first, near), "force_mae_meV_per_A") == ["within"]
    (moved,) = compared("learning_curves", first, far).differences
    assert moved.judged_by == "spread over 4 and 4 of seed"
    assert float(moved.second) == pytest.approx(80.75)


def test_members_share_the_error_of_the_run_that_they_correct() -> None:
    """Eight members off by 4 K all alike are within the 2 K of each study's pinned run, however well they agree."""
    members = pd.concat([melting_points().head(1)] * 8).assign(
        model="water", train_size=32, member=range(8), method="reweighting", sampling_error_K=0.03
    )
    first = pd.concat([melting_points(), members], ignore_index=True)
    second = first.assign(melting_point_K=first["melting_point_K"] + 4.0)
    comparison = compared("melting_point", first, second)
    assert set(verdicts(comparison, "melting_point_K")) == {"within"}


def test_numbers_that_are_not_valid_are_not_judged() -> None:
    first, second = melting_points().assign(valid=False), melting_points(shift_K=300.0).assign(valid=False)
    assert compared("melting_point", first, second).differences == []


def test_a_number_without_error_bar_is_judged_by_its_relative_difference() -> None:
    first = curves({0: 50.0})
    for error, verdict in ((53.0, "within"), (57.0, "moved")):
        comparison = compared("learning_curves", first, curves({0: error}))
        assert verdicts(comparison, "force_mae_meV_per_A") == [verdict]
        assert "no error bar" in comparison.findings[-1].judged_by


def test_rows_that_chance_makes_are_named_and_not_counted() -> None:
    recheck = pd.DataFrame(
        [
            {
                "dataset": "methanol",
                "model": "mace",
                "train_size": 10,
                "temperature_K": 300.0,
                "seed": 0,
                "replica": 0,
                "choice": choice,
                "reference": "gfn2",
                "force_mae_meV_per_A": 50.0,
            }
            for choice in ("even", "before_failure")
        ]
    )
    comparison = compared("recheck", recheck, recheck[:1])
    assert comparison.differences == []
    assert [one.row.split()[-2] for one in comparison.findings if one.verdict == "by chance"] == [
        "choice=before_failure"
    ]


def test_a_table_of_another_version_is_one_sentence() -> None:
    table = melting_points().drop(columns="method")
    with pytest.raises(InputError, match="another version wrote it"):
        compared("melting_point", table, table)


# Error bars mean what they say


def test_one_number_in_twenty_lies_outside_by_chance_and_jointly_none() -> None:
    """Both studies draw all numbers from the same truth with the error that they state."""
    rng, n = np.random.default_rng(5), 800
    keys = {"dataset": "ice", "sampler": "reference", "method": "pinning", "cell": range(n), "temperature_K": 275}
    first, second = (
        pd.DataFrame({**keys, "delta_mu_meV": rng.normal(0, 0.4, n), "sampling_error_meV": 0.4}) for _ in range(2)
    )
    outside = len(compared("interfaces", first, second).differences) / n
    assert outside == pytest.approx(0.05, abs=0.02)
    tables = as_text({"interfaces": first}), as_text({"interfaces": second})
    assert compare(*tables, jointly=True).differences == []
    second.loc[0, "delta_mu_meV"] = first.loc[0, "delta_mu_meV"] + 7 * 0.4
    (found,) = compare(tables[0], as_text({"interfaces": second}), jointly=True).differences
    assert "cell=0" in found.row


@pytest.mark.parametrize("n", [2, 4, 10])
def test_means_over_seeds_are_not_said_to_move_too_often(n: int) -> None:
    rng, repeats = np.random.default_rng(n), 1000
    draws = rng.normal(0, 1, (2, repeats, n))
    outside = 0
    for one, other in zip(*draws, strict=True):
        widths = (bars.of_spread(tuple(one), 0.95), bars.of_spread(tuple(other), 0.95))
        outside += abs(other.mean() - one.mean()) > bars.of_difference(one.mean(), other.mean(), *widths)
    assert outside / repeats <= 0.06


@pytest.mark.parametrize(("n", "share"), [(8, 0.1), (8, 0.5), (32, 0.8)])
def test_shares_are_not_said_to_move_too_often(n: int, share: float) -> None:
    counts = np.random.default_rng(n).binomial(n, share, (2000, 2)).tolist()
    outside = sum(
        abs(b - a) / n > bars.of_difference(a / n, b / n, bars.of_share(a, n, 0.95), bars.of_share(b, n, 0.95))
        for a, b in counts
    )
    assert outside / len(counts) <= 0.06


def test_intervals_of_counts_and_shares_have_their_known_ends() -> None:
    low, high = bars.of_count(0, 0.95)
    assert (low, high) == pytest.approx((0.0, 3.689), abs=1e-3)
    low, high = bars.of_count(10, 0.95)
    assert (10 - low, 10 + high) == pytest.approx((4.795, 18.390), abs=1e-3)
    low, high = bars.of_share(8, 8, 0.95)
    assert (1 - low, 1 + high) == pytest.approx((0.6756, 1.0), abs=1e-4)


# What the studies were made with


def test_what_differs_between_two_manifests_is_listed() -> None:
    first = finished_studies.manifest()
    second = finished_studies.manifest(
        code_sha256="cd" * 32,
        versions__torch="2.14.0",
        machine__processor="Intel Xeon",
        seeds__robustness=[1],
        config__robustness__protocol__duration_ps=0.2,
        config__study__name="other",
        total={"core_s": 99.0},
    )
    assert origins.differences(first, first) == []
    assert [str(one) for one in origins.differences(first, second)] == [
        "config: robustness.protocol.duration_ps 0.1 -> 0.2",
        "code: abababababababab -> cdcdcdcdcdcdcdcd",
        "versions: torch 2.13.0 -> 2.14.0",
        "machine: processor AMD EPYC -> Intel Xeon",
        "seeds: robustness [0] -> [1]",
    ]


@pytest.mark.parametrize(
    ("key", "value", "may_differ"),
    [
        ("machine__system", "Linux-6.9-x86_64-with-glibc2.36", False),
        ("machine__system", "Linux-6.1-x86_64-with-glibc2.40", True),
        ("machine__cores", 4, True),
        ("versions__torch", "2.14.0", True),
        ("code_sha256", "cd" * 32, True),
    ],
)
def test_digits_must_agree_only_on_the_same_machine_with_the_same_code(
    key: str, value: object, may_differ: bool
) -> None:
    found = origins.differences(finished_studies.manifest(), finished_studies.manifest(**{key: value}))
    assert bool(origins.why_not_identical(found, ["cpu"])) == may_differ
    assert origins.why_not_identical([], ["cuda"]) != []


# The command


def test_the_command_lists_what_moved_and_exits_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = finished_studies.write(tmp_path / "first")
    tables = {"stability": stability(), "melting_point": melting_points(6.0)}
    second = finished_studies.write(tmp_path / "second", tables, versions__torch="2.14.0")
    assert report_diff.main([str(first), str(first), str(tmp_path / "same")]) == 0
    assert "Nothing moved" in capsys.readouterr().out
    assert report_diff.main([str(first), str(second), str(tmp_path / "diff")]) == 1
    said = capsys.readouterr().out
    assert "versions: torch 2.13.0 -> 2.14.0" in said
    assert (
        "melting_point: dataset=ice model=reference train_size=0 estimate=pinning: melting_point_K 275 -> 281" in said
    )
    assert (tmp_path / "diff.txt").read_text(encoding="utf-8") == said.removesuffix("\n")
    with (tmp_path / "diff.csv").open(encoding="utf-8") as handle:
        counted = [row for row in csv.DictReader(handle) if row["counted"] == "True"]
    assert {row["column"] for row in counted} == {"melting_point_K"}


def test_the_command_says_in_a_sentence_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished_studies.write(tmp_path / "first")
    (folder / "manifest.json").unlink()
    assert report_diff.main([str(folder), str(tmp_path / "nowhere"), "diff"]) == 2
    assert "no finished study" in capsys.readouterr().err
    assert report_diff.main(["", "", "diff"]) == 2
    assert "Usage: make report-diff A=" in capsys.readouterr().out


def test_many_rows_of_one_kind_share_a_line() -> None:
    level = pd.DataFrame(
        {**CURVE, "scope": "md", "quantity": "energy", "spread": "raw", "expected": range(20)} | {"x": 1}
    )
    listed = text.difference(Path("a"), Path("b"), [], compared("reliability", level, level[:0]))
    assert "expected=0 and 19 rows like it" in listed


# A study run again


def test_every_digit_is_demanded_of_the_same_machine(tmp_path: Path) -> None:
    stored, again = finished_studies.write(tmp_path / "stored"), finished_studies.write(tmp_path / "again")
    reproduced, said = reproduce(stored, again)
    assert reproduced
    assert "REPRODUCED to the last digit" in said
    melting_points(shift_K=1e-9).to_csv(again / "tables" / "melting_point.csv", index=False)
    reproduced, said = reproduce(stored, again)
    assert not reproduced
    assert "275.0 -> 275.000000001" in said
    assert "By their error bars, all of these are within what chance allows." in said
    assert "275.000000001" in (again / "reproduction.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(("shift_K", "expected"), [(3.0, True), (30.0, False)])
def test_error_bars_are_demanded_of_another_machine(shift_K: float, expected: bool, tmp_path: Path) -> None:
    stored = finished_studies.write(tmp_path / "stored")
    tables = {"stability": stability(), "melting_point": melting_points(shift_K)}
    again = finished_studies.write(tmp_path / "again", tables, machine__processor="Intel Xeon")
    reproduced, said = reproduce(stored, again)
    assert reproduced is expected
    assert "machine: processor AMD EPYC -> Intel Xeon" in said
    assert ("NOT REPRODUCED: 2 differences" in said) != expected


def test_a_study_is_run_again_beside_the_stored_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finished_studies.write(tmp_path / "results" / "smoke")
    study, against = study_of(finished_studies.CONFIG, check=True)
    assert (study.study.name, against) == ("smoke", None)
    study, against = study_of({**finished_studies.CONFIG, "against": "results/smoke"}, check=True)
    assert (study.study.name, against) == ("smoke-reproduced", "results/smoke")


@pytest.mark.parametrize(
    ("against", "sentence"),
    [
        ("nowhere", "against: nowhere: no such file or folder"),
        ("results/unfinished", "against: results/unfinished: holds no manifest.json or no tables"),
        ("results/smoke-reproduced", "against: results/smoke-reproduced is where the study is run again"),
        (
            "results/other",
            "against: results/other is another study: robustness.protocol.replicas is 8 there and 4 here",
        ),
        ("results/old", "a config that this version does not know: "),
        ("results/torn", "the manifest is damaged"),
        ("torn.zip", "against: torn.zip: damaged or no zip file"),
    ],
)
def test_what_cannot_be_reproduced_is_said_before_any_work(
    against: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "unfinished").mkdir(parents=True)
    finished_studies.write(tmp_path / "results" / "smoke-reproduced")
    finished_studies.write(tmp_path / "results" / "other", config__robustness__protocol__replicas=8)
    finished_studies.write(tmp_path / "results" / "old", config__robustness__protocol__replica_count=8)
    torn = finished_studies.write(tmp_path / "results" / "torn")
    (torn / "manifest.json").write_text('{"config": ', encoding="utf-8")
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"^against: ") as raised:
        study_of({**finished_studies.CONFIG, "against": against}, check=True)
    assert sentence in str(raised.value)
    study_of({**finished_studies.CONFIG, "against": against}, check=False)


def test_tables_are_read_as_text(tmp_path: Path) -> None:
    folder = finished_studies.write(tmp_path / "study")
    table = read_tables(folder / "tables")["stability"]
    assert table["simulated_ps"].tolist() == ["0.1"] * 4
