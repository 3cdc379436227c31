"""Calibration: a layer of neurons is corrected until its outputs are those of the ANN's layer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dse.conversion import potentials
from dse.conversion.flow import Currents
from dse.conversion.folding import Synapse
from dse.conversion.network import Neurons, by_channel_of
from dse.conversion.potentials import Start
from dse.errors import ConversionFailure

FIT_EPOCHS = 10
PATIENCE = 3  # epochs without a smaller error, after which a fit ends
FIT_BATCH = 64
FIT_RATE = 0.002  # of a step of Adam, as a share of the size of the weights


@dataclass(frozen=True, slots=True)
class Flow:
    """How currents reach the neurons of a layer.

    currents : with the weights as they are
    synapses : that make them; none where they cannot be changed without changing others' currents
    """

    currents: Currents
    synapses: Sequence[Synapse] = ()


def bias(neurons: Neurons, currents: Currents, wanted: Tensor, started: Start) -> Start:
    """Add to the drive of each channel what its mean output misses: a bias that is corrected.

    Light calibration of Li, Deng, Dong, Gong and Gu, ICML 2021. A channel whose mean error does
    not fall keeps the drive that it has (which the authors do not check).
    wanted : activations (N, ...)
    """
    mean = wanted.mean(0)
    first = neurons.drive
    missed = mean - potentials.mean_output(neurons.initial, neurons, currents)
    neurons.drive = first + _over_channel(missed)
    missed_then = mean - potentials.mean_output(neurons.initial, neurons, currents)
    errors = _over_channel(missed.abs()), _over_channel(missed_then.abs())
    is_kept = potentials.falls(*errors, neurons)
    neurons.drive = torch.where(is_kept, neurons.drive, first.expand_as(neurons.drive))
    after = torch.where(is_kept, missed_then, missed).abs()
    before = float(missed.abs().mean()) if started.error_before is None else started.error_before
    return Start(neurons.initial, before, float(after.mean()), float(is_kept.double().mean()))


def dual_phase(
    where: str, neurons: Neurons, flow: Flow, wanted: Tensor, started: Start
) -> tuple[Currents, Start]:
    """Phase II of Wang et al., arXiv:2205.07473: potentials, then weights, then potentials again.

    Weights and biases are fitted by the mean squared error of the layer's mean outputs; the
    authors minimise a divergence of their softmax. The fit is undone if the mean error that the
    potentials leave is larger with it than without: it never rises.
    wanted : activations (N, ...), clipped at the threshold
    returns : the currents, and what became of the potentials
    Raises ConversionFailure for an error that is not finite.
    """
    currents = flow.currents.held()
    before = potentials.calibrated(neurons.initial, wanted, neurons, currents)
    neurons.initial = before.initial
    first = (
        before
        if started.error_before is None
        else replace(before, error_before=started.error_before)
    )
    if not flow.synapses:
        return currents, first
    kept = [copy.deepcopy(synapse.state_dict()) for synapse in flow.synapses]
    fit(where, neurons, flow, wanted)
    fitted = flow.currents.held()
    then = potentials.calibrated(before.initial, wanted, neurons, fitted)
    assert then.error_after is not None
    assert first.error_after is not None
    if then.error_after <= first.error_after:
        neurons.initial = then.initial
        return fitted, replace(then, error_before=first.error_before)
    for synapse, state in zip(flow.synapses, kept, strict=True):
        synapse.load_state_dict(state)
    neurons.initial = before.initial
    return currents, first


def fit(where: str, neurons: Neurons, flow: Flow, wanted: Tensor) -> tuple[float, float]:
    """Fit the synapses before neurons to the activations, by Adam through the spikes' surrogate.

    Ends after `FIT_EPOCHS`, or `PATIENCE` epochs that did not make the mean squared error on all
    samples smaller; the weights of the smallest one are left, which may be those at the start.
    returns : that error at first and at last
    """
    parameters = [parameter for synapse in flow.synapses for parameter in synapse.parameters()]
    threshold = float(neurons.threshold_values.mean())
    optimizer = torch.optim.Adam(
        [
            {
                "params": [one],
                "lr": FIT_RATE
                * (float(one.detach().square().mean().sqrt()) if one.dim() > 1 else threshold),
            }
            for one in parameters
        ]
    )
    order = torch.Generator().manual_seed(0)
    first = best = _error(where, neurons, flow.currents, wanted)
    kept = [one.detach().clone() for one in parameters]
    waited = 0
    for _ in range(FIT_EPOCHS):
        for picked in torch.randperm(len(wanted), generator=order).split(FIT_BATCH):
            optimizer.zero_grad()
            for here in picked.to(wanted.device).split(flow.currents.most):
                with torch.enable_grad():
                    loss = F.mse_loss(_outputs(neurons, flow.currents.get(here)), wanted[here])
                    (loss * (len(here) / len(picked))).backward(inputs=parameters)
            optimizer.step()
        error = _error(where, neurons, flow.currents, wanted)
        waited += 1
        if error < best:
            best, waited = error, 0
            kept = [one.detach().clone() for one in parameters]
        if waited == PATIENCE:
            break
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
            parameter.grad = None
    return first, best


@torch.no_grad()
def _error(where: str, neurons: Neurons, currents: Currents, wanted: Tensor) -> float:
    error = 0.0
    for samples, part in zip(currents.parts, currents, strict=True):
        missed = F.mse_loss(_outputs(neurons, part), wanted[samples])
        error += float(missed) * (part.shape[1] / len(wanted))
    if not error < float("inf"):
        raise ConversionFailure(f"{where}: calibration: error is {error}: must be finite")
    return error


def _outputs(neurons: Neurons, currents: Tensor) -> Tensor:
    """Threshold x spikes / T, (N, ...)."""
    threshold = by_channel_of(neurons.threshold_values, currents.dim() - 2)
    spikes: Tensor = neurons(currents)
    return spikes.mean(0) * threshold


def _over_channel(values: Tensor) -> Tensor:
    """(C, ...) -> means over the rest, (C, 1, ..): what a channel has in common."""
    if values.dim() == 1:
        return values
    return values.flatten(1).mean(1).reshape(-1, *(1 for _ in values.shape[1:]))
