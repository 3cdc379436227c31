"""CIFAR-10: 50,000 and 10,000 photographs in ten classes, 32x32, RGB (Krizhevsky, 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dse.data import archive, batchfile, decoded, download
from dse.data.official import Official, file_md5, find, md5, read_bytes
from dse.errors import DataError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"  # of the file at URL
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-batches-py.tar.xz")
FOLDER = "cifar-10-batches-py"
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"

_BATCHES = (*TRAIN_BATCHES, TEST_BATCH)
_FOLDERS = ("cifar-10", "cifar10")  # names of its folder below a data folder
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_LIMIT_BYTES = 1 << 25  # an official batch has 31 MB


@dataclass(frozen=True, slots=True)
class Release:
    """Six batch files that we know. md5s : file name -> md5; notes : what a figure must say."""

    name: str
    md5s: Mapping[str, str]
    notes: tuple[str, ...] = ()


RELEASES = (
    Release(
        name="official",
        md5s={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    ),
    Release(
        name="approximate",
        md5s={
            "data_batch_1": "c4033f7cec9663c00dc24eeb7ce76fba",
            "data_batch_2": "598dea33219635aa5fd979e682b14755",
            "data_batch_3": "19f07ce61914d9339b6d63ee89092a0c",
            "data_batch_4": "71738c7f67efdbfa0b93d12ff8e61d81",
            "data_batch_5": "cd9f0e4da252483feef34ff412785a44",
            "test_batch": "77890954225783aa3601317d09c84e83",
        },
        notes=(
            "CIFAR-10: 125 of 60,000 images are approximate (102 train, 23 test), decoded from "
            "JPEG copies of the originals; they can move test accuracy by 0.23 points at most",
        ),
    ),
)


def load(
    data_dir: Path | None, cache_dir: Path | None, releases: Sequence[Release] = RELEASES
) -> Official:
    """Images (N, 3, 32, 32), RGB planes, pixels 0 .. 255; labels 0 .. 9.

    data_dir : holds the unpacked batch files, or one of `ARCHIVES`; None = download. The arrays of
        an archive are kept in `cache_dir`, since unpacking takes seconds
    releases : the batch files that are accepted, each with its notes

    Raises DataError if files are missing or damaged, or belong to none of `releases`.
    """
    if data_dir is None:
        folder = download.cache_folder(cache_dir) / "cifar10"
        source = download.fetch("cifar10", ARCHIVES[0], [URL], ARCHIVE_MD5, folder)
    else:
        places = [f"{folder}/{FOLDER}" for folder in _FOLDERS] + [FOLDER, *_FOLDERS]
        source = find("cifar10", data_dir, places, [TEST_BATCH, *ARCHIVES])
    if source.name == TEST_BATCH:
        return _from_folder(source.parent, releases)
    return _from_archive(source, download.cache_folder(cache_dir) / "cifar10", releases)


def _from_folder(folder: Path, releases: Sequence[Release]) -> Official:
    contents = {name: read_bytes("cifar10", folder / name, _LIMIT_BYTES) for name in _BATCHES}
    release = _recognised(contents, releases, folder)
    return _official(release, _arrays(contents, folder))


def _from_archive(path: Path, cache: Path, releases: Sequence[Release]) -> Official:
    """From the arrays decoded last time, if the same archive was read before, else decoded now."""
    kept = cache / f"decoded-{file_md5('cifar10', path)}.npz"
    official = _remembered(kept, releases)
    if official is not None:
        return official
    wanted = {f"{FOLDER}/{name}": name for name in _BATCHES}
    members = archive.members(path, wanted, _LIMIT_BYTES)
    contents = {wanted[member]: content for member, content in members.items()}
    release = _recognised(contents, releases, path)
    arrays = _arrays(contents, path)
    decoded.keep(kept, {**arrays, "release": np.array(release.name)})
    return _official(release, arrays)


def _remembered(kept: Path, releases: Sequence[Release]) -> Official | None:
    """The data set that was kept; None if there is none, or one that no longer makes sense."""
    arrays = decoded.recall(kept, (*_ARRAYS, "release"))
    if arrays is None:
        return None
    known = {release.name: release for release in releases}
    release = known.get(str(arrays.pop("release")))
    try:
        return _official(release, arrays) if release else None
    except DataError:
        return None


def _recognised(contents: Mapping[str, bytes], releases: Sequence[Release], where: Path) -> Release:
    """The release that these batch files are. Only files that we know are ever decoded."""
    found = {name: md5(contents[name]) for name in _BATCHES}
    for release in releases:
        if found == release.md5s:
            return release
    strange = [name for name in _BATCHES if all(found[name] != r.md5s[name] for r in releases)]
    if not strange:
        raise DataError(f"cifar10: {where} mixes files of several releases. Get {URL} whole")
    name = strange[0]
    raise DataError(
        f"cifar10: {name} in {where} has md5 {found[name]}, the {releases[0].name} file has "
        f"{releases[0].md5s[name]}. Get {URL} again"
    )


def _arrays(contents: Mapping[str, bytes], where: Path) -> dict[str, decoded.Array]:
    """The batches as the arrays of `Official`, the training batches in their order."""
    batches = {
        name: batchfile.read(content, f"cifar10: {name} in {where}")
        for name, content in contents.items()
    }
    train_images, train_labels = zip(*(batches[name] for name in TRAIN_BATCHES), strict=True)
    test_images, test_labels = batches[TEST_BATCH]
    arrays = (np.concatenate(train_images), np.concatenate(train_labels), test_images, test_labels)
    return dict(zip(_ARRAYS, arrays, strict=True))


def _official(release: Release, arrays: Mapping[str, decoded.Array]) -> Official:
    return Official(
        name="cifar10", classes=batchfile.CLASSES, white=255, notes=release.notes, **arrays
    )
