"""`dse convert`: a trained network of the user's own as a spiking one, by one method or by many."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse import own
from dse.cli import conversion as asking
from dse.cli import count as counting
from dse.cli import target as targets
from dse.cli import terminal
from dse.errors import ConversionFailure, TargetError

if TYPE_CHECKING:
    from torch import nn

    from dse.conversion.methods import Method
    from dse.data.splits import Splits
    from dse.recipe import Recipe
    from reports.conversion import Comparison
    from reports.record import TrialRecord

_VALIDATION = 0.2  # of the training images, as `dse count --data` holds them out


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, checked.

    name : of the comparison      methods : as they are to be used      steps : T, ascending
    """

    name: str
    methods: tuple[Method, ...]
    steps: tuple[int, ...]
    hardware: tuple[str, ...]
    calibration_samples: int
    counted_samples: int
    learning_rate: float
    seed: int
    out: Path
    batch_size: int = 64


def convert(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="your trained PyTorch model, as file.py:callable or package.module:callable; or a "
            "point of a run, RUN#17, of family converted",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="digits, mnist, fashion-mnist, cifar10, or your file.npz or file.py:load; of a "
            "point: its own",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="its weights, as safetensors; default: as the callable returns it"),
    ] = None,
    data_dir: counting.DataDir = None,
    method: Annotated[
        str, typer.Option(metavar="NAME[,NAME]|all", help="how to convert; `all` compares them")
    ] = "icsnn-2",
    steps: Annotated[
        str, typer.Option(metavar="T", help="numbers of time steps: 8, 1,2,4,8 or 1..32")
    ] = "1..32",
    threshold_rule: Annotated[
        str | None,
        typer.Option(help="instead of the method's own: max, percentile, bound, mmse ..."),
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(help="of the activations, above 0 to 100; for the rules that have one"),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(help="potential before the first step: zero, half, training-set ..."),
    ] = None,
    coding: Annotated[
        str | None,
        typer.Option(help="of the data: direct, rate, rate-compensated, poisson ..."),
    ] = None,
    calibration_samples: Annotated[
        int, typer.Option(min=1, help="training images to calibrate on")
    ] = 512,
    samples: Annotated[
        int, typer.Option(min=1, help="validation images for operations and errors of layers")
    ] = 64,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="of the methods that train on; published ones take 30 to 300"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=1.0,
            help="peak of the training that made the model; default: 0.01, or that of the point",
        ),
    ] = None,
    hardware: Annotated[
        str, typer.Option(help="profiles with commas; each prices the network and its ANN")
    ] = "cmos45-fp32,cmos45-int8",
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="of draws, and of random codings; default: 0, or the point's own"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder of the report; default: conversions/NAME")
    ] = None,
    device: counting.Device = "auto",
    as_json: counting.AsJson = False,
) -> None:
    """Convert a trained network into a spiking one, and say what that costs at every T.

    The model needs no change: Conv2d, Linear, BatchNorm, ReLU and kin, average and max pooling,
    flatten, dropout and residual sums. What cannot be converted is named with its line.

      dse convert net.py:build --weights w.safetensors --data cifar10

      dse convert net.py:build --weights w.safetensors --data cifar10 --method all --steps 1,2,4,8

      dse convert net.py:build --data mine.npz --method opi --threshold-rule percentile

      dse convert runs/conversion_fashion_mnist#3 --method all --steps 1,2,4,8

    Save weights with safetensors.torch.save_file(model.state_dict(), "w.safetensors").

    It writes conversion.html (accuracy, spikes, operations and energy against T, errors by layer),
    conversion.csv, layers.csv (operations and energy of each layer), errors.csv and
    conversion.json. A method that the model does not allow stands there with its reason. After
    Ctrl-C they hold the methods that were read. Ends with 1 if no method has a result, with 2 if
    the model cannot be converted.
    """
    name = asking.name(target)
    folder = Path("conversions") / name if out is None else out
    asked = Asked(
        name,
        asking.methods(method, threshold_rule, percentile, initial, coding, epochs),
        asking.steps(steps),
        asking.hardware(hardware),
        calibration_samples,
        samples,
        learning_rate or 0.0,  # or that of the training, once it is known
        seed or 0,
        folder,
    )
    asking.refuse_foreign(folder)
    asking.check_places(target, data, weights)
    device = targets.pick_device(device)
    if data is None:
        said = f"those of {target}"
        model, recipe, record = _of_point(target, data_dir, device)
        splits, peak = recipe.data(), float(record.design["knobs"]["learning_rate"])
        batch_size, own_seed = recipe.config.training.batch_size, record.seed
        asked = replace(asked, seed=own_seed if seed is None else seed, batch_size=batch_size)
    else:
        from dse.conversion.lessons import LEARNING_RATE

        peak, said = LEARNING_RATE, "as the model was built" if weights is None else str(weights)
        model, splits = _model(target, weights), _splits(data, data_dir, asked.seed)
    if learning_rate is None:
        asked = replace(asked, learning_rate=peak)
    made: list[Comparison] = []
    try:
        _compare(model, splits, target, asked, device, made.append)
    except KeyboardInterrupt:
        if not made or not made[-1].methods:
            terminal.say("stopped before a method had a result; nothing was written")
            raise typer.Exit(130) from None
    left = [one.name for one in asked.methods[len(made[-1].methods) :]]
    comparison = replace(made[-1], settings={"weights": said, **made[-1].settings})
    if left:
        notes = (*comparison.notes, f"stopped: {', '.join(left)} were asked for, and were not read")
        comparison = replace(comparison, notes=notes)
    page = _written(comparison, asked.out)
    if as_json:
        terminal.as_json(comparison.to_dict())
    else:
        _print(comparison)
        terminal.result(f"report: {page}")
    if left:
        done, others = len(comparison.methods), f"--method {','.join(left)} --out {asked.out}-2"
        terminal.say(f"stopped; {done} of {len(asked.methods)} methods are in {page}")
        terminal.say(f"for the others: the same command with {others}")
        raise typer.Exit(130)
    if not any(one.read() for one in comparison.methods):
        raise typer.Exit(1)


def _model(target: str, weights: Path | None) -> nn.Module:
    """The user's model with its weights, whose layers can be converted."""
    from dse.conversion import lines
    from dse.conversion.comparison import refuse_precision
    from dse.conversion.graph import trace
    from dse.errors import CheckpointError
    from dse.training.checkpoint import load_weights

    with lines.noted():
        model = targets.built_model(target)
    try:
        refuse_precision(model)
        if weights is not None:
            load_weights(model, weights)
        trace(model)
    except CheckpointError as error:
        raise TargetError(str(error)) from error
    except ConversionFailure as error:
        raise TargetError(_of_target(target, error)) from error
    return model


def _of_point(
    point: str, data_dir: Path | None, device: str
) -> tuple[nn.Module, Recipe, TrialRecord]:
    """The trained source network of a point, how it was trained, and its record.

    Raises TargetError for a point of another family, or without weights.
    """
    folder, record = targets.open_point(point)
    if record.variant != "converted" or record.state != "complete":
        raise TargetError(
            f'point "{point}": {record.state}, of family {record.variant}: must be a complete one '
            "of family converted, whose source network is plain"
        )
    from dse.reading import trained_network

    recipe = targets.recipe_of(folder, data_dir, device)
    return trained_network(record, recipe, folder.path), recipe, record


def _splits(data: str, data_dir: Path | None, seed: int) -> Splits:
    from dse.data import own as owndata
    from dse.data import splits

    if own.is_file(data):
        spelled = own.spelled_out(data)
        name = str(spelled["name"]) if isinstance(spelled, dict) else data
        return owndata.load(name, data, validation=_VALIDATION, samples=None, seed=seed)
    return splits.load(data, data_dir=data_dir, validation=_VALIDATION, samples=None, seed=seed)


def _compare(
    model: nn.Module,
    data: Splits,
    target: str,
    asked: Asked,
    device: str,
    on_method: Callable[[Comparison], None],
) -> None:
    """Convert a source, wherever it comes from, and read it.

    on_method : given the comparison so far after every method
    Raises TargetError if its input or its classes are not those of the data.
    """
    from dse.conversion.comparison import check_source, compare
    from dse.conversion.comparison import first_images as first

    try:
        check_source(model, data, first(data.validation, 2))
    except ConversionFailure as error:
        raise TargetError(_of_target(target, error)) from error
    with _bar(len(asked.methods) * len(asked.steps)) as tell:
        compare(
            model,
            data,
            asked.methods,
            asked.steps,
            name=asked.name,
            target=target,
            hardware=asked.hardware,
            calibration_samples=asked.calibration_samples,
            counted_samples=asked.counted_samples,
            learning_rate=asked.learning_rate,
            batch_size=asked.batch_size,
            device=device,
            seed=asked.seed,
            on_reading=tell,
            on_method=on_method,
        )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[Method, int], None]]:
    """A bar in a terminal, a line a method elsewhere."""
    from rich.progress import Progress

    seen: set[str] = set()
    with Progress(
        console=terminal.ERRORS, transient=True, disable=not terminal.ERRORS.is_terminal
    ) as progress:
        task = progress.add_task("", total=total)
        read = 0

        def tell(method: Method, time_steps: int) -> None:
            nonlocal read
            progress.update(task, completed=read, description=f"{method.name}, T = {time_steps}")
            read += 1
            if not terminal.ERRORS.is_terminal and method.name not in seen:
                seen.add(method.name)
                terminal.say(f"converting: {method.name}")

        yield tell


def _of_target(target: str, error: ConversionFailure) -> str:
    """Each problem of a model in a line of its own, all with its target."""
    return "\n".join(f"{target}: {line}" for line in str(error).splitlines())


def _written(comparison: Comparison, folder: Path) -> Path:
    from dse.cli.report import units
    from dse.safefile import write_atomically
    from reports.conversionpage import write_conversion

    # first: it marks the folder as ours, should the rest be interrupted
    text = json.dumps(comparison.to_dict(), indent=1, allow_nan=False)
    write_atomically(folder / asking.DOCUMENT, text + "\n")
    return write_conversion(comparison, folder, units())


def _print(comparison: Comparison) -> None:
    from dse.cli.report import units
    from reports import conversiontable as tables
    from reports.conversionpage import source_lines

    for line in source_lines(comparison, units()):
        terminal.result(line)
    if len(comparison.methods) == 1:
        [method] = comparison.methods
        sheets = [tables.readings_sheet(comparison, method, units())]
        time_steps = tables.typical_step([one.time_steps for one in method.read()] or [1])
        sheets += [tables.errors_sheet(method, time_steps)] if method.read() else []
    else:
        profiles = comparison.hardware
        sheets = [tables.accuracy_sheet(comparison)]
        sheets += [tables.energy_sheet(comparison, name, units()) for name in profiles]
    for sheet in (*sheets, tables.verdict_sheet(comparison)):
        terminal.table(sheet.columns, sheet.rows, title=sheet.title, left=sheet.left)
    for mark in _marks(tables.LEGEND, comparison):
        terminal.result(mark)
    for line in tables.dashes(comparison):
        terminal.result(f"–: {line}")
    for line in tables.reading_notes(comparison):
        terminal.result(f"note: {line}")
    for line in comparison.notes:
        terminal.result(f"note: {line}")
    for line in comparison.problems():
        terminal.say(f"no result: {line}")


def _marks(legend: Sequence[str], comparison: Comparison) -> Iterator[str]:
    """The lines of a legend whose marks stand somewhere."""
    for line in legend:
        if any(line[0] in method.label for method in comparison.methods):
            yield line
