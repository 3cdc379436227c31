"""Provenance: which tensors are made of parameters alone, and which are a layer's very output."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.weak import TensorWeakRef

_UNKNOWN = object()


class Constants:
    """The tensors that come from parameters and buffers alone; `known`: the ids that may be some.

    Everything else is data: the rare constants that are made on the way are remembered, so that an
    operator on data costs one look into a dictionary.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.given = tuple(tensors)
        self.known: dict[int, Any] = {id(tensor): None for tensor in self.given}
        self._lasting = {_address(tensor) for tensor in self.given} - {0}
        self._written: dict[int, Any] = {}
        self._read: set[int] = set()
        self.was_read_before_written = False

    def has(self, tensor: Any) -> bool:
        """Whether a tensor is constant."""
        identity = id(tensor)
        if identity not in self.known:
            return False
        reference = self.known[identity]
        if reference is not None and reference() is not tensor:
            del self.known[identity]  # another one lived at this address
            return False
        return not self._written or _address(tensor) not in self._written

    def are_all(self, args: Any, kwargs: Any) -> bool:
        """Whether an operator reads tensors, and constant ones alone."""
        if args:
            first = args[0]
            if isinstance(first, Tensor) and id(first) not in self.known:
                return False
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        return bool(tensors) and all(self.has(tensor) for tensor in tensors)

    def add(self, output: Any) -> None:
        """An operator made this of constants."""
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor) and self.known.get(id(leaf), _UNKNOWN) is not None:
                self.known[id(leaf)] = TensorWeakRef(leaf)

    def is_weight(self, tensor: Tensor) -> bool:
        """Whether a factor of a product is constant; scripted code shows it by memory alone."""
        if self.has(tensor):
            return True
        return self.is_lasting(tensor) and _address(tensor) not in self._written

    def is_lasting(self, tensor: Tensor) -> bool:
        """Whether it is the memory of a parameter or buffer: the same at the next call."""
        return _address(tensor) in self._lasting

    def read_as_weights(self, *factors: Tensor) -> None:
        """A product of these was left out, as made once of parameters alone."""
        self._read.update(_address(factor) for factor in factors)

    def write(self, tensor: Tensor) -> None:
        """Data were written into a constant: what shares its memory is no constant any more.

        A buffer that keeps a state, or a view of one, is the usual case.
        """
        if self.has(tensor) and (address := _address(tensor)):
            self.was_read_before_written |= address in self._read
            # the storage is held, so that its address means nothing else as long as we know it
            self._written[address] = tensor.untyped_storage()


def frozen_constants(model: nn.Module) -> Iterator[Tensor]:
    """The tensors that freezing a scripted model has written into its code."""
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            graph = getattr(module, "inlined_graph", None)
            for node in [] if graph is None else graph.findAllNodes("prim::Constant"):
                if node.output().type().kind() == "TensorType" and node.hasAttribute("value"):
                    yield node.t("value")


class Outputs:
    """The tensors that are a layer's very output, or a view or copy of it.

    known : the ids that may be some
    """

    def __init__(self) -> None:
        self.known: dict[int, tuple[weakref.ref[Tensor], str]] = {}

    def add(self, tensor: Tensor, row: str) -> None:
        """A layer made this."""
        self.known[id(tensor)] = (weakref.ref(tensor), row)

    def row(self, tensor: Any) -> str | None:
        """The layer whose output this is."""
        found = self.known.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else None

    def drop(self, tensor: Any) -> None:
        """It was written into."""
        self.known.pop(id(tensor), None)

    def clear(self) -> None:
        """Forget all of them."""
        self.known.clear()


def _address(tensor: Tensor) -> int:
    is_plain = tensor.layout is torch.strided and not tensor.is_nested and tensor.numel() > 0
    return tensor.untyped_storage().data_ptr() if is_plain else 0
