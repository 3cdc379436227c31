"""Snapshot: a model as it was before counting, put back whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# torch's own bookkeeping, which no forward pass of a model replaces
_OF_TORCH = frozenset(name for name in nn.Module().__dict__ if name != "training")


@contextmanager
def counting_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every flag, buffer and state is as before.

    Restored: the training flag of each module, buffers (values and identity), whatever else the
    modules keep in attributes (membrane potentials, lists of states, counters), and the state of
    the random numbers.
    """
    restore = [_restorer(module) for module in model.modules()]
    with torch.random.fork_rng(devices=_devices(model)), torch.no_grad():
        try:
            model.eval()
            yield
        finally:
            for put_back in restore:
                put_back()


def _restorer(module: nn.Module) -> Callable[[], None]:
    """Remember one module; the returned function puts it back."""
    is_training = getattr(module, "training", None)  # a frozen scripted module has no such flag
    attributes = _attributes(module)
    # a scripted module has a view of its buffers instead of a dictionary; they stay in place
    is_scripted = type(module._buffers) is not dict
    buffers = dict(module.named_buffers(recurse=False) if is_scripted else module._buffers)
    contents = [_remember(value) for value in (*attributes.values(), *buffers.values())]

    def put_back() -> None:
        if is_training is not None:
            module.training = is_training
        for name in set(_attributes(module)) - set(attributes):
            delattr(module, name)
        module.__dict__.update(attributes)
        if not is_scripted:
            module._buffers.clear()
            module._buffers.update(buffers)
        for restore_content in contents:
            restore_content()

    return put_back


def _remember(value: Any) -> Callable[[], None]:
    """Remember what is inside a tensor or a container that a forward pass may change in place."""
    if isinstance(value, Tensor):
        clone = value.detach().clone()

        def put_back() -> None:
            value.data.copy_(clone)

    elif type(value) in (list, dict, tuple):
        items = value.copy() if type(value) is not tuple else value
        inner = [_remember(item) for item in (items.values() if type(items) is dict else items)]

        def put_back() -> None:
            if type(value) is not tuple:
                value.clear()
                (value.update if type(value) is dict else value.extend)(items)
            for put_back_item in inner:
                put_back_item()

    else:

        def put_back() -> None:
            """Nothing inside can change."""

    return put_back


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in module.__dict__.items() if name not in _OF_TORCH}


def _devices(model: nn.Module) -> list[int]:
    found = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    return sorted(index for index in found if index is not None)
