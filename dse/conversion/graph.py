"""Graph: a plain PyTorch model as a list of nodes that a spiking network can be made of.

The model is traced by torch.fx. What cannot be converted is named, with the line of the model.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from dse.conversion.folding import folded, scaling
from dse.errors import ConversionFailure
from dse.neurons.clipped import Clipped

Kind = Literal["input", "synapse", "activation", "average", "max", "flatten", "add"]
_RELUS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, Clipped)
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_SYNAPSES = (nn.Conv2d, nn.Linear)
_LEAVES = (*_RELUS, *_NOTHING, *_NORMS)
KNOWN = "Conv2d, Linear, BatchNorm, ReLU, average and max pooling, flatten, dropout and sums"


@dataclass(frozen=True, slots=True)
class Node:
    """One step of the computation.

    name : path of the module, or the name that the tracer gave      inputs : names of nodes
    module : of a synapse (batch-norm folded in), an activation or a pool
    line : of the model, `file.py:12`
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...] = ()
    module: nn.Module | None = None
    line: str = ""

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.name} ({self.line})" if self.line else self.name


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order of computation: the first is the input, the last gives the logits."""

    nodes: tuple[Node, ...]
    notes: tuple[str, ...] = ()

    def activations(self) -> list[Node]:
        """The nodes whose place neurons take."""
        return [node for node in self.nodes if node.kind == "activation"]

    def run(
        self, images: Tensor, see: Callable[[Node, Tensor, Tensor], None] | None = None
    ) -> Tensor:
        """Logits of the ANN that this is; see : told of every activation, its input and output."""
        values: dict[str, Tensor] = {self.nodes[0].name: images}
        for node in self.nodes[1:]:
            inputs = [values[name] for name in node.inputs]
            values[node.name] = compute(node, inputs)
            if see is not None and node.kind == "activation":
                see(node, inputs[0], values[node.name])
        return values[self.nodes[-1].name]


def compute(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """What a node makes of its inputs, in the ANN."""
    if node.kind == "flatten":
        return inputs[0].flatten(1)
    if node.kind == "add":
        return torch.stack(list(inputs)).sum(0) if len(inputs) > 2 else inputs[0] + inputs[1]
    assert node.module is not None
    found: Tensor = node.module(inputs[0])
    return found


def trace(model: nn.Module) -> Graph:
    """The nodes of a model in evaluation mode, whose weights are copied; batch-norm is folded.

    Raises ConversionFailure, with every mistake, for a model that is not made of `KNOWN`, or
    whose forward pass depends on its data; and for weights that are not finite.
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        tracer = _Tracer()
        traced = tracer.trace(model.eval())
    except ConversionFailure:
        raise
    except Exception as error:
        raise ConversionFailure(
            f"{type(model).__name__}: cannot be traced: {str(error).splitlines()[0] or error!r}"
            f"{_line_of(error)}; its forward pass must not depend on the values"
        ) from error
    finally:
        for module, was_training in flags:
            module.training = was_training
    builder = _Builder(model, traced)
    graph = builder.build()
    _refuse_not_finite(graph)
    return graph


class _Tracer(fx.Tracer):
    """Notes which line of the model made each node."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES) or super().is_leaf_module(m, module_qualified_name)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["line"] = _calling_line()
        return node


def _calling_line() -> str:
    """The innermost line outside of PyTorch and of this package."""
    own = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not trace.__code__:  # who traces made no layer
        file = frame.f_code.co_filename
        if not file.startswith(own) and not file.startswith("<"):
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _line_of(error: BaseException) -> str:
    """The innermost line of the traceback outside of PyTorch and of this package."""
    own = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    found, step = "", error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith(own) and not file.startswith("<"):
            found = f" ({Path(file).name}:{step.tb_lineno})"
        step = step.tb_next
    return found


@dataclass(slots=True)
class _Builder:
    """From nodes of torch.fx to ours."""

    model: nn.Module
    traced: fx.Graph
    nodes: dict[str, Node] = field(default_factory=dict)
    names: dict[fx.Node, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def build(self) -> Graph:
        for node in self.traced.nodes:
            try:
                self._take(node)
            except _Refused as error:
                where = " ".join(part for part in (_called(node), _at(node)) if part)
                self.problems.append(f"{where}: {error}")
                self._alias(node, _first(node))
        if self.problems:
            raise ConversionFailure("\n".join(self.problems))
        nodes = _pruned(list(self.nodes.values()), self.last)
        nodes = _relu_before_pool(nodes)
        _refuse_shape(nodes)
        return Graph(tuple(nodes), tuple(self.notes))

    last: str = ""

    def _take(self, node: fx.Node) -> None:
        if node.op == "output":
            result = node.args[0]
            if not isinstance(result, fx.Node) or result not in self.names:
                raise _Refused("the model must return one tensor of logits")
            self.last = self.names[result]
        elif node.op == "placeholder":
            if any(one.kind == "input" for one in self.nodes.values()):
                if node.args:  # it has a default
                    return
                raise _Refused("a second input: a model of one input can be converted")
            self._add(node, "input")
        elif node.op == "call_module":
            self._module(node, self.traced_module(node))
        elif node.op == "call_function":
            self._function(node)
        elif node.op == "call_method":
            self._method(node, str(node.target))
        elif node.op == "get_attr":
            raise _Refused(f"a parameter or a constant of its own: must be made of {KNOWN}")

    def traced_module(self, node: fx.Node) -> nn.Module:
        return self.model.get_submodule(str(node.target))

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        source = self._source(node)
        if isinstance(module, _NOTHING):
            self._alias(node, _first(node))
        elif isinstance(module, _NORMS):
            self._norm(node, module, source)
        elif isinstance(module, nn.Conv2d | nn.Linear) and type(module) in _SYNAPSES:
            if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
                raise _Refused(f"padding_mode {module.padding_mode}: must be zeros")
            self._add(node, "synapse", (source,), folded(module, None))
        elif isinstance(module, _RELUS):
            low = getattr(module, "min_val", 0.0)
            if low != 0.0:
                raise _Refused(f"a lower bound of {low}: a firing rate has 0")
            self._add(node, "activation", (source,), module)
        elif isinstance(module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            self._add(node, "average", (source,), module)
        elif isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d):
            if getattr(module, "return_indices", False):
                raise _Refused("return_indices: must be False")
            self._add(node, "max", (source,), module)
        elif isinstance(module, nn.Flatten):
            if (module.start_dim, module.end_dim) != (1, -1):
                raise _Refused("must flatten from dimension 1 to the last")
            self._add(node, "flatten", (source,))
        else:
            raise _Refused(f"{type(module).__name__} cannot be converted: must be one of {KNOWN}")

    def _norm(self, node: fx.Node, norm: nn.BatchNorm1d | nn.BatchNorm2d, source: str) -> None:
        if norm.running_mean is None:
            raise _Refused("no running statistics: cannot be folded")
        before = self.nodes[source]
        is_sole = len(_first(node).users) == 1
        if before.kind == "synapse" and is_sole:
            assert isinstance(before.module, nn.Conv2d | nn.Linear)
            self.nodes[source] = replace(before, module=folded(before.module, norm))
            self._alias(node, _first(node))
        elif isinstance(norm, nn.BatchNorm2d):
            self._add(node, "synapse", (source,), scaling(norm))
            self.notes.append(
                f"{node.target}: no synapses stand right before this batch-norm: it became a 1x1 "
                "synapse of each channel"
            )
        else:
            raise _Refused("no synapses stand right before this batch-norm: cannot be folded")

    def _function(self, node: fx.Node) -> None:
        function = node.target
        if function in (getattr, operator.getitem):
            return  # of a shape; whoever takes it for a value is refused
        if function in (F.dropout, F.dropout2d):
            self._alias(node, _first(node))
        elif function in (F.relu, torch.relu):
            self._add(node, "activation", (self._source(node),), nn.ReLU())
        elif function is F.relu6:
            self._add(node, "activation", (self._source(node),), nn.ReLU6())
        elif function in (operator.add, torch.add, operator.iadd):
            self._sum(node)
        elif function is torch.flatten:
            self._flatten(node)
        elif function is F.avg_pool2d:
            self._add(node, "average", (self._source(node),), _pool(nn.AvgPool2d, node))
        elif function is F.adaptive_avg_pool2d:
            self._add(node, "average", (self._source(node),), _pool(nn.AdaptiveAvgPool2d, node))
        elif getattr(function, "__name__", "") in ("max_pool2d", "boolean_dispatch", "fn"):
            self._add(node, "max", (self._source(node),), _pool(nn.MaxPool2d, node))
        elif function is torch.mean:
            self._mean(node)
        else:
            name = getattr(function, "__name__", str(function))
            raise _Refused(f"{name} cannot be converted: must be one of {KNOWN}")

    def _method(self, node: fx.Node, name: str) -> None:
        if name in ("size", "dim"):
            return
        if name in ("relu", "relu_"):
            self._add(node, "activation", (self._source(node),), nn.ReLU())
        elif name in ("add", "add_"):
            self._sum(node)
        elif name in ("flatten", "view", "reshape"):
            self._flatten(node)
        elif name == "mean":
            self._mean(node)
        elif name in ("contiguous", "clone"):
            self._alias(node, _first(node))
        else:
            raise _Refused(f".{name}() cannot be converted: must be one of {KNOWN}")

    def _sum(self, node: fx.Node) -> None:
        if len(node.args) != 2 or any(not isinstance(one, fx.Node) for one in node.args):
            raise _Refused("a sum with a number: must be a sum of two layers")
        if node.kwargs.get("alpha", 1) != 1:
            raise _Refused("a sum with alpha: must be a plain sum")
        self._add(node, "add", tuple(self._name(one) for one in node.args))

    def _flatten(self, node: fx.Node) -> None:
        if node.target in (torch.flatten, "flatten"):
            given = (*node.args[1:], *node.kwargs.values())
            if given not in ((1,), (1, -1)):
                raise _Refused("must flatten from dimension 1 to the last")
        else:
            sizes = node.args[1:]
            sizes = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple) else sizes
            # whether it is a flatten is checked: the logits must be those of the model
            if len(sizes) != 2:
                raise _Refused(f"{node.target}: must flatten all but the samples")
        self._add(node, "flatten", (self._source(node),))

    def _mean(self, node: fx.Node) -> None:
        where = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        if not isinstance(where, list | tuple) or sorted(d % 4 for d in where) != [2, 3]:
            raise _Refused("mean: must be over the pixels, dimensions 2 and 3")
        keeps = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
        self._add(node, "average", (self._source(node),), nn.AdaptiveAvgPool2d(1))
        if not keeps:
            pooled = self.names[node]
            self._add(node, "flatten", (pooled,), name=f"{pooled}.flatten")

    def _add(
        self,
        node: fx.Node,
        kind: Kind,
        inputs: tuple[str, ...] = (),
        module: nn.Module | None = None,
        name: str | None = None,
    ) -> None:
        base = name or str(node.target if node.op == "call_module" else node.name)
        tried = (base if n == 1 else f"{base}#{n}" for n in itertools.count(1))
        name = next(one for one in tried if one not in self.nodes)
        self.nodes[name] = Node(name, kind, inputs, module, node.meta.get("line", ""))
        self.names[node] = name

    def _alias(self, node: fx.Node, source: fx.Node | None) -> None:
        if source is not None and source in self.names:
            self.names[node] = self.names[source]

    def _name(self, node: Any) -> str:
        if node not in self.names:
            raise _Refused("what it takes is no output of a layer")
        return self.names[node]

    def _source(self, node: fx.Node) -> str:
        return self._name(_first(node))


class _Refused(Exception):
    """Of one node."""


def _first(node: fx.Node) -> Any:
    if node.args:
        return node.args[0]
    return next(iter(node.kwargs.values()), None)


def _called(node: fx.Node) -> str:
    return str(node.target if node.op == "call_module" else node.name)


def _at(node: fx.Node) -> str:
    line = node.meta.get("line", "")
    return f"({line})" if line else ""


def _pool(kind: Callable[..., nn.Module], node: fx.Node) -> nn.Module:
    given = {
        name: value
        for name, value in node.kwargs.items()
        if name not in ("input", "return_indices") and value is not None
    }
    try:
        return kind(*node.args[1:], **given)
    except TypeError as error:
        raise _Refused(f"a pool with arguments that are not understood: {error}") from error


def _pruned(nodes: Sequence[Node], last: str) -> list[Node]:
    """Those that the logits depend on."""
    by_name = {node.name: node for node in nodes}
    needed, waiting = set(), [last]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += by_name[name].inputs
    return [node for node in nodes if node.name in needed]


def _relu_before_pool(nodes: Sequence[Node]) -> list[Node]:
    """max-pool, ReLU -> ReLU, max-pool: the same function, and spikes are pooled, not currents."""
    users: dict[str, int] = {}
    for name in itertools.chain.from_iterable(node.inputs for node in nodes):
        users[name] = users.get(name, 0) + 1
    found = list(nodes)
    for index, node in enumerate(found):
        if node.kind != "activation":
            continue
        place = next(i for i, one in enumerate(found) if one.name == node.inputs[0])
        pool = found[place]
        if pool.kind == "max" and users[pool.name] == 1:
            # each keeps its name for its kind; who read the activation reads the pool now
            found[place], found[index] = (
                replace(node, inputs=pool.inputs),
                replace(pool, inputs=(node.name,)),
            )
            for later in range(index + 1, len(found)):
                inputs = found[later].inputs
                if node.name in inputs:
                    renamed = tuple(pool.name if one == node.name else one for one in inputs)
                    found[later] = replace(found[later], inputs=renamed)
    return found


def _refuse_shape(nodes: Sequence[Node]) -> None:
    """Raise ConversionFailure unless currents are what comes out, and neurons are somewhere."""
    by_name: Mapping[str, Node] = {node.name: node for node in nodes}
    problems = []
    for node in nodes:
        if node.kind == "max" and not _is_spiking(by_name, node.inputs[0]):
            problems.append(f"{node.where}: a max-pool of currents: an activation must come before")
        if node.kind == "activation" and _is_spiking(by_name, node.inputs[0]):
            problems.append(
                f"{node.where}: an activation of an activation: synapses must be between"
            )
    if not any(node.kind == "activation" for node in nodes):
        problems.append("model: has no activation that neurons could take the place of")
    if not any(node.kind == "input" for node in nodes):
        problems.append("model: its logits do not depend on its input")
    elif _is_spiking(by_name, nodes[-1].name):
        problems.append(
            f"{nodes[-1].where}: logits must come from synapses, not from an activation"
        )
    if problems:
        raise ConversionFailure("\n".join(problems))


def _is_spiking(nodes: Mapping[str, Node], name: str) -> bool:
    """Whether a value comes from neurons without synapses between."""
    node = nodes[name]
    if node.kind in ("average", "max", "flatten"):
        return _is_spiking(nodes, node.inputs[0])
    return node.kind == "activation"


def _refuse_not_finite(graph: Graph) -> None:
    broken = [node.where for node in graph.nodes if _has_not_finite(node)]
    if broken:
        raise ConversionFailure(
            "\n".join(f"{where}: a weight is NaN or infinite: must be finite" for where in broken)
        )


def _has_not_finite(node: Node) -> bool:
    if node.module is None:
        return False
    values: Iterator[Tensor] = itertools.chain(node.module.parameters(), node.module.buffers())
    return any(not bool(value.isfinite().all()) for value in values if value.is_floating_point())
