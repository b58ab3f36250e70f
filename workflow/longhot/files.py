"""Files that are either whole or absent, the digests that identify them, and locks that hold off a second process."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from longhot.block import InputError

logger = logging.getLogger(__name__)

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that knows no locks."""
_DIGEST_BYTES = hashlib.sha256().digest_size


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of ``path`` that a process left which was killed while it wrote; nobody may write now."""
    for left in path.parent.glob(f".{glob.escape(path.stem)}-{'?' * 8}{path.suffix}"):
        left.unlink(missing_ok=True)


def visible(folder: Path, pattern: str) -> list[Path]:
    """What is in a folder by name, sorted, but for hidden files, which may be such leftovers."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def sync(path: Path) -> None:
    """Return once the file is on disk."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def lock(handle: IO[Any], busy: str) -> None:
    """Hold a file for this process until it closes ``handle`` or ends, however it ends.

    A file system that knows no locks lets everyone pass.

    Raises:
        InputError: another process holds it; the message is ``busy``.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(busy) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


class Log:
    """Append-only file, which a restart cuts to what its checkpoint knows by length and SHA-256."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, and make it where it is not; ``keep`` or ``clear`` comes next."""
        self.path = path
        self._handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        self.n_bytes, self._digest = 0, hashlib.sha256()

    def keep(self, n_bytes: int, digest: str) -> bool:
        """Cut the file to its first ``n_bytes``; False, and nothing is cut, where their SHA-256 is not ``digest``."""
        self._handle.seek(0)
        found, left = hashlib.sha256(), n_bytes
        while left and (part := self._handle.read(min(left, 2**20))):
            found.update(part)
            left -= len(part)
        if left or found.hexdigest() != digest:
            return False
        self._handle.truncate(n_bytes)
        self._handle.seek(0, os.SEEK_END)
        self.n_bytes, self._digest = n_bytes, found
        return True

    def clear(self) -> None:
        """Begin anew."""
        self.keep(0, hashlib.sha256().hexdigest())

    def digest(self) -> str:
        """SHA-256 of all that was written, in hexadecimal."""
        return self._digest.hexdigest()

    def append(self, content: bytes) -> None:
        """Write at the end."""
        self._handle.write(content)
        self._digest.update(content)
        self.n_bytes += len(content)

    def sync(self) -> None:
        """Return once all of it is on disk."""
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def lock(self, busy: str) -> None:
        """Hold the file for this process, as ``lock`` does."""
        lock(self._handle, busy)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def write_checkpoint(path: Path, content: bytes) -> None:
    """Write a checkpoint atomically, after its SHA-256; the one before it is kept beside it."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        if path.exists():
            path.replace(_previous(path))


def sound_checkpoints(path: Path) -> Iterator[bytes]:
    """What ``write_checkpoint`` wrote last, and what it wrote before that; damaged ones are removed."""
    for one in (path, _previous(path)):
        if not one.exists():
            continue
        written = one.read_bytes()
        content = written[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() == written[:_DIGEST_BYTES]:
            yield content
        else:
            logger.warning("%s is damaged and goes: the work since the checkpoint before it is done again", one)
            one.unlink()


def remove_checkpoints(path: Path) -> None:
    """Remove what ``write_checkpoint`` wrote, once nothing is to go on from it."""
    for one in (path, _previous(path)):
        one.unlink(missing_ok=True)


def _previous(path: Path) -> Path:
    return path.with_suffix(f".previous{path.suffix}")
