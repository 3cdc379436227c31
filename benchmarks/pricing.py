"""How many (design, profile) prices a second: all at once, and one by one.

    python -m benchmarks.pricing [--designs 1000] [--layers 10]

One process, one thread, processor time, after one warm-up. Designs are made-up networks of pairs of
a convolution and its neurons; the profiles are those shipped of each kind.
"""

from __future__ import annotations

import argparse
import os
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402

from energy_models import (  # noqa: E402
    Geometry,
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    estimate,
    list_profiles,
    load_profile,
    price_many,
)

STEPS = 4
SIZE = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=10, help="layers with weights of a design")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    designs = [network(arguments.layers, random) for _ in range(arguments.designs)]
    by_kind: dict[str, list[HardwareProfile]] = {}
    for name in list_profiles():
        profile = load_profile(name)
        by_kind.setdefault(profile.kind, []).append(profile)
    everything = [profile for profiles in by_kind.values() for profile in profiles]
    print(f"{len(designs)} designs of {2 * arguments.layers} rows; prices per second")
    print(f"{'profiles':32} {'at once':>12} {'one by one':>12} {'ratio':>8}")
    for label, profiles in (
        ("cmos45-fp32 alone", [load_profile("cmos45-fp32")]),
        *((f"{kind} ({len(found)})", found) for kind, found in by_kind.items()),
        (f"all ({len(everything)})", everything),
    ):
        together, apart = rates(designs, profiles)
        print(f"{label:32} {together:12,.0f} {apart:12,.0f} {together / apart:8.1f}")


def rates(designs: list[ModelCounts], profiles: list[HardwareProfile]) -> tuple[float, float]:
    """Prices per second of `price_many`, and of `estimate` design by design."""
    price_many(designs, profiles)
    start_s = time.process_time()
    price_many(designs, profiles)
    together = len(designs) * len(profiles) / (time.process_time() - start_s)
    few = designs[: max(1, len(designs) // 20)]
    start_s = time.process_time()
    for counts in few:
        for profile in profiles:
            estimate(counts, profile)
    return together, len(few) * len(profiles) / (time.process_time() - start_s)


def network(layers: int, random: np.random.Generator) -> ModelCounts:
    """Convolutions and neurons, the first one direct-coded, over a few time steps."""
    rows: list[LayerCounts] = []
    channels = [3, *(int(width) for width in random.integers(8, 65, layers))]
    for index in range(layers):
        c_in, c_out = channels[index], channels[index + 1]
        weights, positions = c_in * c_out * 9, SIZE * SIZE
        values = c_in * positions * (1 if index == 0 else STEPS)
        spikes = 0 if index == 0 else int(values * random.uniform(0.02, 0.4))
        dense = weights * positions * (1 if index == 0 else STEPS)
        ops = {"mac" if index == 0 else "ac": dense * (1 if index == 0 else spikes / values)}
        rows.append(
            LayerCounts(
                f"conv{index}",
                "convolution",
                ops=OpCounts(**ops, **{f"dense_{next(iter(ops))}": dense}),
                geometry=Geometry(
                    c_in, c_out, (3, 3), (1, 1), (1, 1), (1, 1), 1, (SIZE, SIZE), (SIZE, SIZE)
                ),
                has_bias=True,
                weight_bits=32,
                activation_bits=32,
                input_kind="unit" if index else "real",
                weight_kind="real",
                weights=weights,
                nonzero_weights=weights,
                outputs=c_out * positions * (1 if index == 0 else STEPS),
                reused_steps=1 if index else STEPS,
                spikes_in=spikes if index else None,
                operands=(
                    OperandCounts(
                        "unit" if index else "real", values, spikes or values, (1.0,), bits=32
                    ),
                ),
                steps=(StepCounts(),) * (STEPS if index else 1),
            )
        )
        neurons = c_out * positions
        rows.append(
            LayerCounts(
                f"lif{index}",
                "neuron",
                neurons=neurons,
                updates=NeuronUpdates(
                    state_read=neurons * (STEPS - 1),
                    leak=neurons * (STEPS - 1),
                    integrate=neurons * STEPS,
                    compare=neurons * STEPS,
                    reset=spikes,
                    state_write=neurons * (STEPS - 1),
                ),
                outputs=neurons * STEPS,
                spikes_out=int(neurons * STEPS * random.uniform(0.02, 0.4)),
                fed_by=(f"conv{index}",),
            )
        )
    return ModelCounts(samples=1, layers=tuple(rows), time_steps=STEPS)


if __name__ == "__main__":
    main()
