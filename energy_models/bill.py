"""Bills: what a model charges: events of each row and each network, at the price of a constant.

A bill holds quantities and names of constants, no prices. So the same bill is paid with the values
of a profile, or with thousands of draws of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from energy_models.columns import Columns, Floats, Mask
from energy_models.units import NS_PER_S, PJ_PER_MW_NS

Values = Mapping[str, Floats]

COMPONENTS = (
    *("synaptic_compute", "neuron_updates", "bias"),
    *("weight_memory", "state_memory", "activation_memory", "addressing", "routing", "host"),
    *("static", "fixed", "input_output"),
)


@dataclass(frozen=True, slots=True)
class Term:
    """Events of every row, at the price of one constant.

    quantity : (rows,) events; of a memory, events x pJ of one, and the constant is a factor
    """

    component: str
    constant: str
    quantity: Floats


@dataclass(frozen=True, slots=True)
class NetworkTerm:
    """Events of every design that belong to no row.

    quantity : (designs,)      timed : the constant is a power in mW, and flows for the duration
    """

    component: str
    constant: str
    quantity: Floats
    timed: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that happened and has no price.

    where : (rows,) rows in which it happened, or (designs,) if `of_network`
    spoils_rows : of the network, and of what its rows cost as well
    """

    text: str
    where: Mask
    of_network: bool = False
    spoils_rows: bool = False


@dataclass(frozen=True, slots=True)
class Duration:
    """Time of one inference: max(steps x step, events x time of one / parallelism) + host.

    steps, events : (designs,)
    step, event, parallelism, host : names of constants, None where the profile has none
    is_partial : (designs,) a host works as well, and nobody knows for how long
    """

    steps: Floats
    events: Floats
    step: str | None
    event: str | None
    parallelism: str | None = None
    host: str | None = None
    is_partial: Mask | None = None

    def whole_s(self, values: Values) -> Floats:
        """(..., designs) seconds of an inference; not a number where only a part is known."""
        seconds = self.seconds(values)
        return seconds if self.is_partial is None else np.where(self.is_partial, np.nan, seconds)

    def constants(self) -> set[str]:
        """Names of the constants that the time depends on."""
        return {one for one in (self.step, self.event, self.parallelism, self.host) if one}

    def seconds(self, values: Values) -> Floats:
        """(..., designs) seconds."""
        by_step = self.steps * values[self.step] if self.step else np.zeros_like(self.steps)
        by_event = np.zeros_like(self.events)
        if self.event:
            by_event = self.events * values[self.event]
            by_event = by_event / values[self.parallelism] if self.parallelism else by_event
        host = values[self.host] if self.host else 0.0
        found: Floats = (np.maximum(by_step, by_event) + host) / NS_PER_S
        return found


@dataclass(frozen=True, slots=True)
class Bill:
    """What a model charges for the rows of `Columns`.

    duration : None where the profile has no times
    notes : what the model assumed, by design, beyond what the profile says
    warnings : by design, what makes a total another thing than it seems
    """

    terms: tuple[Term, ...]
    network: tuple[NetworkTerm, ...] = ()
    gaps: tuple[Gap, ...] = ()
    duration: Duration | None = None
    notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    warnings: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def layers_pj(self, values: Values) -> dict[str, Floats]:
        """Component -> (..., rows) pJ."""
        found: dict[str, Floats] = {}
        for term in self.terms:
            _add(found, term.component, term.quantity * values[term.constant])
        return found

    def network_pj(self, values: Values) -> dict[str, Floats]:
        """Component -> (..., designs) pJ."""
        found: dict[str, Floats] = {}
        for term in self.network:
            energy_pj = term.quantity * values[term.constant]
            if term.timed and self.duration is not None:
                time_ns = self.duration.seconds(values) * NS_PER_S
                # hardware that is not used has no time, and needs no power
                energy_pj = energy_pj * np.where(term.quantity > 0, time_ns, 0.0) * PJ_PER_MW_NS
            _add(found, term.component, energy_pj)
        return found

    def totals_pj(self, columns: Columns, values: Values) -> dict[str, Floats]:
        """Component -> (..., designs) pJ, layers and network together.

        Quantities are summed over the rows of a design first: a thousand draws cost little.
        """
        found = self.network_pj(values)
        sums: dict[tuple[str, str], Floats] = {}
        for term in self.terms:
            key = (term.component, term.constant)
            quantity = columns.by_design(term.quantity)
            sums[key] = sums[key] + quantity if key in sums else quantity
        for (component, constant), quantity in sums.items():
            _add(found, component, quantity * values[constant])
        return found

    def missing_of_row(self, index: int) -> tuple[str, ...]:
        """What has no price in a row, each said once."""
        here = [gap.text for gap in self.gaps if not gap.of_network and gap.where[index]]
        return tuple(dict.fromkeys(here))

    def constants_used(self) -> set[str]:
        """Names of the constants that any charge depends on."""
        used = {term.constant for term in self.terms if (term.quantity > 0).any()}
        used |= {term.constant for term in self.network if (term.quantity > 0).any()}
        if self.duration is not None and any(term.timed for term in self.network):
            used |= self.duration.constants()
        return used

    def is_complete(self, columns: Columns) -> Mask:
        """(designs,) whether everything that happened has a price."""
        complete = np.array([not one.uncounted for one in columns.counts], dtype=np.bool_)
        for gap in self.gaps:
            if gap.of_network:
                complete &= ~gap.where
            else:
                complete[columns.design[gap.where]] = False
        return complete


def _add(found: dict[str, Floats], component: str, energy_pj: Floats) -> None:
    known = found.get(component)
    found[component] = energy_pj if known is None else known + energy_pj
