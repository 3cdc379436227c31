"""Calls: what there is to ask of one operator and of the arguments it was called with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_OWN_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler"})


def qualified(func: Any) -> str:
    """The operator's name; with its namespace if it is not one of PyTorch's own."""
    name: str = func._overloadpacket.__name__
    return name if func.namespace in _OWN_NAMESPACES else f"{func.namespace}.{name}"


def is_composite(func: Any) -> bool:
    """Whether PyTorch makes it of other operators, on every device."""
    return func._can_decompose() and torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), COMPOSITE
    )


def tensors(tree: Any) -> list[Tensor]:
    """The tensors among arguments or results."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def is_plain(args: Any) -> bool:
    """Whether no tensor is complex or nested."""
    return not any(isinstance(arg, Tensor) and (arg.is_nested or arg.is_complex()) for arg in args)


def is_dense(args: Any) -> bool:
    """Whether no tensor is sparse, or in a layout of some backend's own."""
    return all(arg.layout is torch.strided for arg in args if isinstance(arg, Tensor))


def written(func: Any) -> list[tuple[int, str]]:
    """The places and names of the arguments that an operator writes into."""
    return [
        (index, argument.name)
        for index, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
