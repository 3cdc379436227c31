"""Tables: whole in a pipe, in pieces on a narrow terminal, and no word torn apart."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from dse.cli import terminal


@pytest.fixture
def screen(monkeypatch):
    """Print on a terminal of this width; what stands there, line by line."""

    def printed(width, *arguments, **options):
        file = io.StringIO()
        console = Console(file=file, width=width, force_terminal=True)
        monkeypatch.setattr(terminal, "RESULTS", console)
        terminal.table(*arguments, **options)
        text = Text.from_ansi(file.getvalue()).plain
        return [line.rstrip() for line in text.splitlines()]

    return printed


COLUMNS = ("profile", "total", "synaptic compute", "weight memory", "static")
ROWS = [
    ("odin+host=cmos45-int8", "44.7 µJ", "2.26 µJ", "", "42.5 µJ"),
    ("all", "44.7 µJ", "2.26 µJ", "", "42.5 µJ"),
]


def test_a_narrow_terminal_gets_pieces_that_begin_with_the_first_column(screen):
    lines = screen(50, COLUMNS, ROWS, title="energy", left=("profile",), totals=1)
    assert all(len(line) <= 50 for line in lines)
    firsts = [line for line in lines if "odin+host=cmos45-int8" in line]
    # 21 + 7 + 8 and the lines between them are 46; with a fourth column, more than 50
    assert len(firsts) == 2
    assert "44.7 µJ │" in firsts[0] and "2.26 µJ │" in firsts[0]
    assert "42.5 µJ │" in firsts[1]
    # one title, and a line above the last row of each piece
    assert sum("energy" in line for line in lines) == 1
    assert sum(line.startswith("├") for line in lines) == 2


def test_a_wide_terminal_gets_the_whole(screen):
    lines = screen(120, COLUMNS, ROWS, title="energy", left=("profile",))
    assert sum("odin+host=cmos45-int8" in line for line in lines) == 1
    assert not any(line.startswith("├") for line in lines)


def test_a_title_wider_than_its_table_is_one_line(screen):
    title = "a title of more words than the table has room for"
    assert title in screen(100, ("a", "b"), [("1", "2")], title=title)[0]


@given(
    least=st.lists(st.integers(1, 24), min_size=1, max_size=12),
    more=st.lists(st.integers(0, 80), min_size=12, max_size=12),
    available=st.integers(60, 240),
)
def test_every_column_stands_once_and_no_piece_is_too_wide(least, more, available):
    pieces = terminal._pieces(least, available)
    assert [place for piece in pieces for place in piece[1:]] == list(range(1, len(least)))
    for piece in pieces:
        assert piece[0] == 0
        of = [least[place] for place in piece]
        natural = [least[place] + more[place] for place in piece]
        widths = terminal._widths(of, natural, available)
        # two columns of 24 and their lines are 55: they always fit
        assert terminal._outer(widths) <= available
        assert all(low <= one <= high for low, one, high in zip(of, widths, natural, strict=True))
