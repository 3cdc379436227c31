"""Steps: one training step and one inference of a model, as every contestant makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Route = Literal["onednn", "default"]
LEARNING_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class Habits:
    """How a contestant is run, apart from what it is.

    is_fused : Adam in one kernel        channels_last : layout of maps
    route : library of the matrix products; "default" leaves it to PyTorch (MKL on x86)
    bfloat16 : forward pass under autocast
    """

    is_fused: bool = False
    channels_last: bool = False
    route: Route = "default"
    bfloat16: bool = False


PLAIN = Habits()
# channels last is no part of it: it slows those down whose neurons see maps of another layout
TUNED = Habits(is_fused=True, route="onednn")


@dataclass(frozen=True, slots=True)
class Ready:
    """A contestant on one network: one training step, and one inference."""

    train: Callable[[], object]
    infer: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One line of the tables.

    build : the model, images to logits (B, classes), with any parameters
    distribution : the package that must be installed, or None
    has_same_surrogate : whether gradients can be compared with those of the plain loop
    is_spiking : whether logits can be
    is_dse : of this project
    after_step : of a model, what follows each step of the optimiser
    """

    name: str
    build: Callable[[], nn.Module]
    habits: Habits = PLAIN
    distribution: str | None = None
    has_same_surrogate: bool = True
    is_spiking: bool = True
    is_dse: bool = False
    after_step: Callable[[nn.Module], Callable[[], object]] | None = None


def ready(contestant: Contestant, model: nn.Module, images: Tensor, labels: Tensor) -> Ready:
    """Steps of a model on one batch; the batch is laid out as the contestant wants it, once."""
    habits = contestant.habits
    if habits.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub
        images = images.contiguous(memory_format=torch.channels_last)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=habits.is_fused or None)
    after_step = contestant.after_step(model) if contestant.after_step else None

    def train() -> None:
        model.train()
        with linear_through(habits.route):
            optimizer.zero_grad(set_to_none=True)
            with cast(habits):
                logits = model(images)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            if after_step is not None:
                after_step()

    def infer() -> Tensor:
        model.eval()
        # not inference_mode: a library that keeps states may not write to them afterwards
        with torch.no_grad(), linear_through(habits.route), cast(habits):
            logits: Tensor = model(images)
            return logits

    return Ready(train, infer)


def cast(habits: Habits) -> AbstractContextManager[object]:
    """Autocast to bfloat16, where a contestant asks for it."""
    return torch.autocast("cpu", torch.bfloat16) if habits.bfloat16 else nullcontext()


@contextmanager
def linear_through(route: Route) -> Iterator[None]:
    """Matrix products through oneDNN in place of MKL, in fp32.

    The switch is named after bfloat16, and without AMX nothing is rounded to it. With AMX it is:
    there the products stay where they are.
    """
    if route == "default" or has_amx():
        yield
        return
    switch = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # made when imported
    before = switch.fp32_precision
    switch.fp32_precision = "bf16"
    try:
        yield
    finally:
        switch.fp32_precision = before


def has_amx() -> bool:
    """Whether the processor has tiles that oneDNN would round to bfloat16 for."""
    return bool(torch.cpu._is_amx_tile_supported())
