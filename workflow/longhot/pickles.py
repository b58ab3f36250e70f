"""Files that hold a Python pickle, which runs whatever its author likes when it is loaded: none is, unless trusted."""

from __future__ import annotations

import bz2
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from longhot import files
from longhot.block import InputError

HEAD_BYTES = 1_000_000
"""So much of a stream tells what it is."""
PROTOCOLS = range(2, 6)
"""Those that a pickle names in its second byte; older ones have no mark and must be read to be known."""
DECOMPRESSORS: tuple[Callable[[], Any], ...] = (
    partial(zlib.decompressobj, 47),  # gzip and zlib
    bz2.BZ2Decompressor,
    lzma.LZMADecompressor,
)


def holds_pickle(path: Path) -> bool:
    """Whether a file is a pickle, compressed or not, or an archive with one in it, such as PyTorch writes."""
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(_is_pickle(archive.open(one).read(HEAD_BYTES)) for one in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error):
            return True  # what cannot be looked into is not trusted
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return _is_pickle(head) or any(_is_pickle(_unpacked(head, new())) for new in DECOMPRESSORS)


def _is_pickle(head: bytes) -> bool:
    if len(head) > 1 and head[0] == 0x80:
        return head[1] in PROTOCOLS
    try:
        for _ in pickletools.genops(head):
            pass
    except ValueError:
        return False
    return True


def _unpacked(head: bytes, decompressor: Any) -> bytes:
    """The beginning of what compressed data hold; empty where they are of another kind."""
    try:
        return decompressor.decompress(head, HEAD_BYTES)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return b""


def check_trusted(arguments: Any, trusted: Mapping[str, str]) -> None:
    """Refuse arguments that name a file with a pickle, unless the config trusts that file by its SHA-256.

    Args:
        arguments: plain data, in any depth.
        trusted: SHA-256 in hexadecimal by path, as the arguments write it.

    Raises:
        InputError: such a file, or another content than the one that is trusted.
    """
    if isinstance(arguments, dict | list):
        for one in arguments.values() if isinstance(arguments, dict) else arguments:
            check_trusted(one, trusted)
    elif isinstance(arguments, str) and _is_file(arguments):
        path = Path(arguments)
        if arguments not in trusted and not holds_pickle(path):
            return
        found = files.sha256(path)
        if arguments not in trusted:
            raise InputError(
                f"{path}: holds a Python pickle, which runs code when it is loaded: where you trust its author, "
                f"add it to `trusted_files` with its SHA-256 ({found})"
            )
        if trusted[arguments] != found:
            raise InputError(f"{path}: its SHA-256 is {found}, not {trusted[arguments]} as `trusted_files` says")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # no name that a file could have
        return False
