"""Tables: rows of text, printed for a terminal or as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Table:
    """A title, a header and rows, right-aligned after the first column.

    A row shorter than the header is a name and a sentence that stands in place of numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """One row of numbers."""
        self.rows.append(cells)

    def add_sentence(self, name: str, sentence: str) -> None:
        """One row that has no numbers, and why, on one line."""
        self.rows.append((name, " ".join(sentence.split())[:120]))

    def text(self, *, is_markdown: bool) -> str:
        """The whole table; a column in which no row has a number is left out."""
        numbers = [row for row in self.rows if len(row) == len(self.header)]
        used = [0, *(i for i in range(1, len(self.header)) if any(row[i] for row in numbers))]
        header = tuple(self.header[i] for i in used)
        rows = [
            (tuple(row[i] for i in used) if len(row) == len(self.header) else row)
            for row in self.rows
        ]
        lines = _markdown(header, rows) if is_markdown else _plain(header, rows)
        title = f"**{self.title}**\n" if is_markdown else self.title
        return "\n".join([title, *lines])


def _plain(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    whole = [row for row in [header, *rows] if len(row) == len(header)]
    widths = [max(len(row[i]) for row in whole) for i in range(len(header))]
    widths[0] = max(len(row[0]) for row in rows)
    return [
        "  ".join(
            ["", f"{row[0]:<{widths[0]}}"]
            + (
                [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
                if len(row) == len(header)
                else [*row[1:]]
            )
        ).rstrip()
        for row in [header, *rows]
    ]


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    rule = ("---", *["---:"] * (len(header) - 1))
    filled = [(*row, *[""] * (len(header) - len(row))) for row in [header, rule, *rows]]
    return [f"| {' | '.join(row)} |" for row in filled]
