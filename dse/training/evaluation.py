"""Evaluation: the share of samples that a classifier gets right, and how often it spikes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from dse.errors import DataError

Values: TypeAlias = Tensor | np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a classifier does on some samples.

    accuracy : 0..1
    spike_rates : name of a module -> spikes per neuron, step and sample
    """

    accuracy: float
    spike_rates: dict[str, float] = field(default_factory=dict)


def accuracy(
    model: nn.Module,
    images: Values,
    labels: Values,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
) -> float:
    """Share (0..1) of samples whose largest logit is that of their label, in evaluation mode.

    images : (N, C, H, W)       labels : (N,), from 0
    Every module's training flag is as before afterwards. Raises DataError if there are no
    samples.
    """
    return evaluate(model, images, labels, batch_size, device).accuracy


def evaluate(
    model: nn.Module,
    images: Values,
    labels: Values,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """The accuracy as `accuracy` gives it, and the spike rate of every spiking module.

    A module that spikes has an attribute `activity` after its forward pass: (number of spikes, a
    0-dim tensor; neurons x steps x samples). One whose `activity`, or number of spikes, is None
    does not spike. All random generators are as before afterwards.
    """
    device = torch.device(device)
    inputs, targets = as_samples(images, labels, device)
    model.to(device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    rates = _Rates(model)
    with evaluating(model), undisturbed(device), torch.inference_mode():
        for batch, wanted in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
            right += (model(batch).argmax(1) == wanted).sum()
            rates.add()
    return Evaluation(int(right) / len(targets), rates.mean())


def accuracy_by_step(
    model: nn.Module,
    images: Values,
    labels: Values,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
) -> tuple[float | None, ...]:
    """The accuracies of 1 .. T time steps, all from one pass; None where a logit is not finite.

    Logits of t steps are the mean of what the first t add: `logits_by_step` (T, B, classes) of the
    model. One without it has a single accuracy, that of its logits. Otherwise as `accuracy`.
    """
    device = torch.device(device)
    inputs, targets = as_samples(images, labels, device)
    model.to(device)
    by_step = getattr(model, "logits_by_step", lambda batch: model(batch)[None])
    right, finite = [], []
    with evaluating(model), undisturbed(device), torch.inference_mode():
        for batch, wanted in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
            # the sum has its largest value where the mean has
            logits = by_step(batch).cumsum(0)
            right.append((logits.argmax(2) == wanted).sum(1))
            finite.append(logits.isfinite().flatten(1).all(1))
    hits, known = torch.stack(right).sum(0).tolist(), torch.stack(finite).all(0).tolist()
    return tuple(
        hit / len(targets) if is_known else None for hit, is_known in zip(hits, known, strict=True)
    )


class _Rates:
    """Sums up the activity of all modules over batches."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.named_modules())
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self) -> None:
        """Take what the last forward pass left."""
        for name, module in self._modules:
            spikes, places = getattr(module, "activity", None) or (None, 0)
            if spikes is None or places == 0:
                continue
            before, places_before = self._sums.get(name, (0.0, 0))
            # not a number yet: a GPU need not be waited for
            self._sums[name] = (before + spikes.detach().double(), places_before + places)

    def mean(self) -> dict[str, float]:
        """Spikes per neuron, step and sample, by module."""
        return {name: float(spikes) / places for name, (spikes, places) in self._sums.items()}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; each module's own training flag is restored afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was_training in flags:
            module.training = was_training


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """The generators of Python, NumPy and PyTorch go on afterwards as if nothing was drawn."""
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global generator
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)  # noqa: NPY002


def as_samples(images: Values, labels: Values, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images as float32 and labels as int64, both on the device.

    Raises DataError unless there are as many of both, and at least one.
    """
    if len(labels) == 0 or len(images) != len(labels):
        raise DataError(
            f"{len(images)} images and {len(labels)} labels: "
            "must be as many of both, and at least one"
        )
    return _tensor(images).to(device, torch.float32), _tensor(labels).to(device, torch.int64)


def _tensor(values: Values) -> Tensor:
    """An array is copied, so that it may be read-only."""
    return torch.tensor(values) if isinstance(values, np.ndarray) else values
