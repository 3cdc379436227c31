"""Rules: where thresholds are, the same for every contestant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A percentile of the activations of the calibration images; 100 is their maximum.

    is_by_channel : of each channel, and potentials start at half of the threshold
    """

    name: str
    percentile: float
    is_by_channel: bool = False


PERCENTILE = Rule("percentile", 99.9)
RULES = {
    rule.name: rule
    for rule in (PERCENTILE, Rule("max", 100.0), Rule("channel-half", 99.9, is_by_channel=True))
}
WORDS = {
    "percentile": "thresholds at the 99.9th percentile",
    "max": "thresholds at the maximum",
    "channel-half": "thresholds at the 99.9th percentile of each channel, potentials from half",
}
