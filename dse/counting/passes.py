"""Passes: what one forward pass did, kept on its device and booked when the pass is over.

Into how many time steps and samples a leading dimension falls is known only then, and a GPU is
asked once for all that it has counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dse.counting.activity import Facts, Marks, look
from dse.counting.classify import Operand
from dse.counting.closer import Closer
from dse.counting.dataflow import FoundNeurons
from dse.counting.ledger import Ledger
from dse.counting.observe import Sight
from dse.counting.plans import Plan
from dse.counting.rows import Pairs, Row
from dse.counting.rules import Work
from dse.errors import NotFiniteError


class _Seen(NamedTuple):
    """One call of one layer, as it was looked at."""

    row: Row
    call: int
    work: Work
    first_input: tuple[int, ...]
    sight: Sight


class _Planned(NamedTuple):
    """One call of one layer, as a plan has counted it."""

    plan: Plan
    sums: Tensor
    found: Any


@dataclass(frozen=True, slots=True)
class _SeenNeurons:
    """One call of one module of declared neurons."""

    name: str
    events: dict[str, Any]
    outputs: Marks
    source: str | None


class ForwardPass:
    """Collects what a pass does over a batch of so many samples.

    closer : what the conventions ask for beside it, if they do
    on_module : wants to be told of every module that has run, for them; else None
    """

    def __init__(self, samples: int, batch: int, *, looks_closer: bool = False) -> None:
        self.samples = samples
        self.closer = Closer() if looks_closer else None
        self.on_module = None if self.closer is None else self.closer.see_module
        self._batch = batch
        self._seen: list[_Seen] = []
        self._planned: list[_Planned] = []
        self._neurons: list[_SeenNeurons] = []
        self._calls: Counter[str] = Counter()

    def see_product(
        self, row: Row, call: int, work: Work, sight: Sight, first_input: tuple[int, ...]
    ) -> None:
        """One product was looked at; `first_input`: the shape that its module was given."""
        self._seen.append(_Seen(row, call, work, first_input, sight))

    def see_planned(self, plan: Plan, sums: Tensor, found: Any) -> None:
        """One product was counted by a plan."""
        self._planned.append(_Planned(plan, sums, found))

    def see_neurons(
        self, name: str, module: nn.Module, inputs: Tensor, output: Tensor, source: str | None
    ) -> None:
        """A module of declared neurons has run."""
        events: dict[str, Any] = module.neuron_events(inputs, output)  # type: ignore[operator]
        marks = look(output.reshape(output.shape[0], 1, -1) if output.dim() else output[None, None])
        self._neurons.append(_SeenNeurons(name, events, marks, source))

    def calls(self) -> Counter[str]:
        """How often each layer was called."""
        rows = [seen.row for seen in self._seen] + [one.plan.row for one in self._planned]
        return Counter(row.name for row in rows)

    def declared_steps(self) -> list[int]:
        """How often the neurons of each declared row compare."""
        events = [one.events for one in self._neurons]
        return [one["compare"] // one["neurons"] for one in events if one.get("neurons")]

    def book(self, ledger: Ledger, time_steps: int, found: Sequence[FoundNeurons] = ()) -> None:
        """Bring the counts from their device, and add them to the ledger.

        found : neurons recognised by the flow of data, beside the declared ones
        """
        self._calls = self.calls()
        for planned in self._planned:
            self._book_planned(*planned, time_steps)
        fetched = _Fetched(self._values())
        for seen in self._seen:
            self._book_product(seen, fetched, time_steps)
        ledger.counted_calls += len(self._seen) + len(self._planned)
        if self.closer is not None:
            self.closer.book(ledger.modules)
        for neurons in self._neurons:
            self._book_neurons(ledger, neurons, fetched, time_steps)
        for group in found:
            self._book_found(ledger, group, time_steps)

    def _values(self) -> list[Any]:
        sights = [seen.sight for seen in self._seen]
        operands = [marks for sight in sights for marks in (sight.left, sight.right) if marks]
        operands += [neurons.outputs for neurons in self._neurons]
        values = [sight.pairs for sight in sights]
        values += [value for marks in operands for value in (marks.facts, marks.marks)]
        return values + [value for one in self._neurons for value in one.events.values()]

    def _book_planned(self, plan: Plan, sums: Tensor, found: Any, time_steps: int) -> None:
        row = plan.row
        facts, pairs, marks = plan.read(sums, found)
        row.left.see(facts)
        split = self._slots(row, plan.work, plan.first_input, len(marks), 1, time_steps)
        by_level: Pairs = {(level, None): _folded(pairs, *split) for level in facts.levels}
        self._add(row, plan.call, plan.work, by_level, _folded(marks, *split), time_steps)

    def _book_product(self, seen: _Seen, fetched: _Fetched, time_steps: int) -> None:
        row, sight = seen.row, seen.sight
        split = self._slots(
            row, seen.work, seen.first_input, sight.leading, sight.period, time_steps
        )
        left, nonzero = self._book_operand(row, row.left, sight.left, fetched)
        right, others = self._book_operand(row, row.right, sight.right, fetched)
        all_pairs = fetched.get(sight.pairs)
        pairs = {
            (left_value, right_value): _folded(all_pairs[i, j], *split)
            for left_value, i in left
            for right_value, j in right
        }
        found = [_folded(one, *split) for one in (nonzero, others) if one is not None]
        self._add(row, seen.call, seen.work, pairs, np.sum(found, axis=0), time_steps)

    def _add(
        self, row: Row, call: int, work: Work, pairs: Pairs, marks: np.ndarray, time_steps: int
    ) -> None:
        row.dense += work.dense
        row.outputs += work.outputs
        row.is_time_folded &= len(marks) == time_steps
        row.book(call, pairs, marks, self._batch, self.samples)

    def _book_operand(
        self, row: Row, operand: Operand, marks: Marks | None, fetched: _Fetched
    ) -> tuple[list[tuple[float | None, int]], np.ndarray | None]:
        """The levels of one side with their places, and its non-zero elements (leading)."""
        if marks is None:
            return [(None, 0)], None
        try:
            facts, planes = fetched.facts(marks)
        except NotFiniteError as error:
            raise NotFiniteError(f"{row.name}: {error}") from error
        operand.see(facts)
        found = fetched.get(marks.marks)
        nonzero = found[planes[0]] if len(planes) == 1 else found[planes].sum(axis=0)
        return list(zip(facts.levels, planes, strict=True)), nonzero

    def _slots(
        self,
        row: Row,
        work: Work,
        first_input: tuple[int, ...],
        leading: int,
        period: int,
        time_steps: int,
    ) -> tuple[int, int]:
        """Into how many time steps, and samples, a leading dimension falls: step slowest."""
        samples = self.samples
        both = time_steps * samples
        has_samples = True
        # a layer that is called once a step has its time in its calls, and not in a dimension
        has_time = time_steps == 1 or self._calls[row.name] != time_steps
        if work.operator == "matmul" and row.weight == "right" and len(first_input) > 2:
            # tokens are folded as well: what the module was given tells time from tokens
            is_folded = first_input[0] % both == 0 or first_input[:2] == (time_steps, samples)
            has_time = has_time and is_folded
            has_samples = first_input[0] % samples == 0
        if leading and leading % (both * period) == 0 and has_time:
            return time_steps, samples
        is_by_sample = leading and leading % (samples * period) == 0 and has_samples
        return 1, samples if is_by_sample else 1

    def _book_neurons(
        self, ledger: Ledger, seen: _SeenNeurons, fetched: _Fetched, time_steps: int
    ) -> None:
        row = ledger.neuron_row(seen.name)
        facts, planes = fetched.facts(seen.outputs)
        marks = fetched.get(seen.outputs.marks)[planes].sum(axis=0)
        steps = time_steps if len(marks) % time_steps == 0 else 1
        events = {name: int(fetched.get(value)) for name, value in seen.events.items()}
        row.neurons += events.pop("neurons", 0)
        row.events.update(events)
        is_unit = not facts.is_real and len(facts.levels) <= 1
        row.is_spiking &= is_unit and (facts.has_zero or not facts.is_signed)
        spikes = _folded(marks, steps, 1).flatten().tolist()
        row.book(spikes, [seen.source] if seen.source else [])

    def _book_found(self, ledger: Ledger, found: FoundNeurons, time_steps: int) -> None:
        row = ledger.found_row(found.name, found.fed_by)
        row.neurons += found.neurons
        row.events.update(found.events)
        row.is_spiking &= not found.is_signed
        row.is_found = True
        row.book([int(spikes) for spikes in found.spikes], list(found.fed_by))
        ledger.attribute(found.operators, found.elements)


class _Fetched:
    """Tensors of any devices, brought here together."""

    def __init__(self, values: list[Any]) -> None:
        tensors = [value for value in values if isinstance(value, Tensor)]
        away = {id(t): t for t in tensors if t.device.type != "cpu"}
        self._here: dict[int, np.ndarray] = {}
        if away:
            words = [_as_words(t) for t in away.values()]
            sizes = [len(word) for word in words]
            brought = torch.cat(words).cpu().split(sizes)  # the one synchronisation of the pass
            for tensor, word in zip(away.values(), brought, strict=True):
                value = word.view(torch.float64) if tensor.is_floating_point() else word
                self._here[id(tensor)] = value.reshape(tensor.shape).numpy()

    def get(self, value: Any) -> Any:
        """A tensor as an array here; anything else as it is."""
        if not isinstance(value, Tensor):
            return value
        found = self._here.get(id(value))
        return value.numpy() if found is None else found

    def facts(self, marks: Marks) -> tuple[Facts, list[int]]:
        """The facts of an operand, and the places of its levels."""
        facts = marks.facts
        return marks.facts_of(self.get(facts).tolist() if isinstance(facts, Tensor) else None)


def _as_words(tensor: Tensor) -> Tensor:
    flat = tensor.flatten()
    return flat.double().view(torch.int64) if flat.is_floating_point() else flat.long()


def _folded(values: np.ndarray, steps: int, samples: int) -> np.ndarray:
    """Sums of a leading dimension by step and sample; all in one place if it does not fall so."""
    if values.size == steps * samples:
        return values.reshape(steps, samples)
    if values.size % (steps * samples) or not values.size:
        folded = np.zeros((steps, samples), dtype=np.int64)
        folded[0, 0] = values.sum()
        return folded
    return np.add.reduce(values.reshape(steps, samples, -1), axis=2)
