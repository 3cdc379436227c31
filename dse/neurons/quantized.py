"""Quantised: weights and activations of k bits, whose step is learned with everything else.

LSQ (Esser, McKinstry, Bablani, Appuswamy and Modha, ICLR 2020, section 2), of n values v:

    y = s q,  q = round(clip(v / s, low, high))
    dy/dv = 1 where low < v / s < high, else 0
    dy/ds = q - v / s there, else q, times 1 / sqrt(n high)
    s starts at 2 <|v|> / sqrt(high)

What is learned is log s, so dy/d(log s) = s dy/ds (as Jain et al., MLSys 2020, do for thresholds):
s stays above zero, and an optimiser whose updates have one size, such as Adam, changes it by
shares. A step of 8-bit weights is itself smaller than one such update.

Weights of one bit have no zero: q is -1/2 or +1/2, and low and high are -1 and 1. They start at
-<|v|> and <|v|>, the size that is nearest to them in the least squares sense.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.errors import BuildFailure

Inputs = int | Literal["pixels"] | None
MOST_BITS = 8
PIXEL_BITS = 8
_LARGEST_PIXEL = 255
_SMALLEST_MEAN = 1e-8  # of a batch or a layer that holds nothing but zeros
_MEAN_OF_HALF_A_NORMAL = 1 / math.sqrt(2 * math.pi)  # mean of max(0, x), x standard normal


def weight_limits(bits: int) -> tuple[int, int]:
    """low and high of weights: 2^bits levels, one more of them below zero than above."""
    _refuse_bits(bits)
    return (-1, 1) if bits == 1 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def activation_limits(bits: int) -> tuple[int, int]:
    """low and high of activations, which are not negative: 2^bits levels from zero on."""
    _refuse_bits(bits)
    return 0, 2**bits - 1


def first_log_step(mean: Tensor, high: int) -> Tensor:
    """log s from which training starts. mean : of |v|, 0-dim"""
    return torch.log(2 * mean.clamp(min=_SMALLEST_MEAN) / math.sqrt(high))


def quantized_weight(latent: Tensor, log_step: Tensor, bits: int) -> Tensor:
    """Weights of 2^bits levels of real ones, any shape. log_step : 0-dim"""
    low, high = weight_limits(bits)
    share = 1 / math.sqrt(latent.numel() * high)
    weight: Tensor = _Quantized.apply(latent, log_step, low, high, bits == 1, share)
    return weight


def quantized_activation(values: Tensor, log_step: Tensor, bits: int) -> Tensor:
    """Activations of 2^bits levels, from zero on, of real ones (B, ...). log_step : 0-dim

    n in the share of the step is the number of values of one sample.
    """
    low, high = activation_limits(bits)
    share = 1 / math.sqrt(math.prod(values.shape[1:]) * high)
    outputs: Tensor = _Quantized.apply(values, log_step, low, high, False, share)
    return outputs


def pixels(images: Tensor) -> Tensor:
    """Images in 0..1 as 8-bit integers over 255: those that are such already stay bit by bit.

    No gradient goes back to an image.
    """
    levels = images.detach().mul(_LARGEST_PIXEL).round_()
    return levels.clamp_(0, _LARGEST_PIXEL).div_(_LARGEST_PIXEL)


class QuantizedLayer(nn.Module):
    """What both kinds of layers share: latent weights in `weight`, and a quantiser of the inputs.

    The step of the inputs is set by the first batch of training, once in the life of a set of
    weights; until then it is that of normalised values.

    weight_bits, activation_bits : as the counter takes them; None = as wide as they flow
    """

    weight: Tensor
    log_step: Tensor
    input_log_step: Tensor
    has_input_step: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), as the layer of real weights does it."""
        weight = quantized_weight(self.weight, self.log_step, self.weight_bits)
        return self._product(self._read(inputs), weight)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, weight_bits={self.weight_bits}, inputs={self.inputs}"

    def _product(self, inputs: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def _set_up(self, bits: int, inputs: Inputs) -> None:
        self.weight_bits = bits
        self.inputs = inputs
        self.activation_bits = PIXEL_BITS if inputs == "pixels" else inputs
        mean = self.weight.detach().abs().mean()
        self.log_step = nn.Parameter(first_log_step(mean, weight_limits(bits)[1]))
        self._is_known_to_have_step = False
        if isinstance(inputs, int):
            mean = torch.tensor(_MEAN_OF_HALF_A_NORMAL)
            self.input_log_step = nn.Parameter(first_log_step(mean, activation_limits(inputs)[1]))
            self.register_buffer("has_input_step", torch.tensor(False))

    def _read(self, inputs: Tensor) -> Tensor:
        if self.inputs is None:
            return inputs
        if self.inputs == "pixels":
            return pixels(inputs)
        if self.training and not self._is_known_to_have_step:
            self._set_input_step(inputs.detach(), activation_limits(self.inputs)[1])
        return quantized_activation(inputs, self.input_log_step, self.inputs)

    def _set_input_step(self, inputs: Tensor, high: int) -> None:
        # the buffer decides, as it comes with the weights; looked at once, for a GPU waits for it
        if not bool(self.has_input_step):
            with torch.no_grad():
                self.input_log_step.copy_(first_log_step(inputs.clamp(min=0).mean(), high))
                self.has_input_step.fill_(True)
        self._is_known_to_have_step = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_known_to_have_step = False


class QuantizedConv2d(QuantizedLayer, nn.Conv2d):
    """A convolution with k-bit weights.

    bits : of the weights
    inputs : bits of the values that it reads, with a step to learn; "pixels": 8 bits over 255;
        None: they are as they should be
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        padding: int = 0,
        *,
        bits: int,
        inputs: Inputs = None,
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        nn.Conv2d.__init__(self, c_in, c_out, kernel, stride, padding, bias=bias)
        self._set_up(bits, inputs)

    def _product(self, inputs: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(inputs, weight, self.bias, stride=self.stride, padding=self.padding)


class QuantizedLinear(QuantizedLayer, nn.Linear):
    """A fully connected layer with k-bit weights; see `QuantizedConv2d`."""

    def __init__(
        self, n_in: int, n_out: int, *, bits: int, inputs: Inputs = None, bias: bool = False
    ) -> None:
        nn.Linear.__init__(self, n_in, n_out, bias=bias)
        self._set_up(bits, inputs)

    def _product(self, inputs: Tensor, weight: Tensor) -> Tensor:
        return F.linear(inputs, weight, self.bias)


_HALF = (torch.bfloat16, torch.float16)


class _Quantized(torch.autograd.Function):
    """With y at hand, s dy/ds summed over all values is <g, y> - <dL/dv, v>, where g = dL/dy."""

    @staticmethod
    def forward(
        ctx: Any, v: Tensor, log_step: Tensor, low: int, high: int, is_halves: bool, share: float
    ) -> Tensor:
        dtype = v.dtype
        # in bfloat16 the sums of the backward pass would cancel to noise
        v, step = v.float() if dtype in _HALF else v, log_step.exp()
        if is_halves:
            y = v.clone().ge_(0.0).sub_(0.5).mul_(step)
        else:
            y = v.div(step).clamp_(low, high).round_().mul_(step)
        ctx.save_for_backward(v, step, y)
        ctx.low, ctx.high, ctx.share, ctx.dtype = low, high, share, dtype
        return y.to(dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        v, step, y = ctx.saved_tensors
        grad = grad.to(v.dtype)
        # zero where v / s <= low or v / s >= high, in one pass
        grad_v = torch.ops.aten.hardtanh_backward(grad, v / step, ctx.low, ctx.high)
        # in one reduction: of two sums that nearly cancel, little would be left
        grad_log_step = grad.mul(y).addcmul_(grad_v, v, value=-1.0).sum().mul_(ctx.share)
        return grad_v.to(ctx.dtype), grad_log_step, None, None, None, None


def _refuse_bits(bits: int) -> None:
    if not 1 <= bits <= MOST_BITS:
        raise BuildFailure(f"quantised layer: {bits} bits: must be between 1 and {MOST_BITS}")
