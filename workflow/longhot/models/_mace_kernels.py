"""What a folder of compiled kernels serves, and who compiled it.

PyTorch loads kernels as pickles and as machine code, which may do whatever their author likes. So what is compiled is
sealed with a key that only this user can read, and each process works on a copy of its own of the files that the seal
names: nothing that others have put into a folder is ever loaded.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from longhot.files import read_json, sha256, write_json

logger = logging.getLogger(__name__)

KERNELS_FILE = "kernels.json"
SEAL_FILE = "seal.json"
SHRINK = 4
"""Ratio of neighbouring sizes of MD batches: a compile is dear, and so are places without a live replica."""
SMALLEST_TO_SHRINK = 32

_working: dict[Path, Path] = {}
"""Where this process compiles and loads the kernels of a folder."""
_copies: list[tempfile.TemporaryDirectory[str]] = []
"""Removed at the end of the process."""


@dataclass(frozen=True)
class Kernels:
    """Which steps were compiled; the others run eagerly."""

    training: bool
    md_sizes: list[int]
    """Replicas of the MD batches, descending."""


UNRECORDED = Kernels(training=True, md_sizes=[])
"""Without a record the training step may be compiled when it is first taken."""
REFUSED = Kernels(training=False, md_sizes=[])


def md_sizes(replicas: list[int]) -> list[int]:
    """Sizes of MD batches to compile for runs of so many ``replicas``, descending."""
    sizes = set(replicas)
    for size in replicas:
        while size >= SMALLEST_TO_SHRINK:
            size = -(-size // SHRINK)
            sizes.add(size)
    return sorted(sizes, reverse=True)


def kernels(compile_cache: Path | None) -> Kernels:
    """Read what ``seal`` wrote; what this user has not sealed is not used."""
    if compile_cache is None or not (compile_cache / KERNELS_FILE).exists():
        return UNRECORDED
    if not _sealed_files(compile_cache):
        logger.warning(
            "%s: its kernels were not compiled by this user, or were changed: these steps run eagerly, with the same "
            "numbers; remove the folder to have them compiled again",
            compile_cache,
        )
        return REFUSED
    return Kernels(**read_json(compile_cache / KERNELS_FILE))


def compile_into(folder: Path) -> None:
    """Let this process compile into a folder, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _working[folder.resolve()] = folder.resolve()


def seal(folder: Path, compiled: Kernels) -> None:
    """Record what was compiled into a folder, and that this user did it."""
    write_json(folder / KERNELS_FILE, asdict(compiled))
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock" and path.name != SEAL_FILE
    }
    try:
        write_json(folder / SEAL_FILE, {"files": files, "hmac_sha256": _signature(files)})
    except OSError as error:
        logger.warning("no key to seal the kernels with, they will not be used: %s", error)


def work_on(folder: Path) -> None:
    """Let PyTorch compile and load the kernels of a folder: in a copy, whose files are those that the seal names."""
    place = folder.resolve()
    if place not in _working:
        _copies.append(tempfile.TemporaryDirectory(prefix="longhot-kernels-", ignore_cleanup_errors=True))
        _working[place] = Path(_copies[-1].name)
        for name, digest in _sealed_files(folder).items():
            target = _working[place] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)
            if sha256(target) != digest:
                target.unlink()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_working[place])


def _sealed_files(folder: Path) -> Mapping[str, str]:
    """SHA-256 of the files that this user has compiled into a folder, by name; none where the seal is not his."""
    try:
        found = read_json(folder / SEAL_FILE)
        files = found["files"]
        if hmac.compare_digest(found["hmac_sha256"], _signature(files)):
            return {name: digest for name, digest in files.items() if (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def _signature(files: Mapping[str, str]) -> str:
    return hmac.digest(_key(), json.dumps(files, sort_keys=True).encode(), "sha256").hex()


def _key() -> bytes:
    """This user's key, made when it is first needed.

    Raises:
        OSError: it can be neither read nor made.
    """
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "longhot" / "key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(secrets.token_bytes(32))
        # Whichever of two processes comes first has made it.
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()
