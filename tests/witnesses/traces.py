"""Traces: everything that counting could leave behind, in a model and in the process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

_HOOKS = (
    "_forward_hooks _forward_pre_hooks _backward_hooks _backward_pre_hooks "
    "_forward_hooks_always_called _forward_hooks_with_kwargs _forward_pre_hooks_with_kwargs "
    "_state_dict_hooks _load_state_dict_pre_hooks"
).split()
_GLOBAL_HOOKS = [
    name for name in vars(torch_module) if name.startswith("_global_") and "hook" in name
]
_PATCHABLE = (torch, torch.Tensor, torch.nn, nn.Module, F, torch.jit, torch.overrides)


def of_model(model: nn.Module) -> dict[str, Any]:
    """What a model is: every value in it, and which objects hold them."""
    trace: dict[str, Any] = {}
    for name, module in model.named_modules():
        trace[f"{name}: training"] = module.training
        trace[f"{name}: attributes"] = {key: id(value) for key, value in vars(module).items()}
        trace[f"{name}: class"] = type(module)
        for hooks in _HOOKS:
            trace[f"{name}: {hooks}"] = list(getattr(module, hooks).items())
        for kind in ("_parameters", "_buffers", "_modules"):
            trace[f"{name}: {kind}"] = {k: id(v) for k, v in getattr(module, kind).items()}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        trace[f"{name}: tensor"] = of_tensor(tensor)
    trace["state_dict"] = {key: of_tensor(value) for key, value in model.state_dict().items()}
    return trace


def of_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """Values, memory and attributes of one tensor."""
    return (
        tensor.detach().clone().contiguous().view(-1).view(torch.uint8).tolist(),
        tensor.data_ptr(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
        tensor.requires_grad,
        tensor.grad,
        tensor.grad_fn,
        sorted(vars(tensor)),
        tensor._backward_hooks,
    )


def of_process() -> dict[str, Any]:
    """What is global: hooks, modes, patched functions, flags of torch, random numbers."""
    return {
        "hooks": {
            name: list(getattr(torch_module, name).items())
            for name in _GLOBAL_HOOKS
            if hasattr(getattr(torch_module, name), "items")
        },
        "dispatch modes": list(_get_current_dispatch_mode_stack()),
        "dispatch stack": torch._C._len_torch_dispatch_stack(),
        "function stack": torch._C._len_torch_function_stack(),
        "functions": {
            (str(place), name): id(value)
            for place in _PATCHABLE
            for name, value in vars(place).items()
            if callable(value)
        },
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "attention": (
            torch.backends.cuda.math_sdp_enabled(),
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
        ),
        "one dnn": torch.backends.mkldnn.enabled,
        "einsum paths": torch.backends.opt_einsum.enabled,
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "random": (
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002
        ),
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as it was; new names of lazily loaded functions do not count."""
    known = dict(before)
    if "functions" in known:
        after = dict(after)
        kept = known["functions"].keys()
        after["functions"] = {key: after["functions"].get(key) for key in kept}
    return [name for name in known.keys() | after.keys() if known.get(name) != after.get(name)]
