"""The recipe of a trial: build, train, evaluate, count, estimate, record."""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dse.counting.count import count
from dse.data.splits import Part
from dse.design import Design
from dse.errors import (
    BuildFailure,
    CheckpointError,
    DivergedFailure,
    NotFiniteError,
    ResourceFailure,
    TracingError,
    TrialFailure,
    UncountedFailure,
)
from dse.networks.slimmable import Slimmable
from dse.neurons import kernel
from dse.pricing import admit, missing, price
from dse.recipe import (
    Recipe,
    at_width,
    build,
    checkpoint_file,
    finished,
    settings_of,
    weights_file,
    weights_of,
    width_place,
)
from dse.resources import limited
from dse.safefile import remove_leftovers, write_atomically
from dse.seeding import seed_everything, trial_seed
from dse.training import checkpoint, machine
from dse.training.evaluation import accuracy, undisturbed
from dse.training.loop import EpochResult, train
from dse.variants.own import blamed
from energy_models import ModelCounts
from reports.record import TrialRecord

_log = logging.getLogger(__name__)
# A few hundred held-out images give the mean activity to a per mille; more only cost time.
COUNT_SAMPLES = 512
# Enough to see which operations there are.
FEW_SAMPLES = 4
# Running statistics, and steps of quantisers, are then those of the data.
SETTLING_PASSES = 20
# The energy of a training under way: enough to tell designs apart, in some milliseconds.
RUNG_SAMPLES = 64
OnEpoch = Callable[[EpochResult], None]
Look = Callable[[], dict[str, Any]]
Judge = Callable[[int, Look], str | None]


def run_trial(
    design: Design,
    number: int,
    recipe: Recipe,
    folder: Path,
    *,
    worker: str,
    optuna_number: int | None = None,
    on_epoch: OnEpoch = lambda _: None,
    judge: Judge = lambda epoch, look: None,
    is_resumed: bool = False,
    place: str | None = None,
    seed: int | None = None,
) -> TrialRecord:
    """Train one design and measure it on validation data; an expected failure is a record too.

    Of a sweep with `share_widths` it is trained for all of them, and the record is of the largest.
    folder : the run folder; weights and counts go to `trials/NUMBER/`, or `trials/PLACE/`
    on_epoch : called after every epoch; what it raises ends the trial without a record
    judge : asked after every epoch, with the epoch and a function that measures how the training
        stands: `metrics` and `energy` of a record, from `RUNG_SAMPLES` images. A text ends the
        training with a record in state `stopped`, for that reason; with `is_resumed` its
        checkpoint stays, and the same call goes on after that epoch. Of the epochs that a
        checkpoint tells again only the last is asked about: the network is no longer as the
        others left it
    is_resumed : go on from `checkpoint_file`, if it is there, and keep it up to date; the caller
        removes it when the record is on the disk. One that does not fit is noted and not used
    seed : instead of that of the number
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    clock = Clock()
    seed = trial_seed(recipe.config.seed, number) if seed is None else seed
    place = place or str(number)
    resumable = _Resumable(checkpoint_file(folder, place) if is_resumed else None)
    outcome: dict[str, Any]
    try:
        with blamed(design), limited(f"batches of {recipe.config.training.batch_size}"):
            outcome = {
                "state": "complete",
                **_trained(design, place, seed, recipe, folder, clock, on_epoch, judge, resumable),
            }
    except TrialFailure as failure:
        if isinstance(failure, ResourceFailure):
            _free(folder, place)
        reason = f"{type(failure).__name__}: {failure}"
        outcome = {"state": "failed", "reason": reason}
    notes = (*recipe.data().notes, *resumable.notes, *outcome.pop("notes", ()))
    return TrialRecord(
        number=number,
        variant=design.variant,
        design=design.to_dict(),
        seed=seed,
        times={"started": started, **clock.times()},
        worker=worker,
        optuna_number=optuna_number,
        notes=notes,
        **outcome,
    )


def measure_test(record: TrialRecord, recipe: Recipe, folder: Path) -> dict[str, float]:
    """Accuracy of a trained point on the test data: done once, for the report.

    Raises CheckpointError if its weights are gone.
    """
    data = recipe.data()
    design = Design.from_dict(record.design)
    model = build(design, data)
    checkpoint.load_weights(model, weights_of(folder, record))
    network, _ = finished(model, design, recipe, record.seed)
    return _accuracy(network, data.test, recipe.device)


def unpriced(design: Design, recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Profile -> what a design would do that has no price there, from an untrained pass.

    Raises BuildFailure if there can be no such network.
    """
    data = recipe.data()
    seed_everything(0)
    model = build(design, data).to(recipe.device)
    # of the training data: a batch-norm that settles wants more than one value
    images = torch.from_numpy(data.train.images[:FEW_SAMPLES]).to(recipe.device)
    with torch.no_grad():
        for _ in range(SETTLING_PASSES):
            model.train()(images)
    model, _ = finished(model.eval(), design, recipe, 0, is_rough=True)
    counts = admit(count(model, images), recipe.config.allow_uncounted)
    return missing(counts, recipe.config.hardware)


def measured(
    trained: nn.Module,
    design: Design,
    seed: int,
    recipe: Recipe,
    folder: Path,
    place: str,
    clock: Clock,
) -> dict[str, Any]:
    """Metrics, energy, counts and notes of a trained network, as a record has them.

    Of a family that is finished after the training (`Variant.finish`) they are of the finished
    network, and `source_accuracy` is that of the trained one.
    place : below `trials/`, where its counts go
    Raises TrialFailure as `run_trial` notes it.
    """
    data = recipe.data()
    model, notes = finished(trained, design, recipe, seed)
    source = {}
    if model is not trained:
        accuracy = _accuracy(trained, data.validation, recipe.device)["accuracy"]
        source = {"source_accuracy": accuracy}
    validation = _accuracy(model, data.validation, recipe.device)
    clock.phase("evaluate")
    counts = held_out_counts(model, data.validation, recipe)
    clock.phase("count")
    counts_file = Path("trials") / place / "counts.json"
    write_atomically(_made(folder / counts_file), json.dumps(counts.to_dict()) + "\n")
    found = _found(model, validation, counts, recipe)
    return {
        **found,
        "metrics": {**found["metrics"], **source},
        "notes": notes,
        "counts_file": str(counts_file),
        "computed": {"products": machine.route(model), "neurons": kernel.build()},
    }


def _found(
    model: nn.Module, validation: dict[str, float], counts: ModelCounts, recipe: Recipe
) -> dict[str, Any]:
    return {
        "metrics": {
            "validation": validation,
            "test": None,
            "latency_steps": counts.time_steps,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "spikes": counts.spikes,
        },
        "energy": price(admit(counts, recipe.config.allow_uncounted), recipe.config.hardware),
    }


class _Resumable:
    """Where the training of a trial is kept, None for nowhere, and what went wrong with it."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.notes: list[str] = []

    def start_over(self, error: CheckpointError) -> None:
        """A training from the seed comes to the same end: nothing is lost but time."""
        _log.warning("%s; the training starts over", error)
        cause = str(error).splitlines()[0].removeprefix(f"{self.path}: ")
        self.notes.append(f"trained from the start: its checkpoint was not used: {cause}")


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self._begin = self._last = time.perf_counter()
        self._phases: dict[str, float] = {}

    def phase(self, name: str) -> None:
        """The phase of that name ends now."""
        now = time.perf_counter()
        self._phases[f"{name}_s"] = round(now - self._last, 4)
        self._last = now

    def earlier(self, seconds: float) -> None:
        """So much of the phase under way was spent by a process that stopped."""
        self._begin -= seconds
        self._last -= seconds

    def times(self) -> dict[str, float]:
        """All phases so far, and their sum."""
        return {**self._phases, "total_s": round(time.perf_counter() - self._begin, 4)}


def _trained(
    design: Design,
    place: str,
    seed: int,
    recipe: Recipe,
    folder: Path,
    clock: Clock,
    on_epoch: OnEpoch,
    judge: Judge,
    resumable: _Resumable,
) -> dict[str, Any]:
    """The fields of a record that exist only if all went well."""
    data = recipe.data()
    seed_everything(seed)
    model = trainee(design, recipe)
    results = train(
        model,
        data.train.images,
        data.train.labels,
        data.validation.images,
        data.validation.labels,
        settings_of(design, recipe.config),
        seed,
        recipe.device,
        checkpoint=resumable.path,
        about={"design": design.to_dict(), "neurons": kernel.build()},
        on_unusable=resumable.start_over,
    )
    for result in results:
        if result.from_checkpoint:
            clock.earlier(result.seconds)
        on_epoch(result)
        if not result.is_current:
            continue
        whole = model.largest if isinstance(model, Slimmable) else model
        look = functools.cache(functools.partial(_standing, whole, design, seed, result, recipe))
        reason = judge(result.epoch, look)
        if reason is not None:
            clock.phase("train")
            return {"state": "stopped", "reason": reason, **look()}
    clock.phase("train")
    network = save_networks(model, folder, place)
    return measured(network, design, seed, recipe, folder, place, clock)


def save_networks(model: nn.Module, folder: Path, place: str) -> nn.Module:
    """Write the weights of what was trained, of every shared width; the (largest) network."""
    if isinstance(model, Slimmable):
        for width in model.widths[:-1]:
            file = weights_file(folder, width_place(place, width))
            checkpoint.save_weights(model.sub_network(width), _made(file))
        model = model.largest
    checkpoint.save_weights(model, _made(weights_file(folder, place)))
    return model


def trainee(design: Design, recipe: Recipe) -> nn.Module:
    """What is trained for a design, untrained: its network, or those of all shared widths."""
    widths = recipe.config.share_widths
    if not widths:
        return build(design, recipe.data())
    if design.values.get("width") != widths[-1]:
        raise BuildFailure(
            f"share_widths: width {design.values.get('width')}: must be that of the design that "
            f"is trained, the largest, {widths[-1]}"
        )
    return Slimmable(lambda width: build(at_width(design, width), recipe.data()), widths)


def _standing(
    trained: nn.Module, design: Design, seed: int, result: EpochResult, recipe: Recipe
) -> dict[str, Any]:
    """How a training stands after an epoch; no random generator moves.

    Of a family that is finished after the training it is the finished network that stands there,
    as long as it can be: a layer that is dead yet may come to life.
    """
    part = recipe.data().validation
    validation = {"accuracy": result.validation_accuracy, "samples": len(part)}
    notes: tuple[str, ...] = ()
    with undisturbed(torch.device(recipe.device)):
        try:
            model, notes = finished(trained, design, recipe, seed)
            if model is not trained:
                validation = _accuracy(model, part, recipe.device)
        except BuildFailure as failure:
            model, _ = finished(trained, design, recipe, seed, is_rough=True)
            notes = (f"{design.variant}: not as it would be measured: {failure}",)
        counts = held_out_counts(model, part, recipe, RUNG_SAMPLES)
    found = _found(model, validation, counts, recipe)
    return {**found, "metrics": {**found["metrics"], "epochs": result.epoch}, "notes": notes}


def _accuracy(model: nn.Module, part: Part, device: str) -> dict[str, float]:
    with machine.fast(model):
        share = accuracy(model, part.images, part.labels, device=device)
    return {"accuracy": share, "samples": len(part)}


def held_out_counts(
    model: nn.Module, part: Part, recipe: Recipe, samples: int = COUNT_SAMPLES
) -> ModelCounts:
    """Counts on the first of some held-out images.

    Raises DivergedFailure if NaN flows, UncountedFailure for an operator that nobody can count and
    the sweep does not allow.
    """
    images = torch.from_numpy(part.images[:samples]).to(recipe.device)
    at_once = getattr(model, "samples_at_once", len(images))  # over many steps they take memory
    try:
        with machine.fast(model):
            counts = count(model, _parts(images, at_once), progress=False)
    except NotFiniteError as error:
        raise DivergedFailure(f"counting the trained network: {error}") from error
    except TracingError as error:
        if recipe.config.model is not None and error.__cause__ is None:
            raise UncountedFailure(str(error)) from error
        # our own networks do not raise: a bug, which stops the sweep with its traceback
        raise error.__cause__ or error from None
    unknown = sorted(set(counts.uncounted) - set(recipe.config.allow_uncounted))
    if unknown:
        raise UncountedFailure(
            f"no counting rule for {', '.join(unknown)}; name it in allow_uncounted to go on "
            "without it"
        )
    return counts


def _parts(images: torch.Tensor, size: int) -> torch.Tensor | list[torch.Tensor]:
    """Images in parts of so many, if they are more."""
    return images if len(images) <= size else list(torch.split(images, size))


def _free(folder: Path, place: str) -> None:
    """Give back what a trial has taken that had no room; its checkpoint stays till its record."""
    for name in ("weights.safetensors", "counts.json"):
        for path in weights_file(folder, place).parent.rglob(name):
            path.unlink()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)  # of a worker that was killed
    return path
