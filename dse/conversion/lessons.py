"""Lessons: labelled training data, for the methods of conversion that train."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dse.conversion.methods import Method
from dse.data import stratify
from dse.data.splits import Part
from dse.errors import ConversionFailure
from dse.training.evaluation import Values, accuracy, undisturbed
from dse.training.loop import train
from dse.training.settings import TrainingSettings

# of the peak of the source's own training: a larger step would lose weights that are good already
RATE_SHARE = 0.1
_GRAD_CLIP = 5.0
# of a source of which nobody says how it was trained
LEARNING_RATE, BATCH_SIZE = 0.01, 64
CALIBRATION_SAMPLES = 512
_CALIBRATION = 30  # of the key of a draw
_LOOKED_AT = 1000  # images that tell how a training went


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a method trains on, and how boldly.

    images : (N, C, H, W), of the training data       labels : (N,), from 0
    learning_rate : the peak of the training that made the source
    seed : of shuffling and of all that is drawn
    """

    images: Values
    labels: Values
    batch_size: int
    learning_rate: float
    seed: int
    device: str | torch.device = "cpu"


def calibration_images(part: Part, samples: int, seed: int) -> Tensor:
    """So many images of a part, a stratified draw, or all of them; (N, C, H, W)."""
    places = stratify.draw(part.labels, min(samples, len(part)), (seed, _CALIBRATION))
    return torch.tensor(part.images[places])


def refuse_missing(method: Method, lessons: Lessons | None) -> None:
    """Raise ConversionFailure for a method that trains and has nothing to train on."""
    trains = method.noisy_epochs > 0 or (method.tuning != "none" and method.tuning_epochs > 0)
    if trains and lessons is None:
        raise ConversionFailure(
            f"method {method.name}: needs training data: it trains the network on, and images and "
            "labels must be given"
        )


def taught(model: nn.Module, lessons: Lessons, epochs: int) -> str:
    """Train a module in place, at a constant rate, and say what that did.

    No random generator is moved. Raises DivergedFailure if the training cannot go on.
    """
    settings = TrainingSettings(
        epochs=epochs,
        batch_size=lessons.batch_size,
        learning_rate=RATE_SHARE * lessons.learning_rate,
        weight_decay=0.0,
        label_smoothing=0.0,
        grad_clip=_GRAD_CLIP,
        schedule="constant",
    )
    looked_at = lessons.images[:_LOOKED_AT], lessons.labels[:_LOOKED_AT]
    before = after = accuracy(model, *looked_at, device=lessons.device)
    with undisturbed(torch.device(lessons.device)), torch.enable_grad():
        torch.manual_seed(lessons.seed)
        for result in train(
            model,
            lessons.images,
            lessons.labels,
            *looked_at,
            settings,
            lessons.seed,
            lessons.device,
        ):
            after = result.validation_accuracy
    return (
        f"{epochs} {'epoch' if epochs == 1 else 'epochs'}, accuracy on {len(looked_at[0])} "
        f"training images from {before:.4f} to {after:.4f}"
    )
