"""Source: a plain network to be converted: synapses, batch-norm, activation, pool, residual sums.

Its activations come after a residual sum, as in He, Zhang, Ren and Sun, CVPR 2016: in the converted
network the sum is one of currents, and neurons follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.architectures.positions import Place, Position, Residual
from dse.errors import BuildFailure
from dse.networks.layer import make_norm
from dse.networks.network import real_synapse

Pool = Literal["average", "max"]
MakeActivation = Callable[[], nn.Module]


class SourceNetwork(nn.Module):
    """Places filled with synapses, batch-norm and an activation each; nothing spikes.

    make_activation : called once a layer
    pool : what stands where the topology pools
    time_steps : 1, it has no time
    """

    time_steps = 1

    def __init__(
        self, positions: Sequence[Place], make_activation: MakeActivation, *, pool: Pool = "average"
    ) -> None:
        super().__init__()
        *hidden, readout = positions
        if not isinstance(readout, Position):
            raise BuildFailure("network: the last place is a residual block: must be a readout")
        if readout.vote != 1:
            raise BuildFailure("network: a readout that votes cannot be converted")
        layers: list[nn.Module] = [
            _Block(place, make_activation)
            if isinstance(place, Residual)
            else _layer(place, make_activation, pool)
            for place in hidden
        ]
        layers.append(_inflow(readout, [real_synapse(readout)]))
        self.layers = nn.Sequential(*layers)
        self.classes = readout.c_out
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        logits: Tensor = self.layers(images)
        return logits

    def training_loss(self, images: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Cross-entropy of a batch; targets as of `Network.training_loss`."""
        return F.cross_entropy(self(images).float(), targets, label_smoothing=label_smoothing)


class _Block(nn.Module):
    """A residual block: activation of the sum of both ways."""

    def __init__(self, block: Residual, make_activation: MakeActivation) -> None:
        super().__init__()
        *first, last = block.body
        self.body = nn.Sequential(
            *(_layer(place, make_activation, "average") for place in first), _currents(last)
        )
        self.around = nn.Identity() if block.shortcut is None else _currents(block.shortcut)
        self.activation = make_activation()

    def forward(self, values: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.body(values) + self.around(values))
        return activated


def _currents(place: Position) -> nn.Sequential:
    """Synapses and their batch-norm."""
    norm = make_norm(place, "batch", 1.0)
    assert norm is not None
    return _inflow(place, [real_synapse(place), norm])


def _layer(place: Position, make_activation: MakeActivation, pool: Pool) -> nn.Sequential:
    layers = [_currents(place), make_activation()]
    if place.pool is not None:
        pools = nn.AvgPool2d if pool == "average" else nn.MaxPool2d
        layers.append(pools(place.pool))
    return nn.Sequential(*layers)


def _inflow(place: Position, layers: Sequence[nn.Module]) -> nn.Sequential:
    """What comes before the synapses of a place, and then them."""
    before: list[nn.Module] = []
    if place.average:
        before.append(nn.AdaptiveAvgPool2d(1))
    if place.average or place.flatten:
        before.append(nn.Flatten())
    if place.dropout > 0.0:
        before.append(nn.Dropout(place.dropout))
    return nn.Sequential(*before, *layers)
