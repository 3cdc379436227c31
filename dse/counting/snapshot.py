"""Snapshot: a model as it was before counting, put back whatever happens in between."""

from __future__ import annotations

import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# torch's own bookkeeping, which no forward pass of a model replaces
_OF_TORCH = frozenset(name for name in nn.Module().__dict__ if name != "training")


@contextmanager
def counting_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every flag, buffer and state is as before.

    Restored: the training flag of each module, buffers, whatever else the modules keep in
    attributes (membrane potentials, containers of states, counters), the memory of parameters, and
    the state of Python's, NumPy's and PyTorch's random numbers. Not restored: parameters that the
    model changes in place, which would double the memory.
    """
    seen: set[int] = set()
    restore = [_restorer(module, seen) for module in model.modules()]
    python_random, numpy_random = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=_devices(model)), torch.no_grad(), _EAGER:
        try:
            model.eval()
            yield
        finally:
            random.setstate(python_random)
            np.random.set_state(numpy_random)  # noqa: NPY002
            with ExitStack() as stack:  # each is put back, also when another one cannot be
                for put_back in restore:
                    stack.callback(put_back)


class _Eager:
    """Compiled models run as they were written; for all threads that count, until the last ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stance: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            # without the compiler's module nothing can have been compiled; it takes seconds to load
            if self._stance is None and "torch._dynamo" in sys.modules:
                self._stance = torch.compiler.set_stance("force_eager")
                self._stance.__enter__()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._stance is not None:
                stance, self._stance = self._stance, None
                stance.__exit__(None, None, None)


_EAGER = _Eager()


def _restorer(module: nn.Module, seen: set[int]) -> Callable[[], None]:
    """Remember one module; the returned function puts it back."""
    is_training = getattr(module, "training", None)  # a frozen scripted module has no such flag
    attributes = _attributes(module)
    # a scripted module has views of its tensors instead of dictionaries; they stay in place
    is_scripted = type(module._buffers) is not dict
    buffers = dict(module.named_buffers(recurse=False) if is_scripted else module._buffers)
    parameters: dict[str, Any] = {} if is_scripted else dict(module._parameters)
    contents = [_remember(value, seen) for value in (*attributes.values(), *buffers.values())]
    contents += [_remember_memory(value) for value in parameters.values() if value is not None]

    def put_back() -> None:
        if is_training is not None:
            module.training = is_training
        for name in set(_attributes(module)) - set(attributes):
            delattr(module, name)
        module.__dict__.update(attributes)
        if not is_scripted:
            module._buffers.clear()
            module._buffers.update(buffers)
            module._parameters.clear()
            module._parameters.update(parameters)
        for restore_content in contents:
            restore_content()

    return put_back


def _remember(value: Any, seen: set[int]) -> Callable[[], None]:
    """Remember what is inside a tensor or a container that a forward pass may change in place."""
    if id(value) in seen:
        return _nothing
    if isinstance(value, Tensor | np.ndarray | list | deque | dict | set | tuple):
        seen.add(id(value))
    if isinstance(value, Tensor):
        is_plain = value.layout is torch.strided and not value.is_nested
        return _remember_tensor(value) if is_plain else _nothing
    if isinstance(value, np.ndarray):
        array = value.copy()
        return lambda: value.__setitem__(..., array)
    if isinstance(value, list | deque | dict | set | tuple):
        return _remember_container(value, seen)
    return _nothing


def _remember_tensor(tensor: Tensor) -> Callable[[], None]:
    memory, clone = tensor.data, tensor.detach().clone()

    def put_back() -> None:
        tensor.data = memory
        # memory that overlaps itself (an expanded buffer) cannot be written to, nor has it been
        if not torch.equal(memory, clone):
            memory.copy_(clone)

    return put_back


def _remember_memory(parameter: Tensor) -> Callable[[], None]:
    """Binary networks exchange the memory of a weight in their forward pass."""
    memory = parameter.data

    def put_back() -> None:
        parameter.data = memory

    return put_back


def _remember_container(value: Any, seen: set[int]) -> Callable[[], None]:
    items = dict(value) if isinstance(value, dict) else list(value)
    inner = [
        _remember(item, seen) for item in (items.values() if isinstance(items, dict) else items)
    ]

    def put_back() -> None:
        if not isinstance(value, tuple):
            value.clear()
            (value.update if isinstance(value, dict | set) else value.extend)(items)
        for put_back_item in inner:
            put_back_item()

    return put_back


def _nothing() -> None:
    """Nothing inside can change, or somebody else puts it back."""


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in module.__dict__.items() if name not in _OF_TORCH}


def _devices(model: nn.Module) -> list[int]:
    found = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    return sorted(index for index in found if index is not None)
