"""The shipped table of CACTI runs: read once, checked, interpolated in node and port width.

`data/cacti_sram.csv` holds 360 runs of CACTI 7 (bundled in zigzag-dse 3.9.1): SRAM, one read-write
port, no ECC, 350 K, optimised for cycle time, supply voltages as CACTI's ITRS defaults; 90, 65, 45,
32, 22 nm; cells itrs-hp and itrs-lop; ports of 8, 32, 64 bit; 1 KiB to 4 MiB. Every quantity but
the read energy grows with capacity at each node, cell and width. The read energy does so at 32 and
64 bit; at 8 bit there are 5 steps where the larger memory is cheaper to read.
"""

from __future__ import annotations

import bisect
import csv
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from energy_models.errors import ProfileError

Floats = npt.NDArray[np.float64]

SHIPPED_TABLE = Path(__file__).parent / "data" / "cacti_sram.csv"

_BYTES_PER_KIB = 1024
_AXES = ("node_nm", "width_bits", "capacity_kib")
_FIGURES = ("read_pJ", "write_pJ", "leak_mW", "access_ns", "area_mm2")
_HEADER = ("tool", "node_nm", "cell", "capacity_kib", "width_bits", *_FIGURES)

_Place = tuple[float, ...]  # as _AXES
_Runs = dict[str, dict[_Place, list[float]]]  # of each cell


@dataclass(frozen=True, eq=False)  # each file is read once
class CactiTable:
    """A full grid of CACTI runs.

    tool : which CACTI      node_nm, width_bits, capacity_bytes : the axes, ascending
    log_figures : of each cell (node, width, capacity, figure), the logarithms of read pJ,
        write pJ, leakage mW, access ns, area mm2
    """

    tool: str
    node_nm: tuple[float, ...]
    width_bits: tuple[float, ...]
    capacity_bytes: tuple[float, ...]
    log_figures: Mapping[str, Floats]

    @property
    def source(self) -> str:
        """How the runs of the shipped table were made."""
        return (
            f"{self.tool}: SRAM, one read-write port, no ECC, 350 K, optimised for cycle time, "
            "supply voltages as CACTI's ITRS defaults"
        )

    def figures(self, node_nm: float, cell: str, width_bits: float) -> Floats:
        """(figure, capacity) read pJ, write pJ, leakage mW, access ns, area mm2.

        Between two runs: a straight line over logarithmic axes, first of node, then of width.
        Raises ProfileError for what the table does not span.
        """
        problems = [
            f"CACTI table: {name}: {place:g} is outside. It spans {axis[0]:g} to {axis[-1]:g}"
            for name, place, axis in (
                ("node_nm", node_nm, self.node_nm),
                ("width_bits", width_bits, self.width_bits),
            )
            if not axis[0] <= place <= axis[-1]
        ]
        if cell not in self.log_figures:
            known = ", ".join(sorted(self.log_figures))
            problems.append(f'CACTI table: cell: no "{cell}". It has: {known}')
        if problems:
            raise ProfileError(problems)
        logs = _along(self.node_nm, self.log_figures[cell], node_nm)
        return np.exp(_along(self.width_bits, logs, width_bits)).T

    def interpolated(self, node_nm: float, width_bits: float) -> list[str]:
        """A line for each of the two that lies between two runs; empty if CACTI was run there."""
        return [
            f"{place:g} {unit} interpolated between {axis[upper - 1]:g} and {axis[upper]:g} {unit}"
            for place, unit, axis in (
                (node_nm, "nm", self.node_nm),
                (width_bits, "bit", self.width_bits),
            )
            if place not in axis
            for upper in [bisect.bisect(axis, place)]
        ]


@functools.cache
def read_cacti(path: Path = SHIPPED_TABLE) -> CactiTable:
    """A table of CACTI runs; each file is read once.

    Raises ProfileError, with every mistake and its line, for a file that is not a full grid of
    positive numbers of one tool.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path}: cannot be read: {error}. It must be a CSV table") from error
    if lines[:1] != [list(_HEADER)]:
        known = ",".join(_HEADER)
        raise ProfileError(f"{path}:1: not the header of a CACTI table. It must be: {known}")
    problems: list[str] = []
    tools: set[str] = set()
    runs: _Runs = {}
    for number, row in enumerate(lines[1:], 2):
        mistakes = list(_mistakes(row))
        if not mistakes:
            run = dict(zip(_HEADER, row, strict=True))
            node_nm, width_bits, size_kib = (float(run[axis]) for axis in _AXES)
            of_cell = runs.setdefault(run["cell"], {})
            if (node_nm, width_bits, size_kib) in of_cell:
                mistakes = ["the run is given twice. Keep one"]
            of_cell[node_nm, width_bits, size_kib] = [float(run[figure]) for figure in _FIGURES]
            tools.add(run["tool"])
        problems += [f"{path}:{number}: {mistake}" for mistake in mistakes]
    # a row that could not be read leaves a hole in the grid: it is named once
    problems = problems or [f"{path}: {mistake}" for mistake in _holes(runs, tools)]
    if problems:
        raise ProfileError(problems)
    nodes_nm, widths_bits, sizes_kib = axes = _axes(runs)
    shape = (len(nodes_nm), len(widths_bits), len(sizes_kib), len(_FIGURES))
    return CactiTable(
        tool=tools.pop(),
        node_nm=nodes_nm,
        width_bits=widths_bits,
        capacity_bytes=tuple(_BYTES_PER_KIB * size_kib for size_kib in sizes_kib),
        log_figures={
            cell: np.log([of_cell[place] for place in itertools.product(*axes)]).reshape(shape)
            for cell, of_cell in runs.items()
        },
    )


def _along(axis: tuple[float, ...], logs: Floats, place: float) -> Floats:
    """`logs` at a place of its first axis."""
    upper = max(bisect.bisect_left(axis, place), 1)
    weight = math.log(place / axis[upper - 1]) / math.log(axis[upper] / axis[upper - 1])
    between: Floats = (1 - weight) * logs[upper - 1] + weight * logs[upper]
    return between


def _mistakes(row: list[str]) -> Iterator[str]:
    if len(row) != len(_HEADER):
        yield f"{len(row)} fields. There must be {len(_HEADER)}"
        return
    for name, text in zip(_HEADER, row, strict=True):
        if name not in ("tool", "cell") and not _is_positive(text):
            yield f'{name}: "{text}" is wrong. It must be a number above 0'


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _holes(runs: _Runs, tools: set[str]) -> Iterator[str]:
    """What keeps the runs from being one grid, made by one tool."""
    if len(tools) != 1:
        told = ", ".join(sorted(tools)) or "none"
        yield f"tool: {told}. All runs must be of one tool"
    axes = _axes(runs)
    for name, axis in zip(_AXES, axes, strict=True):
        if len(axis) < 2:
            yield f"{name}: {len(axis)} value. There must be two or more"
    for cell, of_cell in sorted(runs.items()):
        missing = [place for place in itertools.product(*axes) if place not in of_cell]
        if missing:
            node_nm, width_bits, size_kib = missing[0]
            yield (
                f"{cell}: {len(missing)} runs are missing, the first at {node_nm:g} nm, "
                f"{width_bits:g} bit, {size_kib:g} KiB. Every combination must be there"
            )


def _axes(runs: _Runs) -> tuple[tuple[float, ...], ...]:
    places = [place for of_cell in runs.values() for place in of_cell]
    return tuple(tuple(sorted({place[axis] for place in places})) for axis in range(len(_AXES)))
