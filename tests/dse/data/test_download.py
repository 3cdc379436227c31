"""Download: checked and whole or not there; mirrors in order. The network is a stand-in."""

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from dse.data import cifar10, download, idx
from dse.errors import DataError

CONTENT = b"the official bytes"
MD5 = hashlib.md5(CONTENT).hexdigest()


class Web:
    """What each address answers; an address that it does not know cannot be reached."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    def get(self, url: str, output_file: str, pooch: object) -> None:
        self.asked.append(url)
        if url not in self.pages:
            raise ConnectionError("no route")
        Path(output_file).write_bytes(self.pages[url])


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    made = Web({})
    monkeypatch.setattr(download.pooch, "HTTPDownloader", lambda **options: made.get)
    yield made


def test_a_file_is_fetched_once(tmp_path: Path, web: Web) -> None:
    web.pages["http://a/f"] = CONTENT
    for _ in range(2):
        path = download.fetch("tiny", "f", ["http://a/f"], MD5, tmp_path / "new")
        assert path == tmp_path / "new" / "f"
        assert path.read_bytes() == CONTENT
    assert web.asked == ["http://a/f"]


def test_mirrors_are_tried_in_order(tmp_path: Path, web: Web) -> None:
    web.pages |= {"http://b/f": b"an error page", "http://c/f": CONTENT}
    download.fetch("tiny", "f", ["http://a/f", "http://b/f", "http://c/f"], MD5, tmp_path)
    assert web.asked == ["http://a/f", "http://b/f", "http://c/f"]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_damaged_file_in_the_cache_is_replaced(tmp_path: Path, web: Web) -> None:
    web.pages["http://a/f"] = CONTENT
    (tmp_path / "f").write_bytes(CONTENT[:5])
    assert download.fetch("tiny", "f", ["http://a/f"], MD5, tmp_path).read_bytes() == CONTENT


def test_a_failure_names_every_address_and_the_way_out(tmp_path: Path, web: Web) -> None:
    web.pages["http://b/f"] = b"an error page"
    with pytest.raises(DataError) as caught:
        download.fetch("tiny", "f", ["http://a/f", "http://b/f"], MD5, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"tiny: f could not be downloaded to {tmp_path}"
    assert lines[1] == "  http://a/f: no route"
    assert lines[2].startswith("  http://b/f: MD5 hash")
    assert lines[-1] == "If you have the official file, name its folder with --data-dir"
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_is_ours_or_the_given_one(tmp_path: Path) -> None:
    assert download.cache_folder(tmp_path) == tmp_path
    assert "dse" in download.cache_folder(None).parts


def test_a_release_without_a_data_folder_asks_its_mirrors(tmp_path: Path, web: Web) -> None:
    release = idx.IdxRelease("tiny", (), ("http://a/", "http://b/"), {idx.TRAIN_IMAGES: MD5})
    with pytest.raises(DataError, match="could not be downloaded"):
        idx.load(release, None, tmp_path)
    assert web.asked == [f"http://a/{idx.TRAIN_IMAGES}", f"http://b/{idx.TRAIN_IMAGES}"]


def test_cifar10_without_a_data_folder_asks_its_authors(tmp_path: Path, web: Web) -> None:
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz could not be downloaded"):
        cifar10.load(None, tmp_path)
    assert web.asked == [cifar10.URL]


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path, web: Web) -> None:
    whole = bytes(100_000)
    web.pages["http://a/f"] = whole
    md5 = hashlib.md5(whole).hexdigest()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DataError) as caught:
            download.fetch("tiny", "f", ["http://a/f"], md5, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).splitlines() == [
        f"tiny: f could not be downloaded to {tmp_path}",
        "  http://a/f: [Errno 27] File too large",
        "There must be room in that folder: make some, or set XDG_CACHE_HOME to a folder that has",
        "If you have the official file, name its folder with --data-dir",
    ]
    assert list(tmp_path.iterdir()) == []
    # and once there is room, the same call does it
    assert download.fetch("tiny", "f", ["http://a/f"], md5, tmp_path).read_bytes() == whole


def test_a_download_that_was_cut_off_is_not_kept(tmp_path: Path, web: Web) -> None:
    web.pages["http://a/f"] = CONTENT[:-1]
    with pytest.raises(DataError, match="MD5 hash"):
        download.fetch("tiny", "f", ["http://a/f"], MD5, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, web: Web) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"could not be downloaded to .*file/cache\n.*(Not a dir|exist)"
    ):
        download.fetch("tiny", "f", ["http://a/f"], MD5, tmp_path / "file" / "cache")
