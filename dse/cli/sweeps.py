"""`dse sweeps`: the shipped sweeps."""

from __future__ import annotations

from typing import Annotated

import typer

from dse.cli import terminal


def sweeps(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """List the sweeps that come with the package; `dse run NAME --preset PRESET` runs one."""
    from dse import inventory, sweepfile
    from dse.selection import planned

    found = [inventory.load_sweep(name) for name in sweepfile.shipped()]
    if as_json:
        terminal.as_json(
            {
                config.name: {
                    **config.model_dump(mode="json", warnings=False),
                    "presets": list(sweepfile.presets(config.name)),
                }
                for config in found
            }
        )
        return
    terminal.table(
        ("name", "data", "variants", "trials", "presets", "question"),
        [
            (
                config.name,
                config.data.name,
                ", ".join(config.variants),
                str(planned(config, inventory.space(config)) or f"{config.budget.cpu_hours} h"),
                ", ".join(sweepfile.presets(config.name)),
                config.question,
            )
            for config in found
        ],
        left=("name", "data", "variants", "presets", "question"),
    )
