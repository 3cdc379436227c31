"""Running: a graph as a network that PyTorch runs, whoever wrote the graph.

Written from the equations of `dse.interchange.graph` alone, so that it can say whether a file holds
the network that it was made of.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    Spiking,
    Step,
    numbers,
)
from dse.networks.encoding import Encoding


class Running(nn.Module):
    """A graph as a module: images (B, C, H, W), or frames (B, T, C, H, W), to logits.

    Its numbers are buffers. `time_steps` may be changed.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.time_steps = graph.time_steps
        self.encoding = Encoding("poisson" if graph.coding == "poisson" else "direct")
        # names of nodes may hold what names of buffers may not
        self._places = {node.name: place for place, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            for name, values in numbers(node.operation).items():
                self.register_buffer(self._key(node, name), values.clone())
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return self.logits_by_step(images).mean(0)

    def logits_by_step(self, images: Tensor) -> Tensor:
        """(T, B, classes): what each step adds; the mean of the first t are the logits of t."""
        outputs = self.values(images)[self.graph.nodes[-1].name]
        return outputs.expand(self.time_steps, *outputs.shape[1:])

    def values(self, images: Tensor) -> dict[str, Tensor]:
        """What every node gives, (T, B, ...), or (1, B, ...) where all steps are the same."""
        found: dict[str, Tensor] = {}
        for node in self.graph.nodes:
            if isinstance(node.operation, Input):
                found[node.name] = self._encoded(images)
            else:
                found[node.name] = self._computed(node, [found[name] for name in node.sources])
        return found

    def _encoded(self, images: Tensor) -> Tensor:
        """What enters, (steps, B, ...)."""
        coding = self.graph.coding
        if not coding.startswith("rate"):
            encoded, steps = self.encoding(images, self.time_steps)
            return encoded.unflatten(0, (steps, -1))
        kept, spikes = torch.zeros_like(images), []
        for _ in range(self.time_steps):
            kept = kept + images
            spikes.append((kept >= 1).to(images.dtype))
            kept = kept - spikes[-1]
        frames = torch.stack(spikes)
        frames[-1 if coding == "rate-compensated-late" else 0] += (
            self.time_steps * images - frames.sum(0)
        )
        return frames

    def _computed(self, node: Node, inputs: list[Tensor]) -> Tensor:
        total = inputs[0]
        for more in inputs[1:]:
            total = total + more
        operation = node.operation
        if isinstance(operation, Output):
            return total
        if isinstance(operation, Scale):
            return total * self._number(node, "factor", total)
        if isinstance(operation, Step):
            return (total >= self._number(node, "threshold", total)).to(total.dtype)
        if isinstance(operation, Spiking):
            return self._fired(node, operation, total)
        steps = total.shape[0]
        return self._still(node, total.flatten(0, 1)).unflatten(0, (steps, -1))

    def _still(self, node: Node, values: Tensor) -> Tensor:
        """Of a node that looks at one sample and step at a time; (steps * B, ...)."""
        operation = node.operation
        if isinstance(operation, Linear):
            return F.linear(values, self._number(node, "weight", values), self._bias(node))
        if isinstance(operation, Convolution):
            return F.conv2d(
                values.contiguous(memory_format=torch.channels_last),
                self._number(node, "weight", values).contiguous(memory_format=torch.channels_last),
                self._bias(node),
                operation.stride,
                operation.padding,
                operation.dilation,
                operation.groups,
            )
        if isinstance(operation, Pool):
            means = F.avg_pool2d(
                values,
                operation.kernel,
                operation.stride,
                # sums of few whole numbers are exact
                divisor_override=1 if operation.kind == "sum" else None,
            )
            return means
        assert isinstance(operation, Flatten)
        return values.flatten(1)

    def _fired(self, node: Node, neurons: Spiking, currents: Tensor) -> Tensor:
        threshold, leak, gain, initial = (
            self._number(node, name, currents) for name in ("threshold", "leak", "gain", "initial")
        )
        currents = currents * gain
        kept = torch.zeros_like(currents[0]) + initial
        spikes = []
        for step in range(self.time_steps):
            potential = currents[step if len(currents) > 1 else 0] + kept * leak
            fired = (potential >= threshold).to(potential.dtype)
            kept = potential - fired * threshold if neurons.is_soft else potential * (1 - fired)
            spikes.append(fired)
        return torch.stack(spikes)

    def _bias(self, node: Node) -> Tensor | None:
        return self._buffers.get(self._key(node, "bias"))

    def _number(self, node: Node, field: str, like: Tensor) -> Tensor:
        return self.get_buffer(self._key(node, field)).to(like.dtype)

    def _key(self, node: Node, field: str) -> str:
        return f"{field}_{self._places[node.name]}"
