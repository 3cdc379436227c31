import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dse.errors import DataError
from dse.training.evaluation import accuracy, evaluate


class Brightest(nn.Module):
    """The label is the column of the brightest pixel; wrong on purpose in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Dropout()

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        return -images.flatten(1) if self.inner.training else images.flatten(1)


IMAGES = np.eye(4, dtype=np.float32).reshape(4, 1, 1, 4)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_share_of_right_answers(batch_size: int) -> None:
    labels = np.array([0, 1, 2, 0])  # the last is wrong: 3 of 4
    assert accuracy(Brightest(), IMAGES, labels, batch_size) == 0.75
    assert accuracy(Brightest(), torch.tensor(IMAGES), torch.tensor(labels)) == 0.75


def test_every_flag_is_as_before() -> None:
    model = Brightest()
    model.train()
    model.inner.eval()
    accuracy(model, IMAGES, np.arange(4))
    assert model.training
    assert not model.inner.training


def test_flags_are_restored_after_a_failure() -> None:
    model = Brightest().train()
    with pytest.raises(RuntimeError):
        accuracy(model, np.zeros((2, 1), dtype=np.float32), np.zeros((2, 3), dtype=np.int64))
    assert model.inner.training


def test_no_samples_are_no_accuracy() -> None:
    with pytest.raises(DataError, match="0 images and 0 labels: must be as many of both"):
        accuracy(Brightest(), IMAGES[:0], np.zeros(0, dtype=np.int64))


class Spiking(nn.Module):
    """Spikes where a pixel is bright; says so in the way of the neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Identity()
        self.quiet = nn.Identity()
        self.quiet.activity = None  # not spiking
        self.unknown = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        spikes = (images > 0.5).float()
        self.stage.activity = (spikes.sum(), spikes.numel())
        self.unknown.activity = (None, spikes.numel())
        return images.flatten(1)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_spike_rates_are_over_all_samples_and_of_spiking_modules_only(batch_size: int) -> None:
    images = IMAGES.copy()
    images[0] = 1.0  # 4 + 1 + 1 + 1 spikes of 16
    found = evaluate(Spiking(), images, np.arange(4), batch_size)
    assert found.spike_rates == {"stage": 7 / 16}
    assert found.accuracy == 1.0
    assert evaluate(Brightest(), IMAGES, np.arange(4)).spike_rates == {}
