"""Recipe: how the networks of a sweep were trained, in one line for the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dse.config import Training

_OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD"}
_OWN_WORDS = ("epochs", "batch_size", "optimizer", "schedule", "augment")
_OF_AUGMENT = ("shift_pixels", "cutout_pixels")  # said beside the augmentation they belong to


def recipe_text(training: Training) -> str:
    """`12 epochs, batch 32, AdamW, one-cycle`, and then every entry that is not the default."""
    return ", ".join(
        (
            f"{training.epochs} epoch{'' if training.epochs == 1 else 's'}",
            f"batch {training.batch_size}",
            _OPTIMIZERS[training.optimizer],
            training.schedule,
            *_changed(training),
        )
    )


def _changed(training: Training) -> Iterator[str]:
    for name, field in type(training).model_fields.items():
        value = getattr(training, name)
        if name == "augment" and value:
            yield " + ".join(_augmentation(one, training) for one in value)
        if name in (*_OWN_WORDS, *_OF_AUGMENT) or value == field.default:
            continue
        words = name.replace("_", " ")
        if isinstance(value, bool):
            yield words if value else f"no {words}"
        else:
            yield str(value) if name == "precision" else f"{words} {value:g}"


def _augmentation(name: str, training: Training) -> str:
    if name == "shift":
        return f"shift by up to {training.shift_pixels} pixels"
    return f"cutout of {training.cutout_pixels} pixels" if name == "cutout" else name
