"""Surrogates: what the gradient of a spike is taken to be, since its true derivative is zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from dse.errors import BuildFailure


class Surrogate(Protocol):
    """A rule for the derivative of a spike. One that `kernel.cpp` does not know works as well."""

    def derivative(self, x: Tensor) -> Tensor:
        """dz/dx at x = u - threshold, in the shape and dtype of x; finite for every finite x."""

    def primitive(self, x: Tensor) -> Tensor:
        """A function z(x) with that derivative: a smooth stand-in for the spike."""


@dataclass(frozen=True, slots=True)
class Arctan:
    """dz/dx = alpha / (2 (1 + (pi alpha x / 2)^2)), the slope of an arctangent.

    Fang et al., ICCV 2021 (learnable membrane time constants).
    alpha : steepness, above 0; the peak, at x = 0, is alpha / 2
    """

    alpha: float = 2.0
    code: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _refuse_unless_positive("arctan", alpha=self.alpha)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """What the kernel needs to know."""
        return self.alpha, 0.0, 0.0

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        bell = x.mul(math.pi * self.alpha / 2).square_().add_(1.0)
        return bell.reciprocal_().mul_(self.alpha / 2)

    def primitive(self, x: Tensor) -> Tensor:
        """arctan(pi alpha x / 2) / pi + 1 / 2."""
        return x.mul(math.pi * self.alpha / 2).arctan() / math.pi + 0.5


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """dz/dx = alpha s (1 - s) with s = sigmoid(alpha x), the slope of a logistic function.

    Neftci, Mostafa and Zenke, IEEE Signal Processing Magazine 2019 (surrogate gradients).
    alpha : steepness, above 0; the peak, at x = 0, is alpha / 4
    """

    alpha: float = 4.0
    code: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _refuse_unless_positive("sigmoid", alpha=self.alpha)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """What the kernel needs to know."""
        return self.alpha, 0.0, 0.0

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        return _logistic_slope(x, self.alpha)

    def primitive(self, x: Tensor) -> Tensor:
        """sigmoid(alpha x)."""
        return x.mul(self.alpha).sigmoid()


@dataclass(frozen=True, slots=True)
class S2nn:
    """The single-step surrogate: a logistic slope below the threshold, beta / u from there on.

    x < 0  : dz/dx = alpha s (1 - s) with s = sigmoid(alpha x)
    x >= 0 : dz/dx = beta / (x + threshold), where x + threshold = u is the potential itself

    After Suetake, Ikegawa, Saiin and Sawada, Neural Networks 159, 2023; the form is that of its
    implementation in SpikingJelly, beta / (x + 1), since the paper's text was not at hand. The
    threshold in it is our generalisation: at 1 it is that form. Continuous at 0 if and only if
    alpha / 4 = beta / threshold. The upper tail falls only as 1 / u.
    alpha, beta, threshold : above 0
    """

    alpha: float = 4.0
    beta: float = 1.0
    threshold: float = 1.0
    code: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _refuse_unless_positive("s2nn", alpha=self.alpha, beta=self.beta, threshold=self.threshold)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """What the kernel needs to know."""
        return self.alpha, self.beta, self.threshold

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        # clamped where it is not used: beta / (x + threshold) has a pole at x = -threshold
        above = x.clamp(min=0.0).add_(self.threshold).reciprocal_().mul_(self.beta)
        return torch.where(x < 0, _logistic_slope(x, self.alpha), above)

    def primitive(self, x: Tensor) -> Tensor:
        """sigmoid(alpha x) below 0, beta ln((x + threshold) / threshold) + 1 / 2 from there on."""
        above = self.beta * torch.log1p(x.clamp(min=0.0) / self.threshold) + 0.5
        return torch.where(x < 0, x.clamp(max=0.0).mul(self.alpha).sigmoid(), above)


@dataclass(frozen=True, slots=True)
class Rectangular:
    """dz/dx = height where |x| <= width / 2, else 0.

    Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 2018 (STBP), where height = 1 / width. With
    width 2 and height 1 it is the clipped straight-through estimator of a sign (Hubara et al.,
    NeurIPS 2016).
    width, height : above 0
    """

    width: float = 1.0
    height: float = 1.0
    code: ClassVar[int] = 3

    def __post_init__(self) -> None:
        _refuse_unless_positive("rectangular", width=self.width, height=self.height)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """What the kernel needs to know."""
        return self.width, self.height, 0.0

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        return (x.abs() <= self.width / 2).to(x.dtype).mul_(self.height)

    def primitive(self, x: Tensor) -> Tensor:
        """A ramp of that slope, from -width / 2 to width / 2, through (0, 1/2)."""
        return x.clamp(-self.width / 2, self.width / 2) * self.height + 0.5


@dataclass(frozen=True, slots=True)
class Triangular:
    """dz/dx = height max(0, 1 - |x| / width).

    Esser et al., PNAS 113, 2016 (convolutional networks for neuromorphic hardware). With width 1
    and height 2 it is 2 - 2 |x|, the gradient of a sign in Bi-Real networks (Liu et al., ECCV
    2018); it is also the slope of a piecewise quadratic function.
    width : half the base, above 0      height : of the peak, above 0
    """

    width: float = 1.0
    height: float = 1.0
    code: ClassVar[int] = 4

    def __post_init__(self) -> None:
        _refuse_unless_positive("triangular", width=self.width, height=self.height)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """What the kernel needs to know."""
        return self.width, self.height, 0.0

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        return x.abs().div_(-self.width).add_(1.0).clamp_(min=0.0).mul_(self.height)

    def primitive(self, x: Tensor) -> Tensor:
        """Two parabolas that meet in (0, 1/2)."""
        y = x.clamp(-self.width, self.width) / self.width
        return (y - y * y.abs() / 2) * (self.height * self.width) + 0.5


@dataclass(frozen=True, slots=True)
class Piecewise:
    """dz/dx = height where |x| <= width / 2, else tail: the slope of a leaky ramp.

    A gradient that never dies, as that of a leaky rectified linear unit. The form is common in
    libraries (SpikingJelly: piecewise leaky ReLU); no single paper is its source.
    width, height, tail : above 0
    """

    width: float = 2.0
    height: float = 0.5
    tail: float = 0.01
    code: ClassVar[int] = 5

    def __post_init__(self) -> None:
        _refuse_unless_positive("piecewise", width=self.width, height=self.height, tail=self.tail)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """What the kernel needs to know."""
        return self.width, self.height, self.tail

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        inside = (x.abs() <= self.width / 2).to(x.dtype)
        return inside.mul_(self.height - self.tail).add_(self.tail)

    def primitive(self, x: Tensor) -> Tensor:
        """Three straight lines through (0, 1/2)."""
        inside = x.clamp(-self.width / 2, self.width / 2)
        return inside * self.height + (x - inside) * self.tail + 0.5


_IN_KERNEL = (Arctan, Sigmoid, S2nn, Rectangular, Triangular, Piecewise)


def in_kernel(surrogate: Surrogate) -> tuple[int, tuple[float, float, float]]:
    """Number and parameters of a surrogate in `kernel.cpp`; -1 for one that is not there."""
    if isinstance(surrogate, _IN_KERNEL) and type(surrogate) in _IN_KERNEL:
        return surrogate.code, surrogate.numbers
    return -1, (0.0, 0.0, 0.0)


def spike(x: Tensor, surrogate: Surrogate) -> Tensor:
    """Heaviside step H(x), with H(0) = 1; its gradient is the surrogate's.

    x : potential minus threshold, any shape        returns : {0, 1} in the dtype of x
    """
    spikes: Tensor = _Spike.apply(x, surrogate)
    return spikes


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.surrogate.derivative(x).mul_(grad_spikes), None


def _logistic_slope(x: Tensor, alpha: float) -> Tensor:
    # e / (1 + e)^2 instead of s (1 - s), which loses all digits where s is almost 1
    e = x.abs().mul_(-alpha).exp_()
    return e.div((e + 1.0).square_()).mul_(alpha)


def _refuse_unless_positive(name: str, **numbers: float) -> None:
    for symbol, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise BuildFailure(f'surrogate "{name}": {symbol} {value}: must be finite and above 0')
