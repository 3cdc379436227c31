"""Overhead: the time of a counted forward pass over that of a plain one, one thread, in pairs."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks.counting.counter import (
    Attached,
    Counter,
    NotAvailable,
    Reading,
    Seconds,
    attached,
    seconds,
)
from benchmarks.counting.networks import NETWORKS
from benchmarks.counting.tables import Table

MEANING = (
    "time(counted) / time(plain), one thread, evaluation mode, no gradients; median over rounds of "
    "the ratio to the mean of the plain passes just before and just after, lowest and highest "
    "round in brackets; processor time, and time of the clock on the wall. All counters take turns "
    "in each round on the same model and batch. Constructing, attaching and detaching a counter is "
    "outside the time, and so is a first pass, before each counted and each plain one; a line "
    "marked * offers one call that does all of it, and that call is timed. The line plain is a "
    "plain pass in place of a counter: what it differs from 1 by is the noise."
)


@contextmanager
def _plain(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    yield Attached(lambda: model(batch), Reading)


PLAIN = Counter("plain", "torch", _plain, is_timed_only=True)
Ratio = tuple[float, float]  # of processor time, of wall time


def overhead_tables(
    networks: Iterable[str], counters: Iterable[Counter], batch_sizes: Iterable[int], rounds: int
) -> Iterator[Table]:
    """One table a network and batch size."""
    counters = [PLAIN, *(counter for counter in counters if not counter.is_read_only)]
    for name in networks:
        model, make_batch = NETWORKS[name]()
        for batch_size in batch_sizes:
            yield _table(
                f"{name}, batch {batch_size}", model, make_batch(batch_size), counters, rounds
            )


def _table(
    title: str, model: nn.Module, batch: Tensor, counters: list[Counter], rounds: int
) -> Table:
    ratios: dict[str, list[Ratio]] = {}
    refusals: dict[str, str] = {}
    plain_ms: list[float] = []
    with torch.no_grad():
        for counter in counters:  # also warms the machine up
            reason = _reason_against(counter, model, batch)
            if reason is None:
                ratios[counter.name] = []
            else:
                refusals[counter.name] = reason
        able = [counter for counter in counters if counter.name in ratios]
        for number in range(rounds):
            gc.collect()
            turn = number % len(able)  # nobody is always first, or always behind the same one
            for counter, ratio, plain in _round(able[turn:] + able[:turn], model, batch):
                ratios[counter.name].append(ratio)
                plain_ms.append(1000 * plain)
    plain_ms.sort()
    table = Table(
        f"{title}: {statistics.median(plain_ms):.1f} ms plain, {rounds} rounds",
        ("counter", "processor", "lowest - highest", "wall"),
    )
    for counter in counters:
        if counter.name in refusals:
            table.add_sentence(counter.name, refusals[counter.name])
            continue
        by_cpu, by_wall = zip(*ratios[counter.name], strict=True)
        table.add(
            counter.name + (" *" if counter.is_whole_call else ""),
            f"{statistics.median(by_cpu):.2f}",
            f"({min(by_cpu):.2f} - {max(by_cpu):.2f})",
            f"{statistics.median(by_wall):.2f}",
        )
    return table


def _reason_against(counter: Counter, model: nn.Module, batch: Tensor) -> str | None:
    """Try a counter once: why it cannot be timed, or None."""
    try:
        with attached(counter, model, batch) as one:
            one.run()
    except NotAvailable as reason:
        return str(reason)
    except Exception as error:  # whatever a counter raises is a result, and is shown
        return f"fails: {type(error).__name__}: {error}"
    return None


def _round(
    counters: list[Counter], model: nn.Module, batch: Tensor
) -> Iterator[tuple[Counter, Ratio, float]]:
    """Plain, counter, plain, counter ..., plain: each counter with its ratio to its neighbours."""
    before = _plain_pass(model, batch)
    for counter in counters:
        counted = _counted(counter, model, batch)
        after = _plain_pass(model, batch)
        cpu, wall = (before.cpu + after.cpu) / 2, (before.wall + after.wall) / 2
        yield counter, (counted.cpu / cpu, counted.wall / wall), after.cpu
        before = after


def _plain_pass(model: nn.Module, batch: Tensor) -> Seconds:
    model(batch)  # as warm as a counter is by its first pass
    return seconds(lambda: model(batch))


def _counted(counter: Counter, model: nn.Module, batch: Tensor) -> Seconds:
    with attached(counter, model, batch) as one:
        if one.measure is not None:
            return one.measure()
        if not counter.is_whole_call:
            one.run()
        return seconds(one.run)
