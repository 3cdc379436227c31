"""Evaluation: the share of samples that a classifier gets right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from dse.errors import DataError

Values: TypeAlias = Tensor | np.ndarray[Any, Any]


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
    device = torch.device(device)
    inputs, targets = as_samples(images, labels, device)
    model.to(device)
    right = 0
    with evaluating(model), torch.inference_mode():
        for batch, wanted in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
            right += int((model(batch).argmax(1) == wanted).sum())
    return right / len(targets)


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
