"""Comparisons over seeds: what each network did, and the tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dse.config import SweepConfig
    from dse.runfolder import RunFolder
    from energy_models import ModelCounts
    from reports.data import ReportData
    from reports.families import Work
    from reports.points import Scalar
    from reports.record import TrialRecord


def work_of_records(
    folder: RunFolder, config: SweepConfig, records: Sequence[TrialRecord]
) -> dict[int, Work]:
    """Number -> what the network did, of every complete training of a sweep with repeats."""

    if config.budget.repeats is None:
        return {}
    return {
        record.number: work(folder.counts(record))
        for record in records
        if record.state == "complete" and record.parent is None and record.counts_file is not None
    }


def work(counts: ModelCounts) -> Work:
    """The numbers of the comparison from a sheet of counts."""
    from reports.families import Work

    ops = counts.ops
    spiking = [
        layer
        for layer in counts.layers
        if layer.operator == "neuron" and layer.spikes_out is not None
    ]
    places = counts.time_steps * sum(layer.neurons for layer in spiking)
    return Work(
        mac=ops.mac,
        dense_mac=ops.dense_mac,
        ac=ops.ac,
        dense_ac=ops.dense_ac,
        graded=ops.graded,
        dense_graded=ops.dense_graded,
        binary=ops.binary,
        dense_binary=ops.dense_binary,
        updates=counts.updates.compare,
        spike_rate=sum(layer.spikes_out or 0.0 for layer in spiking) / places if places else None,
    )


def readings_of(variants: Sequence[str]) -> dict[str, Scalar]:
    """What is turned after the training of converted networks, with its value if nobody does."""
    from dse.variants import family
    from reports.conversionruns import CONVERTED

    if CONVERTED not in variants:
        return {}
    return {knob.name: knob.default for knob in family.load(CONVERTED).readings}


def lines(data: ReportData) -> list[str]:
    """The tables of a report for a terminal; empty for a run that compares nothing."""
    from reports.conversionruns import sources
    from reports.conversionsection import conversion_lines
    from reports.families import families
    from reports.familytable import family_lines

    profiles = data.profile_names
    rows = families(data.records, data.work, profiles, data.variants) if data.work else ()
    return [
        *family_lines(rows, profiles, data.units),
        *conversion_lines(sources(data.records, profiles, data.readings)),
    ]
