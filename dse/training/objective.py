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

    A model with a method `training_loss(images, targets, label_smoothing)` says it itself; any
    other one is given cross-entropy. Targets are labels (B,). With mixup they are the shares
    (B, classes) of each class in the mixed images, and such a model has an attribute `classes`.
    The model sees the images once either way.
    """
    own = getattr(model, "training_loss", None)
    mixing = None
    if settings.mixup:
        mixing = mixup_share(settings.mixup, generator), mixup_partners(images, generator)
        images = torch.lerp(images[mixing[1]], images, mixing[0])
    with _precision(settings, images.device):
        if callable(own):
            targets = labels
            if mixing is not None:
                targets = mixed_targets(labels, cast("int", model.classes), *mixing)
            return cast("Tensor", own(images, targets, settings.label_smoothing))
        logits = model(images)
    # only the network is in bfloat16; `float` is nothing for what is float32 already
    targets = labels if mixing is None else mixed_targets(labels, logits.shape[1], *mixing)
    return F.cross_entropy(logits.float(), targets, label_smoothing=settings.label_smoothing)


def mixed_targets(labels: Tensor, classes: int, share: float, partners: Tensor) -> Tensor:
    """(B, classes) float32: `share` of the own class and the rest of that of the partner.

    Cross-entropy is linear in them, so their loss is the mean of both losses by these shares.
    """
    ours = F.one_hot(labels, classes).float()
    return torch.lerp(ours[partners], ours, share)


def _precision(settings: TrainingSettings, device: torch.device) -> AbstractContextManager[object]:
    if settings.precision == "float32":
        return nullcontext()  # autocast costs time also when it is off
    return torch.autocast(device.type, torch.bfloat16)
