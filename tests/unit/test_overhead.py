"""Core time that is no science: how a job measures it, and what the manifest makes of it."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

import pytest

from longhot.clock import import_clock
from longhot.report import manifest

BURN_S = 0.2
BURN = f"import time\nend = time.thread_time() + {BURN_S}\nwhile time.thread_time() < end: pass\n"


@pytest.fixture
def slow_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Module ``slow_outer`` takes twice ``BURN_S`` to import, half of it in ``slow_inner``."""
    (tmp_path / "slow_inner.py").write_text(BURN)
    (tmp_path / "slow_outer.py").write_text(f"import slow_inner\n{BURN}")
    (tmp_path / "broken.py").write_text(f"{BURN}raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("slow_inner", "slow_outer"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("slow_modules")
def test_an_import_counts_once_with_what_it_imports() -> None:
    begin_s = time.process_time()
    with import_clock() as clock:
        importlib.import_module("slow_outer")
        first_s = clock.import_s
        importlib.import_module("slow_outer")
        exec(BURN)
        with pytest.raises(RuntimeError):
            importlib.import_module("broken")
    assert 2 * BURN_S <= first_s < 2.5 * BURN_S
    assert BURN_S <= clock.import_s - first_s < 1.5 * BURN_S, "neither a loaded module nor other work counts"
    assert clock.start_s == pytest.approx(begin_s, abs=0.1)
    assert clock.overhead_s == clock.start_s + clock.import_s


@pytest.mark.usefixtures("slow_modules")
def test_the_clock_stands_still_after_its_block() -> None:
    with import_clock() as clock:
        pass
    importlib.import_module("slow_outer")
    assert clock.import_s == 0.0


def log(folder: Path, name: str, cost: str) -> None:
    (folder / name).write_text(f"2026-01-01 00:00:00 {cost}\n", encoding="utf-8")


def test_overhead_is_starts_imports_and_snakemake(tmp_path: Path) -> None:
    log(tmp_path, "a.log", "fit took 9.0 s of wall time, 8.0 s of core time (2.50 s to start and to import) and 900 MB")
    log(tmp_path, "b.log", "fit took 9.0 s of wall time, 7.0 s of core time (1.50 s to start and to import) and 800 MB")
    log(tmp_path, "old.log", "predict took 9.0 s of wall time, 50.0 s of core time and 700 MB")
    assert manifest.logged_costs(tmp_path)["fit"] == [(8.0, 2.5, 900.0), (7.0, 1.5, 800.0)]
    # Without the old log, which does not say: (2.5 + 1.5 + 5) / (8 + 7 + 5).
    expected = {"startup_core_s": 4.0, "engine_core_s": 5.0, "overhead_share": 0.45}
    assert manifest.overhead(tmp_path, 5.0) == expected


def test_no_share_where_no_job_tells(tmp_path: Path) -> None:
    assert manifest.overhead(tmp_path, None) == {"startup_core_s": None, "engine_core_s": None, "overhead_share": None}


def process(folder: Path, number: int, parent: int, seconds: int, *words: str) -> None:
    ticks = seconds * manifest.os.sysconf("SC_CLK_TCK")
    folder.joinpath(str(number)).mkdir()
    (folder / str(number) / "stat").write_text(f"{number} (a name) S {parent} 0 0 0 0 0 0 0 0 0 {ticks} {ticks} 9 9")
    (folder / str(number) / "cmdline").write_text("\0".join(words))


def test_snakemake_is_found_among_the_ancestors(tmp_path: Path) -> None:
    process(tmp_path, 1, 0, 100, "init")
    process(tmp_path, 20, 1, 7, "/venv/bin/python", "/venv/bin/snakemake", "--cores", "2")
    process(tmp_path, 30, 20, 3, "bash", "-c", "python job.py")
    process(tmp_path, 40, 30, 5, "python", "job.py")
    assert manifest.engine_core_s(tmp_path / "40") == 14.0
    assert manifest.engine_core_s(tmp_path / "1") is None
    assert manifest.engine_core_s(tmp_path / "no such process") is None
