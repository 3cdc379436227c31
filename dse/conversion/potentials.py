"""Potentials: what neurons start from, so that T steps miss the activation by less.

IC-SNN (Li, Shang, Shi, Gao and Zhang, Mathematics 2023) is reconstructed here: its algorithms were
not read. The update of algorithm 2 is that of dual-phase conversion (Wang et al., 2022) and of the
potential correction of Li et al., ICML 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dse.conversion.flow import Currents
from dse.conversion.network import Neurons, by_channel_of
from dse.errors import ConversionFailure

_ROUNDING = 1e-6  # thresholds: errors that differ by less are one


@dataclass(frozen=True, slots=True)
class Start:
    """Initial potentials of a layer, and what choosing them did.

    initial : broadcasts to the shape of a neuron's place (...)
    error_before, error_after : mean over neurons of |mean activation - mean output| on the
        calibration images; None where nothing was calibrated
    kept_share : of neurons that have the calibrated potential; None likewise
    """

    initial: Tensor
    error_before: float | None = None
    error_after: float | None = None
    kept_share: float | None = None


def start(rule: str, wanted: Tensor, neurons: Neurons, currents: Currents) -> Start:
    """The initial potentials of a layer by a rule.

    zero : none        half : half of the threshold (Bu et al., AAAI 2022; algorithm 1 of IC-SNN)
    training-set : from half, v(0) += T (mean activation - mean output) of each neuron, where that
        makes the mean error on the calibration images smaller (algorithm 2, guarded)
    training-set-from-zero : the same from zero       training-set-by-channel : means over maps, too
    training-set-unguarded : the update everywhere
    mean-residual : the mean potential that is left after T steps, one number for the layer (a
        second reading of algorithm 2, as in the code of Bu et al., ICLR 2022)

    wanted : activations (N, ...), clipped at the threshold
    Raises ConversionFailure for another rule.
    """
    threshold = by_channel_of(neurons.threshold_values, wanted.dim() - 1)
    zero, half = torch.zeros_like(threshold), threshold / 2
    if rule == "zero":
        return Start(zero)
    if rule == "half":
        return Start(half)
    if rule == "mean-residual":
        if neurons.reset == "hard":
            raise ConversionFailure("initial mean-residual: a hard reset leaves none: must be soft")
        neurons.initial = zero
        shares = [_left(neurons, part) * (part.shape[1] / len(wanted)) for part in currents]
        return Start(torch.stack(shares).sum())
    if rule not in CALIBRATED:
        raise ConversionFailure(f'initial_rule "{rule}": must be one of {", ".join(RULES)}')
    first = zero if rule == "training-set-from-zero" else half
    return calibrated(
        first,
        wanted,
        neurons,
        currents,
        by_channel=rule == "training-set-by-channel",
        is_guarded=rule != "training-set-unguarded",
    )


def calibrated(
    first: Tensor,
    wanted: Tensor,
    neurons: Neurons,
    currents: Currents,
    *,
    by_channel: bool = False,
    is_guarded: bool = True,
) -> Start:
    """One update of the potentials `first` by T times what the mean output misses; see `start`."""
    mean = wanted.mean(0)
    missed = mean - mean_output(first, neurons, currents)
    first = first.expand_as(missed)
    update = missed
    if by_channel and missed.dim() > 1:
        update = missed.flatten(1).mean(1).reshape(-1, *(1 for _ in missed.shape[1:]))
    tried = first + currents.time_steps * update
    missed_then = mean - mean_output(tried, neurons, currents)
    is_kept = falls(missed, missed_then, neurons) if is_guarded else torch.ones_like(missed) > 0
    after = torch.where(is_kept, missed_then, missed)
    return Start(
        torch.where(is_kept, tried, first),
        float(missed.abs().mean()),
        float(after.abs().mean()),
        float(is_kept.double().mean()),
    )


def falls(missed: Tensor, missed_then: Tensor, neurons: Neurons) -> Tensor:
    """Where an error is smaller than before: by more than the order of sums can make of it."""
    return missed.abs() - missed_then.abs() > _ROUNDING * neurons.threshold_values.max()


def mean_output(initial: Tensor, neurons: Neurons, currents: Currents) -> Tensor:
    """Threshold x spikes / T of every neuron, its mean over the samples."""
    neurons.initial = initial
    samples = sum(part.stop - part.start for part in currents.parts)
    spikes = torch.stack([neurons(part).sum(0).sum(0) for part in currents]).sum(0)
    threshold = by_channel_of(neurons.threshold_values, spikes.dim())
    return spikes / samples * threshold / currents.time_steps


def _left(neurons: Neurons, currents: Tensor) -> Tensor:
    """The mean potential after currents (T, n, ...), of neurons that start from none."""
    threshold = by_channel_of(neurons.threshold_values, currents.dim() - 2)
    spikes = neurons(currents).sum(0)
    left = currents.sum(0) + len(currents) * neurons.drive - spikes * threshold
    return left.mean()


CALIBRATED = (
    "training-set",
    "training-set-from-zero",
    "training-set-by-channel",
    "training-set-unguarded",
)
RULES = ("zero", "half", *CALIBRATED, "mean-residual")
