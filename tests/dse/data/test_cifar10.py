"""CIFAR-10: folders and archives, releases and their notes, the decoded arrays in the cache."""

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dse.data import archive, batchfile, cifar10
from dse.data.official import Official
from dse.errors import DataError

WriteCifar = Callable[[Path], cifar10.Release]
Source = tuple[Path, cifar10.Release]


def pack(folder: Path, path: Path) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w:xz") as tar:
        tar.add(folder, cifar10.FOLDER)


def assert_is_tiny(official: Official) -> None:
    assert official.train_images.shape == (10, 3, 32, 32)
    assert official.train_images[:, 0, 0, 0].tolist() == list(range(10))  # in the batches' order
    assert official.train_labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert official.test_images[:, 2, 31, 31].tolist() == [10, 11]
    assert official.test_labels.tolist() == [5, 9]


@pytest.fixture
def packed(tmp_path: Path, write_cifar: WriteCifar) -> Source:
    """A data folder with an archive, and the release in it."""
    release = write_cifar(tmp_path / "unpacked")
    (tmp_path / "data").mkdir()
    pack(tmp_path / "unpacked", tmp_path / "data" / "cifar-10-python.tar.gz")
    return tmp_path / "data", release


@pytest.mark.parametrize(
    "folder", [".", "cifar-10-batches-py", "cifar-10/cifar-10-batches-py", "cifar10"]
)
def test_unpacked_batches_load_and_nothing_is_cached(
    tmp_path: Path, write_cifar: WriteCifar, folder: str
) -> None:
    release = write_cifar(tmp_path / "data" / folder)
    assert_is_tiny(cifar10.load(tmp_path / "data", tmp_path / "cache", [release]))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("file", cifar10.ARCHIVES)
def test_an_archive_loads_and_its_folder_stays_as_it_is(
    tmp_path: Path, write_cifar: WriteCifar, file: str
) -> None:
    release = write_cifar(tmp_path / "unpacked")
    (tmp_path / "data" / "cifar-10").mkdir(parents=True)
    pack(tmp_path / "unpacked", tmp_path / "data" / "cifar-10" / file)
    before = sorted(tmp_path.rglob("*"))
    assert_is_tiny(cifar10.load(tmp_path / "data", tmp_path / "cache", [release]))
    assert [p for p in sorted(tmp_path.rglob("*")) if "cache" not in p.parts] == before


def test_an_archive_is_unpacked_once(
    packed: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, release = packed
    noted = replace(release, notes=("two images are blurred",))
    cifar10.load(data, tmp_path / "cache", [noted])
    monkeypatch.setattr(archive, "members", None)
    official = cifar10.load(data, tmp_path / "cache", [noted])
    assert_is_tiny(official)
    assert official.notes == ("two images are blurred",)


def test_decoded_arrays_that_make_no_sense_are_made_again(packed: Source, tmp_path: Path) -> None:
    data, release = packed
    cifar10.load(data, tmp_path / "cache", [release])
    (kept,) = (tmp_path / "cache" / "cifar10").iterdir()
    whole = dict(np.load(kept))
    for changes in (
        {"test_labels": np.array([5, 10])},
        {"train_images": whole["train_images"].astype(np.float32)},
        {"release": np.array("unheard of")},
    ):
        np.savez(kept, **(whole | changes))
        assert_is_tiny(cifar10.load(data, tmp_path / "cache", [release]))
    kept.write_bytes(b"no zip")
    assert_is_tiny(cifar10.load(data, tmp_path / "cache", [release]))
    assert str(np.load(kept)["release"]) == "tiny"


def test_notes_of_the_release_are_passed_on_and_the_official_one_has_none(
    tmp_path: Path, write_cifar: WriteCifar
) -> None:
    release = write_cifar(tmp_path)
    approximate = replace(release, notes=("two images are blurred",))
    other = cifar10.Release("other", dict.fromkeys(release.md5s, "0" * 32), ("wrong note",))
    assert cifar10.load(tmp_path, None, [other, release]).notes == ()
    assert cifar10.load(tmp_path, None, [other, approximate]).notes == ("two images are blurred",)


def test_the_shipped_releases_name_every_batch_and_their_faults() -> None:
    official, approximate = cifar10.RELEASES
    assert official.notes == ()
    assert approximate.notes[0].startswith(
        "CIFAR-10: 125 of 60,000 images are approximate (102 train, 23 test)"
    )
    batches = {*cifar10.TRAIN_BATCHES, cifar10.TEST_BATCH}
    for release in cifar10.RELEASES:
        assert set(release.md5s) == batches
        assert {len(md5) for md5 in release.md5s.values()} == {32}
    assert not set(official.md5s.values()) & set(approximate.md5s.values())


def test_an_unknown_batch_is_refused_before_it_is_decoded(
    tmp_path: Path, write_cifar: WriteCifar, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = write_cifar(tmp_path)
    monkeypatch.setattr(batchfile, "read", None)
    (tmp_path / "data_batch_3").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    right = release.md5s["data_batch_3"]
    with pytest.raises(
        DataError, match=f"cifar10: data_batch_3 in .* has md5 .*, the tiny file has {right}"
    ):
        cifar10.load(tmp_path, None, [release])


def test_a_mixture_of_two_releases_is_refused(tmp_path: Path, write_cifar: WriteCifar) -> None:
    release = write_cifar(tmp_path)
    first = replace(release, md5s={**release.md5s, "test_batch": "0" * 32})
    second = replace(release, md5s={**release.md5s, "data_batch_1": "0" * 32})
    with pytest.raises(DataError, match="mixes files of several releases"):
        cifar10.load(tmp_path, None, [first, second])


def test_missing_files_are_named(tmp_path: Path, write_cifar: WriteCifar) -> None:
    with pytest.raises(DataError, match=r"cifar10: test_batch or cifar-10-python\.tar\.gz or "):
        cifar10.load(tmp_path, None)
    release = write_cifar(tmp_path)
    (tmp_path / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4 cannot be read: No such file"):
        cifar10.load(tmp_path, None, [release])
