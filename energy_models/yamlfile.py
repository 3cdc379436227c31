"""The YAML door: a file into a pydantic model, with every mistake at once and the line of each."""

from __future__ import annotations

import itertools
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from energy_models.errors import nearest

Place = tuple[str | int, ...]
_MOST_ENTRIES = 20_001  # a file of aliases of aliases never ends
_PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9]\d*|(0|[1-9]\d*)?\.\d*)([eE][-+]?\d+)?|[-+]?\.(inf|nan)", re.I
)
Model = TypeVar("Model", bound=BaseModel)


class YamlMistakes(Exception):
    """A file that does not say what it should.

    problems : one line a mistake, "file:line:column: place: what is wrong. What would be right"
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class Places:
    """Where each entry of a YAML file stands."""

    file: str
    marks: Mapping[Place, tuple[int, int]]

    def at(self, place: Place) -> str:
        """`file:line:column` of an entry, or of the nearest entry around it that exists."""
        for length in range(len(place), -1, -1):
            mark = self.marks.get(place[:length])
            if mark is not None:
                return f"{self.file}:{mark[0]}:{mark[1]}"
        return self.file

    def problem(self, place: Place, text: str) -> str:
        """One mistake: where it is in the file, which entry, what is wrong."""
        entry = ".".join(str(part) for part in place)
        return f"{self.at(place)}: {entry}: {text}" if entry else f"{self.at(place)}: {text}"


def read_yaml(path: Path) -> tuple[Any, Places]:
    """The data of a YAML file and the place of each entry; plain data only, no objects.

    Raises YamlMistakes for a file that is not there, not YAML, or says a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise YamlMistakes([f"{path}: cannot be read: {error}"]) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> tuple[Any, Places]:
    """As `read_yaml`, from text that came from `file`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        entries = list(itertools.islice(_entries(root, ()), _MOST_ENTRIES))
        if len(entries) == _MOST_ENTRIES:
            raise ValueError(f"more than {_MOST_ENTRIES - 1} entries, aliases written out")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        cause = getattr(error, "problem", None) or str(error)
        raise YamlMistakes([f"{where}: not valid YAML: {cause}"]) from error
    odd = [
        f"{file}:{one.start_mark.line + 1}:{one.start_mark.column + 1}: {one.value[:20]}: "
        "is another number to YAML than to a reader. Write it as a plain decimal number"
        for one in _odd_numbers(root)
    ]
    if odd:
        raise YamlMistakes(odd)
    marks: dict[Place, tuple[int, int]] = {}
    twice: dict[Place, str] = {}
    for place, node in entries:
        here = (node.start_mark.line + 1, node.start_mark.column + 1)
        is_inside = any(place[:length] in twice for length in range(len(place)))
        if place in marks and not is_inside:
            entry = ".".join(str(part) for part in place)
            where = f"{file}:{here[0]}:{here[1]}"
            twice[place] = f"{where}: {entry}: the key is given twice. Keep one"
        marks[place] = here
    if twice:
        raise YamlMistakes(list(twice.values()))
    return data, Places(file, marks)


def validate(data: Any, places: Places, model: type[Model]) -> Model:
    """The data as a model.

    Raises YamlMistakes with all that pydantic found, each with its line and the nearest key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise YamlMistakes(_problems(error, places, model)) from error


def _problems(error: ValidationError, places: Places, model: type[BaseModel]) -> list[str]:
    problems = []
    for mistake in error.errors():
        path = mistake["loc"]
        place = tuple(part for part in path if _is_of_file(part, places))
        kind = mistake["type"]
        if kind == "extra_forbidden":
            known = _keys_at(model, place[:-1])
            text = f"unknown key.{nearest(str(place[-1]), known)}"
        elif kind == "missing":
            place = (*(part for part in path[:-1] if _is_of_file(part, places)), path[-1])
            text = "missing. It must be given"
        elif kind == "model_type":
            text = "must give keys, as in `key: value`"
        else:
            text = mistake["msg"].removeprefix("Value error, ")
            text += _hint(mistake["input"])
            if path[-1:] != ("[key]",) and not isinstance(mistake["input"], dict | list):
                text = f"{text} (got {mistake['input']!r})"
        problems.append(places.problem(place, text))
    return list(dict.fromkeys(problems))


def _hint(value: Any) -> str:
    """YAML takes `5e-12` for a text."""
    if not isinstance(value, str):
        return ""
    found = re.fullmatch(r"([-+]?\d+)([eE][-+]?\d+)", value)
    return f". YAML takes it for a text: write {found[1]}.0{found[2]}" if found else ""


def _is_of_file(part: str | int, places: Places) -> bool:
    # pydantic puts the names of union branches between the keys; they are in no place of the file.
    return any(part in place for place in places.marks)


def _entries(node: Node | None, place: Place) -> Iterator[tuple[Place, Node]]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            yield inner, key
            yield from _entries(value, inner)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*place, index)
            yield inner, value
            yield from _entries(value, inner)


def _odd_numbers(node: Node | None) -> Iterator[ScalarNode]:
    """Octal, sexagesimal and the like: `010` is 8, and `1:30` is 90."""
    parts: list[Node] = []
    if isinstance(node, MappingNode):
        parts = [value for _, value in node.value]
    elif isinstance(node, SequenceNode):
        parts = list(node.value)
    elif isinstance(node, ScalarNode) and node.tag.rpartition(":")[2] in ("int", "float"):
        if not _PLAIN_NUMBER.fullmatch(node.value):
            yield node
    for part in parts:
        yield from _odd_numbers(part)


def _keys_at(annotation: Any, place: Place) -> set[str]:
    """The keys that the model knows at a place, through unions, lists and mappings."""
    origin = typing.get_origin(annotation)
    arguments = [one for one in typing.get_args(annotation) if one is not Ellipsis]
    if origin is typing.Annotated:
        return _keys_at(arguments[0], place)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(_keys_at(branch, place) for branch in arguments))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        model_fields = annotation.model_fields
        if not place:
            return {field.alias or name for name, field in model_fields.items()}
        for name, field in model_fields.items():
            if (field.alias or name) == place[0]:
                return _keys_at(field.annotation, place[1:])
        return set()
    if origin is not None and place and arguments:
        return _keys_at(arguments[-1], place[1:])
    return set()
