"""Reading: what a knob that is turned after the training does to a network.

A knob that a family lists among its `readings` is a line in `TURNED`, and a function. It changes
the network at hand; the weights on the disk stay what the training made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from dse.design import KnobValue
from dse.errors import BuildFailure
from dse.neurons.dynamics import refuse_threshold
from dse.neurons.fused import Form
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import S2nn

UNCHANGED_BITS = 32
_SATURATED_THRESHOLDS = 2.0  # potentials of few bits reach from minus to plus so many thresholds

Turn = Callable[[nn.Module, KnobValue], tuple[str, ...]]
"""Turns a knob of a network, and says what must stand beside every figure of it."""


def apply(model: nn.Module, values: Mapping[str, KnobValue]) -> tuple[str, ...]:
    """Turn knobs of a trained network, in place; the notes to them.

    Raises BuildFailure for a value that this network cannot have, or a knob that nobody knows.
    """
    notes: list[str] = []
    for name in values:
        if name not in TURNED:
            raise BuildFailure(f"reading: {name}: must be one of {', '.join(TURNED)}")
    for name, turn in TURNED.items():
        if name in values:
            notes += turn(model, values[name])
    return tuple(notes)


def _time_steps(model: nn.Module, value: KnobValue) -> tuple[str, ...]:
    """Fewer steps than trained: the logits are then the mean over those."""
    trained = getattr(model, "time_steps", 1)
    if not 1 <= int(value) <= trained:
        raise BuildFailure(f"reading: time_steps {value}: must be between 1 and {trained}")
    model.time_steps = int(value)  # type: ignore[assignment]  # a module may hold a number
    return ()


def _threshold_scale(model: nn.Module, value: KnobValue) -> tuple[str, ...]:
    """All thresholds times a number; a surrogate that is built around its threshold follows."""
    for neuron in _neurons(model):
        with torch.no_grad():  # it may be learned
            threshold = float(neuron.threshold) * float(value)
        refuse_threshold(threshold)
        neuron.threshold = threshold
        if isinstance(neuron, IntegrateFire):
            surrogate = _moved(neuron.surrogate, threshold, float(value))
            neuron.dynamics = replace(neuron.dynamics, surrogate=surrogate)
        else:
            neuron.surrogate = _moved(neuron.surrogate, threshold, float(value))
    return ()


def _initial_potential(model: nn.Module, value: KnobValue) -> tuple[str, ...]:
    for neuron in _neurons(model):
        if isinstance(neuron, IntegrateFire):
            neuron.initial_potential = float(value)
    return ()


def _weight_bits(model: nn.Module, value: KnobValue) -> tuple[str, ...]:
    """Weights of every synapse as k step, k a whole number of so many bits, -max .. max.

    One step by output channel, from its largest weight; it folds into the norm behind, or into the
    logits. The values stay floating point (fake quantisation), and the layer says how many bits it
    has, which counting takes over. Biases stay as they are.
    """
    bits = int(value)
    if bits == UNCHANGED_BITS:
        return ()
    largest = 2 ** (bits - 1) - 1
    for module in model.modules():
        if type(module) not in (nn.Conv2d, nn.Linear):
            continue
        assert isinstance(module, nn.Conv2d | nn.Linear)
        with torch.no_grad():
            weight = module.weight
            step = weight.double().abs().flatten(1).amax(1) / largest
            step = step.clamp_min(torch.finfo(torch.float64).tiny)
            step = step.reshape(-1, *(1 for _ in weight.shape[1:]))
            weight.copy_((weight.double() / step).round() * step)
        module.weight_bits = bits  # type: ignore[assignment]  # a module may hold a number
    return ("weights were rounded after the training; biases, batch-norm and potentials were not",)


def _potential_bits(model: nn.Module, value: KnobValue) -> tuple[str, ...]:
    bits = int(value)
    if bits == UNCHANGED_BITS:
        return ()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, IntegrateFire):
                setattr(module, name, OnGrid(child, bits))
    return ("potentials were rounded between steps; energy is that of the profile's own width",)


TURNED: Mapping[str, Turn] = MappingProxyType(
    {
        "time_steps": _time_steps,
        "threshold_scale": _threshold_scale,
        "initial_potential": _initial_potential,
        "weight_bits": _weight_bits,
        # last: it wraps the neurons that the others turn
        "potential_bits": _potential_bits,
    }
)


class OnGrid(nn.Module):
    """Integrate-and-fire neurons whose potential is kept between steps in few bits; no gradients.

    The potential that is left after a spike is rounded to the nearest of 2^bits values, a step of
    threshold / 2^(bits - 2) apart, from -2 thresholds to just below 2, and held at these ends.

    neuron : whose steps these are
    """

    def __init__(self, neuron: IntegrateFire, bits: int) -> None:
        super().__init__()
        self.neuron = neuron
        self.bits = bits

    def form(self) -> Form:
        """What the kernel would need to know; it has no such neuron, and is told so."""
        return replace(self.neuron.form(), slope=-1)

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes in {0, 1} of currents; both (T, B, ...)."""
        neuron = self.neuron
        form = neuron.form()
        threshold = torch.as_tensor(form.threshold).detach()
        step = threshold * _SATURATED_THRESHOLDS / 2 ** (self.bits - 1)
        low, high = -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        inner = currents.detach().float()
        kept = torch.zeros_like(inner[0]) + form.initial
        spikes = []
        for current in inner:
            potential = current * form.gain + kept * form.leak
            fired = (potential >= threshold).to(potential.dtype)
            left = potential * (1 - fired) if form.is_hard else potential - fired * threshold
            kept = (left / step).round().clamp(low, high) * step
            spikes.append(fired)
        return torch.stack(spikes).to(currents.dtype)

    def neuron_events(self, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
        """Those of the neurons: rounding is how a state is written, no event of its own."""
        return self.neuron.neuron_events(inputs, outputs)

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


def _neurons(model: nn.Module) -> Iterator[IntegrateFire | SingleStep]:
    for module in model.modules():
        if isinstance(module, IntegrateFire | SingleStep):
            yield module


def _moved(surrogate: Any, threshold: float, scale: float) -> Any:
    """A surrogate at another threshold; most know only how far a potential is from it."""
    if not isinstance(surrogate, S2nn):
        return surrogate
    # beta moves along: what is continuous at the threshold stays so
    return replace(surrogate, beta=surrogate.beta * scale, threshold=threshold)
