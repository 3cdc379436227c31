"""The terminal: tables and JSON on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ERRORS = Console(stderr=True, highlight=False)
# a pipe or a file has no width: tables are not squeezed there
RESULTS = Console(highlight=False, width=None if sys.stdout.isatty() else 240)


def say(text: str) -> None:
    """A line of progress or advice, on standard error; plain text."""
    ERRORS.print(text, markup=False, soft_wrap=True)


def result(text: str = "") -> None:
    """A line of the result, on standard output; plain text, never wrapped."""
    RESULTS.print(text, markup=False, soft_wrap=True)


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
) -> None:
    """A table of ready-made cells; columns not in `left` hold numbers and stand to the right."""
    drawn = Table(title=escape(title) or None, title_justify="left", header_style="bold")
    for name in columns:
        drawn.add_column(escape(name), justify="left" if name in left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
    RESULTS.print(drawn)
