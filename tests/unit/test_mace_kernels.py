"""Kernels are machine code and pickles: only those that this user has compiled are ever loaded."""

from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path

import pytest

from longhot.models import _mace_kernels
from longhot.models._mace_kernels import KERNELS_FILE, REFUSED, SEAL_FILE, Kernels, compile_into, kernels, seal, work_on

MADE = Kernels(training=True, md_sizes=[8])


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernels that this user has compiled, seen by a new process."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setattr(_mace_kernels, "_working", {})
    made = tmp_path / "compiled"
    compile_into(made)
    (made / "fxgraph" / "ab").mkdir(parents=True)
    (made / "fxgraph" / "ab" / "graph").write_bytes(pickle.dumps("a graph"))
    (made / "step.so").write_bytes(b"code")
    seal(made, MADE)
    _mace_kernels._working.clear()
    return made


def working(folder: Path) -> dict[str, bytes]:
    """The files that PyTorch would load, by name."""
    _mace_kernels._working.clear()
    work_on(folder)
    place = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    return {one.relative_to(place).as_posix(): one.read_bytes() for one in place.rglob("*") if one.is_file()}


def test_own_kernels_are_used_in_a_copy(folder: Path) -> None:
    assert kernels(folder) == MADE
    found = working(folder)
    assert found.keys() == {"fxgraph/ab/graph", "step.so", KERNELS_FILE}
    assert pickle.loads(found["fxgraph/ab/graph"]) == "a graph"
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) != folder
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(_mace_kernels._working[folder.resolve()])


def test_a_planted_pickle_and_a_changed_one_are_left_out(folder: Path, tmp_path: Path) -> None:
    hostile = pickle.dumps(Payload(tmp_path / "canary"))
    (folder / "fxgraph" / "ab" / "planted").write_bytes(hostile)
    (folder / "fxgraph" / "ab" / "graph").write_bytes(hostile)
    assert working(folder).keys() == {"step.so", KERNELS_FILE}
    assert not (tmp_path / "canary").exists()
    pickle.loads(hostile)
    assert (tmp_path / "canary").exists(), "the payload would have worked"


def test_the_kernels_of_another_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
    with caplog.at_level(logging.WARNING):
        assert kernels(folder) == REFUSED
    assert "not compiled by this user" in caplog.text
    assert working(folder) == {}


@pytest.mark.parametrize("seal_text", ["{}", "[]", "no json", '{"files": {"step.so": "00"}, "hmac_sha256": "00"}'])
def test_a_forged_seal_opens_nothing(folder: Path, seal_text: str) -> None:
    (folder / SEAL_FILE).write_text(seal_text)
    assert kernels(folder) == REFUSED
    assert working(folder) == {}


def test_a_seal_cannot_be_extended(folder: Path) -> None:
    found = json.loads((folder / SEAL_FILE).read_text())
    found["files"]["planted.so"] = found["files"]["step.so"]
    (folder / SEAL_FILE).write_text(json.dumps(found))
    assert kernels(folder) == REFUSED


def test_only_the_user_reads_the_key(folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "mine" / "longhot" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert [one.name for one in key.parent.iterdir()] == ["key"]


def test_without_a_home_kernels_are_compiled_but_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    compile_into(tmp_path / "compiled")
    with caplog.at_level(logging.WARNING):
        seal(tmp_path / "compiled", MADE)
    assert "no key" in caplog.text
    assert kernels(tmp_path / "compiled") == REFUSED


def test_what_lies_in_a_folder_is_gone_before_it_is_compiled_into(tmp_path: Path) -> None:
    (tmp_path / "compiled").mkdir()
    (tmp_path / "compiled" / "planted").touch()
    compile_into(tmp_path / "compiled")
    assert list((tmp_path / "compiled").iterdir()) == []
