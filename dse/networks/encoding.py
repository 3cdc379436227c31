"""Encoding: what the first layer gets at each step for values in [0, 1]."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Coding = Literal["direct", "poisson", "binary"]


class Encoding(nn.Module):
    """Values (B, ...) in [0, 1] -> (steps * B, ...), with steps = T, or 1 if all steps are equal.

    direct : the values themselves, the same at every step (Rueckauer et al., Frontiers in
        Neuroscience 2017; Fang et al., ICCV 2021): real-valued, so the first layer multiplies
    poisson : at each step a spike with the value as its probability (Diehl et al., IJCNN 2015).
        Training draws from PyTorch's generator; evaluation draws the same numbers at every call
    binary : a spike where the value is at least 1/2, the same at every step
    """

    def __init__(self, coding: Coding) -> None:
        super().__init__()
        self.coding = coding

    def forward(self, values: Tensor, time_steps: int) -> tuple[Tensor, int]:
        """The encoded values, and the number of steps in them."""
        if self.coding == "direct":
            return values, 1
        if self.coding == "binary":
            return (values >= 0.5).to(values.dtype), 1
        generator = None
        if not self.training:
            generator = torch.Generator(values.device).manual_seed(0)
        draws = torch.rand(
            (time_steps, *values.shape),
            generator=generator,
            dtype=values.dtype,
            device=values.device,
        )
        return (draws < values).to(values.dtype).flatten(0, 1), time_steps

    def extra_repr(self) -> str:
        return self.coding
