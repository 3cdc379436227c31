"""Accuracy: the numbers of every counter against the truth, in per cent, and its worst layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from benchmarks.counting.counter import Counter, NotAvailable, Reading, attached
from benchmarks.counting.networks import NETWORKS
from benchmarks.counting.tables import Table
from benchmarks.counting.truth import TrueCounts, true_counts

MEANING = (
    "Products per sample against the truth. AC, MAC and their sum are held against products of two "
    "values that are not zero, a product by a small integer (graded) standing with the AC; dense "
    "against every position. An empty cell: the counter has no such number. A MAC that is dense by "
    "definition, as SpikingJelly's and syops', shows here as too many: right for hardware that "
    "issues products by zero. Worst module: by effective products, or dense ones where a counter "
    "has no others."
)
_MILLION = 1e6
_NAMED = 2


def accuracy_tables(
    networks: Iterable[str], counters: Iterable[Counter], batch_size: int
) -> Iterator[Table]:
    """One table a network."""
    counters = [counter for counter in counters if not counter.is_timed_only]
    for name in networks:
        model, make_batch = NETWORKS[name]()
        batch = make_batch(batch_size)
        truth = true_counts(model, batch)
        table = Table(
            f"{name}, batch {batch_size}",
            ("counter", "AC", "MAC", "AC + MAC", "dense", "worst module", "said to be unseen"),
        )
        table.add("truth, M", *(f"{x / _MILLION:.3f}" for x in _true(truth)), "", "")
        for counter in counters:
            try:
                with torch.no_grad(), attached(counter, model, batch) as one:
                    if not counter.is_whole_call:
                        one.run()
                    table.add(counter.name, *_cells(one.read(), truth))
            except NotAvailable as reason:
                table.add_sentence(counter.name, str(reason))
            except Exception as error:  # whatever a counter raises is a result, and is shown
                table.add_sentence(counter.name, f"fails: {type(error).__name__}: {error}")
        yield table


def _true(truth: TrueCounts) -> tuple[float, float, float, float]:
    ops = truth.total
    return ops.ac + ops.graded, ops.mac, ops.effective, ops.dense


def _cells(reading: Reading, truth: TrueCounts) -> Iterator[str]:
    found = (reading.ac, reading.mac, reading.effective, reading.dense)
    for number, true in zip(found, _true(truth), strict=True):
        yield "" if number is None else _error(number, true)
    yield _worst(reading, truth)
    names = [name.removeprefix("aten::").removeprefix("aten.") for name in reading.unseen]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    yield ", ".join([*names[:_NAMED], *more])


def _error(number: float, true: float) -> str:
    """The signed error; in million products where nothing is true, exactly 0 only where equal."""
    if number == true:
        return "0"
    if true == 0:
        return f"{number / _MILLION:+.3f} M"
    percent = 100 * (number - true) / true
    return f"{percent:+.2g} %" if abs(percent) < 1 else f"{percent:+,.1f} %"


def _worst(reading: Reading, truth: TrueCounts) -> str:
    """The module with the largest relative error, among those that own products."""
    if not reading.by_module:
        return ""
    is_dense = reading.effective is None
    worst, name = 0.0, ""
    for path in truth.modules:
        ops = truth.within(path)
        true = ops.dense if is_dense else ops.effective
        number = reading.by_module.get(path, 0.0)
        error = abs(number - true) / true if true else abs(number)
        if error > worst:
            worst, name = error, f"{path}: {_error(number, true)}"
    return name or "0"
