"""Sources: trained networks in plain PyTorch, and the images to convert and to read them with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dse.conversion.lessons import CALIBRATION_SAMPLES, calibration_images
from dse.data import splits
from dse.data.splits import Part, Splits
from dse.training.evaluation import accuracy
from dse.training.loop import train
from dse.training.settings import TrainingSettings

SEED = 7
# enough for an ANN that is worth converting, in seconds; digits are few, and small
EPOCHS = {"digits": 12}
_EPOCHS = 2
_VALIDATION = 0.1


@dataclass(frozen=True, slots=True)
class Source:
    """A trained network and its data.

    model : a flat chain, in evaluation mode, whose layers every contestant knows
    calibration : (N, C, H, W), training images      test : images and labels, none trained on
    accuracy : of the network itself on `test`
    """

    name: str
    model: nn.Sequential
    calibration: Tensor
    test: Part
    accuracy: float


def load(data: str, data_dir: Path | None, seed: int = SEED) -> Splits:
    """The data of the sources; digits travel with scikit-learn."""
    return splits.load(data, data_dir=data_dir, validation=_VALIDATION, samples=None, seed=seed)


def trained(name: str, data: Splits, *, images: int, epochs: int | None = None) -> Source:
    """A source by name, trained from a fixed seed.

    images : so many of the test images, at most      epochs : None is what the data want
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = NETWORKS[name](data.input_shape, data.classes)
    settings = TrainingSettings(
        epochs=EPOCHS.get(data.name, _EPOCHS) if epochs is None else epochs,
        batch_size=64,
        learning_rate=0.005,
        weight_decay=0.01,
        label_smoothing=0.0,
        grad_clip=5.0,
    )
    learned, held_out = data.train, data.validation
    for _ in train(
        model, learned.images, learned.labels, held_out.images, held_out.labels, settings, SEED
    ):
        pass
    test = Part(data.test.images[:images], data.test.labels[:images])
    return Source(
        name,
        model.eval(),
        calibration_images(learned, CALIBRATION_SAMPLES, SEED),
        test,
        accuracy(model, test.images, test.labels),
    )


def conv(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """Two 3x3 convolutions with average pools, 128 features, readout; batch-norm after each."""
    channels, height, width = shape
    places = height // 4 * (width // 4)
    return nn.Sequential(
        *(nn.Conv2d(channels, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        nn.AvgPool2d(2),
        *(nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        nn.AvgPool2d(2),
        nn.Flatten(),
        *(nn.Linear(64 * places, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()),
        nn.Linear(128, classes),
    )


def mlp(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """Two hidden layers of 512 with batch-norm, and a readout."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(channels * height * width, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()),
        *(nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()),
        nn.Linear(512, classes),
    )


NETWORKS = {"conv": conv, "mlp": mlp}
