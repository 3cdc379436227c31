"""A JSON Schema of the sweep files: an editor then knows the keys, the words and the knobs."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from dse.config import SweepConfig
from dse.design import Knob
from dse.inventory import vocabulary
from dse.knobentry import FORMS
from dse.vocabulary import Vocabulary
from energy_models import list_profiles

SCHEMA_FILE = Path(str(resources.files("sweeps"))) / "sweep.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER = {"type": "number"}
_VALUE = {"type": ["number", "string", "boolean"]}
_VALUES = {"type": "array", "items": _VALUE, "minItems": 1, "uniqueItems": True}
_PAIR = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
# what stands where a validator of ours reads the value, which pydantic does not describe
_PLAIN: dict[str, dict[str, Any]] = {
    "range": _PAIR,
    "log_range": {**_PAIR, "items": {"type": "number", "exclusiveMinimum": 0}},
    "choice": _VALUES,
    "fixed": _VALUE,
    "step": {"type": "number", "exclusiveMinimum": 0},
    "limit": _NUMBER,
    "validation": {"type": "number", "exclusiveMinimum": 0},
}
_OWN_DATA = {"type": "string", "pattern": r"\.npz$|\.py:[A-Za-z_][A-Za-z0-9_]*$"}
_OWN_MODEL = {"type": "string", "pattern": r"\.py:[A-Za-z_][A-Za-z0-9_]*$"}


def sweep_schema() -> dict[str, Any]:
    """What a sweep file may say.

    What depends on several entries is mostly not in it: `dse run` finds that.
    """
    words = vocabulary()
    schema = _described(SweepConfig.model_json_schema(mode="validation"))
    parts, keys = schema["$defs"], schema["properties"]
    named = {"enum": list(words.data)}
    choice = parts["DataChoice"]
    choice.pop("required")
    choice["properties"] |= {"name": {"type": "string"}, "file": _OWN_DATA}
    choice["anyOf"] = [{"required": ["name"]}, {"required": ["file"]}]
    keys["data"] = {"anyOf": [named, _OWN_DATA, {"$ref": "#/$defs/DataChoice"}]}
    keys["model"] = _OWN_MODEL
    keys["variants"]["items"] = {"enum": list(words.variants)}
    keys["architecture"] = {"enum": list(words.architectures)}
    profile = {"anyOf": [{"enum": list_profiles()}, {"type": "string"}]}
    keys["hardware"]["items"] = profile
    parts["Objective"]["required"] = ["name"]
    parts["Objective"]["properties"] |= {
        "name": {"enum": list(words.objectives)},
        "hardware": profile,
    }
    objective = {"$ref": "#/$defs/Objective"}
    keys["objectives"]["items"] = {"anyOf": [{"enum": list(words.objectives)}, objective]}
    parts["KnobEntry"]["oneOf"] = [{"required": [form]} for form in FORMS]
    parts["Knob"] = _knob_schema()
    keys["space"] = {
        "type": "object",
        "properties": _knobs(words),
        "additionalProperties": {"$ref": "#/$defs/Knob"},
    }
    keys["evaluate"]["additionalProperties"] = {"anyOf": [_VALUES, {"const": "all"}]}
    changes = {"type": "object", "minProperties": 1}
    keys["presets"] = {"type": "object", "additionalProperties": changes, "minProperties": 1}
    parts["Budget"]["oneOf"] = [{"required": [key]} for key in parts["Budget"]["properties"]]
    families = ["variants", "architecture"]
    schema["required"] = [key for key in schema["required"] if key not in families]
    is_own = {"required": ["model"]}
    only = {"properties": {"space": {"propertyNames": {"enum": sorted(_knobs(words))}}}}
    return {
        "$schema": _DIALECT,
        **schema,
        "if": is_own,
        "else": {"required": families, **only},
    }


def sweep_schema_text() -> str:
    """The text of the shipped file."""
    return json.dumps(sweep_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _described(part: Any, name: str = "") -> Any:
    """As pydantic describes it, with what our validators read, and without empty titles."""
    if isinstance(part, list):
        return [_described(one) for one in part]
    if not isinstance(part, dict):
        return part
    if name in _PLAIN and "type" not in part:
        return _PLAIN[name]
    found = {}
    for key, value in part.items():
        if key == "properties":
            found[key] = {one: _described(inner, one) for one, inner in value.items()}
        elif not (key == "title" or (key == "default" and value in (None, {}))):
            found[_LIMITS.get(key, key)] = _described(value)
    return found


def _knob_schema() -> dict[str, Any]:
    """A value, an entry, or a list of entries for families of their own."""
    entry = {"$ref": "#/$defs/KnobEntry"}
    return {"anyOf": [_VALUE, entry, {"type": "array", "items": entry, "minItems": 1}]}


def _knobs(words: Vocabulary) -> dict[str, Any]:
    """Every knob of a family, with its help."""
    having: dict[str, tuple[Knob, list[str]]] = {}
    for variant, knobs in words.variants.items():
        for knob in knobs:
            having.setdefault(knob.name, (knob, []))[1].append(variant)
    return {
        name: {"$ref": "#/$defs/Knob", "description": f"{knob.help} ({', '.join(variants)})"}
        for name, (knob, variants) in having.items()
    }
