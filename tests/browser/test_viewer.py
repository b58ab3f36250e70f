"""The viewer of structures in a real browser: atoms, arrows, films, and the way from a plotted point to its atoms."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
import numpy as np
import pytest
import report_example
from conftest import DESKTOP, PHONE, SPILLS
from map_example import write_example
from PIL import Image

from longhot.learning import dataset_map
from longhot.report import page, structures

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]
PATIENCE_MS = 120_000
"""Drawing without a GPU on a busy machine takes its time."""
GROUP = "water: m, N = 2, 300 K"
NO_WEBGL = """
const original = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : original.call(this, kind, ...rest);
};"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with structures."""
    root = tmp_path_factory.mktemp("viewer")
    folder, sources = root / "demo", [write_example(root / "sources")]
    report_example.write_study(folder, {})
    tables, figures = folder / "tables", folder / "figures"
    dataset_map.write_tables(sources, tables / "dataset_map.csv", tables / "training_reach.csv")
    (figures / "dataset_map.svg").write_text(report_example.SVG)
    structures.write(sources, tables / "dataset_map.csv", folder / "report" / "structures.json.gz")
    page.build(folder, report_example.CONFIG, folder / "report" / "index.html")
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def opened(browser: Browser, study: Path) -> Iterator[Page]:
    """The page with its viewer at work, shared by the tests: each begins with the film that it is about."""
    context = browser.new_context(viewport=DESKTOP, offline=True, accept_downloads=True, reduced_motion="reduce")
    complaints: list[str] = []
    shown = context.new_page()
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("request", lambda sent: complaints.append(sent.url) if sent.url.startswith(("http", "ws")) else None)
    shown.goto(study.as_uri())
    yield started(shown)
    context.close()
    assert complaints == []


def started(shown: Page) -> Page:
    shown.set_default_timeout(PATIENCE_MS)
    shown.locator("#viewer").scroll_into_view_if_needed()
    shown.locator(".viewer-canvas[data-key] canvas").wait_for()
    return shown


def choose(shown: Page, film: str) -> None:
    shown.locator(".viewer-group").select_option(GROUP)
    shown.locator(".viewer-film").select_option(label=film)


def pixels(shown: Page) -> np.ndarray:
    """What the canvas shows, shape (height, width, 3), 0 to 255."""
    shown.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return np.asarray(Image.open(io.BytesIO(shown.locator(".viewer-canvas").screenshot())).convert("RGB")).astype(int)


def blue(picture: np.ndarray) -> int:
    """How many pixels have the colour of the reference's arrows."""
    red, green, blue_ = np.moveaxis(picture, 2, 0)
    return int(((blue_ > red + 40) & (blue_ > green + 15)).sum())


def orange(picture: np.ndarray) -> int:
    """How many pixels have the colour of the model's arrows, or of rings."""
    red, green, blue_ = np.moveaxis(picture, 2, 0)
    return int(((red > green + 40) & (green > blue_ + 25)).sum())


def place(shown: Page) -> str:
    return shown.locator(".viewer-place").inner_text()


def key(shown: Page) -> str:
    return shown.locator(".viewer-canvas").get_attribute("data-key") or ""


def test_nothing_is_unpacked_before_it_is_needed(open_page: Open, study: Path) -> None:
    shown = open_page(study)
    assert not shown.evaluate("'$3Dmol' in window")
    assert shown.locator(".viewer-message").inner_text().startswith("The structures appear once")


def test_the_plots_above_stay_as_they_are(open_page: Open, study: Path) -> None:
    """The script that brings 3Dmol takes plotly's style away, without which axes fall out of their plots."""
    shown = open_page(study)
    shown.locator("#figure-dataset_map").scroll_into_view_if_needed()
    shown.locator("#figure-dataset_map.plotted").wait_for()
    plots = shown.locator("#figure-dataset_map .plot")
    assert plots.evaluate_all(SPILLS) == []
    started(shown)
    assert plots.evaluate_all(SPILLS) == []


def test_atoms_are_drawn_and_the_worst_frame_comes_first(opened: Page) -> None:
    opened.locator(".viewer-group").select_option(GROUP)
    assert opened.locator(".viewer-group option").all_inner_texts() == [GROUP, "water: data"]
    assert opened.locator(".viewer-film option").first.inner_text() == "worst rechecked frames"
    assert "900 meV/Å" in opened.locator(".viewer-facts").inner_text()
    picture = pixels(opened)
    drawn = (np.abs(picture - 255).max(axis=2) > 30).mean()
    assert 0.01 < drawn < 0.8, "share of the canvas that is not white"
    red = (picture[..., 0] > 120) & (picture[..., 1:].max(axis=2) < 70)
    assert red.sum() > 50, "the oxygen"


def test_arrows_of_both_forces_come_go_and_grow(opened: Page) -> None:
    choose(opened, "worst rechecked frames")
    model = orange(pixels(opened))
    assert model > 100, "the reference's forces are zero here"
    opened.locator(".viewer-scale").fill("-1")
    assert orange(pixels(opened)) < 0.5 * model
    opened.locator(".viewer-scale").fill("0")
    opened.locator(".viewer-model").uncheck()
    assert orange(pixels(opened)) == 0
    opened.locator(".viewer-group").select_option("water: data")
    opened.locator(".viewer-film").select_option(label="training pool")
    opened.locator(".viewer-canvas").focus()
    opened.keyboard.press("End")
    reference = blue(pixels(opened))
    assert reference > 100
    assert opened.locator(".viewer-legend").inner_text() == "force by the reference"
    opened.locator(".viewer-reference").uncheck()
    assert blue(pixels(opened)) == 0
    opened.locator(".viewer-reference").check()
    opened.locator(".viewer-model").check()
    table = opened.locator(".viewer-facts table").inner_text()
    assert "0.02" in table, "root 3 times 0.011 eV/A"


def test_failures_play_to_the_failed_frame_and_mark_its_atoms(opened: Page, keep: Callable[[Page, str], None]) -> None:
    choose(opened, "bond broken after 0.43 ps, seed 0, replica 1")
    assert place(opened) == "1 of 4, 0.4 ps"
    facts = opened.locator(".viewer-facts")
    assert "bond broken: O0-H1 at 2.7 Å" in facts.inner_text()
    first = pixels(opened)
    assert orange(first) > 100, "rings about the offending atoms"
    opened.locator(".viewer-play").click()
    opened.get_by_text("4 of 4, 0.43 ps", exact=True).wait_for()
    opened.locator(".viewer-play").click()
    assert opened.locator(".viewer-play").inner_text() == "Play"
    opened.locator(".viewer-canvas").focus()
    opened.keyboard.press("End")
    assert "the failed frame" in facts.inner_text()
    assert np.abs(pixels(opened) - first).max() > 50, "the picture moves"
    opened.keyboard.press("ArrowLeft")
    assert place(opened) == "3 of 4, 0.42 ps"
    opened.keyboard.press("Home")
    assert place(opened) == "1 of 4, 0.4 ps"
    opened.keyboard.press("Space")
    opened.get_by_text("2 of 4, 0.41 ps", exact=True).wait_for()
    opened.keyboard.press("Space")
    keep(opened, "viewer-failure")


def click(shown: Page, structure: str) -> None:
    """What plotly says where a reader clicks on a point of the map."""
    shown.locator("#figure-dataset_map .js-plotly-plot").first.evaluate(
        "(panel, key) => panel.emit('plotly_click', {points: [{customdata: key}]})", structure
    )
    shown.locator(f'.viewer-canvas[data-key="{structure}"]').wait_for()


def test_a_click_on_a_point_shows_its_structure(opened: Page) -> None:
    figure = opened.locator("#figure-dataset_map")
    figure.evaluate("figure => figure.scrollIntoView()")
    figure.locator(".js-plotly-plot .point").first.wait_for()
    click(opened, "water/m/n2/seed0/300K/1/0.43ps")
    assert opened.locator(".viewer-film option:checked").inner_text().startswith("bond broken after 0.43 ps")
    # A rechecked frame, with its forces.
    click(opened, "water/m/n2/seed0/300K/0/0.4ps")
    assert opened.locator(".viewer-facts table").count() == 1


def test_a_mouse_click_on_the_map_shows_the_structure_under_it(open_page: Open, study: Path) -> None:
    shown = started(open_page(study))
    before = key(shown)
    figure = shown.locator("#figure-dataset_map")
    figure.evaluate("figure => figure.scrollIntoView()")
    plot = figure.locator(".plot").first
    plot.locator(".point").first.wait_for()
    box = plot.locator(".scatterlayer .trace").last.locator(".point").first.bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    plot.locator(".hovertext").wait_for()
    wanted = plot.evaluate("plot => plot._hoverdata[0].customdata")
    assert wanted.startswith("water/m/n2/seed0/300K/"), "the last trace holds the failures"
    assert wanted != before
    shown.mouse.down()
    shown.mouse.up()
    shown.locator(f'.viewer-canvas[data-key="{wanted}"]').wait_for()
    assert shown.locator(".viewer-film option:checked").inner_text().startswith("bond broken after 0.43 ps")
    assert shown.locator(".viewer-canvas").evaluate("one => Math.abs(one.getBoundingClientRect().top) < innerHeight")
    assert orange(pixels(shown)) > 100, "rings about the offending atoms"


def test_the_section_has_a_name(opened: Page) -> None:
    assert opened.get_by_role("region", name="Structures", exact=True).count() == 1


def test_a_point_whose_structure_is_not_kept_says_so(opened: Page) -> None:
    before = key(opened)
    opened.evaluate("longhot.show('water/m/n2/seed0/300K/0/99ps')")
    opened.get_by_text("The page does not keep this frame: water/m/n2/seed0/300K/0/99ps").wait_for()
    assert key(opened) == before


def test_the_address_brings_the_same_structure_back(open_page: Open, study: Path, opened: Page) -> None:
    choose(opened, "bond broken after 0.43 ps, seed 0, replica 0")
    opened.locator(".viewer-forth").click()
    fragment, wanted = opened.evaluate("location.hash"), key(opened)
    again = started(open_page(study, fragment))
    assert key(again) == wanted


def test_a_frame_leaves_as_xyz_with_its_forces(opened: Page) -> None:
    choose(opened, "worst rechecked frames")
    with opened.expect_download() as download:
        opened.locator(".viewer-xyz").click()
    atoms = ase.io.read(download.value.path(), format="extxyz")
    assert str(atoms.symbols) == "OH2"
    np.testing.assert_allclose(atoms.arrays["model_forces"], 0.9)
    np.testing.assert_allclose(atoms.arrays["reference_forces"], 0.0)
    assert atoms.get_distance(0, 1) == pytest.approx(2.2 * 0.9687, abs=2e-3)


def test_without_webgl_the_numbers_remain(open_page: Open, study: Path) -> None:
    shown = open_page(study)
    shown.add_init_script(NO_WEBGL)
    shown.goto(study.as_uri())
    shown.locator("#viewer").scroll_into_view_if_needed()
    shown.get_by_text("This browser has no WebGL").wait_for(timeout=PATIENCE_MS)
    assert shown.locator(".viewer-canvas canvas").count() == 0
    shown.locator(".viewer-forth").click()
    assert place(shown) == "2 of 4, 0.3 ps"
    assert "300 meV/Å" in shown.locator(".viewer-facts").inner_text()


def test_fits_a_phone(open_page: Open, study: Path, keep: Callable[[Page, str], None]) -> None:
    shown = started(open_page(study, viewport=PHONE))
    assert shown.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = shown.locator(".viewer-canvas").bounding_box()
    assert box is not None
    assert box["width"] > 0.8 * PHONE["width"]
    keep(shown, "viewer-phone")
