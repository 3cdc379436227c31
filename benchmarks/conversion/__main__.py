"""Print what a conversion costs and gives in dse, and in the libraries installed.

python -m benchmarks.conversion
"""

from __future__ import annotations

import argparse
import os
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.conversion import counted, sources, tables
from benchmarks.conversion.rules import RULES
from benchmarks.conversion.sources import NETWORKS, Source
from benchmarks.counting.peers import hide_broken_torchvision, version
from benchmarks.counting.tables import Table
from benchmarks.machine import processor
from benchmarks.training.steps import has_amx

_PEERS = ("spikingjelly", "sinabs", "snntorch", "norse")
_PARTS = ("convert", "run", "accuracy", "counted")
_TIMES = (1, 2, 4, 8, 16, 32)


def main() -> None:
    """Read the options, train the sources, print the tables as they come."""
    options = _options()
    warnings.simplefilter("ignore")  # of the libraries, about themselves
    hide_broken_torchvision()
    torch.set_num_threads(1)
    settings = tables.Settings(options.rounds, options.batch, route=options.linear)
    print(_machine(settings), flush=True)
    data = sources.load(options.data, options.data_dir)
    trained = []
    for name in options.net or NETWORKS:
        one = sources.trained(name, data, images=options.images, epochs=options.epochs)
        print(f"{name} on {data.name}: ANN {100 * one.accuracy:.1f} %", flush=True)
        trained.append(one)
    for heading, meaning, made in _parts(options, trained, settings):
        mark = "### " if options.markdown else "== "
        print(f"\n{mark}{heading}\n\n{meaning}", flush=True)
        for table in made:
            print(f"\n{table.text(is_markdown=options.markdown)}", flush=True)
    print(f"\nload average at the end: {_load()}")


def _parts(
    options: argparse.Namespace, trained: list[Source], settings: tables.Settings
) -> Iterator[tuple[str, str, Iterator[Table]]]:
    """Heading, meaning, and the tables, which are measured as they are asked for."""
    asked = options.only or _PARTS
    times = sorted(set(options.read))
    if "convert" in asked:
        made = (tables.convert_table(one, settings) for one in trained)
        yield "Converting", tables.CONVERT_MEANING, made
    if "run" in asked:
        pairs = [(one, steps) for one in trained for steps in options.time_steps]
        made = (tables.run_table(one, steps, settings) for one, steps in pairs)
        yield "Running", tables.RUN_MEANING, made
    if "accuracy" in asked:
        rules = [(one, RULES[name]) for one in trained for name in options.rule]
        made = (tables.accuracy_table(one, rule, times) for one, rule in rules)
        yield "Accuracy", tables.ACCURACY_MEANING, made
    if "counted" in asked:
        made = (counted.counted_table(one, options.time_steps[0], 16) for one in trained)
        yield "Counted", counted.MEANING, made


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description=__doc__)
    add = parser.add_argument
    add("--data", default="digits", help="default: digits, which need no download")
    add("--data-dir", type=Path, help="where the data are, as of a sweep")
    add("--net", nargs="+", choices=list(NETWORKS), help="default: both")
    add("--epochs", type=int, help="of the training of a source; default: 12 on digits, else 2")
    add("--images", type=int, default=1000, help="test images, default 1000 or all there are")
    add("--read", type=int, nargs="+", default=list(_TIMES), help=f"T, default {_TIMES}")
    add("--time-steps", type=int, nargs="+", default=[8, 32], help="T that is timed; default 8 32")
    add("--rule", nargs="+", choices=list(RULES), default=list(RULES), help="default: all")
    add("--batch", type=int, default=64, help="images of a timed run, default 64")
    add("--rounds", type=int, default=9, help="of a table of times, default 9")
    add("--only", nargs="+", choices=_PARTS, help="default: all")
    add(
        "--linear",
        choices=("onednn", "default"),
        default="onednn",
        help="matrix products of all contestants; default onednn",
    )
    add("--markdown", action="store_true", help="tables for benchmarks/README.md")
    return parser.parse_args()


def _machine(settings: tables.Settings) -> str:
    versions = ", ".join(f"{name} {version(name) or 'not installed'}" for name in _PEERS)
    route = "oneDNN" if settings.route == "onednn" and not has_amx() else "PyTorch's default"
    return (
        f"torch {torch.__version__}, 1 thread, processor time, {processor()} "
        f"({torch.backends.cpu.get_cpu_capability()}), Python {platform.python_version()}; "
        f"{versions}\nMatrix products of all: {route}; load average {_load()}"
    )


def _load() -> str:
    """Work that waits for a processor, over 1, 5 and 15 minutes."""
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


if __name__ == "__main__":
    main()
