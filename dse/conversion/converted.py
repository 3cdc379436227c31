"""Converted: what a conversion gives, and what became of each layer."""

from __future__ import annotations

from dataclasses import dataclass

from dse.conversion.graph import Graph
from dse.conversion.methods import Method
from dse.conversion.network import ConvertedNetwork


@dataclass(frozen=True, slots=True)
class ConvertedLayer:
    """What became of an activation.

    threshold_low, threshold_high : over its channels       height : what a spike is worth in it
    error_before, error_after, kept_share : of a calibration, see `potentials.Start`; of `bias` the
        activations are not clipped, and neurons are kept by channels
    """

    name: str
    neurons: int
    threshold_low: float
    threshold_high: float
    height: float
    error_before: float | None
    error_after: float | None
    kept_share: float | None


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted network, and how it came to be.

    graph : of the ANN that it was made of      samples : images that it was calibrated on
    """

    network: ConvertedNetwork
    graph: Graph
    method: Method
    layers: tuple[ConvertedLayer, ...]
    samples: int
    notes: tuple[str, ...]
