"""Chains: comparisons of one layer of neurons, linked from step to step by their potential."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from dse.counting.affine import Forms, Reach, is_elementwise
from dse.counting.thresholds import Threshold
from dse.counting.values import Value


@dataclass(eq=False, slots=True)
class Step:
    """The comparisons of one potential in one module: one time step of some neurons.

    masks : comparisons with the same threshold that only choose, as in a reset, and those of the
        potential after its reset
    reach : what the potential was computed from
    before : the step whose potential is kept in this one
    leak : what is kept of it; None if that is no one number
    """

    potential: Value
    module: str
    comparisons: list[Value]
    threshold: Threshold
    masks: list[Value] = field(default_factory=list)
    reach: Reach = field(default_factory=Reach)
    before: Step | None = None
    leak: float | None = None
    chain: Chain | None = None

    @property
    def spikes(self) -> set[Value]:
        """All comparisons, as what a reset may depend on."""
        return {*self.comparisons, *self.masks}


@dataclass(eq=False, slots=True)
class Chain:
    """Steps of the same neurons, in order."""

    module: str
    steps: list[Step] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def comparisons(self) -> set[Value]:
        """All that are made of these potentials, those of an already reset one included."""
        return {value for step in self.steps for value in step.spikes}

    @property
    def neurons(self) -> int:
        """Distinct neurons over the whole batch."""
        return self.steps[0].potential.numel

    @property
    def has_state(self) -> bool:
        """A potential is kept."""
        return len(self.steps) > 1

    @property
    def has_reset(self) -> bool:
        """A spike changes the potential of the next step."""
        comparisons = self.comparisons
        return any(step.reach.spikes & comparisons for step in self.steps)

    @property
    def has_second_state(self) -> bool:
        """Inputs or potentials of earlier steps come in besides the potential of the last one."""
        inputs = [step.reach.inputs for step in self.steps]
        potentials = {step.potential for step in self.steps}
        return any(a and a < b for a, b in pairwise(inputs)) or any(
            len(potentials & step.reach.leak.keys()) > 1 for step in self.steps
        )


def chains_of(
    values: Iterable[Value],
    steps: Mapping[Value, list[Step]],
    at_rest: dict[Value, float],
    choices: Mapping[Value, Step],
) -> tuple[list[Chain], Forms]:
    """Link the steps, in the order in which the values were made.

    steps : by potential
    at_rest : the comparisons of the steps, with what they are where no spike is
    choices : comparisons that only choose, by potential; those of an already reset potential are
        found to be of the same neurons, and added to `at_rest`
    """
    forms = Forms(at_rest)
    found: list[Step] = []
    for value in values:
        if value in steps:
            new = _new(value, steps, forms)
            if new:
                forms.make_atom(value)
            found += new
            continue
        if is_elementwise(value):
            forms.of(value)
        if value in choices:
            step = choices[value]
            before = _reset(step, forms.reach(forms.of(value)), steps)
            if before is not None and before.threshold.level == step.threshold.level:
                at_rest.update((c, float(step.threshold.fires_below)) for c in step.comparisons)
                before.masks += step.comparisons
    return _linked(found, steps), forms


def _new(potential: Value, steps: Mapping[Value, list[Step]], forms: Forms) -> list[Step]:
    """The steps of a potential that are not about an earlier one after its reset."""
    reach = forms.reach(forms.of(potential))
    new = []
    for step in steps[potential]:
        step.reach = reach
        before = _reset(step, reach, steps)
        if before is None:
            new.append(step)
        else:
            before.masks += step.spikes
    return new


def _earlier(step: Step, reach: Reach, steps: Mapping[Value, list[Step]]) -> list[Step]:
    """Steps of the same module whose potentials reach this one, the latest first."""
    found = [
        one
        for potential in reach.leak
        for one in steps[potential]
        if one.module == step.module and potential.numel == step.potential.numel
    ]
    return sorted(found, key=lambda one: -one.potential.number)


def _reset(step: Step, reach: Reach, steps: Mapping[Value, list[Step]]) -> Step | None:
    """The step whose potential, after its reset, is all that another one is about."""
    if len(reach.leak) != 1 or reach.inputs:
        return None
    for one in _earlier(step, reach, steps):
        if reach.leak[one.potential] == 1 and reach.spikes <= _past(one, steps):
            return one
    return None


def _past(step: Step, steps: Mapping[Value, list[Step]]) -> set[Value]:
    """The comparisons of a step, and of all before it that its potential keeps something of."""
    seen = {step}
    work = [step]
    while work:
        here = work.pop()
        new = [one for one in _earlier(here, here.reach, steps) if one not in seen]
        seen.update(new)
        work += new
    return {value for one in seen for value in one.spikes}


def _linked(found: list[Step], steps: Mapping[Value, list[Step]]) -> list[Chain]:
    """Chains: first where a potential comes with its reset, then where there is none."""
    taken: set[Step] = set()
    for needs_reset in (True, False):
        for step in found:
            if step.before is not None:
                continue
            free = [
                one
                for one in _earlier(step, step.reach, steps)
                if one not in taken and bool(one.spikes & step.reach.spikes) >= needs_reset
            ]
            if free:
                step.before = free[0]
                taken.add(free[0])
    chains = []
    for step in found:
        before = step.before
        if before is None or before.chain is None:
            step.before, step.chain = None, Chain(step.module)
            chains.append(step.chain)
        else:
            step.chain = before.chain
            scales = before.threshold.scale, step.threshold.scale
            step.leak = _relative(step.reach.leak[before.potential], *scales)
        step.chain.steps.append(step)
    return chains


def _relative(kept: float | None, before: float | None, after: float | None) -> float | None:
    """The leak, where potentials are compared in units that differ by a constant."""
    if before is None and after is None:
        return kept
    if kept is None or before is None or after is None:
        return None
    return kept * after / before
