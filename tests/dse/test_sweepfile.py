"""Sweep files from strangers, shipped names, and changes on the command line."""

from pathlib import Path

import pytest

from dse.errors import ConfigError
from dse.sweepfile import MOST_BYTES, read, shipped, write

NAMED = "name: mine\ndata: digits\nhardware: [a, b]\nbudget: {trials: 3}\n"


def _write(folder: Path, content: str | bytes) -> Path:
    file = folder / "mine.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", ": is not a sweep. It must give keys, as in `name: mine`"),
        (b"- 1", ": is not a sweep. It must give keys, as in `name: mine`"),
        (bytes(range(256)), ": cannot be read: it is not UTF-8 text"),
        (b"a" * (MOST_BYTES + 1), ": is larger than 65,536 bytes. Is it a sweep file?"),
        (b"[" * 60_000, ":1:51: nested too deeply. A sweep file is flat"),
        (b"- " * 2_000, ":1:101: nested too deeply. A sweep file is flat"),
        (b"a: &x [1]\nb: [*x, *x]", ":2:5: aliases and tags are not read. Write the plain value"),
        (b"a: !!int ''", ":1:4: aliases and tags are not read. Write the plain value"),
        (b'a: "\\UFFFFFFFF"', ": not valid YAML: there is no such letter"),
        (b"a: [1", ":1:6: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (b"a: 1\n---\nb: 2", ":2:1: not valid YAML: but found another document"),
        (b"a: 1\na: 2", ":2:1: a: the key is given twice. Keep one"),
        (b"a:\n" * 1 + b"".join(b"k%d:\n" % i for i in range(2000)), ": has more than 2,000 "
         "entries. Is it a sweep file?"),
        (b"a: " + b"9" * 4000, ":1:1: a: is too large a number. It must be below 2^63"),
        (b"a: 0x" + b"F" * 5000, f":1:4: 0x{'F' * 18}: is another number to YAML than to a reader. "
         "Write it as a plain decimal number"),
        (b"a: 2020-01-01", ":1:1: a: is read as a date. Write a number, a list, or a word in "
         "quotes"),
        (b'a: "\\e[2J"', ":1:1: a: holds characters that cannot be printed. Write plain text"),
        (b'a: "\\ud800"', ":1:1: a: holds characters that cannot be printed. Write plain text"),
        (b"a: " + b"x" * 5000, ":1:1: a: is longer than 4,000 letters. Make it shorter"),
        (b"a: {1: 2}", ":1:1: a: a key here is not a word. Put it in quotes"),
        (b'a: {"\\e[2J": 2}', ":1:1: a: a key here cannot be printed. Keys are words"),
    ],
)  # fmt: skip
def test_a_strangers_file_is_at_worst_refused(tmp_path: Path, content: bytes, cause: str) -> None:
    file = _write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert str(caught.value) == f"{file}{cause}"


def test_an_int_beyond_what_python_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid YAML: Exceeds the limit"):
        read(_write(tmp_path, b"a: " + b"9" * 5000))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as caught:
        read(str(missing))
    assert str(caught.value) == f"{missing}: cannot be read: No such file or directory"
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_shipped_sweeps_are_found_by_name() -> None:
    assert {"quickstart", "smoke"} <= set(shipped())
    data, places = read("smoke")
    assert data["name"] == "smoke"
    assert places.at(("name",)) == "sweeps/smoke.yaml:2:1"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        read("quikstart")
    assert str(caught.value) == (
        'sweep "quikstart": neither a shipped sweep nor a file ending in .yaml. '
        'Did you mean "quickstart"?'
    )


def test_overrides_replace_values(tmp_path: Path) -> None:
    data, _ = read(
        _write(tmp_path, NAMED),
        ["budget.trials=7", "hardware.1=c", "data.samples=30", "space.width={range: [1, 2]}",
         "hardware.0=d"],
    )  # fmt: skip
    assert data == {
        "name": "mine",
        "data": {"name": "digits", "samples": 30},
        "hardware": ["d", "c"],
        "budget": {"trials": 7},
        "space": {"width": {"range": [1, 2]}},
    }


def test_the_place_of_an_override_is_the_override(tmp_path: Path) -> None:
    file = _write(tmp_path, NAMED)
    _, places = read(file, ["space.width.range=[1, 2]", "budget.trials=7"])
    assert places.problem(("budget", "trials"), "no") == "--set budget.trials=7: budget.trials: no"
    assert places.at(("budget",)) == f"{file}:4:1"
    # the override created all that lies above it
    assert places.at(("space",)) == "--set space.width.range=[1, 2]"
    assert places.at(("space", "width", "range", 1)) == "--set space.width.range=[1, 2]"


def test_all_wrong_overrides_are_told_at_once(tmp_path: Path) -> None:
    wrong = ["trials", "=3", "a..b=3", "name=[", "hardware.2=x", "budget.trials.x=1", "seed=*x"]
    with pytest.raises(ConfigError) as caught:
        read(_write(tmp_path, NAMED), wrong)
    assert caught.value.problems == (
        "--set trials: must be KEY=VALUE, as in training.epochs=3",
        "--set =3: must be KEY=VALUE, as in training.epochs=3",
        "--set a..b=3: must be KEY=VALUE, as in training.epochs=3",
        "--set name=[: not valid YAML: expected the node content, but found '<stream end>'",
        "--set hardware.2=x: there is no entry 2 in a list of 2. It starts at 0",
        "--set budget.trials.x=1: nothing lies below 3. Set the whole value",
        "--set seed=*x: aliases and tags are not read. Write the plain value",
    )


def test_problems_stand_in_the_order_of_lines(tmp_path: Path) -> None:
    file = _write(tmp_path, NAMED)
    _, places = read(file, ["seed=x", "name=y"])
    lines = ["--set name=y: b", f"{file}:10:2: c", "--set seed=x: a", f"{file}:9:3: d"]
    assert places.in_order([*lines, lines[0]]) == [lines[3], lines[1], lines[2], lines[0]]


def test_written_data_read_the_same(tmp_path: Path) -> None:
    data = {
        "name": "é",
        "question": "a: b # c\nd",
        "x": [1, 2.5, 1e-5],
        "y": {"z": None, "w": True},
    }
    assert read(_write(tmp_path, write(data)))[0] == data


def test_a_value_that_occurs_twice_is_written_twice(tmp_path: Path) -> None:
    shared = {"variant": ["snn"]}
    data = {"a": shared, "b": shared}
    assert read(_write(tmp_path, write(data)))[0] == data
