"""Operands: random data and weights of every class, dtype and memory layout.

Values are chosen well away from where a level or a binary weight would be a matter of rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

Draw = Callable[[st.SearchStrategy[Any]], Any]

DATA = ("spikes", "scaled", "ternary", "integers", "real", "real", "grid", "zeros", "ones")
WEIGHTS = ("real", "real", "pruned", "binary", "pruned binary", "ternary", "zeros")
LAYOUTS = ("contiguous", "channels last", "transposed", "expanded", "sliced")

# no ratio of two of these is near one of two integers up to 8, also for 8 bits of precision
_SIXTEENTHS = torch.tensor([7.0, 11.0, 13.0, 16.0]) / 16

dtypes = st.sampled_from([torch.float32, torch.float32, torch.float64, torch.bfloat16])


@st.composite
def data(draw: Draw, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Activations of one class, some of them zero, in some memory layout."""
    generator = draw(_generators)
    values = _values(draw(st.sampled_from(DATA)), shape, dtype, generator)
    density = draw(st.sampled_from([0.2, 0.5, 1.0]))
    values = values * (torch.rand(shape, generator=generator) < density)
    return _laid_out(values.to(dtype), draw(st.sampled_from(LAYOUTS)), draw)


@st.composite
def weights(
    draw: Draw, shape: tuple[int, ...], heights: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    """A weight of one class.

    heights : the shape of one magnitude per output channel, which the weight's shape covers
    """
    generator = draw(_generators)
    kind = draw(st.sampled_from(WEIGHTS))
    signs = _signs(shape, generator)
    if kind.endswith("binary"):
        values = signs * _real(heights, dtype, generator).abs()
    elif kind == "ternary":
        values = signs * (torch.rand(shape, generator=generator) < 0.6)
    else:
        values = torch.zeros(shape) if kind == "zeros" else _real(shape, dtype, generator)
    if kind.startswith("pruned"):
        values = values * (torch.rand(shape, generator=generator) < 0.5)
    return values.to(dtype)


@st.composite
def exact(draw: Draw, shape: tuple[int, ...]) -> Tensor:
    """Sixteenths in 32 bits: sums of their products are exact, in whatever order they are made."""
    generator = draw(_generators)
    signs = _signs(shape, generator)
    kind = draw(st.sampled_from(["spikes", "ternary", "integers", "real", "zeros"]))
    values = {
        "spikes": torch.ones(shape),
        "ternary": signs,
        "integers": torch.randint(1, 5, shape, generator=generator) * signs / 4,
        "real": torch.randint(1, 40, shape, generator=generator) * signs / 16,
        "zeros": torch.zeros(shape),
    }[kind]
    return values * (torch.rand(shape, generator=generator) < draw(st.sampled_from([0.3, 0.7, 1])))


_generators = st.integers(0, 2**31).map(lambda seed: torch.Generator().manual_seed(seed))


def _values(
    kind: str, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    signs = _signs(shape, generator)
    height = (0.7, 0.25, 3.0)[math.prod(shape) % 3]
    if kind == "integers":
        # k * c is rounded once, in the dtype of the data
        return (torch.randint(1, 9, shape, generator=generator) * signs * height).double()
    return {
        "spikes": torch.ones(shape),
        "scaled": torch.full(shape, height),
        "ternary": signs,
        "real": _real(shape, dtype, generator),
        "grid": _SIXTEENTHS[torch.randint(0, 4, shape, generator=generator)],
        "zeros": torch.zeros(shape),
        "ones": torch.ones(shape),
    }[kind]


def _real(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if dtype is torch.bfloat16:
        return _SIXTEENTHS[torch.randint(0, 3, shape, generator=generator)] * _signs(
            shape, generator
        )
    return torch.randn(shape, generator=generator)


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1


def _laid_out(values: Tensor, layout: str, draw: Draw) -> Tensor:
    """The same values in other memory; an expanded tensor repeats its first entry instead."""
    if layout == "channels last" and values.dim() in (4, 5):
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        return values.contiguous(memory_format=formats[values.dim()])
    if layout == "transposed" and values.dim() > 1:
        first, second = draw(st.permutations(range(values.dim())))[:2]
        return values.transpose(first, second).contiguous().transpose(first, second)
    if layout == "expanded":
        dimension = draw(st.integers(0, values.dim() - 1))
        return values.narrow(dimension, 0, 1).expand(values.shape)
    if layout == "sliced":
        wide = values.repeat_interleave(2, dim=-1)
        wide[..., 0::2] = math.pi  # what a slice leaves out must not be looked at
        return wide[..., 1::2]
    return values
