"""Small networks of every family, and ways to make them work operator by operator."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dse.architectures import positions as architectures
from dse.architectures.positions import Position
from dse.networks.layer import Stage
from dse.networks.network import Network, real_synapse
from dse.neurons.binary import BinaryConv2d, BinaryLinear, Sign
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import Arctan, S2nn

SHAPE = (2, 10, 10)
CLASSES = 5


def lif(place: Position) -> nn.Module:
    return IntegrateFire(0.5, 0.9, "soft", Arctan(2.0))


def single_step(place: Position) -> nn.Module:
    return SingleStep(0.5, S2nn(4.0, 1.0, 0.5))


def binary_synapse(place: Position) -> nn.Module:
    if place.role == "first":
        return real_synapse(place)
    if place.kind == "linear":
        return BinaryLinear(place.c_in, place.c_out)
    return BinaryConv2d(place.c_in, place.c_out, place.kernel, place.padding, stride=place.stride)


FAMILIES: dict[str, dict[str, Any]] = {
    "ann": {"make_neuron": lambda place: nn.ReLU()},
    "bnn": {
        "make_synapse": binary_synapse,
        "make_neuron": lambda place: Sign(),
        "pool_first": True,
    },
    "s2nn": {"make_neuron": single_step},
    "snn, 1 step": {"make_neuron": lif},
    "snn, 3 steps": {"make_neuron": lif, "time_steps": 3},
}


def network(architecture: str, family: str = "snn, 3 steps", **options: Any) -> Network:
    """With statistics that are not those of a new batch-norm, in evaluation."""
    torch.manual_seed(0)
    depth = 2 if architecture == "mlp" else 0
    width = 0.125 if architecture != "resnet20" else 0.5
    places = architectures.load(architecture)(SHAPE, CLASSES, width, depth)
    built = Network(places, **{"make_synapse": real_synapse, **FAMILIES[family], **options})
    for module in built.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 0.2)
            nn.init.uniform_(module.bias, -0.2, 0.4)
    return built.eval()


def images(count: int = 4) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def labels(count: int = 4) -> Tensor:
    return torch.arange(count) % CLASSES


def stages(built: nn.Module) -> list[Stage]:
    return [module for module in built.modules() if isinstance(module, Stage)]


@contextmanager
def composed(built: nn.Module) -> Iterator[nn.Module]:
    """Somebody listens to every norm, neuron and pool, so that none of them is fused."""
    inner = [m for stage in stages(built) for m in (stage.norm, stage.neuron, stage.pool)]
    hooks = [m.register_forward_hook(lambda *seen: None) for m in inner if m is not None]
    try:
        yield built
    finally:
        for hook in hooks:
            hook.remove()


def arrivals(built: nn.Module, batch: Tensor) -> list[Tensor]:
    """What arrives at every layer of synapses, in the order of computation."""
    seen: list[Tensor] = []
    synapses = [m for name, m in built.named_modules() if name.endswith("synapse")]
    hooks = [m.register_forward_pre_hook(lambda m, args: seen.append(args[0])) for m in synapses]
    built(batch)
    for hook in hooks:
        hook.remove()
    return seen
