"""The shelf: shipped profiles by name, files of the user's own, and the options of a name.

Options follow a name after `+`: `cmos45-int8+accumulator=32-bit+first_layer=every-step`,
`cmos45-bits+bits=4`, `cmos45-fp32+node=7nm`, `loihi-fit+host=cmos45-int8`. The value of `host` is
a name as well, so it comes last, and takes the options that follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from energy_models.constants import Constant, Polynomial, Share, Sourced
from energy_models.contradictions import contradictions
from energy_models.errors import ProfileError, nearest
from energy_models.insufficient import insufficient
from energy_models.profile import HardwareProfile, Memory, Overlay, Switches
from energy_models.scaling import Node, caution_of_move, node_at, scaled, unscalable
from energy_models.yamlfile import YamlMistakes, read_yaml, validate

_SHIPPED = Path(__file__).parent / "hardware"
_HOST = "+host="


def list_profiles() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def load_profile(name: str) -> HardwareProfile:
    """A shipped profile, or the user's own file, with the options of its name applied.

    name : `cmos45-fp32`, `mine.yaml`, `cmos45-int8+accumulator=32-bit`; kept whole in `.name`

    Raises ProfileError with every mistake of the file, or of the options, at once.
    """
    device, is_hosted, host = name.partition(_HOST)
    base, options = _split(device)
    path = _path(base)
    profile = _read_shipped(path) if path.parent == _SHIPPED else _read(path)
    profile = _with_options(profile.model_copy(update={"name": name}), options)
    if is_hosted:
        return _hosted(profile, host)
    if profile.host is None:
        return profile
    try:
        return _hosted(profile, profile.host)
    except ProfileError as error:
        raise ProfileError([f"{path}: host: {problem}" for problem in error.problems]) from error


def _read(path: Path) -> HardwareProfile:
    try:
        data, places = read_yaml(path)
        profile = validate(data, places, HardwareProfile)
    except YamlMistakes as error:
        raise ProfileError(error.problems) from error
    wrong = [places.problem(place, text) for place, text in contradictions(profile)]
    if wrong:
        raise ProfileError(wrong)
    return profile


_read_shipped = cache(_read)  # shipped files do not change while we run


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
        for chip in insufficient():
            if _squeezed(base) == _squeezed(chip.name):
                raise ProfileError(f'profile "{base}": {chip.reason}')
        raise ProfileError(f'profile "{base}": unknown profile.{nearest(base, known)}')
    return _SHIPPED / f"{base}.yaml"


def _squeezed(name: str) -> str:
    """`Loihi2` and `loihi_2` ask for the same chip as `loihi-2`."""
    return re.sub(r"[-_ ]", "", name.lower())


def _hosted(profile: HardwareProfile, host_name: str) -> HardwareProfile:
    if profile.kind not in ("op-only", "chip"):
        raise ProfileError(
            f'profile "{profile.name}": a profile of kind {profile.kind} has no host. Leave it out'
        )
    try:
        host = load_profile(host_name)
    except ProfileError as error:
        late = [text for text in host_name.split("+")[1:] if _is_option_of(profile, text)]
        hint = f". Options of the chip go before +host: {', '.join(late)}" if late else ""
        raise ProfileError([f"{problem}{hint}" for problem in error.problems]) from error
    if host.kind != "op-only":
        raise ProfileError(
            f'profile "{profile.name}": host "{host_name}" is of kind {host.kind}; '
            "a host prices operations and must be of kind op-only"
        )
    return profile.with_host(host)


def _is_option_of(profile: HardwareProfile, text: str) -> bool:
    return text.partition("=")[0] in profile.choices()


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
    update: dict[str, object] = {
        "switches": profile.switches.model_copy(update=switches),
        "charge": profile.charge.model_copy(update=charge),
        "energy": _overlaid(profile, overlays),
    }
    if profile.memory is not None:
        update["memory"] = _memory(profile.memory, changes)
    profile = profile.model_copy(update=update)
    if profile.widths is not None:
        profile = _at_width(profile, int(changes.get("bits", profile.widths.default)))
    return _at_node(profile, changes["node"]) if "node" in changes else profile


def _memory(memory: Memory, changes: Mapping[str, str]) -> Memory:
    """Another fetch, other cells; the range of a curve was that of its own cells."""
    sram = memory.sram
    if changes.get("cell", sram.cell) != sram.cell:
        told = {"low_factor": None, "high_factor": None, "range_source": ""}
        sram = sram.model_copy(update={"cell": changes["cell"], **told})
    return memory.model_copy(update={"sram": sram, "fetch": changes.get("fetch", memory.fetch)})


def _read_options(profile: HardwareProfile, options: list[str]) -> dict[str, str]:
    """`option=value` texts as a mapping; all that is wrong with them at once."""
    choices = profile.choices()
    chosen: dict[str, str] = {}
    problems = []
    for text in options:
        option, _, value = text.partition("=")
        where = f'profile "{profile.name}": option "{option}"'
        if option == "node" and option not in choices:
            problems += [f"{where}: {why}" for why in _why_not_moved(profile)]
        elif option not in choices:
            problems.append(f"{where}: unknown option.{nearest(option, [*choices, 'host'])}")
        elif value not in choices[option]:
            problems.append(f'{where}: unknown value "{value}".{nearest(value, choices[option])}')
        elif option in chosen:
            problems.append(f"{where}: is given twice. Keep one")
        else:
            chosen[option] = value
    if problems:
        raise ProfileError(problems)
    return chosen


def _why_not_moved(profile: HardwareProfile) -> list[str]:
    """Why a profile has no other node, by the names of its entries where they refuse."""
    refusals = [
        f"{name}: {why}"
        for name, one in profile.constants().items()
        if name.startswith(("memory.", "power.")) and (why := unscalable(one, name)) is not None
    ]
    if profile.memory is not None:
        refusals.append(f"memory.sram: {unscalable(None, 'memory.sram')}")
    if refusals:
        return refusals
    if profile.kind != "op-only":
        return [f"a profile of kind {profile.kind} is not scaled. Take one of kind op-only"]
    try:
        node_at(profile.node_nm, profile.voltage_v)
    except ProfileError as error:
        return [str(error)]
    return []


def _overlaid(
    profile: HardwareProfile, overlays: Mapping[str, Overlay]
) -> dict[str, Constant | Polynomial]:
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
    return {**energy, **{event: _share(one, energy) for event, one in shares.items()}}


def _share(share: Share, energy: Mapping[str, Constant | Polynomial]) -> Constant | Polynomial:
    whole = energy[share.share_of]
    told = {"basis": share.basis, "source": share.source, "note": share.note}
    if isinstance(whole, Polynomial):
        parts = tuple(c / share.divided_by for c in whole.polynomial_pj)
        return whole.model_copy(update={"polynomial_pj": parts, **told})
    value_pj = whole.value_pj / share.divided_by
    return Constant.model_validate(
        {"value_pj": value_pj, "bits": share.bits, "scope": whole.scope, **told}
    )


def _at_node(profile: HardwareProfile, value: str) -> HardwareProfile:
    """Every energy moved to another node."""
    origin = node_at(profile.node_nm, profile.voltage_v)
    target = node_at(float(value.removesuffix("nm")))
    energy = {
        event: scaled(one, f"energy.{event}", _origin(profile, one, f"energy.{event}"), target)
        for event, one in profile.prices.items()
    }
    told = f"{profile.caution}. {caution_of_move(origin, target)}".removeprefix(". ")
    return profile.model_copy(
        update={
            "energy": energy,
            "node_nm": target.node_nm,
            "voltage_v": target.voltage_v,
            "title": f"{profile.title}, scaled to {target.node_nm:g} nm",
            "caution": told,
        }
    )


def _origin(profile: HardwareProfile, one: Sourced, name: str) -> Node:
    """The row of a constant, which may be of another node than its profile."""
    try:
        return node_at(one.node_nm or profile.node_nm, one.voltage_v or profile.voltage_v)
    except ProfileError as error:
        raise ProfileError(f'profile "{profile.name}": option "node": {name}: {error}') from error


def _at_width(profile: HardwareProfile, bits: int) -> HardwareProfile:
    try:
        energy = {
            event: entry.at(bits) if isinstance(entry, Polynomial) else entry
            for event, entry in profile.energy.items()
        }
    except ValueError as error:
        raise ProfileError(f'profile "{profile.name}": a polynomial {error}') from error
    return profile.model_copy(
        update={"energy": energy, "number_format": f"{profile.number_format}{bits}"}
    )
