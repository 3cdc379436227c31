"""Objective: the loss of one batch, with mixup, by the model itself or by cross-entropy."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from dse.training.augment import mixup_partners, mixup_share
from dse.training.settings import TrainingSettings


def batch_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: TrainingSettings,
    generator: Generator,
) -> Tensor:
    """What a step makes smaller, a 0-dim tensor.

    A model with a method `training_loss(images, labels, label_smoothing)` says it itself; any other
    one is given cross-entropy. With mixup it is that of the labels of both images, weighted by
    their shares; a `training_loss` is then called twice, on the same mixed images.
    """
    if not settings.mixup:
        return _loss(model, images, [(1.0, labels)], settings)
    share = mixup_share(settings.mixup, generator)
    partners = mixup_partners(images, generator)
    mixed = torch.lerp(images[partners], images, share)
    return _loss(model, mixed, [(share, labels), (1.0 - share, labels[partners])], settings)


def _loss(
    model: nn.Module,
    images: Tensor,
    wanted: list[tuple[float, Tensor]],
    settings: TrainingSettings,
) -> Tensor:
    own = getattr(model, "training_loss", None)
    with _precision(settings, images.device):
        if callable(own):
            losses = [own(images, labels, settings.label_smoothing) for _, labels in wanted]
        else:
            logits = model(images)
    if not callable(own):
        # only the network is in bfloat16; `float` is nothing for what is float32 already
        losses = [
            F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
            for _, labels in wanted
        ]
    if len(losses) == 1:
        return cast("Tensor", losses[0])
    return torch.stack(
        [share * loss for (share, _), loss in zip(wanted, losses, strict=True)]
    ).sum()


def _precision(settings: TrainingSettings, device: torch.device) -> AbstractContextManager[object]:
    if settings.precision == "float32":
        return nullcontext()  # autocast costs time also when it is off
    return torch.autocast(device.type, torch.bfloat16)
