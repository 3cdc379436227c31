"""`dse export`: a trained spiking network as a NIR file, for other simulators and chips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.cli import target as targets
from dse.cli import terminal
from dse.errors import TargetError

if TYPE_CHECKING:
    from dse.interchange.checking import Check

_HDF5 = b"\x89HDF\r\n\x1a\n"  # what such a file begins with


def export(
    point: Annotated[str, typer.Argument(metavar="POINT", help="RUN#17 or RUN#17.3")],
    out: Annotated[Path, typer.Option(help="the file to write, as in net.nir")],
    check: Annotated[
        bool, typer.Option("--check", help="read it back and compare every spike")
    ] = False,
    samples: Annotated[int, typer.Option(min=1, help="validation images of --check")] = 100,
    data_dir: Annotated[
        Path | None, typer.Option(help="folder of the data set; default: as in the run")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Write the network of a point as NIR, the interchange format of spiking networks.

    Batch-norm is folded into the weights. Says what a reader that knows NIR alone would do
    otherwise. What NIR cannot say at all is refused by name; ends with 1, also if --check finds
    another spike. Needs .venv/bin/pip install '.[nir]'.
    """
    _refuse_foreign(out)
    folder, record = targets.open_point(point)
    if record.state != "complete":
        raise TargetError(f'point "{point}": is {record.state}: must be complete, with weights')
    import torch

    from dse.interchange import nirfile
    from dse.interchange.checking import check as compare
    from dse.interchange.networks import describe
    from dse.reading import restored

    torch.set_num_threads(1)  # as in the sweep: sums change their order with the threads
    recipe = targets.recipe_of(folder, data_dir)
    model = restored(record, recipe, folder.path)
    data = recipe.data()
    graph = describe(model, data.input_shape[-3:])
    found = nirfile.write(graph, out)
    compared = None
    if check:
        images = torch.from_numpy(data.validation.images[:samples])
        compared = compare(model, nirfile.read(out), images)
    if as_json:
        document = {
            "file": str(out),
            "time_steps": graph.time_steps,
            "nodes": len(graph.nodes),
            "differences": [{"nodes": list(one.nodes), "text": one.text} for one in found],
            "check": None if compared is None else _document(compared),
        }
        terminal.as_json(document)
    else:
        for one in found:
            terminal.say(f"a reader that knows NIR alone: {one}")
        terminal.result(f"{out}: {len(graph.nodes)} nodes, {graph.time_steps} time steps")
        if compared is not None:
            _show(compared)
    if compared is not None and not compared.is_same:
        raise typer.Exit(1)


def _refuse_foreign(out: Path) -> None:
    """Raise TargetError for a place that holds anything but an earlier HDF5 file."""
    if not out.exists():
        return
    try:
        with out.open("rb") as file:
            is_ours = file.read(len(_HDF5)) == _HDF5
    except OSError:
        is_ours = False
    if not is_ours:
        raise TargetError(f"--out {out}: is there, and is no NIR file: must be a new file")


def _show(check: Check) -> None:
    terminal.table(
        ("neurons", "spikes", "compared", "differing", "differing in float32"),
        [
            (
                one.name,
                f"{one.spikes:,}",
                f"{one.compared:,}",
                f"{one.differing:,}",
                f"{other.differing:,}",
            )
            for one, other in zip(check.layers, check.rounded, strict=True)
        ],
        title=f"the file beside the network, {check.images} validation images, in float64 with its "
        "batch-norm folded; last, the trained network in float32",
        left=("neurons",),
    )
    terminal.result(
        f"logits differ by {check.logits_difference:.1g} of the largest; in float32 "
        f"{check.labels_moved} of {check.images} images get another label"
    )
    terminal.result("the same, spike for spike" if check.is_same else "DIFFERENT")


def _document(check: Check) -> dict[str, Any]:
    def rows(which: str) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "spikes": one.spikes,
                "compared": one.compared,
                "differing": one.differing,
            }
            for one in getattr(check, which)
        ]

    return {
        "same": check.is_same,
        "images": check.images,
        "layers": rows("layers"),
        "logits_difference": check.logits_difference,
        "float32": {"layers": rows("rounded"), "labels_moved": check.labels_moved},
    }
