"""`dse hardware`: the price lists, and every constant of one with its source."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.cli import terminal

if TYPE_CHECKING:
    from energy_models import HardwareProfile


def hardware(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="a profile, also with options (cmos45-bits+bits=4), or a YAML file of your own",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """List the hardware profiles, or show one with all its constants and sources.

    Kinds: op-only (operations alone), sram (operations and the memories around them), lemaire (the
    published memory-aware model), chip (static power x time + events x energy).
    """
    from energy_models import load_profile

    if name is None:
        _list(as_json)
        return
    profile = load_profile(name)
    if as_json:
        terminal.as_json({**profile.to_dict(), "constants": profile.rows()})
    else:
        _show(profile)


def _list(as_json: bool) -> None:
    from energy_models import list_profiles, load_profile
    from energy_models.insufficient import insufficient

    profiles = [load_profile(known) for known in list_profiles()]
    unpriced = insufficient()
    if as_json:
        documents: dict[str, Any] = {one.name: one.to_dict() for one in profiles}
        documents |= {one.name: {"kind": "unpriced", **asdict(one)} for one in unpriced}
        terminal.as_json(documents)
        return
    terminal.table(
        ("name", "kind", "node", "numbers", "title"),
        [(p.name, p.kind, p.node, p.number_format, p.title) for p in profiles],
        left=("name", "kind", "numbers", "title"),
    )
    terminal.table(
        ("chip", "what is not published", "instead"),
        [(one.name, "; ".join(one.missing), one.instead) for one in unpriced],
        title="public numbers do not suffice",
        left=("chip", "what is not published", "instead"),
    )
    terminal.result("dse hardware NAME shows every constant with its source")


def _show(profile: HardwareProfile) -> None:
    from dse.cli import pricelist

    terminal.result(f"{profile.name}: {profile.title}")
    terminal.result(f"{profile.kind}, {profile.node}, {profile.voltage}, {profile.number_format}")
    terminal.result(f"reference: {profile.reference}")
    if profile.caution:
        terminal.result(f"caution: {profile.caution}")
    constants = pricelist.constants(profile)
    sources = list(dict.fromkeys(one.source for one in constants))
    terminal.table(
        ("constant", "value", "unit", "range", "bits", "node", "basis", "source", "note"),
        [
            (
                *(one.quantity, one.value, one.unit, one.range, one.bits, one.node, one.basis),
                f"[{sources.index(one.source) + 1}]",
                one.note,
            )
            for one in constants
        ],
        left=("constant", "unit", "range", "node", "basis", "source", "note"),
    )
    for index, source in enumerate(sources):
        terminal.result(f"[{index + 1}] {source}")
    for line in pricelist.memory_lines(profile):
        terminal.result(line)
    for event, reason in profile.excludes.items():
        terminal.result(f"left out: {event}: {reason}")
    base = pricelist.base_name(profile.name)
    terminal.result(f"options, after the name: {base}+OPTION=VALUE")
    for line in pricelist.option_lines(profile):
        terminal.result(f"  {line}")
    if profile.kind == "chip":
        terminal.result("  host = NAME of an op-only profile: it prices what the chip cannot do")
