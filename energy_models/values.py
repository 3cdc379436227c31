"""Values: the constants of a profile as numbers, or as draws from their ranges."""

from __future__ import annotations

import zlib

import numpy as np

from energy_models.bill import Values
from energy_models.columns import Floats
from energy_models.profile import HardwareProfile

SRAM = "memory.sram"  # a factor on every energy of the curve


def values_of(profile: HardwareProfile) -> Values:
    """Constant -> its value, () shaped; the SRAM curve is a factor of 1."""
    found: dict[str, Floats] = {
        name: np.asarray(one.value, dtype=np.float64) for name, one in profile.constants().items()
    }
    return {**found, SRAM: np.asarray(1.0)}


def ranges_of(profile: HardwareProfile) -> dict[str, tuple[float, float, str]]:
    """Constant -> low, high and the distribution of those that carry a range."""
    found: dict[str, tuple[float, float, str]] = {}
    for name, one in profile.constants().items():
        low, high = one.range_given
        if low is not None and high is not None and low < high:
            found[name] = (low, high, one.distribution)
    if profile.memory is not None:
        sram = profile.memory.sram
        if sram.low_factor is not None and sram.high_factor is not None:
            found[SRAM] = (sram.low_factor, sram.high_factor, "log-uniform")
    return found


def draws_of(profile: HardwareProfile, draws: int, seed: int) -> Values:
    """Constant -> (draws, 1) values from its range; a constant without one stays as it is.

    The draws of a constant follow from the seed and its name alone: all designs, and all profiles
    that quote the same range under the same name, meet the same hardware in the same draw.
    """
    found = {name: value.reshape(1, 1) for name, value in values_of(profile).items()}
    for name, (low, high, distribution) in ranges_of(profile).items():
        stream = np.random.default_rng([seed, zlib.crc32(name.encode())])
        share = stream.random((draws, 1))
        if distribution == "uniform":
            found[name] = low + share * (high - low)
        else:
            found[name] = np.exp(np.log(low) + share * (np.log(high) - np.log(low)))
    return found
