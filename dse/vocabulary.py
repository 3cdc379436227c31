"""Vocabulary: the words that a sweep file may say, and every one that it misuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from dse import own
from dse.design import Knob, KnobValue
from dse.domain import Fixed, misfits, settle
from dse.knobentry import FORMS, clashes, form_of, number, readable
from energy_models.errors import EnergyModelError, nearest
from energy_models.yamlfile import Place

Goal = Literal["max", "min"]
Mistake = tuple[Place, str]

_COUNTED_UP = "time_steps"  # the knob whose values are known when the trained one is
_ENDLESS = "has endlessly many values, and repeats trains each. Write choice, or range with step"

OBJECTIVES: Mapping[str, Goal] = MappingProxyType(
    {
        "accuracy": "max",
        "energy_pj": "min",
        "latency_steps": "min",
        "parameters": "min",
        "spikes": "min",
    }
)


@dataclass(frozen=True)
class Vocabulary:
    """The words that a sweep file may say.

    variants : network family -> its knobs      architectures, data : names
    hardware : called with each profile's name; raises EnergyModelError for one that is not right
    objectives : name -> which way is better
    own : knobs of the training, which a model of the user's own has beside those of the space
    looks : whether files of the user's own are looked at; one that a run was begun with may be gone
    readings : network family -> the knobs that may be turned after its training
    """

    variants: Mapping[str, tuple[Knob, ...]]
    architectures: tuple[str, ...]
    data: tuple[str, ...]
    hardware: Callable[[str], object]
    objectives: Mapping[str, Goal] = field(default_factory=lambda: OBJECTIVES)
    own: tuple[Knob, ...] = ()
    looks: bool = True
    readings: Mapping[str, tuple[Knob, ...]] = field(default_factory=dict)


def is_priced(objective: object) -> bool:
    """Does the value of this objective depend on the hardware?"""
    return isinstance(objective, str) and objective.endswith("_pj")


def misused_words(data: Mapping[str, Any], vocabulary: Vocabulary) -> Iterator[Mistake]:
    """Words that are unknown, said twice, or do not go together: (place, what is wrong).

    data : of a sweep file, in whatever shape; what has the wrong shape is passed over
    """
    yield from _data(data.get("data"), vocabulary)
    variants = _listed(("variants",), data.get("variants"))
    if data.get("model") is not None:
        vocabulary = replace(vocabulary, variants={own.VARIANT: _own_knobs(data, vocabulary)})
        variants = {("variants", 0): own.VARIANT}
        yield from own.misfits(data)
        if vocabulary.looks:
            yield from own.model_problems(data["model"], _space(data), vocabulary.own)
    else:
        architecture = data.get("architecture")
        yield from _unknown(
            {("architecture",): architecture}, vocabulary.architectures, "architecture"
        )
        yield from _unknown(variants, vocabulary.variants, "variant")
        yield from _twice(variants)
    hardware = _listed(("hardware",), data.get("hardware"))
    yield from _unpriced(hardware, vocabulary)
    yield from _twice(hardware)
    yield from _objectives(data.get("objectives"), vocabulary)
    yield from _shared_widths(data, variants.values(), vocabulary)
    listed = [name for name in variants.values() if name in vocabulary.variants]
    # beside a misspelt family no knob can be said to be nobody's
    is_sure = listed and len(listed) == len(variants)
    sure = list(dict.fromkeys(listed)) if is_sure else list(vocabulary.variants)
    if isinstance(data.get("evaluate"), dict) and data.get("model") is None:  # said by `own`
        for knob, values in data["evaluate"].items():
            yield from _evaluated(knob, values, sure, vocabulary)
    if _space(data):
        budget = data.get("budget")
        is_counted = isinstance(budget, dict) and budget.get("repeats") is not None
        for knob, entry in _space(data).items():
            yield from _knob(knob, entry, sure, vocabulary, is_counted)


def _space(data: Mapping[str, Any]) -> dict[str, Any]:
    space = data.get("space")
    return space if isinstance(space, dict) else {}


def _own_knobs(data: Mapping[str, Any], vocabulary: Vocabulary) -> tuple[Knob, ...]:
    """The knobs of a model of the user's own: any that the space names, and those of training."""
    ours = {knob.name for knob in vocabulary.own}
    said = {name: raw for name, raw in _space(data).items() if name not in ours}
    return (*vocabulary.own, *own.knobs(said))


def _data(source: Any, vocabulary: Vocabulary) -> Iterator[Mistake]:
    place, file = own.file_of(source)
    if file is not None:
        problem = own.data_problem(file) if vocabulary.looks else None
        if problem is not None:
            yield place, problem
    elif isinstance(source, dict):
        yield from _unknown({("data", "name"): source.get("name")}, vocabulary.data, "data")
    else:
        yield from _unknown({("data",): source}, vocabulary.data, "data")


def _listed(place: Place, value: Any) -> dict[Place, str]:
    """The words of a list, by place."""
    entries = value if isinstance(value, list) else []
    return {(*place, i): word for i, word in enumerate(entries) if isinstance(word, str)}


def _unknown(words: Mapping[Place, Any], known: Iterable[str], kind: str) -> Iterator[Mistake]:
    for place, word in words.items():
        if isinstance(word, str) and word not in known:
            yield place, f'unknown {kind} "{word}".{nearest(word, known)}'


def _twice(words: Mapping[Place, str]) -> Iterator[Mistake]:
    seen: set[str] = set()
    for place, word in words.items():
        if word in seen:
            yield place, f'"{word}" is listed twice. Keep one'
        seen.add(word)


def _unpriced(profiles: Mapping[Place, str], vocabulary: Vocabulary) -> Iterator[Mistake]:
    for place, name in profiles.items():
        try:
            vocabulary.hardware(name)
        except EnergyModelError as error:
            yield from ((place, problem) for problem in str(error).splitlines())


def _objectives(entries: Any, vocabulary: Vocabulary) -> Iterator[Mistake]:
    names: dict[Place, str] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        place: Place = ("objectives", index)
        if isinstance(entry, str):
            names[place] = entry
        if not isinstance(entry, dict):
            continue
        name, hardware, limit = (entry.get(key) for key in ("name", "hardware", "limit"))
        if isinstance(name, str):
            names[(*place, "name")] = name
        if isinstance(hardware, str):
            if is_priced(name):
                yield from _unpriced({(*place, "hardware"): hardware}, vocabulary)
            else:
                yield (*place, "hardware"), f"no profile prices {name}. Leave it out"
        if name == "accuracy" and isinstance(limit, int | float) and not 0 <= limit <= 1:
            yield (*place, "limit"), f"{limit} is no accuracy. It goes from 0 to 1: 90 % is 0.9"
    yield from _unknown(names, vocabulary.objectives, "objective")
    yield from _twice(names)


def _shared_widths(
    data: Mapping[str, Any], variants: Iterable[str], vocabulary: Vocabulary
) -> Iterator[Mistake]:
    widths = data.get("share_widths")
    if not isinstance(widths, list) or not widths:
        return
    known = [variant for variant in variants if variant in vocabulary.variants]
    having = _having("width", known, vocabulary.variants)
    for variant in known:
        if variant not in having:
            yield ("share_widths",), f"{variant} has no knob width. Leave one of the two out"
    for index, width in enumerate(widths):
        if isinstance(width, int | float) and not isinstance(width, bool):
            texts = (text for knob in having.values() for text in misfits(Fixed(width), knob))
            yield from ((("share_widths", index), text) for text in dict.fromkeys(texts))
    if isinstance(data.get("space"), dict) and "width" in data["space"]:
        yield ("space", "width"), "the widths are those of share_widths. Leave one of the two out"


def _knob(
    name: str, raw: Any, listed: list[str], vocabulary: Vocabulary, is_counted: bool
) -> Iterator[Mistake]:
    """is_counted : every design is to be trained, so there must be a number of them"""
    place: Place = ("space", name)
    having = _having(name, listed, vocabulary.variants)
    if not having:
        yield from _nobodys(place, name, listed, vocabulary.variants)
        return
    if form_of(raw) == "<entry>":
        yield from _entry(place, raw, listed, having, is_counted)
        return
    for index, one in enumerate(raw):
        yield from _entry((*place, index), one, listed, having, is_counted)
    yield from _shared(place, raw, having)


def _nobodys(
    place: Place, name: str, listed: list[str], families: Mapping[str, tuple[Knob, ...]]
) -> Iterator[Mistake]:
    """What to say of a knob that none of the listed families has."""
    others = _having(name, families, families)
    if others:
        has = f"{', '.join(others)} {'has' if len(others) == 1 else 'have'} it"
        yield place, f"none of {', '.join(listed)} has this knob, but {has}"
    else:
        known = {knob.name for variant in listed for knob in families.get(variant, ())}
        has_none = f" Nothing can be turned after the training of {', '.join(listed)}"
        yield place, f"unknown knob.{nearest(name, known) if known else has_none}"


def _evaluated(
    name: str, values: Any, listed: list[str], vocabulary: Vocabulary
) -> Iterator[Mistake]:
    """A knob that is to be turned after the training, and its values."""
    place: Place = ("evaluate", name)
    having = _having(name, listed, vocabulary.readings)
    if not having:
        if _having(name, listed, vocabulary.variants):
            known = {knob.name for one in listed for knob in vocabulary.readings.get(one, ())}
            text = f"matters in training, and cannot be turned after it.{nearest(name, known)}"
            yield place, f"{text}. The space says it"
            return
        yield from _nobodys(place, name, listed, vocabulary.readings)
    elif values == "all":
        if name != _COUNTED_UP:
            yield place, f"all is for {_COUNTED_UP} alone. List the values"
    elif isinstance(values, list):
        for index, value in enumerate(values):
            texts = [
                text for knob in having.values() for text in misfits(Fixed(_number_of(value)), knob)
            ]
            yield from (((*place, index), text) for text in dict.fromkeys(texts))


def _number_of(value: Any) -> KnobValue:
    """`1e-3`, which YAML takes for a word, as a number; everything else as it is."""
    try:
        return number(value)
    except ValueError:
        return value if isinstance(value, bool | int | float | str) else str(value)


def _entry(
    place: Place, raw: Any, listed: list[str], having: Mapping[str, Knob], is_counted: bool
) -> Iterator[Mistake]:
    meant = _meant(place, raw)
    for at, variant in meant.items():
        if variant not in listed:
            yield at, f'"{variant}" is no variant of this sweep.{nearest(variant, listed)}'
        elif variant not in having:
            yield at, f"{variant} has no such knob. It belongs to {', '.join(having)}"
    yield from _twice(meant)
    if isinstance(raw, dict):
        yield from ((place, text) for text in clashes(raw))
    entry = readable(raw)
    is_lost = isinstance(raw, dict) and raw.get("when") is not None
    if entry is None or (is_lost and entry.when is None):
        return  # its shape is wrong, which is said elsewhere
    form = next(form for form in FORMS if getattr(entry, form) is not None)
    domain = entry.entry().domain
    admitted = [knob for variant, knob in having.items() if entry.entry().admits(variant)]
    wrong = list(dict.fromkeys(text for knob in admitted for text in misfits(domain, knob)))
    is_whole = not (isinstance(raw, dict) and raw.get("step") is not None and entry.step is None)
    if is_counted and is_whole and not wrong:
        if any(settle(domain, knob).size is None for knob in admitted):
            wrong = [_ENDLESS]
    for text in wrong:
        yield (*place, form) if isinstance(raw, dict) else place, text


def _shared(place: Place, entries: Sequence[Any], having: Mapping[str, Knob]) -> Iterator[Mistake]:
    """Families for which a list of entries says two things."""
    first: dict[str, int] = {}
    for index, raw in enumerate(entries):
        if not isinstance(raw, dict) or raw.get("when") is None:
            if len(entries) > 1:
                text = "is for all families, and stands beside another entry. Give it a when"
                yield (*place, index), text
            continue
        own = _meant((*place, index), raw)
        for at, variant in own.items():
            if variant in having and first.setdefault(variant, index) != index:
                yield at, f"{variant} has entry {first[variant]} of the list already. Keep one"


def _meant(place: Place, raw: Any) -> dict[Place, str]:
    """The families that an entry names in its `when`, by place."""
    when = raw.get("when") if isinstance(raw, dict) else None
    return _listed(
        (*place, "when", "variant"), when.get("variant") if isinstance(when, dict) else None
    )


def _having(
    name: str, variants: Iterable[str], families: Mapping[str, tuple[Knob, ...]]
) -> dict[str, Knob]:
    """The network families that have a knob, each with its own."""
    return {
        variant: knob
        for variant in variants
        for knob in families.get(variant, ())
        if knob.name == name
    }
