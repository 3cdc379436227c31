"""Thresholds: how high the threshold of a layer is, from what flows there on calibration images.

A rule is a function and a line in `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from dse.conversion.graph import Node
from dse.errors import ConversionFailure
from dse.neurons.clipped import Clipped

_MMSE_GRID = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What flows at an activation of the ANN and at its place in the spiking network.

    before, after : (N, ...) into the activation and out of it
    currents : () -> (T, N, ...) into the neurons, from the layers that are converted already
    percentile : 0..100
    """

    node: Node
    before: Tensor
    after: Tensor
    currents: Callable[[], Tensor]
    time_steps: int
    percentile: float


@dataclass(frozen=True, slots=True)
class Level:
    """A threshold, of the layer () or of each channel (C,), and what a spike is worth in it.

    height : a spike counts for height x threshold in the layers behind
    """

    threshold: Tensor
    height: float = 1.0


UNIT = "unit"  # 1 in every layer, whatever flows: where only kinds of operations matter
Rule = Callable[[Seen], Level]


def level(rule: str, seen: Seen, scale: float) -> Level:
    """The threshold of a layer by a rule, times a scale.

    Raises ConversionFailure for a layer that is never active, a rule that the activation does not
    allow, or a scale that is not above 0.
    """
    where = seen.node.where
    if rule == UNIT:
        return Level(seen.after.new_ones(()))
    if not (math.isfinite(scale) and scale > 0):
        raise ConversionFailure(f"threshold_scale {scale}: must be finite and above 0")
    if not bool(seen.after.isfinite().all()):
        raise ConversionFailure(f"{where}: an activation of the ANN is NaN or infinite")
    if not bool((seen.after > 0).any()):
        raise ConversionFailure(
            f"{where}: dead layer: no activation is above 0 on {len(seen.after)} images: it can "
            "have no threshold"
        )
    found = RULES[rule](seen)
    threshold = found.threshold
    if threshold.dim() == 1:  # a channel that is never active fires as its layer does
        threshold = torch.where(threshold > 0, threshold, threshold.max())
    if not bool((threshold > 0).all() and threshold.isfinite().all()):
        raise ConversionFailure(
            f"{where}: threshold {threshold.min().item():.4g} by the rule {rule}: must be finite "
            "and above 0; a percentile wants to be higher"
        )
    return Level(threshold * scale, found.height)


def clip_floor(values: Tensor, threshold: Tensor, time_steps: int, initial: float = 0.0) -> Tensor:
    """The mean output of neurons with a soft reset on constant currents, after T steps.

    threshold clip(floor(z T / threshold + initial) / T, 0, 1): Bu et al., ICLR 2022, eq. 7; it is
    exact for constant currents between 0 and the threshold.
    values : z      initial : potential at the start, in thresholds
    """
    spikes = (values * time_steps / threshold + initial).floor()
    return threshold * spikes.clamp(0, time_steps) / time_steps


def quantile(values: Tensor, percentile: float) -> Tensor:
    """The smallest of the values that so many per cent of them do not exceed."""
    if not 0.0 < percentile <= 100.0:
        raise ConversionFailure(f"percentile {percentile}: must be above 0 and at most 100")
    flat = values.flatten()
    place = min(flat.numel(), max(1, math.ceil(percentile / 100.0 * flat.numel())))
    return flat.kthvalue(place).values


def _max(seen: Seen) -> Level:
    return Level(seen.after.max())


def _percentile(seen: Seen) -> Level:
    return Level(quantile(seen.after, seen.percentile))


def _percentile_by_channel(seen: Seen) -> Level:
    channels = seen.after.transpose(0, 1).flatten(1)
    return Level(torch.stack([quantile(one, seen.percentile) for one in channels]))


def _bound(seen: Seen) -> Level:
    bound = _own_bound(seen)
    if bound is None:
        raise ConversionFailure(
            f"{seen.node.where}: its activation has no bound to be the threshold: it must be "
            "clipped or qcfs; or take another threshold rule, as percentile"
        )
    return Level(bound)


def _bound_or_percentile(seen: Seen) -> Level:
    bound = _own_bound(seen)
    return _percentile(seen) if bound is None else Level(bound)


def _own_bound(seen: Seen) -> Tensor | None:
    module = seen.node.module
    if isinstance(module, Clipped):
        return module.bound.detach().clone()
    upper = getattr(module, "max_val", None)
    return None if upper is None else seen.after.new_tensor(float(upper))


def _spike_norm(seen: Seen) -> Level:
    """Sengupta et al., Frontiers in Neuroscience 2019: the largest current at any step."""
    return Level(seen.currents().max())


def _mmse(seen: Seen) -> Level:
    """Li et al., ICML 2021: the threshold of least squared error, of each channel, from a grid."""
    channels = seen.after.transpose(0, 1).flatten(1)
    largest = channels.max(1).values
    best, error = largest.clone(), torch.full_like(largest, math.inf)
    for index in range(1, _MMSE_GRID + 1):
        tried = largest * index / _MMSE_GRID
        safe = tried.clamp_min(torch.finfo(tried.dtype).tiny)[:, None]
        missed = (channels - clip_floor(channels, safe, seen.time_steps)).square().mean(1)
        is_better = missed < error
        best, error = torch.where(is_better, tried, best), torch.where(is_better, missed, error)
    return Level(best)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "max": _max,
        "percentile": _percentile,
        "percentile-by-channel": _percentile_by_channel,
        "bound": _bound,
        "bound-or-percentile": _bound_or_percentile,
        "spike-norm": _spike_norm,
        "mmse": _mmse,
    }
)
