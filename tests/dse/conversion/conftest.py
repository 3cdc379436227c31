"""One small network, trained on real digits, that every test converts."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dse.architectures import positions
from dse.conversion.convert import Lessons
from dse.data import splits
from dse.networks.source import SourceNetwork
from dse.neurons.clipped import Qcfs
from dse.training.loop import train
from dse.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=3,
    batch_size=64,
    learning_rate=0.02,
    weight_decay=0.01,
    label_smoothing=0.0,
    grad_clip=5.0,
)


@pytest.fixture(scope="session")
def lessons() -> Lessons:
    """500 real digits."""
    part = splits.load("digits", data_dir=None, validation=0.2, samples=None, seed=0).train
    return Lessons(part.images[:500], part.labels[:500], 50, SETTINGS.learning_rate, 3)


@pytest.fixture(scope="session")
def images(lessons: Lessons) -> Tensor:
    """128 of them, to calibrate with."""
    return torch.tensor(lessons.images[:128])


@pytest.fixture(scope="session")
def source(lessons: Lessons) -> SourceNetwork:
    """Trained with ReLU."""
    return _trained(lessons, nn.ReLU)


@pytest.fixture(scope="session")
def quantised_source(lessons: Lessons) -> SourceNetwork:
    """Trained with QCFS activations of 4 levels."""
    return _trained(lessons, lambda: Qcfs(4, 4.0))


def _trained(lessons: Lessons, activation: Callable[[], nn.Module]) -> SourceNetwork:
    torch.manual_seed(0)
    places = positions.load("convnet")((1, 8, 8), 10, 0.5, 0)
    model = SourceNetwork(places, activation)
    images, labels = lessons.images, lessons.labels
    for _ in train(model, images, labels, images, labels, SETTINGS, 0):
        pass
    return model.eval()
