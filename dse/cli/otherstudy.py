"""What `dse report --study` shows of an Optuna study that was made without dse."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.data import ReportData


def report_data(url: str, name: str) -> ReportData:
    """Its trials and objectives; no energy, for nothing was counted."""
    from dse.cli.report import units
    from dse.otherstudy import NOTE, VARIANT, read
    from dse.urls import without_password
    from reports.data import ReportData, SweepSummary

    records, objectives = read(url, name)
    where = without_password(url)
    return ReportData(
        run=f"{name} in {where}",
        question=f"The Optuna study {name} in {where}.",
        sweep=SweepSummary(
            variants=(VARIANT,),
            architecture="not known",
            data="not known",
            training="not known",
            seed=0,
            budget=f"{len(records)} trials",
            name=name,
        ),
        objectives=objectives,
        profiles=(),
        units=units(),
        records=records,
        uncounted=(NOTE,),
        data_notes=(NOTE,),
    )
