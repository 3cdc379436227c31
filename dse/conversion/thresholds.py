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
_QUANTILES = 100
_HIGHEST = 2.0
# one of so many values is looked at first, and so many more of these than there should be
_STRIDE, _SPARE = 64, 16


@dataclass(frozen=True, slots=True)
class Seen:
    """What flows at an activation of the ANN and at its place in the spiking network.

    before, after : (N, ...) into the activation and out of it
    percentile : 0..100
    learned : a threshold that was found before, for the rules `rate-norm` and `spike-norm`
    ceiling : the largest current that spikes could cause, None where currents enter synapses
    """

    node: Node
    before: Tensor
    after: Tensor
    time_steps: int
    percentile: float
    learned: Tensor | None = None
    ceiling: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """A threshold, of the layer () or of each channel (C,), and what a spike is worth in it.

    height : a spike counts for height x threshold in the layers behind
    """

    threshold: Tensor
    height: float = 1.0


UNIT = "unit"  # 1 in every layer, whatever flows: where only kinds of operations matter
Rule = Callable[[Seen], Level]


def level(rule: str, seen: Seen, scale: float, gain: float = 1.0) -> Level:
    """The threshold of a layer by a rule, times a scale; a spike is worth `gain` times it.

    Raises ConversionFailure for a layer that is never active, a rule that the activation does not
    allow, or a scale that is not above 0.
    """
    where = seen.node.where
    if rule == UNIT:
        return Level(seen.after.new_ones(()))
    if not (math.isfinite(scale) and scale > 0):
        raise ConversionFailure(f"threshold_scale {scale}: must be finite and above 0")
    refuse_dead(seen.node, seen.after)
    found = RULES[rule](seen)
    threshold = found.threshold
    if threshold.dim() == 1:  # a channel that is never active fires as its layer does
        threshold = torch.where(threshold > 0, threshold, threshold.max())
    if not bool((threshold > 0).all() and threshold.isfinite().all()):
        raise ConversionFailure(
            f"{where}: threshold {threshold.min().item():.4g} by the rule {rule}: must be finite "
            "and above 0; a percentile wants to be higher"
        )
    return Level(threshold * scale, found.height * gain)


def refuse_dead(node: Node, after: Tensor) -> None:
    """Raise ConversionFailure for activations (N, ...) of which none is above 0, or not finite."""
    low, high = after.aminmax()  # both are NaN where one value is
    if not bool(low.isfinite() & high.isfinite()):
        raise ConversionFailure(f"{node.where}: an activation of the ANN is NaN or infinite")
    if not bool(high > 0):
        raise ConversionFailure(
            f"{node.where}: dead layer: no activation is above 0 on {len(after)} images: it can "
            "have no threshold"
        )


def clip_floor(values: Tensor, threshold: Tensor, time_steps: int, initial: float = 0.0) -> Tensor:
    """The mean output of neurons with a soft reset on constant currents, after T steps.

    threshold clip(floor(z T / threshold + initial) / T, 0, 1): Bu et al., ICLR 2022, eq. 7; it is
    exact for constant currents between 0 and the threshold.
    values : z      initial : potential at the start, in thresholds
    """
    spikes = (values * time_steps / threshold + initial).floor()
    return threshold * spikes.clamp(0, time_steps) / time_steps


def quantile(values: Tensor, percentile: float) -> Tensor:
    """The smallest of the values, all finite, that so many per cent of them do not exceed."""
    if not 0.0 < percentile <= 100.0:
        raise ConversionFailure(f"percentile {percentile}: must be above 0 and at most 100")
    flat = values.flatten()
    place = min(flat.numel(), max(1, math.ceil(percentile / 100.0 * flat.numel())))
    if place == flat.numel():
        return flat.max()
    from_top = flat.numel() - place + 1
    tail = _tail(flat, from_top)
    return tail.kthvalue(len(tail) - from_top + 1).values


def _tail(flat: Tensor, count: int) -> Tensor:
    """The largest of the values, at least so many; all of them where that saves nothing.

    To select from few is far faster. Where these begin is guessed from a sample: a guess that is
    too high is not used.
    """
    sample = flat[::_STRIDE]
    guessed = 2 * count // _STRIDE + _SPARE
    if guessed > len(sample) // 2:
        return flat
    tail = flat[flat >= sample.topk(guessed).values[-1]]
    return tail if len(tail) >= count else flat


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


def _learned(seen: Seen) -> Level:
    assert seen.learned is not None
    return Level(seen.learned)


def _model_based(seen: Seen) -> Level:
    """Diehl et al., IJCNN 2015: what a neuron gets if all its excitatory inputs spike at once."""
    if seen.ceiling is None:
        raise ConversionFailure(
            f"{seen.node.where}: rule model-based: some synapses before it take currents, which "
            "have no largest value: must all take spikes; or take another rule, as max"
        )
    return Level(seen.ceiling)


def _mmse(seen: Seen) -> Level:
    """Li et al., ICML 2021: the threshold of least squared error, of each channel, from a grid.

    The staircase floors, also where half a threshold is spread over the steps afterwards: the
    authors' code shifts its neurons by default and searches without the shift.
    """
    # what neurons get are currents: an activation that is quantised itself shows only levels
    channels, currents = (one.transpose(0, 1).flatten(1) for one in (seen.after, seen.before))
    largest = channels.max(1).values
    best, error = largest.clone(), torch.full_like(largest, math.inf)
    for index in range(1, _MMSE_GRID + 1):
        tried = largest * index / _MMSE_GRID
        safe = tried.clamp_min(torch.finfo(tried.dtype).tiny)[:, None]
        missed = (channels - clip_floor(currents, safe, seen.time_steps)).square().mean(1)
        is_better = missed < error
        best, error = torch.where(is_better, tried, best), torch.where(is_better, missed, error)
    return Level(best)


def _distribution(seen: Seen) -> Level:
    """A threshold and a height that give the mean of the clipped ReLU, and the least squared error.

    After Datta and Beerel, DATE 2022, whose search was not read. With mu the bound, or else the
    percentile: the threshold is one of `_QUANTILES` of the activations clip(z, 0, mu), the height
    makes the mean over the samples of the staircase of T steps theirs, but is at most
    `_HIGHEST`; where it must be more, the means come as near as they can. Of thresholds whose
    means are as near, that of the least squared error is taken.
    """
    bound = _bound_or_percentile(seen).threshold
    values = seen.before.relu().minimum(bound).flatten()
    active = values[values > 0]
    places = torch.linspace(0, 1, _QUANTILES + 1, device=values.device)[1:] * (len(active) - 1)
    best, smallest = Level(bound), (math.inf, math.inf)
    for threshold in active.sort().values[places.long()].unique():
        stairs = clip_floor(values, threshold, seen.time_steps)
        if not bool(stairs.any()):
            continue
        height = min(_HIGHEST, float(values.mean() / stairs.mean()))
        missed = values - height * stairs
        # equal means are equal up to rounding only
        apart = round(float(missed.mean().abs() / values.mean()), 4)
        found = apart, float(missed.square().mean())
        if found < smallest:
            best, smallest = Level(threshold, height), found
    return best


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "max": _max,
        "percentile": _percentile,
        "percentile-by-channel": _percentile_by_channel,
        "bound": _bound,
        "bound-or-percentile": _bound_or_percentile,
        "model-based": _model_based,
        "spike-norm": _learned,
        "rate-norm": _learned,
        "mmse": _mmse,
        "distribution": _distribution,
    }
)
