"""`dse rerun`: train a point again, with the same seed, and compare."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from dse.cli import target as targets
from dse.cli import terminal


def rerun(
    point: Annotated[str, typer.Argument(metavar="POINT", help="RUN#17 or RUN#17.3")],
    out: Annotated[
        Path | None, typer.Option(help="keep weights and counts of the new training here")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="folder of the data set; default: as in the run")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or cuda; default: as in the run")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Train a point again with the same knobs and seed, and say whether the same comes out.

    Of a point that was made from a training, this is trained again, and the point made from it.

    The run itself is not changed. Ends with 1 if the result differs (another machine, another
    version of PyTorch).
    """
    from dse import inventory
    from dse.errors import TargetError

    folder, record = targets.open_point(point)
    records = folder.records()
    trained = next((r for r in records if r.key == (record.number, 0)), record)
    config = inventory.load_begun(folder.sweep_file)
    import torch

    from dse.confirming import made_again
    from dse.design import Design
    from dse.recipe import Recipe
    from dse.trial import run_trial

    torch.set_num_threads(1)  # as in the sweep: sums change their order with the threads
    settings = folder.settings()
    data_dir = data_dir or (Path(settings["data_dir"]) if settings.get("data_dir") else None)
    device = device or settings.get("device") or "auto"
    recipe = Recipe(config, data_dir, targets.pick_device(device))
    folder.refuse_changed({}, recipe.fingerprints())
    epochs = config.training.epochs
    terminal.say(f"training {point} again: {record.variant}, {epochs} epochs, seed {trained.seed}")
    with tempfile.TemporaryDirectory() as scratch:
        where = out or Path(scratch)
        training = run_trial(
            Design.from_dict(trained.design),
            trained.number,
            recipe,
            where,
            worker="rerun",
            on_epoch=lambda result: terminal.say(
                f"epoch {result.epoch}/{epochs}: {100 * result.validation_accuracy:.1f} %"
            ),
        )
        again = made_again(record, records, training, recipe, where)
    if again is None:
        raise TargetError(f'point "{point}": the sweep of this run makes no such point any more')
    metrics = {key: value for key, value in record.metrics.items() if key != "test"}
    metrics_again = {key: value for key, value in again.metrics.items() if key != "test"}
    is_same = again.state == record.state and metrics_again == metrics
    is_same = is_same and again.energy == record.energy
    if as_json:
        terminal.as_json({"same": is_same, "record": record.to_dict(), "again": again.to_dict()})
    else:
        for name, one in (("recorded", record), ("again", again)):
            accuracy = "none" if one.accuracy is None else f"{100 * one.accuracy:.2f} %"
            energy_pj = one.energy_pj(config.hardware[0])
            energy = "unknown" if energy_pj is None else f"{energy_pj:.6g} pJ"
            terminal.result(
                f"{name}: {one.state}, validation accuracy {accuracy}, energy {energy} "
                f"on {config.hardware[0]}"
            )
        terminal.result("the same" if is_same else "DIFFERENT")
        for name in sorted({*metrics, *metrics_again}):
            if metrics.get(name) != metrics_again.get(name):
                terminal.result(f"{name}: {metrics.get(name)}, again {metrics_again.get(name)}")
    if not is_same:
        raise typer.Exit(1)
