"""Small networks of neurons written by hand, and what is found in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from recorder import record
from torch import Tensor, nn

from dse.counting.dataflow import FoundNeurons

T = 4


class Fn(nn.Module):
    """A model that is one function of its modules and the input."""

    def __init__(self, function: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Neuron(nn.Module):
    """One step of leaky neurons with a soft reset; the potential is kept as `v`."""

    def __init__(self, leak: float = 0.5, threshold: float = 1.0, v: Any = 0.0) -> None:
        super().__init__()
        self.leak, self.threshold, self.v = leak, threshold, v

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v * self.leak + x
        s = (self.v >= self.threshold).float()
        self.v = self.v - s * self.threshold
        return s


def linear(n_in: int, n_out: int) -> nn.Linear:
    """A layer whose weights are mostly above zero, so that neurons spike."""
    layer = nn.Linear(n_in, n_out)
    layer.weight.data = layer.weight.data.abs() * 2
    return layer


def observed(
    model: nn.Module, x: Tensor, context: Callable[[], Any] = torch.no_grad
) -> tuple[list[FoundNeurons], list[str]]:
    """Neurons that are found in one forward pass, and the doubts about others."""
    with context():
        tape, _ = record(model, x)
    return tape.neurons(), tape.doubts


def over_time(self: Any, x: Tensor) -> Tensor:
    """The sum over steps of what the head reads."""
    return sum(self.head(self.neuron(self.layer(step))) for step in x)


def net(neuron: nn.Module) -> Fn:
    """One layer of neurons between two linear layers."""
    torch.manual_seed(0)
    return Fn(over_time, layer=linear(6, 8), neuron=neuron, head=nn.Linear(8, 2))


def batches() -> Tensor:
    """Four steps of three samples, the same each time."""
    return torch.rand(T, 3, 6, generator=torch.Generator().manual_seed(1))
