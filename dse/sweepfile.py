"""Sweepfile: the plain data of a sweep file, changed as the user asks, and where each entry stands.

A file may come from a stranger: size, number of entries and kinds of values are bounded here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from dse.errors import ConfigError
from energy_models.errors import nearest
from energy_models.yamlfile import Place, Places, YamlMistakes, parse_yaml

# A sweep file of a page has 2 kB and 60 entries; more than this is no sweep file.
MOST_BYTES = 64 * 1024
MOST_ENTRIES = 2000
MOST_LETTERS = 4000
MOST_LEVELS = 50
_MOST_NUMBER = 2**63
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


_PRESET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class _Change:
    """One entry that a preset or the command line puts into a sweep.

    said : the words of the `--set`, or the line of the preset      inner : places in the value
    """

    said: str
    keys: Sequence[str]
    value: Any
    inner: Sequence[Place]


@dataclass(frozen=True)
class SweepPlaces(Places):
    """Where each entry stands: in the file, in a preset of it, or in a `--set`.

    overrides : place -> the words of the `--set`, or the line of the preset, that put it there
    """

    overrides: Mapping[Place, str]

    def at(self, place: Place) -> str:
        """`file:line:column`, `file:line:column: presets.NAME`, or `--set a.b=v`."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.overrides:
                return self.overrides[place[:length]]
        return super().at(place)

    def in_order(self, problems: Iterable[str]) -> list[str]:
        """The problems by line and column; those of the command line last."""
        return sorted(dict.fromkeys(problems), key=self._rank)

    def _rank(self, problem: str) -> tuple[float, float]:
        found = re.match(rf"{re.escape(self.file)}:(\d+):(\d+): ", problem)
        if found:
            return int(found[1]), int(found[2])
        said = list(dict.fromkeys(self.overrides.values()))
        order = (i for i, override in enumerate(said) if problem.startswith(f"{override}: "))
        return float("inf"), next(order, -1)


def shipped() -> list[str]:
    """Names of the shipped sweeps."""
    files = (Path(entry.name) for entry in resources.files("sweeps").iterdir())
    return sorted(file.stem for file in files if file.suffix == ".yaml")


def read(
    source: str | Path, overrides: Sequence[str] = (), preset: str | None = None
) -> tuple[dict[str, Any], SweepPlaces]:
    """The data of a shipped sweep, or of a file ending in `.yaml` or `.yml`, without its presets.

    preset : applied before the overrides
    overrides : `a.b=v`, where v is YAML; a later one wins

    Raises ConfigError if there is no such file or preset, the file is no bounded plain YAML, or a
    change cannot be applied.
    """
    data, places = _whole(source)
    known = _presets(data, places)
    if preset is not None and preset not in known:
        listed = f"It has: {', '.join(known)}" if known else "It has none"
        close = nearest(preset, known).partition(" It has: ")[0]
        raise ConfigError(f'{places.file}: has no preset "{preset}".{close} {listed}')
    data = {key: value for key, value in data.items() if key != "presets"}
    return _changed(data, places, [*(known[preset] if preset is not None else ()), *overrides])


def presets(source: str | Path) -> tuple[str, ...]:
    """Names of the presets of a sweep, in the order of the file.

    Raises ConfigError as `read`.
    """
    return tuple(_presets(*_whole(source)))


def write(data: Mapping[str, Any]) -> str:
    """Plain data as YAML, keys in the order given."""
    text: str = yaml.dump(
        dict(data),
        Dumper=_WrittenOut,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
    return text


class _WrittenOut(yaml.SafeDumper):
    """Writes a value that occurs twice twice: aliases are not read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _whole(source: str | Path) -> tuple[dict[str, Any], Places]:
    file, text = _text(source)
    data, places = _parse(text, file)
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: is not a sweep. It must give keys, as in `name: mine`")
    return data, places


def _presets(data: Mapping[str, Any], places: Places) -> dict[str, tuple[_Change, ...]]:
    """The changes of each preset of a file."""
    if "presets" not in data:
        return {}
    found: dict[str, tuple[_Change, ...]] = {}
    problems = []
    named = data["presets"]
    if not isinstance(named, dict) or not named:
        form = "must give names, as in `small: {training.epochs: 3}`"
        raise ConfigError(places.problem(("presets",), form))
    for name, entries in named.items():
        place: Place = ("presets", name)
        if not _PRESET_NAME.fullmatch(name):
            cause = "cannot end the name of a folder. Use letters, digits, `.`, `_` and `-`"
            problems.append(places.problem(place, cause))
        elif not isinstance(entries, dict) or not entries:
            cause = "must give entries to change, as in `training.epochs: 3`"
            problems.append(places.problem(place, cause))
        else:
            found[name] = tuple(_of_preset((*place, key), entries[key], places) for key in entries)
    if problems:
        raise ConfigError(problems)
    return found


def _of_preset(place: Place, value: Any, places: Places) -> _Change:
    inner = [other[3:] for other in places.marks if len(other) > 3 and other[:3] == place]
    return _Change(
        f"{places.at(place)}: presets.{place[1]}", str(place[2]).split("."), value, inner
    )


def _text(source: str | Path) -> tuple[str, str]:
    """The label of a file in messages, and its text."""
    try:
        if isinstance(source, Path) or source.endswith((".yaml", ".yml")):
            label = str(source)
            with Path(source).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        else:
            known = shipped()
            if source not in known:
                raise ConfigError(
                    f'sweep "{source}": neither a shipped sweep nor a file ending in .yaml.'
                    f"{nearest(source, known)}"
                )
            label = f"sweeps/{source}.yaml"
            content = resources.files("sweeps").joinpath(f"{source}.yaml").read_bytes()
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{label}: is larger than {MOST_BYTES:,} bytes. Is it a sweep file?")
        return label, content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{source}: cannot be read: {cause}") from error


def _parse(text: str, file: str) -> tuple[Any, Places]:
    """Bounded plain data: mappings with words as keys, lists, words, numbers. No aliases."""
    _refuse_tricks(text, file)
    try:
        data, places = parse_yaml(text, file)
    except YamlMistakes as error:
        raise ConfigError(error.problems) from error
    if len(places.marks) > MOST_ENTRIES:
        raise ConfigError(f"{file}: has more than {MOST_ENTRIES:,} entries. Is it a sweep file?")
    problems = [places.problem(place, cause) for place, cause in _not_plain(data)]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return data, places


def _refuse_tricks(text: str, file: str) -> None:
    """Aliases multiply what a file says, tags change its types, deep nesting takes long to read."""
    depth = 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            cause = "nested too deeply. A sweep file is flat" if depth > MOST_LEVELS else ""
            if isinstance(token, yaml.AliasToken | yaml.TagToken):
                cause = "aliases and tags are not read. Write the plain value"
            if cause:
                mark = token.start_mark
                raise ConfigError(f"{file}:{mark.line + 1}:{mark.column + 1}: {cause}")
    except OverflowError as error:  # an escape such as \UFFFFFFFF
        raise ConfigError(f"{file}: not valid YAML: there is no such letter") from error
    except (yaml.YAMLError, ValueError):
        pass  # the parser says it, with its place


def _not_plain(root: Any) -> Iterator[tuple[Place, str]]:
    waiting: list[tuple[Place, Any]] = [((), root)]
    while waiting:
        place, value = waiting.pop(0)
        if isinstance(value, dict):
            for key, inner in value.items():
                if not isinstance(key, str):
                    yield place, "a key here is not a word. Put it in quotes"
                elif _has_controls(key) or len(key) > MOST_LETTERS:
                    yield place, "a key here cannot be printed. Keys are words"
                else:
                    waiting.append(((*place, key), inner))
        elif isinstance(value, list):
            waiting.extend(((*place, index), inner) for index, inner in enumerate(value))
        elif isinstance(value, str):
            if _has_controls(value.replace("\n", "").replace("\t", "")):
                yield place, "holds characters that cannot be printed. Write plain text"
            elif len(value) > MOST_LETTERS:
                yield place, f"is longer than {MOST_LETTERS:,} letters. Make it shorter"
        elif isinstance(value, int):
            if abs(value) >= _MOST_NUMBER:
                yield place, "is too large a number. It must be below 2^63"
        elif value is not None and not isinstance(value, float):
            kind = type(value).__name__
            yield place, f"is read as a {kind}. Write a number, a list, or a word in quotes"


def _has_controls(text: str) -> bool:
    """Does it hold what steers a terminal (Cc), or half a character (Cs)?"""
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def _changed(
    data: dict[str, Any], places: Places, changes: Iterable[_Change | str]
) -> tuple[dict[str, Any], SweepPlaces]:
    """changes : of a preset, and the words of each `--set`."""
    marks: dict[Place, tuple[int, int]] = dict(places.marks)
    said: dict[Place, str] = {}
    problems: list[str] = []
    for one in changes:
        label = f"--set {one}" if isinstance(one, str) else one.said
        try:
            change = _override(one) if isinstance(one, str) else one
            place = _place(data, change.keys)
            data = replaced(data, place, change.value)
        except ConfigError as error:
            problems.extend(f"{label}: {problem}" for problem in error.problems)
            continue
        # what the change had to create on its way is its own too
        new = [place[:length] for length in range(1, len(place)) if place[:length] not in marks]
        said.update(dict.fromkeys([*new, place], change.said))
        marks.update(
            dict.fromkeys([*new, place, *((*place, *rest) for rest in change.inner)], (1, 1))
        )
    if problems:
        raise ConfigError(problems)
    return data, SweepPlaces(places.file, marks, said)


def _override(override: str) -> _Change:
    """A `--set` of the command line."""
    path, equals, text = override.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ConfigError("must be KEY=VALUE, as in training.epochs=3")
    try:
        value, inner = _parse(text, "")
    except ConfigError as error:
        # the line and column of so short a text say nothing
        raise ConfigError([re.sub(r"^(:\d+:\d+)?: ", "", p) for p in error.problems]) from error
    return _Change(f"--set {override}", keys, value, list(inner.marks))


def _place(container: Any, keys: Sequence[str]) -> Place:
    """The keys of an override as a place; into a list they are numbers, from 0."""
    place: Place = ()
    for key in keys:
        if isinstance(container, list):
            if key not in map(str, range(len(container))):
                raise ConfigError(
                    f"there is no entry {key} in a list of {len(container)}. It starts at 0"
                )
            place, container = (*place, int(key)), container[int(key)]
        else:
            place = (*place, key)
            container = container.get(key) if isinstance(container, dict) else None
    return place


def replaced(container: Any, place: Place, value: Any) -> Any:
    """The container with another value at a place; what it holds so far stays untouched."""
    if not place:
        return value
    key, rest = place[0], place[1:]
    if isinstance(container, list):
        return [replaced(old, rest, value) if i == key else old for i, old in enumerate(container)]
    if isinstance(container, str):
        container = {"name": container}  # `data: digits` is short for `data: {name: digits}`
    if container is None:
        container = {}
    if not isinstance(container, dict):
        raise ConfigError(f"nothing lies below {container}. Set the whole value")
    return {**container, key: replaced(container.get(key), rest, value)}
