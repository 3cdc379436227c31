"""Counted: the products of each converted network, by the counter of its own library and by dse."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.conversion.contestants import contestants, converted
from benchmarks.conversion.rules import PERCENTILE
from benchmarks.conversion.sources import Source
from benchmarks.counting.counter import Counter, attached
from benchmarks.counting.counter import NotAvailable as NoCounter
from benchmarks.counting.ours import ours
from benchmarks.counting.peers import peers
from benchmarks.counting.tables import Table
from benchmarks.counting.truth import true_counts
from benchmarks.training.contestants import NotAvailable

MEANING = (
    "Products of two values that are not zero, in thousands a sample, of each library's own "
    "converted network: by the real operators on masks (truth), and as the library's own counter "
    "and dse's counter have them on that network. A product by a spike, or by a mean of spikes, "
    "stands with the AC."
)
_THOUSAND = 1e3
_HEADER = ("", "true AC", "true MAC", "own: AC", "own: MAC", "dse: AC", "dse: MAC")


def counted_table(source: Source, time_steps: int, batch: int) -> Table:
    """Truth and counters on a converted network of T steps."""
    images = torch.tensor(source.test.images[:batch])
    counters = {one.name: one for one in (*peers(), *ours())}
    table = Table(f"{source.name}, T = {time_steps}, batch {len(images)}", _HEADER)
    for one in contestants():
        try:
            network = converted(one, source, PERCENTILE, time_steps)
            if one.counter is not None:
                found = cells(network, images, time_steps, counters[one.counter])
                table.add(one.name, *found)
        except NotAvailable as reason:
            table.add_sentence(one.name, str(reason))
    return table


def cells(network: nn.Module, images: Tensor, time_steps: int, own: Counter) -> list[str]:
    """True AC and MAC, and those of two counters, on (B, C, H, W); the samples are the batch."""
    network.time_steps = time_steps  # type: ignore[assignment]  # counters ask for it
    neurons = {type(one) for one in network.modules() if _is_neuron(one)}
    truth = true_counts(network, images, tuple(neurons)).total
    row = [_number(truth.ac + truth.graded), _number(truth.mac)]
    for counter in (own, ours()[0]):
        row += _read(counter, network, images)
    return row


def _is_neuron(module: nn.Module) -> bool:
    """Those of sinabs hold their threshold as a parameter."""
    return type(module).__module__.startswith("sinabs.layers")


def _read(counter: Counter, network: nn.Module, images: Tensor) -> tuple[str, str]:
    """AC and MAC, or all products in place of AC where a counter tells only their sum."""
    try:
        with torch.no_grad(), attached(counter, network, images) as one:
            one.run()
            found = one.read()
    except NoCounter as reason:
        return str(reason), ""
    except Exception as error:  # whatever a counter raises is a result, and is shown
        return f"fails: {type(error).__name__}", ""
    if found.ac is None and found.effective is not None:
        return f"{_number(found.effective)} in all", ""
    return _number(found.ac), _number(found.mac)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value / _THOUSAND:,.1f}"
