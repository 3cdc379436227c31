"""When a training is given up: what has exploded is, what is only slow or only loud is not."""

import math

import pytest
import torch
from torch import nn

from dse.errors import DivergedFailure
from dse.training.divergence import LOST_EPOCHS, LossWatch, refuse_broken

CHANCE = math.log(10)


def watch() -> LossWatch:
    return LossWatch(classes=10, guess=0.1)


def test_a_loss_that_has_exploded_for_two_epochs_ends_it() -> None:
    assert LOST_EPOCHS == 2
    one = watch()
    one.look(1, [2.5, 3.0], 0.2)
    one.look(2, [26.0, 400.0], 0.1)
    with pytest.raises(
        DivergedFailure,
        match=r"epoch 3: for 2 epochs every loss was above 25 \(lowest 26, at first 2.5\) and "
        r"validation accuracy is 0.1, no better than a guess: must fall; lower learning_rate",
    ):
        one.look(3, [26.0, 27.0], 0.1)


@pytest.mark.parametrize(
    ("losses", "accuracy"),
    [
        ([CHANCE] * 3, 0.1),  # learns nothing yet
        ([CHANCE * 9.9] * 3, 0.1),  # starts from bad weights
        ([1e6, 1e6, 20.0], 0.1),  # comes back within the epoch
        ([1e6] * 3, 0.11),  # huge logits, which are right more often than a guess
    ],
)
def test_a_run_that_may_be_healthy_goes_on(losses: list[float], accuracy: float) -> None:
    one = watch()
    one.look(1, [0.001], 0.1)  # a first loss near zero (of weights that were trained before)
    for epoch in range(2, 20):
        one.look(epoch, losses, accuracy)


def test_a_training_that_comes_back_is_forgiven() -> None:
    one = watch()
    for epoch in range(1, 20):
        one.look(epoch, [2.0 if epoch % 2 else 1e9], 0.1)


def test_a_weight_that_is_no_number_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    refuse_broken(model, 3)
    model[1].running_var[1] = math.inf
    with pytest.raises(DivergedFailure, match=r"epoch 3: 1.running_var is no longer finite: must"):
        refuse_broken(model, 3)
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(DivergedFailure, match=r"epoch 3: 0.weight is no longer finite"):
        refuse_broken(model, 3)
