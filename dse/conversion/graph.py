"""Graph: a plain PyTorch model as a list of nodes that a spiking network can be made of.

The model is traced by torch.fx. What cannot be converted is named, with the line of the model.
"""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from dse.conversion.folding import folded, scaling
from dse.conversion.lines import calling_line, forward_at, line_of, made_at
from dse.conversion.nodes import Graph, Kind, Node, compute
from dse.conversion.shape import pruned, refuse_shape, refuse_weights, relu_before_pool
from dse.errors import ConversionFailure
from dse.neurons.clipped import Clipped

__all__ = ["KNOWN", "Graph", "Kind", "Node", "compute", "trace"]

_RELUS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, Clipped)
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_SYNAPSES = (nn.Conv2d, nn.Linear)
_LEAVES = (*_RELUS, *_NOTHING, *_NORMS)
KNOWN = "Conv2d, Linear, BatchNorm, ReLU, average and max pooling, flatten, dropout and sums"
_WITH_NUMBERS = (
    "; to normalise images, give them normalised (--data file.py:load) or say it as BatchNorm2d"
)


def trace(model: nn.Module) -> Graph:
    """The nodes of a model in evaluation mode, whose weights are copied; batch-norm is folded.

    Raises ConversionFailure, with every mistake, for a model that is not made of `KNOWN`, or
    whose forward pass depends on its data; and for weights that are not finite.
    """
    _refuse_without_weights(model)
    flags = [(module, module.training) for module in model.modules()]
    try:
        traced = _Tracer().trace(model.eval())
    except Exception as error:  # whatever the model's own code does with what is no tensor
        what = (str(error) or repr(error)).splitlines()[0]
        raise ConversionFailure(
            f"{type(model).__name__}: cannot be traced: {what}{line_of(error)}; its forward pass "
            "must not depend on the data or on their shape"
        ) from error
    finally:
        for module, was_training in flags:
            module.training = was_training
    graph = _Builder(model, traced).build()
    refuse_weights(graph)
    return graph


def _refuse_without_weights(model: nn.Module) -> None:
    """Raise ConversionFailure where weights have no values, or too few digits to be scaled."""
    problems = []
    for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
        if isinstance(value, UninitializedParameter | UninitializedBuffer) or value.is_meta:
            problems.append(f"{name}: has no values: must have run once")
        elif value.is_floating_point() and value.dtype not in (torch.float32, torch.float64):
            problems.append(f"{name}: {value.dtype}: must be torch.float32 or torch.float64")
    if problems:
        raise ConversionFailure("\n".join(problems))


class _Tracer(fx.Tracer):
    """Notes which line of the model made each node."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES) or super().is_leaf_module(m, module_qualified_name)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        line = calling_line(trace.__code__)
        if not line and node.op == "call_module":
            line = made_at(self.root.get_submodule(str(node.target)))
        if not line and node.op == "output":
            line = forward_at(self.root)
        node.meta["line"] = line
        return node


@dataclass(slots=True)
class _Builder:
    """From nodes of torch.fx to ours."""

    model: nn.Module
    traced: fx.Graph
    nodes: dict[str, Node] = field(default_factory=dict)
    names: dict[fx.Node, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: set[fx.Node] = field(default_factory=set)
    last: str = ""

    def build(self) -> Graph:
        for node in self.traced.nodes:
            try:
                self._take(node)
            except _Refused as error:
                # what follows is looked at all the same, as if it were not there
                inputs = node.all_input_nodes
                if self.refused.isdisjoint(inputs) or not isinstance(error, _Unknown):
                    where = " ".join(part for part in (_called(node), _at(node)) if part)
                    self.problems.append(f"{where}: {error}")
                self.refused.add(node)
                self._alias(node, next((one for one in inputs if one in self.names), None))
        if self.problems:
            raise ConversionFailure("\n".join(self.problems))
        nodes = pruned(list(self.nodes.values()), self.last)
        nodes = relu_before_pool(nodes)
        refuse_shape(nodes)
        return Graph(tuple(nodes), tuple(self.notes))

    def _take(self, node: fx.Node) -> None:
        if node.op == "output":
            result = node.args[0]
            if not isinstance(result, fx.Node):
                raise _Refused("the model must return one tensor of logits")
            if result not in self.names:
                raise _Unknown("the model must return logits that depend on its input")
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
            self._add(node, "activation", (source,), _apart(module))
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
        if before.kind == "synapse" and self._is_sole_reader(node, source):
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

    def _is_sole_reader(self, node: fx.Node, source: str) -> bool:
        """Whether nobody else reads the values of our node, under any of its names."""
        same = {one for one, name in self.names.items() if name == source}
        return {user for one in same for user in one.users} <= same | {node}

    def _function(self, node: fx.Node) -> None:
        function = node.target
        if function is operator.getitem and _first(node) in self.refused:
            self._alias(node, _first(node))
        elif function is operator.getitem and _first(node) in self.names:
            raise _Refused("a part of a tensor by its index: must be the whole")
        elif function in (getattr, operator.getitem):
            return  # of a shape; whoever takes it for a value is refused
        elif function in (F.dropout, F.dropout2d):
            if node.args[2] if len(node.args) > 2 else node.kwargs.get("training", True):
                raise _Refused("active in evaluation as well: must have training=self.training")
            self._alias(node, _first(node))
        elif function in (F.relu, torch.relu):
            self._add(node, "activation", (self._source(node),), nn.ReLU())
        elif function is F.relu6:
            self._add(node, "activation", (self._source(node),), nn.ReLU6())
        elif function in (operator.add, torch.add, operator.iadd):
            self._sum(node)
        elif function in (torch.flatten, torch.squeeze):
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
            raise _Refused(f"{name} cannot be converted: must be one of {KNOWN}{_way_out(name)}")

    def _method(self, node: fx.Node, name: str) -> None:
        if name in ("size", "dim"):
            return
        if name in ("relu", "relu_"):
            self._add(node, "activation", (self._source(node),), nn.ReLU())
        elif name in ("add", "add_"):
            self._sum(node)
        elif name in ("flatten", "view", "reshape", "squeeze"):
            self._flatten(node)
        elif name == "mean":
            self._mean(node)
        elif name in ("contiguous", "clone", "detach"):
            self._alias(node, _first(node))
        else:
            raise _Refused(f".{name}() cannot be converted: must be one of {KNOWN}")

    def _sum(self, node: fx.Node) -> None:
        if len(node.args) != 2 or any(not isinstance(one, fx.Node) for one in node.args):
            raise _Refused(f"a sum with a number: must be a sum of two layers{_WITH_NUMBERS}")
        if node.kwargs.get("alpha", 1) != 1:
            raise _Refused("a sum with alpha: must be a plain sum")
        self._add(node, "add", tuple(self._name(one) for one in node.args))

    def _flatten(self, node: fx.Node) -> None:
        if node.target in (torch.flatten, "flatten"):
            given = (*node.args, *node.kwargs.values())
            given = tuple(one for one in given if not isinstance(one, fx.Node))
            if given not in ((1,), (1, -1)):
                raise _Refused("must flatten from dimension 1 to the last")
        elif node.target not in (torch.squeeze, "squeeze"):  # of maps of one pixel, where it is one
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
        # the modules of the network have these names without dots
        keys = {one.replace(".", "_") for one in self.nodes} | set(dir(nn.ModuleDict))
        name = next(one for one in tried if one.replace(".", "_") not in keys)
        self.nodes[name] = Node(name, kind, inputs, module, node.meta.get("line", ""))
        self.names[node] = name

    def _alias(self, node: fx.Node, source: fx.Node | None) -> None:
        if source is not None and source in self.names:
            self.names[node] = self.names[source]

    def _name(self, node: Any) -> str:
        if node not in self.names:
            raise _Unknown("what it takes is no output of a layer")
        return self.names[node]

    def _source(self, node: fx.Node) -> str:
        return self._name(_first(node))


def _way_out(name: str) -> str:
    return _WITH_NUMBERS if name in ("sub", "mul", "truediv", "div") else ""


class _Refused(Exception):
    """Of one node."""


class _Unknown(_Refused):
    """Something that it takes is nothing that is known; perhaps since that was refused."""


def _apart(activation: nn.Module) -> nn.Module:
    """One that leaves its input as it is."""
    if not getattr(activation, "inplace", False):
        return activation
    made = copy.copy(activation)
    made.inplace = False  # type: ignore[assignment]  # a flag
    return made


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
