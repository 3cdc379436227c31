"""What stopping saves, and what it loses: rules replayed on whole trainings.

python -m benchmarks.search.stopping curves.jsonl

One worker takes the designs in the order of the file; every rule sees the same designs. What a
sampler would propose otherwise, because it is told of stopped trainings, a replay cannot say.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks.counting.tables import Table
from benchmarks.search.learning import Curve, read
from dse.stopping import Entry, Rule, promotable, why_stopped
from reports.pareto import Objective, hypervolume, non_dominated

GOALS = ("max", "min")
OBJECTIVES = (
    Objective("validation_accuracy", "max", "validation accuracy", "%"),
    Objective("energy_pj", "min", "energy", "pJ", log=True),
)
DEAREST_PJ = {"digits": 1e7, "fashion": 1e8}
GUESS = 0.1
GOOD = 0.9  # share of the best accuracy from which the upper hypervolume is measured


@dataclass(slots=True)
class Replay:
    """A sweep under a rule.

    epochs : trained, of each training that was begun, by its number
    """

    rule: Rule
    curves: Sequence[Curve]
    is_promoting: bool = True
    epochs: dict[int, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    stopped: set[int] = field(default_factory=set)

    def run(self) -> Replay:
        """Every training, and each that is promoted."""
        for number in range(len(self.curves)):
            self._promote()
            self._train(number, 0)
        self._promote()
        return self

    def _promote(self) -> None:
        while self.is_promoting:
            numbers = promotable(self.entries, self.stopped, self.rule)
            if not numbers:
                return
            self.stopped.discard(numbers[0])
            self._train(numbers[0], self.epochs[numbers[0]])

    def _train(self, number: int, done: int) -> None:
        curve = self.curves[number]
        last = len(curve.accuracies)
        for epoch in self.rule.rungs(last):
            if epoch <= done:
                continue
            energy_pj = curve.energies_pj[epoch - 1]
            entry = Entry(number, epoch, (curve.accuracies[epoch - 1], energy_pj), energy_pj)
            reason = why_stopped(entry, self.entries, self.rule, last)
            self.entries.append(entry)
            if reason is not None:
                self.stopped.add(number)
                self.epochs[number] = epoch
                return
        self.epochs[number] = last


def volume(curves: Sequence[Curve], least: float) -> float:
    """Hypervolume on test of the front that validation chose."""
    whole = [c for c in curves if c.validation is not None and c.test and c.energy_pj]
    if not whole:
        return 0.0
    chosen = np.array([(c.validation, math.log10(c.energy_pj or 1)) for c in whole])
    measured = np.array([(c.test, math.log10(c.energy_pj or 1)) for c in whole])
    reference = np.array([least, math.log10(DEAREST_PJ[whole[0].data])])
    return hypervolume(measured[non_dominated(chosen, GOALS)], GOALS, reference)


def measured(replay: Replay) -> dict[str, float]:
    """Shares of a sweep without stopping: epochs, seconds, hypervolumes."""
    curves = replay.curves
    whole = [c for c in curves if c.number not in replay.stopped]
    epochs = [len(c.accuracies) for c in curves]
    used = sum(replay.epochs.values())
    seconds = sum(c.train_s * replay.epochs[c.number] / max(1, len(c.accuracies)) for c in curves)
    alike = [c for c, done in zip(curves, np.cumsum(epochs), strict=True) if done <= used]
    upper = GOOD * max(c.test or 0.0 for c in curves)
    return {
        "epochs": used / sum(epochs),
        "seconds": seconds / sum(c.train_s for c in curves),
        "volume": volume(whole, GUESS) / volume(curves, GUESS),
        "upper": volume(whole, upper) / volume(curves, upper),
        "volume, equal": volume(whole, GUESS) / volume(alike, GUESS),
        "upper, equal": volume(whole, upper) / volume(alike, upper),
    }


def rules() -> Iterator[tuple[str, Rule, bool]]:
    """The rules that are compared: how each is called, the rule, and whether it promotes."""
    for similar in (9, 0, 5, 15):
        for factor in (3, 2, 4):
            for first in (1, 2, 3):
                rule = Rule(first, factor, OBJECTIVES, similar=similar)
                neighbours = f"{similar} neighbours" if similar else "rank alone"
                yield f"first {first}, factor {factor}, {neighbours}", rule, True
    yield "first 1, factor 3, 9 neighbours, none promoted", Rule(1, 3, OBJECTIVES), False
    yield "first 1, factor 3, 9 neighbours, few 5", Rule(1, 3, OBJECTIVES, few=5), True


def table(title: str, groups: Sequence[Sequence[Curve]]) -> Table:
    """A row a rule: mean over the sweeps, and the worst of them."""
    made = Table(
        title,
        (
            "rule",
            "epochs",
            "seconds",
            "volume",
            "worst",
            "upper",
            "worst",
            "volume, equal epochs",
            "upper, equal epochs",
        ),
    )
    for name, rule, is_promoting in rules():
        found = [measured(Replay(rule, curves, is_promoting).run()) for curves in groups]

        def mean(key: str, found: Sequence[dict[str, float]] = found) -> float:
            return float(np.mean([one[key] for one in found]))

        made.add(
            name,
            f"{mean('epochs'):.2f}",
            f"{mean('seconds'):.2f}",
            *(
                text
                for key in ("volume", "upper")
                for text in (f"{mean(key):.3f}", f"{min(one[key] for one in found):.3f}")
            ),
            f"{mean('volume, equal'):.3f}",
            f"{mean('upper, equal'):.3f}",
        )
    return made


def main() -> None:
    """Replay every rule on the sweeps of some files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", help="of these seeds alone")
    parser.add_argument("--designs", type=int, help="the first so many of each sweep")
    options = parser.parse_args()
    curves = [curve for file in options.files for curve in read(file)]
    curves.sort(key=lambda c: (c.data, c.sampler, c.seed, c.number))
    for (data, sampler), kind in groupby(curves, key=lambda c: (c.data, c.sampler)):
        sweeps = [list(one)[: options.designs] for _, one in groupby(kind, key=lambda c: c.seed)]
        sweeps = [s for s in sweeps if not options.seeds or s[0].seed in options.seeds]
        if sweeps:
            parts = ", ".join(f"{s[0].seed} ({len(s)} designs)" for s in sweeps)
            title = f"{data}, proposed by {sampler}, seeds {parts}"
            print(f"\n{table(title, sweeps).text(is_markdown=True)}", flush=True)


if __name__ == "__main__":
    main()
