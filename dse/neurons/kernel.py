"""Kernel: the compiled passes of `kernel.cpp`; `takes` says whether they can be used."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

LONGEST = 64  # time steps
DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
COMPUTED = {
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.bfloat16: torch.float32,
}
_VERSION = 4
_ASKED_WRONGLY = 1  # what a call returns
# What PyTorch says of the processor -> what the library was compiled for, best first
_BUILDS = {"AVX512": ("v4", "v3", "plain"), "AVX2": ("v3", "plain")}

SPIKE, SIGN, RELU, SAME = range(4)
POSITIVE, ONE = 6, 7  # slopes of rectified linear units and of doing nothing


class Task(ctypes.Structure):
    """One call; see `kernel.cpp`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "current_steps", "samples")),
        *((name, ctypes.c_int64) for name in ("height", "width", "channels")),
        *((name, ctypes.c_int32) for name in ("pool", "output", "is_hard", "is_detached")),
        *((name, ctypes.c_int32) for name in ("slope", "learns", "threads", "dtype")),
        *((name, ctypes.c_double) for name in ("slope_0", "slope_1", "slope_2")),
        *((name, ctypes.c_double) for name in ("threshold", "leak", "gain", "initial")),
        *((name, ctypes.c_void_p) for name in ("currents", "scale", "shift", "outputs")),
        ("spikes", ctypes.c_void_p),
        ("grad_outputs", ctypes.c_void_p),
        ("grad_spikes", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("grad_currents", "sums", "parameters")),
    )


class NormTask(ctypes.Structure):
    """One call for a batch-norm; see `kernel.cpp`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "samples")),
        *((name, ctypes.c_int32) for name in ("dtype", "is_training")),
        *((name, ctypes.c_double) for name in ("eps", "momentum", "factor")),
        *((name, ctypes.c_void_p) for name in ("first", "sums", "weight", "bias")),
        *((name, ctypes.c_void_p) for name in ("mean", "variance", "statistics", "affine")),
        *((name, ctypes.c_void_p) for name in ("factors", "grad_weight", "grad_bias")),
    )


def _load() -> tuple[str, ctypes.CDLL | None]:
    """The fastest build that is there and that this processor, as PyTorch uses it, can run."""
    capability = torch.backends.cpu.get_cpu_capability()
    for build in _BUILDS.get(capability, ("plain",)):
        try:
            # after torch, whose OpenMP it then shares
            library = ctypes.CDLL(str(Path(__file__).with_name(f"libneurons-{build}.so")))
            if library.dse_neurons_version() != _VERSION:
                continue  # built from another version of the source
            if library.dse_neurons_task_bytes() != ctypes.sizeof(Task) + ctypes.sizeof(NormTask):
                continue
            pointer, whole = ctypes.c_void_p, ctypes.c_int64
            library.dse_neurons_moments.argtypes = [
                ctypes.c_int, pointer, whole, whole, pointer, ctypes.c_int,
            ]  # fmt: skip
            library.dse_neurons_combine.argtypes = [
                ctypes.c_int, pointer, pointer, pointer, whole, whole, ctypes.c_int,
            ]  # fmt: skip
        except (OSError, AttributeError):
            continue
        return build, library
    return "none", None


_build, _library = _load()


def available() -> bool:
    """Whether the kernel was compiled when the package was built."""
    return _library is not None


def build() -> str:
    """Which one computes: `v4`, `v3`, `plain`, or `none` where PyTorch does it."""
    return _build if _library is not None else "none"


def takes(x: Tensor, steps: int = 1) -> bool:
    """Whether the kernel can work on this tensor, and nobody watches the operators."""
    return (
        _library is not None
        and steps <= LONGEST
        and x.device.type == "cpu"
        and x.layout == torch.strided
        and x.dtype in DTYPES
        and x.numel() > 0
        and type(x) in (Tensor, torch.nn.Parameter)
        # what counts or traces operators must see them
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
    )


def forward(task: Task) -> None:
    """Outputs and the number of spikes."""
    _check(_loaded().dse_neurons_forward(ctypes.byref(task)), task)


def backward(task: Task) -> None:
    """Gradient of the currents behind the affine map, and its sums."""
    _check(_loaded().dse_neurons_backward(ctypes.byref(task)), task)


def moments(x: Tensor, channels: int) -> Tensor:
    """(2, C) float64: sums and sums of squares of rows less the first one.

    x : (rows, C) in memory, dense with its channels last
    """
    sums = torch.zeros(2, channels, dtype=torch.float64)
    _check(
        _loaded().dse_neurons_moments(
            DTYPES[x.dtype],
            x.data_ptr(),
            x.numel() // channels,
            channels,
            sums.data_ptr(),
            torch.get_num_threads(),
        )
    )
    return sums


def combine(gradient: Tensor, x: Tensor, factors: Tensor) -> None:
    """gradient <- a gradient + b x + c in place.

    factors : (3, C), in the dtype of computing
    """
    channels = factors.shape[1]
    _check(
        _loaded().dse_neurons_combine(
            DTYPES[x.dtype],
            gradient.data_ptr(),
            x.data_ptr(),
            factors.data_ptr(),
            x.numel() // channels,
            channels,
            torch.get_num_threads(),
        )
    )


def settle(task: NormTask) -> None:
    """From sums: affine map and statistics of a batch, and the running ones moved."""
    _loaded().dse_neurons_settle(ctypes.byref(task))


def spread(task: NormTask) -> None:
    """From sums of gradients: those of weight and bias, and the factors of `combine`."""
    _loaded().dse_neurons_spread(ctypes.byref(task))


def _loaded() -> ctypes.CDLL:
    if _library is None:
        raise RuntimeError("neuron kernel: not compiled; ask `takes` first")
    return _library


def _check(code: int, task: Task | None = None) -> None:
    if code == _ASKED_WRONGLY and task is not None:
        raise ValueError(
            f"neuron kernel: {task.steps} steps, pool {task.pool}, slope {task.slope}: must be 1 "
            f"to {LONGEST} steps, a pool of 1 or 2, and a slope of kernel.cpp"
        )
    if code:
        raise MemoryError("neuron kernel: no memory for partial sums")
