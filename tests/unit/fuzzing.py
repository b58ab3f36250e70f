"""What the fuzz tests share: how many cases they try, values that no author foresaw, and what is a sentence.

``LONGHOT_FUZZ=10`` tries ten times as many cases, others in each run.
"""

from __future__ import annotations

import datetime
import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from longhot.block import InputError

SCALE = float(os.environ.get("LONGHOT_FUZZ", "1"))
LONGEST_LINE = 600
LONGEST_CASE_S = 60
"""Far above what a sound case takes, also on a busy machine: one that runs longer hangs."""


def cases(n: int) -> settings:
    """Settings of a test that tries ``n`` cases, the same in each run unless more are asked for."""
    return settings(
        max_examples=max(1, round(SCALE * n)),
        derandomize=SCALE == 1,
        deadline=datetime.timedelta(seconds=LONGEST_CASE_S),
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


NASTY_TEXTS = [
    "",
    " ",
    ".",
    "..",
    "../../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a b",
    "a\nb",
    "a\x00b",
    "a\x1b[2Jb",
    "\u202eabc",
    "\ud800",
    "methanol\u0301",
    "水",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "| touch pwned",
    "${HOME}",
    "{study}",
    "%s%n",
    "'\"",
    "<script>alert(1)</script>",
    "nan",
    "1e400",
    "0x10",
    "8",
    "1_000",
    "null",
    "all",
    "reference",
    "x" * 300,
    "y" * 30_000,
]
NASTY_NUMBERS = [
    *(0, -1, 1, 2, 7, 2**31, 2**63, 10**30, 10**5000, True, False),
    *(0.0, -0.0, 0.5, 1e-300, 5e-324, 1e300, -1e300, 300.0000001, float("nan"), float("inf"), float("-inf")),
]


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


NASTY_OTHERS = [
    *(None, [], {}, [[]], [None], [[[]]], {"": 1}, {"a": {"b": {}}}, {1: 2}, {None: 1}, {True: 1}, (1, 2), {1, 2}),
    *(b"bytes", datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), ["a", "a"], [0, 0], [1, 1.0], [3, 2, 1]),
    *(list(range(1, 200)), _nested(15), _nested(50), [float("nan")], ["x"] * 5000),
]

nasty = (
    st.sampled_from(NASTY_TEXTS)
    | st.sampled_from(NASTY_NUMBERS)
    | st.sampled_from(NASTY_OTHERS)
    | st.text(max_size=20)
    | st.integers()
    | st.floats()
    | st.lists(st.integers(-3, 300), max_size=6)
)


def check_sentences(error: InputError, most_lines: int = 1) -> str:
    """The message of an error, which tells the user in few printable lines what is wrong and where."""
    text = str(error)
    lines = text.split("\n")
    assert len(lines) <= most_lines, text
    for line in lines:
        assert line.strip(), text
        assert len(line) <= LONGEST_LINE, line
        assert all(sign.isprintable() for sign in line), line
        assert ":" in line or "more faults" in line, line
        assert "Traceback" not in line
    return text
