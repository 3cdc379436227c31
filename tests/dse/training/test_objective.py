"""The loss of a batch: by the model or by cross-entropy, mixed or not, in bfloat16 or not."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.training.augment import mixup_partners, mixup_share
from dse.training.objective import batch_loss
from dse.training.settings import TrainingSettings

SETTINGS = TrainingSettings(1, 8, 0.1, 0.0, label_smoothing=0.1, grad_clip=1.0)
IMAGES = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 3


class Own(nn.Linear):
    """Says its own loss: twice cross-entropy, plus one."""

    def training_loss(self, images: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        loss = F.cross_entropy(self(images), labels, label_smoothing=label_smoothing)
        return 2 * loss + 1


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def layer(kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    torch.manual_seed(0)
    return kind(6, 3)


def found(model: nn.Module, settings: TrainingSettings) -> float:
    return batch_loss(model, IMAGES, LABELS, settings, generator()).item()


def test_cross_entropy_unless_the_model_says_its_own() -> None:
    expected = F.cross_entropy(layer()(IMAGES), LABELS, label_smoothing=0.1).item()
    assert found(layer(), SETTINGS) == expected
    assert found(layer(Own), SETTINGS) == pytest.approx(2 * expected + 1, rel=1e-6)


def test_mixup_is_the_definition_for_both_kinds_of_loss() -> None:
    settings = replace(SETTINGS, mixup=0.5)
    drawn = generator()
    share, partners = mixup_share(0.5, drawn), mixup_partners(IMAGES, drawn)
    mixed = share * IMAGES + (1 - share) * IMAGES[partners]
    model = layer()
    logits = model(mixed)
    first = F.cross_entropy(logits, LABELS, label_smoothing=0.1).item()
    second = F.cross_entropy(logits, LABELS[partners], label_smoothing=0.1).item()
    expected = share * first + (1 - share) * second
    assert found(model, settings) == pytest.approx(expected, rel=1e-6)
    assert found(layer(Own), settings) == pytest.approx(2 * expected + 1, rel=1e-6)


@pytest.mark.parametrize("kind", [nn.Linear, Own])
def test_bfloat16_is_near_and_leaves_gradients_in_float32(kind: type[nn.Linear]) -> None:
    model = layer(kind)
    exact = found(model, SETTINGS)
    loss = batch_loss(model, IMAGES, LABELS, replace(SETTINGS, precision="bfloat16"), generator())
    loss.backward()
    assert loss.dtype is torch.float32
    assert loss.item() != exact
    assert loss.item() == pytest.approx(exact, rel=0.02)
    assert model.weight.dtype is model.weight.grad.dtype is torch.float32
