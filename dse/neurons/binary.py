"""Binary networks: activations of one bit, and layers whose weights are one size with two signs.

sign(0) = +1 everywhere, so that every value is a bit: for a, w in {-1, +1}^n,
a . w = 2 popcount(a XNOR w) - n  (Rastegari et al., ECCV 2016), and for a in {0, 1}^n,
a . w = 2 popcount(a AND w) - popcount(a).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.neurons import kernel
from dse.neurons.events import neuron_events
from dse.neurons.fused import Form
from dse.neurons.surrogates import Rectangular, Surrogate, Triangular, in_kernel, spike

# slopes of a sign; those of a step from 0 to 1, which is half a sign, are half as high
CLIPPED: Surrogate = Rectangular(2.0, 1.0)
QUADRATIC: Surrogate = Triangular(1.0, 2.0)
HALF_CLIPPED: Surrogate = Rectangular(2.0, 0.5)
HALF_QUADRATIC: Surrogate = Triangular(1.0, 1.0)


class Sign(nn.Module):
    """The activation of a binary network: -1 or +1.

    surrogate : what its derivative is taken to be. `CLIPPED`, 1 where |x| <= 1: the
        straight-through estimator of Hubara et al., NeurIPS 2016. `QUADRATIC`, 2 - 2 |x| there:
        that of a piecewise quadratic function (Liu et al., ECCV 2018, Bi-Real)
    """

    def __init__(self, surrogate: Surrogate = CLIPPED) -> None:
        super().__init__()
        self.surrogate = surrogate

    def form(self) -> Form:
        """What the kernel needs to know."""
        return Form(kernel.SIGN, *in_kernel(self.surrogate))

    def forward(self, currents: Tensor) -> Tensor:
        """Values in {-1, +1} of currents, of any one shape."""
        outputs: Tensor = _Sign.apply(currents, self.surrogate)
        return outputs

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, int]:
        """One comparison for each value; see `dse.neurons.events`."""
        return neuron_events(inputs.numel())

    def extra_repr(self) -> str:
        return f"{self.surrogate}"


class UnitStep(nn.Module):
    """The activation of a binary network that counts: 0 or 1, which is (sign + 1) / 2.

    surrogate : what its derivative is taken to be, such as `HALF_CLIPPED` or `HALF_QUADRATIC`
    """

    def __init__(self, surrogate: Surrogate = HALF_CLIPPED) -> None:
        super().__init__()
        self.surrogate = surrogate

    def form(self) -> Form:
        """What the kernel needs to know."""
        return Form(kernel.SPIKE, *in_kernel(self.surrogate))

    def forward(self, currents: Tensor) -> Tensor:
        """Values in {0, 1} of currents, of any one shape."""
        return spike(currents, self.surrogate)

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, int]:
        """One comparison for each value; see `dse.neurons.events`."""
        return neuron_events(inputs.numel())

    def extra_repr(self) -> str:
        return f"{self.surrogate}"


def binary_weight(latent: Tensor, *, is_scaled: bool) -> Tensor:
    """Weights {-a, +a} of real ones, with one a per output channel.

    latent : (C_out, ...)
    is_scaled : a = mean |latent| of the channel, the a that is nearest to the latent weights in the
        least squares sense (Rastegari et al., ECCV 2016, eq. 6); else a = 1
    """
    weight: Tensor = _BinaryWeight.apply(latent, is_scaled)
    return weight


class BinaryConv2d(nn.Conv2d):
    """A convolution, no bias, with binary weights; `weight` holds the latent ones.

    Padding is with zeros, which no bit can be: those products are of the border.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        padding: int = 0,
        *,
        stride: int = 1,
        is_scaled: bool = True,
    ) -> None:
        super().__init__(c_in, c_out, kernel, stride=stride, padding=padding, bias=False)
        self.is_scaled = is_scaled

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H', W')."""
        weight = binary_weight(self.weight, is_scaled=self.is_scaled)
        return F.conv2d(inputs, weight, stride=self.stride, padding=self.padding)

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
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return _signs(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        # not in place: the gradient keeps its own layout, on which rounding further back depends
        return grad.mul(ctx.surrogate.derivative(x)), None


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
        return latent.abs().le_(1.0).mul_(grad), None


def _signs(x: Tensor) -> Tensor:
    # a comparison in place stays in floats: through a tensor of bool it takes four times as long
    return x.clone().ge_(0.0).mul_(2.0).sub_(1.0)
