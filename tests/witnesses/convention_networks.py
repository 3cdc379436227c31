"""Small networks of the field's kinds: spiking ones, an ANN, attention, pruned and transposed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

STEPS = 3


class PlainLIF(nn.Module):
    """A leaky neuron in plain torch, with a hard reset."""

    def __init__(self, height: float = 1.0) -> None:
        super().__init__()
        self.height = height
        self.v: Tensor | None = None

    def reset(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        v = x if self.v is None else 0.5 * self.v + x
        spikes = (v > 0.5).float()
        self.v = v * (1 - spikes)
        return spikes * self.height


class Ternary(PlainLIF):
    """Spikes of either sign."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - super().forward(-x)


class Steps(nn.Module):
    """Calls a network once per time step on the same image and adds up what comes out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.time_steps = STEPS

    def forward(self, x: Tensor) -> Tensor:
        for module in self.net.modules():
            fresh = getattr(module, "reset_mem", getattr(module, "reset", None))
            if callable(fresh):
                fresh()
        return torch.stack([self.net(x) for _ in range(STEPS)]).sum(0)


class Sew(nn.Module):
    """Spikes added to spikes: 0, 1 and 2 flow into the next layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.spike = nn.Conv2d(2, 4, 3, padding=1), PlainLIF()
        self.inner, self.inner_spike = nn.Conv2d(4, 4, 3, padding=1), PlainLIF()
        self.last = nn.Conv2d(4, 3, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.spike(self.first(x))
        return self.last(spikes + self.inner_spike(self.inner(spikes)))


class Attention(nn.Module):
    """Queries by keys, both spikes; their sums by real values."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 5) for _ in range(3))
        self.spike_q, self.spike_k = PlainLIF(), PlainLIF()

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.spike_q(self.q(x)), self.spike_k(self.k(x))
        return (q @ k.transpose(-1, -2)) @ self.v(x) + q @ self.v(x).transpose(-1, -2) @ k


class FusedAttention(nn.Module):
    """Two products in the open, and two inside of one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).unflatten(-1, (2, 4)).transpose(1, 2)
        found = nn.functional.scaled_dot_product_attention(q, q, q)
        return self.last(found.transpose(1, 2).flatten(2))


class Crops(nn.Module):
    """Spikes that are normalised and pooled; a crop is pooled too: two calls of two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.spike, self.norm = PlainLIF(), nn.BatchNorm2d(2)
        self.pool, self.last = nn.AvgPool2d(2), nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.spike.reset()
        spikes = self.spike(x)
        return self.last(self.pool(self.norm(spikes))) + self.pool(spikes[..., :2, :2]).mean()


def conv_snn(neuron=PlainLIF, pool=lambda: nn.MaxPool2d(2)) -> nn.Module:
    return Steps(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            neuron(),
            pool(),
            nn.Conv2d(4, 6, 3, padding=1, stride=2, groups=2, bias=False),
            neuron(),
            nn.Flatten(),
            nn.Linear(6 * 2 * 2, 5),
        )
    )


def snntorch_snn() -> nn.Module:
    snn = pytest.importorskip("snntorch")
    return conv_snn(lambda: snn.Leaky(beta=0.5, threshold=0.5, init_hidden=True))


def spikingjelly_snn() -> nn.Module:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    return conv_snn(lambda: neuron.LIFNode(tau=2.0, v_threshold=0.3, detach_reset=True))


def ann() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, (3, 2), dilation=(1, 2)),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


def pruned_snn() -> nn.Module:
    model = conv_snn()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.mul_((torch.rand_like(module.weight) < 0.5).float())
    return model


def spike_tensor_net() -> nn.Module:
    return Steps(nn.Sequential(PlainLIF(0.25), nn.Conv2d(2, 3, 3, padding=1)))


MODELS = {
    "conv SNN, plain torch": conv_snn,
    "conv SNN, snnTorch": snntorch_snn,
    "conv SNN, SpikingJelly": spikingjelly_snn,
    "ANN": ann,
    "average-pooled spikes": lambda: conv_snn(pool=lambda: nn.AvgPool2d(2)),
    "pruned weights": pruned_snn,
    "ternary spikes": lambda: conv_snn(Ternary),
    "padding with dilation": lambda: nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), padding=(1, 3), dilation=(2, 3)),
        nn.ReLU(),
        nn.BatchNorm2d(3, affine=False),
        nn.Conv2d(3, 2, 1),
        nn.BatchNorm2d(2, affine=False),
    ),
    "SEW adds": lambda: Steps(Sew()),
    "spikes of another height": spike_tensor_net,
    "transposed": lambda: Steps(
        nn.Sequential(PlainLIF(), nn.ConvTranspose2d(2, 3, 3, stride=2), PlainLIF())
    ),
}
