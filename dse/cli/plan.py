"""The plan of `dse run --dry-run`: what a sweep searches, what it can reach, and what it costs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from dse.cli import terminal
from dse.cli.progress import duration
from dse.config import SweepConfig
from dse.plan import FamilyPlan, Plan, make_plan
from dse.processes import cores
from dse.recipe import Recipe
from dse.selection import budget_text
from dse.space import Space
from energy_models.bounds import Interval
from energy_models.units import format_count, format_energy


def show_plan(recipe: Recipe, space: Space, *, as_json: bool) -> None:
    """Make the plan of a sweep, and print it.

    What this process has spent so far, on loading code and data, every worker spends as well.
    """
    workers = min(recipe.config.workers, cores())
    plan = make_plan(recipe, space, workers, start_s=time.process_time(), say=terminal.say)
    if as_json:
        terminal.as_json(_document(recipe.config, space, plan))
        return
    config, size = recipe.config, space.size()
    terminal.result(f"{config.name}: {config.question}")
    designs = "a continuum of designs" if size is None else f"{size:,} designs"
    terminal.result(f"space: {designs}, {config.architecture} on {config.data.name}")
    terminal.table(
        ("knob", "domain", "variants"),
        [(row["knob"], row["domain"], row["variants"]) for row in space.describe()],
        left=("knob", "domain", "variants"),
    )
    _show_bounds(config, plan)
    _show_cost(config, space, plan)


def _show_bounds(config: SweepConfig, plan: Plan) -> None:
    sampled = sum(one.designs for one in plan.families.values())
    terminal.result(
        f"bounds before any training, of {sampled} designs spread over the space "
        "(their sizes alone; no bound where values decide what a layer is charged as):"
    )
    terminal.table(
        ("variant", "designs", "latency (steps)", "parameters", *config.hardware),
        [
            (
                variant,
                str(one.designs),
                _range(one.latency_steps, format_count),
                _range(one.parameters, format_count),
                *(_range(one.energy_pj[name], format_energy) for name in config.hardware),
            )
            for variant, one in plan.families.items()
        ],
        left=("variant",),
    )
    if any(one.limit is not None for one in config.objectives):
        terminal.result(f"refused by limits before training: {plan.refused_share:.0%} of them")
    failed = sum(one.failed for one in plan.families.values())
    if failed:
        terminal.result(f"cannot be built: {failed} of them")


def _show_cost(config: SweepConfig, space: Space, plan: Plan) -> None:
    for variant, one in plan.families.items():
        terminal.result(f"one {variant} trial: {_trial(one)}")
    what = f"{plan.trials} trials"
    if config.budget.repeats is not None:
        what = budget_text(config, space)
    terminal.result(
        f"{what}, {plan.workers} at a time: about {plan.cpu_s / 3600:.2g} CPU hours "
        f"({duration(plan.cpu_s)}), {duration(plan.wall_s)} on free cores, with the report"
    )
    terminal.result(
        "assumed: families and knobs are tried evenly; a search drifts to what is better. "
        f"Measured in {duration(plan.calibration_s)}"
    )


def _trial(family: FamilyPlan) -> str:
    if family.trial_s is None:
        return "none can be trained"
    return (
        f"about {duration(family.trial_s)} of a processor on average "
        f"({family.timed} designs were timed)"
    )


def _range(interval: Interval | None, write: Any) -> str:
    if interval is None:
        return "-"
    low, high = (write(end) for end in interval)
    return str(low) if low == high else f"{low} to {high}"


def _document(config: SweepConfig, space: Space, plan: Plan) -> dict[str, Any]:
    return {
        "name": config.name,
        "size": space.size(),
        "space": space.describe(),
        "trial_s": {variant: one.trial_s for variant, one in plan.families.items()},
        "trials": plan.trials,
        "repeats": config.budget.repeats,
        "workers": plan.workers,
        "total_s": plan.wall_s,
        "cpu_hours": plan.cpu_s / 3600,
        "calibration_s": plan.calibration_s,
        "refused_share": plan.refused_share,
        "bounds": {variant: asdict(one) for variant, one in plan.families.items()},
    }
