"""Provenance: which layers, neurons or parameters a tensor comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
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
    """The origin of every living tensor; it keeps alive only what data were written over."""

    def __init__(self, constants: Iterable[Tensor] = ()) -> None:
        self._known: Any = WeakTensorKeyDictionary()
        self._written: dict[int, tuple[Any, Origin]] = {}
        for tensor in constants:
            self._known[tensor] = CONSTANT

    def of(self, tensor: Tensor) -> Origin:
        """The origin of one tensor."""
        origin: Origin = self._known.get(tensor, UNKNOWN)
        if origin.is_constant and self._written:
            _, origin = self._written.get(_address(tensor), (None, origin))
        return origin

    def set(self, tensor: Tensor, origin: Origin) -> None:
        """Say where a tensor comes from."""
        self._known[tensor] = origin

    def write(self, tensor: Tensor, origin: Origin) -> None:
        """Data were written into a tensor: what shares its memory is no constant any more.

        A buffer that keeps a state, or a view of one, is the usual case.
        """
        if not origin.is_constant and _has_memory(tensor):
            # the storage is held, so that its address means nothing else as long as we know it
            self._written[_address(tensor)] = (tensor.untyped_storage(), origin.changed())

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


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested and tensor.numel() > 0


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if _has_memory(tensor) else 0
