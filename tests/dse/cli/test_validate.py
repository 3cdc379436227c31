"""`dse validate`: the table, one row, the JSON, the ends, and the page that quotes the table."""

import json
import shutil
from pathlib import Path

import pytest
from command import dse
from typer.testing import CliRunner

from dse.cli.main import app
from energy_models import shelf

DOCS = Path(__file__).parents[3] / "docs" / "validation.md"
TITLES = [
    "reproduced (11)",
    "explained: a convention, or what is printed, decides (4)",
    "wrong in their source (2)",
    "recalled, not read again: nothing is asserted (7)",
    "calibration: the constants were drawn from these figures (2)",
    "silicon, measured or after layout, against a sum of events (12)",
    "not computed: what is missing (15)",
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    done = dse("validate", folder=tmp_path_factory.mktemp("here"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [line.rstrip() for line in done.stdout.splitlines()]


def line_of(table: list[str], name: str) -> str:
    (line,) = [line for line in table if line.startswith(f"│ {name} ")]
    return line


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["validate", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_table_is_grouped(table: list[str]) -> None:
    assert [line for line in table if line in TITLES] == TITLES
    # 53 rows; 10 that need an input and 3 recalled ones hold nothing to compute with
    assert table[-3] == (
        "53 published figures: 40 recomputed (5 of them up to an input that is missing), "
        "13 asserted"
    )
    assert table[-2] == "13 of 13 asserted rows are within their tolerance"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PA01", ("7.734 mJ", "7.7334 mJ", "-0.008 %", "first convolution x T, 64 channels")),
        ("PA14", ("12.43 mJ", "7.7334 mJ", "1.61x", "sums of spikes as AC")),
        ("PA23", ("0.309 µJ", "2.259 µJ", "spike rate twice, as printed: 0.30858 µJ")),
        ("SI01", ("68 mW", "67.97 mW", "-0.044 %")),
        ("SI09", ("29671 µJ/inference", "51.84 µJ", "572x")),
        ("SI29", ("173.2 / 815.3 / 1104.5 µJ", "missing: spikes of each layer")),
        ("PA25", ("4.5 mJ", "missing: spike rates")),
    ],
)
def test_a_line_of_the_table(table: list[str], name: str, words: tuple[str, ...]) -> None:
    line = line_of(table, name)
    for word in words:
        assert word in line


def test_one_row_in_full() -> None:
    text = run("PA14")
    for part in (
        "published: 12.43 mJ (paper-arithmetic, read: primary)",
        "ours: sums of spikes as AC, as in PA01",
        "  first convolution: 346,816,512 x energy.mac 4.6 pJ = 1.5954 mJ",
        "  result: 7.7334 mJ (-37.78 %, published / ours 1.607)",
        "otherwise: sums of spikes as MAC, as in the recount",
        "  implies 1.269 G operations moved from AC to MAC",
    ):
        assert part in text


def test_one_row_says_what_was_measured_and_what_has_no_price() -> None:
    text = run("SI07")
    assert "measured: mean of 5 runs, from 270.4 µJ to 272.8 µJ" in text
    assert "  incomplete: no energy for inference (the fixed part)" in text
    assert "the line leaves 666.6 µJ at no copy" in run("SI13")


def test_one_row_says_that_nobody_measured_it() -> None:
    assert "hardware: XNE in its microcontroller, 22 nm, 0.4 V (after layout)" in run("SI22")
    assert "(after layout)" not in run("SI18")


def test_an_id_may_be_written_small() -> None:
    assert run("pa14") == run("PA14")


def test_one_row_says_whether_it_holds() -> None:
    assert "within the tolerance of 1 %" in run("SI04")
    assert "tolerance" not in run("PA08")


def test_json() -> None:
    document = json.loads(run("--json"))
    assert document["failed"] == []
    rows = {row["id"]: row for row in document["rows"]}
    assert len(rows) == 53
    assert rows["PA22"]["computed"]["ours"] == pytest.approx(84.594)
    assert rows["SI21"]["published_number"] == pytest.approx(204_400 / 1249)
    assert "computed" in rows["PA25"] and rows["PA25"]["computed"] is None
    (one,) = json.loads(run("PA22", "--json"))["rows"]
    assert one == rows["PA22"]


def test_a_row_outside_its_tolerance_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hardware"
    shutil.copytree(shelf._SHIPPED, folder)
    monkeypatch.setattr(shelf, "_SHIPPED", folder)
    file = folder / "cmos45-fp32.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("value_pj: 4.6", "value_pj: 4.7"), encoding="utf-8")
    assert "PA22" in json.loads(run("--json", code=1))["failed"]
    assert "NOT within the tolerance of 0.1 %" in run("PA22", code=1)
    # rows that are not asserted do not fail, whatever comes out
    run("PA13")


def test_a_row_that_there_is_not_is_asked_wrongly(tmp_path: Path) -> None:
    done = dse("validate", "pa99", folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(
        'published row "PA99": there is no such row. There are: PA01, PA02'
    )


def test_the_page_quotes_the_table(table: list[str]) -> None:
    text = DOCS.read_text(encoding="utf-8")
    quoted = text.partition("```text\n")[2].partition("```")[0]
    assert [line.rstrip() for line in quoted.splitlines()] == table, (
        f"{DOCS.name} is behind: put the output of `dse validate` there"
    )
