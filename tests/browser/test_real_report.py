"""A report with the drawings, tables and structures of a real study, opened as a reader does, with the network off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import melting_point_example
import pytest
import report_example
from conftest import DESKTOP, PHONE, SPILLS, Open
from map_example import write_example

from longhot.config import load_file
from longhot.learning import dataset_map
from longhot.report import dataset_map_figure, learning_curves_figure, page, robustness_figures, structures

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "results" / "smoke"
"""Where the smallest study leaves its results, if it was run."""


def example(root: Path) -> Path:
    """The page of the tests' example study, its tables and drawings as the pipeline writes them."""
    folder, sources = root / "demo", [write_example(root / "sources")]
    tables = {**report_example.all_tables(), **melting_point_example.partly_invalid()}
    report_example.write_study(folder, tables)
    path, figures = folder / "tables", folder / "figures"
    dataset_map.write_tables(sources, path / "dataset_map.csv", path / "training_reach.csv")
    dataset_map_figure.draw(path / "dataset_map.csv", [figures / "dataset_map.svg"])
    curves = (str(path / f"{name}.csv") for name in ("learning_curves", "learning_curve_slopes"))
    learning_curves_figure.draw(*curves, [figures / "learning_curves.svg"])
    robustness_figures.draw(
        *(path / f"{name}.csv" for name in ("robustness", "recheck", "stability")),
        robustness=[figures / "robustness.svg"],
        survival=[figures / "survival.svg"],
    )
    for one in melting_point_example.draw(tables, root):
        if one.suffix == ".svg":
            shutil.copy(one, figures)
    structures.write(sources, path / "dataset_map.csv", folder / "report" / "structures.json.gz")
    page.build(folder, report_example.CONFIG, folder / "report" / "index.html")
    return folder / "report" / "index.html"


def smoke(root: Path) -> Path:
    """The page of the smallest study, made anew from what its run left."""
    if not (SMOKE / "report" / "index.html").exists():
        pytest.skip("the smoke study was not run here")
    config = load_file(ROOT / "config" / "smoke.yaml").model_dump(mode="json")
    page.build(SMOKE, config, root / "index.html", "config/smoke.yaml")
    return root / "index.html"


@pytest.fixture(scope="module", params=[example, smoke], ids=["example", "smoke"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of each study."""
    return request.param(tmp_path_factory.mktemp("real"))


def look_at_all(shown: Page) -> None:
    """Bring every figure and the structures into view, and open every table."""
    for figure in shown.locator("figure").all():
        figure.scroll_into_view_if_needed()
    shown.locator("figure[data-plot]:not(.plotted)").first.wait_for(state="detached")
    shown.locator("#viewer").scroll_into_view_if_needed()
    shown.locator(".viewer-canvas[data-key] canvas").wait_for()
    for part in shown.locator("details.table > summary").all():
        part.click()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everything_in_a_real_report_works(
    open_page: Open,
    path: Path,
    viewport: dict[str, int],
    keep: Callable[[Page, str], None],
    request: pytest.FixtureRequest,
) -> None:
    shown = open_page(path, viewport=viewport)
    assert shown.locator("figure .drawing svg path").count() > 100, "drawings, not stand-ins"
    look_at_all(shown)
    assert shown.locator("figure.as-plot").count() == shown.locator("figure[data-plot]").count() > 5
    assert shown.locator(".panels .plot").evaluate_all(SPILLS) == []
    assert shown.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    assert shown.locator("p.note", has_text="interactive form failed").count() == 0
    tables = shown.locator("details.table table.sortable")
    assert tables.evaluate_all("all => all.filter(one => !one.querySelector('th .sort')).map(one => one.id)") == []
    keep(shown, f"real-{request.node.callspec.id}")


def test_drawings_of_a_real_report_leave_as_pictures(open_page: Open, path: Path) -> None:
    shown = open_page(path)
    for figure in shown.locator("figure").all():
        with shown.expect_download() as started:
            figure.locator(".tools").get_by_role("button", name="PNG", exact=True).click()
        assert Path(started.value.path()).stat().st_size > 10_000
