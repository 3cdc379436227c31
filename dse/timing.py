"""Timing: what a trial of a design takes, from moments of its training."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from dse.design import Design
from dse.errors import TrialFailure
from dse.reading import read
from dse.recipe import Recipe, build, settings_of
from dse.training import machine
from dse.training.evaluation import accuracy
from dse.training.loop import train
from dse.trial import Clock, held_out_counts, measured, save_networks, trainee
from reports.record import TrialRecord

_MOMENT_S = 0.2
_MOST_BATCHES, _FEWEST_EPOCHS, _MOST_EPOCHS = 8, 2, 12
_MOST_OVERHEAD = 0.5  # of an epoch of so many batches: more is noise
_NO_LEARNING = 1e-6  # a rate at which nothing diverges, and every step takes as long
_EVALUATED = 512  # images
TRIAL_S = 0.05  # of the processor: handing out and recording a trial, on an AMD EPYC


@dataclass(frozen=True, slots=True)
class Timed:
    """CPU seconds of a design of that size: a trial of it, and measuring it on the test data."""

    size: float
    trial_s: float
    test_s: float


def timed(design: Design, size: float, recipe: Recipe, folder: Path) -> Timed:
    """What a trial takes, from a moment of its training.

    folder : for checkpoints      Raises TrialFailure if it cannot be trained.
    """
    data, settings = recipe.data(), settings_of(design, recipe.config)
    batches = max(1, len(data.train) // settings.batch_size)
    one_s = _epoch_s(design, recipe, folder, 1)
    many = min(batches, _MOST_BATCHES, max(2, int(_MOMENT_S / one_s)))
    step_s = 0.0
    if many > 1:
        many_s = _epoch_s(design, recipe, folder, many)
        step_s = (many_s - one_s) / (many - 1)
        step_s = min(max(step_s, _MOST_OVERHEAD * many_s / many), many_s / many)
    model = trainee(design, recipe).to(recipe.device)
    image_s = _image_s(model, recipe)
    start = _clock(recipe)
    _evaluate(model, design, recipe, folder)
    evaluated_s = _clock(recipe) - start
    epoch_s = one_s + step_s * (batches - 1) + image_s * len(data.validation)
    trial_s = settings.epochs * epoch_s + evaluated_s + TRIAL_S
    return Timed(size, trial_s, image_s * len(data.test))


def _evaluate(model: nn.Module, design: Design, recipe: Recipe, folder: Path) -> None:
    """All that a trial does after its training, and the points that are read from it."""
    network = save_networks(model, folder, "0")
    recipe = replace(
        recipe, is_rough=True
    )  # an untrained layer may be dead, and convert to nothing
    found = measured(network, design, 0, recipe, folder, "0", Clock())
    record = TrialRecord(0, "complete", design.variant, design.to_dict(), seed=0, **found)
    read(record, recipe, folder)


def _image_s(model: nn.Module, recipe: Recipe) -> float:
    """Seconds in which a network is measured on one image, after some to warm up."""
    part = recipe.data().validation
    images, labels = part.images[:_EVALUATED], part.labels[:_EVALUATED]
    with machine.fast(model):
        accuracy(model, images, labels, device=recipe.device)
        start = _clock(recipe)
        accuracy(model, images, labels, device=recipe.device)
        return (_clock(recipe) - start) / len(images)


def _epoch_s(design: Design, recipe: Recipe, folder: Path, batches: int) -> float:
    """CPU seconds of an epoch of so many batches, with its checkpoint, after one to warm up."""
    data = recipe.data()
    settings = settings_of(design, recipe.config)
    size = min(settings.batch_size, len(data.train))
    images, labels = data.train.images[: batches * size], data.train.labels[: batches * size]
    path = folder / "checkpoint.safetensors"
    results = train(
        trainee(design, recipe),
        images,
        labels,
        data.validation.images[:1],
        data.validation.labels[:1],
        replace(
            settings,
            epochs=1000,
            schedule="constant",
            warmup=0.0,
            learning_rate=_NO_LEARNING,
        ),
        seed=0,
        device=recipe.device,
        checkpoint=path,
    )
    try:
        next(results)
        begin, spent = _clock(recipe), list[float]()
        while len(spent) < _FEWEST_EPOCHS or (
            _clock(recipe) - begin < _MOMENT_S and len(spent) < _MOST_EPOCHS
        ):
            start = _clock(recipe)
            next(results)
            spent.append(_clock(recipe) - start)
        return float(np.median(spent))
    finally:
        path.unlink(missing_ok=True)


def one_epoch_s(design: Design, recipe: Recipe, folder: Path) -> float:
    """CPU seconds of all that one epoch of one batch needs, also before and after it."""
    start_s = time.process_time()
    with contextlib.suppress(TrialFailure):
        _epoch_s(design, recipe, folder, 1)
        held_out_counts(build(design, recipe.data()), recipe.data().validation, recipe)
    return time.process_time() - start_s


def _clock(recipe: Recipe) -> float:
    """Seconds of this process; on a GPU those of the wall, for which the process waits."""
    return time.process_time() if recipe.device == "cpu" else time.perf_counter()
