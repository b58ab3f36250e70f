"""Archives of a study: the same bytes from the same results, verified before use, nothing led outside."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import finished_studies
import numpy as np
import pytest
import yaml

from longhot import integrity, plan
from longhot.block import InputError
from longhot.config import load
from longhot.reproduction import archive
from longhot.reproduction.archive import CHECKSUMS, TAG_CHECKSUMS, Archive, pack
from longhot.reproduction.stored import open_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A finished study with a model and a dataset."""
    folder = finished_studies.write(tmp_path / "results" / "smoke")
    for name, content in {
        "models/methanol/mace/n10/seed0/model.json": b"{}",
        "models/methanol/mace/n10/seed0/model.safetensors": np.random.default_rng(0).bytes(5000),
        "models/methanol/mace/n10/seed0/.fit.partial": b"unfinished",
        "datasets/methanol/card.json": b"{}",
        "datasets/methanol/test.extxyz": b"3\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def build(study: Path, out: Path) -> Path:
    archive.build(
        study,
        finished_studies.CONFIG,
        [str(study / "manifest.json"), str(study / "models"), *map(str, sorted(study.glob("tables/*.csv")))],
        [study / "datasets" / "methanol"],
        finished_studies.ROOT / "CITATION.cff",
        out,
    )
    return out


@pytest.fixture
def bag(study: Path, tmp_path: Path) -> Path:
    return build(study, tmp_path / "smoke.zip")


def test_an_archive_holds_the_study_and_is_read_back(bag: Path, study: Path) -> None:
    opened = Archive(bag)
    assert set(opened.names()) >= {
        *("manifest.json", "config.yaml", "CITATION.cff", "codemeta.json", "README.md", "tables/stability.csv"),
        *("models/methanol/mace/n10/seed0/model.safetensors", "datasets/methanol/test.extxyz"),
    }
    assert not [name for name in opened.names() if ".partial" in name]
    assert opened.read("tables/stability.csv") == (study / "tables" / "stability.csv").read_bytes()
    stored, folder = open_study(bag), open_study(study)
    assert stored.manifest == folder.manifest
    for name, table in folder.tables().items():
        assert stored.tables()[name].equals(table)


def test_a_flipped_bit_in_a_study_is_found_before_it_is_packed_or_compared(study: Path, tmp_path: Path) -> None:
    weights, table = study / "models/methanol/mace/n10/seed0/model.safetensors", study / "tables/stability.csv"
    for made in (weights.with_name("model.json"), table):
        integrity.record(study, made)
    sound = weights.read_bytes()
    weights.write_bytes(sound[:99] + bytes([sound[99] ^ 1]) + sound[100:])
    with pytest.raises(InputError, match=r"^\S*model.safetensors: has changed since it was made"):
        build(study, tmp_path / "damaged.zip")
    assert not (tmp_path / "damaged.zip").exists()
    weights.write_bytes(sound)
    table.write_text(table.read_text().replace("1", "2", 1))
    with pytest.raises(InputError, match=r"^\S*stability.csv: has changed since it was made"):
        open_study(study)


def test_the_config_of_an_archive_asks_the_same(bag: Path) -> None:
    config = load(yaml.safe_load(Archive(bag).read("config.yaml")))
    assert config.model_dump(mode="json") == finished_studies.CONFIG
    software = json.loads(Archive(bag).read("codemeta.json"))
    assert software["identifier"] == f"sha256:{finished_studies.MANIFEST['code_sha256']}"


def test_it_is_a_bag_that_the_usual_tools_can_check(bag: Path) -> None:
    with zipfile.ZipFile(bag) as opened:
        for tag in (CHECKSUMS, TAG_CHECKSUMS):
            for line in opened.read(f"smoke/{tag}").decode().splitlines():
                digest, name = line.split("  ")
                assert hashlib.sha256(opened.read(f"smoke/{name}")).hexdigest() == digest
        payload = [one.file_size for one in opened.infolist() if one.filename.startswith("smoke/data/")]
        assert f"Payload-Oxum: {sum(payload)}.{len(payload)}\n" in opened.read("smoke/bag-info.txt").decode()
        assert opened.read("smoke/bagit.txt").startswith(b"BagIt-Version: 1.0\n")


def test_the_same_results_give_the_same_bytes(bag: Path, study: Path, tmp_path: Path) -> None:
    for path in study.rglob("*"):
        path.touch()
    assert build(study, tmp_path / "again.zip").read_bytes() == bag.read_bytes()


def test_large_datasets_stay_outside_and_the_archive_says_so(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "DATASET_MB", 1e-6)
    opened = Archive(build(study, tmp_path / "small.zip"))
    assert "datasets/methanol/test.extxyz" not in opened.names()
    assert "are left out" in opened.read("README.md").decode()


def test_no_link_goes_into_an_archive(study: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("mine", encoding="utf-8")
    (study / "models" / "link.json").symlink_to(secret)
    with pytest.raises(InputError, match=r"link\.json: a link, or not of"):
        build(study, tmp_path / "smoke.zip")
    with pytest.raises(InputError, match=r"secret\.txt: a link, or not of"):
        pack(study, [secret], {}, tmp_path / "smoke.zip")


# Damage


@pytest.mark.parametrize("share", np.linspace(0.0, 1.0, 41))
def test_a_flipped_bit_is_found_or_moves_no_content(share: float, bag: Path) -> None:
    before = all_of(bag)
    content = bytearray(bag.read_bytes())
    place = min(int(share * len(content)), len(content) - 1)
    content[place] ^= 1 << place % 8
    bag.write_bytes(content)
    # A time or an attribute of an entry moves no content, and nothing reads it.
    assert all_of(bag) in (before, f"{bag}: ")


def all_of(bag: Path) -> dict[str, bytes] | str:
    """Everything in an archive, or the beginning of the sentence that says why it is not opened."""
    try:
        opened = Archive(bag)
    except InputError as error:
        return str(error)[: len(f"{bag}: ")]
    return {name: opened.read(name) for name in opened.names()}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_archive_is_one_sentence(share: float, bag: Path) -> None:
    content = bag.read_bytes()
    bag.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged or no zip file"):
        Archive(bag)


def rewritten(bag: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The archive with other entries, its checksums as they were."""
    with zipfile.ZipFile(bag) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    change(entries)
    with zipfile.ZipFile(bag, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return bag


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"smoke/data/tables/stability.csv": b"another"}, "data/tables/stability.csv is not what its SHA-256 says"),
        ({"smoke/data/extra.csv": b"more"}, "has no checksum of data/extra.csv"),
        ({"smoke/data/tables/stability.csv": None}, "lacks data/tables/stability.csv"),
        ({f"smoke/{CHECKSUMS}": None}, f"lacks {CHECKSUMS}"),
        ({f"smoke/{CHECKSUMS}": b"nonsense\n"}, "holds 'nonsense', which is no checksum of a file"),
        ({"other/file.txt": b"more"}, "holds 2 folders at its top"),
    ],
)
def test_what_does_not_fit_its_checksums_is_named(change: dict[str, bytes | None], sentence: str, bag: Path) -> None:
    def apply(entries: dict[str, bytes]) -> None:
        for name, content in change.items():
            entries.pop(name, None)
            if content is not None:
                entries[name] = content

    with pytest.raises(InputError) as raised:
        Archive(rewritten(bag, apply))
    assert sentence in str(raised.value)


# Hostile archives


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "smoke/../../evil",
        "/etc/evil",
        "smoke//evil",
        "smoke/./evil",
        "C:evil",
        "smoke\\evil",
        "smoke/",
        "a\nb",
    ],
)
def test_no_name_leads_outside(name: str, bag: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(InputError, match="no plain file inside it: not opened"):
        Archive(rewritten(bag, lambda entries: entries.update({name: b"evil"})))
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int, bag: Path) -> None:
    entry = zipfile.ZipInfo("smoke/data/link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(bag, "a") as opened:
        opened.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="no plain file inside it"):
        Archive(bag)


@pytest.mark.parametrize("name", ["smoke/data/manifest.json", "smoke/data/MANIFEST.json"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(name: str, bag: Path) -> None:
    with zipfile.ZipFile(bag, "a") as opened:
        opened.writestr(name, "{}")
    with pytest.raises(InputError, match="two files of one name"):
        Archive(bag)


def test_a_bomb_is_refused_before_it_is_read(bag: Path) -> None:
    rewritten(bag, lambda entries: entries.update({"smoke/data/zeros": bytes(20_000_000)}))
    with pytest.raises(InputError, match="a bomb: not opened"):
        Archive(bag)


def test_too_many_files_are_refused(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 3)
    with pytest.raises(InputError, match="more than 3: not opened"):
        Archive(bag)


def test_an_archive_that_is_exchanged_after_the_check_is_not_read(bag: Path) -> None:
    opened = Archive(bag)
    rewritten(bag, lambda entries: entries.update({"smoke/data/manifest.json": b"{}"}))
    with pytest.raises(InputError, match="has changed since it was verified"):
        opened.read("manifest.json")
    with pytest.raises(InputError, match="holds no tables/other"):
        opened.read("tables/other.csv")


def test_every_model_of_a_study_has_its_folder() -> None:
    """Fits, the control, the members of two committees, and those of five rounds of two seeds."""
    folders = plan.outputs.model_folders(load(finished_studies.CONFIG))
    assert len(folders) == len(set(folders)) == 4 * 2 * 2 + 1 + 2 * 4 + 5 * 2
    assert "results/smoke/models/methanol/reference/n0/seed0" in folders
    assert "results/smoke/models/ice/water/n5/seed3" in folders
    assert "results/smoke/active_learning/start/round0/seed1/members" in folders
