"""Page: what all runs in a folder came to, as tables and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from benchmarks.counting.tables import Table
from benchmarks.search.curves import Curve, curve, geometric_mean, race
from benchmarks.search.problems import PROBLEMS, Problem
from benchmarks.search.rows import Row, read
from reports.figures import COLOURS, MARKERS

OURS = "dse"
Runs = Mapping[str, Mapping[int, Curve]]  # method -> seed -> curve


def show(
    folder: Path, problems: Sequence[str], *, is_markdown: bool, worst_error: float | None = None
) -> None:
    """Print the tables of each problem, and draw its figure into the folder."""
    for name in problems:
        problem = PROBLEMS[name]
        rows = runs_in(folder, problem)
        if not rows:
            continue
        runs = {
            method: {seed: curve(one, problem, worst_error) for seed, one in by_seed.items()}
            for method, by_seed in rows.items()
        }
        tables = [marks_table(problem, runs), counts_table(problem, runs)]
        if OURS in runs:
            tables.append(races_table(problem, runs))
        tables.append(machine_table(rows))
        for table in tables:
            print(f"\n{table.text(is_markdown=is_markdown)}")
        draw(problem, runs, folder / f"{name}.png")


def runs_in(folder: Path, problem: Problem) -> dict[str, dict[int, list[Row]]]:
    """Method -> seed -> rows, of the runs that are complete."""
    found: dict[str, dict[int, list[Row]]] = {}
    for path in sorted(folder.glob(f"{problem.name}-*.csv")):
        rows = read(path)
        if rows:
            found.setdefault(rows[0].method, {})[rows[0].seed] = rows
    return found


def marks_table(problem: Problem, runs: Runs) -> Table:
    """Hypervolume at each mark: mean, lowest and highest of the seeds."""
    table = Table(
        f"{problem.name}: hypervolume on test after so many processor seconds, mean of the seeds "
        "(lowest - highest)",
        ("method", "seeds", *(f"{mark:g} s" for mark in problem.marks_s)),
    )
    for method, curves in runs.items():
        cells = []
        for mark_s in problem.marks_s:
            volumes = [one.at(mark_s).volume for one in curves.values()]
            mean = sum(volumes) / len(volumes)
            cells.append(f"{mean:.3f} ({min(volumes):.3f} - {max(volumes):.3f})")
        table.add(method, str(len(curves)), *cells)
    return table


def counts_table(problem: Problem, runs: Runs) -> Table:
    """How many points the front has, and how many trainings it took."""
    table = Table(
        f"{problem.name}: points of the front on validation / of them not dominated on test / "
        "trainings, mean of the seeds",
        ("method", *(f"{mark:g} s" for mark in problem.marks_s)),
    )
    for method, curves in runs.items():
        cells = []
        for mark_s in problem.marks_s:
            states = [one.at(mark_s) for one in curves.values()]
            front, held, trainings = (
                sum(values) / len(states)
                for values in zip(*((s.front, s.held, s.trainings) for s in states), strict=True)
            )
            cells.append(f"{front:.1f} / {held:.1f} / {trainings:.1f}")
        table.add(method, *cells)
    return table


def races_table(problem: Problem, runs: Runs) -> Table:
    """How many times sooner dse had the hypervolume that another method had at the budget."""
    seeds = sorted(set.intersection(*(set(curves) for curves in runs.values())))
    table = Table(
        f"{problem.name}: budget B of another method over the seconds in which dse had as much "
        "hypervolume; (in brackets: had it for good; < : never had it, at most so)",
        (
            "against",
            *(f"seed {seed}" for seed in seeds),
            "geometric mean",
            "seeds lost",
            "behind at B",
            "front points over theirs",
        ),
    )
    for method, curves in runs.items():
        if method == OURS:
            continue
        for budget_s in problem.budgets_s:
            races = [race(runs[OURS][seed], curves[seed], budget_s) for seed in seeds]
            states = [(runs[OURS][s].at(budget_s), curves[s].at(budget_s)) for s in seeds]
            cells = [
                f"{'' if one.is_reached else '<'}{one.ratio:.2f} "
                f"({'-' if one.lasting is None else f'{one.lasting:.2f}'})"
                for one in races
            ]
            is_bound = any(not one.is_reached for one in races)
            mean = geometric_mean([one.ratio for one in races])
            ours, theirs = (
                sum(state.front for state in side) for side in zip(*states, strict=True)
            )
            table.add(
                f"{method}, B = {budget_s:g} s",
                *cells,
                f"{'<' if is_bound else ''}{mean:.2f}",
                str(sum(one.ratio < 1 or not one.is_reached for one in races)),
                str(sum(our.volume < their.volume for our, their in states)),
                f"{ours / max(1, theirs):.1f}",
            )
    return table


def machine_table(rows: Mapping[str, Mapping[int, Sequence[Row]]]) -> Table:
    """How fast the machine was in each run: the median cost of one fixed piece of work."""
    seeds = sorted({seed for by_seed in rows.values() for seed in by_seed})
    table = Table(
        "milliseconds of the processor for one fixed piece of work, median over the run: seconds "
        "of two runs compare as well as these do",
        ("method", *(f"seed {seed}" for seed in seeds)),
    )
    for method, by_seed in rows.items():
        table.add(
            method,
            *(
                f"{1000 * median(row.unit_s for row in by_seed[seed]):.1f}"
                if seed in by_seed
                else ""
                for seed in seeds
            ),
        )
    return table


def draw(problem: Problem, runs: Runs, path: Path) -> None:
    """Mean over the seeds, and the band from the lowest to the highest."""
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    end_s = max(problem.budgets_s)
    seconds = [end_s * step / 200 for step in range(1, 201)]
    for index, (method, curves) in enumerate(runs.items()):
        volumes = [[one.at(at_s).volume for one in curves.values()] for at_s in seconds]
        colour = COLOURS[index % len(COLOURS)]
        axes.fill_between(
            seconds, [min(v) for v in volumes], [max(v) for v in volumes], color=colour, alpha=0.15
        )
        axes.plot(
            seconds,
            [sum(v) / len(v) for v in volumes],
            color=colour,
            marker=MARKERS[index % len(MARKERS)],
            markevery=25,
            label=f"{method}, {len(curves)} seeds",
        )
    axes.set_xlabel("processor seconds spent (s)")
    axes.set_ylabel("hypervolume on test")
    axes.set_title(f"{problem.name}: front chosen on validation, mean and range of the seeds")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
