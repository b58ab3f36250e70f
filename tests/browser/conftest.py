"""A real headless Chromium without network, and the page of a study that opens in it from disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import melting_point_example
import pytest
import report_example

from longhot.report import page
from longhot.report.figures import FIGURES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""There is no GPU where tests run."""
PATIENCE_ms = 120_000
"""Far more than a browser needs on an idle machine."""
SPILLS = """all => all.flatMap(plot => {
  const place = plot.getBoundingClientRect();
  const outside = [...plot.querySelectorAll(".main-svg, .xtitle, .ytitle, .legend")].filter(one => {
    const box = one.getBoundingClientRect();
    const sides = [place.left - box.left, box.right - place.right, place.top - box.top, box.bottom - place.bottom];
    return Math.max(...sides) > 2;
  });
  return outside.map(one => `${one.getAttribute("class")} of ${plot.getAttribute("aria-label").slice(0, 60)}`);
})"""
"""What of the plots reaches beyond its place."""
SCREENSHOTS = Path(__file__).resolve().parents[2] / "results" / "screenshots"


Open = Callable[..., "Page"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no Chromium on the PATH (looked for {', '.join(PROGRAMS)})")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        # As root, in containers, Chromium does not start with its sandbox.
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *SOFTWARE_WEBGL])
        yield started
        started.close()


def opener(browser: Browser) -> Iterator[Open]:
    """Opens files as a reader does, and fails where a page logs an error or asks the network for anything."""
    contexts, complaints = [], []

    def opened(path: Path, fragment: str = "", viewport: dict[str, int] | None = None, **options: object) -> Page:
        context = browser.new_context(viewport=viewport or DESKTOP, offline=True, reduced_motion="reduce", **options)
        contexts.append(context)
        made = context.new_page()
        made.set_default_timeout(PATIENCE_ms)
        made.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        made.on("pageerror", lambda error: complaints.append(str(error)))
        made.on("request", lambda sent: complaints.append(sent.url) if sent.url.startswith(("http", "ws")) else None)
        made.goto(path.as_uri() + fragment)
        return made

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens pages that one test has to itself."""
    yield from opener(browser)


@pytest.fixture(scope="module")
def shared_page(browser: Browser) -> Iterator[Open]:
    """Opens pages that tests which only look share."""
    yield from opener(browser)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with every kind of table, made without a run."""
    folder = tmp_path_factory.mktemp("browser") / "demo"
    tables = {
        **report_example.all_tables(),
        **melting_point_example.partly_invalid(),
        **report_example.active_learning_tables(),
    }
    tables["recheck"]["committee_force_std_meV_per_A"] = 50.0 + tables["recheck"]["replica"]
    report_example.write_study(folder, tables)
    for name in set(FIGURES) - {"dataset_map"}:
        (folder / "figures" / f"{name}.svg").write_text(report_example.SVG)
    page.build(folder, report_example.CONFIG, folder / "report" / "index.html")
    return folder / "report" / "index.html"


@pytest.fixture
def keep() -> Callable[[Page, str], None]:
    """Keeps what the page looks like, under results/screenshots."""

    def kept(shown: Page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        shown.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return kept
