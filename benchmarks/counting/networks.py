"""The networks of the benchmark: seeded, calibrated, in evaluation mode, of any width."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.counting import conventional, spiking

MakeBatch = Callable[[int], Tensor]
Built = tuple[nn.Module, MakeBatch]

_SEED = 20
_CALIBRATION_BATCHES, _CALIBRATION_SIZE = 4, 8
_TIME_STEPS, _CLASSES = 4, 10


def spiking_vgg(width: int = 64, size: int = 32) -> Built:
    """Seven convolutions with LIF and T = 4; 190.6 M dense products a step at width 64."""
    stages = ((width,) * 2, (2 * width,) * 2, (4 * width,) * 3)
    shape = (3, size, size)
    return _built(lambda: spiking.SpikingVGG(stages, _TIME_STEPS, size, _CLASSES), shape)


def spiking_transformer(width: int = 256, tokens: int = 64, heads: int = 8) -> Built:
    """A block of spiking attention, T = 4; 209.7 M dense products a sample at width 256."""
    return _built(lambda: spiking.SpikingBlock(width, heads, _TIME_STEPS), (tokens, width))


def resnet18(width: int = 64, size: int = 32) -> Built:
    """ResNet-18 for small images; 555.4 M dense products a sample at width 64."""
    return _built(lambda: conventional.resnet18(width, _CLASSES), (3, size, size))


def vgg16(width: int = 64, size: int = 32) -> Built:
    """VGG-16 for images of 32 x 32."""
    return _built(lambda: conventional.vgg16(width, _CLASSES), (3, size, size))


def depthwise(width: int = 32, size: int = 32) -> Built:
    """Depthwise separable convolutions."""
    return _built(lambda: conventional.depthwise(width, _CLASSES), (3, size, size))


def vision_block(width: int = 192, tokens: int = 64, heads: int = 3) -> Built:
    """A transformer block with nn.MultiheadAttention."""
    return _built(lambda: conventional.VisionBlock(width, heads), (tokens, width))


def recurrent(width: int = 128, steps: int = 32, features: int = 64) -> Built:
    """Two LSTM layers and a classifier."""
    return _built(lambda: conventional.Recurrent(features, width, _CLASSES), (steps, features))


def unet(width: int = 32, size: int = 32) -> Built:
    """A U-Net of two levels, with transposed convolutions."""
    return _built(lambda: conventional.UNet(width, _CLASSES), (3, size, size))


NETWORKS: dict[str, Callable[..., Built]] = {
    "spiking-vgg": spiking_vgg,
    "resnet18": resnet18,
    "spiking-transformer": spiking_transformer,
    "vgg16": vgg16,
    "depthwise": depthwise,
    "vision-block": vision_block,
    "lstm": recurrent,
    "unet": unet,
}
# those whose overhead is worth a table; the others show what a counter sees
TIMED = ("spiking-vgg", "resnet18", "spiking-transformer")


def _built(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Built:
    """Seed, build and calibrate a network; its batches are normal values of one sample's shape."""

    def make_batch(batch_size: int) -> Tensor:
        generator = torch.Generator().manual_seed(_SEED + 1)
        return torch.randn(batch_size, *shape, generator=generator)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = make()
        _calibrate(model, shape)
    return model.eval(), make_batch


def _calibrate(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Give each batch-norm the mean and variance of what it normalises, and weights of its own."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    model.train()
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.8, 1.2)
            norm.bias.normal_(0.0, 0.3)
            norm.momentum = None  # the plain mean over all batches
        for _ in range(_CALIBRATION_BATCHES):
            model(torch.randn(_CALIBRATION_SIZE, *shape))
    for norm in norms:
        norm.momentum = 0.1
