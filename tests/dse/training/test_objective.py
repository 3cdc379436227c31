"""The loss of a batch: by the model or by cross-entropy, mixed or not, in bfloat16 or not."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.design import Design
from dse.training.augment import mixup_partners, mixup_share
from dse.training.objective import batch_loss
from dse.training.settings import TrainingSettings
from dse.variants import family

SETTINGS = TrainingSettings(1, 8, 0.1, 0.0, label_smoothing=0.1, grad_clip=1.0)
IMAGES = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 3


class Own(nn.Linear):
    """Says its own loss: twice cross-entropy, plus one."""

    classes = 3
    calls = 0

    def training_loss(self, images: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        self.calls += 1
        loss = F.cross_entropy(self(images), targets, label_smoothing=label_smoothing)
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
    own = layer(Own)
    assert found(own, settings) == pytest.approx(2 * expected + 1, rel=1e-6)
    assert own.calls == 1


@pytest.mark.parametrize("output", ["mean-potential", "every-step"])
def test_mixup_sees_a_network_once_and_is_the_mean_of_both_losses(output: str) -> None:
    torch.manual_seed(0)
    design = Design.of("snn", "mlp", {"width": 0.1, "time_steps": 3, "output": output})
    model = family.load("snn").build(design, (1, 4, 4), 5)
    images, labels = torch.rand(8, 1, 4, 4), torch.arange(8) % 4  # of class 4 there is none
    settings = replace(SETTINGS, mixup=0.5)
    drawn = generator()
    share, partners = mixup_share(0.5, drawn), mixup_partners(images, drawn)
    mixed = torch.lerp(images[partners], images, share)
    twin = copy.deepcopy(model)
    expected = share * twin.training_loss(mixed, labels, 0.1)
    expected += (1 - share) * twin.training_loss(mixed, labels[partners], 0.1)
    loss = batch_loss(model, images, labels, settings, generator())
    torch.testing.assert_close(loss, expected)
    norm = model.layers[0].norm
    assert norm.num_batches_tracked == 1
    assert twin.layers[0].norm.num_batches_tracked == 2


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
