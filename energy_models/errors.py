"""What this package refuses, and how it says so.

EnergyModelError
├── ProfileError    a hardware profile is unknown, or its file is wrong (all mistakes at once)
├── PublishedError  the table of published figures is wrong (all mistakes at once), or lacks a row
└── CountsError     a count document cannot be read, or holds impossible numbers
"""

import difflib
from collections.abc import Iterable, Sequence


class EnergyModelError(Exception):
    """Base of every refusal of this package."""


class ProfileError(EnergyModelError):
    """A hardware profile that cannot be used.

    problems : one line a mistake, each "file:line: place: what is wrong. What would be right"
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))


class PublishedError(EnergyModelError):
    """A table of published figures that cannot be used, or a row that it does not have.

    problems : one line a mistake
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))


class CountsError(EnergyModelError):
    """A count document that cannot be read."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` for the known word that is most like `word`, else the known words."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f' Did you mean "{close[0]}"?'
    return f" It has: {', '.join(words)}" if words else ""
