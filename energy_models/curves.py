"""Curves: the SRAM that a profile describes, as energy over capacity."""

from __future__ import annotations

from energy_models import srams
from energy_models.profile import Sram


def curve_of(sram: Sram) -> srams.SramCurve:
    """The curve of a profile's SRAM.

    Raises ProfileError for a node, cell or width that the CACTI table does not span.
    """
    if sram.curve == "cacti":
        if sram.node_nm is None or sram.cell is None:
            raise ValueError("a cacti curve without node_nm or cell")  # refused when it was loaded
        return srams.cacti(sram.node_nm, sram.cell, sram.access_bits, sram.below)
    if sram.curve == "points":
        return srams.points(
            [point.capacity_bytes for point in sram.points],
            [point.access_pj for point in sram.points],
            sram.access_bits,
            sram.source,
            between=sram.between,
            below=sram.below,
            above=sram.above,
        )
    return srams.straight_line(
        sram.floor_pj or 0.0, sram.per_bit_pj or 0.0, sram.access_bits, sram.source
    )
