"""How the ANN of the same shape is printed beside a network, and where both cost the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dse.cli import terminal

if TYPE_CHECKING:
    from energy_models import Baseline, BreakEven, Footprint
    from energy_models.breakeven import Crossing

_COLUMNS = (
    *("baseline", "numbers", "energy", "this network", "on", "ratio"),
    "break-even rate",
)
_LEGEND = {
    "never": "never: dearer than the ANN even without any spike",
    "always cheaper": "always cheaper: cheaper than the ANN at every rate up to 1 spike per "
    "element and step; a number above 1 is a rate that does not occur",
}


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside an energy: fair opponents, break-even rates, and what it occupies.

    break_even : name of a baseline -> rates
    """

    baselines: tuple[Baseline, ...]
    break_even: dict[str, BreakEven]
    footprint: Footprint

    def to_dict(self) -> dict[str, Any]:
        """The three as plain values."""
        return {
            "baselines": [one.to_dict() for one in self.baselines],
            "break_even": {name: one.to_dict() for name, one in self.break_even.items()},
            "footprint": self.footprint.to_dict(),
        }


def print_opponents(beside: Mapping[str, Beside]) -> None:
    """Two tables for each set of opponents; profiles that have the same ones share them.

    beside : name of a profile -> what stands beside its energy
    """
    shown: list[tuple[list[str], Beside]] = []
    for name, one in beside.items():
        same = [
            names
            for names, other in shown
            if (other.baselines, other.break_even) == (one.baselines, one.break_even)
        ]
        if same:
            same[0].append(name)
        elif one.baselines:
            shown.append(([name], one))
    for names, one in shown:
        title = ", ".join(names)
        terminal.table(
            _COLUMNS,
            [_row(baseline, one.break_even[baseline.name]) for baseline in one.baselines],
            title=f"{title}: against the ANN of the same shape, per sample",
            left=("baseline", "numbers", "on"),
        )
        terminal.result("ratio: energy of the ANN over that of this network")
        rate = one.break_even[one.baselines[0].name].network.measured_rate
        if rate is not None:
            terminal.result(f"measured rate: {rate:.3g} spikes per input element and step")
        _print_layers(title, one.break_even)
        for line in _legend(one.break_even):
            terminal.result(line)
        for note, owners in _notes(one).items():
            of = "" if len(owners) == len(one.baselines) else f" ({', '.join(owners)})"
            terminal.result(f"baseline{of}: {note}")


def _row(baseline: Baseline, rates: BreakEven) -> tuple[str, ...]:
    from energy_models.units import format_energy

    def shown(energy_pj: float | None) -> str:
        return "incomplete" if energy_pj is None else format_energy(energy_pj)

    return (
        baseline.name,
        baseline.profile,
        shown(baseline.total_pj),
        shown(baseline.same_numbers_pj),
        baseline.network_on,
        "" if baseline.ratio is None else f"{baseline.ratio:.3g}",
        rates.network.text,
    )


def _print_layers(title: str, break_even: Mapping[str, BreakEven]) -> None:
    """Rates by layer; an opponent that has none by layer says why in every row.

    Nothing if every layer only says what the network says, as without any spike.
    """
    longest = max((found.layers for found in break_even.values()), key=len)
    everything = [one for found in break_even.values() for one in (found.network, *found.layers)]
    has_rates = any(one.rate is not None or one.measured_rate is not None for one in everything)
    if not longest or (not has_rates and len({one.text for one in everything}) == 1):
        return
    rows = []
    for index, layer in enumerate(longest):
        cells = [
            (found.layers[index] if found.layers else found.network).text
            for found in break_even.values()
        ]
        measured = layer.measured_rate
        rows.append((layer.name, *cells, "" if measured is None else f"{measured:.3g}"))
    terminal.table(
        ("layer", *break_even, "measured rate"),
        rows,
        title=f"{title}: break-even rate by layer, in spikes per input element and step",
        left=("layer",),
    )


def _legend(break_even: Mapping[str, BreakEven]) -> Iterator[str]:
    """What the words in the tables mean, if they stand there."""
    crossings: list[Crossing] = []
    for found in break_even.values():
        crossings += [found.network, *found.layers]
    for word, meaning in _LEGEND.items():
        if any(word in crossing.text for crossing in crossings):
            yield meaning


def _notes(beside: Beside) -> dict[str, list[str]]:
    """What to know of the opponents -> of which ones."""
    found: dict[str, list[str]] = {}
    for one in beside.baselines:
        incomplete = [f"incomplete: {text}" for text in one.missing]
        for text in (one.accuracy_note, *one.notes, *incomplete):
            found.setdefault(text, []).append(one.name)
    return found
