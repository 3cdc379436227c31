"""Archive: only the expected names, only into memory, bounded."""

import io
import tarfile
from pathlib import Path

import pytest

from dse.data import archive
from dse.errors import DataError


def write_tar(path: Path, *members: tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_expected_files_are_read_and_others_passed_over(tmp_path: Path, mode: str) -> None:
    path = write_tar(tmp_path / "t", ("d/x", b"no"), ("d/a", b"1"), ("d/b", b"22"), mode=mode)
    assert archive.members(path, ["d/a", "d/b"], 10) == {"d/a": b"1", "d/b": b"22"}


def test_nothing_is_written_wherever_a_member_wants_to_go(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    hostile = [("../escaped", b"x"), (str(tmp_path / "absolute"), b"x"), ("d/../../up", b"x")]
    path = write_tar(folder / "t", *hostile, ("d/a", b"1"))
    assert archive.members(path, ["d/a"], 10) == {"d/a": b"1"}
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
        "inner",
        "inner/t",
    ]


def test_a_link_under_an_expected_name_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE):
        with tarfile.open(tmp_path / "t", "w:gz") as tar:
            member = tarfile.TarInfo("d/a")
            member.type, member.linkname = kind, str(secret)
            tar.addfile(member)
        with pytest.raises(DataError, match="it lacks d/a"):
            archive.members(tmp_path / "t", ["d/a"], 10)


def test_a_member_that_is_too_large_is_refused_wanted_or_not(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t", ("huge", bytes(11)), ("d/a", b"1"))
    with pytest.raises(DataError, match='too large at member 0, "huge"'):
        archive.members(path, ["d/a"], 10)


def test_an_endless_archive_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t", *[(f"m{number}", b"") for number in range(101)])
    with pytest.raises(DataError, match='too large at member 100, "m100"'):
        archive.members(path, ["d/a"], 10)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_truncated_archive_is_refused(tmp_path: Path, mode: str) -> None:
    content = bytes(number * number % 251 for number in range(5000))
    whole = write_tar(tmp_path / "t", ("d/a", content), mode=mode).read_bytes()
    for length in (0, 10, len(whole) // 2):
        (tmp_path / "t").write_bytes(whole[:length])
        with pytest.raises(DataError, match="not a whole tar archive"):
            archive.members(tmp_path / "t", ["d/a"], 10_000)


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(DataError, match="not a whole tar archive"):
        archive.members(tmp_path / "t", ["d/a"], 10_000)
