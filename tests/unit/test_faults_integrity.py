"""Digests of what jobs leave: any flipped bit is found before it is used, and named with what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from longhot import integrity
from longhot.block import InputError

GENERATOR = np.random.default_rng(0)
CONTENTS = {
    "datasets/water/test.extxyz": 900,
    "models/water/mace/n5/seed0/model.json": 200,
    "models/water/mace/n5/seed0/model.safetensors": 3000,
    "models/water/mace/n5/seed0/.checkpoint.pt": 3000,
    "simulations/water/mace/n5/seed0/frames.h5": 100_000,
    "active_learning/random/round1/records.json": 300,
    "active_learning/random/round1/seed0/train.extxyz": 400,
    "active_learning/random/round1/seed0/members/0/model.safetensors": 500,
    "active_learning/random/round1/seed0/md/.partial/frames.bin": 500,
    "compiled/water/mace/kernels.json": 50,
    "compiled/water/mace/ab/kernel.so": 5000,
    "compiled/water/mace/.snakemake_timestamp": 0,
    "tables/recheck.csv": 700,
    "tables/robustness.csv": 700,
}
OUTPUTS = [
    "datasets/water/test.extxyz",
    "models/water/mace/n5/seed0/model.json",
    "simulations/water/mace/n5/seed0/frames.h5",
    "active_learning/random/round1/records.json",
    "compiled/water/mace",
    "tables/recheck.csv",
]
CHECKED = [name for name in CONTENTS if "/." not in name and name != "tables/robustness.csv"]
"""Files that an output is or that belong to it."""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a file of each kind, seen from the folder that Snakemake runs in."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results/mine")
    for name, size in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(GENERATOR.bytes(size))
    for name in OUTPUTS:
        integrity.record(folder, folder / name)
    return folder


def output_of(name: str) -> str:
    """The output that a file is, or belongs to."""
    folders = {"active_learning": OUTPUTS[3], "compiled": OUTPUTS[4], "models": OUTPUTS[1]}
    return folders.get(name.partition("/")[0], name)


def flip(path: Path) -> None:
    """One random bit."""
    content = bytearray(path.read_bytes())
    content[GENERATOR.integers(len(content))] ^= 1 << int(GENERATOR.integers(8))
    path.write_bytes(content)


@pytest.mark.parametrize("name", CHECKED)
def test_a_flipped_bit_is_named_with_what_to_do(study: Path, name: str) -> None:
    made, digests = study / output_of(name), study / ".sha256" / f"{output_of(name)}.sha256"
    flip(study / name)
    with pytest.raises(InputError) as caught:
        integrity.verify(study, made)
    message = str(caught.value)
    assert message.startswith(f"{study / name}: has changed since it was made")
    assert f"remove {made.parent if made.name == 'records.json' else made} and run again" in message
    assert f"remove {digests} to accept it" in message
    assert "\n" not in message
    assert integrity.damaged(study) == [message]
    for other in OUTPUTS:
        if study / other != made:
            integrity.verify(study, study / other)


@pytest.mark.parametrize("name", CHECKED)
def test_a_lost_file_is_named(study: Path, name: str) -> None:
    (study / name).unlink()
    with pytest.raises(InputError, match=f"^{re.escape(str(study / name))}: is gone"):
        integrity.verify(study, study / output_of(name))


def test_a_change_that_is_meant_is_accepted_as_the_message_says(study: Path) -> None:
    flip(study / "tables/recheck.csv")
    integrity.digest_file(study, study / "tables/recheck.csv").unlink()
    integrity.verify(study, study / "tables/recheck.csv")
    assert integrity.damaged(study) == []


def test_sound_study_passes_and_may_move(study: Path) -> None:
    assert integrity.damaged(study) == []
    moved = Path(shutil.move(study, "results/renamed"))
    assert integrity.damaged(moved) == []
    assert len(list(moved.glob(".sha256/**/*.sha256"))) == len(OUTPUTS)


def test_what_is_not_of_the_study_passes(study: Path) -> None:
    """Files of the user, templates, and results from before there were digests."""
    Path("mine.xyz").write_text("1")
    for path in ("mine.xyz", "results/other/x.csv", study / "tables/robustness.csv"):
        integrity.verify(study, Path(path))


def test_what_a_killed_job_left_of_its_digests_is_no_damage(study: Path) -> None:
    (study / ".sha256/tables/.recheck.csv-abcd.sha256").write_text("00")
    assert integrity.damaged(study) == []


def test_a_folder_without_digests_is_no_sound_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.sha256, give the results folder"):
        integrity.damaged(tmp_path)


def test_files_that_a_compiler_adds_are_no_damage(study: Path) -> None:
    (study / "compiled/water/mace/ab/more.so").write_bytes(b"more")
    assert integrity.damaged(study) == []


def test_made_anew_means_new_digests(study: Path) -> None:
    name = study / "tables/recheck.csv"
    name.write_text("other")
    integrity.record(study, name)
    integrity.verify(study, name)


def test_sha256sum_reads_the_digests(study: Path) -> None:
    command = "sha256sum --check --quiet $(find .sha256 -type f)"
    assert subprocess.run(command, shell=True, cwd=study, check=False, capture_output=True).returncode == 0
    flip(study / CHECKED[0])
    done = subprocess.run(command, shell=True, cwd=study, check=False, capture_output=True, text=True)
    assert CHECKED[0] in done.stdout


def test_check_of_a_whole_study_by_hand(study: Path) -> None:
    command = [sys.executable, "-m", "longhot.integrity", str(study)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout == f"{study}: everything is as it was made\n"
    flip(study / CHECKED[0])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": ":".join(sys.path)})
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert done.stdout.startswith(str(study / CHECKED[0]))
