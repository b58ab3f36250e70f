"""Labels by worker processes: the same numbers in the same order, whatever a worker dies of, and none twice."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import fake_calculators
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from longhot import references
from longhot.block import InputError
from longhot.potential import Label
from longhot.references._workers import CHUNK_S, Progress, Queue, Workers


def fake(name: str = "Springs", **arguments: Any) -> Any:
    block = {"method": "ase", "calculator": f"fake_calculators.{name}", "level_of_theory": "none"}
    return references.parse(block | {"arguments": arguments})


def frames(n: int, first_A: float = 0.0) -> list[Atoms]:
    return [Atoms("H2", positions=[(first_A + 0.01 * index, 0, 0), (0, 1, 0)]) for index in range(n)]


def at(x_A: float) -> Atoms:
    return Atoms("H2", positions=[(x_A, 0, 0), (0, 1, 0)])


def assert_springs(labels: list[Label], expected: list[Atoms]) -> None:
    """Each label is that of its own frame."""
    for label, atoms in zip(labels, expected, strict=True):
        assert label.status == "ok", label.message
        np.testing.assert_array_equal(label.forces_eV_per_A, -atoms.positions)


def n_calls(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("workers", [2, 3])
def test_labels_are_those_of_one_process_bit_for_bit_and_in_order(workers: int) -> None:
    rng = np.random.default_rng(0)
    mixed = [molecule(name) for name in ("H2O", "CH4", "CH3OH", "H2O") * 4]
    for atoms in mixed:
        atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
    mixed[5].positions[0] = np.nan
    config = references.parse({"method": "xtb"})
    here, there = references.label(mixed, config), references.label(mixed, config, workers=workers)
    assert [one.status for one in there] == [one.status for one in here]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.energy_eV, other.energy_eV)
        np.testing.assert_array_equal(one.forces_eV_per_A, other.forces_eV_per_A)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV")])
def test_death_of_a_worker_costs_its_own_frame(number: int, name: str, tmp_path: Path) -> None:
    good = frames(40)
    mixed = [*good[:20], at(fake_calculators.DIES_AT_A), *good[20:]]
    config = fake(signal=int(number))
    labels = references.label(mixed, config, workers=2, store=tmp_path)
    assert labels[20].status == "crashed"
    assert name in labels[20].message
    assert np.isnan(labels[20].forces_eV_per_A).all()
    assert labels[20].forces_eV_per_A.shape == (2, 3)
    assert_springs(labels[:20] + labels[21:], good)


def test_every_frame_may_be_deadly() -> None:
    labels = references.label([at(fake_calculators.DIES_AT_A)] * 3, fake(), workers=2)
    assert [label.status for label in labels] == ["crashed"] * 3


def test_method_that_cannot_be_set_up() -> None:
    with pytest.raises(InputError, match="refuses its arguments"):
        references.label(frames(1), fake(nonsense=1), workers=2)
    with pytest.raises(InputError, match="ended with exit code 3 while it was set up"):
        references.label(frames(1), fake(exit_code=3), workers=2)


def test_nothing_is_labelled_twice(tmp_path: Path) -> None:
    calls, store = tmp_path / "calls", tmp_path / "labels"
    config, wanted = fake(calls=str(calls)), frames(10)
    assert_springs(references.label(wanted + wanted, config, workers=2, store=store), wanted + wanted)
    assert n_calls(calls) == 10
    more = frames(12)
    assert_springs(references.label(more[::-1], config, store=store), more[::-1])
    assert n_calls(calls) == 12


def test_one_pool_serves_many_calls_and_learns_from_its_own_store(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with Workers(fake(calls=str(calls)), 2, tmp_path / "labels") as pool:
        assert pool.label([]) == []
        assert_springs(pool.label(frames(5)), frames(5))
        assert_springs(pool.label(frames(7)), frames(7))
    assert n_calls(calls) == 7


def test_non_convergence_is_kept_and_crashes_are_tried_again(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    wanted = [at(fake_calculators.SWINGS_AT_A), at(fake_calculators.DIES_AT_A), at(1.0)]
    for _ in range(2):
        labels = references.label(wanted, fake(calls=str(calls)), store=tmp_path / "labels")
        assert [label.status for label in labels] == ["not_converged", "crashed", "ok"]
    assert n_calls(calls) == 2


def test_rescued_label_is_kept_with_its_attempts(tmp_path: Path) -> None:
    block = {"method": "pyscf", "xc": "hf", "basis": "sto-3g", "max_cycle": 1}
    config, water = references.parse(block), molecule("H2O")
    first, second = (references.label([water], config, store=tmp_path)[0] for _ in range(2))
    assert (first.status, first.attempts) == ("ok", 2)
    assert (second.energy_eV, second.wall_s, second.attempts) == (first.energy_eV, first.wall_s, 2)


def test_workers_run_on_one_thread_and_see_what_the_key_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    atoms = molecule("O2")
    atoms.set_initial_magnetic_moments([1.0, 0.5])
    atoms.info["note"] = "not for the calculator"
    (label,) = references.label([atoms], fake("Environment"), workers=2)
    assert label.energy_eV == 1.0
    np.testing.assert_array_equal(label.forces_eV_per_A[:, 0], [1.0, 0.5])


def test_log_says_the_cost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "longhot")
    references.label(frames(4), fake(), store=tmp_path)
    references.label([*frames(6), at(fake_calculators.SWINGS_AT_A)], fake(), store=tmp_path)
    assert "4 of 7 labels are in the store" in caplog.text
    assert "labelled 3 frames, 1 of them without success" in caplog.text
    assert "core seconds" in caplog.text


def test_log_says_how_it_goes(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of 40 frames in a minute: three minutes are left. An answer without labels is no progress."""
    caplog.set_level(logging.INFO, "longhot")
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = Progress(40)
    clock[0] = 60.0
    progress.add([], 0.0)
    progress.add([Label(0.0, np.zeros((1, 3)))] * 10, 5.0)
    clock[0] = 61.0
    progress.add([Label(0.0, np.zeros((1, 3)))], 5.0)
    assert [record.message for record in caplog.records] == ["labelled 10 of 40 frames, 10 a minute, 3.0 minutes left"]


INTERRUPTED = """
import signal, sys
# A parent in the background may have passed on that this signal is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from longhot import references
from test_label_workers import fake, frames
references.label(frames(60), fake(calls=sys.argv[1], sleep_s=0.1), workers=2, store=sys.argv[2])
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_interruption_keeps_what_is_done_and_leaves_no_worker(number: int, tmp_path: Path) -> None:
    calls, store, temporary = tmp_path / "calls", tmp_path / "labels", tmp_path / "temporary"
    temporary.mkdir()
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", INTERRUPTED, str(calls), str(store)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while n_calls(calls) < 12 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.wait(timeout=30)
    workers = {int(line) for line in calls.read_text().splitlines()}
    # A worker that was just starting has not called yet.
    while (any(map(alive, workers)) or list(temporary.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    assert list(temporary.iterdir()) == []
    before = n_calls(calls)
    assert 12 <= before < 60
    assert_springs(
        references.label(frames(60), fake(calls=str(calls), sleep_s=0.1), workers=2, store=store), frames(60)
    )
    # Of what the two workers had in hand, up to a chunk each is done again.
    chunk = int(CHUNK_S / 0.1)
    assert n_calls(calls) - 60 <= 2 * chunk


def test_queue_hands_out_each_frame_once_in_shares_that_shrink() -> None:
    queue, sizes, seen = Queue(100, 2), [], []
    queue_says = [queue.next()]
    while queue_says[-1]:
        sizes.append(len(queue_says[-1]))
        seen += queue_says[-1]
        queue.learn([Label(0.0, np.zeros((1, 3)), wall_s=0.01)])
        queue_says.append(queue.next())
    assert seen == list(range(100))
    assert sizes[0] == 1
    assert sizes[1] == 25
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert sizes[-1] == 1


def test_queue_gives_costly_frames_one_by_one() -> None:
    queue = Queue(10, 2)
    queue.next()
    queue.learn([Label(0.0, np.zeros((1, 3)), wall_s=8.0)])
    assert queue.next() == [1]


def test_queue_learns_nothing_from_frames_that_fail_at_once() -> None:
    queue = Queue(100, 2)
    queue.next()
    queue.learn([Label(np.nan, np.zeros((1, 3)), "crashed", wall_s=1e-5)])
    assert queue.next() == [1]


def test_queue_finds_the_deadly_frame_of_a_chunk() -> None:
    queue = Queue(20, 1)
    queue.next()
    queue.learn([Label(0.0, np.zeros((1, 3)), wall_s=0.01)])
    chunk = queue.next()
    assert len(chunk) > 2
    assert queue.died(chunk) is None
    assert [queue.next() for _ in chunk] == [[index] for index in chunk]
    assert queue.died([chunk[1]]) == chunk[1]


def program(tmp_path: Path, **arguments: Any) -> Any:
    script = tmp_path / "program.py"
    script.write_text(fake_calculators.PROGRAM)
    profile = {"import": "fake_calculators.Profile", "arguments": {"program": str(script)}}
    return fake("Program", profile=profile, **arguments)


def test_program_with_a_profile_gets_a_directory_of_its_own_in_each_worker(tmp_path: Path) -> None:
    """Its files are those of this calculation alone, and nothing of them is left."""
    seen, scratch = tmp_path / "seen", tmp_path / "scratch"
    scratch.mkdir()
    wanted = frames(12)
    labels = references.label(wanted, program(tmp_path, seen=str(seen), directory=str(scratch)), workers=2)
    assert [label.energy_eV for label in labels] == [2 * atoms.positions[0, 0] for atoms in wanted]
    directories = Counter(seen.read_text().splitlines())
    assert len(directories) == 2
    assert all(Path(directory).parent == scratch for directory in directories)
    assert list(scratch.iterdir()) == []


def test_program_without_a_directory_works_in_the_temporary_one(tmp_path: Path, monkeypatch: Any) -> None:
    seen = tmp_path / "seen"
    monkeypatch.chdir(tmp_path)
    first, second = (references.label(frames(3), program(tmp_path, seen=str(seen))) for _ in range(2))
    assert [label.energy_eV for label in first + second] == [0.0, 0.02, 0.04] * 2
    assert len(set(seen.read_text().splitlines())) == 2
    assert not (tmp_path / "in.txt").exists()


def test_profile_that_cannot_be_made(tmp_path: Path) -> None:
    for profile, sentence in (
        ({"import": "fake_calculators.NoSuch"}, "NoSuch: cannot be imported"),
        ({"import": "fake_calculators.Profile", "arguments": {"path": "x"}}, "Profile: refuses its arguments"),
    ):
        with pytest.raises(InputError, match=sentence):
            references.label(frames(1), fake("Program", profile=profile))


def test_orca_of_ase_is_made_from_plain_data(tmp_path: Path) -> None:
    """What the docstring of the plugin shows; ``command`` is any program, for none is run."""
    block = {
        "method": "ase",
        "calculator": "ase.calculators.orca.ORCA",
        "arguments": {
            "profile": {"import": "ase.calculators.orca.OrcaProfile", "arguments": {"command": "/opt/orca/orca"}},
            "directory": str(tmp_path),
            "orcasimpleinput": "PBE def2-SVP",
        },
        "level_of_theory": "PBE/def2-SVP",
    }
    made = references.new_calculator(references.parse(block))
    assert made.profile.command == "/opt/orca/orca"
    assert Path(made.directory).parent == tmp_path
    made.write_inputfiles(molecule("H2O"), ["energy", "forces"])
    assert "PBE def2-SVP" in (Path(made.directory) / "orca.inp").read_text()
