"""Graph: a spiking network as a list of nodes, between our networks and a file format.

Whoever makes networks describes them with these nodes (`dse.interchange.networks`); whoever writes
a file, or runs what was read from one, needs to know nothing else. Another kind of network is
another function that returns a `Graph`.

Values of a node that several nodes feed are the sum of theirs, in the order of `sources`. Shapes
are those of one sample at one step: (C, H, W) or (N,).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from dse.errors import InterchangeFailure

Shape = tuple[int, ...]
Pair = tuple[int, int]
Coding = Literal["direct", "poisson", "rate-compensated", "rate-compensated-late"]
MOST_VALUES = 1 << 28  # of one sample at one step
CODINGS: tuple[Coding, ...] = get_args(Coding)


@dataclass(frozen=True, slots=True)
class Input:
    """Where the data enter, of a shape."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Linear:
    """Fully connected. weight : (N_out, N_in)      bias : (N_out,) or None"""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution in two dimensions, zeros around it.

    weight : (C_out, C_in / groups, K_h, K_w)      bias : (C_out,) or None
    """

    weight: Tensor
    bias: Tensor | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Pool:
    """Sum or mean over windows that lie inside; what is left over at the end is dropped."""

    kind: Literal["sum", "average"]
    kernel: Pair
    stride: Pair


@dataclass(frozen=True, slots=True)
class Flatten:
    """(C, H, W) -> (N,)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Every value times a factor. factor : () or (C, 1, 1) or like the values"""

    factor: Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """1 where the value is at least the threshold, else 0; without a state.

    threshold : () or (C, 1, 1) or like the values
    """

    threshold: Tensor


@dataclass(frozen=True, slots=True)
class Spiking:
    """Integrate-and-fire neurons; each number is () or (C, 1, 1) or like the values.

    u[t] = leak v[t-1] + gain I[t],  v[-1] = initial,  s[t] = [u[t] >= threshold]
    v[t] = u[t] - threshold s[t]   (is_soft)           v[t] = u[t] (1 - s[t])   (otherwise)
    """

    threshold: Tensor
    leak: Tensor
    gain: Tensor
    initial: Tensor
    is_soft: bool


@dataclass(frozen=True, slots=True)
class Output:
    """What comes here is an output at each step; the logits are their mean over all steps."""


Operation = Input | Linear | Convolution | Pool | Flatten | Scale | Step | Spiking | Output


@dataclass(frozen=True, slots=True)
class Node:
    """An operation with its name, those that feed it, and the shape of what it gives."""

    name: str
    operation: Operation
    sources: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order of computation: the first is the input, the last the output.

    coding : what enters. direct : the same real values at each of the T steps, or a frame of events
        a step; poisson : spikes drawn with the values as their probability; rate-compensated :
        spikes of integrate-and-fire neurons of threshold 1 that the values drive, plus T (values -
        their rate), what they lose, at the first step, or with `late` at the last
    """

    nodes: tuple[Node, ...]
    time_steps: int
    coding: Coding = "direct"

    def of_kind(self, *kinds: type) -> list[Node]:
        """The nodes with such operations."""
        return [node for node in self.nodes if isinstance(node.operation, kinds)]


class Draft:
    """A graph while it is made: refuses, by name, nodes that do not fit to one another."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def add(self, name: str, operation: Operation, sources: Sequence[str] = ()) -> str:
        """A node behind others that are there already; its name.

        Raises InterchangeFailure if its shape cannot follow theirs.
        """
        if name in self.nodes:
            raise InterchangeFailure(f"{name}: two nodes of this name: must be one")
        shape = _shape(name, operation, [(one, self.nodes[one].shape) for one in sources])
        if math.prod(shape) > MOST_VALUES:
            raise InterchangeFailure(f"{name}: {shape}: must be at most {MOST_VALUES} values")
        self.nodes[name] = Node(name, operation, tuple(sources), shape)
        return name

    def done(self, time_steps: int, coding: Coding = "direct") -> Graph:
        """The graph. Raises InterchangeFailure unless it goes from one input to one output."""
        nodes = tuple(self.nodes.values())
        for kind in (Input, Output):
            found = [node.name for node in nodes if isinstance(node.operation, kind)]
            if len(found) != 1:
                name = kind.__name__.lower()
                raise InterchangeFailure(f"graph: {len(found)} nodes of {name}: must be one")
        if time_steps < 1:
            raise InterchangeFailure(f"graph: time_steps {time_steps}: must be at least 1")
        used = {name for node in nodes for name in node.sources}
        for node in nodes:
            if node.name not in used and not isinstance(node.operation, Output):
                raise InterchangeFailure(f"{node.name}: nobody gets what it gives: must lead on")
        return Graph(nodes, time_steps, coding)


def numbers(operation: Operation) -> Mapping[str, Tensor]:
    """The tensors of an operation, by the names of their fields."""
    found = {name: getattr(operation, name) for name in operation.__slots__}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _shape(name: str, operation: Operation, sources: Sequence[tuple[str, Shape]]) -> Shape:
    """The shape behind an operation. Raises InterchangeFailure if there is none."""
    for field, values in numbers(operation).items():
        if not bool(torch.isfinite(values).all()):
            raise InterchangeFailure(f"{name}: {field} is not finite: must be numbers")
    if isinstance(operation, Input):
        if not operation.shape or min(operation.shape) < 1:
            raise InterchangeFailure(f"{name}: shape {operation.shape}: must be sizes from 1 on")
        return operation.shape
    if not sources:
        raise InterchangeFailure(f"{name}: nothing comes in: must have an edge from another node")
    first, shape = sources[0]
    for other, its in sources[1:]:
        if its != shape:
            raise InterchangeFailure(
                f"{name}: gets {shape} from {first} and {its} from {other}: must be equal"
            )
    return _leaving(name, operation, shape)


def _leaving(name: str, operation: Operation, shape: Shape) -> Shape:
    if isinstance(operation, Linear):
        _refuse_bias(name, operation)
        if shape != tuple(operation.weight.shape[1:]) or operation.weight.dim() != 2:
            raise InterchangeFailure(
                f"{name}: weights {tuple(operation.weight.shape)} on {shape}: "
                f"must be (N, {shape[0]})"
            )
        return (operation.weight.shape[0],)
    if isinstance(operation, Convolution):
        return _convolved(name, operation, shape)
    if isinstance(operation, Pool):
        _refuse_flat(name, shape)
        return (shape[0], *_slid(name, shape[1:], operation.kernel, operation.stride))
    if isinstance(operation, Flatten):
        return (math.prod(shape),)
    if isinstance(operation, Spiking):
        _refuse_spiking(name, operation)
    for field, values in numbers(operation).items():
        if not _fits(tuple(values.shape), shape):
            raise InterchangeFailure(
                f"{name}: {field} {tuple(values.shape)} on {shape}: must be like the values"
            )
    return shape


def _fits(values: Shape, shape: Shape) -> bool:
    """Whether values spread over a shape without making it larger."""
    pairs = zip(reversed(values), reversed(shape), strict=False)
    return len(values) <= len(shape) and all(own in (1, whole) for own, whole in pairs)


def _refuse_spiking(name: str, operation: Spiking) -> None:
    if not bool((operation.threshold > 0).all()):
        raise InterchangeFailure(f"{name}: threshold: must be above 0")
    if not bool(((operation.leak >= 0) & (operation.leak <= 1)).all()):
        raise InterchangeFailure(f"{name}: leak: must be between 0 and 1")


def _convolved(name: str, operation: Convolution, shape: Shape) -> Shape:
    _refuse_flat(name, shape)
    _refuse_bias(name, operation)
    weight, groups = operation.weight, operation.groups
    if weight.dim() != 4 or groups < 1 or weight.shape[0] % groups:
        raise InterchangeFailure(
            f"{name}: weights {tuple(weight.shape)} in {groups} groups: must be (C_out, C_in / "
            "groups, K, K)"
        )
    if weight.shape[1] * groups != shape[0]:
        raise InterchangeFailure(
            f"{name}: weights of {weight.shape[1] * groups} channels on {shape}: must be as many"
        )
    pads, dilation = operation.padding, operation.dilation
    if min(pads) < 0 or min(dilation) < 1:
        raise InterchangeFailure(
            f"{name}: padding {pads}, dilation {dilation}: must be at least 0 and 1"
        )
    sides = [side + 2 * pad for side, pad in zip(shape[1:], pads, strict=True)]
    kernel = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    return (weight.shape[0], *_slid(name, sides, kernel, operation.stride))


def _slid(
    name: str, sides: Sequence[int], kernel: Sequence[int], stride: Sequence[int]
) -> list[int]:
    if min(*kernel, *stride) < 1 or any(k > s for k, s in zip(kernel, sides, strict=True)):
        raise InterchangeFailure(
            f"{name}: windows {tuple(kernel)} every {tuple(stride)} on {tuple(sides)}: must fit in"
        )
    return [(s - k) // step + 1 for s, k, step in zip(sides, kernel, stride, strict=True)]


def _refuse_flat(name: str, shape: Shape) -> None:
    if len(shape) != 3:
        raise InterchangeFailure(f"{name}: gets {shape}: must be (C, H, W)")


def _refuse_bias(name: str, operation: Linear | Convolution) -> None:
    bias, features = operation.bias, operation.weight.shape[0]
    if bias is not None and tuple(bias.shape) != (features,):
        raise InterchangeFailure(f"{name}: bias {tuple(bias.shape)}: must be ({features},)")
