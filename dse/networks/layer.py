"""Layer: synapses, batch-norm, neurons and a max-pool, in one pass where nobody watches.

Time is folded into the batch for whatever has no state: (T * B, ...), time-major, so that sample b
at step t is row t * B + b. Neurons see (T, B, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from dse.architectures.positions import Position
from dse.neurons import fused, kernel
from dse.neurons.fused import Form

Maker = Callable[[Position], nn.Module]
NormKind = Literal["batch", "threshold", "none"]

_RELU = Form(output=kernel.RELU, slope=kernel.POSITIVE)
_NOTHING = Form(output=kernel.SAME, slope=kernel.ONE)
_FUSED_POOL = 2


@dataclass(slots=True)
class Watch:
    """What a pass adds up for a penalty, with gradients.

    rates : spikes by neuron and step, one of each layer of neurons
    operations : accumulates that spikes cause in each layer of synapses, per sample
    """

    wants_operations: bool = False
    rates: list[Tensor] = field(default_factory=list)
    operations: list[Tensor] = field(default_factory=list)


class ScaledBatchNorm2d(nn.BatchNorm2d):
    """Batch-norm whose weight is multiplied by a constant, so that currents fit the threshold.

    Threshold-dependent batch-norm over time and batch: Zheng, Wu, Deng, Hu and Li, AAAI 2021, with
    factor = threshold (their alpha = 1).
    """

    def __init__(self, features: int, factor: float) -> None:
        super().__init__(features)
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape."""
        return _scaled_norm(self, inputs)


class ScaledBatchNorm1d(nn.BatchNorm1d):
    """As `ScaledBatchNorm2d`, of features (B, N)."""

    def __init__(self, features: int, factor: float) -> None:
        super().__init__(features)
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, N) -> the same shape."""
        return _scaled_norm(self, inputs)


def make_norm(place: Position, kind: NormKind, threshold: float) -> nn.Module | None:
    """The norm behind the synapses of a place."""
    if kind == "none":
        return None
    if kind == "batch":
        return nn.BatchNorm2d(place.c_out) if place.kind == "conv" else nn.BatchNorm1d(place.c_out)
    scaled = ScaledBatchNorm2d if place.kind == "conv" else ScaledBatchNorm1d
    return scaled(place.c_out, threshold)


class Stage(nn.Module):
    """Batch-norm, neurons and a max-pool; each may be absent.

    activity : of the last pass: (spikes of all samples and steps, neurons x steps x samples); None
        where nothing spikes, and while somebody watches operators without training
    is_spiking : whether the outputs of its neurons are 0 or 1
    pool_first : max-pool, batch-norm, neurons: the order of Hubara et al., NeurIPS 2016, for binary
        networks. The largest of four signs is nearly always +1; pooled currents that are normalised
        afterwards have both signs. The gradient goes to the largest current of a window, and not to
        the first of several equal outputs, and the neurons are a quarter as many.
    """

    def __init__(
        self,
        norm: nn.Module | None,
        neuron: nn.Module | None,
        pool: int | None = None,
        *,
        pool_first: bool = False,
    ) -> None:
        super().__init__()
        self.pool_first = pool_first
        self.norm = norm
        self.neuron = neuron
        self.pool = nn.MaxPool2d(pool) if pool else None
        self.is_spiking = neuron is not None and spikes(neuron)
        self.activity: tuple[Tensor, int] | None = None

    def fire(self, currents: Tensor, steps: int, time_steps: int, watch: Watch | None) -> Tensor:
        """(steps * B, ...) -> (T * B, ...); steps is T, or 1 if all steps have the same currents.

        Without neurons it is (steps * B, ...) as before.
        """
        if self.neuron is None:
            time_steps = steps
        self.activity = None
        if self.pool is not None and self.pool_first:
            currents = self._pooled(currents)
        form = self._form(currents, time_steps)
        if form is None:
            outputs, count, places = self._composed(currents, steps, time_steps, watch)
        else:
            is_pooling = self.pool is not None and not self.pool_first
            outputs, count = fused.stage(
                currents,
                form,
                self._norm_values(),
                current_steps=steps,
                steps=time_steps,
                pool=_FUSED_POOL if is_pooling else 1,
            )
            places = currents.numel() // steps * time_steps
        if self.is_spiking and count is not None:
            self.activity = count.detach(), places
            if watch is not None:
                watch.rates.append(count / places)
        return outputs

    def _composed(
        self, currents: Tensor, steps: int, time_steps: int, watch: Watch | None
    ) -> tuple[Tensor, Tensor | None, int]:
        """One operator after another, as counters and tracers want to see it."""
        dtype = currents.dtype
        if dtype in (torch.bfloat16, torch.float16):
            currents = currents.float()  # potentials have 32 bits, as in the kernel
        if self.norm is not None:
            currents = self.norm(currents)
        count = None
        places = currents.numel() // steps * time_steps
        if self.neuron is not None:
            by_step = currents.unflatten(0, (steps, -1))
            by_step = by_step.expand(time_steps, *by_step.shape[1:])
            currents = self.neuron(by_step).flatten(0, 1)
            is_watched = torch._C._len_torch_dispatch_stack() > 0
            # a sum would be one more operator to whoever watches them
            if self.is_spiking and (watch is not None or not is_watched):
                count = currents.sum(dtype=torch.float64)
        if self.pool is not None and not self.pool_first:
            currents = self.pool(currents)
        return currents.to(dtype), count, places

    def _form(self, currents: Tensor, time_steps: int) -> Form | None:
        """How the kernel does all of it at once; None where it cannot, or may not."""
        inner = (self.norm, self.neuron, self.pool)
        if not kernel.takes(currents, time_steps):
            return None
        if any(module is not None and is_hooked(module) for module in inner):
            return None
        if self.pool is not None and not self.pool_first and self.pool.kernel_size != _FUSED_POOL:
            return None
        if self.norm is not None and not _is_in_kernel(self.norm, currents.dtype):
            return None
        if self.neuron is None:
            return _NOTHING if self.norm is not None else None
        if type(self.neuron) is nn.ReLU:
            return _RELU
        make_form = getattr(self.neuron, "form", None)
        form = None if make_form is None else make_form()
        return None if form is None or form.slope < 0 else form

    def _norm_values(self) -> fused.Norm | None:
        norm = self.norm
        if norm is None:
            return None
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        if norm.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        return fused.Norm(
            weight=norm.weight,
            bias=norm.bias,
            mean=norm.running_mean,  # type: ignore[arg-type]  # they are tracked
            variance=norm.running_var,  # type: ignore[arg-type]
            eps=norm.eps,
            momentum=norm.momentum,  # type: ignore[arg-type]  # there is one
            factor=getattr(norm, "factor", 1.0),
            is_training=norm.training,
        )

    def _pooled(self, currents: Tensor) -> Tensor:
        assert self.pool is not None
        is_plain = self.pool.kernel_size == _FUSED_POOL and not is_hooked(self.pool)
        if not is_plain or not kernel.takes(currents):
            pooled: Tensor = self.pool(currents)
            return pooled
        return fused.stage(currents, _NOTHING, None, current_steps=1, steps=1, pool=2)[0]


class Layer(Stage):
    """Synapses and what follows them."""

    def __init__(
        self,
        place: Position,
        synapse: nn.Module,
        norm: nn.Module | None,
        neuron: nn.Module | None,
        *,
        pool_first: bool = False,
    ) -> None:
        super().__init__(norm, neuron, place.pool, pool_first=pool_first)
        self.inflow = Inflow(place)
        self.synapse = synapse

    def forward(
        self, values: Tensor, steps: int, time_steps: int, watch: Watch | None = None
    ) -> Tensor:
        """(steps * B, ...) -> (T * B, ...); steps is T, or 1 if all steps have the same values."""
        inputs = self.inflow(values, steps)
        currents = self.synapse(inputs)
        observe(watch, self.inflow, inputs, currents, steps)
        return self.fire(currents, steps, time_steps, watch)


class Fire(Stage):
    """Neurons on currents that are there already."""

    def forward(
        self, currents: Tensor, steps: int, time_steps: int, watch: Watch | None = None
    ) -> Tensor:
        """(steps * B, ...) -> (T * B, ...)."""
        return self.fire(currents, steps, time_steps, watch)


class Inflow(nn.Module):
    """What happens to values before the synapses of a place: average, flatten, dropout."""

    def __init__(self, place: Position) -> None:
        super().__init__()
        self.place = place

    def forward(self, values: Tensor, steps: int) -> Tensor:
        """(steps * B, ...) -> what the synapses take."""
        if self.place.average:
            values = values.mean((2, 3))
        if self.place.flatten:
            values = values.flatten(1)
        if self.training and self.place.dropout > 0.0:
            by_step = values.unflatten(0, (steps, -1))
            # one draw for all steps: else what one step drops another lets through
            draws = torch.rand_like(by_step[0], dtype=torch.float32)  # 16 bits are too coarse
            kept = (draws >= self.place.dropout).to(values.dtype)
            values = (by_step * kept.div_(1.0 - self.place.dropout)).flatten(0, 1)
        return values

    def extra_repr(self) -> str:
        place = self.place
        words = ["average"] * place.average + ["flatten"] * place.flatten
        return ", ".join([*words, f"dropout={place.dropout}"] if place.dropout else words)


def observe(
    watch: Watch | None, inflow: Inflow, inputs: Tensor, currents: Tensor, steps: int
) -> None:
    """Add the accumulates that the inputs cause, per sample, if asked for.

    They are the sum of the inputs times the fan-out, for which the layer's dense products over its
    inputs stand: exact where all inputs have the same fan-out, as of a fully connected layer; a
    convolution also counts taps on its border, and its stride may skip inputs. A 2, of two spikes
    that were added, counts twice, and an average over maps as much as it is. The first layer is
    left out: its inputs are data, whose cost no training changes.
    """
    place = inflow.place
    if watch is None or not watch.wants_operations or place.role == "first":
        return
    products = currents[0].numel() * place.c_in * place.kernel**2
    fan_out = products / inputs[0].numel()
    samples = inputs.shape[0] // steps
    watch.operations.append(inputs.sum(dtype=torch.float64) * (fan_out / samples))


def _scaled_norm(norm: ScaledBatchNorm1d | ScaledBatchNorm2d, inputs: Tensor) -> Tensor:
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return nn.functional.batch_norm(
        inputs,
        norm.running_mean,
        norm.running_var,
        norm.weight * norm.factor,
        norm.bias,
        norm.training,
        norm.momentum or 0.0,
        norm.eps,
    )


def spikes(neuron: nn.Module) -> bool:
    """Whether the outputs of a neuron are 0 or 1."""
    form = getattr(neuron, "form", None)
    return form is not None and form().output == kernel.SPIKE


def _is_in_kernel(norm: nn.Module, dtype: torch.dtype) -> bool:
    """A batch-norm whose running statistics move by a share; a mean over all batches does not."""
    return (
        isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        and norm.weight.dtype == kernel.COMPUTED[dtype]
        and norm.momentum is not None
        and norm.affine
        and norm.track_running_stats
    )


def is_hooked(module: nn.Module) -> bool:
    """Somebody wants to hear of its calls."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
