"""Finishing: the front measured once on the test data, and confirmed by more training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from dse.config import SweepConfig
from dse.confirming import fine_tune
from dse.design import Design
from dse.errors import CheckpointError, RunFolderError
from dse.narrowing import train_alone
from dse.reading import measure_tests
from dse.recipe import alone_place, checkpoint_file
from dse.selection import best_of_each_variant, front
from dse.sweep import Sweep
from dse.training.resume import discard
from dse.variants import family
from reports.record import TrialRecord

Shown = Callable[[Iterable[TrialRecord], int, str], Iterable[TrialRecord]]
"""Goes through so many records, and may show how far it is with what."""


def finish(sweep: Sweep, shown: Shown = lambda records, total, what: records) -> list[TrialRecord]:
    """Measure the front, and the best of each variant, once on the test data; all records.

    Selection was on validation; a point that has its test accuracy is not measured again. Of a
    sweep with repeats every trained point is measured: the spread over seeds needs them all. Where
    the sweep says so the points of the front are confirmed, by fine-tuning or by a training of
    their own, and what comes out is measured as well. What was done when it is stopped is kept.

    Raises RunFolderError if weights are gone.
    """
    try:
        _measure(sweep, shown)
        if sweep.config.confirm.epochs or sweep.config.confirm.alone:
            _confirm(sweep, shown)
            _measure(sweep, shown)
    except CheckpointError as error:
        raise RunFolderError(str(error)) from error
    return sweep.folder.records()


def _measure(sweep: Sweep, shown: Shown) -> None:
    left = _unmeasured(sweep.folder.records(), sweep.config)
    for number in {record.number for record in left}:
        sweep.folder.fetch(number)  # other hosts may have trained it
    measured = measure_tests(left, sweep.recipe, sweep.folder.path)
    changed = list(shown(measured, len(left), "test data"))
    with sweep.folder.lock():
        sweep.folder.replace(changed)


def _unmeasured(records: Sequence[TrialRecord], config: SweepConfig) -> list[TrialRecord]:
    done = [record for record in records if record.state == "complete"]
    chosen = {record.key for record in front(records, config)}
    chosen |= {record.key for record in best_of_each_variant(records, config.hardware[0])}
    chosen |= {record.key for record in done if record.is_confirmation}
    if config.budget.repeats is not None:
        chosen |= {record.key for record in done if record.reading is None}
    return [r for r in done if r.key in chosen and r.metrics["test"] is None]


def _confirm(sweep: Sweep, shown: Shown) -> None:
    """As many confirmations of each point of the front as the sweep wants; those there count."""
    # without what was made of it: a point that it beats is confirmed over all seeds none the less
    records = [r for r in sweep.folder.records() if not r.is_confirmation]
    points = front(records, sweep.config)
    for point in shown(points, len(points), "confirming the front"):
        sweep.folder.fetch(point.number)
        for confirmation in _confirmations(point, sweep):
            with sweep.folder.lock():
                sweep.folder.append(confirmation)
            place = alone_place(confirmation.number, confirmation.reading or 0)
            discard(checkpoint_file(sweep.folder.path, place))


def _confirmations(point: TrialRecord, sweep: Sweep) -> Iterator[TrialRecord]:
    wanted, recipe, path = sweep.config.confirm, sweep.recipe, sweep.folder.path
    others = [r for r in sweep.folder.records() if r.number == point.number]
    same = [r.point for r in others if r.design == point.design and r.is_confirmation]
    free = max(record.reading or 0 for record in others) + 1
    if wanted.epochs:
        for _ in range(wanted.seeds - same.count("fine-tuned")):
            yield from fine_tune(point, 1, wanted.epochs, recipe, path, [free])
            free += 1
    # knobs that are turned after a training cannot be trained with
    if wanted.alone and not family.split(Design.from_dict(point.design))[1]:
        missing = wanted.seeds - same.count("trained")
        worker = point.worker or ""
        yield from train_alone(
            point, missing, recipe, path, first_reading=free, worker=worker, is_resumed=True
        )
