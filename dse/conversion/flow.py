"""Flow: what flows through the spiking network, of the samples that are asked for.

T steps of a layer may not fit into memory for all samples: parts of them go one after another then.
Of all samples only spikes are kept, a byte each; currents are computed again from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dse.conversion.network import ConvertedNetwork, encode, over_time

Pick = Tensor | slice  # of samples
Get = Callable[[Pick], tuple[Tensor, int]]  # n samples -> (count * n, ...), count: T, or 1 for all


@dataclass(frozen=True, slots=True)
class Currents:
    """Currents of a layer, of all samples, in parts that fit into memory.

    get : n samples -> (T, n, ...)      parts : which samples go together, in their order
    """

    get: Callable[[Pick], Tensor]
    parts: Sequence[slice]
    time_steps: int

    def __iter__(self) -> Iterator[Tensor]:
        return (self.get(part) for part in self.parts)

    @property
    def most(self) -> int:
        """How many samples fit."""
        return int(self.parts[0].stop)

    def held(self) -> Currents:
        """These, computed once for all that read them, if all samples fit."""
        return at_once(next(iter(self))) if len(self.parts) == 1 else self


def at_once(currents: Tensor) -> Currents:
    """Currents (T, N, ...) that are there, as one part."""
    steps, samples = currents.shape[:2]
    return Currents(lambda picked: currents[:, picked], in_parts(samples, samples), steps)


def in_parts(samples: int, most: int) -> list[slice]:
    """Samples that follow one another, so many at most in a part."""
    starts = range(0, samples, most)
    return [slice(start, min(start + most, samples)) for start in starts]


def over_steps(get: Get, parts: Sequence[slice], time_steps: int) -> Currents:
    """What flows as currents of T steps."""
    return Currents(lambda picked: over_time(*get(picked), time_steps), parts, time_steps)


def through(module: nn.Module, get: Get, rates_over: int | None = None) -> Get:
    """What a module makes of each step, with the weights that it has when it is asked.

    rates_over : of a module that looks at rates, (T, n, ...) -> (T, n, ...), the steps
    """

    def after(picked: Pick) -> tuple[Tensor, int]:
        values, count = get(picked)
        if rates_over is None:
            return module(values), count
        return module(over_time(values, count, rates_over)).flatten(0, 1), rates_over

    return after


def held(get: Get, parts: Sequence[slice]) -> Get:
    """The same, computed once for all that read it."""
    found = [values.unflatten(0, (count, -1)) for values, count in map(get, parts)]
    values = found[0] if len(found) == 1 else torch.cat(found, 1)
    return kept(values, values.dtype)


def kept(values: Tensor, dtype: torch.dtype) -> Get:
    """Values (count, N, ...) of all samples, read in this dtype."""
    return lambda picked: (values[:, picked].flatten(0, 1).to(dtype), len(values))


def kept_spikes(found: Iterable[Tensor], parts: Sequence[slice]) -> Get:
    """Spikes (T, n, ...) of each part: of several, a byte a spike."""
    each = iter(found)
    first = next(each)
    if len(parts) == 1:
        return kept(first, first.dtype)
    shape = (len(first), parts[-1].stop, *first.shape[2:])
    bits = torch.empty(shape, dtype=torch.bool, device=first.device)
    bits[:, parts[0]] = first > 0
    for part, spikes in zip(parts[1:], each, strict=True):
        bits[:, part] = spikes > 0
    return kept(bits, first.dtype)


def entering(
    network: ConvertedNetwork, images: Tensor, parts: Sequence[slice]
) -> tuple[Get, Tensor | None]:
    """What enters the first layer, and what its spikes have lost, if that is given back.

    Random spikes are drawn for all images at once, so that they do not depend on the parts.
    """
    images = images[: parts[-1].stop]
    if network.coding is None:
        return kept(images[None], images.dtype), None
    together = [slice(None)] if network.coding_kind == "poisson" else parts
    found, losses = [], []
    for part in together:
        (spikes, count), loss = encode(network, images[part])
        by_step = spikes.unflatten(0, (count, -1))
        found.append(by_step if len(parts) == 1 else by_step > 0)
        losses.append(loss)
    lost = [loss for loss in losses if loss is not None]
    return kept(torch.cat(found, 1), images.dtype), torch.cat(lost) if lost else None
