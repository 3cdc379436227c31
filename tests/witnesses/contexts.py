"""Contexts: a forward pass that runs with gradients, without, or in inference mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

CONTEXTS = {
    "grad": torch.enable_grad,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
}


class InContext(nn.Module):
    """A model whose forward pass enters a context of its own, whatever the caller's."""

    def __init__(self, model: nn.Module, context: str) -> None:
        super().__init__()
        self.model = model
        self.context = CONTEXTS[context]

    def forward(self, *inputs: Tensor) -> Any:
        """What the model returns."""
        with self.context():
            return self.model(*inputs)


class Call(nn.Module):
    """A module that is one function of its inputs, then of its weights."""

    def __init__(self, function: Callable[..., Any], *weights: Tensor) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(weights)

    def extra_repr(self) -> str:
        """Which function it is."""
        return self.function.__qualname__

    def forward(self, *inputs: Tensor) -> Any:
        """What the function returns."""
        return self.function(*inputs, *self.weights)
