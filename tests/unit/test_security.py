"""What hostile files and configs must not do: run code, leave their folder, fill the disk, reach a shell or a port."""

from __future__ import annotations

import ast
import bz2
import contextlib
import gzip
import importlib.util
import io
import json
import lzma
import os
import pickle
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import model_examples
import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import molecule

from longhot import datasets, files, frames, models, pickles, references
from longhot.block import InputError
from longhot.config import reading
from longhot.datasets import _fetch, qm7x, rmd17
from longhot.datasets._molecule import from_file

ROOT = Path(__file__).resolve().parents[2]


# What stands in the code


UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {
    *("eval", "exec", "__import__", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "pandas.read_pickle", "pd.read_pickle"),
    *("torch.jit.load", "torch.package.PackageImporter", "tarfile.TarFile.extractall", "shutil.unpack_archive"),
}
PORTS = {"socketserver", "http.server", "xmlrpc.server", "wsgiref", "asyncio"}
BENCHMARK = "reads the model that the same benchmark has just written, as MACE's own calculator does"
ALLOWED = {
    (
        "workflow/longhot/config/reading.py",
        "yaml.load",
    ): "with a loader that derives from the safe one: tested below",
    ("tests/unit/test_security.py", "import pickle"): "makes the canaries",
    ("tests/unit/test_mace_kernels.py", "import pickle"): "makes the canaries",
    (
        "workflow/longhot/references/_guard.py",
        "import pickle",
    ): "through pipes to a process of its own, as multiprocessing does",
    ("tests/unit/test_overhead.py", "exec"): "burns time by a line that stands in the test",
    ("tests/unit/test_faults_integrity.py", "shell"): "runs sha256sum as a user does, on names that the test made",
    ("tests/benchmarks/dynamics.py", "torch.load without weights_only=True"): BENCHMARK,
}
"""What may stand where, and why."""


def dotted(node: ast.AST) -> str:
    """The name of what is called, such as ``torch.load``; empty for anything but names."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What in a source could run code that stands in data, or open a port."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            yield from (f"import {one}" for one in names if one.partition(".")[0] in UNSAFE_MODULES or one in PORTS)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        given = {one.arg: one.value for one in node.keywords if one.arg}
        if name in UNSAFE_CALLS or name.endswith((".extractall", ".listen", ".Unpickler")):
            yield name
        if name == "yaml.load":
            yield name
        if name.endswith("torch.load") and not _is(given.get("weights_only"), True):
            yield "torch.load without weights_only=True"
        if "allow_pickle" in given and not _is(given["allow_pickle"], False):
            yield "allow_pickle"
        if "shell" in given and not _is(given["shell"], False):
            yield "shell"


def _is(node: ast.AST | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def sources() -> list[Path]:
    return sorted(path for folder in ("workflow", "tests", "envs") for path in (ROOT / folder).rglob("*.py"))


def test_nothing_unsafe_stands_in_the_code() -> None:
    found = {
        (str(path.relative_to(ROOT)), what)
        for path in sources()
        for what in unsafe(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found - ALLOWED.keys() == set(), "mend it, or add it to ALLOWED with its reason"
    assert ALLOWED.keys() - found == set(), "no longer there, remove it from ALLOWED"


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from dill import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "eval(text)",
        "archive.extractall()",
        "import http.server",
    ],
)
def test_the_check_sees(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


def test_rules_run_no_shell_and_yaml_is_read_safely() -> None:
    """A rule without shell lines needs no quotes; scripts get config values as Python objects."""
    for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]:
        assert not re.search(r"^\s*(shell|run|wrapper|cwl|notebook)\s*:|\bshell\(", path.read_text(), re.M), path
    assert issubclass(reading._StrictLoader, yaml.SafeLoader)


# Payloads


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A place where no test may leave anything."""
    place = tmp_path / "canary"
    pickle.loads(pickle.dumps(Payload(place)))
    assert place.is_dir(), "the payload must work where it is loaded"
    place.rmdir()
    yield place
    assert not place.exists(), "the payload ran"


def torch_file(path: Path, canary: Path, zipped: bool = True) -> None:
    import torch

    torch.save({"weights": Payload(canary)}, path, _use_new_zipfile_serialization=zipped)


DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "mace": {
        "config": {"family": "mace", "gradient_steps": 10},
        "atomic_numbers": [1, 8],
        "atomic_energies_eV": {"H": -13.6, "O": -2041.0},
        "statistics": {"mean": 0.0, "std": 1.0, "avg_num_neighbors": 2.0},
    },
    "gp": {"config": {"family": "gp"}, "atomic_energies_eV": {"H": -13.6, "O": -2041.0}, "signal_eV": 1.0},
}


@pytest.mark.parametrize("family", sorted(DESCRIPTIONS))
@pytest.mark.parametrize("disguise", ["pickle", "torch", "old torch"])
def test_a_pickle_in_place_of_weights_does_not_run(family: str, disguise: str, tmp_path: Path, canary: Path) -> None:
    files.write_json(tmp_path / "model.json", {"family": family, **DESCRIPTIONS[family]})
    weights = tmp_path / "model.safetensors"
    if disguise == "pickle":
        weights.write_bytes(pickle.dumps(Payload(canary)))
    else:
        torch_file(weights, canary, zipped=disguise == "torch")
    with pytest.raises(Exception, match=r"(?i)header|safetensor"):
        models.load(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_payload_in_a_checkpoint_does_not_run(
    zipped: bool, methanol: list[Atoms], tmp_path: Path, canary: Path
) -> None:
    torch_file(tmp_path / "payload", canary, zipped)
    files.write_checkpoint(tmp_path / ".checkpoint.pt", (tmp_path / "payload").read_bytes())
    with contextlib.suppress(Exception):  # whether the fit begins anew or ends is tested with the fits
        model_examples.fit("mace", methanol[:10], tmp_path, gradient_steps=5)


@pytest.mark.parametrize(
    "content",
    [
        {"family": "../../evil"},
        {"family": "os"},
        {"family": "__init__"},
        {"family": "reference", "reference_method": {"method": "../ase"}},
        {"family": "nonml", "shifts_eV": {}, "reference_method": {"method": "ase", "level_of_theory": "x"}},
    ],
)
def test_a_model_folder_names_no_code(content: dict[str, Any], tmp_path: Path) -> None:
    files.write_json(tmp_path / "model.json", content)
    with pytest.raises(InputError):
        models.load(tmp_path)


def ase_block(calculator: str, **more: Any) -> Any:
    return references.parse({"method": "ase", "calculator": calculator, "level_of_theory": "none", **more})


@pytest.mark.parametrize(
    "block",
    [
        {"calculator": "os.mkdir", "arguments": {"path": "CANARY"}},
        {"calculator": "subprocess.Popen", "arguments": {"args": ["mkdir", "CANARY"]}},
        {"calculator": "subprocess.getoutput", "arguments": {"cmd": "mkdir CANARY"}},
        {
            "calculator": "fake_calculators.Springs",
            "arguments": {"calls": {"import": "os.mkdir", "arguments": {"path": "CANARY"}}},
        },
        {
            "calculator": "ase.calculators.orca.ORCA",
            "arguments": {"profile": {"import": "subprocess.Popen", "arguments": {"args": ["mkdir", "CANARY"]}}},
        },
        {"calculator": "ase.calculators.siesta.Siesta", "arguments": {"command": "siesta; mkdir CANARY"}},
        {"calculator": "ase.calculators.dftb.Dftb", "arguments": {"command": "true && mkdir CANARY"}},
        {"calculator": "ase.calculators.dftb.Dftb", "arguments": {"command": "true", "label": "$(mkdir CANARY)"}},
    ],
)
def test_a_reference_runs_no_code_but_its_program(block: dict[str, Any], tmp_path: Path, canary: Path) -> None:
    block = json.loads(json.dumps(block).replace("CANARY", str(canary)))
    with pytest.raises(InputError):
        references.label([molecule("H2O")], ase_block(**block))


MAKERS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zlib": zlib.compress,
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("made", sorted(MAKERS))
def test_pickles_are_known_in_any_dress(protocol: int, made: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(MAKERS[made](pickle.dumps({"a": [1, 2.0, "text"]}, protocol=protocol)))
    assert pickles.holds_pickle(path)


def test_other_files_are_no_pickles(tmp_path: Path, canary: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "weights")
    np.savez_compressed(tmp_path / "arrays.npz", a=np.zeros(3))
    frames.write(tmp_path / "frames.xyz", [frames.labelled(molecule("H2O"), 0.0, np.zeros((3, 3)))])
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["a"] = [1, 2]
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("Cu 1.0\nall is well.\n")
    for path in tmp_path.iterdir():
        assert not pickles.holds_pickle(path), path
    torch_file(tmp_path / "torch", canary)
    torch_file(tmp_path / "old torch", canary, zipped=False)
    assert pickles.holds_pickle(tmp_path / "torch")
    assert pickles.holds_pickle(tmp_path / "old torch")


def test_a_users_pickle_is_given_to_a_calculator_only_where_it_is_trusted(tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "foreign.model"
    path.write_bytes(pickle.dumps(Payload(canary)))
    arguments, sha256 = {"nested": [{"path": str(path)}]}, files.sha256(path)
    with pytest.raises(InputError, match=rf"foreign.model: holds a Python pickle.*`trusted_files`.*{sha256}"):
        pickles.check_trusted(arguments, {})
    with pytest.raises(InputError, match=r"its SHA-256 is .*, not 0{64} as `trusted_files` says"):
        pickles.check_trusted(arguments, {str(path): "0" * 64})
    pickles.check_trusted(arguments, {str(path): sha256})
    block = {"calculator": "fake_calculators.Springs", "arguments": {"calls": str(path)}}
    with pytest.raises(InputError, match="holds a Python pickle"):
        references.new_calculator(ase_block(**block))
    assert references.new_calculator(ase_block(**block, trusted_files={str(path): sha256})).calls == str(path)


@pytest.mark.parametrize("suffix", ["traj", "xyz", "json", "db", "pckl", "bundle"])
def test_a_pickle_in_place_of_a_structure_does_not_run(suffix: str, tmp_path: Path, canary: Path) -> None:
    path = tmp_path / f"molecule.{suffix}"
    path.write_bytes(b"PickleTrajectory" * (suffix == "bundle") + pickle.dumps(Payload(canary)))
    with pytest.raises(InputError, match=r"cannot be read|no valid"):
        from_file(path)


# Archives and data files


RMD17 = {"source": "rmd17", "n_train_pool": 5, "n_valid": 2, "n_test": 3, "molecule": "water"}


def arrays() -> dict[str, np.ndarray]:
    coords = np.stack([molecule("H2O").positions] * 10) + np.random.default_rng(0).normal(0, 0.05, (10, 3, 3))
    return {
        "nuclear_charges": np.array([8, 1, 1]),
        "coords": coords,
        "energies": np.zeros(10),
        "forces": np.zeros((10, 3, 3)),
    }


def npz(path: Path, **changes: Any) -> bytes:
    np.savez(path, **(arrays() | changes))
    return path.read_bytes()


def test_a_pickled_array_does_not_run(tmp_path: Path, canary: Path) -> None:
    npz(tmp_path / "a.npz", energies=np.array([Payload(canary)] * 10, dtype=object))
    with pytest.raises(InputError, match=r"a.npz: truncated or no valid npz"):
        rmd17.read_npz(tmp_path / "a.npz")


def archive(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w:bz2") as made:
        for entry, content in entries:
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    "name", ["../../rmd17_water.npz", "/tmp/longhot-escape/rmd17_water.npz", "a/../../rmd17_water.npz"]
)
def test_a_member_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    content = npz(tmp_path / "a.npz")
    path, work = tmp_path / "x" / "y" / "rmd17.tar.bz2", tmp_path / "x" / "y" / "work"
    path.parent.mkdir(parents=True)
    archive(path, [(tarfile.TarInfo(name), content)])
    made = datasets.parse(RMD17 | {"path": str(path)})
    assert len(rmd17.splits(made, None, work).train_pool) == 5  # type: ignore[arg-type]
    assert [one.relative_to(work) for one in tmp_path.rglob("rmd17_water.npz")] == [Path("rmd17_water.npz")]
    assert not Path("/tmp/longhot-escape").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_member_that_points_elsewhere_is_no_data(kind: bytes, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("rmd17_water.npz")
    entry.type, entry.linkname = kind, "/etc/passwd"
    archive(tmp_path / "a.tar.bz2", [(entry, b"")])
    with pytest.raises(InputError, match=r"a.tar.bz2: holds no rmd17_water.npz"):
        _fetch.member(tmp_path / "a.tar.bz2", "rmd17_water.npz", tmp_path / "work")


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """A limit that a quick bomb exceeds."""
    monkeypatch.setattr(_fetch, "ALWAYS_ALLOWED_BYTES", 1_000_000)
    return 20_000_000


@pytest.mark.parametrize("member", ["rmd17_water.npz", "other"])
def test_a_tar_bomb_is_not_unpacked(member: str, small_limit: int, tmp_path: Path) -> None:
    archive(tmp_path / "a.tar.bz2", [(tarfile.TarInfo(member), bytes(small_limit))])
    with pytest.raises(InputError, match=r"a.tar.bz2: unpacks to more than 1000000 bytes"):
        _fetch.member(tmp_path / "a.tar.bz2", "rmd17_water.npz", tmp_path / "work")
    assert not [one for one in tmp_path.rglob("*") if one.is_file() and one.name != "a.tar.bz2"]


def test_a_bomb_in_the_header_of_an_archive_is_not_read(small_limit: int, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.bz2", "w:bz2", format=tarfile.PAX_FORMAT) as made:
        entry = tarfile.TarInfo("a")
        entry.pax_headers = {"comment": "x" * small_limit}
        made.addfile(entry)
    for read in (_fetch.is_archive, lambda path: _fetch.member(path, "a.npz", tmp_path)):
        with pytest.raises(InputError, match="unpacks to more than"):
            read(tmp_path / "a.tar.bz2")


def test_an_xz_bomb_is_not_unpacked(small_limit: int, tmp_path: Path) -> None:
    path = tmp_path / "1000.xz"
    path.write_bytes(lzma.compress(bytes(small_limit), preset=0))
    with pytest.raises(InputError, match=r"1000.xz: unpacks to more than 1000000 bytes"):
        _fetch.unpacked_xz(path, tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())


def test_an_npz_bomb_is_not_unpacked(small_limit: int, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **(arrays() | {"forces": np.zeros((small_limit // 72, 3, 3))}))
    with pytest.raises(InputError, match=r"a.npz: would unpack to \d+ bytes"):
        rmd17.read_npz(path)


def test_an_npz_of_a_huge_declared_shape_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13, 3)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as made:
        for key in rmd17.KEYS:
            made.writestr(f"{key}.npy", header.getvalue())
    with pytest.raises(InputError, match=r"a.npz: truncated or no valid npz"):
        rmd17.read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("trick", ["soft link", "external link", "external data", "virtual"])
def test_a_data_file_shows_no_other_file(trick: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = np.array([8, 1, 1])
    with h5py.File(tmp_path / "1000.hdf5", "w") as file:
        group = file.create_group("1/Geom-m1-i1-c1-opt")
        if trick == "soft link":
            group[qm7x.NUMBERS] = h5py.SoftLink("/1")
        elif trick == "external link":
            group[qm7x.NUMBERS] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "numbers")
        elif trick == "external data":
            group.create_dataset(qm7x.NUMBERS, shape=(3,), dtype="i8", external=[(str(tmp_path / "secret.h5"), 0, 24)])
        else:
            layout = h5py.VirtualLayout(shape=(3,), dtype="i8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "numbers", shape=(3,))
            group.create_virtual_dataset(qm7x.NUMBERS, layout)
    raw = {"source": "qm7x", "files": [{"path": str(tmp_path / "1000.hdf5")}]}
    with pytest.raises(InputError, match=r"is missing or only a link|points at another file"):
        datasets.build(datasets.parse(raw), None, tmp_path / "out", 1)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({"url": "http://example.org/a.npz", "sha256": "0" * 64}, "url"),
        ({"url": "ftp://example.org/a.npz", "sha256": "0" * 64}, "url"),
        ({"url": "file:///etc/passwd", "sha256": "0" * 64}, "url"),
        ({"url": "https://example.org/a.npz"}, "sha256: missing, a download is not trusted without it"),
        ({"url": "https://example.org/a.npz", "sha256": "abc"}, "sha256"),
    ],
)
def test_downloads_need_https_and_a_checksum(place: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        datasets.parse(RMD17 | place)


# Ports


def children(pid: int) -> set[int]:
    """A process and all that it started."""
    found, waiting = set(), [pid]
    while waiting:
        one = waiting.pop()
        found.add(one)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def listening(pids: set[int]) -> set[str]:
    """Local addresses on which processes wait for connections."""
    held = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    held.add(str(descriptor.readlink()))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        if Path("/proc/net", name).exists()
        for line in Path("/proc/net", name).read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held}


WATCHED = """
import sys
from pathlib import Path
from ase.build import molecule
from longhot import references
from longhot.config import Protocol
from longhot.dynamics.engine import simulate

frames = [molecule("H2O") for _ in range(40)]
for index, frame in enumerate(frames):
    frame.positions[0, 0] += 0.001 * index
xtb = references.parse({"method": "xtb"})
assert all(one.status == "ok" for one in references.label(frames, xtb, workers=2))
protocol = Protocol(temperatures_K=[300], replicas=2, duration_ps=0.2, frame_interval_fs=20)
simulate(references.ReferencePotential(xtb), frames[:2], protocol, 0, Path(sys.argv[1]))
"""


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc to see who listens")
def test_nothing_listens_on_a_port(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    process = subprocess.Popen([sys.executable, "-c", WATCHED, str(tmp_path)], env=environment)
    seen: set[str] = set()
    most = 0
    while process.poll() is None:
        family = children(process.pid)
        most = max(most, len(family))
        seen |= listening(family)
        threading.Event().wait(0.02)
    assert process.returncode == 0
    assert most >= 3, "the workers were not seen"
    assert seen == set()


def test_the_watch_sees_a_port() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert f"0100007F:{server.getsockname()[1]:04X}" in listening({os.getpid()})


# The audit of dependencies


def audit_module() -> Any:
    specification = importlib.util.spec_from_file_location("audit", ROOT / "envs" / "audit.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


SOUND = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "version": "2", "skip_reason": "not found"}
BAD = {"name": "c", "version": "3", "vulns": [{"id": "PYSEC-1", "fix_versions": ["4"]}]}


@pytest.mark.parametrize(
    ("packages", "sentence", "code"),
    [
        ([SOUND], "No known vulnerabilities in 1 packages.", 0),
        ([SOUND, SKIPPED], "No known vulnerabilities in 1 packages; 1 could not be looked up.", 0),
        ([SKIPPED], "Nothing was audited: the vulnerability service could not be reached from here", 0),
        ([SOUND, SKIPPED, BAD], "c 3: PYSEC-1, mended in 4", 1),
    ],
)
def test_the_audit_says_what_it_knows(packages: list[dict[str, Any]], sentence: str, code: int) -> None:
    (line,), found = audit_module().verdict({"dependencies": packages})
    assert line.startswith(sentence)
    assert found == code
