"""Layers of neurons: the chains that make one up, and the element-wise work that is theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from dse.counting.affine import Forms, Reach, is_elementwise
from dse.counting.chains import Chain, Step
from dse.counting.elementwise import COPIES
from dse.counting.values import Value


@dataclass(slots=True)
class Layer:
    """Chains of one layer: one, or one a step where there is no state to link them."""

    module: str
    chains: list[Chain]
    rows: tuple[str, ...]
    name: str = ""

    @property
    def steps(self) -> list[Step]:
        """All steps, in order."""
        return [step for chain in self.chains for step in chain.steps]

    @property
    def reads(self) -> set[Value]:
        """Comparisons that its potentials depend on, its own included."""
        return {value for step in self.steps for value in step.reach.spikes}

    @property
    def comparisons(self) -> set[Value]:
        """All comparisons."""
        return set().union(*(chain.comparisons for chain in self.chains))


def are_tangled(one: Layer, other: Layer) -> bool:
    """Whether two layers of one module depend on each other's comparisons, without a product.

    A layer that reads the spikes of another is none of them, unless the other reads its own, too,
    or both integrate the same rows.
    """
    if one.module != other.module or one.chains[0].neurons != other.chains[0].neurons:
        return False
    reads = one.reads & other.comparisons, other.reads & one.comparisons
    return all(reads) or (any(reads) and bool(set(one.rows) & set(other.rows)))


def is_unlinked(layer: Layer) -> bool:
    """Without a state that links them, comparisons depend on one another all the same."""
    reaches = [step.reach for step in layer.steps]
    grows = any(a.inputs and a.inputs < b.inputs for a, b in pairwise(reaches))
    return grows or any(reach.spikes & layer.comparisons for reach in reaches)


def carried_in(chain: Chain) -> bool:
    """Whether the first potential was computed from one that was there before, and is not zero."""
    first, second = ({i for i in s.reach.inputs if i.name == "leaf"} for s in chain.steps[:2])
    if len(first) <= len(second):
        return False
    return not any(leaf.nonzero is not None and int(leaf.nonzero) == 0 for leaf in first)


def rows_above(value: Value, names: dict[Value, str] | None = None) -> list[str]:
    """The nearest products, units and named neurons upstream of a value."""
    found: dict[str, None] = {}
    seen: set[Value] = {value}
    work = [value]
    while work:
        here = work.pop()
        if here.source is not None:
            found[here.source] = None
        elif names is not None and here in names:
            found[names[here]] = None
        else:
            onward = [one for one in here.inputs if one.is_data and one not in seen]
            seen.update(onward)
            work += onward
    return list(found)


def made_of(layer: Layer, forms: Forms, *, is_signed: bool) -> list[Value]:
    """The element-wise values between the potentials of a layer, and after its last step."""
    potentials: dict[Value, Step] = {step.potential: step for step in layer.steps}
    comparisons = layer.comparisons
    roots = [*potentials, *comparisons]

    def reach(value: Value) -> Reach:
        step = potentials.get(value)
        return step.reach if step is not None else forms.reach(forms.of(value))

    def is_last(value: Value) -> bool:
        """What is made of the neurons alone: a reset that is read no more, or a sign."""
        here = reach(value)
        is_own = here.spikes <= comparisons and potentials.keys() >= here.leak.keys()
        return is_own and not here.inputs and bool(is_signed or here.leak)

    last = [value for value in _closure(roots, lambda value: value.consumers) if is_last(value)]
    made = comparisons | {value for step in layer.steps for value in step.threshold.between}
    for value in _closure([*roots, *last], lambda value: value.inputs):
        here = reach(value)
        if potentials.keys() & here.leak.keys() or here.spikes & comparisons:
            made.add(value)
    _add_scaling(made, potentials)
    return [value for value in in_order(made) if value.name not in COPIES]


def _add_scaling(made: set[Value], potentials: Iterable[Value]) -> None:
    """Add what scales or shifts the input for these neurons alone, and the first addition to 0."""
    work = [*made, *potentials]
    while work:
        value = work.pop()
        moving = [one for one in value.inputs if one.is_data]
        if value.source is not None or not is_elementwise(value) or len(moving) != 1:
            continue
        if value in made or value in potentials or made.issuperset(value.consumers):
            made.add(value)
            work += [one for one in moving if one not in made]


def _closure(roots: Iterable[Value], onward: Callable[[Value], Iterable[Value]]) -> set[Value]:
    """What is reached from some values by element-wise operators alone."""
    seen: set[Value] = set()
    work = list(roots)
    while work:
        value = work.pop()
        if value in seen or value.source is not None or not value.is_data:
            continue
        if is_elementwise(value):
            seen.add(value)
            work += onward(value)
    return seen


def in_order(values: Iterable[Value]) -> list[Value]:
    return sorted(set(values), key=lambda value: value.number)
