"""A study in one file, to keep or to publish: a BagIt bag (RFC 8493) in a zip file.

The same results give the same bytes. An archive is verified before anything in it is used, and is read where it is:
nothing is unpacked.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import yaml

from longhot import integrity
from longhot.block import InputError
from longhot.files import atomic_path, read_json, visible

DATASET_MB = 50.0
"""Frames of all datasets together go in up to this size; beyond it the cards alone, with their checksums."""
MOST_FILES = 100_000
MOST_RATIO = 100
"""What a sound archive may grow by when it is read. Ours grow by 3 to 10."""
MOST_TEXT_MB = 500
"""Size of a table or manifest that is read into memory."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every entry: the earliest that a zip file can hold."""
CHUNK = 1 << 20

BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
CHECKSUMS = "manifest-sha256.txt"
TAG_CHECKSUMS = "tagmanifest-sha256.txt"


# Packing


def pack(study: Path, paths: Iterable[Path], texts: Mapping[str, str], out: Path) -> None:
    """Pack a study.

    Args:
        study: ``results/<study>``.
        paths: files and folders below it.
        texts: further files, by name.
        out: the zip file.

    Raises:
        InputError: a file lies outside the study, or is a link.
    """
    sources: dict[str, Path | bytes] = {f"data/{name}": text.encode() for name, text in texts.items()}
    for path in _files(paths):
        if path.is_symlink() or not path.resolve().is_relative_to(study.resolve()):
            raise InputError(f"{path}: a link, or not of {study}: it cannot go into the archive")
        sources[f"data/{path.relative_to(study).as_posix()}"] = path
    checksums, n_bytes = {}, 0
    for name in sorted(sources):
        checksums[name], size = _digest(sources[name])
        n_bytes += size
    info = f"Bag-Software-Agent: Longhot\nExternal-Identifier: {study.name}\nPayload-Oxum: {n_bytes}.{len(checksums)}\n"
    tags = {"bagit.txt": BAGIT, "bag-info.txt": info.encode(), CHECKSUMS: _lines(checksums)}
    tags[TAG_CHECKSUMS] = _lines({name: _digest(content)[0] for name, content in tags.items()})
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as bag:
        for name, source in sorted({**tags, **sources}.items()):
            _write(bag, f"{study.name}/{name}", source)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files, and those in folders but for hidden ones, which are unfinished."""
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else ()
        yield from (one for one in inside if not one.is_dir() and not one.name.startswith("."))
        if not path.is_dir():
            yield path


def _digest(source: Path | bytes) -> tuple[str, int]:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest(), len(source)
    with source.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest(), source.stat().st_size


def _lines(checksums: Mapping[str, str]) -> bytes:
    return "".join(f"{checksums[name]}  {name}\n" for name in sorted(checksums)).encode()


def _write(bag: zipfile.ZipFile, name: str, source: Path | bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, on whatever system
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    content = [source] if isinstance(source, bytes) else _chunks(source.open("rb"))
    entry.file_size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with bag.open(entry, "w") as handle:
        for chunk in content:
            handle.write(chunk)


def _chunks(handle: IO[bytes]) -> Iterator[bytes]:
    with handle:
        while chunk := handle.read(CHUNK):
            yield chunk


def contents(study: Path, paths: Iterable[Path], datasets: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """What goes into the archive of a study: ``paths`` and, up to ``DATASET_MB``, the frames of its datasets.

    Returns:
        The files, and a sentence on each thing that is left out.
    """
    frames = [path for folder in datasets for path in visible(folder, "*.extxyz")]
    size_MB = sum(path.stat().st_size for path in frames) / 1e6
    if size_MB <= DATASET_MB:
        return [*paths, *frames], []
    return list(paths), [
        f"The datasets have {size_MB:.0f} MB and are left out; their cards tell how to get them again."
    ]


def texts(config: dict[str, Any], manifest: dict[str, Any], citation: str, left_out: list[str]) -> dict[str, str]:
    """The files that describe an archive: what it is, how to cite it, and the config that makes it again."""
    name, question = config["study"]["name"], config["study"]["question"].strip()
    readme = [
        f"# Longhot study {name}",
        question,
        "`manifest.json` says what the study was made with and what it cost, `report/index.html` what came out, and "
        "`tables/`, `figures/`, `models/` and `datasets/` hold it. `CITATION.cff` says how to cite Longhot.",
        *left_out,
        "Check the files, in the folder above this one:",
        "    sha256sum --check manifest-sha256.txt",
        f"Make the study again and compare, with Longhot {manifest['longhot']}, beside its Snakefile:",
        f"    snakemake --cores all reproduce --configfile config.yaml --config against={name}.zip",
    ]
    software = {
        "@context": "https://doi.org/10.5063/schema/codemeta-2.0",
        "@type": "SoftwareSourceCode",
        "name": "Longhot",
        "version": manifest["longhot"],
        "identifier": f"sha256:{manifest['code_sha256']}",
        "license": "https://spdx.org/licenses/MIT",
        "programmingLanguage": {
            "@type": "ComputerLanguage",
            "name": "Python",
            "version": manifest["versions"]["python"],
        },
        "operatingSystem": manifest["machine"]["system"],
        "processorRequirements": manifest["machine"]["processor"],
        "softwareRequirements": [
            {"@type": "SoftwareApplication", "name": package, "version": version}
            for package, version in manifest["versions"].items()
            if package != "python"
        ],
    }
    return {
        "README.md": "\n\n".join(readme) + "\n",
        "CITATION.cff": citation,
        "codemeta.json": json.dumps(software, indent=2) + "\n",
        "config.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120),
    }


# Reading


class Archive:
    """A verified archive.

    Raises:
        InputError: it is no archive of a study, unsafe, damaged, or not what its checksums say; nothing of it may
            be used.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as bag:
                self.top = _safe(path, bag)
                self.checksums = _verify(path, bag, self.top)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise InputError(f"{path}: damaged or no zip file ({error}), get it again") from None
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: no valid archive of a study ({error}), get it again") from None

    def names(self) -> list[str]:
        """The files of the study."""
        return [name.removeprefix("data/") for name in self.checksums]

    def read(self, name: str) -> bytes:
        """A file of the study, checked once more.

        Raises:
            InputError: there is none, it is too large to be a table, or the archive has changed meanwhile.
        """
        if f"data/{name}" not in self.checksums:
            raise InputError(
                f"{self.path}: holds no {name}, it is no archive of a study: make it by `snakemake archive`"
            )
        with zipfile.ZipFile(self.path) as bag:
            entry = bag.getinfo(f"{self.top}/data/{name}")
            if entry.file_size > 1e6 * MOST_TEXT_MB:
                raise InputError(f"{self.path}: {name} has {entry.file_size / 1e6:.0f} MB, no table is that large")
            content = bag.read(entry)
        if hashlib.sha256(content).hexdigest() != self.checksums[f"data/{name}"]:
            raise InputError(f"{self.path}: {name} has changed since it was verified, start again")
        return content


def _safe(path: Path, bag: zipfile.ZipFile) -> str:
    """The one folder at the top, once no entry can lead out of it, hide another, or grow without bounds."""
    entries = bag.infolist()
    if len(entries) > MOST_FILES:
        raise InputError(f"{path}: has {len(entries)} files, more than {MOST_FILES}: not opened")
    names = [entry.filename for entry in entries]
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        if (
            entry.filename != "/".join(parts)
            or not parts
            or {"..", "/", "."} & set(parts)
            or re.search(r"[\\\x00-\x1f:]", entry.filename)
            or stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG)
            or entry.flag_bits & 1
        ):
            raise InputError(f"{path}: holds {entry.filename!r}, which is no plain file inside it: not opened")
    if len({name.lower() for name in names}) < len(names):
        raise InputError(f"{path}: holds two files of one name: not opened")
    declared, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if declared > MOST_RATIO * size:
        raise InputError(f"{path}: {size / 1e6:.3g} MB would become {declared / 1e6:.3g} MB, a bomb: not opened")
    tops = {name.partition("/")[0] for name in names}
    if len(tops) != 1:
        raise InputError(f"{path}: holds {len(tops)} folders at its top, not one: make it by `snakemake archive`")
    return tops.pop()


def _verify(path: Path, bag: zipfile.ZipFile, top: str) -> dict[str, str]:
    """Checksums of the payload by name, once every file has been read and found to be the one listed."""
    present = {entry.filename.removeprefix(f"{top}/") for entry in bag.infolist()}
    for tag in ("bagit.txt", CHECKSUMS, TAG_CHECKSUMS):
        if tag not in present:
            raise InputError(f"{path}: lacks {tag}, it is no archive of a study: make it by `snakemake archive`")
    payload = _listed(path, bag, top, CHECKSUMS)
    tags = _listed(path, bag, top, TAG_CHECKSUMS)
    unlisted = present - {*payload, *tags, TAG_CHECKSUMS}
    absent = {*payload, *tags} - present
    if unlisted or absent:
        what, names = ("lacks", absent) if absent else ("has no checksum of", unlisted)
        raise InputError(f"{path}: {what} {sorted(names)[0]}, it is damaged or was changed: get it again")
    for name, expected in {**tags, **payload}.items():
        with bag.open(f"{top}/{name}") as handle:
            found = hashlib.sha256()
            for chunk in _chunks(handle):
                found.update(chunk)
        if found.hexdigest() != expected:
            raise InputError(f"{path}: {name} is not what its SHA-256 says, it is damaged or was changed: get it again")
    return payload


def _listed(path: Path, bag: zipfile.ZipFile, top: str, tag: str) -> dict[str, str]:
    entry = bag.getinfo(f"{top}/{tag}")
    if entry.file_size > 1e6 * MOST_TEXT_MB:
        raise InputError(f"{path}: {tag} is too large: not opened")
    found: dict[str, str] = {}
    for line in bag.read(entry).decode("utf-8").splitlines():
        matched = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if matched is None or matched[2] in found or (tag == CHECKSUMS and not matched[2].startswith("data/")):
            raise InputError(
                f"{path}: {tag} holds {line[:80]!r}, which is no checksum of a file: get the archive again"
            )
        found[matched[2]] = matched[1]
    return found


def build(
    study: Path, config: dict[str, Any], paths: Iterable[str], datasets: Iterable[Path], citation: Path, out: Path
) -> None:
    """Write the archive of a finished study, after a check of what is packed, and verify it.

    Args:
        study: ``results/<study>``.
        config: the resolved config.
        paths: files and folders that go in.
        datasets: folders of datasets, which go in where they are small.
        citation: how to cite Longhot.
        out: the zip file.

    Raises:
        InputError: a file of the study is not what its job left, or cannot be packed.
    """
    integrity.check(study)
    chosen, left_out = contents(study, map(Path, paths), datasets)
    described = texts(config, read_json(study / "manifest.json"), citation.read_text(encoding="utf-8"), left_out)
    pack(study, chosen, described, out)
    Archive(out)
