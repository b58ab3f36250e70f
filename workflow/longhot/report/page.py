"""The report: one HTML file that opens offline, built from the files that a study left."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from longhot.config import REFERENCE_MODEL
from longhot.files import read_json, write_text
from longhot.report import melting_point_views
from longhot.report.cards import cards
from longhot.report.columns import Column, column
from longhot.report.flags import card_flags, flags
from longhot.report.manifest import duration_text
from longhot.report.statements import Sentence, number
from longhot.report.verdict import BASELINE_FAMILY, main_test_set, mean_errors, verdict
from longhot.report.views import TABLES, Cell, TableView, caption, cell, table_view

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {
    "learning_curves": "Test error against number of training frames on logarithmic axes, one line for each model.",
    "robustness": "Static and MD force error against training size, and force error along the simulation time.",
    "survival": "Share of trajectories that have not failed against simulation time, one line for each training size.",
    "failure_causes": "Stacked bars: share of the trajectories of each model and size that ended in each way.",
    "failures": "Atoms of failed trajectories, some checks before the failure and at it.",
    "committee_spread": "Force error on rechecked frames against committee spread on logarithmic axes.",
    "melting_point": "Chemical potential difference against temperature, and melting points at each training size.",
    "melting_point_by_size": "Error and spread of the melting point against training size and against force error.",
    "reliability": "Observed against expected share of errors within intervals of the spread, raw and calibrated.",
    "rdf": "Radial distribution function of the liquid, and how that of the committees differs.",
    "active_learning": "Errors and survival against the number of labels, one line for each strategy.",
    "active_learning_online": "Estimated and true error against time of a run that learns on the fly, calls marked.",
}
"""Figures in reading order, with the text that stands for them where they cannot be seen."""


def build(study_folder: Path, config: dict[str, Any], out: Path) -> None:
    """Write the report of a study.

    Args:
        study_folder: ``results/<study>`` with ``tables/``, ``figures/``, ``datasets/*/card.json``, ``manifest.json``.
        config: the resolved config.
        out: the HTML file.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    tables = read_tables(study_folder / "tables")
    manifest = read_json(study_folder / "manifest.json")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tie"] = tie
    write_text(
        out,
        environment.get_template("page.html.j2").render(
            study=config["study"],
            date=datetime.datetime.fromtimestamp((study_folder / "manifest.json").stat().st_mtime).strftime("%Y-%m-%d"),
            topics=by_topic(verdict(tables)),
            flags=flags(tables) + card_flags(study_folder / "datasets"),
            figures=figures(study_folder / "figures"),
            overview=overview(tables),
            tables=[table_view(name, tables[name]) for name in table_order(tables)],
            cards=cards(study_folder / "datasets"),
            settings=yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100),
            manifest=manifest,
            stages=sorted(manifest["stages"], key=lambda stage: -stage["core_s"]),
            duration=duration_text,
        ),
    )


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All tables of a study by name."""
    import pandas as pd

    return {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv"))}


def table_order(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Names of the tables, the known ones first."""
    return [name for name in TABLES if name in tables] + sorted(set(tables) - set(TABLES))


def tie(text: str) -> str:
    """Hold numbers and what belongs to them on one line."""
    return re.sub(r"(?<=[\dNLνpτ=<]) (?=(=|<|%|\d|meV|K\b|ps\b|frames\b|of \d))", "\u00a0", text)


def by_topic(sentences: list[Sentence]) -> dict[str, list[Sentence]]:
    """Sentences under their topics, both in the order they came."""
    topics: dict[str, list[Sentence]] = {}
    for sentence in sentences:
        topics.setdefault(sentence.topic, []).append(sentence)
    return topics


def figures(folder: Path) -> list[dict[str, str]]:
    """Inline SVG, title, and caption of each figure."""
    paths = {path.stem: path for path in sorted(folder.glob("*.svg"))}
    order = [name for name in FIGURES if name in paths] + sorted(set(paths) - set(FIGURES))
    return [
        {
            "name": name,
            "svg": inline_svg(paths[name].read_text(encoding="utf-8"), name, FIGURES.get(name, name.replace("_", " "))),
            "caption": caption(name) or FIGURES.get(name) or name.replace("_", " ").capitalize() + ".",
        }
        for name in order
    ]


def inline_svg(text: str, prefix: str, alternative: str) -> str:
    """An SVG file as an element of a page: no prologue, ids of its own, a text alternative."""
    from markupsafe import escape

    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"""\bid=(["'])""", rf"id=\1{prefix}-", text)
    text = re.sub(r"""(href=["']|url\()#""", rf"\1#{prefix}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alternative)}"', 1)


def overview(tables: dict[str, pd.DataFrame]) -> list[TableView]:
    """The tables that a reader wants first: errors by training size, survival, error in MD, melting points."""
    views = []
    curves = tables.get("learning_curves")
    if curves is not None and len(curves):
        for _, of_dataset in curves.groupby("dataset", sort=False):
            views += error_overview(of_dataset, tables.get("learning_curve_slopes"))
    survival = tables.get("survival")
    if survival is not None and len(survival):
        for _, of_dataset in survival.groupby("dataset", sort=False):
            views += [survival_overview(of_dataset), rate_overview(of_dataset)]
    robustness = tables.get("robustness")
    if robustness is not None and len(robustness):
        left_out = ("n_replicas", "n_failed", "run_by", "rechecked_by", "reason")
        kept = [one for one in robustness if one not in left_out]
        views.append(table_view("robustness", robustness[robustness["model"] != REFERENCE_MODEL][kept]))
        agreement = tables["rank_agreement"]
        views.append(table_view("rank_agreement", agreement[agreement["over"] == "fits"]))
    recheck = tables.get("recheck")
    if recheck is not None and len(recheck):
        views.append(recheck_overview(recheck))
    views += melting_point_views.overview(tables)
    comparison = tables.get("active_learning_comparison")
    if comparison is not None and len(comparison):
        views.append(table_view("active_learning_comparison", comparison))
    return views


def error_overview(curves: pd.DataFrame, slopes: pd.DataFrame | None) -> list[TableView]:
    """Force error by model (rows) and training size (columns), one table for each test set of one dataset."""
    errors = mean_errors(curves)
    sets = list(errors["test_set"].unique())
    first = main_test_set(sets)
    dataset = errors["dataset"].iloc[0]
    views = []
    for test_set in [first, *[one for one in sets if one != first]]:
        rows_of_set = errors[errors["test_set"] == test_set]
        sizes = sorted(rows_of_set["train_size"].unique())
        smallest = rows_of_set[rows_of_set["family"] != BASELINE_FAMILY].groupby("train_size")["mean"].min()
        rows = []
        for model, group in rows_of_set.groupby("model", sort=False):
            by_size = {row["train_size"]: row for _, row in group.iterrows()}
            cells = [_error_cell(by_size.get(size), smallest.get(size)) for size in sizes]
            rows.append([Cell(str(model), str(model)), *cells, _slope_cell(slopes, dataset, str(model), test_set)])
        notes = ["Mean over seeds, in brackets the smallest and largest; the smallest learned error at each N is bold."]
        if (rows_of_set["unconverged"] > 0).any():
            notes.append("* a fit had not converged.")
        headings = [Column("model"), *[Column(f"N = {size}", "meV/Å") for size in sizes]]
        headings.append(Column("slope s", meaning="Error ∝ N^s, with its 95 % interval"))
        title = f"Force error on {dataset}, test set {test_set}"
        views.append(TableView(title, headings, rows, notes=notes, source="tables/learning_curves.csv"))
    return views


def _error_cell(row: pd.Series | None, smallest: float | None) -> Cell:
    if row is None or row["mean"] != row["mean"]:
        return Cell("–", "", "No fit, or no number.", "empty")
    text = number(row["mean"])
    if row["seeds"] > 1 and row["low"] < row["high"]:
        text += f" ({number(row['low'])}–{number(row['high'])})"
    text += "*" if row["unconverged"] else ""
    best = row["family"] != BASELINE_FAMILY and row["mean"] == smallest
    return Cell(text, repr(float(row["mean"])), style="number best" if best else "number")


def _slope_cell(slopes: pd.DataFrame | None, dataset: str, model: str, test_set: str) -> Cell:
    if slopes is not None:
        mine = slopes[(slopes["dataset"] == dataset) & (slopes["model"] == model) & (slopes["test_set"] == test_set)]
        if "quantity" in mine:
            mine = mine[mine["quantity"].astype(str).str.contains("force")]
        mine = mine.dropna(subset=["slope"])
        if len(mine):
            row = mine.iloc[0]
            interval = (
                "" if np.isnan(row["slope_ci_low"]) else f" ({row['slope_ci_low']:.2f} to {row['slope_ci_high']:.2f})"
            )
            text = f"{row['slope']:.2f}{interval}"
            return Cell(text.replace("-", "−"), repr(float(row["slope"])), style="number")
    return Cell("–", "", "No slope: too few training sizes, or an error that does not depend on N.", "empty")


def survival_overview(survival: pd.DataFrame) -> TableView:
    """Surviving trajectories by model and training size (rows) and temperature (columns) of one dataset."""
    title = f"Survival in MD on {survival['dataset'].iloc[0]}"
    note = "Trajectories that did not fail, of all; in brackets the 95 % interval of the survival."
    return _by_temperature(survival, _survival_cell, title, note)


def rate_overview(survival: pd.DataFrame) -> TableView:
    """Failure rates by model and training size (rows) and temperature (columns) of one dataset."""
    title = f"Failures per ns of MD on {survival['dataset'].iloc[0]}"
    note = "Failures over the time simulated; in brackets the 95 % interval, which takes the rate to be constant."
    return _by_temperature(survival, _rate_cell, title, note)


def _by_temperature(
    survival: pd.DataFrame, one_cell: Callable[[pd.Series | None], Cell], title: str, note: str
) -> TableView:
    """One cell for each model and training size (rows) and temperature (columns), the control first."""
    temperatures = sorted(survival["temperature_K"].unique())
    rows = []
    for (model, size), group in survival.groupby(["model", "train_size"], sort=False, dropna=False):
        by_temperature = {row["temperature_K"]: row for _, row in group.iterrows()}
        name = "control" if model == REFERENCE_MODEL else str(model)
        size_cell = Cell("–", "0", "Needs no training.", "empty") if not size else cell(size, column("train_size"))
        rows.append([Cell(name, name), size_cell, *[one_cell(by_temperature.get(one)) for one in temperatures]])
    rows.sort(key=lambda row: row[0].text != "control")
    headings = [Column("model"), column("train_size"), *[Column(f"{one:g} K") for one in temperatures]]
    return TableView(title, headings, rows, notes=[note], source="tables/survival.csv")


def _survival_cell(row: pd.Series | None) -> Cell:
    if row is None:
        return Cell("–", "", "Not run.", "empty")
    kept = int(row["n_replicas"] - row["n_failed"])
    text = f"{kept} of {int(row['n_replicas'])}"
    if row["ci_low"] == row["ci_low"]:
        text += f" ({row['ci_low']:.0%} to {row['ci_high']:.0%})"
    return Cell(text.replace("%", " %"), repr(float(row["survival_at_end"])), style="number")


def _rate_cell(row: pd.Series | None) -> Cell:
    if row is None:
        return Cell("–", "", "Not run.", "empty")
    rate = row["failure_rate_per_ns"]
    if np.isnan(rate):
        return Cell("–", "", str(row["reason"]), "empty")
    interval = f"({number(row['failure_rate_ci_low'])} to {number(row['failure_rate_ci_high'])})"
    return Cell(f"{number(rate)} {interval}", repr(float(rate)), style="number")


def recheck_overview(recheck: pd.DataFrame) -> TableView:
    """Force error on visited frames: how many, median, 95th percentile, largest, and on picked frames, by run."""
    keys = ["dataset", "model", "train_size", "temperature_K"]
    rows = []
    for key, group in recheck[recheck["model"] != REFERENCE_MODEL].groupby(keys, sort=False):
        even, before, highest = (
            group.loc[group["choice"] == choice, "force_mae_meV_per_A"].dropna()
            for choice in ("even", "before_failure", "highest_spread")
        )
        values = [even.median(), even.quantile(0.95), even.max(), before.median(), highest.median()]
        empty = Column("", empty="No such frame.")
        rows.append(
            [cell(value, column(name)) for name, value in zip(keys, key, strict=True)]
            + [cell(len(group), empty), cell(int((group["reference_status"] != "ok").sum()), empty)]
            + [cell(value, empty) for value in values]
        )
    headings = [column(one) for one in (*keys, "n_rechecked", "n_reference_failed")]
    labels = ("median", "95th percentile", "largest", "before failures", "at highest spread")
    headings += [Column(label, "meV/Å") for label in labels]
    notes = [
        "Mean absolute force error of single frames that the model visited, recomputed by the reference method. The "
        "first three errors are over frames spread evenly in time; the last two are medians over the frames just "
        "before failures and over those of the highest committee spread."
    ]
    return TableView(
        "Force error on the frames visited in MD", headings, rows, notes=notes, source="tables/recheck.csv"
    )
