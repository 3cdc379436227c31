"""Nodes: the steps of an ANN's computation, as far as conversion knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["input", "synapse", "activation", "average", "max", "flatten", "add"]


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
