"""`dse hardware`: the price lists, and every constant of one with its source."""

from __future__ import annotations

from typing import Annotated

import typer

from dse.cli import terminal


def hardware(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="a profile, or a YAML file of your own")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """List the hardware profiles, or show one with all its constants and sources."""
    from energy_models import list_profiles, load_profile

    if name is None:
        profiles = [load_profile(known) for known in list_profiles()]
        if as_json:
            terminal.as_json({profile.name: profile.to_dict() for profile in profiles})
            return
        terminal.table(
            ("name", "kind", "node", "numbers", "title"),
            [(p.name, p.kind, f"{p.node_nm:g} nm", p.number_format, p.title) for p in profiles],
            left=("name", "kind", "numbers", "title"),
        )
        terminal.result("dse hardware NAME shows every constant with its source")
        return
    profile = load_profile(name)
    if as_json:
        terminal.as_json(profile.to_dict())
        return
    terminal.result(f"{profile.name}: {profile.title}")
    terminal.result(f"{profile.kind}, {profile.node_nm:g} nm, {profile.voltage_v:g} V")
    terminal.result(f"reference: {profile.reference}")
    rows = profile.rows()
    sources = list(dict.fromkeys(row["source"] for row in rows))
    terminal.table(
        ("event", "pJ", "bits", "basis", "source", "note"),
        [
            (
                str(row["quantity"]),
                f"{row['value_pj']:g}",
                str(row["bits"]),
                str(row["basis"]),
                f"[{sources.index(row['source']) + 1}]",
                str(row["note"] or ""),
            )
            for row in rows
        ],
        left=("event", "basis", "source", "note"),
    )
    for index, source in enumerate(sources):
        terminal.result(f"[{index + 1}] {source}")
    for event, reason in profile.excludes.items():
        terminal.result(f"left out: {event}: {reason}")
    terminal.result("options, after the name: " + name.partition("+")[0] + "+OPTION=VALUE")
    for option, values in profile.choices().items():
        terminal.result(f"  {option} = {' | '.join(values)}")
