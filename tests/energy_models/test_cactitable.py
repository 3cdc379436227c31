"""The table of CACTI runs as a file: what is read, and what is refused with its line."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from energy_models import ProfileError
from energy_models.cactitable import read_cacti

HEADER = "tool,node_nm,cell,capacity_kib,width_bits,read_pJ,write_pJ,leak_mW,access_ns,area_mm2"
GRID = [
    f"CACTI,{node_nm},hp,{size_kib},{width_bits},{size_kib},1,1,1,1"
    for node_nm, size_kib, width_bits in itertools.product((20, 40), (1, 2), (8, 16))
]


def refusals(tmp_path: Path, *lines: str) -> list[str]:
    """What is said of a table, without the name of the file."""
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ProfileError) as refusal:
        read_cacti(path)
    assert all(problem.startswith(str(path)) for problem in refusal.value.problems)
    return [problem.removeprefix(str(path)) for problem in refusal.value.problems]


def test_a_small_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([HEADER, *reversed(GRID)]), encoding="utf-8")
    found = read_cacti(path)
    assert found.tool == "CACTI"
    assert (found.node_nm, found.width_bits) == ((20, 40), (8, 16))
    assert found.capacity_bytes == (1024, 2048)
    # (figure, capacity): the read energy is the capacity in KiB, the rest is 1
    assert found.figures(30, "hp", 12) == pytest.approx(np.array([[1, 2]] + [[1, 1]] * 4))


def test_the_shipped_table_is_read_once() -> None:
    assert read_cacti() is read_cacti()


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    header = f":1: not the header of a CACTI table. It must be: {HEADER}"
    assert refusals(tmp_path, "") == [header]
    assert refusals(tmp_path, HEADER.replace("read_pJ", "read_nJ"), *GRID) == [header]
    assert "tool: none. All runs must be of one tool" in refusals(tmp_path, HEADER)[0]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent.csv", binary):
        with pytest.raises(ProfileError, match=r"cannot be read: .*\. It must be a CSV table"):
            read_cacti(path)


def test_every_wrong_row_is_named_with_its_line(tmp_path: Path) -> None:
    wrong = [
        "CACTI,20,hp,1,8,many,1,1,1,1",
        "CACTI,20,hp,1,16,-1,1,1,nan,0",
        "CACTI,20,hp,2,8,1,1,1,1",
        "CACTI,40,hp,1,8,1,1,inf,1,1",
    ]
    assert refusals(tmp_path, HEADER, *wrong) == [
        ':2: read_pJ: "many" is wrong. It must be a number above 0',
        ':3: read_pJ: "-1" is wrong. It must be a number above 0',
        ':3: access_ns: "nan" is wrong. It must be a number above 0',
        ':3: area_mm2: "0" is wrong. It must be a number above 0',
        ":4: 9 fields. There must be 10",
        ':5: leak_mW: "inf" is wrong. It must be a number above 0',
    ]


def test_a_grid_with_holes(tmp_path: Path) -> None:
    assert refusals(tmp_path, HEADER, *GRID[:-1]) == [
        ": hp: 1 runs are missing, the first at 40 nm, 16 bit, 2 KiB. "
        "Every combination must be there"
    ]
    assert refusals(tmp_path, HEADER, *GRID, GRID[0]) == [":10: the run is given twice. Keep one"]
    other_tool = GRID[-1].replace("CACTI", "other")
    assert refusals(tmp_path, HEADER, *GRID[:-1], other_tool) == [
        ": tool: CACTI, other. All runs must be of one tool"
    ]
    assert refusals(tmp_path, HEADER, *GRID[:4]) == [  # only 20 nm
        ": node_nm: 1 value. There must be two or more"
    ]
