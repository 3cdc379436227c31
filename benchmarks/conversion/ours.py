"""This project's conversion in the benchmark."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.conversion.rules import Rule
from benchmarks.training.peers import Runs
from dse.conversion.convert import convert
from dse.conversion.methods import adjusted, load


def converted(model: nn.Sequential, images: Tensor, rule: Rule, time_steps: int) -> nn.Module:
    """Soft reset, values as input at each step: what all contestants do."""
    recipe = adjusted(
        load("normalise-percentile"),
        threshold="percentile-by-channel" if rule.is_by_channel else "percentile",
        percentile=rule.percentile,
        initial="half" if rule.is_by_channel else "zero",
    )
    network = convert(model, images, recipe, time_steps).network
    return Runs([network], network.logits_by_step)
