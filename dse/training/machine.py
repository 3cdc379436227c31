"""Machine: settings of PyTorch and of the C library under which small trainings run faster."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

# of <malloc.h> of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEPT_BYTES = 1 << 30  # freed memory above the top that is not given back
_TOP_PAD_BYTES = 1 << 26
# float32 errs by some 1e-7 of the largest sum of products, bfloat16 by some 1e-3
_FLOAT32_ERROR = 1e-5
# 2.2 was seen on AMD Zen 5, 1.1 on Zen 4: the answer must not change from process to process
_TIMES_FASTER = 1.5
_TIMED = 15
_LARGE = 1 << 16  # weights of a matrix


@contextmanager
def fast(model: nn.Module) -> Iterator[None]:
    """Inside, products of float32 matrices on a CPU go the fastest way that is still float32.

    Everything is as before afterwards. Other code must not ask for
    `torch.get_float32_matmul_precision` inside (`torch.compile` does): PyTorch refuses to answer.
    """
    with _onednn(route(model) == "onednn"):
        yield


def route(model: nn.Module) -> str:
    """Which library multiplies matrices of a model in `fast`: `onednn`, or PyTorch's `default`.

    The two add up in another order, so this is part of what a training must have in common with
    another to give the same bits. oneDNN is asked only for a model with a large matrix: each call
    costs some 30 us more. And only where it was measured, once a process, to be much faster (MKL
    takes a slow way on some processors of AMD) and to keep float32, which it does not with AMX.
    """
    linear = (one.weight.numel() for one in model.modules() if isinstance(one, nn.Linear))
    is_large = max(linear, default=0) >= _LARGE
    return "onednn" if is_large and _is_onednn_better() else "default"


@functools.lru_cache(maxsize=1)
def _is_onednn_better() -> bool:
    """Whether oneDNN keeps float32 and is far faster, so that noise does not decide."""
    if _matmul() is None or torch.cpu._is_amx_tile_supported():
        return False
    generator = torch.Generator().manual_seed(0)
    values, weights = (torch.randn(n, 512, generator=generator) for n in (64, 512))
    exact = values.double() @ weights.double().T
    seconds = {False: math.inf, True: math.inf}
    error = math.inf
    with torch.inference_mode():
        for is_onednn in (False, True) * _TIMED:
            with _onednn(is_onednn):
                start_s = time.perf_counter()
                found = nn.functional.linear(values, weights)
                seconds[is_onednn] = min(seconds[is_onednn], time.perf_counter() - start_s)
        error = ((found.double() - exact).abs().max() / exact.abs().max()).item()
    return error < _FLOAT32_ERROR and seconds[False] > _TIMES_FASTER * seconds[True]


@contextmanager
def deterministic(device: torch.device, is_wanted: bool) -> Iterator[None]:
    """Inside, only deterministic kernels if it is wanted; what was set before comes back."""
    if not is_wanted:
        yield
        return
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


@functools.lru_cache(maxsize=1)
def keep_memory() -> bool:
    """Tell the GNU C library to keep freed memory for this process; says whether it was told.

    Every step frees its gradients and activations, and takes as much again. By default the large
    ones are given back to the system, and their pages cleared anew. Done once a process, and never
    undone; skipped where there is another C library, or where the user has set it up himself.
    """
    names = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")
    own = any(name in os.environ for name in (*names, "MALLOC_MMAP_THRESHOLD_"))
    if own or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - no other C library has it
        mallopt = library.mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(
        mallopt(option, value) == 1
        for option, value in (
            (_M_MMAP_MAX, 0),
            (_M_TRIM_THRESHOLD, _KEPT_BYTES),
            (_M_TOP_PAD, _TOP_PAD_BYTES),
        )
    )


@contextmanager
def _onednn(is_wanted: bool) -> Iterator[None]:
    matmul = _matmul()
    if matmul is None or not is_wanted:
        yield
        return
    before = matmul.fp32_precision
    # without AMX, "may round to bfloat16" only means that oneDNN is asked in place of MKL
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _matmul() -> Any:
    """The switch, None where this PyTorch or this build has none."""
    if not torch.backends.mkldnn.is_available():
        return None
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return matmul if hasattr(matmul, "fp32_precision") else None
