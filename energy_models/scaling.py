"""Node scaling: what one constant would be at another logic node, by Stillmaker and Baas.

One factor for all logic is a rough thing: it says that 7 nm costs 14.6 times less than 45 nm,
where units that were reported at both nodes cost 2.4 to 3.3 times less. So whatever is scaled is an
estimate, and says so. Only the rows of the table serve; nothing is read between them, since the
voltage and the kind of transistor change from row to row.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from energy_models.constants import Area, Constant, Number, Power, Sourced, Time
from energy_models.errors import ProfileError

SOURCE = (
    "A. Stillmaker and B. Baas, Scaling equations for the accurate prediction of CMOS device "
    "performance from 180 nm to 7 nm, Integration 58, 2017, doi 10.1016/j.vlsi.2017.02.002; "
    "coefficients as in the MIT-licensed UCLA nodeScale script, evaluated"
)
REPORTED_SAVING = (2.4, 3.3)  # 45 nm over 7 nm of the operations in cmos45-* and cmos7-*
_TABLE = Path(__file__).parent / "data" / "node_scaling.csv"
_Scalable = TypeVar("_Scalable", bound=Sourced)


@dataclass(frozen=True, slots=True)
class Node:
    """A row of the table: factors against 45 nm, 0.9 V, high-performance transistors."""

    node_nm: float
    voltage_v: float
    energy_factor: float
    delay_factor: float
    area_factor: float

    def __str__(self) -> str:
        return f"{self.node_nm:g} nm, {self.voltage_v:g} V"


@functools.cache
def nodes() -> tuple[Node, ...]:
    """Every row, the largest node first."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Node(**{name: float(cell) for name, cell in row.items()})
            for row in csv.DictReader(file)
        )


def node_at(node_nm: float | str, voltage_v: float | str | None = None) -> Node:
    """The row of a node; without a voltage, the one that the table begins with.

    Raises ProfileError for a node or a voltage that has no row.
    """
    rows = [row for row in nodes() if row.node_nm == node_nm]
    found = [row for row in rows if voltage_v is None or row.voltage_v == voltage_v]
    if found:
        return found[0]
    asked = "an unpublished node" if isinstance(node_nm, str) else f"{node_nm:g} nm"
    if rows and isinstance(voltage_v, str):
        asked += " at an unpublished voltage"
    elif rows:
        asked += f" at {voltage_v:g} V"
    known = "; ".join(str(row) for row in nodes())
    raise ProfileError(f"node scaling: {asked} has no row. It has: {known}")


def targets(node_nm: float | str, voltage_v: float | str) -> tuple[str, ...]:
    """Nodes to which a profile can be moved, as `+node=` spells them; none if it has no row."""
    here = [row for row in nodes() if (row.node_nm, row.voltage_v) == (node_nm, voltage_v)]
    others = dict.fromkeys(row.node_nm for row in nodes() if here and row.node_nm != node_nm)
    return tuple(f"{other:g}nm" for other in others)


def scaled(constant: _Scalable, name: str, origin: Node, target: Node) -> _Scalable:
    """One constant at another node, by the ratio of two rows; its range goes with it.

    name : as `HardwareProfile.constants` calls it, `energy.mac`; memories are refused by it

    An assumption stays one; of everything else the basis becomes an estimate.
    Raises ProfileError for what does not follow the logic node.
    """
    why = unscalable(constant, name)
    if why is not None:
        raise ProfileError(f"{name}: {why}")
    what, factor = _factor(constant, origin, target)
    unit = constant.unit
    low, high = constant.range_given
    told = (
        f"{constant.value:g} at {origin}, x {factor:.4g} for the {what} of logic "
        f"({SOURCE} at {target})"
    )
    changed: dict[str, object] = {
        f"value_{unit}": constant.value * factor,
        f"low_{unit}": None if low is None else low * factor,
        f"high_{unit}": None if high is None else high * factor,
        "basis": "assumption" if constant.basis == "assumption" else "estimate",
        "node_nm": target.node_nm,
        "voltage_v": target.voltage_v,
        "note": f"{constant.note}; {told}; {_warning(constant)}".removeprefix("; "),
    }
    return constant.model_copy(update=changed)


def unscalable(constant: Sourced | None, name: str) -> str | None:
    """Why a constant does not follow the logic node; None if it does."""
    if name == "memory.dram":
        return (
            "does not follow the logic node: a DRAM has a technology of its own. "
            "Give the energy of the DRAM that stands beside the chip"
        )
    if name.startswith("memory."):
        return (
            "does not follow the logic node. Take the CACTI table at the node that you mean: "
            "curve: cacti, node_nm: 22"
        )
    if isinstance(constant, Power):
        return (
            "does not follow the energy of a switching gate: it is leakage and clock. "
            "Give the power at the node that you mean"
        )
    if isinstance(constant, Number):
        return "is a count and has no node. Leave it as it is"
    return None


def caution_of_move(origin: Node, target: Node) -> str:
    """What to know of a profile that was moved: the factor, and what was reported instead."""
    seven = node_at(7)
    low, high = REPORTED_SAVING
    return (
        f"moved from {origin} to {target} by one factor for all logic, "
        f"{target.energy_factor / origin.energy_factor:.4g}: an estimate. From 45 to 7 nm that "
        f"factor saves {1 / seven.energy_factor:.1f} times; the operations that were reported at "
        f"both nodes save {low:g} to {high:g} times. Set it beside cmos7-fp32 and cmos7-int8"
    )


def _factor(constant: Sourced, origin: Node, target: Node) -> tuple[str, float]:
    if isinstance(constant, Constant):
        return "energy", target.energy_factor / origin.energy_factor
    if isinstance(constant, Time):
        return "delay", target.delay_factor / origin.delay_factor
    if isinstance(constant, Area):
        return "area", target.area_factor / origin.area_factor
    raise TypeError(type(constant))


def _warning(constant: Sourced) -> str:
    if not isinstance(constant, Constant):
        return "a trend of bare gates, not of a design"
    low, high = REPORTED_SAVING
    return (
        f"units reported at 7 nm (N. P. Jouppi et al., ISCA 2021, Table 2) cost {low:g} to "
        f"{high:g} times less than at 45 nm, where this trend says "
        f"{1 / node_at(7).energy_factor:.1f}"
    )
