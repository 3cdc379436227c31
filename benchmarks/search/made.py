"""Made: records as a sweep would leave them, to measure all that is around a training."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from optuna.trial import FixedTrial

from benchmarks.search.problems import PROBLEMS, PROFILE, recipe
from dse import inventory, study
from dse.config import SweepConfig, dump_sweep
from dse.counting.count import count
from dse.design import Design
from dse.pricing import price
from dse.recipe import Recipe, build
from dse.runfolder import RunFolder
from dse.seeding import trial_seed
from dse.space import suggest
from dse.sweep import Sweep
from dse.trial import FEW_SAMPLES
from reports.record import TrialRecord

_COUNTED = 64  # networks


def made_sweep(folder: Path, *overrides: str, storage: str | None = None) -> Sweep:
    """The sweep of the digits with some changes, in a folder, ready for `study.begin`."""
    common = recipe(PROBLEMS["digits"], 0, None, overrides=overrides)
    run_folder = RunFolder(folder)
    run_folder.begin(dump_sweep(common.config), storage=storage)
    return Sweep(run_folder, common, inventory.space(common.config), storage)


def made_record(design: Design, number: int, config: SweepConfig, **more: Any) -> TrialRecord:
    """What a training of this design might have come to: the same for the same design."""
    width, steps = float(design.values["width"]), int(design.values["time_steps"])
    digest = hashlib.sha256(json.dumps(design.to_dict(), sort_keys=True).encode()).digest()
    luck = int.from_bytes(digest[:4], "big") / 2**32
    accuracy = 1 - 0.3 * math.exp(-width - 0.2 * steps) - 0.02 * luck
    energy_pj = 3e4 * width**1.5 * steps * (1 + 0.1 * luck)
    return TrialRecord(
        number=number,
        state="complete",
        variant=design.variant,
        design=design.to_dict(),
        seed=trial_seed(config.seed, number),
        metrics={
            "validation": {"accuracy": accuracy, "samples": 359},
            "test": None,
            "latency_steps": steps,
            "parameters": int(10_000 * width),
            "spikes": 100.0 * width * steps,
        },
        energy={
            PROFILE: {
                "total_pj": energy_pj,
                "complete": True,
                "missing": [],
                "partial_pj": energy_pj,
            }
        },
        times={"started": "2026-01-01T00:00:00+00:00", "train_s": 1.0, "total_s": 1.0},
        **more,
    )


@contextmanager
def without_training(sweep: Sweep, begun: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Inside, the study gets the record of a training at once. begun : called for each"""

    def at_once(
        design: Design, number: int, common: Recipe, folder: Path, **given: Any
    ) -> TrialRecord:
        begun()
        kept = {name: given[name] for name in ("worker", "optuna_number")}
        return made_record(design, number, common.config, **kept)

    whole: Any = study
    before = whole.run_trial
    whole.run_trial = at_once
    try:
        yield
    finally:
        whole.run_trial = before


def fill(sweep: Sweep, trainings: int, readings: int) -> None:
    """Put records into the folder of a sweep, as if one worker had trained so many designs.

    readings : points of each training beside it, at fewer time steps. Every point has a count
        document, of an untrained network of one of some designs, and the energy that it gives
    """
    counted: dict[tuple[int, int], tuple[str, Mapping[str, Any]]] = {}
    records = []
    for number in range(trainings):
        design = _design(sweep, number, most_steps=readings + 1 if readings else None)
        shape = number % max(1, _COUNTED // (readings + 1))
        most = int(design.values["time_steps"])
        for steps in (most, *range(1, readings + 1)):
            key = (shape, steps)
            if key not in counted:
                counted[key] = _counted(_with_steps(_design(sweep, shape, most), steps), sweep)
            document, energy = counted[key]
            reading = None if steps == most else steps
            name = "counts.json" if reading is None else f"counts-{reading}.json"
            file = Path("trials") / str(number) / name
            (sweep.folder.path / file).parent.mkdir(parents=True, exist_ok=True)
            (sweep.folder.path / file).write_text(document)
            record = made_record(
                _with_steps(design, steps), number, sweep.config, counts_file=str(file)
            )
            about: dict[str, Any] = {"parent": number, "reading": reading, "point": "read"}
            records.append(replace(record, energy=energy, **(about if reading else {})))
    with sweep.folder.lock():
        sweep.folder.append(*records)


def _with_steps(design: Design, steps: int) -> Design:
    knobs = {**design.values, "time_steps": steps}
    return Design.of(design.variant, design.architecture, knobs)


def _design(sweep: Sweep, number: int, most_steps: int | None) -> Design:
    """Some design; the same for the same number."""
    generator = torch.Generator().manual_seed(number)
    width, threshold, leak, rate, steps = torch.rand(5, generator=generator).tolist()
    own = {
        "width": 0.25 * 12**width,
        "threshold": 0.3 * 10**threshold,
        "leak": 0.5 + 0.5 * leak,
        "learning_rate": 0.001 * 30**rate,
        "time_steps": most_steps or 1 + int(8 * steps),
    }
    return suggest(FixedTrial({**sweep.space.default("snn"), **own}), sweep.space)


def _counted(design: Design, sweep: Sweep) -> tuple[str, Mapping[str, Any]]:
    """The count document of the untrained network of a design, and its price."""
    data = sweep.recipe.data()
    torch.manual_seed(0)
    model = build(design, data)
    counts = count(model.eval(), torch.from_numpy(data.validation.images[:FEW_SAMPLES]))
    return json.dumps(counts.to_dict()) + "\n", price(counts, sweep.config.hardware)
