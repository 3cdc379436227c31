"""Truncation: the counts of fewer time steps, from those of more, without running the network.

No step depends on a later one, so what a network does in t steps is what it did in the first t of
T. A count document keeps enough by step for layers that read spikes, for layers that were evaluated
once for all steps, and for spiking neurons. Whatever else it holds is refused, by name: its counts
at t must be made anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from energy_models.counts import ModelCounts
from energy_models.errors import CountsError
from energy_models.layers import LayerCounts, NeuronUpdates, OperandCounts, StepCounts

_SPIKED = ("mac", "ac", "graded", "binary")
_FOUND = "neurons were recognised"  # the assumption of a network that declares none
_SILENT = "all inputs were zero: taken as spikes that did not come"


def truncated(counts: ModelCounts, steps: int) -> ModelCounts:
    """What the same network does on the same samples in its first steps.

    steps : t, 1 .. T of the counts

    Equal to counting the network at t steps, but for `spread`, which is empty: of fewer steps
    nobody kept it by sample. Raises CountsError, with the layer, where the document does not tell.
    """
    whole = counts.time_steps
    if not 1 <= steps <= whole:
        raise CountsError(f"counts: {steps} time steps: must be between 1 and {whole}")
    if steps == whole:
        return counts
    cut = _Cut(counts.samples, whole, steps)
    _refuse_unknown_time(counts)
    layers = [cut.layer(row) for row in counts.layers]
    silent = [
        row.name
        for row, before in zip(layers, counts.layers, strict=True)
        if row.spikes_in == 0 and before.spikes_in
    ]
    leaving = {
        row.fed_by[0]: row.spikes_out
        for row in layers
        if row.operator == "neuron" and len(row.fed_by) == 1
    }
    return replace(
        counts,
        time_steps=steps,
        layers=tuple(
            row if row.operator == "neuron" else replace(row, spikes_out=leaving.get(row.name))
            for row in layers
        ),
        not_priced={name: cut.element_work(entry) for name, entry in counts.not_priced.items()},
        spread={},
        assumptions=_with_silence(counts, silent),
    )


def _refuse_unknown_time(counts: ModelCounts) -> None:
    """Of a network that declares no T, what was found of its time depends on T itself."""
    if not counts.time_steps_from.startswith("declared"):
        raise CountsError(f"counts: time steps are {counts.time_steps_from}: must be declared")
    is_found = any(text.startswith(_FOUND) for text in counts.assumptions)
    # those that were found may be an encoder, which compares once for all steps
    if is_found and not any(_is_still_neuron(row) for row in counts.layers):
        raise CountsError("counts: neurons were found by the flow of data: must be declared")
    has_time = any(len(row.steps) == counts.time_steps and row.ops.dense for row in counts.layers)
    if not has_time or counts.modules:
        raise CountsError("counts: no layer shows its time steps: must be counted at each T")


def _with_silence(counts: ModelCounts, silent: Sequence[str]) -> tuple[str, ...]:
    """The assumptions, in the order of layers, with those to which no spike has come yet."""
    texts = list(counts.assumptions)
    names = [row.name for row in counts.layers]
    for name in silent:
        later = tuple(f"{other}: " for other in names[names.index(name) :])
        places = (i for i, text in enumerate(texts) if text.startswith((*later, _FOUND)))
        texts.insert(next(places, len(texts)), f"{name}: {_SILENT}")
    return tuple(texts)


def _is_still_neuron(row: LayerCounts) -> bool:
    compared_once = NeuronUpdates(compare=row.neurons)
    return row.operator == "neuron" and len(row.steps) == 1 and row.updates == compared_once


@dataclass(frozen=True, slots=True)
class _Cut:
    """From `whole` steps to `steps`, of counts that are totals over so many samples."""

    samples: int
    whole: int
    steps: int

    def layer(self, row: LayerCounts) -> LayerCounts:
        if row.operator == "neuron":
            return self._neurons(row)
        if len(row.calls) != 1 or row.call_operands or len(row.operands) != 1:
            raise CountsError(f"counts: layer {row.name!r}: is called in parts: must be one call")
        if len(row.steps) == 1:
            return self._still(row)
        if len(row.steps) == self.whole:
            return self._stepping(row)
        raise CountsError(f"counts: layer {row.name!r}: its calls are not told apart by step")

    def element_work(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        if "elements_each_step" not in entry:
            return dict(entry)
        each_step = self._total(entry["elements_each_step"])
        elements = self._total(entry["elements"]) - (self.whole - self.steps) * each_step
        cut = {**entry, "elements": elements / self.samples}
        if self.steps == 1:
            del cut["elements_each_step"]
        return cut

    def _still(self, row: LayerCounts) -> LayerCounts:
        """A layer that is evaluated once for all steps."""
        if row.reused_steps not in (1, self.whole):
            raise CountsError(f"counts: layer {row.name!r}: {row.reused_steps} reused steps")
        return replace(
            row,
            reused_steps=self.steps if row.reused_steps == self.whole else 1,
            steps=row.steps if self.steps > 1 else (),
        )

    def _stepping(self, row: LayerCounts) -> LayerCounts:
        """A layer that reads spikes at each step."""
        operand = row.operands[0]
        if operand.kind != "unit" or row.weight_kind not in ("real", "binary"):
            raise CountsError(
                f"counts: layer {row.name!r}: its input is {operand.kind}: must be spikes, of "
                "which alone a step tells everything"
            )
        kept = row.steps[: self.steps]
        done = {name: self._sum(kept, name) for name in _SPIKED}
        spikes = self._sum(kept, "spikes_in")
        elements = self._share(operand.elements)
        had_zero = operand.nonzero < operand.elements
        is_plain = operand.levels in ((), (1.0,)) and not operand.is_signed
        if (spikes < elements) != had_zero or not (spikes or is_plain):
            raise CountsError(
                f"counts: layer {row.name!r}: {spikes} of {elements} inputs spike in the first "
                f"{self.steps} steps: what all of them do is counted otherwise"
            )
        seen = {name: value / self.samples for name, value in done.items()}
        dense = {
            name: self._share(getattr(row.ops, name)) / self.samples
            for name in (f"dense_{name}" for name in _SPIKED)
        }
        return replace(
            row,
            ops=replace(row.ops, **seen, **dense),
            outputs=self._share(row.outputs) / self.samples,
            spikes_in=spikes / self.samples,
            operands=(self._operand(operand, elements, spikes),),
            steps=kept if self.steps > 1 else (),
            calls=(StepCounts(**seen, spikes_in=spikes / self.samples),),
        )

    def _operand(self, operand: OperandCounts, elements: int, spikes: int) -> OperandCounts:
        seen = operand if spikes else replace(operand, levels=(), smallest=0.0, largest=0.0)
        return replace(seen, elements=elements / self.samples, nonzero=spikes / self.samples)

    def _neurons(self, row: LayerCounts) -> LayerCounts:
        """Neurons that spike: see `dse.neurons.events` for what they do at which step."""
        neurons = row.neurons * self.samples
        outputs = neurons * self.steps / self.samples
        if _is_still_neuron(row):
            return replace(row, outputs=outputs, steps=row.steps if self.steps > 1 else ())
        before, kept = self._events(row, self.whole), row.steps[: self.steps]
        if row.spikes_out is None or len(row.steps) != self.whole or before != row.updates:
            raise CountsError(
                f"counts: layer {row.name!r}: must be neurons that spike and update at each step"
            )
        return replace(
            row,
            updates=self._events(row, self.steps),
            outputs=outputs,
            spikes_out=self._sum(kept, "spikes_out") / self.samples,
            steps=kept if self.steps > 1 else (),
        )

    def _events(self, row: LayerCounts, steps: int) -> NeuronUpdates:
        """The canonical events of so many steps."""
        neurons = row.neurons * self.samples
        carried = neurons * (self.whole - 1)
        has_initial = self._total(row.updates.integrate) > carried
        now = neurons * (steps - 1)
        return NeuronUpdates(
            state_read=now / self.samples,
            leak=now / self.samples if row.updates.leak else 0 / self.samples,
            integrate=(now + neurons * has_initial) / self.samples,
            compare=neurons * steps / self.samples,
            reset=self._sum(row.steps[: steps - 1], "spikes_out") / self.samples,
            state_write=now / self.samples,
        )

    def _sum(self, steps: Sequence[StepCounts], name: str) -> int:
        return sum(self._total(getattr(step, name) or 0) for step in steps)

    def _share(self, per_sample: float) -> int:
        """The total over samples of what is the same at each step, of the first steps."""
        return self._total(per_sample) * self.steps // self.whole

    def _total(self, per_sample: float) -> int:
        """Every count is an exact total over samples, divided."""
        return round(per_sample * self.samples)
