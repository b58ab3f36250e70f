"""Published files: from a local path, or by download with checksum and retries; archives unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import re
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO, cast
from urllib.parse import urljoin

from pydantic import Field, model_validator

from longhot import files
from longhot.block import Block, FilePath, InputError
from longhot.datasets._checks import existing, reason

logger = logging.getLogger(__name__)

RETRIES = 3
TIMEOUT_S = 60
OPENERS: dict[bytes, Any] = {b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open, b"\x1f\x8b": gzip.open}
"""What reads a compressed file, by its first bytes."""
LARGEST_RATIO = 100
"""Numbers compress by 2 to 10; an archive that is made to fill a disk, by a thousand and more."""
ALWAYS_ALLOWED_BYTES = 64_000_000
CHUNK_BYTES = 1_000_000


class SourceFile(Block):
    """One published file."""

    path: FilePath | None = Field(None, description="The file on this machine.")
    url: str | None = Field(
        None, max_length=2000, description="Where to download it from, once; needs `sha256`.", pattern=r"^https://\S+$"
    )
    sha256: str | None = Field(
        None,
        description="SHA-256 of the file, in hexadecimal; checked wherever the file is.",
        pattern=r"^[0-9a-f]{64}$",
    )

    @model_validator(mode="after")
    def _one_place(self) -> SourceFile:
        if (self.path is None) == (self.url is None):
            raise ValueError("path: give either the file's path or its url")
        if self.url is not None and self.sha256 is None:
            raise ValueError("sha256: missing, a download is not trusted without it")
        return self


def cache_folder() -> Path:
    """Where downloads are kept, for all studies of this user (LONGHOT_CACHE overrides it)."""
    import os

    import pooch

    return Path(os.environ.get("LONGHOT_CACHE") or pooch.os_cache("longhot"))


def local(source: SourceFile) -> Path:
    """The file on this machine, downloaded if need be, its checksum verified.

    Raises:
        InputError: no such file, no download after all retries, or another checksum.
    """
    path = existing(source.path if source.path is not None else _download(source))
    if source.sha256 is not None:
        found = files.sha256(path)
        if found != source.sha256:
            raise InputError(
                f"{path}: its SHA-256 is {found}, not {source.sha256} as the config says, "
                "it is truncated or another file: get it again or correct `sha256`"
            )
    return path


def _download(source: SourceFile) -> Path:
    import pooch

    assert source.url is not None
    assert source.sha256 is not None
    last = source.url.rstrip("/").rpartition("/")[2]
    name = f"{source.sha256[:16]}-{re.sub(r'[^A-Za-z0-9._-]', '_', last)[-100:]}"
    shelf = pooch.create(
        path=cache_folder(),
        base_url="",
        registry={name: f"sha256:{source.sha256}"},
        urls={name: source.url},
        retry_if_failed=RETRIES,
    )
    logger.info("fetching %s", source.url)
    try:
        return Path(shelf.fetch(name, downloader=_downloader()))
    except Exception as error:  # network stacks raise what they like
        raise InputError(
            f"{source.url}: no download after {RETRIES} retries ({reason(error)}), "
            "check the address and `sha256`, or download it by hand and give its `path`"
        ) from None


def _downloader() -> Any:
    import pooch

    return pooch.HTTPDownloader(timeout=TIMEOUT_S, hooks={"response": stay_encrypted})


def stay_encrypted(response: Any, **_: Any) -> None:
    """Refuse to follow a server from https to another protocol.

    Raises:
        RuntimeError: it is asked for.
    """
    target = urljoin(response.url, response.headers.get("location", ""))
    if response.is_redirect and not target.startswith("https://"):
        raise RuntimeError(f"it sends on to {target}, which is not https")


def largest_unpacked(path: Path) -> int:
    """Bytes that a compressed file may hold at most."""
    return max(ALWAYS_ALLOWED_BYTES, LARGEST_RATIO * path.stat().st_size)


class Unpacked(io.RawIOBase):
    """What a compressed file holds (or a plain one), which refuses to be read beyond a limit: of a bomb no more."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as handle:
            start = handle.read(8)
        opener = next((one for magic, one in OPENERS.items() if start.startswith(magic)), None)
        self.compressed = opener is not None
        self._file = cast(BinaryIO, opener(path) if opener else path.open("rb"))
        self._path, self._limit = path, largest_unpacked(path)

    def _allow(self, end: int) -> None:
        if self.compressed and end > self._limit:
            raise InputError(
                f"{self._path}: unpacks to more than {self._limit} bytes, {LARGEST_RATIO} times its size, no real data "
                "do, give another file"
            )

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            self._allow(offset)
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size > CHUNK_BYTES:
            self._allow(self.tell() + size)
        found = self._file.read(size)
        self._allow(self.tell())
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


def is_archive(path: Path) -> bool:
    """Whether a file is a tar archive, compressed or not."""
    try:
        with Unpacked(path) as unpacked, tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r:"):
            return True
    except (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError) as error:
        if isinstance(error, InputError):
            raise
        return False


def member(archive: Path, name: str, workdir: Path) -> Path:
    """The one member of a tar archive whose path ends with ``name``, unpacked into ``workdir``.

    Whatever paths the archive tells, the file is ``workdir`` / the last part of ``name``.

    Raises:
        InputError: no such member, a truncated archive, or one that would fill the disk.
    """
    target = workdir / Path(name).name
    try:
        with Unpacked(archive) as unpacked, tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r:") as opened:
            for entry in opened:
                if entry.isreg() and not entry.issparse() and f"/{entry.name}".endswith(f"/{name}"):
                    _copy(cast(BinaryIO, opened.extractfile(entry)), target)
                    return target
    except (tarfile.TarError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{archive}: truncated or no valid archive ({reason(error)}), get it again") from None
    raise InputError(f"{archive}: holds no {name}, correct the molecule's name or give another archive")


def _copy(source: Any, target: Path) -> None:
    """Write all that ``source`` holds to a file, atomically.

    Raises:
        ValueError: it cannot be read to its end.
    """
    with files.atomic_path(target) as temporary, source, temporary.open("wb") as out:
        while True:
            try:
                chunk = source.read(CHUNK_BYTES)
            except OSError as error:  # of the archive; one of the disk that is written is no fault of the input
                raise ValueError(str(error)) from None
            if not chunk:
                return
            out.write(chunk)


def unpacked_xz(path: Path, workdir: Path) -> Path:
    """``path``, or what it holds where it is compressed, unpacked into ``workdir``.

    Raises:
        InputError: a truncated file, or one that would fill the disk.
    """
    unpacked = Unpacked(path)
    if not unpacked.compressed:
        unpacked.close()
        return path
    target = workdir / f"{path.name.removesuffix('.xz')}.unpacked"
    try:
        _copy(unpacked, target)
    except (ValueError, EOFError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: truncated or no valid compressed file ({reason(error)}), get it again") from None
    return target
