"""This project's networks in the benchmark, built as its variants build them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.training.works import Work
from dse.architectures.positions import Position
from dse.networks.network import Network, biased_synapse, real_synapse
from dse.neurons.binary import BinaryConv2d, BinaryLinear, Sign
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import Arctan, S2nn
from dse.training.loop import step_hooks


def snn(work: Work, time_steps: int) -> nn.Module:
    """LIF over T steps, the neuron of all contestants."""
    return _network(
        work,
        make_neuron=lambda place: IntegrateFire(
            threshold=1.0, leak=0.5, reset="hard", surrogate=Arctan(2.0)
        ),
        time_steps=time_steps,
    )


def ann(work: Work) -> nn.Module:
    """Rectified linear units."""
    return _network(work, make_neuron=lambda place: nn.ReLU())


def s2nn(work: Work) -> nn.Module:
    """Neurons of a single step, and the surrogate made for them."""
    return _network(work, make_neuron=lambda place: SingleStep(1.0, S2nn(4.0, 1.0, 1.0)))


def bnn(work: Work) -> nn.Module:
    """Signs as weights and as activations; the first layer has real weights."""

    def make_synapse(place: Position) -> nn.Module:
        if place.role == "first":
            return real_synapse(place)
        if place.kind == "conv":
            return BinaryConv2d(place.c_in, place.c_out, place.kernel, place.padding)
        return BinaryLinear(place.c_in, place.c_out)

    return _network(
        work, make_synapse=make_synapse, make_neuron=lambda place: Sign(), pool_first=True
    )


def after_step(model: nn.Module) -> Callable[[], object]:
    """What the training loop calls after each step of the optimiser."""
    hooks = step_hooks(model)

    def call() -> None:
        for hook in hooks:
            hook()

    return call


def _network(work: Work, *, make_synapse: Any = None, **options: Any) -> nn.Module:
    has_norm = work.norm == "batch"
    # without a norm hidden layers have a bias, as those of the peers
    synapse = make_synapse or (real_synapse if has_norm else biased_synapse)
    return Network(work.positions, make_synapse=synapse, norm=work.norm, **options)
