"""Confirming: points of the front trained on at the knobs they were read at, over several seeds."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from dse.design import Design
from dse.errors import DivergedFailure, TrialFailure
from dse.narrowing import train_alone
from dse.networks import reading
from dse.neurons import kernel
from dse.pricing import admit, price
from dse.reading import ROUNDING, read, restored, tuned_file
from dse.recipe import Recipe, settings_of
from dse.resources import limited
from dse.safefile import write_atomically
from dse.seeding import seed_everything, trial_seed
from dse.training import checkpoint, machine
from dse.training.evaluation import accuracy_by_step
from dse.training.loop import train
from dse.training.settings import TrainingSettings
from dse.trial import held_out_counts
from dse.variants import family
from reports.record import TrialRecord

# of the peak of the training. Its weights are good already: a larger step loses them before it has
# found the threshold's own, a schedule that starts low and rises would do so, too; and as there are
# few epochs, a rate that falls would leave nothing for the last of them
RATE_SHARE = 0.1


def fine_tune(
    record: TrialRecord,
    seeds: int,
    epochs: int,
    recipe: Recipe,
    folder: Path,
    free_reading_numbers: Sequence[int],
) -> list[TrialRecord]:
    """Train on from a point, once a seed, with its knobs turned; a record each.

    The learning rate is constant, `RATE_SHARE` of the design's own. Weights and potentials that
    the point has rounded are real while it is trained, and rounded again afterwards.
    seeds : how often; each has the seed that follows from that of the training and its number
    free_reading_numbers : of the points that are made, one a seed; weights and counts go to
        `trials/17/READING/`

    Raises CheckpointError if the weights of the point are gone.
    """
    numbers = list(free_reading_numbers)[:seeds]
    return [_tuned(record, number, epochs, recipe, folder) for number in numbers]


def made_again(
    record: TrialRecord,
    records: Sequence[TrialRecord],
    training: TrialRecord,
    recipe: Recipe,
    folder: Path,
) -> TrialRecord | None:
    """A point made once more from a training that was repeated; None if the sweep has no such one.

    records : of the run      training : the repeated one, whose weights lie in this folder
    """
    if record.parent is None:
        return training
    if record.point == "trained":
        alike = replace(record, seed=training.seed)  # its own follows from that
        number, worker = record.key[1], training.worker or ""
        return next(train_alone(alike, 1, recipe, folder, first_reading=number, worker=worker))
    if record.point == "read":
        return next((p for p in read(training, recipe, folder) if p.key == record.key), None)
    start = next(
        (
            one
            for one in records
            if (one.number, one.design) == (record.number, record.design)
            and not one.is_confirmation
        ),
        None,
    )
    again = start and made_again(start, records, training, recipe, folder)
    if again is None or again.state != "complete":
        return again
    numbers = [record.key[1]]
    return fine_tune(again, 1, recipe.config.confirm.epochs, recipe, folder, numbers)[0]


def _tuned(
    record: TrialRecord, number: int, epochs: int, recipe: Recipe, folder: Path
) -> TrialRecord:
    started, start_s = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    again = replace(
        record,
        parent=record.number,
        reading=number,
        point="fine-tuned",
        seed=trial_seed(record.seed, number),
        metrics={},
        energy={},
        counts_file=None,
        optuna_number=None,
        notes=(*record.notes, f"trained on for {epochs} epochs from #{record.name}"),
    )
    # the weights that the point was read from, not yet rounded
    model = restored(_unrounded(record), recipe, folder)
    outcome: dict[str, Any]
    try:
        with limited(f"trained on from #{record.name}"):
            _train(model, again, epochs, recipe)
            train_s = time.perf_counter() - start_s
            checkpoint.save_weights(model, _made(tuned_file(folder, again)))
            outcome = {"state": "complete", **_measured(model, again, recipe, folder)}
    except TrialFailure as failure:
        train_s = time.perf_counter() - start_s
        outcome = {"state": "failed", "reason": f"{type(failure).__name__}: {failure}"}
    total_s = time.perf_counter() - start_s
    times = {"started": started, "train_s": round(train_s, 4), "total_s": round(total_s, 4)}
    return replace(again, times=times, **outcome)


def _train(model: nn.Module, record: TrialRecord, epochs: int, recipe: Recipe) -> None:
    data = recipe.data()
    design = family.split(Design.from_dict(record.design))[0]
    seed_everything(record.seed)
    for _ in train(
        model,
        data.train.images,
        data.train.labels,
        data.validation.images,
        data.validation.labels,
        _settings(settings_of(design, recipe.config), epochs),
        record.seed,
        recipe.device,
    ):
        pass


def _settings(trained: TrainingSettings, epochs: int) -> TrainingSettings:
    return replace(
        trained,
        epochs=epochs,
        schedule="constant",
        warmup=0.0,
        learning_rate=RATE_SHARE * trained.learning_rate,
    )


def _measured(
    model: nn.Module, record: TrialRecord, recipe: Recipe, folder: Path
) -> dict[str, Any]:
    """The fields of a record that exist only if all went well."""
    part, config = recipe.data().validation, recipe.config
    turned = family.split(Design.from_dict(record.design))[1]
    rounded = copy.deepcopy(model)
    reading.apply(rounded, {name: value for name, value in turned.items() if name in ROUNDING})
    with machine.fast(rounded):
        shares = accuracy_by_step(rounded, part.images, part.labels, device=recipe.device)
    if shares[-1] is None:
        raise DivergedFailure("after fine-tuning: logits are not finite")
    counts = held_out_counts(rounded, part, recipe)
    file = tuned_file(Path(), record).with_name("counts.json")
    write_atomically(folder / file, json.dumps(counts.to_dict()) + "\n")
    return {
        "metrics": {
            "validation": {"accuracy": shares[-1], "samples": len(part)},
            "test": None,
            "latency_steps": counts.time_steps,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "spikes": counts.spikes,
        },
        "energy": price(admit(counts, config.allow_uncounted), config.hardware),
        "counts_file": str(file),
        "computed": {"products": machine.route(rounded), "neurons": kernel.build()},
    }


def _unrounded(record: TrialRecord) -> TrialRecord:
    design = dict(record.design)
    knobs = {name: value for name, value in design["knobs"].items() if name not in ROUNDING}
    return replace(record, design={**design, "knobs": knobs})


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
