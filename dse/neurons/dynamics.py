"""Dynamics: what a layer of neurons does at each step, as one value that every path reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from dse.errors import BuildFailure
from dse.neurons.surrogates import Surrogate

Reset = Literal["soft", "hard"]


@dataclass(frozen=True, slots=True)
class Dynamics:
    """The rules of a neuron that are no numbers to learn.

    is_detached : the spike in the reset is a constant in the backward pass
    """

    reset: Reset
    surrogate: Surrogate
    is_detached: bool = True

    def __post_init__(self) -> None:
        if self.reset not in ("soft", "hard"):
            raise BuildFailure(f'spiking neuron: reset "{self.reset}": must be "soft" or "hard"')


def leak_of(time_constant_steps: float) -> float:
    """The share of the potential that a membrane keeps each step: 1 - 1 / tau.

    Fang et al., ICCV 2021, eq. 2 in discrete time; tau is in steps, above 1 (tau = 1 keeps
    nothing, infinity is IF).
    """
    if not time_constant_steps >= 1.0:
        raise BuildFailure(
            f"spiking neuron: time constant {time_constant_steps}: must be at least 1 step"
        )
    return 1.0 - 1.0 / time_constant_steps


def refuse_threshold(threshold: float) -> None:
    """Raise BuildFailure unless it is finite and above 0."""
    if not (math.isfinite(threshold) and threshold > 0):
        raise BuildFailure(f"spiking neuron: threshold {threshold}: must be finite and above 0")
