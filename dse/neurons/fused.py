"""Fused: batch-norm, neurons over T steps and a 2x2 max-pool in one pass over a layer's currents.

The library's operators write each of these to memory, forwards and backwards, which takes longer
than the convolutions between them. Here only the currents and the pooled outputs exist. Spikes are
those of the operators, bit for bit, where the affine map is the same: without a norm and in
evaluation. In training the statistics are summed in double, and differ from PyTorch's by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dse.neurons import kernel
from dse.neurons.kernel import COMPUTED, DTYPES, SPIKE, NormTask, Task

Number = Tensor | float


@dataclass(frozen=True, slots=True)
class Form:
    """What the kernel needs to know of a neuron.

    output, slope : codes of `kernel.cpp`       numbers : of the slope
    threshold, leak, gain, initial : one for all neurons; a tensor gets its gradient
    """

    output: int
    slope: int
    numbers: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_hard: bool = True
    is_detached: bool = True
    threshold: Number = 0.0
    leak: Number = 0.0
    gain: Number = 1.0
    initial: Number = 0.0


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch-norm over all but the channels.

    weight, bias, mean, variance : (C,); mean and variance are the running ones
    momentum : of the running statistics        factor : that multiplies the weight
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor
    eps: float
    momentum: float
    factor: float
    is_training: bool


def stage(
    currents: Tensor, form: Form, norm: Norm | None, *, current_steps: int, steps: int, pool: int
) -> tuple[Tensor, Tensor]:
    """Outputs (T * B, C, H', W') or (T * B, C), channels last, and the number of spikes, a 0-dim
    tensor that has a gradient as well.

    currents : (current_steps * B, C, H, W) or (.., C); current_steps is T, or 1: the same each step
    pool : 2, or 1 for none
    """
    if current_steps not in (1, steps) or currents.shape[0] % current_steps:
        raise ValueError(
            f"neuron kernel: {currents.shape[0]} rows of {current_steps} steps: must be those of 1 "
            f"or of all {steps} steps"
        )
    if norm is not None:
        _refuse_norm(norm, currents)
    outputs, spikes = _Stage.apply(
        _channels_last(currents),
        None if norm is None else norm.weight,
        None if norm is None else norm.bias,
        form.threshold,
        form.leak,
        form.gain,
        form.initial,
        form,
        norm,
        (current_steps, steps, pool),
    )
    return outputs, spikes


def _refuse_norm(norm: Norm, currents: Tensor) -> None:
    channels = currents.shape[1]
    if norm.weight.numel() != channels:
        raise ValueError(
            f"batch-norm of {norm.weight.numel()} channels on currents of {channels}: "
            "must be as many"
        )
    numbers = (norm.weight, norm.bias, norm.mean, norm.variance)
    wanted = COMPUTED[currents.dtype]
    if any(n.dtype != wanted or not n.is_contiguous() for n in numbers):
        raise ValueError(f"batch-norm of {norm.weight.dtype}: must be dense, of {wanted}")
    if norm.is_training and currents.numel() == channels:
        raise ValueError(  # as PyTorch: a variance of one value does not exist
            f"batch-norm on {tuple(currents.shape)}: must be more than one value per channel "
            "to train"
        )


class _Stage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        currents: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        threshold: Number,
        leak: Number,
        gain: Number,
        initial: Number,
        form: Form,
        norm: Norm | None,
        sizes: tuple[int, int, int],
    ) -> tuple[Tensor, Tensor]:
        affine, statistics = (None, None) if norm is None else _affine(currents, norm)
        task = _task(currents, form, affine, sizes)
        shape = (sizes[1] * task.samples, task.channels)
        if currents.dim() == 4:
            outputs = torch.empty(
                (*shape, task.height // task.pool, task.width // task.pool),
                dtype=currents.dtype,
                memory_format=torch.channels_last,
            )
        else:
            outputs = torch.empty(shape, dtype=currents.dtype)
        spikes = torch.zeros((), dtype=torch.float64)
        task.outputs, task.spikes = outputs.data_ptr(), spikes.data_ptr()
        kernel.forward(task)
        # the weight too: PyTorch then refuses a backward pass after it was changed
        ctx.save_for_backward(currents, outputs, affine, statistics, weight)
        ctx.form, ctx.norm, ctx.sizes = form, norm, sizes
        if form.output != SPIKE:
            ctx.mark_non_differentiable(spikes)
        return outputs, spikes

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_outputs: Tensor | None, grad_spikes: Tensor | None
    ) -> tuple[Any, ...]:
        currents, outputs, affine, statistics, _ = ctx.saved_tensors
        form, norm = ctx.form, ctx.norm
        task = _task(currents, form, affine, ctx.sizes)
        if grad_outputs is None:
            grad_outputs = torch.zeros_like(outputs)
        arriving = _channels_last(grad_outputs.to(outputs.dtype))
        gradient = torch.empty_like(currents)
        sums = torch.zeros(2, task.channels, dtype=torch.float64)
        parameters = torch.zeros(4, dtype=torch.float64)
        wants = ctx.needs_input_grad
        task.learns = any(wants[3:7])
        task.outputs, task.grad_outputs = outputs.data_ptr(), arriving.data_ptr()
        task.grad_spikes = 0.0 if grad_spikes is None else grad_spikes.item()
        task.grad_currents = gradient.data_ptr()
        task.sums, task.parameters = sums.data_ptr(), parameters.data_ptr()
        kernel.backward(task)
        grad_weight = grad_bias = None
        if norm is not None:
            grad_weight, grad_bias = _through_norm(gradient, currents, sums, norm, statistics)
        learned = [
            parameters[i].to(number.dtype) if wanted else None
            for i, (wanted, number) in enumerate(
                zip(wants[3:7], (form.threshold, form.leak, form.gain, form.initial), strict=True)
            )
        ]
        return gradient, grad_weight, grad_bias, *learned, None, None, None


def _task(currents: Tensor, form: Form, affine: Tensor | None, sizes: tuple[int, int, int]) -> Task:
    current_steps, steps, pool = sizes
    rows, channels = currents.shape[:2]
    height, width = currents.shape[2:] if currents.dim() == 4 else (1, 1)
    slope_0, slope_1, slope_2 = form.numbers
    return Task(
        steps=steps,
        current_steps=current_steps,
        samples=rows // current_steps,
        height=height,
        width=width,
        channels=channels,
        pool=pool,
        output=form.output,
        is_hard=form.is_hard,
        is_detached=form.is_detached,
        slope=form.slope,
        threads=torch.get_num_threads(),
        dtype=DTYPES[currents.dtype],
        slope_0=slope_0,
        slope_1=slope_1,
        slope_2=slope_2,
        threshold=float(form.threshold),
        leak=float(form.leak),
        gain=float(form.gain),
        initial=float(form.initial),
        currents=currents.data_ptr(),
        scale=None if affine is None else affine[0].data_ptr(),
        shift=None if affine is None else affine[1].data_ptr(),
    )


def _affine(currents: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Scale and shift (2, C), and mean and variance (2, C) in double; moves the running ones."""
    computed = COMPUTED[currents.dtype]
    if not norm.is_training:
        statistics = torch.stack([norm.mean, norm.variance])
        # asked of PyTorch, since how often it rounds depends on the processor
        zeros = torch.zeros_like(norm.mean)
        scale = _normalised(zeros + 1, norm, mean=zeros, bias=zeros)
        shift = _normalised(zeros, norm, mean=norm.mean, bias=norm.bias)
        return torch.stack([scale, shift]).to(computed), statistics.double()
    channels = currents.shape[1]
    sums = kernel.moments(currents, channels)
    affine = torch.empty(2, channels, dtype=computed)
    statistics = torch.empty(2, channels, dtype=torch.float64)
    task = _norm_task(norm, currents, sums, statistics)
    task.first, task.bias, task.affine = (
        currents.data_ptr(),
        norm.bias.data_ptr(),
        affine.data_ptr(),
    )
    task.mean, task.variance = norm.mean.data_ptr(), norm.variance.data_ptr()
    kernel.settle(task)
    for moved in (norm.mean, norm.variance):
        torch.autograd.graph.increment_version(moved)  # who keeps a version sees that they moved
    return affine, statistics


def _norm_task(norm: Norm, currents: Tensor, sums: Tensor, statistics: Tensor) -> NormTask:
    channels = currents.shape[1]
    return NormTask(
        channels=channels,
        samples=currents.numel() // channels,
        dtype=DTYPES[currents.dtype],
        is_training=norm.is_training,
        eps=norm.eps,
        momentum=norm.momentum,
        factor=norm.factor,
        sums=sums.data_ptr(),
        weight=norm.weight.data_ptr(),
        statistics=statistics.data_ptr(),
    )


def _normalised(row: Tensor, norm: Norm, *, mean: Tensor, bias: Tensor) -> Tensor:
    """One row (C,) through PyTorch's batch-norm in evaluation."""
    weight = norm.weight * norm.factor
    return functional.batch_norm(row[None], mean, norm.variance, weight, bias, eps=norm.eps)[0]


def _through_norm(
    gradient: Tensor, currents: Tensor, sums: Tensor, norm: Norm, statistics: Tensor
) -> tuple[Tensor, Tensor]:
    """Turns the gradient of the normalised currents into that of the currents, in place.

    sums : (2, C), of the gradient, and of it times the currents
    Returns the gradients of weight and bias. Ioffe and Szegedy, ICML 2015, section 3.
    """
    factors = torch.empty(3, sums.shape[1], dtype=COMPUTED[currents.dtype])
    grad_weight, grad_bias = torch.empty_like(norm.weight), torch.empty_like(norm.bias)
    task = _norm_task(norm, currents, sums, statistics)
    task.factors = factors.data_ptr()
    task.grad_weight, task.grad_bias = grad_weight.data_ptr(), grad_bias.data_ptr()
    kernel.spread(task)
    kernel.combine(gradient, currents, factors)
    return grad_weight, grad_bias


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x.contiguous()
