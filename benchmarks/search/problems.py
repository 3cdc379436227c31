"""Problems: the data, the space, and the box in which the hypervolume is measured."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dse import inventory
from dse.data.splits import Part, Splits
from dse.recipe import Recipe

HERE = Path(__file__).parent
PROFILE = "cmos45-fp32"


@dataclass(frozen=True, slots=True)
class Problem:
    """One data set with one space.

    file : the sweep file, beside this one
    is_pooled : whether the images are averaged over squares of 2 x 2 pixels
    energy_pj : of the least and the dearest design of the space, rounded outwards: with the most
        time steps, and the error of a guess, they are the box of the hypervolume
    budgets_s : processor seconds at which the methods are compared
    marks_s : processor seconds of the curves
    """

    name: str
    file: str
    is_pooled: bool
    energy_pj: tuple[float, float]
    budgets_s: tuple[float, ...]
    marks_s: tuple[float, ...]
    most_time_steps: int = 8
    guess_error: float = 0.9

    @property
    def path(self) -> Path:
        """The sweep file."""
        return HERE / self.file


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            name="digits",
            file="digits.yaml",
            is_pooled=False,
            energy_pj=(1e4, 1e7),
            budgets_s=(30.0, 90.0),
            marks_s=(5, 10, 20, 30, 40, 60, 90),
        ),
        Problem(
            name="fashion",
            file="fashion.yaml",
            is_pooled=True,
            energy_pj=(3e4, 3e7),
            budgets_s=(240.0,),
            marks_s=(20, 40, 60, 80, 120, 180, 240),
        ),
    )
}


class Pooled(Recipe):
    """A recipe whose images are averaged over squares of 2 x 2 pixels."""

    __slots__ = ()

    def data(self) -> Splits:
        """The data of the sweep, with a quarter of the pixels."""
        return _pooled(super().data())


@functools.lru_cache(maxsize=2)
def _pooled(data: Splits) -> Splits:
    return replace(
        data,
        train=_smaller(data.train),
        validation=_smaller(data.validation),
        test=_smaller(data.test),
        notes=(*data.notes, f"{data.name}: averaged over squares of 2 x 2 pixels"),
    )


def _smaller(part: Part) -> Part:
    n, channels, height, width = part.images.shape
    squares = part.images.reshape(n, channels, height // 2, 2, width // 2, 2)
    return Part(np.ascontiguousarray(squares.mean(axis=(3, 5), dtype=np.float32)), part.labels)


def recipe(
    problem: Problem,
    seed: int,
    data_dir: Path | None,
    preset: str | None = None,
    overrides: Sequence[str] = (),
) -> Recipe:
    """What all trials of one run have in common; the seed also cuts training from validation."""
    config = inventory.load_sweep(problem.path, [f"seed={seed}", *overrides], preset)
    kind = Pooled if problem.is_pooled else Recipe
    return kind(config, data_dir, "cpu")
