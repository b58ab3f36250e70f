"""How large the page may become, and what it leaves out to stay below that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from longhot.report.figures import FigureView
from longhot.report.statements import listed
from longhot.report.viewer import Viewer
from longhot.report.views import TableView

MOST_BYTES = 15_000_000
"""Of the page: it still opens from disk at once, and passes as an attachment."""
LARGE_PLOT_BYTES = 100_000
"""Packed. To leave out smaller plots frees little: structures and rows go first, and these stay."""
SPARE_BYTES = 20_000
"""For what the page says of that which it leaves out."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Content:
    """What the page may leave out, and what is left out already."""

    figures: list[FigureView]
    viewer: Viewer | None
    tables: list[TableView]
    blobs: dict[str, str]
    """What the page unpacks for these, by its id."""
    without_plot: tuple[str, ...] = ()
    """Titles of the figures that lost their interactive form."""
    without_structures: bool = False
    without_rows: tuple[str, ...] = ()
    """Titles of the tables that lost all but their first rows."""

    @property
    def n_bytes(self) -> int:
        """Size of what the page unpacks."""
        return sum(map(len, self.blobs.values()))

    @property
    def left_out(self) -> list[str]:
        """Sentences on what is left out, and where to find it."""
        said = []
        if self.without_plot:
            said.append(
                f"The interactive form of {listed([f'“{one}”' for one in self.without_plot])}: drawings stand "
                "instead, and the tables that are linked above them hold the numbers."
            )
        if self.without_structures:
            said.append(
                "The structures and their viewer: report/structures.json.gz holds what would be shown; failures.extxyz "
                "under simulations/ and recheck.npz under rechecks/ hold all."
            )
        if self.without_rows:
            titles = listed([f"“{one}”" for one in self.without_rows])
            said.append(f"Later rows of {titles}: the file that is named below each table has all.")
        return said


def fitted(content: Content, render: Callable[[Content], str], most_bytes: int = MOST_BYTES) -> str:
    """The page with as much of its content as keeps it small enough.

    Args:
        content: all of it.
        render: gives the page of some content.
        most_bytes: size that the page may have.
    """
    text = render(content)
    n_bytes = len(text.encode())
    if n_bytes <= most_bytes:
        return text
    most_packed = most_bytes - SPARE_BYTES - (n_bytes - content.n_bytes)
    while content.n_bytes > most_packed and (less := lighter(content)) is not None:
        content = less
    return render(content)


def lighter(content: Content) -> Content | None:
    """The content without the next thing to leave out: large plots, structures, rows of tables; None if none is left.

    Of plots, and of tables, the largest goes first.
    """
    plots = {one.name: len(content.blobs[plot_id(one.name)]) for one in content.figures if one.panels}
    large = {name: n_bytes for name, n_bytes in plots.items() if n_bytes >= LARGE_PLOT_BYTES}
    if large:
        return _without_plot(content, max(large, key=large.__getitem__))
    if content.viewer is not None:
        blobs = _without(content.blobs, *content.viewer.blobs)
        return replace(content, viewer=None, blobs=blobs, without_structures=True)
    rows = {one.title: len(content.blobs[rows_id(one)]) for one in content.tables if rows_id(one) in content.blobs}
    return _without_rows(content, max(rows, key=rows.__getitem__)) if rows else None


def plot_id(figure: str) -> str:
    """Where the page holds the interactive form of a figure."""
    return f"data-plot-{figure}"


def rows_id(table: TableView, prefix: str = "") -> str:
    """Where the page holds the rows of a long table; ``prefix`` tells apart tables that stand in it twice."""
    return f"data-{prefix}{table.anchor}"


def _without(blobs: dict[str, str], *names: str) -> dict[str, str]:
    return {name: text for name, text in blobs.items() if name not in names}


def _without_plot(content: Content, name: str) -> Content:
    why = f"Static only: with its interactive form this page would be larger than {MOST_BYTES // MEGABYTE} MB."
    figures = [replace(one, panels=None, why_static=why) if one.name == name else one for one in content.figures]
    (title,) = (one.help.title for one in figures if one.name == name)
    unused = [] if any(one.panels for one in figures) else ["library-plotly"]
    return replace(
        content,
        figures=figures,
        blobs=_without(content.blobs, plot_id(name), *unused),
        without_plot=(*content.without_plot, title),
    )


def _without_rows(content: Content, title: str) -> Content:
    (cut,) = (one for one in content.tables if one.title == title)
    return replace(
        content,
        tables=[replace(one, rows=one.first_rows) if one is cut else one for one in content.tables],
        blobs=_without(content.blobs, rows_id(cut)),
        without_rows=(*content.without_rows, title),
    )
