"""Spread: how a total varies over samples, and how far its mean can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import stdtrit

from energy_models.counts import Spread

_CONFIDENCE = 0.95


def spread(values: np.ndarray) -> Spread:
    """Mean, standard deviation and the 95 % interval of the mean (Student's t) of samples.

    values : one number a sample; of a single sample nothing is known but itself
    """
    n = len(values)
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else 0.0
    quantile = float(stdtrit(n - 1, (1 + _CONFIDENCE) / 2)) if n > 1 else 0.0
    reach = quantile * sd / math.sqrt(n)
    return Spread(mean, sd, mean - reach, mean + reach, float(values.min()), float(values.max()))


def spreads(totals: Mapping[str, np.ndarray]) -> dict[str, Spread]:
    """The spread of each total that is not zero everywhere."""
    return {name: spread(values) for name, values in totals.items() if values.any()}
