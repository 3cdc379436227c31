"""Own: a network that a function of the user's own builds, trained and counted as any other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dse import own, usercode
from dse.design import Design
from dse.errors import BuildFailure, DseError
from dse.variants.family import LEARNING_RATE, Variant

if TYPE_CHECKING:
    from torch import nn

# of the training, with which a function is called only if it asks for them
KNOBS = (LEARNING_RATE,)


def build(design: Design, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """What the function `design.architecture` (`file.py:name`) returns for the knobs of a design.

    It is called with every knob by name, and with `input_shape`, `classes` and `learning_rate` if
    its signature has them. A batch of zeros is sent through the module in evaluation mode.

    Raises BuildFailure for what the function or the module raises, with the line of the file;
    and for anything but a module that maps (B, *input_shape) to logits (B, classes).
    """
    import torch
    from torch import Tensor, nn

    target = design.architecture
    with blamed(design):
        function = _function(target)
        offered = {"input_shape": input_shape, "classes": classes}
        model = function(**_asked_for(target, {**offered, **design.values}))
        if not isinstance(model, nn.Module):
            raise BuildFailure(
                f"{target}: returned {type(model).__name__}; it must return a torch.nn.Module"
            )
        steps = getattr(model, "time_steps", 1)
        if not isinstance(steps, int) or steps < 1:
            raise BuildFailure(f"{target}: its time_steps is {steps}; it must be a number from 1")
        flags = [(module, module.training) for module in model.modules()]
        # one sample less than a batch-norm in training mode needs; lazy layers get their shapes
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            logits = model.eval()(torch.zeros(2, *input_shape))
        for module, was_training in flags:
            module.training = was_training
        if not isinstance(logits, Tensor) or logits.shape != (2, classes):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise BuildFailure(
                f"{target}: gave {shape} for a batch of {(2, *input_shape)}; it must give logits "
                f"{(2, classes)}"
            )
        return model


@contextmanager
def blamed(design: Design) -> Iterator[None]:
    """What the code of the user's own raises inside is a BuildFailure with its line.

    For the families of this room it does nothing.
    """
    try:
        yield
    except DseError:
        raise
    except Exception as error:
        if design.variant != own.VARIANT:
            raise
        path = Path(design.architecture.rpartition(":")[0])
        raise BuildFailure(usercode.blame(error, path)) from error


@functools.lru_cache(maxsize=8)
def _function(target: str) -> Callable[..., Any]:
    """The function; its file is run once a process."""
    place, _, name = target.rpartition(":")
    function: Callable[..., Any] = usercode.load(Path(place), name)
    return function


def _asked_for(target: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values that a function is called with: all knobs, and of what is offered what it names.

    Raises BuildFailure if it does not take a knob, which can be known only now for a class or an
    import.
    """
    import inspect

    parameters = inspect.signature(_function(target)).parameters
    offered = (*own.OFFERED, *(knob.name for knob in KNOBS))
    is_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    asked = {key: value for key, value in values.items() if key not in offered or key in parameters}
    strange = [key for key in asked if key not in parameters and not is_any]
    if strange:
        raise BuildFailure(f"{target}: takes no {', '.join(strange)}")
    return asked


VARIANT = Variant("own", "network of the user's own", KNOBS, build, takes_events=True)
