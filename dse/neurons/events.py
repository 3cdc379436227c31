"""Events: how often neurons read, leak, integrate, compare, reset and write, as exact totals.

One canonical account for every neuron model, whatever element-wise calls the simulation makes:

- every neuron compares once a step;
- a potential known to be zero is not read, so the first step has no read, leak or integration;
  one that starts elsewhere adds that constant, already leaked, to the first current: no read;
- a potential is not kept after the last step, so that step has no write, and no reset either;
- a leak of exactly 1 is not a multiplication;
- nor is a gain 1 - leak of the currents: it folds into the norm or the weights before the neuron,
  as batch-norm does.

A neuron without state is the case of one step: it compares, and nothing else.
"""

from __future__ import annotations

from typing import Any


def neuron_events(
    neurons: int,
    *,
    time_steps: int = 1,
    spikes_before_last: Any = 0,
    has_leak: bool = False,
    has_initial: bool = False,
) -> dict[str, Any]:
    """Totals of one call.

    neurons : distinct neurons over the whole batch (B x features), each updated at every step
    spikes_before_last : spikes at steps 0 .. T-2; a number, or a tensor on the device of the spikes
    has_initial : whether potentials start elsewhere than at zero
    """
    carried = (time_steps - 1) * neurons
    return {
        "neurons": neurons,
        "state_read": carried,
        "leak": carried if has_leak else 0,
        "integrate": carried + (neurons if has_initial else 0),
        "compare": time_steps * neurons,
        "reset": spikes_before_last,
        "state_write": carried,
    }
