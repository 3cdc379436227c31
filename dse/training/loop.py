"""Loop: train a classifier, and tell after each epoch how it stands."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dse.errors import CheckpointError, DataError
from dse.training import machine, resume
from dse.training.augment import augmented, refuse_small
from dse.training.checkpoint import digest, plain
from dse.training.divergence import (
    LossWatch,
    loss_and_gradient,
    refuse_broken,
    refuse_not_finite,
)
from dse.training.evaluation import Values, as_samples, evaluate
from dse.training.gradients import clip
from dse.training.objective import batch_loss
from dse.training.optimizers import make_optimizer, make_schedule
from dse.training.settings import TrainingSettings

__all__ = ["EpochResult", "TrainingSettings", "train"]

_AUGMENT_STREAM = 1 << 40  # seeds are far below
_SAMPLES_DIGESTED = 1000


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What one epoch gave.

    epoch : from 1      train_loss : mean of its steps      validation_accuracy : 0..1
    samples_per_s : of training alone       learning_rate : of its last step
    seconds : of the whole epoch with its validation        seconds_left : to the end, about
    spike_rates : of the validation data, see `Evaluation`
    from_checkpoint : it was trained by a process that stopped, and is only told again
    is_current : the network is as this epoch left it: false for all but the last of a checkpoint
    """

    epoch: int
    train_loss: float
    validation_accuracy: float
    samples_per_s: float
    learning_rate: float
    seconds: float = 0.0
    seconds_left: float = 0.0
    spike_rates: dict[str, float] = field(default_factory=dict)
    from_checkpoint: bool = False
    is_current: bool = True


def train(
    model: nn.Module,
    train_images: Values,
    train_labels: Values,
    validation_images: Values,
    validation_labels: Values,
    settings: TrainingSettings,
    seed: int,
    device: str | torch.device = "cpu",
    *,
    checkpoint: Path | None = None,
    about: Mapping[str, Any] | None = None,
    on_unusable: Callable[[CheckpointError], None] | None = None,
) -> Iterator[EpochResult]:
    """Train as the settings say; one result an epoch.

    images : (N, C, H, W)       labels : (N,), from 0
    seed : of shuffling and augmentation. An incomplete last batch of an epoch is left out.
    checkpoint : written after each epoch. If it is there, the training goes on from it, and the
        results of its epochs come first: the weights at the end are bit by bit those of a training
        that never stopped, provided that machine, PyTorch and number of threads are the same. The
        caller removes it
    about : what else a checkpoint must agree with, as JSON: knobs that no weight shows
    on_unusable : told of a checkpoint that is damaged or of another training, which then starts
        over and replaces it; None: such a checkpoint is refused with CheckpointError

    A module with a method `after_step` has it called after each optimiser step; one with
    `training_loss` gives its own loss, see `batch_loss`.
    Raises DivergedFailure as soon as a loss or a gradient is not finite, or the loss has exploded
    (see `LossWatch`); DataError for data that cannot be used, or too few steps for the schedule;
    CheckpointError if a checkpoint cannot be written.
    """
    course = _Course(
        model,
        as_samples(train_images, train_labels, torch.device(device)),
        as_samples(validation_images, validation_labels, torch.device(device)),
        settings,
        seed,
        torch.device(device),
    )
    identity: dict[str, Any] = {}
    results: list[EpochResult] = []
    if checkpoint is not None:
        identity = {**course.identity(), **(about or {})}
        results = _resumed(course, checkpoint, identity, on_unusable)
        yield from results
    for epoch in range(len(results) + 1, settings.epochs + 1):
        # never around the yield: who takes the result has the settings of PyTorch as they were
        with ExitStack() as stack:
            stack.enter_context(machine.fast(model))
            stack.enter_context(machine.deterministic(course.device, settings.deterministic))
            result = course.epoch(epoch)
        done_s = result.seconds + sum(before.seconds for before in results)
        result = replace(result, seconds_left=done_s / epoch * (settings.epochs - epoch))
        results.append(result)
        if checkpoint is not None:
            resume.save(checkpoint, course.parts, identity, course.progress(results))
        yield result


def _resumed(
    course: _Course,
    checkpoint: Path,
    identity: Mapping[str, Any],
    on_unusable: Callable[[CheckpointError], None] | None,
) -> list[EpochResult]:
    """The epochs that a checkpoint holds, after the training was put behind them."""
    try:
        progress = resume.resume(checkpoint, course.parts, identity)
    except CheckpointError as error:
        if on_unusable is None:
            raise
        on_unusable(error)
        return []
    if progress is None:
        return []
    course.watch = LossWatch(**progress["watch"])
    told = [EpochResult(**{**row, "from_checkpoint": True}) for row in progress["results"]]
    return [replace(result, is_current=result is told[-1]) for result in told]


class _Course:
    """One training under way."""

    def __init__(
        self,
        model: nn.Module,
        training: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        settings: TrainingSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.device = device
        self._model = model.to(device)
        self._images, self._labels = training
        self._validation = validation
        self._settings, self._seed = settings, seed
        if len(self._images) < 2:
            raise DataError("training: 1 image: must be 2 at least, for batch-norm")
        refuse_small(tuple(self._images.shape[1:]), settings)
        self._batch_size = min(settings.batch_size, len(self._images))
        self._steps = len(self._images) // self._batch_size
        optimizer = make_optimizer(model, settings)
        generators = {
            "shuffle": torch.Generator().manual_seed(seed),
            "augment": torch.Generator().manual_seed(_AUGMENT_STREAM + seed),
        }
        self.parts = resume.Parts(
            model,
            optimizer,
            make_schedule(optimizer, settings, settings.epochs * self._steps),
            generators,
            device,
        )
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._hooks = step_hooks(model)
        shares = torch.bincount(validation[1]) / len(validation[1])
        self.watch = LossWatch(
            classes=int(self._labels.max()) + 1,
            guess=float(shares.max()),
        )

    def epoch(self, number: int) -> EpochResult:
        """Train for an epoch and validate.

        Raises DivergedFailure if the training cannot go on.
        """
        model, schedule = self._model, self.parts.schedule
        model.train()
        order = torch.randperm(len(self._images), generator=self.parts.generators["shuffle"])
        order = order.to(self.device)
        losses = []
        learning_rate = 0.0
        start_s = time.perf_counter()
        for step in range(self._steps):
            picked = order[step * self._batch_size : (step + 1) * self._batch_size]
            loss, gradient = self._step(self._images[picked], self._labels[picked])
            if not math.isfinite(loss + gradient):
                where = f"epoch {number}, step {step + 1} of {self._steps}"
                refuse_not_finite(loss, gradient, where)
            for hook in self._hooks:
                hook()
            learning_rate = float(self.parts.optimizer.param_groups[0]["lr"])
            schedule.step()
            losses.append(loss)
        trained_s = time.perf_counter() - start_s
        refuse_broken(model, number)
        found = evaluate(model, *self._validation, device=self.device)
        self.watch.look(number, losses, found.accuracy)
        return EpochResult(
            epoch=number,
            train_loss=math.fsum(losses) / self._steps,
            validation_accuracy=found.accuracy,
            samples_per_s=self._steps * self._batch_size / trained_s,
            learning_rate=learning_rate,
            seconds=time.perf_counter() - start_s,
            spike_rates=found.spike_rates,
        )

    def _step(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """One step of the optimiser: the loss, and the norm of the gradient before clipping."""
        optimizer, generator = self.parts.optimizer, self.parts.generators["augment"]
        optimizer.zero_grad()
        images = augmented(images, self._settings, generator)
        loss = batch_loss(self._model, images, labels, self._settings, generator)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        gradient = clip(self._parameters, self._settings.grad_clip)
        optimizer.step()
        return loss_and_gradient(loss, gradient)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with, as JSON: asked for before the first step."""
        state = self._model.state_dict()
        every = max(1, len(self._images) // _SAMPLES_DIGESTED)
        return {
            "settings": asdict(self._settings),
            "seed": self._seed,
            "samples": [len(self._images), len(self._validation[0])],
            "shape": list(self._images.shape[1:]),
            "data": _digest(self._images[::every], self._labels, self._validation[1]),
            "model": {name: list(tensor.shape) for name, tensor in state.items()},
            "first_weights": digest({name: plain(tensor) for name, tensor in state.items()}),
            "threads": torch.get_num_threads(),
            "device": self.device.type,
            "torch": str(torch.__version__),
            "processor": torch.backends.cpu.get_cpu_capability(),
            "products": machine.route(self._model),
        }

    def progress(self, results: Sequence[EpochResult]) -> dict[str, Any]:
        """What is needed to go on, beside `parts`, as JSON."""
        return {"watch": asdict(self.watch), "results": [asdict(result) for result in results]}


def step_hooks(model: nn.Module) -> list[Callable[[], None]]:
    """The methods `after_step` of all modules, which each step of the optimiser ends with."""
    hooks = (getattr(module, "after_step", None) for module in model.modules())
    return [hook for hook in hooks if callable(hook)]


def _digest(*tensors: Tensor) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(plain(tensor).numpy().data)
    return found.hexdigest()
