"""Learning: whole trainings of a sweep, each epoch kept, so that rules of stopping can be replayed.

python -m benchmarks.search.learning --out curves.jsonl
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch

from dse import inventory
from dse.data.splits import Part, Splits
from dse.recipe import Recipe
from dse.seeding import trial_seed
from dse.space import suggest
from dse.training import machine
from dse.trial import Look, measure_test, run_trial

PROFILE = "cmos45-fp32"
_FASHION = ("data.name=fashion-mnist", "data.samples=6000", "training.batch_size=64")


@dataclass(frozen=True, slots=True)
class Curve:
    """One training to its end.

    accuracies, energies_pj : on validation, of each epoch; the energy from few images
    validation, test, energy_pj : at the end; None if the training failed
    """

    data: str
    sampler: str
    seed: int
    number: int
    variant: str
    accuracies: tuple[float, ...]
    energies_pj: tuple[float, ...]
    validation: float | None
    test: float | None
    energy_pj: float | None
    train_s: float


@dataclass(frozen=True, slots=True)
class Halved(Recipe):
    """The same with images of half the height and width: means of 2 x 2 pixels."""

    def data(self) -> Splits:
        """The data of the sweep, halved."""
        whole = Recipe.data(self)
        parts = {name: _half(getattr(whole, name)) for name in ("train", "validation", "test")}
        return replace(whole, **parts)


def record(data: str, sampler: str, seed: int, designs: int, data_dir: Path) -> Iterator[Curve]:
    """Search without stopping, as the command does: the default designs first."""
    changes = (f"seed={seed}", *(_FASHION if data == "fashion" else ()))
    config = inventory.load_sweep("quickstart", changes)
    recipe = (Halved if data == "fashion" else Recipe)(config, data_dir)
    space = inventory.space(config)
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(designs):
        if number < len(config.variants):
            study.enqueue_trial(space.default(config.variants[number]))
        study.sampler = (
            optuna.samplers.TPESampler(seed=trial_seed(seed, number))
            if sampler == "tpe"
            else optuna.samplers.RandomSampler(seed=trial_seed(seed, number))
        )
        trial = study.ask()
        seen: list[dict[str, Any]] = []

        def judge(epoch: int, look: Look, seen: list[dict[str, Any]] = seen) -> None:
            seen.append(look())

        with tempfile.TemporaryDirectory() as folder:
            done = run_trial(
                suggest(trial, space), number, recipe, Path(folder), worker="w", judge=judge
            )
            test = measure_test(done, recipe, Path(folder)) if done.state == "complete" else None
        energy_pj = done.energy_pj(PROFILE)
        if done.accuracy is None or energy_pj is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, [done.accuracy, energy_pj])
        yield Curve(
            data,
            sampler,
            seed,
            number,
            done.variant,
            tuple(one["metrics"]["validation"]["accuracy"] for one in seen),
            tuple(one["energy"][PROFILE]["total_pj"] for one in seen),
            done.accuracy,
            None if test is None else test["accuracy"],
            energy_pj,
            done.times.get("train_s", 0.0),
        )


def read(path: Path) -> list[Curve]:
    """The curves of a file."""
    return [Curve(**json.loads(line)) for line in path.read_text().splitlines()]


def main() -> None:
    """Train, one line a training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=("digits", "fashion"), default="digits")
    parser.add_argument("--sampler", choices=("tpe", "random"), default="tpe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--designs", type=int, default=60)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine.keep_memory()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    for seed in options.seeds:
        with options.out.open("a") as file:
            for curve in record(
                options.data, options.sampler, seed, options.designs, options.data_dir
            ):
                print(json.dumps(asdict(curve)), file=file, flush=True)


def _half(part: Part) -> Part:
    n, c, height, width = part.images.shape
    images = part.images.reshape(n, c, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    return Part(images, part.labels)


if __name__ == "__main__":
    main()
