"""Residual: blocks with a way around, and how the two ways are joined so that spikes stay spikes.

add : out = body + around, both after neurons. Two spikes make a 2: not binary, graded products.
    Fang et al., NeurIPS 2021 (SEW ResNet).
and : out = body * around. Stays binary (the same paper).
membrane : currents are added, and neurons stand before the synapses: only spikes reach synapses,
    and stay binary. Hu, Deng, Wu, Yao and Li, IEEE TNNLS 2024 (MS-ResNet); with rectified linear
    units it is the pre-activation order of He et al., ECCV 2016, and with signs the real-valued
    shortcut of Bi-Real networks (Liu et al., ECCV 2018), here around two convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from dse.architectures.positions import Position, Residual
from dse.networks.layer import Fire, Layer, Maker, Watch

Shortcut = Literal["add", "and", "membrane"]
MakeNorm = Callable[[Position], nn.Module | None]


class Joined(nn.Module):
    """Two chains of layers of which each ends in neurons, added or multiplied.

    keeps_spikes_binary : whether spikes in are spikes out
    """

    def __init__(
        self,
        block: Residual,
        make_synapse: Maker,
        make_norm: MakeNorm,
        make_neuron: Maker,
        *,
        is_product: bool,
    ) -> None:
        super().__init__()

        def layer(place: Position) -> Layer:
            return Layer(place, make_synapse(place), make_norm(place), make_neuron(place))

        self.body = nn.ModuleList(layer(place) for place in block.body)
        self.around = None if block.shortcut is None else layer(block.shortcut)
        self.keeps_spikes_binary = is_product

    def forward(
        self, values: Tensor, steps: int, time_steps: int, watch: Watch | None = None
    ) -> Tensor:
        """(steps * B, ...) -> (T * B, ...)."""
        outputs, now = values, steps
        for layer in self.body:
            outputs, now = layer(outputs, now, time_steps, watch), time_steps
        if self.around is None:
            around = _spread(values, steps, time_steps)
        else:
            around = self.around(values, steps, time_steps, watch)
        return outputs * around if self.keeps_spikes_binary else outputs + around

    def extra_repr(self) -> str:
        return f"keeps_spikes_binary={self.keeps_spikes_binary}"


class Membrane(nn.Module):
    """Neurons, synapses and norm, once for each place of the body, added to the currents that came.

    It takes currents and gives currents; the 1x1 convolution of a shortcut reads the first spikes.
    before : the neurons that the arriving currents meet
    """

    keeps_spikes_binary = True

    def __init__(
        self,
        block: Residual,
        make_synapse: Maker,
        make_norm: MakeNorm,
        make_neuron: Maker,
        before: nn.Module,
    ) -> None:
        super().__init__()
        self.first = Fire(None, before)
        # the neurons behind a place are those before the next one
        self.body = nn.ModuleList(
            Layer(
                place,
                make_synapse(place),
                make_norm(place),
                make_neuron(place) if index + 1 < len(block.body) else None,
            )
            for index, place in enumerate(block.body)
        )
        self.around = (
            None
            if block.shortcut is None
            else Layer(
                block.shortcut, make_synapse(block.shortcut), make_norm(block.shortcut), None
            )
        )

    def forward(
        self, values: Tensor, steps: int, time_steps: int, watch: Watch | None = None
    ) -> Tensor:
        """(steps * B, ...) -> (T * B, ...)."""
        spikes = self.first(values, steps, time_steps, watch)
        outputs = spikes
        for layer in self.body:
            outputs = layer(outputs, time_steps, time_steps, watch)
        if self.around is None:
            return outputs + _spread(values, steps, time_steps)
        around: Tensor = self.around(spikes, time_steps, time_steps, watch)
        return outputs + around


def _spread(values: Tensor, steps: int, time_steps: int) -> Tensor:
    """(steps * B, ...) -> (T * B, ...), the same at every step if there was one only."""
    if steps == time_steps:
        return values
    by_step = values.unflatten(0, (steps, -1))
    return by_step.expand(time_steps, *by_step.shape[1:]).flatten(0, 1)
