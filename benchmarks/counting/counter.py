"""What the benchmark asks of a counter: attach to a model, run it, say the numbers per sample."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Reading:
    """A counter's products per sample; None where it has no such number.

    effective : of values that are not zero      dense : whatever the values
    by_module : effective products by module path, dense ones if it has only those; what stands
        inside a module is part of it
    unseen : operators that the counter itself names as not counted
    """

    mac: float | None = None
    ac: float | None = None
    effective: float | None = None
    dense: float | None = None
    by_module: Mapping[str, float] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seconds:
    """Time of one forward pass: of the processor, and of the clock on the wall."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Attached:
    """A counter that is attached to a model.

    run : one counted forward pass       read : the numbers of all runs so far
    measure : the time of one forward pass; of one `run`, if None
    """

    run: Callable[[], object]
    read: Callable[[], Reading]
    measure: Callable[[], Seconds] | None = None


Attach = Callable[[nn.Module, Tensor], AbstractContextManager[Attached]]


class NotAvailable(RuntimeError):
    """This counter cannot be had here, and why."""


@dataclass(frozen=True, slots=True)
class Counter:
    """One line of the tables.

    distribution : whose version is printed; `torch` and `dse` are always there
    is_whole_call : it offers one call that builds, runs and takes down, and that is what is timed;
        otherwise the time is of a forward pass that is not the first while it is attached
    is_timed_only, is_read_only : the line is left out of the other table
    """

    name: str
    distribution: str
    attach: Attach
    is_whole_call: bool = False
    is_timed_only: bool = False
    is_read_only: bool = False


@contextmanager
def attached(counter: Counter, model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    """Attach a counter in silence; afterwards the model is as it was found."""
    with ExitStack() as stack:
        stack.enter_context(_silence())
        stack.enter_context(_left_as_found(model))
        yield stack.enter_context(counter.attach(model, batch))


def seconds(run: Callable[[], object]) -> Seconds:
    """How long one call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


@contextmanager
def _silence() -> Iterator[None]:
    """No output, warning or log of a peer reaches the tables."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextmanager
def _left_as_found(model: nn.Module) -> Iterator[None]:
    """Take off what a counter leaves on the modules: hooks, buffers, attributes, flags."""
    found: list[tuple[nn.Module, dict[str, Any], dict[str, dict[Any, Any]]]] = []
    for module in model.modules():
        attributes = dict(module.__dict__)
        tables = {name: dict(v) for name, v in attributes.items() if isinstance(v, dict)}
        found.append((module, attributes, tables))
    try:
        yield
    finally:
        for module, attributes, tables in found:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            for name, table in tables.items():  # the very objects: hook handles refer to them
                attributes[name].clear()
                attributes[name].update(table)
