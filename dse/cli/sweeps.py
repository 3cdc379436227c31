"""`dse sweeps`: the shipped sweeps."""

from __future__ import annotations

from typing import Annotated

import typer

from dse.cli import terminal


def sweeps(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """List the sweeps that come with the package; `dse run NAME` runs one."""
    from dse import inventory, sweepfile
    from dse.selection import planned

    found = [inventory.load_sweep(name) for name in sweepfile.shipped()]
    if as_json:
        terminal.as_json(
            {config.name: config.model_dump(mode="json", warnings=False) for config in found}
        )
        return
    terminal.table(
        ("name", "data", "variants", "trials", "question"),
        [
            (
                config.name,
                config.data.name,
                ", ".join(config.variants),
                str(planned(config, inventory.space(config)) or f"{config.budget.cpu_hours} h"),
                config.question,
            )
            for config in found
        ],
        left=("name", "data", "variants", "question"),
    )
