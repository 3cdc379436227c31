"""Throughput: workers of dse beside independent training loops without it, in the same run.

python -m benchmarks.search.throughput
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import torch
from optuna.trial import FixedTrial
from torch import nn

from benchmarks.counting.tables import Table
from benchmarks.machine import processor
from benchmarks.search.clock import processor_s
from benchmarks.search.made import made_sweep
from dse import study
from dse.design import Design
from dse.processes import one_thread_each
from dse.recipe import build
from dse.seeding import seed_everything, trial_seed
from dse.space import suggest
from dse.sweep import Sweep
from dse.training import machine

MEANING = (
    "The same trainings, with the same seeds, each way in turn in every round; median of the "
    "rounds. loop: for each design, build the network, train it in plain torch, validate after "
    "each epoch; nothing is counted, priced, written or searched. From when all processes are warm "
    "to the end of the last one. Trials per second are of the clock on the wall, and worth as much "
    "as the machine is quiet; processor seconds per trial are worth more."
)
LOOP, DSE = "loop", "dse"
WAYS = ((LOOP, 1), (LOOP, 2), (DSE, 1), (DSE, 2))


@dataclass(frozen=True, slots=True)
class Speed:
    """What a way made of its trials."""

    trials_per_s: float
    cpu_s_per_trial: float


def main() -> None:
    """Read the options, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--repeats", type=int, default=4, help="of 4 designs; default 4")
    parser.add_argument("--markdown", action="store_true", help="for benchmarks/README.md")
    options = parser.parse_args()
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"torch {torch.__version__}, {processor()}, load {busy} on {os.cpu_count()} cores")
    print(f"{MEANING}\n")
    table = throughput_table(options.rounds, options.repeats)
    print(table.text(is_markdown=options.markdown))


def throughput_table(rounds: int, repeats: int, overrides: Sequence[str] = ()) -> Table:
    """A row for each way, and the ratios that matter."""
    speeds: dict[tuple[str, int], list[Speed]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            speeds[way].append(speed(*way, repeats, overrides))
    table = Table(
        f"{4 * repeats} trainings, {rounds} rounds",
        (
            "way x processes",
            "trials/s",
            "over two loops",
            "over one worker",
            "CPU s a trial",
            "over a loop",
        ),
    )
    for kind, processes in WAYS:
        mine = speeds[kind, processes]

        def over(way: tuple[str, int], name: str, ours: list[Speed] = mine) -> str:
            pairs = zip(ours, speeds[way], strict=True)
            return f"{median(getattr(a, name) / getattr(b, name) for a, b in pairs):.2f}"

        table.add(
            f"{kind} x {processes}",
            f"{median(one.trials_per_s for one in mine):.2f}",
            over((LOOP, 2), "trials_per_s"),
            over((DSE, 1), "trials_per_s"),
            f"{median(one.cpu_s_per_trial for one in mine):.2f}",
            over((LOOP, processes), "cpu_s_per_trial"),
        )
    return table


def speed(kind: str, processes: int, repeats: int, overrides: Sequence[str] = ()) -> Speed:
    """One way, in fresh processes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    with tempfile.TemporaryDirectory() as place, one_thread_each():
        sweep = made_sweep(Path(place) / "run", *_overrides(repeats), *overrides)
        study.begin(sweep)
        started = [
            context.Process(
                target=_process, args=(kind, sweep, index, processes, barrier, results), daemon=True
            )
            for index in range(processes)
        ]
        for process in started:
            process.start()
        times = [results.get(timeout=3600) for _ in started]
        for process in started:
            process.join()
    trials = (sweep.space.size() or 0) * repeats
    begins, ends, spent = zip(*times, strict=True)
    return Speed(trials / (max(ends) - min(begins)), sum(spent) / trials)


def _overrides(repeats: int) -> tuple[str, ...]:
    """Four designs, some dear and some cheap."""
    return (
        "space={width: {choice: [0.5, 1.5]}, time_steps: {choice: [2, 6]}}",
        f"budget={{repeats: {repeats}}}",
    )


def _process(
    kind: str,
    sweep: Sweep,
    index: int,
    processes: int,
    barrier: Barrier,
    results: Queue[tuple[float, float, float]],
) -> None:
    torch.set_num_threads(1)
    machine.keep_memory()
    _train(sweep, 0)  # what is loaded and compiled once
    barrier.wait()
    begin_s, spent_s = time.monotonic(), processor_s()
    if kind == DSE:
        study.work(sweep)
    else:
        for number in range(index, _planned(sweep), processes):
            _train(sweep, number)
    results.put((begin_s, time.monotonic(), processor_s() - spent_s))


def _planned(sweep: Sweep) -> int:
    return (sweep.space.size() or 0) * (sweep.config.budget.repeats or 0)


def _train(sweep: Sweep, number: int) -> float:
    """A training as one writes it by hand; the accuracy on validation."""
    design = _design(sweep, number)
    config, data = sweep.config.training, sweep.recipe.data()
    seed_everything(trial_seed(sweep.config.seed, number))
    model = build(design, data)
    images, labels = torch.from_numpy(data.train.images), torch.from_numpy(data.train.labels)
    held_out = torch.from_numpy(data.validation.images), torch.from_numpy(data.validation.labels)
    rate = float(design.values["learning_rate"])
    steps = len(images) // config.batch_size
    optimizer = torch.optim.AdamW(
        model.parameters(), rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, config.epochs * steps)
    accuracy = 0.0
    for _ in range(config.epochs):
        model.train()
        order = torch.randperm(len(images))
        for batch in order[: steps * config.batch_size].split(config.batch_size):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            right = model(held_out[0]).argmax(1) == held_out[1]
        accuracy = right.float().mean().item()
    return accuracy


def _design(sweep: Sweep, number: int) -> Design:
    return suggest(FixedTrial(sweep.space.nth(number % (sweep.space.size() or 1))), sweep.space)


if __name__ == "__main__":
    main()
