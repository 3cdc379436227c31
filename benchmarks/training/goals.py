"""Goals: what this project set itself, shown beside what was measured and never asserted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["train", "infer"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of a ratio, and a farther one to reach for.

    is_share : the ratio is dse over the other, at most the bound; else the other over dse, at least
    """

    bound: float
    stretch: float | None = None
    is_share: bool = False

    def text(self, times_dse: float) -> str:
        """The goal, and whether a ratio (the other over dse) reaches it."""
        ratio = 1 / times_dse if self.is_share else times_dse
        sign = "<=" if self.is_share else ">="
        stretch = "" if self.stretch is None else f" ({self.stretch:g})"
        reached = ratio <= self.bound if self.is_share else ratio >= self.bound
        now = f"{ratio:.2f} of it, " if self.is_share else ""
        return f"{now}{sign} {self.bound:g}{stretch}: {'yes' if reached else 'no'}"


_SPIKINGJELLY = {
    "train": {"conv": Goal(3, 4), "mlp": Goal(3.5, 4.5), "vgg": Goal(2, 2.5)},
    "infer": {"conv": Goal(4, 5), "mlp": Goal(4, 5), "vgg": Goal(2.5, 3)},
}
_SPIKINGJELLY_BF16 = {
    "train": {"conv": Goal(5, 7), "mlp": Goal(5), "vgg": Goal(3.5, 4.5)},
    "infer": {"conv": Goal(4, 10), "mlp": Goal(4, 10), "vgg": Goal(2.5, 10)},
}
_SNNTORCH = {"conv": Goal(3, 4), "mlp": Goal(4), "vgg": Goal(2)}
_FLOOR_BF16 = Goal(1.35, 1.1, is_share=True)


def goal(name: str, net: str, time_steps: int, part: Part, *, bfloat16: bool) -> Goal | None:
    """The goal of dse against a contestant; None where there is none."""
    if name.startswith("SpikingJelly"):
        return (_SPIKINGJELLY_BF16 if bfloat16 else _SPIKINGJELLY)[part][net]
    if name.startswith("snnTorch") and part == "train" and not bfloat16:
        return _SNNTORCH[net]
    if name.startswith("floor") and part == "train":
        if bfloat16:
            return _FLOOR_BF16
        if net == "vgg":
            return Goal(1.12, 1.03, is_share=True)
        if net == "conv":
            return Goal(1.15 if time_steps <= 4 else 1.2, 1.0, is_share=True)
    return None


# over the eager ReLU network, and over one that is fused as well
FAMILIES = {
    "dse s2nn": (Goal(1.05, is_share=True), Goal(1.02, is_share=True)),
    "dse bnn": (Goal(1.3, 1.1, is_share=True), None),
}
WORKERS = Goal(1.2, 1.5)
