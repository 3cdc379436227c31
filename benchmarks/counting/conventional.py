"""Networks without spikes, for coverage: residual, depthwise, attention, recurrent, transposed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolution(
    c_in: int, c_out: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, and batch-norm; the size stays at stride 1."""
    layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(c_out))


class Residual(nn.Module):
    """Two convolutions around a shortcut (He et al., CVPR 2016)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(c_in, c_out, stride=stride)
        self.second = convolution(c_out, c_out)
        is_same = stride == 1 and c_in == c_out
        self.shortcut = nn.Identity() if is_same else convolution(c_in, c_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def resnet18(width: int, classes: int) -> nn.Sequential:
    """ResNet-18 with the stem for 32 x 32 images: one 3 x 3 convolution and no pooling."""
    stages: list[nn.Module] = []
    channels = width
    for stage in range(4):
        out = width * 2**stage
        stages += [Residual(channels, out, 1 if stage == 0 else 2), Residual(out, out, 1)]
        channels = out
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    return nn.Sequential(convolution(3, width), nn.ReLU(), *stages, *head)


def vgg16(width: int, classes: int) -> nn.Sequential:
    """VGG-16 with batch-norm and one linear layer, for 32 x 32 images."""
    layers: list[nn.Module] = []
    channels = 3
    for multiple, repeats in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
        for _ in range(repeats):
            layers += [convolution(channels, width * multiple), nn.ReLU()]
            channels = width * multiple
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, classes))


def depthwise(width: int, classes: int) -> nn.Sequential:
    """Depthwise and pointwise convolutions in turn (MobileNet), for 32 x 32 images."""
    layers: list[nn.Module] = [convolution(3, width), nn.ReLU6()]
    channels = width
    for out, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1)):
        layers += [
            convolution(channels, channels, stride=stride, groups=channels),
            nn.ReLU6(),
            convolution(channels, width * out, kernel=1),
            nn.ReLU6(),
        ]
        channels = width * out
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    return nn.Sequential(*layers, *head)


class VisionBlock(nn.Module):
    """A transformer block: nn.MultiheadAttention and a two-layer perceptron, norm first (ViT)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) to tokens (B, N, C)."""
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Recurrent(nn.Module):
    """Two LSTM layers and a classifier on the last output."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.lstm1 = nn.LSTM(features, width, batch_first=True)
        self.lstm2 = nn.LSTM(width, width, batch_first=True)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (B, N, features) to (B, classes)."""
        return self.classifier(self.lstm2(self.lstm1(x)[0])[0][:, -1])


class UNet(nn.Module):
    """Two levels down by pooling and up by transposed convolutions, with skips by concatenation."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.down1 = convolution(3, width)
        self.down2 = convolution(width, 2 * width)
        self.bottom = convolution(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.join2 = convolution(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)
        self.join1 = convolution(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes, H, W)."""
        large = F.relu(self.down1(x))
        middle = F.relu(self.down2(F.max_pool2d(large, 2)))
        small = F.relu(self.bottom(F.max_pool2d(middle, 2)))
        middle = F.relu(self.join2(torch.cat((middle, F.relu(self.up2(small))), 1)))
        large = F.relu(self.join1(torch.cat((large, F.relu(self.up1(middle))), 1)))
        return self.head(large)
