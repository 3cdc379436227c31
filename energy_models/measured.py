"""Measured runs: the energy of keyword spotting on six devices, from released power logs.

Blouw et al., Benchmarking keyword spotting efficiency on neuromorphic hardware, 2019, arXiv
1812.01739: the networks 390-256-256-29 (`kws`), and the same with more copies of ten layers of 256
x 256 (`scaled`). Energy is dynamic: running minus idle power, divided by the inferences per second.
"""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from energy_models.constants import Strict
from energy_models.units import PJ_PER_J

_LOGS = Path(__file__).parent / "data" / "kws_silicon_runs.csv"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. copies : of the scaled network; 0 without, None of `kws`."""

    name: str
    device: str
    network: str
    copies: int | None
    batch: int
    synapses: int
    neurons: int
    time_steps: int
    inferences_per_s: float
    idle_w: float
    running_w: float
    dynamic_j: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What the runs say, in pJ.

    value_pj : the mean, or the slope per copy      fixed_pj : what the slope leaves at no copy
    low_pj, high_pj : smallest and largest run of a mean
    """

    value_pj: float
    runs: int
    fixed_pj: float | None = None
    low_pj: float | None = None
    high_pj: float | None = None


class Measured(Strict):
    """Which runs, and what is taken of them.

    take : `mean` of the runs of `kws` at one batch size, or `slope`: the least-squares line of
        `scaled` over the copies, one copy and more
    """

    device: Literal["loihi", "cpu", "gpu", "jetson", "movidius", "ncs2"]
    take: Literal["mean", "slope"]
    batch: int = 1

    def fit(self) -> Fit:
        """Mean or slope of the runs."""
        network = "kws" if self.take == "mean" else "scaled"
        chosen = [
            run
            for run in measured_runs()
            if (run.device, run.network, run.batch) == (self.device, network, self.batch)
        ]
        if self.take == "mean":
            energies_pj = [run.dynamic_j * PJ_PER_J for run in chosen]
            return Fit(
                value_pj=statistics.mean(energies_pj),
                runs=len(chosen),
                low_pj=min(energies_pj),
                high_pj=max(energies_pj),
            )
        # without a copy the network is another one: it has no fan-in to copies
        points = [(run.copies, run.dynamic_j * PJ_PER_J) for run in chosen if run.copies]
        line = statistics.linear_regression(*zip(*points, strict=True))
        return Fit(value_pj=line.slope, runs=len(points), fixed_pj=line.intercept)


@cache
def measured_runs() -> tuple[Run, ...]:
    """All runs of the logs."""
    with _LOGS.open(encoding="utf-8", newline="") as file:
        return tuple(
            Run(
                name=row["run"],
                device=row["device"],
                network=row["network"],
                copies=int(row["copies"]) if row["copies"] else None,
                batch=int(row["batch"]),
                synapses=int(row["synapses"]),
                neurons=int(row["neurons"]),
                time_steps=int(row["time_steps"]),
                inferences_per_s=float(row["inferences_per_s"]),
                idle_w=float(row["idle_w"]),
                running_w=float(row["running_w"]),
                dynamic_j=float(row["dynamic_j"]),
            )
            for row in csv.DictReader(file)
        )
