"""The terminal: tables and JSON on standard output, everything else on standard error."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dse.urls import without_password

ERRORS = Console(stderr=True, highlight=False)
# a pipe or a file has no width: tables are not squeezed there
RESULTS = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
# the environment variable that a --storage with its password may stand in
STORAGE = "DSE_STORAGE"
_SHORT = 12  # a number with its unit is shorter
_LONGEST_WORD = 24


def say(text: str) -> None:
    """A line of progress or advice, on standard error; plain text."""
    ERRORS.print(text, markup=False, soft_wrap=True)


def result(text: str = "") -> None:
    """A line of the result, on standard output; plain text, never wrapped."""
    RESULTS.print(text, markup=False, soft_wrap=True)


def command(arguments: Sequence[str]) -> str:
    """A command of ours that can be typed again; a password in it is not shown."""
    return shlex.join(["dse", *map(without_password, arguments)])


def as_json(document: Any) -> None:
    """One JSON document on standard output."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    left: Sequence[str] = (),
    totals: int = 0,
) -> None:
    """A table of ready-made cells; columns not in `left` hold numbers and stand to the right.

    On a terminal too narrow for it, the table comes in pieces that all begin with its first column.

    totals : so many rows at the end stand below a line
    """
    cells = [[name, *(row[index] for row in rows)] for index, name in enumerate(columns)]
    natural = [max(map(len, of)) for of in cells]
    if len(title) > _outer(natural):  # rich would wrap it to the width of the table
        RESULTS.print(title, markup=False, soft_wrap=True, style="italic")
        title = ""
    pieces, widths = [list(range(len(columns)))], None
    if RESULTS.is_terminal:
        least = [_least_width(of, of[0] in left) for of in cells]
        pieces = _pieces(least, RESULTS.width)
    for piece in pieces:
        if RESULTS.is_terminal:
            of_piece = ([least[place] for place in piece], [natural[place] for place in piece])
            widths = _widths(*of_piece, RESULTS.width)
        drawn = Table(title=escape(title) or None, title_justify="left", header_style="bold")
        for index, place in enumerate(piece):
            drawn.add_column(
                escape(columns[place]),
                justify="left" if columns[place] in left else "right",
                overflow="fold",
                width=None if widths is None else widths[index],
            )
        for index, row in enumerate(rows):
            is_above_line = index == len(rows) - totals - 1
            drawn.add_row(*(escape(row[place]) for place in piece), end_section=is_above_line)
        RESULTS.print(drawn)
        title = ""


def _least_width(cells: Sequence[str], is_left: bool) -> int:
    """How narrow a column may be without a word, or a short number with its unit, torn apart."""
    heading, *body = cells
    wholes = [cell for cell in body if not is_left and len(cell) <= _SHORT]
    words = [word for cell in (heading, *body) for word in cell.split()]
    return min(max(map(len, (*wholes, *words)), default=1), _LONGEST_WORD)


def _pieces(least: Sequence[int], available: int) -> list[list[int]]:
    """Columns side by side as far as they fit; the first one begins every piece."""
    pieces = [[0]]
    for place in range(1, len(least)):
        whole = [*pieces[-1], place]
        if len(pieces[-1]) > 1 and _outer(least[one] for one in whole) > available:
            pieces.append([0, place])
        else:
            pieces[-1] = whole
    return pieces


def _widths(least: Sequence[int], natural: Sequence[int], available: int) -> list[int]:
    """As wide as the texts where there is room, the narrow columns first."""
    widths = list(least)
    spare = available - _outer(least)
    by_need = sorted(range(len(least)), key=lambda index: natural[index] - least[index])
    for left_over, index in zip(range(len(by_need), 0, -1), by_need, strict=True):
        more = max(0, min(natural[index] - least[index], spare // left_over))
        widths[index] += more
        spare -= more
    return widths


def _outer(widths: Iterable[int]) -> int:
    """Width of a table with its lines and the blanks beside them."""
    return sum(width + 3 for width in widths) + 1
