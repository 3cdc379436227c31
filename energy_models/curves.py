"""The curve of a profile's SRAM: energy of one access over the size of the memory."""

from __future__ import annotations

from energy_models.errors import ProfileError
from energy_models.profile import Sram
from energy_models.srams import SramCurve, cacti, points, straight_line


def curve_of(sram: Sram) -> SramCurve:
    """The curve that `memory.sram` of a profile names.

    Raises ProfileError for what makes no curve: a node that the table does not span, one point
    alone, a logarithm of 0.
    """
    if sram.curve == "cacti" and sram.node_nm is not None and sram.cell is not None:
        return cacti(sram.node_nm, sram.cell, sram.access_bits, sram.below)
    if sram.curve == "points":
        return points(
            [point.capacity_bytes for point in sram.points],
            [point.access_pj for point in sram.points],
            sram.access_bits,
            sram.source,
            between=sram.between,
            below=sram.below,
            above=sram.above,
        )
    if sram.curve == "line" and sram.floor_pj is not None and sram.per_bit_pj is not None:
        return straight_line(sram.floor_pj, sram.per_bit_pj, sram.access_bits, sram.source)
    needed = "node_nm and cell" if sram.curve == "cacti" else "floor_pj and per_bit_pj"
    raise ProfileError(f"memory.sram: the curve {sram.curve} needs {needed}")
