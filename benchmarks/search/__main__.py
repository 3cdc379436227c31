"""Run methods until a budget is spent, and print what they came to.

python -m benchmarks.search run --problem digits --methods tpe nsga2 --seeds 0 1 2 --out DIR
python -m benchmarks.search table --out DIR
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.search.problems import PROBLEMS

_SEEDS = (0, 1, 2, 3, 4)


def main() -> None:
    """Read the options."""
    options = _options()
    if options.command == "run":
        _run(options)
    else:
        from benchmarks.search.page import show

        show(options.out, options.problem, is_markdown=options.markdown, worst_error=options.error)


def _run(options: argparse.Namespace) -> None:
    """Each run in a process of its own, one at a time; one whose file is there is left alone."""
    problem = PROBLEMS[options.problem[0]]
    budget_s = options.budget or max(problem.budgets_s)
    for seed in options.seeds:
        for method in options.methods:
            path = options.out / f"{problem.name}-{method}-{seed}.csv"
            if path.exists():
                continue
            if len(options.seeds) * len(options.methods) == 1:
                from benchmarks.search.methods import run

                run(
                    problem,
                    method,
                    seed,
                    path,
                    budget_s=budget_s,
                    data_dir=options.data_dir,
                    overrides=options.overrides,
                )
                continue
            again = [
                *("--problem", problem.name, "--methods", method, "--seeds", str(seed)),
                *("--out", str(options.out), "--budget", str(budget_s)),
                *(["--data-dir", str(options.data_dir)] if options.data_dir else []),
                *(part for one in options.overrides for part in ("--set", one)),
            ]
            print(f"{problem.name}, {method}, seed {seed}", flush=True)
            subprocess.run([sys.executable, "-m", "benchmarks.search", "run", *again], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure; what is there is not measured again")
    run.add_argument("--problem", nargs=1, choices=list(PROBLEMS), required=True)
    run.add_argument("--methods", nargs="+", required=True, help="tpe, nsga2, ... or dse")
    run.add_argument("--seeds", type=int, nargs="+", default=list(_SEEDS))
    run.add_argument("--budget", type=float, help="processor seconds; default: of the problem")
    run.add_argument("--data-dir", type=Path, help="default: download, once")
    run.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=V")
    table = commands.add_parser("table", help="tables and figures of all runs in a folder")
    table.add_argument("--problem", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    table.add_argument("--markdown", action="store_true", help="for benchmarks/README.md")
    table.add_argument("--error", type=float, help="worst error of the box; default: of a guess")
    for command in (run, table):
        command.add_argument("--out", type=Path, required=True, help="folder of the CSV files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
