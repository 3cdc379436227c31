"""Affine forms: how a value depends on potentials and inputs, with numbers as coefficients.

Every element-wise operator is followed with all spikes taken as absent, so that what a reset does
vanishes and a leak stands alone: `v - th * s`, `(1 - s) * v` and `where(s, 0, v)` all keep 1 v.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dse.counting.elementwise import (
    AFFINE,
    CLIPS,
    COPIES,
    ELEMENTWISE,
    LEVELS,
)
from dse.counting.values import Value

_NONE: frozenset[Value] = frozenset()
_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "eq": operator.eq,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
    "ne": operator.ne,
}
_TINY = 1e-12  # forms are computed in double precision from the very numbers that flowed


@dataclass(frozen=True, slots=True)
class Form:
    """sum of coefficient x atom, plus a constant, where no spike is.

    terms : atoms are potentials, inputs, and values that are no affine function of those
    constant : None if it is a tensor
    spikes : comparisons that change the value where they fire
    gated : inputs that count only where something fires
    """

    terms: dict[Value, float]
    constant: float | None = 0.0
    spikes: frozenset[Value] = _NONE
    gated: frozenset[Value] = _NONE

    @property
    def is_constant(self) -> bool:
        """Nothing but spikes and constants are in it."""
        return not self.terms


@dataclass(frozen=True, slots=True)
class Reach:
    """What a value depends on: earlier potentials, inputs, and comparisons.

    leak : for each potential, what is kept of it; None if that is no one number
    """

    leak: dict[Value, float | None] = field(default_factory=dict)
    inputs: frozenset[Value] = _NONE
    spikes: frozenset[Value] = _NONE


class Forms:
    """Forms of values, to be asked for in the order in which the values were made.

    at_rest : comparisons whose results are spikes, or reset a potential, with what they are where
        no spike is
    """

    def __init__(self, at_rest: Mapping[Value, float]) -> None:
        self._at_rest = at_rest
        self._potentials: set[Value] = set()
        self._forms: dict[Value, Form] = {}
        self._nonlinear: dict[Value, Reach] = {}
        self._kept: dict[Value, Reach] = {}

    def of(self, value: Value) -> Form:
        """The form of a value."""
        form = self._forms.get(value)
        if form is None:
            form = self._evaluate(value)
            if len(form.terms) == 1 and form.spikes and self._potentials.issuperset(form.terms):
                # the state after a reset stands for itself, so that it is told from an input
                # which is the first potential and is integrated again later
                self._kept[value] = Reach(dict(form.terms), frozenset(), form.spikes)
                form = Form({value: 1.0}, form.constant)
            self._forms[value] = form
        return form

    def make_atom(self, potential: Value) -> None:
        """From now on, a potential stands for itself."""
        self._potentials.add(potential)
        self._forms[potential] = Form({potential: 1.0})

    def reach(self, form: Form) -> Reach:
        """What a form comes down to."""
        leak: dict[Value, float | None] = {}
        inputs: set[Value] = set()
        spikes = set(form.spikes)
        direct: dict[Value, float] = {}
        for atom, coefficient in form.terms.items():
            kept, curve = self._kept.get(atom), self._nonlinear.get(atom)
            if kept is not None:
                spikes |= kept.spikes
                for potential, share in kept.leak.items():
                    is_known = potential not in leak and share is not None
                    leak[potential] = coefficient * (share or 0.0) if is_known else None
            elif curve is not None:
                leak |= dict.fromkeys(curve.leak)
                inputs |= curve.inputs
                spikes |= curve.spikes
            elif atom in self._potentials:
                direct[atom] = coefficient
            else:
                inputs.add(atom)
        for potential, coefficient in direct.items():
            if leak and not is_elementwise(potential):
                inputs.add(potential)  # what came in at the first step comes in again
            else:
                leak[potential] = None if potential in leak else coefficient
        for atom in form.gated - self._potentials - self._kept.keys():
            curve = self._nonlinear.get(atom)
            inputs |= {atom} if curve is None else curve.inputs
        return Reach(leak, frozenset(inputs), frozenset(spikes))

    def _evaluate(self, value: Value) -> Form:
        name = value.name
        if value in self._at_rest:
            return Form({}, self._at_rest[value], frozenset({value}))
        if value.scalar is not None and not value.is_data:
            return Form({}, value.scalar)
        if value.source is not None or not is_elementwise(value):
            return self._itself(value)
        forms = [self.of(one) for one in value.inputs]
        if name == "slice":
            return forms[0] if forms[0].is_constant else Form({value: 1.0})
        if name in COPIES and (value.is_float or forms[-1].is_constant):
            return forms[-1]
        if name in _RELATIONS or name == "logical_not":
            return self._related(value, forms)
        if (name in AFFINE and not rounds(value)) or is_masked_write(value):
            form = self._affine(value)
            if form is not None:
                return form
        if value.is_data and name in CLIPS and self._is_state(forms[0]):
            return forms[0]
        return self._atom(value, forms)

    def _is_state(self, form: Form) -> bool:
        return any(atom in self._potentials or atom in self._kept for atom in form.terms)

    def _itself(self, value: Value) -> Form:
        return Form({value: 1.0}) if value.is_data else Form({}, None)

    def _atom(self, value: Value, forms: list[Form]) -> Form:
        """A value that stands for itself, but depends on others."""
        if not value.is_data:
            return Form({}, None)
        parts = [self.reach(form) for form in forms]
        leak = {potential: None for part in parts for potential in part.leak}
        spikes = frozenset().union(*(part.spikes for part in parts))
        if leak or spikes:
            inputs = frozenset().union(*(part.inputs for part in parts))
            self._nonlinear[value] = Reach(dict(leak), inputs, spikes)
        return Form({value: 1.0})

    def _related(self, value: Value, forms: list[Form]) -> Form:
        """A comparison that is no neuron's: known if it is of spikes and numbers alone."""
        left = forms[0]
        others = [self._argument(arg) for arg in value.args[1:2]]
        right = others[0] if others else Form({}, 0.0)
        if left.terms or right.terms or left.constant is None or right.constant is None:
            return self._atom(value, forms)
        relation = _RELATIONS.get(value.name, operator.eq)
        spikes = left.spikes | right.spikes
        return Form({}, float(relation(left.constant, right.constant)), spikes)

    def _argument(self, arg: Any) -> Form:
        if isinstance(arg, Value):
            return self.of(arg)
        return Form({}, float(arg) if isinstance(arg, (int, float)) else None)

    def _affine(self, value: Value) -> Form | None:
        """The form of an operator that is affine in each argument; None if it is a true product."""
        name = value.name
        if name in ("where", "masked_fill", "index_put"):
            return self._chosen(value)
        a, *rest = [self._argument(arg) for arg in value.args[:3]]
        if name in ("neg", "positive"):
            return _scaled(a, -1.0 if name == "neg" else 1.0)
        b = rest[0]
        if name in ("add", "sub", "rsub"):
            alpha = value.options.get("alpha", value.args[2] if len(value.args) > 2 else 1)
            left, right = (b, a) if name == "rsub" else (a, b)
            return _sum(left, _scaled(right, float(alpha) * (1 if name == "add" else -1)))
        if name in ("mul", "div", "true_divide"):
            return _product(a, b, inverse=name != "mul")
        c = rest[1]
        if name == "lerp":  # a + c (b - a)
            step = _product(c, _sum(b, _scaled(a, -1.0)))
        else:  # a + factor b c, or a + factor b / c
            step = _product(b, c, inverse=name == "addcdiv")
            factor = value.options.get("value", 1)
            step = None if step is None else _scaled(step, float(factor))
        return None if step is None else _sum(a, step)

    def _chosen(self, value: Value) -> Form | None:
        """`where` and `masked_fill`: one of two values, by a mask."""
        if value.name == "where":
            mask, fired, rest = (self._argument(arg) for arg in value.args[:3])
        else:
            rest, mask, fired = (self._argument(arg) for arg in _mask_alone(value.args[:3]))
        if mask.terms:
            for kept, bound in ((fired, rest), (rest, fired)):
                if kept.terms == bound.terms or (bound.is_constant and self._is_state(kept)):
                    return kept  # a bound on the potential, as in `CLIPS`
            return None
        taken, left = (rest, fired) if mask.constant == 0 else (fired, rest)
        spikes = mask.spikes | fired.spikes | rest.spikes
        return Form(taken.terms, taken.constant, spikes, taken.gated | frozenset(left.terms))


def is_elementwise(value: Value) -> bool:
    """Whether each element of a value is made of the elements at the same place."""
    return value.name in ELEMENTWISE or is_masked_write(value)


def is_masked_write(value: Value) -> bool:
    """Whether a value is `v[mask] = x`, with one mask of the shape of v and one x for all."""
    if value.name != "index_put" or len(value.args) != 3 or len(value.args[1]) != 1:
        return False
    [mask], written = value.args[1:]
    is_one = isinstance(written, Value) and written.numel == 1
    return isinstance(mask, Value) and not mask.is_float and mask.shape == value.shape and is_one


def rounds(value: Value) -> bool:
    """Whether a value is rounded to levels, as quantised and multi-spike neurons do."""
    return value.name in LEVELS or value.options.get("rounding_mode") is not None


def _mask_alone(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of `v[mask] = x`, written as those of `masked_fill`."""
    rest, mask, fired = args
    return rest, mask[0] if isinstance(mask, tuple) else mask, fired


def _sum(a: Form, b: Form) -> Form:
    terms = dict(a.terms)
    for atom, coefficient in b.terms.items():
        total = terms.pop(atom, 0.0) + coefficient
        if abs(total) > _TINY:
            terms[atom] = total
    constant = None if a.constant is None or b.constant is None else a.constant + b.constant
    return Form(terms, constant, a.spikes | b.spikes, a.gated | b.gated)


def _scaled(a: Form, factor: float) -> Form:
    if factor == 0:
        return Form({}, 0.0, a.spikes, a.gated | frozenset(a.terms) if a.spikes else a.gated)
    terms = {atom: coefficient * factor for atom, coefficient in a.terms.items()}
    return Form(terms, None if a.constant is None else a.constant * factor, a.spikes, a.gated)


def _product(a: Form, b: Form, *, inverse: bool = False) -> Form | None:
    """a x b, or a / b; None unless one of the two is a number where no spike is."""
    if a.is_constant and b.is_constant:
        scaled = Form({}, None)
        if a.constant is not None and b.constant is not None and not (inverse and not b.constant):
            scaled = Form({}, a.constant / b.constant if inverse else a.constant * b.constant)
    elif b.is_constant and b.constant is not None and not (inverse and b.constant == 0):
        scaled = _scaled(a, 1 / b.constant if inverse else b.constant)
    elif not inverse and a.is_constant and a.constant is not None:
        scaled = _scaled(b, a.constant)
    else:
        return None
    gate = (a if a.is_constant else b).spikes
    lost = frozenset((*a.terms, *b.terms)) if gate and not scaled.terms else _NONE
    return Form(
        scaled.terms, scaled.constant, a.spikes | b.spikes, a.gated | b.gated | lost | scaled.gated
    )
