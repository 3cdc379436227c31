"""Values: the constants of a profile as numbers, or as draws from their ranges."""

from __future__ import annotations

import zlib
from collections.abc import Collection

import numpy as np

from energy_models.bill import Values
from energy_models.columns import Floats
from energy_models.constants import UNITS
from energy_models.profile import HardwareProfile
from energy_models.units import format_plain

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
            found[SRAM] = (sram.low_factor, sram.high_factor, sram.distribution)
    return found


def described(
    profile: HardwareProfile, names: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The named constants as texts: those with a range, and those without one."""
    constants, ranges = profile.constants(), ranges_of(profile)
    drawn, fixed = [], []
    for name in sorted(names):
        unit = UNITS[constants[name].unit] if name in constants else ""
        if name in ranges:
            low, high, _ = ranges[name]
            what = f"{unit}" if name in constants else "times its curve"
            drawn.append(f"{name}: {format_plain(low)} to {format_plain(high)} {what}".rstrip())
        elif name in constants:
            fixed.append(f"{name}: {format_plain(constants[name].value)} {unit}".rstrip())
        else:
            fixed.append(f"{name}: as its curve")
    return tuple(drawn), tuple(fixed)


def draws_of(profile: HardwareProfile, draws: int, seed: int) -> Values:
    """Constant -> (draws, 1) values from its range; a constant without one stays as it is.

    The draws of a constant follow from the seed, its value, its range and its source: what stands
    in a profile under several names (a spike that is taken like a MAC), or in two profiles, is one
    number and is drawn once. So all designs meet the same hardware in the same draw.
    """
    found = {name: value.reshape(1, 1) for name, value in values_of(profile).items()}
    for name, (low, high, distribution) in ranges_of(profile).items():
        identity = f"{float(found[name].item())!r} {low!r} {high!r} {_source_of(profile, name)}"
        stream = np.random.default_rng([seed, zlib.crc32(identity.encode())])
        share = stream.random((draws, 1))
        if distribution == "uniform":
            found[name] = low + share * (high - low)
        else:
            found[name] = np.exp(np.log(low) + share * (np.log(high) - np.log(low)))
    return found


def _source_of(profile: HardwareProfile, name: str) -> str:
    """Of the value and of the range; the same for the same number of a host."""
    if name == SRAM and profile.memory is not None:
        return f"{profile.memory.sram.source} {profile.memory.sram.range_source}"
    constant = profile.constants()[name]
    return f"{constant.source} {constant.range_source}"
