"""Tables: seconds to convert and to run, accuracy at each T, and what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.conversion.contestants import (
    DSE,
    Contestant,
    contestants,
    conversion,
    converted,
)
from benchmarks.conversion.rules import PERCENTILE, WORDS, Rule
from benchmarks.conversion.sources import Source
from benchmarks.counting.tables import Table
from benchmarks.training.contestants import NotAvailable, refusals
from benchmarks.training.measure import Step, Timing, clock_of, in_turns
from benchmarks.training.steps import Route, linear_through

CONVERT_MEANING = (
    "Milliseconds from a trained network and 512 calibration images to a spiking one, the median "
    "over the rounds and the least; all contestants in turns. 'over dse' is the time of a line "
    "over that of dse, from medians and from least times."
)
RUN_MEANING = (
    "Milliseconds of the spiking network on one batch, without gradients, states reset; thresholds "
    "at the 99.9th percentile. The last line is what one pass of the network costs that was "
    "converted."
)
ACCURACY_MEANING = (
    "Test accuracy in % after so many steps, the same source, calibration images and test images "
    "for all. 'as dse' is the share of test images, in %, that get the class which dse gives them "
    "after the most steps."
)
ANN = "the network that was converted, once"
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """How the tables are measured.

    batch : images of a run      route : of matrix products, the same for all
    """

    rounds: int
    batch: int
    threads: int = 1
    route: Route = "onednn"


def convert_table(source: Source, settings: Settings) -> Table:
    """Seconds to convert; T is set, where it must be, to 8."""
    steps: dict[str, Step] = {}
    refused: dict[str, str] = {}
    for one in contestants():
        try:
            call = conversion(one, source, PERCENTILE, 8)
            call()
        except NotAvailable as reason:
            refused[one.name] = str(reason)
        else:
            steps[one.name] = call
    return _timed(f"{source.name}, conversion", steps, refused, settings)


def run_table(source: Source, time_steps: int, settings: Settings) -> Table:
    """Seconds to run a converted network on one batch."""
    images = torch.tensor(source.test.images[: settings.batch])
    steps: dict[str, Step] = {}
    refused: dict[str, str] = {}
    for one in contestants():
        try:
            network = converted(one, source, PERCENTILE, time_steps)
            steps[one.name] = _run(one, network, images)
        except NotAvailable as reason:
            refused[one.name] = str(reason)
    steps[ANN] = _forward(source.model, images)
    title = f"{source.name}, T = {time_steps}, batch {len(images)}"
    return _timed(title, steps, refused, settings)


def accuracy_table(source: Source, rule: Rule, times: list[int]) -> Table:
    """Accuracy of every contestant by one rule, from one run of the most steps."""
    labels = torch.tensor(source.test.labels)
    title = f"{source.name}, {WORDS[rule.name]}: ANN {100 * source.accuracy:.1f} %"
    heads = (f"T = {time_steps}" for time_steps in times)
    table = Table(f"{title}, {len(labels)} images", ("", *heads, "as dse"))
    classes: dict[str, Tensor] = {}
    refused: dict[str, str] = {}
    for one in contestants():
        try:
            network = converted(one, source, rule, times[-1])
            classes[one.name] = _classes(one, network, source)
        except NotAvailable as reason:
            refused[one.name] = str(reason)
    for one in contestants():
        if one.name in refused:
            table.add_sentence(one.name, refused[one.name])
            continue
        found = classes[one.name]
        rights = (_percent(found[time_steps - 1] == labels) for time_steps in times)
        same = "" if one.name == DSE else _percent(found[-1] == classes[DSE][-1])
        table.add(one.name, *rights, same)
    return table


def _run(contestant: Contestant, network: nn.Module, images: Tensor) -> Step:
    """A run, which was tried once. Raises NotAvailable."""
    step = _forward(network, images)
    with refusals(is_ours=contestant.is_dse):
        step()
    return step


def _forward(network: nn.Module, images: Tensor) -> Step:
    def step() -> object:
        # not inference_mode: a library that keeps states may not write to them afterwards
        with torch.no_grad():
            return network(images)

    return step


def _classes(contestant: Contestant, network: nn.Module, source: Source) -> Tensor:
    """(T, N) classes after 1 .. T steps. Raises NotAvailable."""
    images = torch.tensor(source.test.images)
    with torch.no_grad(), refusals(is_ours=contestant.is_dse):
        parts = [network(part).cumsum(0).argmax(2) for part in images.split(_BATCH)]
    return torch.cat(parts, 1)


def _percent(hits: Tensor) -> str:
    return f"{100 * hits.double().mean().item():.1f}"


def _timed(
    title: str, steps: Mapping[str, Step], refused: Mapping[str, str], settings: Settings
) -> Table:
    with linear_through(settings.route):
        timings = in_turns(steps, rounds=settings.rounds, clock=clock_of(settings.threads))
    header = ("", "median", "least", "over dse", "over dse, least")
    table = Table(f"{title}, {settings.rounds} rounds", header)
    for name in (*(one.name for one in contestants()), *([ANN] if ANN in steps else [])):
        if name in refused:
            table.add_sentence(name, refused[name])
        else:
            table.add(name, *_cells(timings[name], timings[DSE]))
    return table


def _cells(timing: Timing, own: Timing) -> tuple[str, ...]:
    return (
        f"{timing.median_ms:.2f}",
        f"({timing.min_ms:.2f})",
        f"{timing.median_ms / own.median_ms:.2f}",
        f"{timing.min_ms / own.min_ms:.2f}",
    )
