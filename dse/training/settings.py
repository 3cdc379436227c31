"""Settings: everything that says how a network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OptimizerName = Literal["adamw", "sgd"]
ScheduleName = Literal["one-cycle", "cosine", "constant"]
Augmentation = Literal["flip", "shift", "cutout"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How long, how boldly and with which tricks to train.

    learning_rate : peak of the schedule      label_smoothing : 0..1
    weight_decay : on weights, not on biases or batch-norm; decoupled for adamw
    grad_clip : largest 2-norm of the gradient of all parameters together
    momentum, nesterov : of sgd only
    warmup : share of all steps in which the rate rises to its peak; of cosine and constant only,
        one-cycle has its own
    mixup : alpha of the Beta distribution of the share; 0 is off
    augment : done to each training image, in this order
    shift_pixels : an image moves by up to so many, to each side    cutout_pixels : side of the hole
    precision : of the forward pass of training; weights and validation stay float32
    deterministic : only kernels that give the same bits every time; an error where there is none
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    grad_clip: float
    optimizer: OptimizerName = "adamw"
    momentum: float = 0.9
    nesterov: bool = True
    schedule: ScheduleName = "one-cycle"
    warmup: float = 0.0
    mixup: float = 0.0
    augment: tuple[Augmentation, ...] = ()
    shift_pixels: int = 2
    cutout_pixels: int = 8
    precision: Precision = "float32"
    deterministic: bool = False
