"""Energy of one access to an SRAM as a curve over its capacity: CACTI, points, a straight line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from energy_models.cactitable import read_cacti
from energy_models.errors import ProfileError

Floats = npt.NDArray[np.float64]
Scale = Literal["linear", "log"]
Beyond = Literal["clamp", "missing"]

_BITS_PER_BYTE = 8
_SMALLEST_BYTES = 1 / _BITS_PER_BYTE  # a memory has at least one bit
_ONE_FIGURE = "one figure for reads and writes"


class SramCurve(Protocol):
    """What an access costs in a memory of a given capacity in bytes; arrays in, arrays out.

    A capacity outside `limit_bytes` (both ends belong to it), an infinite one, and a quantity that
    the source does not give are NaN: the caller names them as missing.

    access_bits : width of one access      source : where the figures are from
    note : what is clamped, interpolated or left out
    """

    @property
    def access_bits(self) -> int: ...
    @property
    def limit_bytes(self) -> tuple[float, float]: ...
    @property
    def source(self) -> str: ...
    @property
    def note(self) -> str: ...

    def read_pj(self, capacity_bytes: Floats) -> Floats: ...
    def write_pj(self, capacity_bytes: Floats) -> Floats: ...
    def leakage_mw(self, capacity_bytes: Floats) -> Floats: ...
    def access_ns(self, capacity_bytes: Floats) -> Floats: ...
    def area_mm2(self, capacity_bytes: Floats) -> Floats: ...


@dataclass(frozen=True)
class PiecewiseCurve:
    """A curve through points; beyond the outer points it keeps their figures, within its limits.

    between : straight lines, or straight lines over two logarithmic axes
    capacity_bytes : ascending
    read_at_pj ... area_at_mm2 : the figure at each of them, () where there is none
    """

    access_bits: int
    limit_bytes: tuple[float, float]
    source: str
    note: str
    between: Scale
    capacity_bytes: tuple[float, ...]
    read_at_pj: tuple[float, ...]
    write_at_pj: tuple[float, ...]
    leakage_at_mw: tuple[float, ...] = ()
    access_at_ns: tuple[float, ...] = ()
    area_at_mm2: tuple[float, ...] = ()

    def read_pj(self, capacity_bytes: Floats) -> Floats:
        """Energy of reading `access_bits`."""
        return self._through(self.read_at_pj, capacity_bytes)

    def write_pj(self, capacity_bytes: Floats) -> Floats:
        """Energy of writing `access_bits`."""
        return self._through(self.write_at_pj, capacity_bytes)

    def leakage_mw(self, capacity_bytes: Floats) -> Floats:
        """Static power of the whole memory."""
        return self._through(self.leakage_at_mw, capacity_bytes)

    def access_ns(self, capacity_bytes: Floats) -> Floats:
        """Time of one access."""
        return self._through(self.access_at_ns, capacity_bytes)

    def area_mm2(self, capacity_bytes: Floats) -> Floats:
        """Area of the whole memory."""
        return self._through(self.area_at_mm2, capacity_bytes)

    def _through(self, figures: tuple[float, ...], capacity_bytes: Floats) -> Floats:
        places, is_answered = _answered(capacity_bytes, self.limit_bytes)
        if not figures:
            return np.full(places.shape, np.nan)
        known = np.where(is_answered, places, self.capacity_bytes[-1])
        if self.between == "linear":
            found = np.interp(known, self.capacity_bytes, figures)
        else:
            logs = np.interp(np.log(known), np.log(self.capacity_bytes), np.log(figures))
            found = np.exp(logs)
        return np.where(is_answered, found, np.nan)


@dataclass(frozen=True)
class StraightLine:
    """Energy of an access = floor_pj + per_bit_pj × bits of the memory; of any size."""

    floor_pj: float
    per_bit_pj: float
    access_bits: int
    source: str
    limit_bytes: tuple[float, float] = (_SMALLEST_BYTES, math.inf)
    note: str = _ONE_FIGURE

    def read_pj(self, capacity_bytes: Floats) -> Floats:
        """Energy of reading `access_bits`."""
        places, is_answered = _answered(capacity_bytes, self.limit_bytes)
        bits = _BITS_PER_BYTE * np.where(is_answered, places, np.nan)
        return self.floor_pj + self.per_bit_pj * bits

    def write_pj(self, capacity_bytes: Floats) -> Floats:
        """As a read."""
        return self.read_pj(capacity_bytes)

    def leakage_mw(self, capacity_bytes: Floats) -> Floats:
        """Not known."""
        return np.full(np.shape(capacity_bytes), np.nan)

    def access_ns(self, capacity_bytes: Floats) -> Floats:
        """Not known."""
        return np.full(np.shape(capacity_bytes), np.nan)

    def area_mm2(self, capacity_bytes: Floats) -> Floats:
        """Not known."""
        return np.full(np.shape(capacity_bytes), np.nan)


def cacti(
    node_nm: float,
    cell: str,
    width_bits: int,
    below: Literal["smallest", "refuse"] = "smallest",
) -> PiecewiseCurve:
    """The curve of CACTI 7 for a node, a cell and a port width; every quantity is known.

    Straight lines over logarithmic axes between the runs; `cactitable` says how these were made.
    below : a memory under 1 KiB costs as much as one of 1 KiB (an upper bound), or is NaN

    Raises ProfileError for a node, cell or width that the table does not span.
    """
    for problem in _not_among("below", below, ("smallest", "refuse")):
        raise ProfileError(f"CACTI curve: {problem}")
    table = read_cacti()
    figures = table.figures(node_nm, cell, width_bits).tolist()
    read, write, leakage, access, area = (tuple(row) for row in figures)
    smallest, largest = table.capacity_bytes[0], table.capacity_bytes[-1]
    is_clamped = below == "smallest"
    size = _size(smallest)
    notes = [
        f"below {size}: the figures of {size}, an upper bound for a smaller memory"
        if is_clamped
        else f"below {size}: no figure",
        f"above {_size(largest)}: no figure",
        *table.interpolated(node_nm, width_bits),
    ]
    return PiecewiseCurve(
        access_bits=width_bits,
        limit_bytes=(_SMALLEST_BYTES if is_clamped else smallest, largest),
        source=f"{table.source}; {node_nm:g} nm, {cell}, {width_bits}-bit port",
        note="; ".join(notes),
        between="log",
        capacity_bytes=table.capacity_bytes,
        read_at_pj=read,
        write_at_pj=write,
        leakage_at_mw=leakage,
        access_at_ns=access,
        area_at_mm2=area,
    )


def points(
    capacity_bytes: Sequence[float],
    access_pj: Sequence[float],
    access_bits: int,
    source: str,
    *,
    between: Scale,
    below: Beyond,
    above: Beyond,
) -> PiecewiseCurve:
    """A curve through published points (bytes, pJ per access); nothing but energy is known.

    below, above : beyond the outer points keep their energy, or be NaN. A capacity of 0 is
        answered only where the first point is at 0.

    Raises ProfileError with all that is wrong with the points.
    """
    sizes = tuple(float(size) for size in capacity_bytes)
    energies_pj = tuple(float(energy) for energy in access_pj)
    problems = [
        *_not_among("between", between, ("linear", "log")),
        *_not_among("below", below, ("clamp", "missing")),
        *_not_among("above", above, ("clamp", "missing")),
        *_no_width(access_bits),
        *_not_points(sizes, energies_pj, is_log=between == "log"),
    ]
    if problems:
        raise ProfileError([f"SRAM points: {problem}" for problem in problems])
    smallest = min(_SMALLEST_BYTES, sizes[0]) if below == "clamp" else sizes[0]
    low, high = _size(sizes[0]), _size(sizes[-1])
    notes = [
        f"above {high}: " + (f"the figure of {high}" if above == "clamp" else "no figure"),
        _ONE_FIGURE,
    ]
    if sizes[0] > 0:
        told = f"the figure of {low}" if below == "clamp" else "no figure"
        notes.insert(0, f"below {low}: {told}")
    return PiecewiseCurve(
        access_bits=access_bits,
        limit_bytes=(smallest, math.inf if above == "clamp" else sizes[-1]),
        source=source,
        note="; ".join(notes),
        between=between,
        capacity_bytes=sizes,
        read_at_pj=energies_pj,
        write_at_pj=energies_pj,
    )


def straight_line(
    floor_pj: float, per_bit_pj: float, access_bits: int, source: str
) -> StraightLine:
    """Energy = floor_pj + per_bit_pj × bits of the memory; nothing but energy is known.

    Raises ProfileError for a price below 0 or without end.
    """
    problems = [
        f"{name}: {price_pj} is no price. It must be finite, and 0 or above"
        for name, price_pj in (("floor_pj", floor_pj), ("per_bit_pj", per_bit_pj))
        if not 0 <= price_pj < math.inf
    ]
    problems += _no_width(access_bits)
    if problems:
        raise ProfileError([f"SRAM line: {problem}" for problem in problems])
    return StraightLine(floor_pj, per_bit_pj, access_bits, source)


def _answered(
    capacity_bytes: Floats, limit_bytes: tuple[float, float]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    places = np.asarray(capacity_bytes, dtype=np.float64)
    smallest, largest = limit_bytes
    return places, (smallest <= places) & (places <= largest) & (places < math.inf)


def _not_among(name: str, word: str, known: Iterable[str]) -> Iterator[str]:
    if word not in known:
        yield f'{name}: no "{word}". It must be one of: {", ".join(known)}'


def _no_width(bits: float) -> Iterator[str]:
    if not (bits >= 1 and float(bits).is_integer()):
        yield f"access_bits: {bits} is no width. It must be a whole number of 1 or more bits"


def _not_points(
    sizes: tuple[float, ...], energies_pj: tuple[float, ...], *, is_log: bool
) -> Iterator[str]:
    if len(sizes) != len(energies_pj):
        yield f"{len(sizes)} capacities for {len(energies_pj)} energies. There must be one each"
    if len(sizes) < 2:
        yield f"{len(sizes)} capacities. A curve must have two points or more"
    if not all(low < high for low, high in pairwise(sizes)):
        yield f"capacity_bytes: {sizes} do not ascend. Each must be above the one before"
    least = "above 0, as a logarithm is taken" if is_log else "0 or above"
    for name, figures in (("capacity_bytes", sizes), ("access_pj", energies_pj)):
        for figure in figures:
            if not 0 <= figure < math.inf or (is_log and figure == 0):
                yield f"{name}: {figure:g} is out of place. It must be finite, and {least}"


def _size(capacity_bytes: float) -> str:
    """`256 B`, `8 KiB`, `1 MiB`: the largest unit of which it holds one or more."""
    for bytes_per_unit, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if capacity_bytes >= bytes_per_unit:
            return f"{capacity_bytes / bytes_per_unit:g} {unit}"
    return f"{capacity_bytes:g} B"
