"""Stages of neurons by one operator after another: what the compiled passes must equal."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dse.neurons import fused, kernel, reference
from dse.neurons.dynamics import Dynamics
from dse.neurons.fused import Form, Norm
from dse.neurons.surrogates import (
    Arctan,
    Piecewise,
    Rectangular,
    S2nn,
    Sigmoid,
    Surrogate,
    Triangular,
)

SURROGATES: list[Surrogate] = [
    Arctan(2.0),
    Sigmoid(4.0),
    S2nn(4.0, 0.7, 0.6),
    Rectangular(1.0, 0.9),
    Triangular(0.8, 1.3),
    Piecewise(1.5, 0.5, 0.05),
]


@dataclass(frozen=True)
class Case:
    """A layer of neurons and how its currents come; numbers may be tensors that learn."""

    dynamics: Dynamics
    threshold: Tensor | float = 0.7
    leak: Tensor | float = 0.5
    gain: Tensor | float = 1.0
    initial: Tensor | float = 0.0
    current_steps: int = 1
    steps: int = 1
    pool: int = 1

    @property
    def numbers(self) -> dict[str, Tensor | float]:
        return {name: getattr(self, name) for name in ("threshold", "leak", "gain", "initial")}

    def learning(self, dtype: torch.dtype) -> "Case":
        """The same, with every number a leaf that wants its gradient."""
        return replace(
            self,
            **{
                name: torch.tensor(float(number), dtype=dtype, requires_grad=True)
                for name, number in self.numbers.items()
            },
        )


def random_currents(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    print(f"seed {seed}, shape {shape}")
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=dtype) * 2 - 0.5


def by_kernel(currents: Tensor, case: Case, norm: Norm | None = None) -> tuple[Tensor, Tensor]:
    """Pooled spikes (T * B, ...) and their number."""
    form = Form(
        output=kernel.SPIKE,
        slope=case.dynamics.surrogate.code,
        numbers=case.dynamics.surrogate.numbers,
        is_hard=case.dynamics.reset == "hard",
        is_detached=case.dynamics.is_detached,
        **case.numbers,
    )
    return fused.stage(
        currents, form, norm, current_steps=case.current_steps, steps=case.steps, pool=case.pool
    )


def by_operators(
    currents: Tensor, case: Case, integrate_fire=reference.integrate_fire
) -> tuple[Tensor, Tensor]:
    """The same, without any of our gradients but the surrogate's."""
    by_step = currents.unflatten(0, (case.current_steps, -1))
    by_step = by_step.expand(case.steps, *by_step.shape[1:])
    spikes = integrate_fire(by_step, case.dynamics, **case.numbers).flatten(0, 1)
    return pooled(spikes, case.pool), spikes.sum(dtype=torch.float64)


def pooled(values: Tensor, pool: int) -> Tensor:
    """Max-pool; nothing at all where no window fits."""
    if pool == 1:
        return values
    if min(values.shape[2:]) < pool:
        return values[..., : values.shape[2] // pool, : values.shape[3] // pool]
    return F.max_pool2d(values, pool)


def normalised(x: Tensor, norm: Norm) -> Tensor:
    """PyTorch's batch-norm; moves the running statistics."""
    return F.batch_norm(
        x,
        norm.mean,
        norm.variance,
        norm.weight * norm.factor,
        norm.bias,
        norm.is_training,
        norm.momentum,
        norm.eps,
    )


def random_norm(channels: int, seed: int, dtype: torch.dtype, *, is_training: bool) -> Norm:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand((4, channels), generator=generator, dtype=dtype)
    return Norm(
        weight=(draws[0] * 2 - 0.5).requires_grad_(),
        bias=(draws[1] + 0.1).requires_grad_(),
        mean=draws[2] - 0.5,
        variance=draws[3] + 0.05,
        eps=1e-5,
        momentum=0.1,
        factor=0.7,
        is_training=is_training,
    )


def copy_of(norm: Norm) -> Norm:
    """Parameters and running statistics of its own."""
    return replace(
        norm,
        weight=norm.weight.detach().clone().requires_grad_(),
        bias=norm.bias.detach().clone().requires_grad_(),
        mean=norm.mean.clone(),
        variance=norm.variance.clone(),
    )


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    """Equal but for a share of the largest number."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if not found.numel():
        return
    off, largest = (found - expected).abs().max().item(), expected.abs().max().item()
    assert off <= share * largest, f"off by {off}, largest {largest}"
