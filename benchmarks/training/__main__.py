"""Print what a training step and an inference cost in dse, and in the libraries installed.

python -m benchmarks.training
"""

from __future__ import annotations

import argparse
import platform
import warnings
from collections.abc import Iterator

import torch

from benchmarks.counting.peers import version
from benchmarks.counting.tables import Table
from benchmarks.machine import processor
from benchmarks.training import comparison, dynamics, workers
from benchmarks.training.contestants import NotAvailable, contestants
from benchmarks.training.goals import Part
from benchmarks.training.pages import allocator, keep_pages
from benchmarks.training.settings import Settings
from benchmarks.training.steps import has_amx
from benchmarks.training.works import WORKS, Work, with_norm

_ROUNDS, _TIME_STEPS = 15, (1, 4)
_PEERS = ("spikingjelly", "snntorch", "norse", "sinabs")
_PARTS = ("dynamics", "train", "infer", "families", "workers")


def main() -> None:
    """Read the options, print the tables as they come."""
    options = _options()
    warnings.simplefilter("ignore")  # of the libraries, about themselves
    is_kept = options.keep_pages and keep_pages()
    torch.set_num_threads(options.threads)
    settings = Settings(
        rounds=options.rounds,
        threads=options.threads,
        seconds=options.seconds,
        route=options.linear,
        is_tuned=options.tuned_peers,
        bfloat16=options.bfloat16,
    )
    works = [with_norm(WORKS[name], options.norm) for name in options.net or WORKS]
    print(_machine(settings, allocator(is_kept=is_kept)), flush=True)
    for heading, meaning, tables in _parts(options, works, settings):
        mark = "## " if options.markdown else "== "
        print(f"\n{mark}{heading}\n\n{meaning}", flush=True)
        for table in tables:
            print(f"\n{table.text(is_markdown=options.markdown)}", flush=True)


def _parts(
    options: argparse.Namespace, works: list[Work], settings: Settings
) -> Iterator[tuple[str, str, Iterator[Table]]]:
    """Heading, meaning, and the tables, which are measured as they are asked for."""
    asked = options.only or _PARTS[:-1]
    pairs = [(work, steps) for work in works for steps in options.time_steps]
    if "dynamics" in asked:
        yield "Equal dynamics", dynamics.MEANING, _dynamics(pairs, settings)
    if "train" in asked:
        yield "Training", comparison.MEANING, _comparison(pairs, "train", settings)
    if "infer" in asked:
        yield "Inference", "As above, without gradients.", _comparison(pairs, "infer", settings)
    if "families" in asked:
        yield "Families", comparison.FAMILIES_MEANING, _families(works, settings)
    if "workers" in asked:
        yield "Workers and threads", workers.MEANING, _workers(pairs, settings)


def _comparison(pairs: list[tuple[Work, int]], part: Part, settings: Settings) -> Iterator[Table]:
    for work, steps in pairs:
        yield comparison.comparison_table(work, steps, part, settings)


def _families(works: list[Work], settings: Settings) -> Iterator[Table]:
    for work in works:
        yield comparison.families_table(with_norm(work, "batch"), "train", settings)
        yield comparison.families_table(with_norm(work, "batch"), "infer", settings)


def _dynamics(pairs: list[tuple[Work, int]], settings: Settings) -> Iterator[Table]:
    for work, steps in pairs:
        listed = contestants(
            work,
            steps,
            route=settings.route,
            is_tuned=settings.is_tuned,
            bfloat16=settings.bfloat16,
        )
        yield dynamics.dynamics_table(work, steps, listed)


def _workers(pairs: list[tuple[Work, int]], settings: Settings) -> Iterator[Table]:
    for work, steps in pairs:
        try:
            yield workers.workers_table(work, steps, settings)
        except NotAvailable as reason:
            table = Table(f"{work.name}, T = {steps}", ("workers x threads", ""))
            table.add_sentence("dse", str(reason))
            yield table


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    add = parser.add_argument
    add("--net", nargs="+", choices=list(WORKS), help="default: all three")
    add(
        "--time-steps",
        type=int,
        nargs="+",
        default=list(_TIME_STEPS),
        help=f"default: {_TIME_STEPS}",
    )
    add("--only", nargs="+", choices=_PARTS, help="default: all but workers")
    add("--rounds", type=int, default=_ROUNDS, help=f"of a table, default {_ROUNDS}")
    add("--seconds", type=float, help="no round of a table begins after these")
    add("--threads", type=int, default=1, help="default 1; more are timed on the wall")
    add("--bfloat16", action="store_true", help="dse and the floor under autocast")
    add(
        "--linear",
        choices=("onednn", "default"),
        default="onednn",
        help="matrix products of dse, ReLU network and floor; default onednn",
    )
    add(
        "--tuned-peers",
        action="store_true",
        help="give peers the fused Adam and oneDNN as well",
    )
    add("--keep-pages", action="store_true", help="tell malloc to keep what is freed, for all")
    add("--norm", choices=("batch", "none"), help="default: batch in vgg, none in conv and mlp")
    add("--markdown", action="store_true", help="tables for benchmarks/README.md")
    return parser.parse_args()


def _machine(settings: Settings, memory: str) -> str:
    versions = ", ".join(f"{name} {version(name) or 'not installed'}" for name in _PEERS)
    threads = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    clock = "processor time" if settings.threads == 1 else "time on the wall"
    theirs = (
        "fused Adam and oneDNN for peers too"
        if settings.is_tuned
        else "peers as their documentation builds them, matrix products as PyTorch's default"
    )
    mine = "oneDNN" if settings.route == "onednn" and not has_amx() else "PyTorch's default"
    return (
        f"torch {torch.__version__}, {threads}, {clock}, {processor()} "
        f"({torch.backends.cpu.get_cpu_capability()}), Python {platform.python_version()}; "
        f"{versions}\nMatrix products of dse, ReLU network and floor: {mine}; {theirs}; {memory}"
    )


if __name__ == "__main__":
    main()
