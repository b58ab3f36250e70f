"""The report card: each model against the tolerances of the config, with intervals and coverage, from tables alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longhot.config import REFERENCE_MODEL, Report
from longhot.dynamics.statistics import kaplan_meier
from longhot.dynamics.tables import failed
from longhot.report.columns import EXACT, EXPLODED, NOT_CONVERGED, NOT_RUN, kind_of
from longhot.report.learning_curves_verdict import BASELINE_FAMILY, main_test_set
from longhot.report.rows import reason_of, rows_of
from longhot.report.statements import is_false, number

if TYPE_CHECKING:
    import pandas as pd

    Tables = dict[str, pd.DataFrame]

Verdict = Literal["met", "not met", "cannot tell", "no limit", "no number"]
SYMBOLS: dict[Verdict, str] = {"met": "✓", "not met": "✗", "cannot tell": "?", "no limit": "", "no number": "–"}

CONTROL = "the reference itself"
"""Where there is no number since there is nothing to judge."""
HOT = "test_hot"
ENERGY, FORCES = "energy_mae_meV_per_atom", "force_mae_meV_per_A"
OVER_SEEDS = (
    "Mean over the seeds; the interval is Student's for their logarithms: it knows how seeds differ, and nothing of "
    "other test frames."
)
CALIBRATED_QUANTITY = "force_per_atom_meV_per_A"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Criterion:
    """What is judged: its tolerance's key, how it is called, and what it means."""

    key: str
    label: str
    unit: str
    meaning: str
    is_least: bool = False
    """Whether more is better."""

    @property
    def direction(self) -> str:
        """How the tolerance is to be read."""
        return "at least" if self.is_least else "at most"


@dataclass(frozen=True)
class Score:
    """One number of one model at one training size."""

    train_size: int
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    coverage: str = ""
    """What the number is over, such as ``150 of 150 frames``."""
    remark: str = ""
    kind: str = ""
    """The type of the reason why there is no number."""
    reason: str = ""
    """The reason itself."""

    @property
    def text(self) -> str:
        """The value and its interval, or why there is none."""
        if np.isnan(self.value):
            return self.kind
        interval = f" [{number(self.low)}, {number(self.high)}]" if np.isfinite(self.low) else ""
        return f"{number(self.value)}{interval}"

    def judge(self, tolerance: float | None, is_least: bool) -> Verdict:
        """Whether the number is within a tolerance; where its interval straddles it, that cannot be told."""
        if np.isnan(self.value) and self.kind != EXPLODED:
            return "no number"
        if tolerance is None:
            return "no limit"
        if self.kind == EXPLODED:
            return "not met"
        low, high = (self.low, self.high) if np.isfinite(self.low) else (self.value, self.value)
        worst, best = (low, high) if is_least else (high, low)
        sign = -1 if is_least else 1
        if sign * worst <= sign * tolerance:
            return "met"
        return "not met" if sign * best > sign * tolerance else "cannot tell"


@dataclass(frozen=True)
class CardCell:
    """The scores of one model by one criterion, by training size, judged."""

    criterion: Criterion
    scores: list[Score]
    tolerance: float | None

    @property
    def shown(self) -> Score:
        """The score at the largest training size."""
        return self.scores[-1]

    @property
    def verdict(self) -> Verdict:
        """The judgement of the largest training size."""
        return self.shown.judge(self.tolerance, self.criterion.is_least)

    @property
    def symbol(self) -> str:
        """The judgement as a sign."""
        return SYMBOLS[self.verdict]

    @property
    def met_from(self) -> int | None:
        """The smallest training size from which on all sizes are within the tolerance, where it is not the largest."""
        smallest = None
        for score in reversed(self.scores):
            if score.judge(self.tolerance, self.criterion.is_least) != "met":
                break
            smallest = score.train_size
        return smallest if smallest != self.shown.train_size else None

    @property
    def data(self) -> str:
        """Training size, value, ends of the interval and whether it exploded, of each score: for the page's script."""
        return json.dumps(
            [
                [one.train_size, *(_plain(value) for value in (one.value, one.low, one.high)), one.kind == EXPLODED]
                for one in self.scores
            ]
        )


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


@dataclass(frozen=True)
class CardRow:
    """One model on one dataset."""

    model: str
    cells: list[CardCell]

    @property
    def is_control(self) -> bool:
        """Whether this is the reference itself."""
        return self.model == REFERENCE_MODEL

    @property
    def train_size(self) -> int:
        """The largest training size of any of its numbers; 0 where it needs no training."""
        return max(cell.shown.train_size for cell in self.cells)

    @property
    def n_met(self) -> int:
        """How many tolerances the model meets."""
        return sum(cell.verdict == "met" for cell in self.cells)


@dataclass(frozen=True)
class Card:
    """All models on one dataset."""

    dataset: str
    criteria: list[Criterion]
    rows: list[CardRow]
    limits: dict[str, float | None]

    def rank_text(self, row: CardRow) -> str:
        """Place of a model by how many tolerances it meets, from 1; equals share a place, the control has none."""
        if row.is_control:
            return "–"
        return str(1 + sum(other.n_met > row.n_met for other in self.rows if not other.is_control))


@dataclass(frozen=True)
class ReportCard:
    """The cards of all datasets, and what they are judged by."""

    cards: list[Card]
    ranking: bool

    @property
    def has_tolerances(self) -> bool:
        """Whether the config sets any."""
        return any(one is not None for card in self.cards for one in card.limits.values())

    @property
    def criteria(self) -> list[Criterion]:
        """The criteria of any card, without repeats."""
        return list(dict.fromkeys(one for card in self.cards for one in card.criteria))


def report_card(tables: Tables, report: Report) -> ReportCard | None:
    """The report card of a study; None where it has nothing to judge.

    Args:
        tables: by name.
        report: the block of the config.
    """
    cards = [card for dataset in _datasets(tables) if (card := _card(tables, dataset, report)) is not None]
    return ReportCard(cards, report.ranking) if cards else None


JUDGED_TABLES = ("learning_curves", "survival", "melting_point_summary")


def _datasets(tables: Tables) -> list[str]:
    return list(dict.fromkeys(one for name in JUDGED_TABLES if name in tables for one in tables[name]["dataset"]))


def _card(tables: Tables, dataset: str, report: Report) -> Card | None:
    own = {name: rows_of(table, dataset=dataset) for name, table in tables.items() if "dataset" in table}
    named = (own[name]["model"] for name in JUDGED_TABLES if name in own)
    models = sorted(dict.fromkeys(one for names in named for one in names), key=lambda one: one != REFERENCE_MODEL)
    found = {criterion: _scores(score, own, models, report) for criterion, score in _criteria(own, report).items()}
    asked = {one: scores for one, scores in found.items() if any(scores.values())}
    rows, limits = [], report.limits(dataset)
    for model in models:
        cells = [CardCell(one, scores[model] or [_nothing(model)], limits[one.key]) for one, scores in asked.items()]
        if any(scores[model] for scores in asked.values()):
            rows.append(CardRow(model, cells))
    return Card(dataset, list(asked), rows, limits) if asked else None


Scorer = Callable[["Tables", str, Report], list[Score]]


def _scores(score: Scorer, own: Tables, models: Sequence[str], report: Report) -> dict[str, list[Score]]:
    return {model: score(own, model, report) for model in models}


def _nothing(model: str) -> Score:
    """A criterion that a model was not asked for."""
    if model == REFERENCE_MODEL:
        return Score(0, kind=CONTROL, reason="The control has no error against itself.")
    return Score(0, kind=NOT_RUN, reason="The config does not ask this of the model.")


def _criteria(own: Tables, report: Report) -> dict[Criterion, Scorer]:
    """What is judged on a dataset, in reading order, and the function that scores it."""
    survival, curves = own.get("survival"), own.get("learning_curves")
    where = until = ""
    if survival is not None and len(survival):
        where = f" at {_temperature_K(own, report):g} K"
        until = f"{where}, {_time_ps(own, report):g} ps"
    test = "the test set"
    if curves is not None and len(curves):
        test = f"test set {main_test_set(list(curves['test_set'].unique()))}"
    return {
        Criterion("energy_mae_meV_per_atom", f"Energy MAE on {test}", "meV/atom", OVER_SEEDS): _static(ENERGY),
        Criterion("force_mae_meV_per_A", f"Force MAE on {test}", "meV/Å", OVER_SEEDS): _static(FORCES),
        Criterion("hot_force_mae_meV_per_A", f"Force MAE on test set {HOT}", "meV/Å", OVER_SEEDS): _static(FORCES, HOT),
        Criterion(
            "md_force_mae_meV_per_A",
            f"Force MAE in its own MD{where}",
            "meV/Å",
            "Against the reference, on frames spread evenly over the trajectories; the interval takes trajectories, "
            "not frames, to be independent.",
        ): _in_md,
        Criterion(
            "survival_share",
            f"Survival{until}",
            "share",
            f"Kaplan-Meier estimate with its interval ({EXACT}).",
            is_least=True,
        ): _survival,
        Criterion(
            "failures_per_ns",
            f"Failures{where}",
            "1/ns",
            f"Failures over the time simulated, with the Poisson interval ({EXACT}).",
        ): _failures,
        Criterion(
            "melting_point_error_K",
            "Error of the melting point",
            "K",
            "Distance of the mean over the members from the reference's melting point, whose own error cancels; the "
            "interval is that of the mean over the members and of the sampling.",
        ): _melting,
        Criterion(
            "miscalibration_area",
            "Miscalibration of forces",
            "area",
            "Area between the observed and the expected share of force errors on frames of MD, by the calibrated "
            "spread where there is one: 0 at best, 0.5 at worst. It has no interval.",
        ): _miscalibration,
    }


def _temperature_K(own: Tables, report: Report) -> float:
    return report.temperature_K or float(own["survival"]["temperature_K"].max())


def _time_ps(own: Tables, report: Report) -> float:
    return report.survival_time_ps or float(own["survival"]["end_ps"].max())


def _static(column: str, test_set: str | None = None) -> Scorer:
    """Scores of a static error by training size, on the main test set or a named one."""

    def score(own: Tables, model: str, report: Report) -> list[Score]:
        curves = own.get("learning_curves")
        if curves is None or curves.empty:
            return _members_error(own, model) if (column, test_set) == (FORCES, None) else []
        wanted = test_set or main_test_set(list(curves["test_set"].unique()))
        rows = rows_of(curves, model=model, test_set=wanted)
        return [_of_fits(int(size), group, column) for size, group in rows.groupby("train_size")]

    return score


def _of_fits(size: int, fits: pd.DataFrame, column: str) -> Score:
    values = fits[column].dropna().to_numpy(float)
    if not len(values):
        reason = reason_of(fits) or "no number"
        return Score(size, kind=kind_of(reason), reason=reason)
    n_ok, n_failed = (int(fits[name].sum()) for name in ("n_test_frames", "n_test_frames_failed"))
    coverage = f"{n_ok} of {n_ok + n_failed} frames by {len(values)} of {len(fits)} fits"
    is_baseline = fits["family"].iloc[0] == BASELINE_FAMILY
    n_open = 0 if is_baseline else int(fits["converged"].map(is_false).sum())
    remarks = [f"{n_open} of {len(fits)} fits {NOT_CONVERGED}"] if n_open else []
    if len(values) == 1:
        remarks.append("one seed, so no interval")
    return Score(size, float(values.mean()), *_log_interval(values), coverage, "; ".join(remarks))


def _log_interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean, taken on logarithms, as errors are positive; NaN where nothing differs."""
    if len(values) < 2 or np.ptp(values) == 0 or (values <= 0).any():
        return np.nan, np.nan
    logs = np.log(values)
    half = _quantile(len(values) - 1) * logs.std(ddof=1) / np.sqrt(len(values))
    # Around the mean that is shown, which lies a little above that of the logarithms.
    return float(values.mean() * np.exp(-half)), float(values.mean() * np.exp(half))


def _quantile(degrees_of_freedom: int) -> float:
    from scipy.stats import t as student

    return float(student.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom))


def _members_error(own: Tables, model: str) -> list[Score]:
    """The force error of committees, where the study fitted them for a melting point alone."""
    summary = own.get("melting_point_summary")
    if summary is None:
        return []
    return [
        Score(
            int(row["train_size"]),
            row["force_mae_meV_per_A"],
            coverage=f"mean over {row['n_members']:g} members",
            remark="no interval",
        )
        for _, row in rows_of(summary, model=model).sort_values("train_size").iterrows()
        if np.isfinite(row["force_mae_meV_per_A"])
    ]


def _in_md(own: Tables, model: str, report: Report) -> list[Score]:
    recheck, robustness = own.get("recheck"), own.get("robustness")
    if recheck is None or robustness is None or model == REFERENCE_MODEL:
        return []
    temperature_K = _temperature_K(own, report)
    even = rows_of(recheck, model=model, temperature_K=temperature_K, choice="even")
    asked = rows_of(robustness, model=model, temperature_K=temperature_K)
    return [
        _of_trajectories(int(row["train_size"]), rows_of(even, train_size=row["train_size"]), row)
        for _, row in asked.sort_values("train_size").iterrows()
    ]


def _of_trajectories(size: int, frames: pd.DataFrame, robustness: pd.Series) -> Score:
    """Mean error over frames, with an interval over trajectories."""
    labelled = frames.dropna(subset=["force_mae_meV_per_A"])
    if labelled.empty:
        statuses = " ".join(frames["reference_status"].astype(str)) if len(frames) else "all failed at once"
        return Score(size, kind=kind_of(statuses), reason=str(robustness["reason"] or statuses))
    mean = float(labelled["force_mae_meV_per_A"].mean())
    deviations = (labelled["force_mae_meV_per_A"] - mean).groupby([labelled["seed"], labelled["replica"]]).sum()
    n_trajectories = len(deviations)
    low = high = np.nan
    if n_trajectories > 1:
        variance = n_trajectories / (n_trajectories - 1) * float((deviations**2).sum()) / len(labelled) ** 2
        half = _quantile(n_trajectories - 1) * np.sqrt(variance)
        low, high = max(0.0, mean - half), mean + half
    coverage = f"{len(labelled)} of {len(frames)} frames of {n_trajectories} trajectories"
    return Score(size, mean, low, high, coverage)


def _md_groups(own: Tables, model: str, report: Report) -> list[tuple[int, pd.Series]]:
    """Rows of survival.csv of a model at the temperature that is judged, by training size."""
    survival = own.get("survival")
    if survival is None:
        return []
    rows = rows_of(survival, model=model, temperature_K=_temperature_K(own, report)).sort_values("train_size")
    return [(int(row["train_size"]), row) for _, row in rows.iterrows()]


def _survival(own: Tables, model: str, report: Report) -> list[Score]:
    scores = []
    for size, row in _md_groups(own, model, report):
        time_ps = _time_ps(own, report)
        runs = rows_of(own["stability"], model=model, train_size=size, temperature_K=row["temperature_K"])
        lived_ps, is_failure = runs["simulated_ps"].to_numpy(float), failed(runs).to_numpy()
        curve = kaplan_meier(lived_ps, is_failure)
        at = curve[curve["time_ps"] <= time_ps].iloc[-1]
        n_known = int((is_failure | (lived_ps >= time_ps * (1 - 1e-9))).sum())
        coverage = f"{n_known} of {len(runs)} trajectories followed to the end"
        scores.append(Score(size, at["survival"], at["ci_low"], at["ci_high"], coverage))
    return scores


def _failures(own: Tables, model: str, report: Report) -> list[Score]:
    scores = []
    for size, row in _md_groups(own, model, report):
        coverage = f"{row['n_replicas']:g} trajectories, {number(row['simulated_ps'])} ps in all"
        if np.isnan(row["failure_rate_per_ns"]):
            scores.append(Score(size, coverage=coverage, kind=EXPLODED, reason=str(row["reason"])))
            continue
        interval = (row["failure_rate_ci_low"], row["failure_rate_ci_high"])
        scores.append(Score(size, row["failure_rate_per_ns"], *interval, coverage))
    return scores


def _melting(own: Tables, model: str, report: Report) -> list[Score]:
    summary = own.get("melting_point_summary")
    if summary is None:
        return []
    scores = []
    for _, row in rows_of(summary, model=model).sort_values("train_size").iterrows():
        size, n_valid = int(row["train_size"]), int(row["n_valid"])
        gap = abs(row["melting_point_K"] - row["reference_melting_point_K"])
        coverage = f"{n_valid} of {row['n_members']:g} members"
        if np.isnan(gap):
            reason = str(row["reason"])
            scores.append(Score(size, coverage=coverage, kind=kind_of(reason), reason=reason))
            continue
        low = high = np.nan
        if n_valid > 1 and np.isfinite(row["sampling_error_K"]):
            of_mean_K = _quantile(n_valid - 1) * row["committee_std_K"] / np.sqrt(n_valid)
            half = np.hypot(of_mean_K, 1.96 * row["sampling_error_K"])
            low, high = max(0.0, gap - half), gap + half
        scores.append(Score(size, gap, low, high, coverage))
    return scores


def _miscalibration(own: Tables, model: str, report: Report) -> list[Score]:
    calibration = own.get("calibration")
    if calibration is None:
        return []
    scores = []
    rows = rows_of(calibration, model=model, scope="md", quantity=CALIBRATED_QUANTITY)
    for _, row in rows.sort_values("train_size").iterrows():
        calibrated, raw = row["miscalibration_area_calibrated"], row["miscalibration_area_raw"]
        coverage = f"{row['n_members']:g} members, {row['n_frames']:g} frames"
        if np.isfinite(calibrated):
            scores.append(Score(int(row["train_size"]), calibrated, coverage=coverage))
        elif np.isfinite(raw):
            scores.append(Score(int(row["train_size"]), raw, coverage=coverage, remark="raw spread"))
        else:
            reason = str(row["reason"])
            scores.append(Score(int(row["train_size"]), kind=kind_of(reason), reason=reason))
    return scores


def report_settings(config: dict[str, Any]) -> Report:
    """The block ``report`` of a resolved config; its defaults where an older study has none."""
    return Report.model_validate(config.get("report", {}))
