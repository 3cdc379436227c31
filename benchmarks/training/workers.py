"""Workers: how many training steps two cores give, as two workers or as one with two threads."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from statistics import median

import torch

from benchmarks.counting.tables import Table
from benchmarks.training.contestants import DSE, contestants, prepare
from benchmarks.training.goals import WORKERS
from benchmarks.training.measure import Step
from benchmarks.training.settings import Settings
from benchmarks.training.works import Work

MEANING = (
    "Training steps a second of dse, of all workers together, on the clock of the wall, the median "
    "over the rounds; the ways take turns, each in fresh processes. Two workers with two "
    "threads each is what PyTorch does where nobody tells it otherwise."
)
_WAYS = ((1, 2), (2, 1), (2, 2))  # workers, threads of each
_MEASURED_S = 3.0
_WARM_UPS = 5


def workers_table(work: Work, time_steps: int, settings: Settings) -> Table:
    """Throughput of each way, over that of one worker with two threads."""
    _dse(work, time_steps, settings)  # raises here, once, what would fail in each process
    rates: dict[tuple[int, int], list[float]] = {way: [] for way in _WAYS}
    for _ in range(settings.rounds):
        for way in _WAYS:
            rates[way].append(_steps_per_s(*way, work, time_steps, settings))
    table = Table(
        f"{work.name}, T = {time_steps}, {settings.rounds} rounds of {_MEASURED_S:g} s",
        ("workers x threads", "steps/s", "over 1 x 2", "goal"),
    )
    base = median(rates[_WAYS[0]])
    for way in _WAYS:
        ratio = median(rates[way]) / base
        goal = WORKERS.text(ratio) if way == (2, 1) else ""
        table.add(f"{way[0]} x {way[1]}", f"{median(rates[way]):.1f}", f"{ratio:.2f}", goal)
    return table


def _steps_per_s(
    workers: int, threads: int, work: Work, time_steps: int, settings: Settings
) -> float:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(
            target=_work, args=(threads, work, time_steps, settings, barrier, results), daemon=True
        )
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    total = sum(results.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    return float(total)


def _work(
    threads: int,
    work: Work,
    time_steps: int,
    settings: Settings,
    barrier: Barrier,
    results: Queue[float],
) -> None:
    """One worker: steps a second, once all are warm."""
    torch.set_num_threads(threads)
    train = _dse(work, time_steps, settings)
    for _ in range(_WARM_UPS):
        train()
    barrier.wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < _MEASURED_S:
        train()
        steps += 1
    results.put(steps / (time.perf_counter() - start))


def _dse(work: Work, time_steps: int, settings: Settings) -> Step:
    """The training step of dse. Raises NotAvailable."""
    listed = contestants(
        work,
        time_steps,
        route=settings.route,
        is_tuned=False,
        bfloat16=settings.bfloat16,
    )
    return prepare(next(c for c in listed if c.name == DSE), work).train
