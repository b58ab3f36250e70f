"""The page and the drawings of a study that is too large for them: what is left out, and that the page says so."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from report_example import CONFIG, SVG, all_tables, write_study

from longhot.report import page
from longhot.report.budget import MOST_BYTES
from longhot.report.style import MOST_MARKERS, RC, save
from longhot.report.views import FIRST_ROWS

mpl.use("Agg")
import matplotlib.pyplot as plt

N_FRAMES, N_ROWS = 19_000, 20_000
ALIKE = ("first", "second", "third", "fourth")
"""Tables of about 4 MB each in the page."""
FILM = {"group": "ethanol: data", "label": "training pool", "kind": "data", "note": "", "offending": [], "frames": [0]}
STRUCTURES = {
    "films": [FILM],
    "frames": [{"key": "ethanol/train/0", "system": 0, "positions": [0, 0, 0]}],
    "systems": [{"symbols": ["H"], "periodic": False}],
    "radii_A": {"H": 0.31},
    "n_frames": 1,
}


def noise(rng: np.random.Generator) -> pd.DataFrame:
    """Numbers that no packing makes small."""
    return pd.DataFrame(rng.normal(size=(N_ROWS, 12)), columns=[f"score_{place}" for place in range(12)])


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a study of which all would have 21 MB: two large plots, structures, and four large tables."""
    rng = np.random.default_rng(0)
    own = all_tables()["recheck"].query("model != 'reference'")
    frames = pd.concat([own] * (N_FRAMES // len(own) + 1), ignore_index=True)[:N_FRAMES]
    frames["time_ps"] = np.arange(N_FRAMES) / 1000
    for name in ("force_mae_meV_per_A", "committee_force_std_meV_per_A"):
        frames[name] = rng.lognormal(4, 1, N_FRAMES)
    folder = tmp_path_factory.mktemp("large") / "demo"
    write_study(folder, all_tables() | {"recheck": frames} | {name: noise(rng) for name in ALIKE})
    (folder / "figures" / "committee_spread.svg").write_text(SVG)
    (folder / "report").mkdir()
    (folder / "report" / "structures.json.gz").write_bytes(gzip.compress(json.dumps(STRUCTURES).encode()))
    page.build(folder, CONFIG, folder / "report" / "index.html")
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


def test_a_large_study_has_a_page_below_the_limit(large_page: str) -> None:
    n_bytes = len(large_page.encode())
    assert n_bytes <= MOST_BYTES
    assert n_bytes > 0.6 * MOST_BYTES, "no more is left out than has to be"


def test_large_plots_go_before_structures_and_these_before_rows(large_page: str) -> None:
    (said,) = re.findall(r'<div class="left-out">(.*?)</div>', large_page, flags=re.DOTALL)
    assert "leaves out" in said
    assert "The interactive form of “Committee spread as a warning” and “Static error and error in MD”" in said
    assert "report/structures.json.gz holds what would be shown" in said
    (titles,) = re.findall(r"Later rows of (.*?): the file", said)
    cut = re.findall("“(.*?)”", titles)
    assert len(cut) == 2, "as few tables as need be"
    packed = set(re.findall(r'<script type="application/octet-stream" id="(.*?)">', large_page))
    rest = {name.capitalize() for name in ALIKE} - set(cut)
    assert packed >= {"library-plotly", "data-plot-learning_curves", *(f"data-table-{one.lower()}" for one in rest)}
    assert not packed & {"data-plot-committee_spread", "data-plot-robustness", "library-3dmol", "data-structures"}
    assert not packed & {f"data-table-{one.lower()}" for one in cut}
    assert large_page.count(f"The first {FIRST_ROWS} of {N_ROWS} rows; the file has all.") == len(cut)
    assert 'id="viewer"' not in large_page


def test_a_figure_without_its_plot_leads_to_its_numbers(large_page: str) -> None:
    (figure,) = re.findall(r'<figure id="figure-committee_spread".*?</figure>', large_page, flags=re.DOTALL)
    assert "would be larger than 15 MB" in figure
    assert re.findall(r'<a class="data" href="#(.*?)">', figure) == [
        "open-table-every-rechecked-frame",
        "open-table-agreement-of-orders",
    ]


def test_a_small_study_has_all_of_it(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "demo", all_tables())
    page.build(folder, CONFIG, tmp_path / "index.html")
    assert '<div class="left-out">' not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_long_tables_that_stand_twice_are_packed_twice(tmp_path: Path) -> None:
    """The first tables leave out rows and columns of the file's, so that they have rows of their own."""
    own = all_tables()["recheck"].query("model != 'reference'")
    many = pd.concat([own.assign(model=f"m{number}") for number in range(FIRST_ROWS)])
    folder = write_study(tmp_path / "demo", all_tables() | {"recheck": many})
    page.build(folder, CONFIG, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    packed = re.findall(r'data-packed="(.*?)"', text)
    assert "first-table-force-error-on-the-frames-visited-in-md" in packed
    assert {f"data-{one}" for one in packed} <= set(re.findall(r'id="(.*?)"', text))


def drawn(n_markers: int, folder: Path) -> str:
    with plt.rc_context(RC):
        figure, axes = plt.subplots()
        axes.plot(*np.random.default_rng(0).random((2, n_markers)), "o", label="frames")
        axes.plot([0, 1], [0, 1], label="a line")
        axes.legend()
        save(figure, [folder / "drawn.svg"])
        plt.close(figure)
    return (folder / "drawn.svg").read_text(encoding="utf-8")


def test_very_many_markers_are_pixels_of_a_drawing(tmp_path: Path) -> None:
    few, many = drawn(MOST_MARKERS, tmp_path), drawn(20 * MOST_MARKERS, tmp_path)
    assert few.count("<image") == 0
    assert many.count("<image") == 1
    assert len(many) < 0.5e6
    assert many == drawn(20 * MOST_MARKERS, tmp_path), "the same bytes for the same figure"
