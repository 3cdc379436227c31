"""Surrogates: what the gradient of a spike is taken to be, since its true derivative is zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dse.errors import BuildFailure


class Surrogate(Protocol):
    """A rule for the derivative of a spike."""

    def derivative(self, x: Tensor) -> Tensor:
        """dz/dx at x = u - threshold, in the shape and dtype of x; finite for every finite x."""


@dataclass(frozen=True, slots=True)
class Arctan:
    """dz/dx = alpha / (2 (1 + (pi alpha x / 2)^2)), the slope of an arctangent.

    Fang et al., ICCV 2021 (learnable membrane time constants).
    alpha : steepness, above 0; the peak, at x = 0, is alpha / 2
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        _refuse_unless_positive("arctan", alpha=self.alpha)

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        bell = x.mul(math.pi * self.alpha / 2).square_().add_(1.0)
        return bell.reciprocal_().mul_(self.alpha / 2)


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """dz/dx = alpha s (1 - s) with s = sigmoid(alpha x), the slope of a logistic function.

    Neftci, Mostafa and Zenke, IEEE Signal Processing Magazine 2019 (surrogate gradients).
    alpha : steepness, above 0; the peak, at x = 0, is alpha / 4
    """

    alpha: float = 4.0

    def __post_init__(self) -> None:
        _refuse_unless_positive("sigmoid", alpha=self.alpha)

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        return _logistic_slope(x, self.alpha)


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

    def __post_init__(self) -> None:
        _refuse_unless_positive("s2nn", alpha=self.alpha, beta=self.beta, threshold=self.threshold)

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        # clamped where it is not used: beta / (x + threshold) has a pole at x = -threshold
        above = x.clamp(min=0.0).add_(self.threshold).reciprocal_().mul_(self.beta)
        return torch.where(x < 0, _logistic_slope(x, self.alpha), above)


@dataclass(frozen=True, slots=True)
class Rectangular:
    """dz/dx = height where |x| <= width / 2, else 0.

    Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12, 2018 (STBP). Of a sign in {-1, +1},
    width 2 and height 1 are the clipped straight-through estimator (Hubara et al., NeurIPS 2016).
    width, height : above 0
    """

    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        _refuse_unless_positive("rectangular", width=self.width, height=self.height)

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        inside = x.abs().le_(self.width / 2)
        return inside if self.height == 1.0 else inside.mul_(self.height)


@dataclass(frozen=True, slots=True)
class Triangular:
    """dz/dx = height max(0, 1 - |x| / width).

    Esser et al., PNAS 113, 2016. Of a sign in {-1, +1}, width 1 and height 2 are the slope
    2 - 2 |x| of Bi-Real nets (Liu et al., ECCV 2018).
    width, height : above 0; the width is half the foot of the triangle
    """

    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        _refuse_unless_positive("triangular", width=self.width, height=self.height)

    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, elementwise."""
        return x.abs().mul_(-self.height / self.width).add_(self.height).clamp_(min=0.0)


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
    s = x.mul(alpha).sigmoid_()
    return s.mul(alpha).mul_(1.0 - s)


def _refuse_unless_positive(name: str, **numbers: float) -> None:
    for symbol, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise BuildFailure(f'surrogate "{name}": {symbol} {value}: must be finite and above 0')
