"""Networks: small versions of the ones that people count, written in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def convolved(
    c_in: int, c_out: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch-norm, ReLU."""
    convolution = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first = convolved(c_in, c_out, stride=stride)
        self.second = nn.Sequential(*list(convolved(c_out, c_out))[:2])
        self.shortcut = nn.Identity()
        if stride > 1 or c_in != c_out:
            self.shortcut = nn.Sequential(*list(convolved(c_in, c_out, 1, stride))[:2])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


def resnet18(width: int = 4) -> nn.Module:
    """17 convolutions, 3 of them in shortcuts besides, and a linear layer; for (B, 3, 16, 16)."""
    layers: list[nn.Module] = [convolved(3, width)]
    c_in = width
    for stage in range(4):
        c_out = width << stage
        for stride in (1 if stage == 0 else 2, 1):
            layers.append(BasicBlock(c_in, c_out, stride))
            c_in = c_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, 10))


def vgg16(width: int = 2) -> nn.Module:
    """13 convolutions, 5 poolings and 3 linear layers; for (B, 3, 32, 32)."""
    layers: list[nn.Module] = []
    c_in = 3
    for doublings, depth in ((0, 2), (1, 2), (2, 3), (3, 3), (3, 3)):
        for _ in range(depth):
            layers.append(convolved(c_in, width << doublings))
            c_in = width << doublings
        layers.append(nn.MaxPool2d(2))
    head = (nn.Linear(c_in, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 32), nn.ReLU())
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Linear(32, 10))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel alone, narrow."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        wide = 3 * c_in
        narrow = nn.Sequential(*list(convolved(wide, c_out, 1))[:2])
        self.body = nn.Sequential(
            convolved(c_in, wide, 1), convolved(wide, wide, 3, stride, groups=wide), narrow
        )
        self.is_residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        return x + self.body(x) if self.is_residual else self.body(x)


def mobilenet() -> nn.Module:
    """Depthwise convolutions between pointwise ones; for (B, 3, 16, 16)."""
    blocks = (InvertedResidual(8, 8, 1), InvertedResidual(8, 12, 2), InvertedResidual(12, 12, 1))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10))
    return nn.Sequential(convolved(3, 8, stride=2), *blocks, *head)


class VisionTransformer(nn.Module):
    """Patches, a class token, one block of `torch.nn.MultiheadAttention`; for (B, 3, 16, 16)."""

    def __init__(self, width: int = 16, *, need_weights: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 17, width))
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.head = nn.Linear(width, 10)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 10)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1) + self.places
        normal = self.first_norm(tokens)
        attended, _ = self.attention(normal, normal, normal, need_weights=self.need_weights)
        tokens = tokens + attended
        tokens = tokens + self.perceptron(self.second_norm(tokens))
        return self.head(tokens[:, 0])


class Encoder(nn.Module):
    """A `torch.nn.TransformerEncoder` of two layers over (B, 6, 16), and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 3)."""
        return self.head(self.encoder(x).mean(dim=1))


class SequenceClassifier(nn.Module):
    """A fused LSTM of two levels over (B, 7, 5), and a linear layer on its last state."""

    def __init__(self, hidden: int = 6) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 3)."""
        states, _ = self.lstm(x)
        return self.head(states[:, -1])


class Fire(nn.Module):
    """Leaky integrate and fire, written in plain tensors; (T, B, ...), threshold 1, hard reset."""

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes of the same shape."""
        v = torch.zeros_like(currents[0])
        spikes = []
        for current in currents:
            v = v + (current - v) / 2
            spikes.append((v >= 1).to(v.dtype))
            v = v * (1 - spikes[-1])
        return torch.stack(spikes)


class Mapped(nn.Module):
    """A linear layer and batch-norm on (T, B, N, D), which fires."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(d_in, d_out, bias=False), nn.BatchNorm1d(d_out)
        self.norm.running_var.fill_(0.01)  # enough drive that something fires
        self.fire = Fire()

    def forward(self, x: Tensor) -> Tensor:
        """Spikes (T, B, N, D_out)."""
        mapped = self.norm(self.linear(x).flatten(0, 2)).view(*x.shape[:3], -1)
        return self.fire(mapped)


class Spikformer(nn.Module):
    """Spiking attention and perceptron with SEW adds, whose sums of spikes are small integers."""

    time_steps = 2

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.stem = Mapped(8, width)
        self.q, self.k, self.v = (Mapped(width, width) for _ in range(3))
        self.attended, self.fire = Mapped(width, width), Fire()
        self.wide, self.narrow = Mapped(width, 2 * width), Mapped(2 * width, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, 8) to logits (B, 5)."""
        x = self.stem(x.unsqueeze(0).expand(self.time_steps, -1, -1, -1))
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(2, 3)
            for part in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-2, -1)  # (T, B, heads, N, N)
        summed = self.fire((scores @ v).transpose(2, 3).flatten(3) * 0.25)
        x = x + self.attended(summed)
        x = x + self.narrow(self.wide(x))
        return self.head(x.mean(dim=(0, 2)))


class UNet(nn.Module):
    """Two levels down and up again by transposed convolutions; for (B, 1, 16, 16)."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(
            [convolved(1, width), convolved(width, 2 * width), convolved(2 * width, 4 * width)]
        )
        self.rise = nn.ModuleList(
            [
                nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2),
                nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1),
            ]
        )
        self.merge = nn.ModuleList([convolved(4 * width, 2 * width), convolved(2 * width, width)])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2, 16, 16)."""
        first = self.down[0](x)
        second = self.down[1](self.pool(first))
        x = self.down[2](self.pool(second))
        for rise, merge, skipped in zip(self.rise, self.merge, (second, first), strict=True):
            x = merge(torch.cat([rise(x), skipped], dim=1))
        return self.head(x)
