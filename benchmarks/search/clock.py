"""Clock: processor seconds of this process and its children, which can be stopped."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

_STEPS = 100


class Clock:
    """Processor seconds since it was made, user and system, of this process and its ended children.

    spent : reads the processor; another one is for tests
    """

    def __init__(self, spent: Callable[[], float] | None = None) -> None:
        self._spent = spent or processor_s
        self._start_s = self._spent()
        self._left_out_s = 0.0

    def __call__(self) -> float:
        """Seconds that count so far."""
        return self._spent() - self._start_s - self._left_out_s

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done inside does not count."""
        before_s = self._spent()
        try:
            yield
        finally:
            self._left_out_s += self._spent() - before_s


def processor_s() -> float:
    """Seconds of the processor that this process and its ended children have used."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Unit:
    """One fixed piece of work, a training step in plain torch many times over.

    What it costs says how fast the machine is just now: seconds of runs whose units differ are
    those of a machine that was differently busy.
    """

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self._model = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 10)
            )
            self._images = torch.rand(32, 1, 8, 8)
        self._labels = torch.arange(32) % 10
        self()

    def __call__(self) -> float:
        """Processor seconds of it."""
        start_s = time.process_time()
        for _ in range(_STEPS):
            self._model.zero_grad()
            nn.functional.cross_entropy(self._model(self._images), self._labels).backward()
        return time.process_time() - start_s
