"""The report as a reader meets it: opened from disk in a real browser, with the network off."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import report_example
from conftest import DESKTOP, PHONE, SPILLS, Open

from longhot.report import page as report_page
from longhot.report.plots import PLOTS

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MOST_BYTES = 15e6
MOST_ELEMENTS = 20_000
"""What the browser has to lay out before anything is opened: it stands for the time to the first paint."""
FITS = "#first-table-force-error-on-ethanol-test-set-test"
RECHECK = "table-every-rechecked-frame"


def scroll_through(page: Page) -> None:
    """Bring every figure into view and wait until those with an interactive form show it."""
    for figure in page.locator("figure[data-plot]").all():
        figure.scroll_into_view_if_needed()
    page.locator("figure[data-plot]:not(.plotted)").first.wait_for(state="detached")


def column(page: Page, table: str, place: int) -> list[str]:
    """The texts of one column of a table."""
    return page.locator(f"{table} tbody td:nth-child({place})").all_inner_texts()


def downloaded(page: Page, selector: str) -> tuple[str, bytes]:
    """Name and content of the file that a click brings."""
    with page.expect_download() as started:
        page.locator(selector).first.click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes()


def open_table(page: Page, name: str) -> None:
    page.locator(f"#open-{name} > summary").click()
    page.locator(f"#open-{name}.unpacked").wait_for()


def test_page_is_small_and_light_to_open(open_page: Open, report: Path) -> None:
    page = open_page(report)
    assert report.stat().st_size < MOST_BYTES
    assert page.locator("*").count() < MOST_ELEMENTS
    assert not page.evaluate("'Plotly' in window"), "the plotting library waits until a figure is near"


@pytest.fixture(scope="module")
def plotted(shared_page: Open, report: Path) -> Page:
    """The page with every figure plotted."""
    page = shared_page(report)
    scroll_through(page)
    return page


def assert_plotted_within(page: Page, width: int) -> None:
    """Every figure that can be is plotted, its legends can be read, and nothing scrolls sideways but tables."""
    shown = page.locator("figure.as-plot").evaluate_all("figures => figures.map(figure => figure.dataset.name)")
    assert set(shown) == set(PLOTS) - {"dataset_map"}
    assert page.evaluate("document.documentElement.scrollWidth") == width
    widths = page.locator(".panels .legend").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    assert len(widths) > len(shown)
    assert min(widths) > 50
    assert page.locator(".panels .plot").evaluate_all(SPILLS) == []


def test_plots_follow_the_window(open_page: Open, report: Path) -> None:
    page = open_page(report)
    figure = page.locator("#figure-learning_curves")
    figure.scroll_into_view_if_needed()
    page.locator("#figure-learning_curves.plotted").wait_for()
    plots = figure.locator(".plot")
    before = plots.evaluate_all("all => all.map(one => one.clientHeight)")
    page.set_viewport_size({"width": 900, "height": 1500})
    page.wait_for_function(
        "[...document.querySelectorAll('#figure-learning_curves .plot')]"
        ".every(one => Math.abs(one.querySelector('.main-svg').clientWidth - one.clientWidth) < 3)"
    )
    assert plots.evaluate_all("all => all.map(one => one.clientHeight)") == before
    assert plots.evaluate_all(SPILLS) == []
    heights = plots.locator(".nsewdrag").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert min(heights) > 200, "the axes keep their height"


def test_every_figure_is_plotted(plotted: Page, keep: Callable[[Page, str], None]) -> None:
    assert_plotted_within(plotted, DESKTOP["width"])
    said = plotted.locator("figure[data-name=failures] .static-reason").inner_text()
    assert said.startswith("This figure is a drawing")
    keep(plotted, "report-desktop")


def test_every_figure_fits_a_phone(open_page: Open, report: Path, keep: Callable[[Page, str], None]) -> None:
    page = open_page(report, viewport=PHONE)
    scroll_through(page)
    assert_plotted_within(page, PHONE["width"])
    keep(page, "report-phone")


def test_a_figure_goes_back_to_its_drawing_and_stays_so(open_page: Open, report: Path) -> None:
    page = open_page(report)
    figure = page.locator("#figure-survival")
    figure.scroll_into_view_if_needed()
    figure.locator(".panels .main-svg").first.wait_for()
    figure.get_by_role("button", name="Interactive").click()
    assert figure.locator(".drawing svg").is_visible()
    assert "survival.plot=drawing" in page.url
    again = open_page(report, "#" + page.url.split("#")[1])
    again.locator("#figure-survival").scroll_into_view_if_needed()
    again.locator("#figure-failure_causes .panels .main-svg").first.wait_for()
    assert again.locator("#figure-survival .drawing svg").is_visible()
    assert again.locator("#figure-survival .panels").count() == 0


def test_a_click_on_a_plotted_point_asks_for_its_structure(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.evaluate("longhot.show = key => { window.asked = key; }")
    figure = page.locator("#figure-failure_causes")
    figure.scroll_into_view_if_needed()
    plot = figure.locator(".panel", has_text="1000 K: when they failed").locator(".plot")
    plot.locator(".main-svg").first.wait_for()
    box = plot.locator(".scatterlayer .point").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    plot.locator(".hovertext").wait_for()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("window.asked")
    assert page.evaluate("asked") == "ethanol/mace-L0-nu2/n25/seed0/1000K/0/1.25ps"


def drag(page: Page, plot: Locator) -> None:
    """Zoom into the middle of a plot, as with a mouse."""
    box = plot.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()


RANGES = "plot => ['xaxis', 'yaxis'].flatMap(name => plot.layout[name].range)"
HIDDEN = "plot => plot.data.flatMap((trace, place) => trace.visible === 'legendonly' ? [place] : [])"


def survival_plot(page: Page) -> Locator:
    """The second panel of the figure of the survival, drawn."""
    page.locator("#figure-survival").scroll_into_view_if_needed()
    page.locator("#figure-survival.plotted").wait_for()
    plot = page.locator("#figure-survival .plot").nth(1)
    plot.scroll_into_view_if_needed()
    return plot


def test_zoom_and_hidden_lines_stand_in_the_address_and_come_back(open_page: Open, report: Path) -> None:
    page = open_page(report)
    plot = survival_plot(page)
    whole = plot.evaluate(RANGES)
    drag(page, plot)
    page.wait_for_function("location.hash.includes('survival.zoom1=')")
    plot.locator(".legendtoggle").first.click()
    page.wait_for_function("location.hash.includes('survival.hidden1=')")
    zoomed, hidden = plot.evaluate(RANGES), plot.evaluate(HIDDEN)
    assert hidden
    assert whole[0] < zoomed[0] < zoomed[1] < whole[1]
    again = open_page(report, "#" + page.url.split("#")[1])
    plot = survival_plot(again)
    assert plot.evaluate(RANGES) == pytest.approx(zoomed, rel=1e-4)
    assert plot.evaluate(HIDDEN) == hidden
    plot.hover()
    plot.locator('.modebar-btn[data-title="Reset axes"]').click()
    again.wait_for_function("!location.hash.includes('survival.zoom1=')")
    assert plot.evaluate(RANGES) == pytest.approx(whole)
    plot.locator(".legendtoggle").first.click()
    again.wait_for_function("!location.hash.includes('survival.hidden1=')")
    assert plot.evaluate(HIDDEN) == []


def test_a_view_that_no_plot_has_is_ignored(open_page: Open, report: Path) -> None:
    page = open_page(report, "#survival.zoom1=a..b,3&survival.hidden1=99,x")
    plot = survival_plot(page)
    assert plot.evaluate(HIDDEN) == []
    assert all(-1 < end < 12 for end in plot.evaluate(RANGES))


def test_a_drawing_without_a_plot_leads_to_its_numbers(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.locator("#figure-failures a.data").click()
    part = page.locator("#open-table-every-trajectory")
    part.locator(".count", has_text="64 rows").wait_for()
    assert part.evaluate("part => Math.abs(part.getBoundingClientRect().top) < innerHeight")
    assert page.locator("figure:not([data-plot])").evaluate_all(
        "all => all.filter(figure => !figure.querySelector('a.data')).map(figure => figure.id)"
    ) == []  # fmt: skip


def test_exports_of_a_figure_arrive(open_page: Open, report: Path) -> None:
    page = open_page(report)
    tools = "#figure-learning_curves .tools button"
    name, svg = downloaded(page, f'{tools}:text-is("SVG")')
    assert (name, svg[:4]) == ("learning_curves.svg", b"<svg")
    assert b"xmlns=" in svg
    name, png = downloaded(page, f'{tools}:text-is("PNG")')
    assert (name, png[:8]) == ("learning_curves.png", b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(png[16:20], "big") == 3 * 640
    name, table = downloaded(page, f'{tools}:text-is("Data (CSV)")')
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    mine = [row for row in rows if row["series"].startswith("mace-L0-nu2, slope") and "test: body" in row["panel"]]
    assert [float(row["x"]) for row in mine] == [25, 100, 400]
    # At N = 100 seeds of 50 and 51 meV/A.
    assert [float(mine[1][key]) for key in ("y", "y_error_up", "y_error_down")] == pytest.approx([50.5, 0.5, 0.5])


def test_help_opens_and_closes_by_keyboard(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.locator("#figure-survival .about").focus()
    page.keyboard.press("Enter")
    assert "Kaplan-Meier estimate" in page.locator("#help-survival").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#help-survival").is_visible()
    page.locator(f"{FITS} th .about").nth(1).focus()
    page.keyboard.press("Space")
    said = page.locator("#about").inner_text()
    for part in ("Mean absolute error of force components", "Unit: meV/Å", "The lower, the better", "GFN2-xTB",
                 "300 test frames a row", "Filled in"):  # fmt: skip
        assert part in said
    page.keyboard.press("Escape")
    assert not page.locator("#about").is_visible()


RATES = "#first-table-failures-per-ns-of-md-on-ethanol"
NO_TRAINING = "The control needs no training."


def test_a_tap_on_an_empty_cell_tells_why(open_page: Open, report: Path) -> None:
    page = open_page(report, viewport=PHONE, has_touch=True, is_mobile=True)
    empty = page.locator(f"{RATES} td.empty .why").first
    assert empty.inner_text() == "n/a"
    assert min(empty.bounding_box()[side] for side in ("width", "height")) >= 24
    empty.tap()
    about = page.locator("#about")
    assert about.inner_text() == NO_TRAINING
    box = about.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    page.locator("h1").tap()
    assert not about.is_visible()
    judged = page.locator("#report-card button.judged", has_text="the reference itself").first
    judged.tap()
    assert about.inner_text() == "The control has no error against itself."


def test_an_empty_cell_tells_why_by_keyboard(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.locator(f"{RATES} th .about").last.focus()
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.inner_text() == "n/a"
    assert focused.get_attribute("title") == NO_TRAINING
    page.keyboard.press("Enter")
    assert page.locator("#about").inner_text() == NO_TRAINING
    page.keyboard.press("Escape")
    assert not page.locator("#about").is_visible()
    assert page.locator(":focus").inner_text() == "n/a", "the focus stays where it was"


def test_every_empty_cell_that_lacks_something_can_be_pressed(open_page: Open, report: Path) -> None:
    page = open_page(report)
    for part in page.locator("details.table > summary").all():
        part.click()
    mute = """all => all.filter(cell => cell.textContent !== '–' && !cell.querySelector('button.why[title]'))
        .map(cell => cell.closest('table').id + ': ' + cell.textContent)"""
    assert page.locator("table.sortable td.empty").evaluate_all(mute) == []


def test_tables_sort_by_mouse_and_keyboard(open_page: Open, report: Path) -> None:
    page = open_page(report)
    head = page.locator(f"{FITS} th .sort").nth(1)
    head.click()
    assert column(page, FITS, 1) == ["mace-L1-nu2", "mace-L0-nu2", "gfn1", "mace-L0-nu1"]
    assert page.locator(f"{FITS} th").nth(1).get_attribute("aria-sort") == "ascending"
    head.focus()
    page.keyboard.press("Enter")
    assert column(page, FITS, 1) == ["mace-L0-nu1", "gfn1", "mace-L0-nu2", "mace-L1-nu2"]
    assert page.locator(f"{FITS} th").nth(1).get_attribute("aria-sort") == "descending"


def test_long_tables_unpack_filter_and_hide(open_page: Open, report: Path) -> None:
    page = open_page(report)
    rows, part = page.locator(f"#{RECHECK} tbody tr"), page.locator(f"#open-{RECHECK}")
    assert rows.count() == 50
    open_table(page, RECHECK)
    assert rows.count() == 100
    assert part.locator(".count").inner_text() == "128 rows"
    part.get_by_role("button", name="Show more rows").click()
    assert rows.count() == 128
    part.get_by_placeholder("Filter rows").fill("not converged")
    assert part.locator(".count").inner_text() == "7 of 128 rows"
    assert "not converged" in page.locator(f"#{RECHECK} td.empty").all_inner_texts()
    part.get_by_role("button", name="Filter columns").click()
    part.get_by_label("Filter replica").fill("2..4")
    assert part.locator(".count").inner_text() == "3 of 128 rows"
    part.get_by_label("Filter replica").fill(">= 6")
    assert part.locator(".count").inner_text() == "1 of 128 rows"
    before = page.locator(f"#{RECHECK} thead tr:first-child th:visible").count()
    part.locator(".menu summary").click()
    part.locator(".menu label", has_text="dataset").click()
    assert page.locator(f"#{RECHECK} thead tr:first-child th:visible").count() == before - 1
    assert page.locator(f"#{RECHECK} tbody tr").first.locator("td").count() == before - 1
    page.keyboard.press("Escape")
    assert not part.locator(".menu div").is_visible()


def test_a_long_table_among_the_first_ones_unpacks_its_own_rows(open_page: Open, tmp_path: Path) -> None:
    tables = report_example.all_tables()
    own = tables["recheck"].query("model != 'reference'")
    tables["recheck"] = pd.concat([own.assign(model=f"m{number:02}") for number in range(20)])
    report_example.write_study(tmp_path / "demo", tables)
    report_page.build(tmp_path / "demo", report_example.CONFIG, tmp_path / "index.html")
    page = open_page(tmp_path / "index.html")
    name = "#first-table-force-error-on-the-frames-visited-in-md"
    # 100 of 120 rows: 20 models, 3 training sizes and 2 temperatures.
    page.locator(f"{name} tbody tr").nth(99).wait_for()
    assert page.locator(f"{name} tbody tr").first.locator("td").count() == page.locator(f"{name} th").count()
    assert page.locator("p.note", has_text="Only the first rows").count() == 0


def test_state_stands_in_the_address_and_comes_back(open_page: Open, report: Path) -> None:
    page = open_page(report)
    open_table(page, RECHECK)
    part = page.locator(f"#open-{RECHECK}")
    part.get_by_placeholder("Filter rows").fill("1000")
    page.locator(f"#{RECHECK} th .sort", has_text="replica").click()
    part.get_by_role("button", name="Filter columns").click()
    part.get_by_label("Filter model", exact=True).first.fill("mace")
    part.locator(".menu summary").click()
    part.locator(".menu label", has_text="dataset").click()
    page.locator("nav.contents a", has_text="Cost").click()
    page.wait_for_function("location.hash.startsWith('#cost&')")
    again = open_page(report, "#" + page.url.split("#")[1])
    again.locator(f"#open-{RECHECK}.unpacked").wait_for()
    for shown in (page, again):
        assert shown.locator(f"#{RECHECK} tbody").inner_text() == page.locator(f"#{RECHECK} tbody").inner_text()
    assert again.locator(f"#open-{RECHECK} .count").inner_text() == part.locator(".count").inner_text()
    assert again.locator(f"#{RECHECK} th[aria-sort=ascending]").inner_text().startswith("replica")
    assert again.locator("#cost").evaluate("part => Math.abs(part.getBoundingClientRect().top) < innerHeight")


def test_exports_of_a_table_are_what_is_shown(open_page: Open, report: Path) -> None:
    page = open_page(report)
    open_table(page, RECHECK)
    part = page.locator(f"#open-{RECHECK}")
    part.get_by_placeholder("Filter rows").fill("not converged")
    name, text = downloaded(page, f'#open-{RECHECK} .tools button:text-is("CSV")')
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assert name == "every-rechecked-frame.csv"
    assert len(rows) == 7
    assert {row["force_mae_meV_per_A"] for row in rows} == {""}
    assert rows[0]["temperature_K"] == "1000.0"
    name, latex = downloaded(page, f'#open-{RECHECK} .tools button:text-is("LaTeX")')
    lines = latex.decode().splitlines()
    assert name == "every-rechecked-frame.tex"
    assert [one.strip() for one in lines if "rule" in one] == ["\\toprule", "\\midrule", "\\bottomrule"]
    assert sum(line.endswith("\\\\") for line in lines) == 8
    assert "force MAE (meV/\\AA{})" in latex.decode()
    assert "mace-L0-nu2 & 25 &" in latex.decode()


def test_keyboard_reaches_the_text_first(open_page: Open, report: Path) -> None:
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_landmarks_names_and_texts_for_those_who_cannot_see(plotted: Page) -> None:
    page = plotted
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role
    nameless = page.evaluate("""() => [...document.querySelectorAll(
        "button, input, [role=img], [role=region], section")].filter(one =>
        !one.closest(".modebar") && !(one.getAttribute("aria-label") || one.getAttribute("aria-labelledby")
          || one.labels?.length || (one.tagName !== "SECTION" && one.textContent.trim())))
        .map(one => one.outerHTML.slice(0, 200))""")
    assert nameless == []
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_contents_fold_on_a_phone_and_stay_at_the_top(open_page: Open, report: Path) -> None:
    page = open_page(report, viewport=PHONE)
    links = page.locator("nav.contents .links")
    assert not links.is_visible()
    page.locator("nav.contents summary").click()
    page.locator("nav.contents a", has_text="Tables").click()
    assert not links.is_visible()
    assert abs(page.locator("nav.contents").bounding_box()["y"]) < 2


def test_prints_the_drawings_and_none_of_the_tools(plotted: Page, tmp_path: Path) -> None:
    page = plotted
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("#figure-survival .drawing svg").is_visible()
    for hidden in ("#figure-survival .panels", "nav.contents", "#figure-survival .tools", f"#open-{RECHECK} .tools"):
        assert not page.locator(hidden).first.is_visible(), hidden


def test_without_javascript_drawings_and_tables_are_there(open_page: Open, report: Path) -> None:
    page = open_page(report, java_script_enabled=False)
    assert page.locator("#figure-survival .drawing svg").is_visible()
    assert page.locator(f"{FITS} tbody tr").count() == 4
    for button in page.locator("button:visible").all():  # help needs no script, anything else would be dead
        assert button.get_attribute("popovertarget")
