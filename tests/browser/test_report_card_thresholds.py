"""The report card and the methods in a real browser: limits that move and are kept, text that is given away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import report_example
from conftest import PHONE

from longhot.config import Report, load
from longhot.report import page
from longhot.report.report_card import CardCell, ReportCard, report_card

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Open = Callable[..., "Page"]
LIMITS = {"force_mae_meV_per_A": 55.0, "md_force_mae_meV_per_A": 80.0, "survival_share": 0.5}
FORCES = "ethanol-force_mae_meV_per_A"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with tolerances, a ranking and methods."""
    folder = tmp_path_factory.mktemp("card") / "demo"
    report_example.write_study(folder, report_example.all_tables())
    config = {
        "study": {"name": "demo", "question": "Which model is fit for use?"},
        "references": {"gfn2": {"method": "xtb"}},
        "datasets": {"ethanol": {"source": "generate", "reference": "gfn2", "molecule": "CH3CH2OH"}},
        "models": {"mace": {"family": "mace", "gradient_steps": 100}},
        "learning_curves": {"train_sizes": [25, 100, 400]},
        "report": {"tolerances": LIMITS, "ranking": True},
    }
    page.build(folder, load(config).model_dump(mode="json"), folder / "report" / "index.html", "config/demo.yaml")
    return folder / "report" / "index.html"


def python_card(**limits: float) -> ReportCard:
    """The same card as Python makes it, with some limits changed."""
    found = report_card(report_example.all_tables(), Report.model_validate({"tolerances": LIMITS | limits}))
    assert found is not None
    return found


def expected(card: ReportCard) -> list[tuple[str, str]]:
    """Verdict and remark on smaller sizes of each cell, row by row."""
    return [told(cell) for row in card.cards[0].rows for cell in row.cells]


def told(cell: CardCell) -> tuple[str, str]:
    return cell.verdict, f"met from N = {cell.met_from}" if cell.met_from else ""


def shown(card: Locator) -> list[tuple[str, str]]:
    """The same of the page."""
    return [
        (cell.locator(".judged").get_attribute("data-verdict") or "", cell.locator(".since").text_content() or "")
        for cell in card.locator("td[data-scores]").all()
    ]


@pytest.mark.parametrize("limit", [55.0, 10.0, 44.0, 104.0, 300.0])
def test_page_and_python_judge_alike(open_page: Open, judged: Path, limit: float) -> None:
    card = open_page(judged).locator("#report-card")
    card.locator(f'input[data-criterion="{FORCES}"]').fill(str(limit))
    found = shown(card)
    assert found == expected(python_card(force_mae_meV_per_A=limit))
    assert {verdict for verdict, _ in found} >= {"no number"}


def test_without_a_script_the_judgements_stand_in_the_page(open_page: Open, judged: Path) -> None:
    card = open_page(judged, java_script_enabled=False).locator("#report-card")
    texts = card.locator(".judged").all_inner_texts()
    assert any(text == "✓ met" for text in texts)
    assert any(text == "✗ not met" for text in texts)
    assert any(text == "– the reference itself" for text in texts)


def test_the_address_keeps_limits_and_reset_forgets_them(open_page: Open, judged: Path) -> None:
    shown_page = open_page(judged)
    box = shown_page.locator(f'input[data-criterion="{FORCES}"]')
    before = shown(shown_page.locator("#report-card"))
    box.fill("1000")
    after = shown(shown_page.locator("#report-card"))
    assert after != before
    assert "1000" in shown_page.url
    again = open_page(judged, f"#{shown_page.url.split('#')[1]}")
    assert again.locator(f'input[data-criterion="{FORCES}"]').input_value() == "1000"
    assert shown(again.locator("#report-card")) == after
    again.locator("#report-card-reset").click()
    assert shown(again.locator("#report-card")) == before
    assert "limit-" not in again.url


def test_without_a_limit_nothing_is_judged_and_ranks_follow_the_limits(open_page: Open, judged: Path) -> None:
    shown_page = open_page(judged)
    card = shown_page.locator("#report-card")
    ranks = card.locator("td.rank").all_inner_texts()
    assert ranks[0] == "–"
    assert "1" in ranks
    for box in card.locator("input").all():
        box.fill("")
    assert {verdict for verdict, _ in shown(card)} <= {"no limit", "no number"}
    assert card.locator("td.rank").all_inner_texts() == ["–", *["1"] * (len(ranks) - 1)]


def test_limits_are_named_and_reached_by_keyboard(open_page: Open, judged: Path) -> None:
    shown_page = open_page(judged, viewport=PHONE)
    box = shown_page.get_by_label("Survival at 1000 K, 10 ps of ethanol, at least, in share")
    box.focus()
    shown_page.keyboard.press("ArrowUp")
    assert box.input_value() == "1.5"
    width = shown_page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], "the page itself does not scroll sideways"


def test_methods_have_formulas_and_give_away_their_references(
    open_page: Open, judged: Path, keep: Callable[[Page, str], None]
) -> None:
    shown_page = open_page(judged)
    methods = shown_page.locator("#methods")
    assert methods.locator("math").count() >= 3
    assert methods.locator("math").first.bounding_box()["width"] > 20  # type: ignore[index]
    for button, name, part in (
        ("References as BibTeX", "references.bib", "@inproceedings{batatia2022"),
        ("Text as LaTeX", "methods.tex", "\\cite{batatia2022}"),
    ):
        with shown_page.expect_download() as started:
            methods.get_by_role("button", name=button).click()
        assert started.value.suggested_filename == name
        assert part in Path(started.value.path()).read_text(encoding="utf-8")
    assert (judged.parent / "references.bib").read_text(encoding="utf-8").startswith("@")
    methods.locator(".citation a").first.click()
    assert shown_page.locator("#reference-1").is_visible()
    keep(shown_page, "report-card")
