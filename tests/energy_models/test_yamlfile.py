"""The YAML door: places, keys given twice, text that is not YAML or wants to be code."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from energy_models.yamlfile import YamlMistakes, parse_yaml, read_yaml, validate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner
    many: list[Inner] = []
    either: Inner | int = 0
    row: tuple[Inner, ...] = ()


def refusal_of(text: str) -> list[str]:
    with pytest.raises(YamlMistakes) as refusal:
        validate(*parse_yaml(text, "f.yaml"), Outer)
    assert str(refusal.value) == "\n".join(refusal.value.problems)
    return refusal.value.problems


def test_places() -> None:
    data, places = parse_yaml("a:\n  b: [1, 2]\n", "f.yaml")
    assert data == {"a": {"b": [1, 2]}}
    assert places.at(("a", "b")) == "f.yaml:2:3"
    assert places.at(("a", "b", 1)) == "f.yaml:2:10"
    # what is not there is reported at the entry around it
    assert places.at(("a", "c")) == "f.yaml:1:1"
    assert places.at(("z",)) == "f.yaml"
    assert places.problem(("a", "b", 1), "no") == "f.yaml:2:10: a.b.1: no"
    assert places.problem((), "no") == "f.yaml: no"


def test_the_nearest_key_inside_a_tuple() -> None:
    assert refusal_of("inner: {width: 1}\nrow: [{widht: 1}]\n") == [
        "f.yaml:2:7: row.0.width: missing. It must be given",
        'f.yaml:2:8: row.0.widht: unknown key. Did you mean "width"?',
    ]


def test_a_key_given_twice() -> None:
    text = "inner: {width: 1}\nmany:\n  - {width: 1, width: 2}\ninner: {width: 3}\n"
    assert refusal_of(text) == [
        "f.yaml:3:16: many.0.width: the key is given twice. Keep one",
        "f.yaml:4:1: inner: the key is given twice. Keep one",
    ]


def test_not_yaml() -> None:
    assert refusal_of("inner: {width: 1\nmany: []\n") == [
        "f.yaml:2:5: not valid YAML: expected ',' or '}', but got ':'"
    ]


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("!!python/object/apply:os.system ['true']", "object/apply:os.system"),
        ("!!python/object:builtins.object {}", "object:builtins.object"),
        ("!!python/name:os.system ''", "name:os.system"),
    ],
)
def test_objects_are_refused(value: str, tag: str) -> None:
    assert refusal_of(f"inner: {value}\n") == [
        "f.yaml:1:8: not valid YAML: could not determine a constructor for the tag "
        f"'tag:yaml.org,2002:python/{tag}'"
    ]


def test_a_list_inside_itself_is_refused() -> None:
    assert refusal_of("inner: &x [*x]\n") == [
        "f.yaml: not valid YAML: maximum recursion depth exceeded"
    ]


def test_all_mistakes_at_once_each_with_its_place() -> None:
    assert refusal_of("inner: {widht: 1}\nmany: [{width: x}]\nmanny: 1\n") == [
        "f.yaml:1:1: inner.width: missing. It must be given",
        'f.yaml:1:9: inner.widht: unknown key. Did you mean "width"?',
        "f.yaml:2:9: many.0.width: Input should be a valid integer, "
        "unable to parse string as an integer (got 'x')",
        'f.yaml:3:1: manny: unknown key. Did you mean "many"?',
    ]


def test_names_of_union_branches_are_no_places() -> None:
    problems = refusal_of("inner: {width: 1}\neither: {}\n")
    assert problems[0] == "f.yaml:2:1: either.width: missing. It must be given"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(YamlMistakes) as refusal:
        read_yaml(path)
    assert str(refusal.value).startswith(f"{path}: cannot be read: ")
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(YamlMistakes, match="cannot be read"):
        read_yaml(path)


@pytest.mark.parametrize("number", ["010", "1:30", "1:30.5", "0x10", "1_000"])
def test_a_number_that_yaml_reads_otherwise(number: str) -> None:
    with pytest.raises(YamlMistakes) as refusal:
        parse_yaml(f"width: {number}\n", "mine.yaml")
    assert refusal.value.problems == [
        f"mine.yaml:1:8: {number}: is another number to YAML than to a reader. "
        "Write it as a plain decimal number"
    ]


@pytest.mark.parametrize("number", ["0", "-3", "4.6", "1.09e-5", ".5", "1300", "2.", "+1.5E+3"])
def test_plain_numbers_pass(number: str) -> None:
    data, _ = parse_yaml(f"width: {number}\n", "mine.yaml")
    assert data == {"width": float(number)}


def test_aliases_of_aliases_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(YamlMistakes) as refusal:
        parse_yaml("\n".join(lines), "mine.yaml")
    assert "more than 20000 entries, aliases written out" in refusal.value.problems[0]
