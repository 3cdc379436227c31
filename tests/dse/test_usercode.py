"""Usercode: what a function takes is read without running its file; what it raises has its line."""

from pathlib import Path

import pytest

from dse import usercode
from dse.errors import TargetError
from dse.usercode import Signature

CODE = """\
raise SystemExit("it was run")


def plain(classes, hidden, depth=1, *, act="relu", norm):
    pass


def anything(hidden, **more):
    pass


class Net:
    pass


if True:
    inside = lambda: 3
from math import prod as product
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(CODE)
    return path


def test_arguments_are_read_from_the_text(file: Path) -> None:
    assert usercode.signature(f"{file}:plain") == Signature(
        ("classes", "hidden", "depth", "act", "norm"), ("classes", "hidden", "norm"), False
    )
    assert usercode.signature(f"{file}:anything") == Signature(("hidden",), ("hidden",), True)


@pytest.mark.parametrize("name", ["Net", "inside", "product"])
def test_of_what_is_no_function_nothing_is_said(file: Path, name: str) -> None:
    assert usercode.signature(f"{file}:{name}") is None


def test_a_name_that_is_not_there(file: Path) -> None:
    with pytest.raises(TargetError, match=r'net.py: has no plian. Did you mean "plain"\?'):
        usercode.signature(f"{file}:plian")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"x = 1\ndef build(:\n", r"net\.py:2: invalid syntax"),
        (b"\xff\xfe\x00", "net.py"),
        (b"x = '\x00'", "net.py"),
        (b"#" * ((1 << 20) + 1), "larger than 1,048,576 bytes"),
        (b"(" * 5000, "net.py"),
    ],
)
def test_what_is_no_python(file: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)
    with pytest.raises(TargetError, match=problem):
        usercode.signature(f"{file}:build")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for read in (usercode.signature, usercode.fingerprint):
        with pytest.raises(TargetError, match="no"):
            read(f"{tmp_path}/net.py:build")


def test_the_line_of_the_file_is_blamed(file: Path) -> None:
    file.write_text("def inner():\n    return [][1]\n\n\ndef build():\n    return inner()\n")
    with pytest.raises(IndexError) as caught:
        usercode.load(file, "build")()
    assert usercode.blame(caught.value, file) == f"{file}:2: IndexError: list index out of range"


def test_another_file_has_another_fingerprint(file: Path) -> None:
    first = usercode.fingerprint(f"{file}:plain")
    file.write_text(CODE + "\n")
    assert usercode.fingerprint(f"{file}:plain") != first
