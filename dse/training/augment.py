"""Augment: random changes of training images, on whole batches and from a generator of its own."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dse.errors import DataError
from dse.training.settings import TrainingSettings


def refuse_small(shape: tuple[int, ...], settings: TrainingSettings) -> None:
    """Raise DataError unless images (..., C, H, W) are larger than what is done to them."""
    sizes = {"shift": settings.shift_pixels, "cutout": settings.cutout_pixels}
    for name in settings.augment:
        if len(shape) not in (3, 4):
            raise DataError(f"training.augment: {name}: images of shape {shape}: must be (C, H, W)")
        if sizes.get(name, 0) >= min(shape[-2:]):
            raise DataError(
                f"training.{name}_pixels {sizes[name]}: must be below the side of the images, "
                f"{min(shape[-2:])}"
            )


def augmented(images: Tensor, settings: TrainingSettings, generator: Generator) -> Tensor:
    """A batch (B, C, H, W) after all that `settings.augment` lists, drawn anew for each image.

    Of frames of events (B, T, C, H, W) all of a sample are changed alike.
    """
    if images.ndim == 5 and settings.augment:
        flat = augmented(images.flatten(1, 2), settings, generator)
        return flat.unflatten(1, images.shape[1:3])
    for name in settings.augment:
        if name == "flip":
            images = flip(images, generator)
        elif name == "shift":
            images = shift(images, settings.shift_pixels, generator)
        else:
            images = cutout(images, settings.cutout_pixels, generator)
    return images


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Every second image, by chance, mirrored left to right."""
    is_flipped = _integers(2, len(images), generator, images).view(-1, 1, 1, 1).bool()
    return torch.where(is_flipped, images.flip(3), images)


def shift(images: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Images moved by -pixels..pixels along both sides; what comes in is zero.

    The same as padding with zeros and cropping at random (He et al., CVPR 2016, section 4.2).
    """
    padded = F.pad(images, (pixels,) * 4)
    windows = padded.unfold(2, images.shape[2], 1).unfold(3, images.shape[3], 1)
    rows = _integers(2 * pixels + 1, len(images), generator, images)
    columns = _integers(2 * pixels + 1, len(images), generator, images)
    return windows[torch.arange(len(images), device=images.device), :, rows, columns]


def cutout(images: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Images with a square of zeros around a random pixel; it may stick out over the edge.

    DeVries and Taylor, 2017 (arXiv:1708.04552).
    """
    height, width = images.shape[2:]
    rows = _is_in(_integers(height, len(images), generator, images), height, pixels)
    columns = _is_in(_integers(width, len(images), generator, images), width, pixels)
    is_kept = ~(rows[:, :, None] & columns[:, None, :])
    return images * is_kept[:, None].to(images.dtype)


def mixup_share(alpha: float, generator: Generator) -> float:
    """The share of the first image, from Beta(alpha, alpha); one for a batch."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return random.Random(seed).betavariate(alpha, alpha)


def mixup_partners(images: Tensor, generator: Generator) -> Tensor:
    """The place of the other image that each one of a batch is mixed with, (B,).

    Zhang, Cisse, Dauphin and Lopez-Paz, ICLR 2018.
    """
    return torch.randperm(len(images), generator=generator).to(images.device)


def _is_in(centre: Tensor, side: int, pixels: int) -> Tensor:
    """Which places 0..side-1 lie in the `pixels` around each centre, (B, side)."""
    distance = torch.arange(side, device=centre.device) - centre[:, None] + pixels // 2
    return (distance >= 0) & (distance < pixels)


def _integers(below: int, count: int, generator: Generator, like: Tensor) -> Tensor:
    # drawn on the CPU: the same images on every device
    return torch.randint(below, (count,), generator=generator).to(like.device)
