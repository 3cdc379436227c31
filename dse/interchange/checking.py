"""Checking: whether a file holds the network that it was made of, spike for spike.

Two questions. Is the graph that was read the folded network, the one whose numbers were written?
Asked in float64 on both sides, where the order of sums moves no spike: not one may differ. And what
did folding the batch-norm do to the trained network? Asked in float32, as it is used: a potential
that lies within rounding of its threshold falls to the other side, which is counted and no error.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dse.interchange.graph import Graph, Spiking, Step
from dse.interchange.networks import folded
from dse.interchange.running import Running
from dse.interchange.synapses import node_name

_BATCH = 64
_ROWS = 256  # samples times steps at a time: all spikes of all neurons are kept, in float64
_LOGITS_TOLERANCE = 1e-6  # of the largest: shares of votes are written in 32 bits


@dataclass(slots=True)
class LayerCheck:
    """Neurons of one place: spikes of the network, and how many of all comparisons differ."""

    name: str
    spikes: int = 0
    compared: int = 0
    differing: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """A graph beside a network on some images.

    layers : the graph and the folded network in float64
    logits_difference : the largest between them, as a share of the largest logit
    rounded : the trained network and the graph in float32
    labels_moved : images that the two call another class in float32
    """

    images: int
    layers: tuple[LayerCheck, ...]
    logits_difference: float
    rounded: tuple[LayerCheck, ...]
    labels_moved: int

    @property
    def is_same(self) -> bool:
        """Every neuron spikes at the same steps, and the logits are equal but for rounding."""
        has_same = all(one.differing == 0 for one in self.layers)
        return has_same and self.logits_difference <= _LOGITS_TOLERANCE


def check(network: nn.Module, graph: Graph, images: Tensor) -> Check:
    """Run a trained network and the graph that was read on images (B, ...)."""
    layers: dict[str, LayerCheck] = {}
    rounded: dict[str, LayerCheck] = {}
    exact = folded(network).double()
    trained = copy.deepcopy(network).eval()
    read, read_exact = Running(graph), Running(graph).double()
    largest, moved = 0.0, 0
    with torch.no_grad():
        # of one size on both sides: spikes that are drawn depend on it
        for batch in images.split(max(1, min(_BATCH, _ROWS // graph.time_steps))):
            logits, found = _compared(exact, read_exact, batch.double(), layers)
            scale = logits.abs().max().clamp_min(torch.finfo(logits.dtype).tiny)
            largest = max(largest, ((logits - found).abs().max() / scale).item())
            logits, found = _compared(trained, read, batch.float(), rounded)
            moved += int((logits.argmax(-1) != found.argmax(-1)).sum())
    return Check(len(images), tuple(layers.values()), largest, tuple(rounded.values()), moved)


def _compared(
    network: nn.Module, read: Running, images: Tensor, layers: dict[str, LayerCheck]
) -> tuple[Tensor, Tensor]:
    """The logits of both; adds up their spikes, neurons by neurons."""
    neurons = {node.name for node in read.graph.of_kind(Spiking, Step)}
    with _recorded(network, neurons) as spikes:
        logits = network(images)
    values = read.values(images)
    for name, fired in spikes.items():
        layer = layers.setdefault(name, LayerCheck(name))
        layer.spikes += int(fired.sum())
        layer.compared += fired.numel()
        layer.differing += int((fired != values[name]).sum())
    return logits, values[read.graph.nodes[-1].name].mean(0)


@contextmanager
def _recorded(network: nn.Module, names: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """The spikes (T, B, ...) of neurons in a pass within the block, by the names of their nodes."""
    found: dict[str, Tensor] = {}

    def record(name: str) -> object:
        def hook(module: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
            found[name] = output

        return hook

    hooks = [
        module.register_forward_hook(record(node_name(path)))  # type: ignore[arg-type]
        for path, module in network.named_modules()
        if node_name(path) in names
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
