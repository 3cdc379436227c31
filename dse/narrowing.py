"""Narrowing: the narrower networks of a training as points, and points trained by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dse.design import Design
from dse.errors import TrialFailure
from dse.recipe import Recipe, alone_place, at_width, build, weights_file, width_place
from dse.resources import limited
from dse.seeding import trial_seed
from dse.training import checkpoint
from dse.trial import Clock, OnEpoch, measured, run_trial
from reports.record import TrialRecord


def narrower(
    record: TrialRecord, recipe: Recipe, folder: Path, *, first: int = 1
) -> list[TrialRecord]:
    """The points of all narrower widths of a training, the smallest first, numbered from `first`.

    folder : the run folder; counts go to `trials/NUMBER/width-WIDTH/`, where the weights are
    Empty without `share_widths`, and if the training did not come to its end. A network that
    cannot be measured is a failed point. Raises CheckpointError if its weights are gone.
    """
    if record.state != "complete":
        return []
    widths = recipe.config.share_widths[:-1]
    return [
        _read(record, reading, width, recipe, folder)
        for reading, width in enumerate(widths, start=first)
    ]


def train_alone(
    record: TrialRecord,
    seeds: int,
    recipe: Recipe,
    folder: Path,
    *,
    first_reading: int,
    worker: str,
    on_epoch: OnEpoch = lambda _: None,
    is_resumed: bool = False,
) -> Iterator[TrialRecord]:
    """Confirm a point: its design trained by itself, whatever its weights were shared with.

    seeds : how often, each with a seed of its own that follows from the number of the new point
    first_reading : the first number below the training of `record` that no other point has; the
        new points take as many from there on, and are no trainings of the budget: they have a
        parent. Weights, counts and a training under way lie in `trials/NUMBER/alone-READING/`
    on_epoch, is_resumed : see `run_trial`
    """
    config = recipe.config.model_copy(update={"share_widths": ()})
    note = f"confirmation of {record.name} by a training of its own"
    for reading in range(first_reading, first_reading + seeds):
        alone = run_trial(
            Design.from_dict(record.design),
            record.number,
            replace(recipe, config=config),
            folder,
            worker=worker,
            on_epoch=on_epoch,
            is_resumed=is_resumed,
            place=alone_place(record.number, reading),
            seed=trial_seed(record.seed, reading),
        )
        notes = (*alone.notes, note)
        yield replace(alone, parent=record.number, reading=reading, notes=notes)


def _read(
    record: TrialRecord, reading: int, width: float, recipe: Recipe, folder: Path
) -> TrialRecord:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    clock = Clock()
    design = at_width(Design.from_dict(record.design), width)
    place = width_place(record.number, width)
    model = build(design, recipe.data())
    checkpoint.load_weights(model, weights_file(folder, place))
    model.to(recipe.device)
    point = replace(
        record,
        parent=record.number,
        reading=reading,
        point="read",
        design=design.to_dict(),
        optuna_number=None,
        metrics={},
        energy={},
        counts_file=None,
    )
    try:
        with limited(f"width {width:g} of #{record.number}"):
            found = measured(model, design, record.seed, recipe, folder, place, clock)
            # what finishing said of the largest network does not hold for this one
            kept = [one for one in record.notes if not one.startswith(f"{design.variant}: ")]
            notes = (*kept, *found.pop("notes"))
            point = replace(point, **found, notes=tuple(dict.fromkeys(notes)))
    except TrialFailure as failure:
        reason = f"{type(failure).__name__}: {failure}"
        point = replace(point, state="failed", reason=reason)
    return replace(point, times={"started": started, **clock.times()})
