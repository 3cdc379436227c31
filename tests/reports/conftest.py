"""A small run, made up: four variants whose accuracy and energy follow a fixed rule."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reports.data import Baseline, Constant, Profile, ReportData, SweepSummary
from reports.pareto import Objective
from reports.record import TrialRecord
from reports.text import EnergyUnits

UNITS = EnergyUnits((("pJ", 1.0), ("nJ", 1e3), ("µJ", 1e6), ("mJ", 1e9)))
OBJECTIVES = (
    Objective("validation_accuracy", "max", "Validation accuracy", "%"),
    Objective("energy_pj_cmos45-fp32", "min", "Energy per inference", "pJ", log=True),
)
VARIANTS = ("ann", "bnn", "snn", "s2nn")
SHARES = {"conv1": 0.42, "conv2": 0.35, "fc1": 0.18, "fc2": 0.05}


def make_record(number: int, **changes: Any) -> TrialRecord:
    """A complete record; `accuracy`, `energy_pj` and any field may be set."""
    accuracy, energy_pj = changes.pop("accuracy", 0.9), changes.pop("energy_pj", 1000.0)
    variant = changes.get("variant", "snn")
    record = TrialRecord(
        number=number,
        state="complete",
        variant=variant,
        design={"variant": variant, "architecture": "lenet", "knobs": {"threshold": 1.0}},
        seed=7,
        metrics={"validation": {"accuracy": accuracy, "samples": 360}, "parameters": 61706},
        energy={"cmos45-fp32": priced(energy_pj)},
        times={"train_s": 12.5},
    )
    return replace(record, **changes)


def priced(total_pj: float | None, *missing: str) -> dict[str, Any]:
    """The energy of a record on one profile."""
    return {
        "total_pj": total_pj,
        "complete": not missing,
        "missing": list(missing),
        "partial_pj": 12.0 if total_pj is None else total_pj,
    }


def random_record(number: int, rng: random.Random) -> TrialRecord:
    """A trial that failed now and then, with energy on two profiles."""
    variant = VARIANTS[number % len(VARIANTS)]
    place, luck = VARIANTS.index(variant), rng.random()
    width = rng.choice([32, 64, 128, 256])
    knobs: dict[str, Any] = {"width": width, "learning_rate": round(rng.uniform(1e-4, 1e-2), 5)}
    if variant in ("snn", "s2nn"):
        knobs |= {"threshold": round(rng.uniform(0.4, 1.6), 3), "surrogate": rng.choice("ab")}
    if variant == "snn":
        knobs["time_steps"] = rng.choice([2, 4, 8])
    energy_pj = width**1.3 * (900, 25, 160, 60)[place] * (0.5 + luck)
    accuracy = 0.975 - 1.2 / width - (0.0, 0.06, 0.02, 0.035)[place] - 0.03 * rng.random()
    design = {"variant": variant, "architecture": "lenet", "knobs": knobs}
    if luck < 0.12:
        reason = "the loss diverged in epoch 3" if place else "no price for mac on loihi"
        state = "failed" if place else "refused"
        return make_record(number, variant=variant, design=design, state=state, reason=reason)
    if luck < 0.2:
        return make_record(
            number, variant=variant, design=design, state="stopped", reason="behind the front"
        )
    chip = priced(None, "fc2: mac: no price") if place == 0 else priced(energy_pj * 0.31)
    samples = {"accuracy": round(accuracy * 360) / 360, "samples": 360}
    return make_record(
        number,
        variant=variant,
        design=design,
        metrics={
            "validation": samples,
            "test": {"accuracy": accuracy - 0.004, "samples": 360},
            "latency_steps": knobs.get("time_steps", 1),
            "parameters": 900 * width,
        },
        energy={"cmos45-fp32": priced(energy_pj), "loihi": chip},
    )


def make_data(trials: int = 40, **changes: Any) -> ReportData:
    """The whole report of a made-up run."""
    rng = random.Random(3)
    records = tuple(random_record(number, rng) for number in range(trials))
    layers = {
        record.key: {
            profile: [
                {"layer": layer, "component": part, "energy_pj": share * of * row["partial_pj"]}
                for layer, share in SHARES.items()
                for part, of in (("compute", 0.7), ("neuron", 0.3))
            ]
            for profile, row in record.energy.items()
        }
        for record in records
        if record.state == "complete"
    }
    data = ReportData(
        run="digits-lenet",
        question="Which network reaches 95 % on the digits for the least energy on 45 nm CMOS?",
        sweep=SweepSummary(VARIANTS, "lenet", "digits, 1,797 images", "20 epochs", 7, "40 trials"),
        objectives=OBJECTIVES,
        profiles=(make_profile("cmos45-fp32"), make_profile("loihi")),
        units=UNITS,
        records=records,
        layers=layers,
        assumptions=("batch normalisation folds into the layer before it",),
        environment={"python": "3.11", "torch": "2.13.0"},
        commands={record.key: f"dse rerun digits-lenet#{record.number}" for record in records},
        remake=("dse run digits-lenet", "dse report runs/digits-lenet"),
        citation=("A. Author, A title, 2025, https://example.org/paper",),
        baselines=(
            Baseline(
                "LeNet-5, published",
                {"validation_accuracy": 0.962, "energy_pj_cmos45-fp32": 9.0e5},
                "A. Author, 2020, Table 2",
            ),
        ),
    )
    return replace(data, **changes)


def make_profile(name: str) -> Profile:
    """Two constants, one of them an assumption."""
    source = "M. Horowitz, ISSCC 2014, Fig. 1.1.9"
    return Profile(
        name,
        "32-bit floating point, operations only",
        "45 nm",
        "0.9 V",
        "fp32",
        source,
        (
            Constant("mac", "4.6", "pJ", "32", "derived", source, "3.7 + 0.9"),
            Constant("ac", "0.9", "pJ", "32", "assumption", "https://example.org/table"),
        ),
        ("charge: mac dense, ac effective",),
    )


def make_converted(
    first: int = 1,
    better: float = 0.0,
    failed: Mapping[tuple[int, int], str] | None = None,
    notes: Mapping[int, tuple[str, ...]] | None = None,
    activation: str = "qcfs",
    **turned: Any,
) -> tuple[TrialRecord, ...]:
    """Two trained sources, each read by one method at three T.

    failed : (number, T) -> why there is no result      notes : number -> of its readings
    """
    accuracies = {first: (0.50, 0.885, 0.89), first + 1: (0.60, 0.87, 0.90)}
    found = []
    for place, (number, curve) in enumerate(accuracies.items()):
        knobs = {"activation": activation, "width": 1.0, "time_steps": 32, **turned}
        own = make_record(
            number,
            variant="converted",
            accuracy=0.88 + better,
            energy_pj=32000.0,
            design={"variant": "converted", "architecture": "lenet", "knobs": knobs},
            notes=("converted: icsnn is a reconstruction: nobody read it",),
        )
        source = 0.89 + 0.02 * place + better
        found.append(replace(own, metrics={**own.metrics, "source_accuracy": source}))
        for reading, (t, accuracy) in enumerate(zip((1, 4, 16), curve, strict=True), 1):
            point = make_record(
                number,
                variant="converted",
                accuracy=accuracy + better,
                energy_pj=t * (1000.0 + 100.0 * place),
                parent=number,
                reading=reading,
                point="read",
                design={**own.design, "knobs": {**knobs, "method": "opi", "time_steps": t}},
                notes=(notes or {}).get(number, ()),
            )
            reason = (failed or {}).get((number, t))
            if reason:
                empty: dict[str, Any] = {"metrics": {}, "energy": {}}
                point = replace(point, state="failed", reason=reason, **empty)
            found.append(point)
    return tuple(found)


@pytest.fixture
def converted() -> Callable[..., tuple[TrialRecord, ...]]:
    return make_converted


@pytest.fixture
def record() -> Callable[..., TrialRecord]:
    return make_record


@pytest.fixture
def report() -> Callable[..., ReportData]:
    return make_data


@pytest.fixture
def units() -> EnergyUnits:
    return UNITS


@pytest.fixture
def objectives() -> tuple[Objective, ...]:
    return OBJECTIVES
