"""Admission: what is refused before any training, because the data or an untrained network say so.

An objective without a price for what a variant does; data that a variant cannot take; a model of
the user's own that cannot be built.
"""

from __future__ import annotations

from collections.abc import Iterator

from dse import own
from dse.data.splits import Splits
from dse.domain import extremes
from dse.errors import ConfigError, TracingError, TrialFailure
from dse.pricing import by_reason
from dse.sampling import default_design
from dse.sweep import Sweep
from dse.trial import unpriced
from dse.variants import family


def check_data(sweep: Sweep) -> None:
    """Refuse a sweep whose variants cannot take its data: events, or values beyond [0, 1].

    Raises ConfigError with every variant and knob.
    """
    data = sweep.recipe.data()
    refused = [*_of_events(sweep, data), *_of_range(sweep, data)]
    if refused:
        raise ConfigError(refused)


def _of_events(sweep: Sweep, data: Splits) -> Iterator[str]:
    """A step of the network is a step of the data."""
    steps = data.time_steps
    if steps is None:
        return
    for variant in sweep.config.variants:
        if not family.load(variant).takes_events:
            yield (
                f"variants: {variant} takes images, and {data.name} has {steps} frames of events a "
                "sample. Leave it out, or give data with the frames added up"
            )
            continue
        domain = sweep.space.domains[variant].get("time_steps")
        if domain is None or variant == own.VARIANT:
            continue
        if "time_steps" not in sweep.config.space:
            yield (
                f"space: time_steps is missing: {variant} sees the first so many of the {steps} "
                f"frames of {data.name}. Write time_steps: {steps}"
            )
        elif max(float(value) for value in extremes(domain)) > steps:
            yield (
                f"space: time_steps: goes beyond the {steps} frames of {data.name} for {variant}. "
                f"Write {steps} at most"
            )


def _of_range(sweep: Sweep, data: Splits) -> Iterator[str]:
    """Spikes from values take them for probabilities, or compare them with 1/2."""
    images = data.train.images
    low, high = float(images.min()), float(images.max())
    if low >= 0.0 and high <= 1.0:
        return
    for variant, domains in sweep.space.domains.items():
        codings = extremes(domains["encoding"]) if "encoding" in domains else ("direct",)
        if variant != own.VARIANT and set(codings) != {"direct"}:
            yield (
                f"space: encoding: only direct takes the values of {data.name}, which go from "
                f"{low:g} to {high:g}; the others take 0 to 1"
            )


def check_prices(sweep: Sweep) -> list[str]:
    """Refuse a sweep whose objective has no price for what a variant does, before any training.

    Each variant's default design is counted untrained. Returns a line for every profile that is no
    objective and prices a variant in part only.

    Raises ConfigError with every variant and profile.
    """
    config = sweep.config
    needed = {one.hardware for one in config.objectives if one.hardware is not None}
    refused: list[str] = []
    told: list[str] = []
    for variant in config.variants:
        try:
            found = unpriced(default_design(sweep.space, variant), sweep.recipe)
        except (TrialFailure, TracingError) as failure:
            if variant == own.VARIANT:
                refused.append(f"model: {failure}")
                continue
            if isinstance(failure, TracingError):
                raise
            continue  # it will be a failed trial, with its reason
        for profile, texts in found.items():
            line = f'hardware "{profile}" cannot price variant {variant}: {by_reason(texts)}'
            (refused if profile in needed else told).append(line)
    if refused:
        raise ConfigError(refused)
    return told
