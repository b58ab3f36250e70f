"""Prose with citations and formulas: written once, shown as HTML with MathML, and given away as LaTeX.

A paragraph is plain text in which ``[@key]`` or ``[@key, @other]`` cites, and ``$...$`` holds a formula in LaTeX. A
paragraph that is wholly in ``$$...$$`` is a displayed formula.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

BIBLIOGRAPHY = Path(__file__).parent / "assets" / "references.bib"

_CITATION = re.compile(r" ?\[(@\w+(?:, @\w+)*)\]")
_FORMULA = re.compile(r"(\$[^$]+\$)")
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)
_LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "%&_#"},
    "Å": r"\AA{}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "²": "$^2$",
    "√": r"$\surd$",
    "ν": r"$\nu$",
}


@dataclass(frozen=True)
class Topic:
    """One headed part of the methods."""

    title: str
    paragraphs: list[str]


@dataclass(frozen=True)
class Entry:
    """One entry of the bibliography."""

    key: str
    source: str
    """The entry as it stands in the BibTeX file."""
    fields: dict[str, str]

    @property
    def link(self) -> str:
        """Where it can be read; empty where no address is known."""
        if "doi" in self.fields:
            return f"https://doi.org/{self.fields['doi']}"
        return (
            f"https://arxiv.org/abs/{self.fields['eprint']}" if "eprint" in self.fields else self.fields.get("url", "")
        )

    @property
    def text(self) -> str:
        """The entry as a reference list shows it."""
        found = {name: re.sub(r"[{}]|\\(?=&)", "", value).replace("--", "–") for name, value in self.fields.items()}
        authors = [_first_name_first(name) for name in found["author"].split(" and ")]
        where = found.get("journal") or found.get("booktitle") or found.get("publisher", "")
        where = ", ".join(filter(None, [f"{where} {found.get('volume', '')}".strip(), found.get("pages", "")]))
        if "eprint" in found and not where:
            where = f"arXiv:{found['eprint']}"
        title = found["title"].replace("``", "“").replace("''", "”")
        stop = "" if title.endswith("?") else "."
        year = f" ({found['year']})" if "year" in found else ""
        names = ", ".join(authors).replace(", others", " et al").rstrip(".")
        return f"{names}. {title}{stop} {where}{year}".rstrip(". ") + "."


def _first_name_first(name: str) -> str:
    """``Molinero, Valeria`` as ``Valeria Molinero``; a ``Jr.`` between the two comes last."""
    last, *junior, first = name.split(", ") if ", " in name else ("", name)
    return " ".join(filter(None, [first, last, *junior]))


def bibliography(path: Path = BIBLIOGRAPHY) -> dict[str, Entry]:
    """Every entry of a BibTeX file by its key."""
    entries = {}
    for source in re.findall(r"^@.*?^\}", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        key = re.match(r"@\w+\{(\w+),", source)
        if key is None:
            raise ValueError(f"{path}: no key in {source.splitlines()[0]}")
        entries[key[1]] = Entry(key[1], source, dict(_FIELD.findall(source)))
    return entries


def cited(topics: Iterable[Topic]) -> list[str]:
    """Keys in the order in which they are first cited."""
    text = " ".join(paragraph for topic in topics for paragraph in topic.paragraphs)
    return list(dict.fromkeys(key for group in _CITATION.findall(text) for key in _keys(group)))


def _keys(group: str) -> list[str]:
    return [key.removeprefix("@") for key in group.split(", ")]


def html(paragraph: str, numbers: dict[str, int]) -> str:
    """A paragraph as HTML: formulas in MathML, citations as numbers that lead to the list.

    Args:
        paragraph: the text.
        numbers: place of each cited key in the list.
    """
    if is_display(paragraph):
        return mathml(paragraph.strip("$"), "block")
    from markupsafe import escape

    shown = []
    for part in _FORMULA.split(paragraph):
        if part.startswith("$"):
            shown.append(mathml(part.strip("$"), "inline"))
        else:
            shown.append(_CITATION.sub(lambda match: _marks(match[1], numbers), str(escape(part))))
    return "".join(shown)


def is_display(paragraph: str) -> bool:
    """Whether a paragraph is a displayed formula."""
    return paragraph.startswith("$$")


def _marks(group: str, numbers: dict[str, int]) -> str:
    places = sorted(numbers[key] for key in _keys(group))
    links = ",".join(f'<a href="#reference-{place}">{place}</a>' for place in places)
    return f'<span class="citation">\N{NO-BREAK SPACE}[{links}]</span>'


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, with its LaTeX as the text alternative."""
    from latex2mathml.converter import convert
    from markupsafe import escape

    return str(convert(latex, display=display)).replace("<math ", f'<math alttext="{escape(latex)}" ', 1)


def latex(topics: Sequence[Topic]) -> str:
    """All topics as a LaTeX fragment, to be put into one's own document beside the BibTeX file."""
    lines = []
    for topic in topics:
        lines.append(f"\\subsection*{{{_plain_latex(topic.title)}}}\n")
        for paragraph in topic.paragraphs:
            if is_display(paragraph):
                lines.append(f"\\begin{{equation*}}\n{paragraph.strip('$')}\n\\end{{equation*}}\n")
            else:
                parts = [part if part.startswith("$") else _plain_latex(part) for part in _FORMULA.split(paragraph)]
                lines.append("".join(parts) + "\n")
    return "\n".join(lines)


def _plain_latex(text: str) -> str:
    out = []
    last = 0
    for match in _CITATION.finditer(text):
        out += [_escaped(text[last : match.start()]), f"~\\cite{{{','.join(_keys(match[1]))}}}"]
        last = match.end()
    return "".join([*out, _escaped(text[last:])])


def _escaped(text: str) -> str:
    return "".join(_LATEX_SIGNS.get(sign, sign) for sign in text)
