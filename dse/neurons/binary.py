"""Binary networks: sign activations, and layers whose weights are one size with two signs.

sign(0) = +1 everywhere, so that every value is a bit: for a, w in {-1, +1}^n,
a . w = 2 popcount(a XNOR w) - n  (Rastegari et al., ECCV 2016).
The derivative of a sign is taken as 1 where |x| <= 1, else 0: a straight-through estimator
(Hubara et al., NeurIPS 2016).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.neurons.events import neuron_events


class Sign(nn.Module):
    """The activation of a binary network: -1 or +1."""

    def forward(self, currents: Tensor) -> Tensor:
        """Values in {-1, +1} of currents, of any one shape."""
        outputs: Tensor = _Sign.apply(currents)
        return outputs

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, int]:
        """One comparison for each value; see `dse.neurons.events`."""
        return neuron_events(inputs.numel())


def binary_weight(latent: Tensor, *, is_scaled: bool) -> Tensor:
    """Weights {-a, +a} of real ones, with one a per output channel.

    latent : (C_out, ...)
    is_scaled : a = mean |latent| of the channel, the a that is nearest to the latent weights in the
        least squares sense (Rastegari et al., ECCV 2016, eq. 6); else a = 1
    """
    weight: Tensor = _BinaryWeight.apply(latent, is_scaled)
    return weight


class BinaryConv2d(nn.Conv2d):
    """A convolution of stride 1, no bias, with binary weights; `weight` holds the latent ones.

    Padding is with zeros, which no bit can be: those products are of the border.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, padding: int = 0, *, is_scaled: bool = True
    ) -> None:
        super().__init__(c_in, c_out, kernel, padding=padding, bias=False)
        self.is_scaled = is_scaled

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H', W')."""
        weight = binary_weight(self.weight, is_scaled=self.is_scaled)
        return F.conv2d(inputs, weight, padding=self.padding)

    def after_step(self) -> None:
        """Keep latent weights where their gradient lives; the training loop calls it."""
        clip_latent(self.weight)


class BinaryLinear(nn.Linear):
    """A fully connected layer, no bias, with binary weights; `weight` holds the latent ones."""

    def __init__(self, n_in: int, n_out: int, *, is_scaled: bool = True) -> None:
        super().__init__(n_in, n_out, bias=False)
        self.is_scaled = is_scaled

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., N_in) -> (..., N_out)."""
        return F.linear(inputs, binary_weight(self.weight, is_scaled=self.is_scaled))

    def after_step(self) -> None:
        """Keep latent weights where their gradient lives; the training loop calls it."""
        clip_latent(self.weight)


def clip_latent(latent: Tensor) -> None:
    """Clip latent weights to [-1, 1] in place (Courbariaux et al., 2016, algorithm 1)."""
    with torch.no_grad():
        latent.clamp_(-1.0, 1.0)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _signs(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad.mul(x.abs() <= 1.0)


class _BinaryWeight(torch.autograd.Function):
    """The scale takes no part in the gradient: latent weights see that of the binary ones."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, is_scaled: bool) -> Tensor:
        ctx.save_for_backward(latent)
        signs = _signs(latent)
        if is_scaled:
            dims = tuple(range(1, latent.dim()))
            signs.mul_(latent.abs().mean(dim=dims, keepdim=True))
        return signs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (latent,) = ctx.saved_tensors
        return grad.mul(latent.abs() <= 1.0), None


def _signs(x: Tensor) -> Tensor:
    return (x >= 0).to(x.dtype).mul_(2.0).sub_(1.0)
