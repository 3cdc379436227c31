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
    from energy_models.constants import UNITS

    terminal.result(f"{profile.name}: {profile.title}")
    terminal.result(f"{profile.kind}, {profile.node}, {profile.voltage}, {profile.number_format}")
    terminal.result(f"reference: {profile.reference}")
    if profile.caution:
        terminal.result(f"caution: {profile.caution}")
    rows = profile.rows()
    sources = list(dict.fromkeys(row["source"] for row in rows))
    terminal.table(
        ("constant", "value", "unit", "range", "bits", "node", "basis", "source", "note"),
        [
            (
                str(row["quantity"]),
                "curve" if row["value"] is None else f"{row['value']:.6g}",
                UNITS[row["unit"]],
                _range(row),
                str(row["bits"] or ""),
                _node(row),
                str(row["basis"]) + (f", {row['scope']}" if row["scope"] else ""),
                f"[{sources.index(row['source']) + 1}]",
                _note(row),
            )
            for row in rows
        ],
        left=("constant", "unit", "range", "node", "basis", "source", "note"),
    )
    for index, source in enumerate(sources):
        terminal.result(f"[{index + 1}] {source}")
    for event, reason in profile.excludes.items():
        terminal.result(f"left out: {event}: {reason}")
    base = profile.name.partition("+")[0]
    terminal.result(f"options, after the name: {base}+OPTION=VALUE")
    for option, values in profile.choices().items():
        terminal.result(f"  {option} = {' | '.join(values)}")
    if profile.kind == "chip":
        terminal.result("  host = NAME of an op-only profile: it prices what the chip cannot do")


def _range(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return ""
    factor = " x curve" if row["value"] is None else ""
    return f"{row['low']:.6g} to {row['high']:.6g}{factor}"


def _node(row: dict[str, Any]) -> str:
    node, voltage = row["node_nm"], row["voltage_v"]
    shown = [
        "?" if isinstance(value, str) else f"{value:g} {unit}"
        for value, unit in ((node, "nm"), (voltage, "V"))
    ]
    return ", ".join(shown)


def _note(row: dict[str, Any]) -> str:
    range_source = f"range: {row['range_source']}" if row["range_source"] else ""
    return "; ".join(part for part in (str(row["note"] or ""), range_source) if part)
