"""Chips whose published figures do not suffice for a profile: what there is, and what to use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from energy_models.constants import Strict, Text
from energy_models.errors import ProfileError
from energy_models.yamlfile import YamlMistakes, read_yaml, validate

_SHIPPED = Path(__file__).parent / "data" / "insufficient.yaml"


@dataclass(frozen=True, slots=True)
class Published:
    """One published figure, in words, and where it stands."""

    figure: str
    source: str


@dataclass(frozen=True, slots=True)
class Insufficient:
    """A chip without a profile.

    name : what one would ask for, like `akida`      title : the chip
    published : what there is      missing : what a price list would need
    instead : what to do instead      profiles : shipped profiles that serve
    """

    name: str
    title: str
    published: tuple[Published, ...]
    missing: tuple[str, ...]
    instead: str
    profiles: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why there is no profile, and what would be right: for a message of one line."""
        figures = "; ".join(f"{one.figure} ({one.source})" for one in self.published)
        return (
            f"{self.title} cannot be priced. Published: {figures or 'nothing'}. "
            f"Missing: {'; '.join(self.missing)}. Instead: {self.instead}"
        )


def insufficient(path: Path = _SHIPPED) -> tuple[Insufficient, ...]:
    """The chips without a profile, in the order of the file.

    Raises ProfileError with every mistake of the file at once.
    """
    return _read(path)


class _Figure(Strict):
    figure: Text
    source: Text


class _Entry(Strict):
    title: Text
    published: tuple[_Figure, ...]
    missing: Annotated[tuple[Text, ...], Field(min_length=1)]
    instead: Text
    profiles: tuple[Text, ...] = ()


class _File(Strict):
    chips: dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")], _Entry]


@cache
def _read(path: Path) -> tuple[Insufficient, ...]:
    try:
        data, places = read_yaml(path)
        chips = validate(data, places, _File).chips
    except YamlMistakes as error:
        raise ProfileError(error.problems) from error
    return tuple(
        Insufficient(
            name=name,
            title=entry.title,
            published=tuple(Published(one.figure, one.source) for one in entry.published),
            missing=entry.missing,
            instead=entry.instead,
            profiles=entry.profiles,
        )
        for name, entry in chips.items()
    )
