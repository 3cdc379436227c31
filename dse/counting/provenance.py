"""Provenance: which layers, neurons or parameters a tensor comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor comes from.

    is_constant : from parameters and buffers alone
    sources : the nearest layers or neurons that it was computed from
    is_direct : it is the very output of its one source, or a view of it
    is_after_neurons : spiking neurons lie between the input and it
    """

    is_constant: bool = False
    sources: frozenset[str] = frozenset()
    is_direct: bool = False
    is_after_neurons: bool = False

    def changed(self) -> Origin:
        """The origin of values that are no longer the source's very output."""
        if not self.is_direct:
            return self
        return Origin(sources=self.sources, is_after_neurons=self.is_after_neurons)


UNKNOWN = Origin()
CONSTANT = Origin(is_constant=True)


class Origins:
    """The origin of every living tensor of a forward pass; it keeps none of them alive."""

    def __init__(self, constants: Iterable[Tensor] = ()) -> None:
        self._known: Any = WeakTensorKeyDictionary()
        for tensor in constants:
            self._known[tensor] = CONSTANT

    def of(self, tensor: Tensor) -> Origin:
        """The origin of one tensor."""
        origin: Origin = self._known.get(tensor, UNKNOWN)
        return origin

    def set(self, tensor: Tensor, origin: Origin) -> None:
        """Say where a tensor comes from."""
        self._known[tensor] = origin

    def joined(self, tensors: Iterable[Tensor]) -> Origin:
        """The origin of something computed from these tensors: what is constant does not matter."""
        origins = [self.of(tensor) for tensor in tensors]
        moving = [origin for origin in origins if not origin.is_constant]
        if not moving:
            return CONSTANT if origins else UNKNOWN
        if len(moving) == 1:
            return moving[0]
        return Origin(
            sources=frozenset().union(*(origin.sources for origin in moving)),
            is_after_neurons=any(origin.is_after_neurons for origin in moving),
        )
