"""Recipe: what all trials of a sweep have in common, and where the files of a trial lie."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from dse import usercode
from dse.config import SweepConfig
from dse.data import own as own_data
from dse.data import splits
from dse.data.splits import Splits
from dse.design import Design
from dse.training.settings import TrainingSettings
from dse.variants import family
from reports.record import TrialRecord


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all trials of a sweep have in common.

    data_dir : where the data set lies, None for the download cache     device : `cpu` or `cuda`
    is_rough : networks are finished as fast as can be, for their time or their operations alone
    """

    config: SweepConfig
    data_dir: Path | None = None
    device: str = "cpu"
    is_rough: bool = False

    def data(self) -> Splits:
        """The data of the sweep; read once a process."""
        data = self.config.data
        return _load(
            data.name, data.file, self.data_dir, data.validation, data.samples, self.config.seed
        )

    def fingerprints(self) -> dict[str, str]:
        """Of data and model of the user's own: a run must not go on with others."""
        found = {}
        if self.config.data.file is not None:
            found["data"] = self.data().digest
        if self.config.model is not None:
            found["model"] = usercode.fingerprint(self.config.model)
        return found


@functools.lru_cache(maxsize=2)
def _load(
    name: str,
    file: str | None,
    data_dir: Path | None,
    validation: float,
    samples: int | None,
    seed: int,
) -> Splits:
    if file is not None:
        return own_data.load(name, file, validation=validation, samples=samples, seed=seed)
    return splits.load(name, data_dir=data_dir, validation=validation, samples=samples, seed=seed)


def build(design: Design, data: Splits) -> nn.Module:
    """The untrained network of a design.

    Raises BuildFailure if there can be no such network.
    """
    return family.load(design.variant).build(design, data.input_shape, data.classes)


def finished(
    model: nn.Module, design: Design, recipe: Recipe, seed: int, *, is_rough: bool = False
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network that is measured of a trained one, and what must stand beside its figures.

    It is the trained one itself but for families that say otherwise: see `Variant.finish`.
    design : with what is turned after the training      seed : of the training
    Raises BuildFailure if it cannot be.
    """
    variant = family.load(design.variant)
    if variant.finish is None:
        return model, ()
    values = family.all_values(design)
    settings = settings_of(Design.of(design.variant, design.architecture, values), recipe.config)
    is_rough = is_rough or recipe.is_rough
    lessons = family.Lessons(recipe.data().train, settings, seed, recipe.device, is_rough)
    network, notes = variant.finish(model, values, lessons)
    return network, tuple(f"{design.variant}: {note}" for note in notes)


def at_width(design: Design, width: float) -> Design:
    """The same design of another width."""
    return Design.of(design.variant, design.architecture, {**design.values, "width": width})


def settings_of(design: Design, config: SweepConfig) -> TrainingSettings:
    """How a design is trained."""
    return TrainingSettings(
        **config.training.model_dump(), learning_rate=float(design.values["learning_rate"])
    )


def weights_file(folder: Path, place: int | str) -> Path:
    """Where the weights of a trial lie. place : its number, or another folder below `trials/`"""
    return folder / "trials" / str(place) / "weights.safetensors"


def weights_of(folder: Path, record: TrialRecord) -> Path:
    """Where the weights of a point lie: its own, those of its width, or those of its training."""
    if record.parent is not None:
        if record.point == "trained":
            return weights_file(folder, alone_place(record.number, record.reading or 0))
        width = record.design["knobs"].get("width")
        narrower = weights_file(folder, width_place(record.number, width))
        if narrower.exists():
            return narrower
    return weights_file(folder, record.number)


def width_place(place: int | str, width: object) -> str:
    """Where below `trials/` a narrower network of a training lies."""
    return f"{place}/width-{width}"


def alone_place(number: int, reading: int) -> str:
    """Where below `trials/` a point lies that was trained again by itself."""
    return f"{number}/alone-{reading}"


def checkpoint_file(folder: Path, place: int | str) -> Path:
    """Where a training under way is kept after each epoch; see `weights_file`."""
    return weights_file(folder, place).with_name("checkpoint.safetensors")
