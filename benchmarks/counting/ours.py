"""This project's counter in the benchmark: products, with neuron updates, with an energy report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from benchmarks.counting.counter import Attached, Counter, Reading
from benchmarks.counting.truth import is_within
from dse.counting import count as counting
from energy_models.counts import ModelCounts
from energy_models.estimate import estimate
from energy_models.shelf import load_profile

PROFILE = "cmos45-fp32"


def ours() -> tuple[Counter, ...]:
    """The three lines of this project."""
    return (
        Counter("dse: products", "dse", partial(_attach, neuron_updates=False)),
        Counter(
            "dse: products, neuron updates",
            "dse",
            partial(_attach, neuron_updates=True),
            is_timed_only=True,
        ),
        Counter(
            "dse: products, energy report",
            "dse",
            partial(_attach, neuron_updates=False, has_report=True),
            is_timed_only=True,
        ),
    )


@contextmanager
def _attach(
    model: nn.Module, batch: Tensor, *, neuron_updates: bool, has_report: bool = False
) -> Iterator[Attached]:
    """The counter that keeps its tables between batches, entered once as over a loader."""
    steps = getattr(model, "time_steps", 1)
    profile = load_profile(PROFILE)
    counter = counting.Counter(model, time_steps=steps, neuron_updates=neuron_updates)
    with counter:

        def run() -> None:
            counter(batch)
            if has_report:
                estimate(counter.counts(), profile)

        yield Attached(run, lambda: _reading(model, counter.counts()))


def _reading(model: nn.Module, counts: ModelCounts) -> Reading:
    """A product by a small integer stands with the accumulates, as in the truth of the tables."""
    ops = counts.ops
    by_module = {
        path: sum(row.ops.effective for row in counts.layers if is_within(row.name, path))
        for path, _ in model.named_modules()
    }
    return Reading(
        mac=ops.mac,
        ac=ops.ac + ops.graded,
        effective=ops.effective,
        dense=ops.dense,
        by_module=by_module,
        unseen=tuple(counts.uncounted),
    )
