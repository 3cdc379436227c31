"""Draws: random operators on random data, each beside the witness.

By hand, as many as wanted: `python tests/witnesses/draws.py 10000 --seed 1`.
"""

from __future__ import annotations

import argparse
from typing import Any

import hypothesis
import torch
from definitions import expected, found
from drawn_operators import OPERATORS, Draw, Drawn
from hypothesis import strategies as st
from torch import Tensor, nn

from dse.counting.count import count
from energy_models import ModelCounts


class Folding(nn.Module):
    """Folds the steps of (T, B, ...) inputs into their samples, as spiking networks do."""

    def __init__(self, module: nn.Module, timed: int) -> None:
        super().__init__()
        self.module = module
        self.timed = timed

    def forward(self, *inputs: Tensor) -> Any:
        """What the module returns."""
        folded = (x.flatten(0, 1) for x in inputs[: self.timed])
        return self.module(*folded, *inputs[self.timed :])


@st.composite
def drawn(draw: Draw) -> Drawn:
    """Any operator of the table below on any data."""
    return draw(st.sampled_from(OPERATORS))(draw)


def check(one: Drawn) -> None:
    """Totals by class, coverage and steps of one draw equal the witness."""
    if one.steps == 1:
        counts = count(one.module, one.inputs)
    else:
        samples = len(one.inputs[0]) // one.steps
        unfolded = (x.unflatten(0, (one.steps, samples)) for x in one.inputs[: one.timed])
        counts = count(
            Folding(one.module, one.timed),
            (*unfolded, *one.inputs[one.timed :]),
            time_steps=one.steps,
            batch_dim=1,
        )
    assert counts.uncounted == {}
    assert counts.coverage == 1.0
    assert found(counts) == expected(one.layers)
    if one.steps > 1:
        for step in range(one.steps):
            _check_step(one, counts, step)


def _check_step(one: Drawn, counts: ModelCounts, step: int) -> None:
    def is_inside(mask: Tensor) -> Tensor:
        by_step = torch.zeros_like(mask).unflatten(0, (one.steps, -1))
        by_step[step] = mask.unflatten(0, (one.steps, -1))[step]
        return by_step.flatten(0, 1)

    is_shared = len(one.inputs) > one.timed
    if is_shared and any(len(layer.steps) != one.steps for layer in counts.layers):
        return  # data without samples beside data with time: steps are told or left out
    for name in ("mac", "ac", "graded", "binary"):
        seen = sum(getattr(layer.steps[step], name) for layer in counts.layers)
        wanted = sum(layer.totals(is_inside)[name] for layer in one.layers)
        assert round(seen * counts.samples) == wanted, (step, name)


def main() -> None:
    """As many draws as asked for; a difference is shown as small as it can be made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--operator", choices=[draw.__name__ for draw in OPERATORS])
    asked = parser.parse_args()
    chosen = drawn()
    if asked.operator:
        [one] = [draw for draw in OPERATORS if draw.__name__ == asked.operator]
        chosen = st.composite(one)()
    seen = 0

    def counted(one: Drawn) -> None:
        nonlocal seen
        seen += 1
        check(one)

    torch.manual_seed(asked.seed)
    run = hypothesis.given(chosen)(counted)
    run = hypothesis.settings(
        max_examples=asked.examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )(run)
    hypothesis.seed(asked.seed)(run)()
    print(f"{seen} draws, seed {asked.seed}: no difference")


if __name__ == "__main__":
    main()
