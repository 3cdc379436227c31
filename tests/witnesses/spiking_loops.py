"""Spiking loops: integrate-and-fire neurons step by step in NumPy, to judge others by."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def integrate_fire(
    currents: ArrayLike,
    threshold: ArrayLike = 1.0,
    initial: ArrayLike = 0.0,
    drive: ArrayLike = 0.0,
    *,
    is_hard: bool = False,
) -> tuple[Array, Array]:
    """Spikes (T, ...) of currents (T, ...), and the potentials (...) after the last step."""
    steps = np.asarray(currents, dtype=np.float64)
    height = np.broadcast_to(np.asarray(threshold, dtype=np.float64), steps.shape[1:])
    potential = np.zeros(steps.shape[1:]) + np.asarray(initial, dtype=np.float64)
    spikes = np.zeros(steps.shape)
    for t, current in enumerate(steps):
        potential = potential + current + np.asarray(drive, dtype=np.float64)
        fires = potential >= height
        spikes[t] = fires
        potential = np.where(fires, 0.0 if is_hard else potential - height, potential)
    return spikes, potential
