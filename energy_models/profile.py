"""Hardware profiles: price lists of events, read from YAML, every number with unit and source.

A profile is named by its shipped name or by a path ending in `.yaml` or `.yml`; options follow
after `+`: `cmos45-int8+accumulator=32-bit+first_layer=every-step+charge.mac=effective`.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
)

from energy_models.errors import ProfileError, nearest
from energy_models.yamlfile import Place, YamlMistakes, read_yaml, validate

CLASSES = ("mac", "ac", "graded", "binary")
PRICED = (*CLASSES, "add", "leak", "integrate", "compare", "reset")
LEFT_OUT = (*PRICED, "state_read", "state_write", "memory", "control", "element_wise")

_SHIPPED = Path(__file__).parent / "hardware"


def _one_of(known: tuple[str, ...]) -> AfterValidator:
    def check(key: str) -> str:
        if key not in known:
            raise ValueError(f"unknown key.{nearest(key, known)}")
        return key

    return AfterValidator(check)


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Event = Annotated[str, _one_of(PRICED)]
OptionWord = Annotated[str, StringConstraints(pattern=r"^[^+=\s]+$")]
Picojoules = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Bits = Annotated[int, Field(strict=True, ge=1)]
Basis = Literal["silicon", "fit", "estimate", "derived", "assumption"]
ChargedPairs = Literal["dense", "effective"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Constant(_Strict):
    """Energy of one event.

    value_pj : pJ per event      low_pj, high_pj : its range, where the source gives one
    bits : width of the operands; of a MAC, those of the multiplication
    basis : how far to trust it      note : what was added, converted or assumed
    """

    value_pj: Picojoules
    low_pj: Picojoules | None = None
    high_pj: Picojoules | None = None
    bits: Bits
    basis: Basis
    source: Text
    note: str = ""

    @field_validator("low_pj", "high_pj")
    @classmethod
    def _range_holds_value(cls, bound_pj: float | None, info: ValidationInfo) -> float | None:
        value_pj = info.data.get("value_pj")
        if bound_pj is None or value_pj is None:
            return bound_pj
        if info.field_name == "low_pj" and bound_pj > value_pj:
            raise ValueError(f"is above value_pj {value_pj}")
        if info.field_name == "high_pj" and bound_pj < value_pj:
            raise ValueError(f"is below value_pj {value_pj}")
        return bound_pj


class Share(_Strict):
    """Energy of one event as a part of another event's, whatever other options make of that one."""

    share_of: Event
    divided_by: Positive
    bits: Bits
    basis: Basis
    source: Text
    note: str = ""


class Switches(_Strict):
    """Conventions on which published operation energies differ.

    first_layer : a layer evaluated once for several steps is charged `once`, or `every-step`
    graded : a product by a small integer k `accumulates` abs(k) times, or costs one `mac`
    neuron_updates : `counted` or `excluded`
    bias : `excluded`, or `add`: one addition per output value
    """

    first_layer: Literal["once", "every-step"] = "once"
    graded: Literal["accumulates", "mac"] = "accumulates"
    neuron_updates: Literal["counted", "excluded"] = "counted"
    bias: Literal["excluded", "add"] = "excluded"


class Charge(_Strict):
    """Which products of a class are paid: every position, or those of two non-zero operands."""

    mac: ChargedPairs = "dense"
    ac: ChargedPairs = "effective"
    graded: ChargedPairs = "effective"
    binary: ChargedPairs = "dense"


def _constant_or_share(entry: Any) -> str:
    is_share = isinstance(entry, Share) or (isinstance(entry, dict) and "share_of" in entry)
    return "share" if is_share else "constant"


Overlay = dict[
    Event,
    Annotated[
        Annotated[Constant, Tag("constant")] | Annotated[Share, Tag("share")],
        Discriminator(_constant_or_share),
    ],
]


class HardwareProfile(_Strict):
    """A price list and the conventions under which it is applied.

    energy : event -> its energy; `graded` is optional, a price of its own for graded products
    excludes : what the profile knowingly leaves out -> the reason
    options : option -> value -> the entries of `energy` that it replaces
    """

    name: Text
    title: Text
    kind: Literal["op-only"]
    node_nm: Positive
    voltage_v: Positive
    number_format: Text
    reference: Text
    switches: Switches = Switches()
    charge: Charge = Charge()
    energy: Annotated[dict[Event, Constant], Field(min_length=1)]
    excludes: dict[Annotated[str, _one_of(LEFT_OUT)], Text] = {}
    options: dict[OptionWord, dict[OptionWord, Overlay]] = {}

    def choices(self) -> dict[str, tuple[str, ...]]:
        """What may follow the name after `+`: option -> its values."""
        return {
            **_literals(Switches),
            **{f"charge.{name}": values for name, values in _literals(Charge).items()},
            **{name: tuple(values) for name, values in self.options.items()},
        }

    def rows(self) -> list[dict[str, Any]]:
        """One plain row a constant: quantity, value_pj, bits, basis, source, note."""
        return [
            {
                "quantity": event,
                "value_pj": constant.value_pj,
                "bits": constant.bits,
                "basis": constant.basis,
                "source": constant.source,
                "note": constant.note,
            }
            for event, constant in self.energy.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything that the file says, defaults filled in, options applied, and `choices`."""
        choices = {name: list(values) for name, values in self.choices().items()}
        return {**self.model_dump(mode="json"), "choices": choices}


def list_profiles() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def load_profile(name: str) -> HardwareProfile:
    """A shipped profile, or the user's own file, with the options of its name applied.

    name : `cmos45-fp32`, `mine.yaml`, `cmos45-int8+accumulator=32-bit`; kept whole in `.name`

    Raises ProfileError with every mistake of the file, or of the options, at once.
    """
    base, options = _split(name)
    try:
        data, places = read_yaml(_path(base))
        profile = validate(data, places, HardwareProfile)
    except YamlMistakes as error:
        raise ProfileError(error.problems) from error
    contradictions = [places.problem(place, text) for place, text in _contradictions(profile)]
    if contradictions:
        raise ProfileError(contradictions)
    return _with_options(profile.model_copy(update={"name": name}), options)


def _split(name: str) -> tuple[str, list[str]]:
    file = re.fullmatch(r"(.+?\.ya?ml)(\+.*)?", name)  # a path may hold a + of its own
    if file:
        return file[1], file[2].split("+")[1:] if file[2] else []
    base, *options = name.split("+")
    return base, options


def _path(base: str) -> Path:
    if base.endswith((".yaml", ".yml")):
        return Path(base)
    known = list_profiles()
    if base not in known:
        raise ProfileError(f'profile "{base}": unknown profile.{nearest(base, known)}')
    return _SHIPPED / f"{base}.yaml"


def _literals(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    return {name: typing.get_args(field.annotation) for name, field in model.model_fields.items()}


def _contradictions(profile: HardwareProfile) -> Iterator[tuple[Place, str]]:
    """Entries that are well formed each, but cannot stand side by side."""
    if "graded" in profile.energy and "graded" in profile.switches.model_fields_set:
        yield ("switches", "graded"), "has no effect beside energy.graded. Keep one of the two"
    for event in profile.excludes:
        if event in profile.energy:
            yield ("excludes", event), f"is left out, but energy.{event} prices it. Keep one"
    built_in = {*Switches.model_fields, *(f"charge.{name}" for name in Charge.model_fields)}
    for option, values in profile.options.items():
        if option in built_in:
            yield ("options", option), "is the name of a switch. Choose another name"
        for value, overlay in values.items():
            for event, entry in overlay.items():
                place = ("options", option, value, event)
                if event in profile.excludes:
                    yield place, f"is priced here, but left out by excludes.{event}. Keep one"
                if isinstance(entry, Share) and entry.share_of not in profile.energy:
                    yield place, f"no energy.{entry.share_of} to take a share of"


def _with_options(profile: HardwareProfile, options: list[str]) -> HardwareProfile:
    changes = _read_options(profile, options)
    switches = {name: value for name, value in changes.items() if name in Switches.model_fields}
    charge = {
        name.removeprefix("charge."): value
        for name, value in changes.items()
        if name.startswith("charge.")
    }
    overlays = {
        name: profile.options[name][value]
        for name, value in changes.items()
        if name in profile.options
    }
    if "graded" in switches and "graded" in profile.energy:
        raise ProfileError(
            f'profile "{profile.name}": option "graded": has no effect beside energy.graded. '
            "Leave it out"
        )
    return profile.model_copy(
        update={
            "switches": profile.switches.model_copy(update=switches),
            "charge": profile.charge.model_copy(update=charge),
            "energy": _overlaid(profile, overlays),
        }
    )


def _read_options(profile: HardwareProfile, options: list[str]) -> dict[str, str]:
    """`option=value` texts as a mapping; all that is wrong with them at once."""
    choices = profile.choices()
    chosen: dict[str, str] = {}
    problems = []
    for text in options:
        option, _, value = text.partition("=")
        where = f'profile "{profile.name}": option "{option}"'
        if option not in choices:
            problems.append(f"{where}: unknown option.{nearest(option, choices)}")
        elif value not in choices[option]:
            problems.append(f'{where}: unknown value "{value}".{nearest(value, choices[option])}')
        elif option in chosen:
            problems.append(f"{where}: is given twice. Keep one")
        else:
            chosen[option] = value
    if problems:
        raise ProfileError(problems)
    return chosen


def _overlaid(profile: HardwareProfile, overlays: dict[str, Overlay]) -> dict[str, Constant]:
    """The price list with the overlays laid over it: constants first, then shares of them."""
    energy = dict(profile.energy)
    shares: dict[str, Share] = {}
    priced_by: dict[str, str] = {}
    for option, overlay in overlays.items():
        for event, entry in overlay.items():
            if event in priced_by:
                raise ProfileError(
                    f'profile "{profile.name}": options "{priced_by[event]}" and "{option}" '
                    f"both price {event}. Keep one of the two"
                )
            priced_by[event] = option
            if isinstance(entry, Share):
                shares[event] = entry
            else:
                energy[event] = entry
    taken = {event: _constant(share, energy[share.share_of]) for event, share in shares.items()}
    return {**energy, **taken}


def _constant(share: Share, of: Constant) -> Constant:
    return Constant(
        value_pj=of.value_pj / share.divided_by,
        bits=share.bits,
        basis=share.basis,
        source=share.source,
        note=share.note,
    )
