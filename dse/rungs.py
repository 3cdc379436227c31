"""Rungs: what `dse.stopping` needs to know of a sweep, and how a training is judged by it.

Who is told what. Everyone who may decide keeps entries where all workers see them, for example at
the trials of the study: `keep` is called before the decision, whichever it is. A training that is
stopped becomes a record in state `stopped` with the reason, its validation accuracy and energies at
that epoch, and keeps its checkpoint. It is no point of the front. The sampler may be told its
values: worse than those of a whole training would be, of a design that is worse than others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dse import selection
from dse.config import SweepConfig
from dse.stopping import Entry, Rule, why_stopped
from reports.record import TrialRecord

Look = Callable[[], dict[str, Any]]


def rule(config: SweepConfig) -> Rule | None:
    """The rule of a sweep; None if every training goes to its end."""
    if config.stopping is None:
        return None
    names = [objective.name for objective in config.objectives]
    return Rule(
        config.stopping.first,
        config.stopping.factor,
        selection.objectives(config),
        names.index("accuracy") if "accuracy" in names else 0,
    )


def entry(number: int, found: Mapping[str, Any], config: SweepConfig) -> Entry:
    """How a training stands, from the `metrics` and `energy` of a record."""
    record = TrialRecord(number, "complete", variant="", design={}, seed=0, **found)
    priced = (objective.hardware for objective in config.objectives if objective.hardware)
    energy_pj = record.energy_pj(next(priced, config.hardware[0]))
    return Entry(
        number,
        record.metrics["epochs"],
        tuple(selection.objective_values(record, config)),
        float("nan") if energy_pj is None else energy_pj,
    )


def judge(
    number: int,
    config: SweepConfig,
    known: Callable[[], Iterable[Entry]],
    keep: Callable[[Entry], None],
    passed: int = 0,
) -> Callable[[int, Look], str | None]:
    """The `judge` of `run_trial` for one training; it measures at the rungs only.

    known : the entries of others, asked for at each rung
    keep : told of each entry of this training, before it is judged
    passed : up to this epoch it is let through: it was stopped there, and is promoted
    """
    wanted = rule(config)
    epochs = config.training.epochs
    rungs = wanted.rungs(epochs) if wanted else ()

    def decide(epoch: int, look: Look) -> str | None:
        if wanted is None or epoch not in rungs or epoch <= passed:
            return None
        ours = entry(number, look(), config)
        keep(ours)
        return why_stopped(ours, known(), wanted, epochs)

    return decide
