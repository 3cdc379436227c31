"""Nodes: a graph as the nodes of NIR, and back.

NIR (Pedersen et al., Nature Communications 15, 2024) defines neurons in continuous time. Read with
the steps of Euler's method, v[t] = v[t-1] + STEP_S dv/dt, its LIF, tau dv/dt = (v_leak - v) + r I,
is our neuron if leak = 1 - STEP_S / tau and gain = r STEP_S / tau; its IF, dv/dt = r I, if gain =
r STEP_S. What we do from a threshold on, NIR does above it: the number below it in float32 is
written, above which a float32 is as soon as it reaches the threshold.

NIR subtracted the threshold after a spike up to version 1.0.4; since 1.0.5 a neuron goes to
`v_reset`, and where a file has none, to 0. So neurons with a soft reset are written as 1.0.4 knew
them, without that field.

What a node cannot say travels as metadata of NIR, in keys that begin with `dse.`; `differences`
says what follows for a reader that does not know them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dse.errors import InterchangeFailure
from dse.interchange.graph import (
    Convolution,
    Flatten,
    Graph,
    Input,
    Linear,
    Node,
    Output,
    Pool,
    Scale,
    Shape,
    Spiking,
    Step,
)

STEP_S = 1e-4  # that which SpikingJelly and snnTorch assume: a file of NIR does not name it
SOFT_VERSION, HARD_VERSION = "1.0.4", "1.0.8"
PREFIX = "dse."
_NAMED = 3  # nodes in a text
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a reader that knows NIR and not us would do otherwise, at some nodes."""

    nodes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        names = ", ".join(self.nodes[:_NAMED])
        more = len(self.nodes) - _NAMED
        return f"{names}{f' and {more} more' if more > 0 else ''}: {self.text}"


def to_tree(graph: Graph) -> Tree:
    """A graph as the content of a NIR file: texts, arrays and dictionaries of them.

    Raises InterchangeFailure, with its name, for a node that NIR cannot say.
    """
    shapes = {node.name: node.shape for node in graph.nodes}
    edges = [(source, node.name) for node in graph.nodes for source in node.sources]
    repeated = sorted({edge for edge in edges if edges.count(edge) > 1})
    if repeated:
        raise InterchangeFailure(
            f"{repeated[0][1]}: gets {repeated[0][0]} twice: NIR joins two nodes once at most"
        )
    metadata = {"time_steps": graph.time_steps, "step_s": STEP_S, "coding": graph.coding}
    nodes = {
        node.name: _written(node, shapes[node.sources[0]] if node.sources else node.shape)
        for node in graph.nodes
    }
    has_soft = any(neurons.is_soft for _, neurons in _spiking(graph))
    return {
        "version": SOFT_VERSION if has_soft else HARD_VERSION,
        "node": {
            "type": "NIRGraph",
            "nodes": nodes,
            "edges": edges,
            "metadata": _prefixed(metadata),
        },
    }


def differences(graph: Graph) -> list[Difference]:
    """What a reader of NIR that does not know our metadata would do otherwise."""
    spiking = _spiking(graph)
    found = []

    def note(nodes: Iterable[Node], text: str) -> None:
        names = tuple(node.name for node in nodes)
        if names:
            found.append(Difference(names, text))

    steps = graph.time_steps
    if steps > 1:
        note(
            graph.of_kind(Input, Output),
            f"the network runs {steps} steps on each sample, with neurons at rest before, and its "
            "logits are the mean of the outputs; NIR says neither how many steps nor that mean",
        )
    if graph.coding == "poisson":
        note(
            graph.of_kind(Input),
            "takes spikes, drawn at each step with the values as their probability; a reader that "
            "shows it the values runs another network",
        )
    elif graph.coding != "direct":
        place = "last" if graph.coding == "rate-compensated-late" else "first"
        note(
            graph.of_kind(Input),
            "takes the spikes of integrate-and-fire neurons of threshold 1 that the values drive, "
            f"and at the {place} step also T times what their rate misses of the values; a reader "
            "that shows it the values runs another network",
        )
    note(
        (node for node, _ in spiking),
        f"a step is {STEP_S:g} s, by Euler's method; NIR names none, and another one is another "
        "neuron",
    )
    if steps > 1:
        note(
            (node for node, neurons in spiking if neurons.is_soft),
            "a spike takes the threshold from the potential (soft reset), as in NIR 1.0.4; a "
            "reader of NIR 1.0.5 or later sets it to 0, and the neurons spike less often",
        )
    note(
        (node for node, neurons in spiking if bool((neurons.initial != 0).any())),
        "potentials do not start at 0; a reader of NIR starts them there, and the neurons spike "
        "later"
        if steps > 1
        else "potentials do not start at 0; a reader of NIR starts them there",
    )
    note(
        (node for node in graph.nodes if len(node.sources) > 1),
        "adds up what several nodes give, as edges of NIR do; not every reader has several edges",
    )
    return found


def _spiking(graph: Graph) -> list[tuple[Node, Spiking]]:
    pairs = ((node, node.operation) for node in graph.nodes)
    return [(node, neurons) for node, neurons in pairs if isinstance(neurons, Spiking)]


def next_below(threshold: Tensor, shape: Shape) -> np.ndarray:
    """The largest float32 below a threshold, for every value."""
    return np.nextafter(_full(threshold, shape), np.float32(-np.inf))


def _written(node: Node, arriving: Shape) -> Tree:
    """A node as NIR has it. arriving : shape of what comes in"""
    operation, shape = node.operation, node.shape
    if isinstance(operation, Input | Output):
        return {"type": type(operation).__name__, "shape": np.array(shape)}
    if isinstance(operation, Linear):
        if operation.bias is None:
            return {"type": "Linear", "weight": _array(operation.weight)}
        return {
            "type": "Affine",
            "weight": _array(operation.weight),
            "bias": _array(operation.bias),
        }
    if isinstance(operation, Convolution):
        return _convolution(node.name, operation, arriving)
    if isinstance(operation, Pool):
        return {
            "type": "SumPool2d" if operation.kind == "sum" else "AvgPool2d",
            "kernel_size": np.array(operation.kernel),
            "stride": np.array(operation.stride),
            "padding": np.array((0, 0)),
        }
    if isinstance(operation, Flatten):
        return {"type": "Flatten", "input_type": np.array(arriving), "start_dim": 0, "end_dim": -1}
    if isinstance(operation, Scale):
        return {"type": "Scale", "scale": _full(operation.factor, shape)}
    if isinstance(operation, Step):
        return {"type": "Threshold", "threshold": next_below(operation.threshold, shape)}
    return _neurons(node.name, operation, shape)


def _convolution(name: str, operation: Convolution, arriving: Shape) -> Tree:
    weight = operation.weight
    if operation.groups != 1:
        raise InterchangeFailure(
            f"{name}: a convolution in {operation.groups} groups: readers of NIR take the channels "
            "of its weights for those of its input: must be 1 group"
        )
    if weight.shape[2] != weight.shape[3]:
        raise InterchangeFailure(
            f"{name}: a kernel of {weight.shape[2]} x {weight.shape[3]}: readers of NIR take its "
            "height for its width: must be square"
        )
    bias = torch.zeros(weight.shape[0]) if operation.bias is None else operation.bias
    return {
        "type": "Conv2d",
        "input_shape": np.array(arriving[1:]),
        "weight": _array(weight),
        "stride": np.array(operation.stride),
        "padding": np.array(operation.padding),
        "dilation": np.array(operation.dilation),
        "groups": operation.groups,
        "bias": _array(bias),
    }


def _neurons(name: str, neurons: Spiking, shape: Shape) -> Tree:
    has_leak = neurons.leak < 1
    if bool(has_leak.any()) and not bool(has_leak.all()):
        raise InterchangeFailure(
            f"{name}: neurons with a leak beside neurons without: NIR has two nodes for them: must "
            "be all or none"
        )
    gain, reset = neurons.gain.double(), "soft" if neurons.is_soft else "hard"
    tree: Tree = {"type": "LIF" if bool(has_leak.all()) else "IF"}
    if tree["type"] == "LIF":
        tau_s = STEP_S / (1.0 - neurons.leak.double())
        tree["tau"] = _full(tau_s, shape)
        tree["r"] = _full(gain * tau_s / STEP_S, shape)
        tree["v_leak"] = np.zeros(shape, np.float32)
    else:
        tree["r"] = _full(gain / STEP_S, shape)
    tree["v_threshold"] = next_below(neurons.threshold, shape)
    if not neurons.is_soft:
        tree["v_reset"] = np.zeros(shape, np.float32)
    exact = {"leak": neurons.leak, "gain": neurons.gain, "initial_potential": neurons.initial}
    values = {key: value.double().cpu().numpy() for key, value in exact.items()}
    return {**tree, "metadata": _prefixed({"reset": reset, **values})}


def _prefixed(values: Mapping[str, Any]) -> Tree:
    return {PREFIX + key: value for key, value in values.items()}


def _array(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().float().cpu().contiguous().numpy()
    return found


def _full(values: Tensor, shape: Shape) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(_array(values), shape))
