"""Shape: the order of nodes that spikes can take the place of values in, and what has none."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from dse.conversion.nodes import Graph, Node
from dse.errors import ConversionFailure


def pruned(nodes: Sequence[Node], last: str) -> list[Node]:
    """Those that the logits depend on."""
    by_name = {node.name: node for node in nodes}
    needed, waiting = set(), [last]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += by_name[name].inputs
    return [node for node in nodes if node.name in needed]


def relu_before_pool(nodes: Sequence[Node]) -> list[Node]:
    """max-pool, ReLU -> ReLU, max-pool: the same function, and spikes are pooled, not currents."""
    found = list(nodes)
    while (places := _pool_and_relu(found)) is not None:
        early, late = places
        pool, relu = found[early], found[late]
        # each keeps its name for its kind; who read the activation reads the pool now
        found[early] = replace(relu, inputs=pool.inputs)
        found[late] = replace(pool, inputs=(relu.name,))
        for index in range(late + 1, len(found)):
            node = found[index]
            inputs = tuple(pool.name if name == relu.name else name for name in node.inputs)
            found[index] = replace(node, inputs=inputs)
    return found


def _pool_and_relu(nodes: Sequence[Node]) -> tuple[int, int] | None:
    """Where a max-pool is that an activation alone reads, and where that is."""
    users = Counter(itertools.chain.from_iterable(node.inputs for node in nodes))
    place_of = {node.name: place for place, node in enumerate(nodes)}
    for late, node in enumerate(nodes):
        if node.kind == "activation" and users[node.inputs[0]] == 1:
            early = place_of[node.inputs[0]]
            if nodes[early].kind == "max":
                return early, late
    return None


def refuse_shape(nodes: Sequence[Node]) -> None:
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


def refuse_weights(graph: Graph) -> None:
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
