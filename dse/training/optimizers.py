"""Optimizers: the update rule of a training, and the course of its learning rate."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from dse.errors import DataError
from dse.training.settings import TrainingSettings


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """AdamW, or SGD with momentum; only parameters of two or more axes decay."""
    parameters = list(model.parameters())
    groups = [
        {
            "params": [p for p in parameters if p.dim() > 1],
            "weight_decay": settings.weight_decay,
        },
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return SGD(
            groups,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            fused=True,
        )
    return AdamW(groups, lr=settings.learning_rate, fused=True)


def make_schedule(
    optimizer: Optimizer, settings: TrainingSettings, total_steps: int
) -> LRScheduler:
    """The learning rate over all steps of the training.

    one-cycle : Smith and Topin, 2019 (arXiv:1708.07120), as in PyTorch; the momentum of sgd stays
    cosine : after the warm-up down to 0, no restarts (Loshchilov and Hutter, ICLR 2017, eq. 5)
    constant : the peak, after the warm-up

    Raises DataError for one-cycle of a single step, whose rate would be next to nothing.
    """
    if settings.schedule == "one-cycle":
        if total_steps < 2:
            raise DataError(
                f"training: schedule one-cycle over {total_steps} step: must be 2 steps or more. "
                "Train more epochs, in smaller batches, or with schedule: constant"
            )
        return OneCycleLR(
            optimizer,
            settings.learning_rate,
            total_steps=total_steps,
            cycle_momentum=settings.optimizer == "adamw",
        )
    rising = round(settings.warmup * total_steps)

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if settings.schedule == "constant":
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / max(1, total_steps - rising)))

    return LambdaLR(optimizer, share)
