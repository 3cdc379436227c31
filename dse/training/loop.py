"""Loop: train a classifier, and tell after each epoch how it stands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.errors import DivergedFailure
from dse.training.evaluation import Values, accuracy, as_samples


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How long and how boldly to train.

    learning_rate : peak of the one-cycle schedule      label_smoothing : 0..1
    weight_decay : decoupled; on weights, not on biases or batch-norm
    grad_clip : largest 2-norm of the gradient of all parameters together
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    grad_clip: float


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What one epoch gave.

    epoch : from 1      train_loss : mean of its steps      validation_accuracy : 0..1
    samples_per_s : of training alone       learning_rate : of its last step
    """

    epoch: int
    train_loss: float
    validation_accuracy: float
    samples_per_s: float
    learning_rate: float


def train(
    model: nn.Module,
    train_images: Values,
    train_labels: Values,
    validation_images: Values,
    validation_labels: Values,
    settings: TrainingSettings,
    seed: int,
    device: str | torch.device = "cpu",
) -> Iterator[EpochResult]:
    """Train with AdamW, a one-cycle schedule and cross-entropy; one result an epoch.

    images : (N, C, H, W)       labels : (N,), from 0
    seed : of the shuffling. An incomplete last batch of an epoch is left out.
    A module with a method `after_step` has it called after each optimiser step.
    Raises DivergedFailure as soon as a loss or a gradient is not finite.
    """
    device = torch.device(device)
    model.to(device)
    images, labels = as_samples(train_images, train_labels, device)
    batch_size = min(settings.batch_size, len(images))
    steps = len(images) // batch_size
    optimizer = _optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * steps
    )
    hooks = _hooks(model)
    shuffler = torch.Generator().manual_seed(seed)
    for epoch in range(1, settings.epochs + 1):
        model.train()
        order = torch.randperm(len(images), generator=shuffler).to(device)
        losses = []
        start_s = time.perf_counter()
        for step in range(steps):
            picked = order[step * batch_size : (step + 1) * batch_size]
            learning_rate = float(schedule.get_last_lr()[0])
            loss, gradient = _step(model, images[picked], labels[picked], optimizer, settings)
            _refuse_diverged(loss, gradient, f"epoch {epoch}, step {step + 1} of {steps}")
            for hook in hooks:
                hook()
            schedule.step()
            losses.append(loss)
        seconds = time.perf_counter() - start_s
        yield EpochResult(
            epoch=epoch,
            train_loss=math.fsum(losses) / steps,
            validation_accuracy=accuracy(
                model, validation_images, validation_labels, device=device
            ),
            samples_per_s=steps * batch_size / seconds,
            learning_rate=learning_rate,
        )


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        fused=True,
    )


def _hooks(model: nn.Module) -> list[Callable[[], None]]:
    hooks = (getattr(module, "after_step", None) for module in model.modules())
    return [hook for hook in hooks if callable(hook)]


def _step(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
) -> tuple[float, float]:
    """One step of the optimiser. Returns the loss, and the norm of the gradient before clipping."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels, label_smoothing=settings.label_smoothing)
    loss.backward()
    gradient = nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip)
    optimizer.step()
    return loss.item(), gradient.item()


def _refuse_diverged(loss: float, gradient: float, where: str) -> None:
    # the gradient too: a spike or a sign hides a NaN of its current from the loss
    for name, value in (("loss", loss), ("gradient norm", gradient)):
        if not math.isfinite(value):
            raise DivergedFailure(
                f"training: {where}: {name} is {value} (loss {loss}): must be finite; "
                "lower learning_rate"
            )
