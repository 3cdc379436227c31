"""Encoding: what the first layer gets at each step for values in [0, 1]."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from dse.errors import BuildFailure

Coding = Literal["direct", "poisson", "binary"]
_EVENT_DIMENSIONS = 5  # (B, T, C, H, W)


class Encoding(nn.Module):
    """Values (B, ...) in [0, 1] -> (steps * B, ...), with steps = T, or 1 if all steps are equal.

    Frames of events (B, T, C, H, W) have a frame for each step; of fewer steps the first are seen.
    What is said below holds for each frame then, which is drawn once; values may be any with
    `direct`.

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
        """The encoded values, and the number of steps in them.

        Raises BuildFailure for frames of fewer steps than are asked for.
        """
        is_frames = values.ndim == _EVENT_DIMENSIONS
        if is_frames:
            if values.shape[1] < time_steps:
                raise BuildFailure(
                    f"network: frames of {values.shape[1]} steps: must be {time_steps} at least"
                )
            values = values[:, :time_steps].transpose(0, 1).flatten(0, 1)
        steps = time_steps if is_frames else 1
        if self.coding == "direct":
            return values, steps
        if self.coding == "binary":
            return (values >= 0.5).to(values.dtype), steps
        generator = None
        if not self.training:
            generator = torch.Generator(values.device).manual_seed(0)
        draws = torch.rand(
            (time_steps // steps, *values.shape),
            generator=generator,
            dtype=values.dtype,
            device=values.device,
        )
        return (draws < values).to(values.dtype).flatten(0, 1), time_steps

    def extra_repr(self) -> str:
        return self.coding
