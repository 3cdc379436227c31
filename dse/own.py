"""Own: what a sweep file says of the user's own data and model, read without running any of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dse import usercode
from dse.design import Knob
from dse.domain import Domain, extremes
from dse.errors import TargetError
from dse.knobentry import entries_of
from energy_models.errors import nearest
from energy_models.yamlfile import Place

VARIANT = "own"
# what a model is called with beside its knobs, if its signature asks for it
OFFERED = ("input_shape", "classes")
_OF_FAMILIES = ("evaluate", "share_widths")


def is_file(text: object) -> bool:
    """Is it data in a file, `file.npz` or `file.py:function`, and no name of a data set?"""
    return isinstance(text, str) and (text.endswith((".npz", ".py")) or ".py:" in text)


def file_of(source: object) -> tuple[Place, object]:
    """Where the `data` of a sweep names a file, and what stands there; None where it names none."""
    if isinstance(source, dict):
        if source.get("file") is not None:
            return ("data", "file"), source["file"]
        return ("data", "name"), source.get("name") if is_file(source.get("name")) else None
    return ("data",), source if is_file(source) else None


def spelled_out(source: object) -> object:
    """`mine.npz` is short for `{name: mine, file: mine.npz}`, and `digits` for `{name: digits}`."""
    if isinstance(source, str):
        source = {"name": source}
    if not isinstance(source, dict):
        return source
    if is_file(source.get("name")) and "file" not in source:
        source = {"file" if key == "name" else key: value for key, value in source.items()}
    if "name" not in source and isinstance(source.get("file"), str):
        source = {"name": _label(source["file"]), **source}
    return source


def absolute(target: str, folder: Path) -> str:
    """The file, or the `file.py:name`, from the root, so that it is found from anywhere."""
    place, colon, name = target.rpartition(":") if ".py:" in target else (target, "", "")
    return f"{(folder / Path(place).expanduser()).resolve()}{colon}{name}"


def data_problem(target: object) -> str | None:
    """What is wrong with the name of a file of data; nothing of the file is run."""
    if not isinstance(target, str) or not is_file(target):
        return "must be a file of arrays, as in mine.npz, or a function, as in mine.py:load"
    if target.endswith(".npz"):
        return None if Path(target).is_file() else f"{target}: no such file"
    try:
        signature = _signature(target, "load")
    except TargetError as error:
        return str(error)
    if signature is not None and signature.required:
        return f"{target}: is called without arguments, and needs {', '.join(signature.required)}"
    return None


def model_problems(
    target: object, space: Mapping[str, Any], offered: Sequence[Knob]
) -> Iterator[tuple[Place, str]]:
    """What is wrong with `model`, and with the knobs that its function is called with.

    offered : knobs of the training, with which it is called only if it asks for them
    """
    try:
        signature = _signature(target if isinstance(target, str) else "", "build")
    except TargetError as error:
        yield ("model",), str(error)
        return
    if signature is None:
        return
    ours = [knob.name for knob in offered]
    for knob in space:
        is_taken = signature.takes_any or knob in signature.names or knob in ours
        if not is_taken and knob not in OFFERED:
            takes = [name for name in signature.names if name not in OFFERED]
            yield ("space", knob), f"{target} takes no such knob.{nearest(knob, takes)}"
    lacking = [one for one in signature.required if one not in (*space, *ours, *OFFERED)]
    if lacking:
        text = f"{target} needs {', '.join(lacking)}. Give it a default, or a domain in space"
        yield ("model",), text


def misfits(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Entries that do not go with a model of the user's own."""
    model = data.get("model")
    for key, is_ours in (
        ("variants", data.get("variants") in (None, [VARIANT])),
        ("architecture", data.get("architecture") in (None, model)),
    ):
        if not is_ours:
            yield (key,), "does not go with model, which says what is built. Leave it out"
    for key in _OF_FAMILIES:
        if data.get(key):
            yield (key,), "is for the families of variants, not for a model of your own"
    for knob in data["space"] if isinstance(data.get("space"), dict) else ():
        if knob in OFFERED:
            yield ("space", knob), "comes from the data. Leave it out"


def knobs(space: Mapping[str, Any]) -> tuple[Knob, ...]:
    """The knobs that a space names, of the kind that their values have; any kind if unreadable.

    space : `space` of a sweep file, in whatever shape
    """
    said = {name: entries_of(raw) for name, raw in space.items()}
    return tuple(
        knob_of(name, entries[0].domain) if entries else Knob(name, "choice", "", "")
        for name, entries in said.items()
    )


def knob_of(name: str, domain: Domain) -> Knob:
    """A knob with the kind of the values of a domain, and its middle as default."""
    values = extremes(domain)
    is_word = any(isinstance(value, bool | str) for value in values)
    is_whole = all(isinstance(value, int) for value in values)
    middle = domain.middle()
    if is_word:
        return Knob(name, "choice", middle, "")
    return Knob(name, "int" if is_whole else "float", middle, "")


def _signature(target: str, example: str) -> usercode.Signature | None:
    if not usercode.is_target(target):
        raise TargetError(f"must be a function in a file, as in mine.py:{example}")
    return usercode.signature(target)


def _label(target: str) -> str:
    """`mine` for `folder/mine.npz`, `load` for `mine.py:load`."""
    place, colon, name = target.rpartition(":")
    return name if colon and place.endswith(".py") else Path(target).stem
