"""What counting costs: a forward pass that is counted, over a plain one, beside PyTorch's counter.

    python -m benchmarks.counting

One thread, processor time, rounds interleaved (plain, counted, PyTorch's counter, plain again), the
median of the ratios of neighbours. PyTorch's counter sees shapes only; ours looks at every value.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dse.counting.count import count
from dse.design import Design
from dse.variants import family

ROUNDS = 9


def main() -> None:
    """Print one line a network."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, median of {ROUNDS} rounds")
    print(f"{'network':<28}{'plain ms':>10}{'dse':>8}{'FlopCounterMode':>18}{'plain again':>13}")
    for name, model, x in _networks():
        with torch.no_grad():
            plain_ms, ours, theirs, control = _ratios(model.eval(), x)
        print(f"{name:<28}{plain_ms:>10.2f}{ours:>8.2f}{theirs:>18.2f}{control:>13.2f}")


def _networks() -> list[tuple[str, nn.Module, torch.Tensor]]:
    torch.manual_seed(0)
    shape = (3, 32, 32)
    found = []
    for variant, knobs in (("ann", {}), ("snn", {"time_steps": 4}), ("s2nn", {}), ("bnn", {})):
        design = Design.of(variant, "convnet", {"width": 4.0, "depth": 3, **knobs})
        model = family.load(variant).build(design, shape, 10)
        found.append((f"{variant} convnet, batch 8", model, torch.rand(8, *shape)))
    return found


def _ratios(model: nn.Module, x: torch.Tensor) -> tuple[float, float, float, float]:
    def plain() -> None:
        model(x)

    def ours() -> None:
        count(model, x)

    def theirs() -> None:
        with FlopCounterMode(display=False):
            model(x)

    for warm_up in (plain, ours, theirs):
        warm_up()
    times: list[list[float]] = []
    for _ in range(ROUNDS):
        times.append([_cpu_ms(run) for run in (plain, ours, theirs, plain)])
    plain_ms = statistics.median(row[0] for row in times)
    return (plain_ms, *(statistics.median(row[i] / row[0] for row in times) for i in (1, 2, 3)))


def _cpu_ms(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return 1000 * (time.process_time() - start)


if __name__ == "__main__":
    main()
