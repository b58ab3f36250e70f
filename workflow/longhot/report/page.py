"""The report: one HTML file that opens offline, built from the files that a study left."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from longhot.files import read_json, visible, write_text
from longhot.report import embed
from longhot.report.budget import MOST_BYTES, Content, fitted, plot_id, rows_id
from longhot.report.cards import cards
from longhot.report.figures import FigureView, figures
from longhot.report.flags import card_flags, flags
from longhot.report.manifest import duration_text
from longhot.report.methods import methods
from longhot.report.model_verdict import models
from longhot.report.overview import overview
from longhot.report.report_card import report_card, report_settings
from longhot.report.statements import Sentence
from longhot.report.verdict import verdict
from longhot.report.viewer import Viewer, viewer
from longhot.report.views import TABLES, TableView, packed_rows, table_view

if TYPE_CHECKING:
    import pandas as pd

FIRST = "first-"
"""How the ids of the tables begin that a reader wants first; the page shows some of them twice."""


def build(study_folder: Path, config: dict[str, Any], out: Path, config_file: str = "config.yaml") -> None:
    """Write the report of a study.

    Args:
        study_folder: ``results/<study>`` with ``tables/``, ``figures/``, ``datasets/*/card.json``, ``manifest.json``.
        config: the resolved config.
        out: the HTML file; ``references.bib`` is written beside it.
        config_file: the file that the study was run with, for the commands that the page names.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    tables = read_tables(study_folder / "tables")
    levels = levels_of_theory(study_folder / "datasets")
    table_views = {name: table_view(name, tables[name], levels) for name in table_order(tables)}
    overviews, dataset_cards = overview(tables, levels), cards(study_folder / "datasets")
    content = content_of(
        figures(study_folder / "figures", tables),
        viewer(study_folder / "report" / "structures.json.gz"),
        list(table_views.values()),
    )
    manifest = read_json(study_folder / "manifest.json")
    limits = report_settings(config)
    written = methods(study_folder, config, manifest, config_file)
    if written is not None:
        write_text(out.parent / "references.bib", written.bibtex)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tie"] = tie
    template = environment.get_template("page.html.j2")
    fixed_blobs = packed(FIRST, overviews) | (written.blobs if written else {})
    for card in dataset_cards:
        fixed_blobs |= packed(f"{card['name']}-", card["tables"])

    def render(content: Content) -> str:
        return template.render(
            study=config["study"],
            date=datetime.datetime.fromtimestamp((study_folder / "manifest.json").stat().st_mtime).strftime("%Y-%m-%d"),
            topics=by_topic(verdict(tables)),
            flags=flags(tables) + card_flags(study_folder / "datasets"),
            figures=content.figures,
            source_tables=table_views,
            overview=overviews,
            first=FIRST,
            tables=content.tables,
            cards=dataset_cards,
            settings=yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100),
            manifest=manifest,
            stages=sorted(manifest["stages"], key=lambda stage: -stage["core_s"]),
            duration=duration_text,
            # Sections: None where the study has nothing to show in them.
            headlines=by_topic(models(tables, limits)),
            report_card=report_card(tables, limits),
            viewer=content.viewer,
            left_out=content.left_out,
            most_bytes=MOST_BYTES,
            methods=written,
            style=Markup(embed.style()),
            scripts=[Markup(one) for one in embed.scripts()],
            blobs=content.blobs | fixed_blobs,
        )

    write_text(out, fitted(content, render))


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All tables of a study by name."""
    import pandas as pd

    return {path.stem: pd.read_csv(path) for path in visible(folder, "*.csv")}


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


def levels_of_theory(folder: Path) -> dict[str, str]:
    """The level of theory of each dataset, from its card."""
    return {path.parent.name: read_json(path)["level_of_theory"] for path in sorted(folder.glob("*/card.json"))}


def content_of(figure_views: list[FigureView], structures: Viewer | None, table_views: list[TableView]) -> Content:
    """The parts of the page that it may leave out, with the plotting library, plots, structures and rows packed."""
    plots = {plot_id(one.name): embed.packed_json(one.panels) for one in figure_views if one.panels}
    library = {"library-plotly": embed.packed(embed.plotly())} if plots else {}
    blobs = plots | packed("", table_views) | library | (structures.blobs if structures else {})
    return Content(figure_views, structures, table_views, blobs)


def packed(prefix: str, views: list[TableView]) -> dict[str, str]:
    """All rows of the long ones of some tables, by the id that the page has for them."""
    return {rows_id(one, prefix): embed.packed_json(found) for one in views if (found := packed_rows(one))}
