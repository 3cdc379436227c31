"""Print what counting costs and how right it is, beside the peers that are installed.

python -m benchmarks.counting
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator

import torch

from benchmarks.counting import accuracy, overhead
from benchmarks.counting.counter import Counter
from benchmarks.counting.networks import NETWORKS, TIMED
from benchmarks.counting.ours import ours
from benchmarks.counting.peers import hide_broken_torchvision, peers, version
from benchmarks.counting.tables import Table
from benchmarks.machine import processor

_BATCHES, _ROUNDS, _ACCURACY_BATCH = (1, 8, 32), 7, 4


def main() -> None:
    """Read the options, print the tables as they come."""
    options = _options()
    torch.set_num_threads(1)
    wanted = options.counters
    counters = [c for c in (*ours(), *peers()) if not wanted or any(w in c.name for w in wanted)]
    is_markdown = options.markdown
    print(_machine(counters), flush=True)
    for heading, meaning, tables in _parts(options, counters):
        mark = "## " if is_markdown else "== "
        print(f"\n{mark}{heading}\n\n{meaning}", flush=True)
        for table in tables():
            print(f"\n{table.text(is_markdown=is_markdown)}", flush=True)


def _parts(
    options: argparse.Namespace, counters: list[Counter]
) -> Iterator[tuple[str, str, Callable[[], Iterator[Table]]]]:
    if options.only != "overhead":
        names = options.networks or list(NETWORKS)
        size = options.batch[0] if options.batch else _ACCURACY_BATCH
        yield (
            "Accuracy",
            accuracy.MEANING,
            lambda: accuracy.accuracy_tables(names, counters, size),
        )
    if options.only != "accuracy":
        timed = options.networks or list(TIMED)
        sizes = options.batch or list(_BATCHES)
        yield (
            "Overhead",
            overhead.MEANING,
            lambda: overhead.overhead_tables(timed, counters, sizes, options.rounds),
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting", description=__doc__)
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        help=f"batch sizes; default: {_ACCURACY_BATCH} for accuracy, {_BATCHES} for overhead",
    )
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="rounds of the overhead")
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=list(NETWORKS),
        help=f"default: all for accuracy, {', '.join(TIMED)} for overhead",
    )
    parser.add_argument("--only", choices=("accuracy", "overhead"), help="one of the two parts")
    parser.add_argument("--counters", nargs="+", help="counters whose name holds one of these")
    parser.add_argument("--markdown", action="store_true", help="tables for benchmarks/README.md")
    return parser.parse_args()


def _machine(counters: list[Counter]) -> str:
    distributions = sorted({counter.distribution for counter in counters} - {"torch", "dse"})
    versions = [f"{name} {version(name) or 'not installed'}" for name in distributions]
    if hide_broken_torchvision():
        versions.append(f"torchvision {version('torchvision')} does not load here: hidden from all")
    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} thread, {processor()}, "
        f"Python {platform.python_version()}; {', '.join(versions)}"
    )


if __name__ == "__main__":
    main()
