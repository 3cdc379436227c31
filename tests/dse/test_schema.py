"""The JSON Schema of sweep files: it is the shipped one, and accepts and refuses as `dse run`."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dse.config import SweepConfig
from dse.inventory import vocabulary
from dse.schema import SCHEMA_FILE, sweep_schema, sweep_schema_text
from dse.sweepfile import shipped

SCHEMA = sweep_schema()
SWEEPS = SCHEMA_FILE.parent
OWN = {
    "name": "mine",
    "data": "mine.npz",
    "model": "net.py:build",
    "space": {"hidden": {"log_range": [8, 64]}, "norm": {"choice": [True, False]}},
    "objectives": ["accuracy", {"name": "energy_pj", "limit": 5}],
    "hardware": ["cmos45-fp32+charge.mac=effective"],
    "budget": {"trials": 3},
}


def is_valid(document: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def test_the_shipped_file_is_up_to_date() -> None:
    # python -c "from dse.schema import *;
    # SCHEMA_FILE.write_text(sweep_schema_text(), encoding='utf-8')"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == sweep_schema_text()
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", shipped())
def test_shipped_sweeps_are_valid_for_an_editor(name: str) -> None:
    text = (SWEEPS / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_FILE.name}\n")
    jsonschema.Draft202012Validator(SCHEMA).validate(yaml.safe_load(text))


def test_every_key_and_word_is_in_it() -> None:
    assert set(SCHEMA["properties"]) == {*SweepConfig.model_fields, "presets"}
    words = vocabulary()
    assert SCHEMA["properties"]["variants"]["items"]["enum"] == list(words.variants)
    knobs = {knob.name for knobs in words.variants.values() for knob in knobs}
    assert set(SCHEMA["properties"]["space"]["properties"]) == knobs


def test_data_and_model_of_the_users_own_are_valid() -> None:
    assert is_valid(OWN)
    assert is_valid({**OWN, "data": {"file": "mine.py:load", "validation": 0.3}})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("name",), "my sweep"),
        (("data",), "mnits"),
        (("data",), {"validation": 0.2}),
        (("model",), "net.py"),
        (("variants",), ["sn"]),
        (("space", "hidden"), {"range": [1, 2, 3]}),
        (("space", "hidden"), {"log_range": [0, 3]}),
        (("space", "hidden"), {"range": [1, 2], "fixed": 1}),
        (("space", "hidden"), {"fxed": 1}),
        (("objectives",), ["acuracy"]),
        (("budget",), {"trials": 1, "repeats": 1}),
        (("budget",), {"trials": 0}),
        (("training",), {"epocs": 1}),
        (("training",), {"label_smoothing": 1}),
        (("workers",), 0),
        (("presets",), {"small": {}}),
    ],
)
def test_mistakes_are_seen_by_an_editor(place: tuple[str, ...], value: Any) -> None:
    document: dict[str, Any] = copy.deepcopy(OWN)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert not is_valid(document)


def test_without_a_model_only_knobs_of_families_are_known() -> None:
    quickstart = yaml.safe_load(Path(SWEEPS / "quickstart.yaml").read_text(encoding="utf-8"))
    assert is_valid(quickstart)
    quickstart["space"]["treshold"] = 1.0
    assert not is_valid(quickstart)
    assert not is_valid({key: value for key, value in OWN.items() if key != "model"})
