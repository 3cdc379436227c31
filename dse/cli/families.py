"""The comparison of families over seeds: what each network did, and the table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dse.config import SweepConfig
    from dse.runfolder import RunFolder
    from energy_models import ModelCounts
    from reports.data import ReportData
    from reports.families import Work
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


def lines(data: ReportData) -> list[str]:
    """The table of a report for a terminal; empty for a run that compares nothing."""
    from reports.families import families
    from reports.familytable import family_lines

    if not data.work:
        return []
    rows = families(data.records, data.work, data.profile_names, data.variants)
    return family_lines(rows, data.profile_names, data.units)
