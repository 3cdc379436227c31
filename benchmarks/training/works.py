"""The networks that are trained: positions, batch, and the same parameters for every library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from dse.architectures.positions import Position, Role

Norm = Literal["batch", "none"]

CLASSES = 10
_SEED = 7
# Hidden rates of 10 to 35 %; see `parameters` for why everything lies on a grid.
_GAIN, _WEIGHT_GRID, _IMAGE_GRID, _BIAS_GRID = 2.5, 2.0**-6, 2.0**-3, 2.0**-9


@dataclass(frozen=True, slots=True)
class Work:
    """A network and a batch of images of it.

    shape : (C, H, W) of an image      norm : what normalises hidden currents
    """

    name: str
    positions: tuple[Position, ...]
    shape: tuple[int, int, int]
    batch: int
    norm: Norm

    @property
    def hidden(self) -> tuple[Position, ...]:
        """All places but the readout."""
        return self.positions[:-1]

    @property
    def readout(self) -> Position:
        """The place that gives the logits."""
        return self.positions[-1]


def _convolutions(widths: Sequence[int], shape: tuple[int, int, int]) -> list[Position]:
    """3x3 convolutions, each with a pool of 2, and a readout of all that is left."""
    places: list[Position] = []
    channels, side = shape[0], shape[1]
    for width in widths:
        role: Role = "hidden" if places else "first"
        places.append(Position("conv", role, channels, width, kernel=3, padding=1, pool=2))
        channels, side = width, side // 2
    places.append(Position("linear", "readout", channels * side**2, CLASSES, flatten=True))
    return places


def _conv() -> Work:
    shape = (1, 28, 28)
    return Work("conv", tuple(_convolutions((32, 64), shape)), shape, 64, "none")


def _mlp() -> Work:
    places = (
        Position("linear", "first", 784, 512, flatten=True),
        Position("linear", "hidden", 512, 512),
        Position("linear", "readout", 512, CLASSES),
    )
    return Work("mlp", places, (1, 28, 28), 64, "none")


def _vgg() -> Work:
    shape = (3, 32, 32)
    return Work("vgg", tuple(_convolutions((64, 128, 256), shape)), shape, 32, "batch")


WORKS = {"conv": _conv(), "mlp": _mlp(), "vgg": _vgg()}


def with_norm(work: Work, norm: Norm | None) -> Work:
    """The same network, normalised in another way; None: as it is."""
    return replace(work, norm=norm or work.norm)


def synapse(place: Position, *, has_bias: bool) -> nn.Module:
    """A plain layer of PyTorch for a place."""
    if place.kind == "conv":
        return nn.Conv2d(
            place.c_in, place.c_out, place.kernel, padding=place.padding, bias=has_bias
        )
    return nn.Linear(place.c_in, place.c_out, bias=has_bias)


def norm_of(place: Position) -> nn.Module:
    """Batch-norm for the currents of a place."""
    return (nn.BatchNorm2d if place.kind == "conv" else nn.BatchNorm1d)(place.c_out)


def current(work: Work, place: Position) -> list[nn.Module]:
    """What makes the currents of a hidden place: (flatten,) synapse(, norm), in plain PyTorch."""
    has_norm = work.norm == "batch"
    parts: list[nn.Module] = [nn.Flatten()] if place.flatten else []
    parts.append(synapse(place, has_bias=not has_norm))
    return [*parts, norm_of(place)] if has_norm else parts


def readout(work: Work) -> list[nn.Module]:
    """The layer of logits, in plain PyTorch."""
    parts: list[nn.Module] = [nn.Flatten()] if work.readout.flatten else []
    return [*parts, synapse(work.readout, has_bias=True)]


def layers_of(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Convolutions and fully connected layers, in order; libraries derive theirs from PyTorch's."""
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def load_parameters(model: nn.Module, work: Work) -> None:
    """Give a model of any library the parameters of the benchmark.

    Weights and images lie on a coarse grid of binary fractions, so that every sum is exact in fp32
    whatever its order, and equal dynamics give equal spikes, to the last one. Biases lie between
    two points of that grid: no potential ever equals the threshold, where >= and > differ.
    """
    layers = layers_of(model)
    if len(layers) != len(work.positions):
        raise ValueError(f"{work.name}: {len(layers)} layers: must be {len(work.positions)}")
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for layer in layers:
            weight: Tensor = layer.weight
            bias: Tensor | None = layer.bias
            std = _GAIN * weight[0].numel() ** -0.5
            drawn = torch.randn(weight.shape, generator=generator) * std
            weight.copy_((drawn / _WEIGHT_GRID).round_() * _WEIGHT_GRID)
            if bias is not None:
                bias.fill_(_BIAS_GRID / 2)


def batch(work: Work) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) and labels (B,), the same every time."""
    generator = torch.Generator().manual_seed(_SEED + 1)
    images = torch.rand(work.batch, *work.shape, generator=generator)
    images = (images / _IMAGE_GRID).round_() * _IMAGE_GRID
    return images, torch.randint(CLASSES, (work.batch,), generator=generator)
