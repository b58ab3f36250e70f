"""Published files: from a local path, or by download with checksum and retries; archives unpacked."""

from __future__ import annotations

import logging
import lzma
import shutil
import tarfile
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from longhot import files
from longhot.block import Block, InputError

logger = logging.getLogger(__name__)

RETRIES = 3
TIMEOUT_S = 60
XZ_MAGIC = b"\xfd7zXZ\x00"


class SourceFile(Block):
    """One published file."""

    path: Path | None = Field(None, description="The file on this machine.")
    url: str | None = Field(
        None, description="Where to download it from, once; needs `sha256`.", pattern=r"^https://\S+$"
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
    path = source.path if source.path is not None else _download(source)
    if not path.is_file():
        raise InputError(f"{path}: no such file, correct the path in the config")
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
    name = f"{source.sha256[:16]}-{source.url.rstrip('/').rpartition('/')[2]}"
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
            f"{source.url}: no download after {RETRIES} retries ({' '.join(str(error).split())}), "
            "check the address and `sha256`, or download it by hand and give its `path`"
        ) from None


def _downloader() -> Any:
    import pooch

    return pooch.HTTPDownloader(timeout=TIMEOUT_S)


def member(archive: Path, name: str, workdir: Path) -> Path:
    """The one member of a tar archive whose path ends with ``name``, unpacked into ``workdir``.

    Raises:
        InputError: no such member, or a truncated archive.
    """
    target = workdir / Path(name).name
    try:
        with tarfile.open(archive) as opened:
            for entry in opened:
                if entry.isfile() and (entry.name == name or entry.name.endswith(f"/{name}")):
                    handle = opened.extractfile(entry)
                    assert handle is not None
                    with files.atomic_path(target) as temporary, handle, temporary.open("wb") as out:
                        shutil.copyfileobj(handle, out)
                    return target
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError) as error:
        raise InputError(f"{archive}: truncated or no valid archive ({error}), get it again") from None
    raise InputError(f"{archive}: holds no {name}, correct the molecule's name or give another archive")


def unpacked_xz(path: Path, workdir: Path) -> Path:
    """``path``, or what it holds where it is compressed by xz, unpacked into ``workdir``.

    Raises:
        InputError: a truncated file.
    """
    with path.open("rb") as handle:
        if handle.read(len(XZ_MAGIC)) != XZ_MAGIC:
            return path
    target = workdir / f"{path.name.removesuffix('.xz')}.unpacked"
    try:
        with files.atomic_path(target) as temporary, lzma.open(path) as handle, temporary.open("wb") as out:
            shutil.copyfileobj(handle, out)
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"{path}: truncated or no valid xz file ({error}), get it again") from None
    return target
