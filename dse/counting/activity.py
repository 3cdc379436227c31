"""Activity: which values a tensor really held, as far as the classes of products depend on it.

A tensor is *levelled* if one c > 0 makes every value k * c with an integer abs(k) <= 8; then its
elements are told apart by abs(k). Otherwise it is *real*, and only zero or not matters. Elements
are marked by magnitude, and the marks summed with a *fan*: how many products an element makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dse.counting import kernel
from dse.errors import NotFiniteError

LARGEST_LEVEL = 8
_SAMPLE = 4096


class Facts(NamedTuple):
    """What is known of the values of one tensor.

    levels : the magnitudes of a levelled tensor; None for those of a real one, whatever they are
    elements, nonzero : number of them      units : how many have abs(x) = 1
    is_signed : some value is negative      smallest, largest : of the magnitudes above zero
    tolerance : relative, within which a value counts as a multiple of another
    bits : of the dtype
    """

    levels: tuple[float | None, ...]
    elements: int
    nonzero: int
    units: int
    is_signed: bool
    smallest: float
    largest: float
    tolerance: float
    bits: int

    @property
    def is_real(self) -> bool:
        """No c > 0 makes every value a small multiple of it."""
        return None in self.levels

    @property
    def has_zero(self) -> bool:
        """Some value is zero."""
        return self.nonzero < self.elements


class Marks(NamedTuple):
    """Elements of a tensor (N, C, P) by level, summed.

    facts : of the values, or a tensor on the device from which `facts_of` makes them
    totals : (levels, fans, N), sums of the fan      marks : (levels, N), number of elements;
        arrays of what lay on the CPU, else tensors on the device
    counts : (levels, N, P), number of elements over the channels, if they were asked for
    """

    facts: Facts | Tensor
    totals: Any
    marks: Any
    counts: Tensor | None
    origin: tuple[int, int, float]  # elements, bits, tolerance: what the device does not know

    def facts_of(self, numbers: Sequence[float] | None = None) -> tuple[Facts, list[int]]:
        """The facts, and which of the levels that were summed are real ones.

        numbers : what `facts` holds, once it has been brought from the device
        """
        if isinstance(self.facts, Facts):
            return self.facts, list(range(len(self.facts.levels)))
        return _read_facts(self.facts.tolist() if numbers is None else numbers, *self.origin)


def look(
    x: Tensor,
    fans: Tensor | None = None,
    *,
    wants_counts: bool = False,
    by_element: bool = False,
) -> Marks:
    """Look at every element of a tensor (N, C, P) of any real dtype.

    fans : int32 (fans, 1 or C, P): what an element counts, by channel and place
    by_element : let an element of a real tensor that is an integer up to 8 have a level of its own
    Nothing is brought from another device. Raises NotFiniteError if an element on the CPU is NaN
    or infinite (for another device `facts_of` does).
    """
    x = x.detach()
    bits = x.element_size() * 8
    if not x.is_floating_point() and x.dtype is not torch.bool:
        x = x.double()  # the smallest integer of a type has no magnitude in that type
    if x.dtype is torch.bool and not kernel.takes(x):
        x = x.float()
    by = _by_kernel if kernel.takes(x) else _by_torch
    marks = by(x, fans, wants_counts, by_element)
    if bits == marks.origin[1]:
        return marks
    facts = marks.facts._replace(bits=bits) if isinstance(marks.facts, Facts) else marks.facts
    return marks._replace(facts=facts, origin=(marks.origin[0], bits, marks.origin[2]))


def planes(x: Tensor, facts: Facts) -> list[Tensor]:
    """Where each level of a tensor is: one boolean tensor a level, in their order."""
    magnitude = x.detach().abs().double()
    found: list[Tensor] = []
    for value in facts.levels:
        if value is not None:
            low, high = _window(value, facts.tolerance)
            found.append((magnitude >= low) & (magnitude <= high))
        else:
            rest = magnitude != 0
            for other in found:
                rest = rest & ~other
            found.append(rest)
    return found


def rounding(dtype: torch.dtype) -> float:
    """How far, relatively, a multiple of c may be from k * c, having been rounded on its way.

    Seven additions of a spike's height in 32 bits and more; in 16 bits, where that would make
    levels of anything, the one rounding of k * c.
    """
    if not dtype.is_floating_point:
        return 0.0
    precision = torch.finfo(dtype)
    return precision.eps * (1 if precision.bits <= 16 else 4)


def common_step(values: Iterable[float], tolerance: float) -> float | None:
    """The largest c that makes every value k * c with an integer k of 1 to 8, or None.

    values : positive numbers       tolerance : relative
    """
    distinct = sorted(set(values))
    if not distinct:
        return None
    for divisor in range(1, LARGEST_LEVEL + 1):
        step = distinct[0] / divisor
        if step == 0:
            return None
        multiples = [value / step for value in distinct]
        if multiples[-1] > LARGEST_LEVEL + 0.5:
            return None
        if all(abs(m - round(m)) <= tolerance * m for m in multiples):
            return step
    return None


def refuse_not_finite(largest: float, shape: Sequence[int] | int) -> None:
    """Such a tensor has no operation counts."""
    if not math.isfinite(largest):
        size = f"of shape {tuple(shape)}" if isinstance(shape, Sequence) else f"of {shape} elements"
        raise NotFiniteError(
            f"a tensor {size} holds NaN or infinite values, which have no operation count; check "
            "the weights and the input"
        )


def _by_kernel(x: Tensor, fans: Tensor | None, wants_counts: bool, by_element: bool) -> Marks:
    if fans is not None and fans.shape[0] > 1:
        parts = [_by_kernel(x, fan.unsqueeze(0), wants_counts, by_element) for fan in fans]
        return parts[0]._replace(totals=np.concatenate([one.totals for one in parts], axis=1))
    fan = None if fans is None or not len(fans) else fans[0]
    whole = kernel.scan(x, fan, wants_counts=wants_counts)
    refuse_not_finite(whole.largest, x.shape)
    found: list[tuple[float | None, kernel.Scanned]] | None
    found = [(None, whole)] if whole.smallest else []
    if found and whole.smallest == whole.largest:
        found = [(whole.largest, whole)]  # spikes, by far the most common
    elif found and whole.largest <= (LARGEST_LEVEL + 0.5) * whole.smallest:
        found = _levels_by_kernel(x, fan, wants_counts, whole) or found
    if by_element and found and found[0][0] is None:
        found = _elements_by_kernel(x, fan, wants_counts, whole)
    facts = Facts(
        levels=tuple(value for value, _ in found),
        elements=x.numel(),
        nonzero=whole.marked,
        units=whole.ones,
        is_signed=whole.is_negative,
        smallest=whole.smallest,
        largest=whole.largest,
        tolerance=rounding(x.dtype),
        bits=x.element_size() * 8,
    )
    totals: Any = None
    if fans is not None:
        totals = _stacked([one.totals for _, one in found], x.shape[0])[:, None][:, : len(fans)]
    counts = None
    if wants_counts:
        rows = [one.counts for _, one in found if one.counts is not None]
        counts = torch.stack(rows) if rows else x.new_zeros((0, x.shape[0], x.shape[2])).int()
    marks = _stacked([one.marks for _, one in found], x.shape[0])
    return Marks(facts, totals, marks, counts, (facts.elements, facts.bits, facts.tolerance))


def _stacked(found: list[np.ndarray], size: int) -> np.ndarray:
    if len(found) == 1:
        return found[0][None]
    return np.stack(found) if found else np.zeros((0, size), dtype=np.int64)


def _levels_by_kernel(
    x: Tensor, fan: Tensor | None, wants_counts: bool, whole: kernel.Scanned
) -> list[tuple[float | None, kernel.Scanned]] | None:
    """The levels of a tensor, if it has any: one pass a level, complete if all marks are found."""
    tolerance = rounding(x.dtype)
    ratio = whole.largest / whole.smallest
    is_likely = abs(ratio - round(ratio)) <= tolerance * ratio  # as of 1 and 2, or 0.25 and 1
    if is_likely:
        found = _levels_of_step(x, fan, wants_counts, whole, whole.smallest)
        if found is not None:
            return found
    some = x.flatten()[:: max(1, x.numel() // _SAMPLE)].abs().unique()
    distinct = some[some != 0].double().tolist()
    if distinct and common_step(distinct, tolerance) is None:
        return None  # a few thousand elements settle the matter without a full pass
    for divisor in range(2 if is_likely else 1, LARGEST_LEVEL + 1):
        found = _levels_of_step(x, fan, wants_counts, whole, whole.smallest / divisor)
        if found is not None:
            return found
    return None


def _levels_of_step(
    x: Tensor, fan: Tensor | None, wants_counts: bool, whole: kernel.Scanned, step: float
) -> list[tuple[float | None, kernel.Scanned]] | None:
    if step == 0 or whole.largest / step > LARGEST_LEVEL + 0.5:
        return None
    tolerance = rounding(x.dtype)
    found: list[tuple[float | None, kernel.Scanned]] = []
    marked = 0
    for k in range(round(whole.smallest / step), round(whole.largest / step) + 1):
        low, high = _window(step * k, tolerance)
        one = kernel.scan(x, fan, wants_counts=wants_counts, low=low, high=high)
        if one.smallest:
            found.append((step * k, one))
            marked += one.marked
    if marked != whole.marked or (x.element_size() <= 2 and _is_blurred(x, found)):
        return None
    return found


def _is_blurred(x: Tensor, found: list[tuple[float | None, kernel.Scanned]]) -> bool:
    """In 16 bits k * c is rounded once: a level that holds two magnitudes is none."""
    return any(
        kernel.scan(x, low=one.smallest, high=one.smallest).marked != one.marked for _, one in found
    )


def _elements_by_kernel(
    x: Tensor, fan: Tensor | None, wants_counts: bool, whole: kernel.Scanned
) -> list[tuple[float | None, kernel.Scanned]]:
    """A real tensor element by element: small integers by their level, and the rest."""
    found: list[tuple[float | None, kernel.Scanned]] = []
    rest = whole
    for k in range(1, LARGEST_LEVEL + 1):
        one = kernel.scan(x, fan, wants_counts=wants_counts, low=k, high=k)
        if not one.smallest:
            continue
        found.append((float(k), one))
        both = rest.counts is not None and one.counts is not None
        rest = rest._replace(
            totals=rest.totals - one.totals,
            marks=rest.marks - one.marks,
            marked=rest.marked - one.marked,
            counts=rest.counts - one.counts if both else None,  # type: ignore[operator]
        )
    return [*found, (None, rest)]


def _window(value: float, tolerance: float) -> tuple[float, float]:
    """The magnitudes that count as one level."""
    return value * (1 - tolerance), value * (1 + tolerance)


def _by_torch(x: Tensor, fans: Tensor | None, wants_counts: bool, by_element: bool) -> Marks:
    """The same in PyTorch, on any device, without a look at a value from here."""
    magnitude = x.abs()
    is_marked = magnitude != 0
    tolerance = rounding(x.dtype)
    infinity = math.inf
    if x.numel():
        largest = magnitude.amax().double()
        smallest = magnitude.masked_fill(~is_marked, infinity).amin().double()
    else:
        largest, smallest = x.new_zeros((), dtype=torch.float64), x.new_full((), infinity).double()
    multiple, step, is_levelled = _multiples(magnitude, smallest, largest, tolerance)
    if by_element:
        wide = magnitude.double()
        is_small = (wide == wide.round()) & (wide <= LARGEST_LEVEL)
        multiple = torch.where(is_levelled, multiple, wide.where(is_small, 0.0))
        step = torch.where(is_levelled, step, 1.0)
    else:
        multiple = multiple.where(is_levelled, 0.0)
    is_rest = is_marked & (multiple == 0)
    planes = [is_rest, *(multiple == k for k in range(1, LARGEST_LEVEL + 1))]
    facts = torch.stack(
        [
            largest,
            torch.where(is_marked.any(), smallest, 0.0),
            (x < 0).any().double(),
            (magnitude == 1).sum().double(),
            step,
            *(plane.sum().double() for plane in planes),
        ]
    )
    marks = torch.stack([plane.sum(dim=(1, 2)) for plane in planes])
    totals = counts = None
    if fans is not None:
        # exact in float64: integers below 2**53
        wide_fans = fans.double().expand(-1, x.shape[1], -1)
        totals = torch.stack(
            [torch.einsum("ncp,fcp->fn", plane.double(), wide_fans) for plane in planes]
        ).long()
    if wants_counts:
        counts = torch.stack([plane.sum(dim=1) for plane in planes])
    bits = x.element_size() * 8
    return Marks(facts, totals, marks, counts, (x.numel(), bits, tolerance))


def _multiples(
    magnitude: Tensor, smallest: Tensor, largest: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """k of every element, the step c, and whether there is such a step: tensors, all three."""
    wide = magnitude.double()
    multiple, step = torch.zeros_like(wide), torch.zeros_like(smallest)
    is_levelled = torch.zeros_like(smallest, dtype=torch.bool)
    for divisor in range(1, LARGEST_LEVEL + 1):
        trial = smallest / divisor
        multiples = wide / trial
        nearest = multiples.round()
        fits = ((multiples - nearest).abs() <= tolerance * nearest).all()
        fits &= largest <= (LARGEST_LEVEL + 0.5) * trial
        fits &= (trial > 0) & ~is_levelled
        if magnitude.element_size() <= 2:
            fits &= ~_is_blurred_by_torch(wide, nearest)
        multiple = torch.where(fits, nearest, multiple)
        step = torch.where(fits, trial, step)
        is_levelled = is_levelled | fits
    return multiple, step, is_levelled


def _is_blurred_by_torch(wide: Tensor, nearest: Tensor) -> Tensor:
    """See `_is_blurred`."""
    blurred = torch.zeros((), dtype=torch.bool, device=wide.device)
    if not wide.numel():
        return blurred
    for k in range(1, LARGEST_LEVEL + 1):
        here = nearest == k
        highest = wide.masked_fill(~here, 0.0).amax()
        lowest = wide.masked_fill(~here, math.inf).amin()
        blurred = blurred | (here.any() & (highest != lowest))
    return blurred


def _read_facts(
    numbers: Sequence[float], elements: int, bits: int, tolerance: float
) -> tuple[Facts, list[int]]:
    largest, smallest, signed, units, step, *by_plane = numbers
    refuse_not_finite(largest, elements)
    planes = [index for index, count in enumerate(by_plane) if count]
    if planes and planes[0] == 0:
        planes = [*planes[1:], 0]
    return (
        Facts(
            levels=tuple(step * index if index else None for index in planes),
            elements=elements,
            nonzero=int(sum(by_plane)),
            units=int(units),
            is_signed=bool(signed),
            smallest=smallest,
            largest=largest,
            tolerance=tolerance,
            bits=bits,
        ),
        planes,
    )
