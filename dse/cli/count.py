"""`dse count`: what a network really does, per layer and per sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import target as targets
from dse.cli import terminal
from dse.errors import TargetError

if TYPE_CHECKING:
    from dse.counting.crosscheck import Check
    from energy_models import ModelCounts
    from energy_models.conventions import Convention

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="RUN#17, stored counts (counts.json), or a model of yours: file.py:callable or "
        "package.module:callable (returns a module, or a module and a batch)",
    ),
]
InputShape = Annotated[
    str | None, typer.Option("--input", help="shape of a random batch: 1,3,32,32")
]
Data = Annotated[str | None, typer.Option("--data", help="run on images of this data set instead")]
DataDir = Annotated[
    Path | None, typer.Option(help="folder of the data set; default: download, once")
]
Samples = Annotated[int, typer.Option(min=1, help="images to run with --data")]
TimeSteps = Annotated[
    int | None,
    typer.Option(min=1, help="T of a spiking model; default: its attribute time_steps, else found"),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
BatchDim = Annotated[
    int,
    typer.Option("--batch-dim", min=0, help="dimension of the samples: 1 for (T, B, ...) data"),
]
Reading = Annotated[
    str,
    typer.Option(
        help="tensor: a tensor with one real value is real; element: each value by itself"
    ),
]
AllowUncounted = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-uncounted",
        metavar="NAME",
        help="go on without this operator, which no rule counts; may be repeated",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document instead of tables")]


def count(
    target: Target,
    input_shape: InputShape = None,
    data: Data = None,
    data_dir: DataDir = None,
    samples: Samples = 64,
    time_steps: TimeSteps = None,
    batch_dim: BatchDim = 0,
    device: Device = "auto",
    reading: Reading = "tensor",
    allow_uncounted: AllowUncounted = None,
    check: Annotated[
        bool, typer.Option("--check", help="beside fvcore's dense counts, an independent witness")
    ] = False,
    conventions: Annotated[
        bool,
        typer.Option(
            "--conventions",
            help="beside what the papers' formula, syops, NeuroBench, SpikingJelly and "
            "keras-spiking would print",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count the operations of a network, per layer and per sample.

    MACs against spike-driven accumulates, decided by the values that really flowed; dense counts
    beside them. Ends with 1 if an operator could not be counted: it is named.
    """
    counts, own = targets.counts_of(
        target,
        input_shape=input_shape,
        data=data,
        data_dir=data_dir,
        samples=samples,
        time_steps=time_steps,
        batch_dim=batch_dim,
        device=device,
        reading=reading,
        allow_uncounted=allow_uncounted or (),
        conventions=conventions,
    )
    checked = None
    if check:
        if own is None:
            raise TargetError(f"{target}: --check needs a model of yours, not a point")
        from dse.counting.crosscheck import check as compare

        checked = compare(own.model, own.batch, counts)
    rows: list[Convention] | None = None
    if conventions:
        from energy_models.conventions import compare as compare_conventions

        rows = compare_conventions(counts)
    if as_json:
        document = counts.to_dict()
        if checked is not None:
            document["check"] = {"ours": checked.ours, "fvcore": checked.fvcore}
        if rows is not None:
            document["conventions"] = [row.to_dict() for row in rows]
        terminal.as_json(document)
    else:
        _print_counts(counts)
        if checked is not None:
            _print_check(checked)
        if rows is not None:
            _print_conventions(rows)
    if counts.uncounted or (checked is not None and not checked.agrees):
        raise typer.Exit(1)


def say_uncounted(counts: ModelCounts) -> None:
    """Name what could not be counted, with its sizes, on standard error."""
    for name, entry in counts.uncounted.items():
        sizes = "; ".join(
            " x ".join(str(list(shape)) for shape in shapes) for shapes in entry.sizes
        )
        where = ", ".join(module or "(root)" for module in entry.modules)
        terminal.say(f"uncounted: {name}, {entry.calls} calls in {where}, sizes {sizes}")


def _print_counts(counts: ModelCounts) -> None:
    from energy_models.units import format_count as number

    rows: list[tuple[str, ...]] = []
    for layer in counts.layers:
        ops = layer.ops
        if layer.operator == "neuron":
            spikes = "" if layer.spikes_out is None else number(layer.spikes_out)
            kind = f"{number(layer.neurons)} neurons"
            rows.append((layer.name, kind, "", "", "", "", "", spikes))
            continue
        kind = f"{layer.input_kind} x {layer.weight_kind}"
        cells = (ops.mac, ops.ac, ops.graded, ops.binary, ops.dense)
        rows.append((layer.name, kind, *(number(cell) if cell else "" for cell in cells), ""))
    ops = counts.ops
    cells = (ops.mac, ops.ac, ops.graded, ops.binary, ops.dense)
    spikes = number(counts.spikes) if counts.has_neurons else "unknown"
    rows.append(("total", "", *(number(cell) for cell in cells), spikes))
    terminal.table(
        ("layer", "input x weight", "MAC", "AC", "graded", "binary", "dense", "spikes out"),
        rows,
        title=f"effective products (both operands non-zero), and dense ones, per sample; "
        f"mean of {counts.samples}; T = {counts.time_steps}",
        left=("layer", "input x weight"),
    )
    terminal.result(f"coverage: {counts.coverage:.1%} of the tensor-multiplying calls")
    if counts.time_steps_from:
        terminal.result(f"time steps: {counts.time_steps}, {counts.time_steps_from}")
    for name in ("mac", "ac", "graded", "binary"):
        if name in counts.spread and counts.samples > 1:
            found = counts.spread[name]
            label = name if name in ("graded", "binary") else name.upper()
            terminal.result(
                f"spread over {counts.samples} samples: {label} {number(found.mean)}, standard "
                f"deviation {number(found.sd)}; 95 % interval of the mean {number(found.low)} to "
                f"{number(found.high)}"
            )
    work = Counter[str]()
    for entry in counts.not_priced.values():
        work[entry.get("class", "element-wise")] += entry["elements"]
    if work:
        parts = ", ".join(f"{name} {number(elements)}" for name, elements in work.items())
        terminal.result(f"seen, not counted as products (elements per sample): {parts}")
    for text in counts.warnings:
        terminal.result(f"warning: {text}")
    for text in counts.assumptions:
        terminal.result(f"assumption: {text}")
    say_uncounted(counts)


def _print_check(check: Check) -> None:
    verdict = "equal" if check.agrees else "DIFFERENT"
    terminal.result(
        f"check: dense products per sample: ours {check.ours:,.0f}, fvcore {check.fvcore:,.0f}: "
        f"{verdict}"
    )
    if not check.agrees:
        for name in sorted(set(check.ours_by_layer) | set(check.fvcore_by_layer)):
            ours, theirs = check.ours_by_layer.get(name, 0), check.fvcore_by_layer.get(name, 0)
            if ours != theirs:
                terminal.result(f"  {name}: ours {ours:,.0f}, fvcore {theirs:,.0f}")
        if check.not_seen_by_fvcore:
            terminal.result(f"  fvcore does not count: {', '.join(check.not_seen_by_fvcore)}")


def _print_conventions(rows: Sequence[Convention]) -> None:
    from energy_models.units import format_count as number

    def amount(value: float | None, off_percent: float | None = None) -> str:
        if value is None:
            return "-"
        return number(value) if off_percent is None else f"{number(value)} ({off_percent:+.3g} %)"

    terminal.table(
        ("convention", "AC", "MAC", "total", "dense", "neuron updates"),
        [
            (
                row.name,
                amount(row.ac, row.ac_off_percent),
                amount(row.mac, row.mac_off_percent),
                amount(row.total, row.total_off_percent),
                amount(row.dense),
                amount(row.neuron_updates),
            )
            for row in rows
        ],
        title="what others would print of the same run, per sample, and how far it is from the "
        "exact effective products; - where there is no such number",
        left=("convention",),
    )
    for row in rows:
        terminal.result(f"{row.name} ({row.source}): {row.says}")
        for note in row.notes:
            terminal.result(f"  {note}")
