"""Divergence: when a training is given up, and with which words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dse.errors import DivergedFailure

TIMES_WORSE = 10.0
LOST_EPOCHS = 2
_REMEDY = "lower learning_rate"


def loss_and_gradient(loss: Tensor, gradient: Tensor) -> tuple[float, float]:
    """Both as numbers; a GPU is waited for once."""
    if loss.is_cuda:
        first, second = torch.stack((loss.detach().double(), gradient.double())).tolist()
        return first, second
    return loss.item(), gradient.item()


def refuse_not_finite(loss: float, gradient: float, where: str) -> None:
    """Raise DivergedFailure for a step that cannot be used."""
    # the gradient too: a spike or a sign hides a NaN of its current from the loss
    for name, value in (("loss", loss), ("gradient norm", gradient)):
        if not math.isfinite(value):
            raise DivergedFailure(
                f"training: {where}: {name} is {value} (loss {loss}): must be finite; {_REMEDY}"
            )


def refuse_broken(model: nn.Module, epoch: int) -> None:
    """Raise DivergedFailure for a parameter or buffer that is NaN or infinite."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DivergedFailure(
                f"training: epoch {epoch}: {name} is no longer finite: must be; {_REMEDY}"
            )


@dataclass(slots=True)
class LossWatch:
    """Gives up a training whose loss has exploded and that knows no more than one who guesses.

    Lost is an epoch of which every step had a loss above `TIMES_WORSE` times the first loss of the
    training (or that of a guess, log of the number of classes, if it is higher), and after which
    the validation accuracy is not above the share of the most frequent class. `LOST_EPOCHS` of them
    in a row end the training. A slow training stays near its first loss, one with huge logits is
    still right, and one that went astray at the peak of its rate has an epoch to come back.

    classes : of the labels       guess : validation accuracy of always the most frequent class
    first_loss, lost : None and 0 at the start of a training
    """

    classes: int
    guess: float
    first_loss: float | None = None
    lost: int = 0

    def look(self, epoch: int, losses: Sequence[float], validation_accuracy: float) -> None:
        """Take note of an epoch, from 1. Raises DivergedFailure if the training is lost."""
        if self.first_loss is None:
            self.first_loss = losses[0]
        limit = TIMES_WORSE * max(self.first_loss, math.log(max(2, self.classes)))
        is_lost = min(losses) > limit and validation_accuracy <= self.guess
        self.lost = self.lost + 1 if is_lost else 0
        if self.lost >= LOST_EPOCHS:
            raise DivergedFailure(
                f"training: epoch {epoch}: for {self.lost} epochs every loss was above {limit:.4g} "
                f"(lowest {min(losses):.4g}, at first {self.first_loss:.4g}) and validation "
                f"accuracy is {validation_accuracy:.4g}, no better than a guess: must fall; "
                f"{_REMEDY}"
            )
