"""Drives a tape: the smallest listener that shows it every operator, with module and row."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dse.counting.tape import Tape

PRODUCTS = {"addmm", "mm", "convolution", "bmm"}


class Recorder(TorchDispatchMode):
    """Shows a tape what runs; a product's row is called by the module that it runs in."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.tape = Tape([*model.parameters(), *model.buffers()])
        self.names = {id(module): name for name, module in model.named_modules()}
        self.stack = [""]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        key = torch._C.DispatchKey.CompositeImplicitAutograd
        is_composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)
        if is_composite and func._can_decompose():
            with self:
                return func.decompose(*args, **kwargs)
        output = func(*args, **kwargs)
        is_product = func._overloadpacket.__name__ in PRODUCTS
        row = (self.stack[-1] or func._overloadpacket.__name__) if is_product else None
        self.tape.see(func, args, kwargs, output, self.stack[-1], row)
        return output

    def enter(self, module: nn.Module, args: Any) -> None:
        self.stack.append(self.names.get(id(module), f"{self.stack[-1]}.{type(module).__name__}"))

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.stack.pop()


def record(model: nn.Module, *inputs: Any) -> tuple[Tape, Any]:
    """Run a model once; returns the tape and the model's output."""
    recorder = Recorder(model)
    before = register_module_forward_pre_hook(recorder.enter)
    after = register_module_forward_hook(recorder.leave, always_call=True)
    try:
        with recorder:
            output = model(*inputs)
    finally:
        before.remove()
        after.remove()
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
    recorder.tape.opaque("output", leaves, [])
    return recorder.tape, output
