"""Space: the designs that a sweep may try, and how one of them is suggested."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dse.design import Design, Knob, KnobValue
from dse.domain import Choice, Domain, Fixed, SpaceEntry, settle


class Suggesting(Protocol):
    """What proposes values: the part of Optuna's `Trial` that is used here."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number from low to high."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


@dataclass(frozen=True, slots=True)
class Space:
    """The domain of every knob of every network family.

    knobs, domains : network family -> its knobs; network family -> name of a knob -> its values
    """

    architecture: str
    knobs: Mapping[str, tuple[Knob, ...]]
    domains: Mapping[str, Mapping[str, Domain]]

    @classmethod
    def of(
        cls,
        architecture: str,
        variants: Mapping[str, tuple[Knob, ...]],
        entries: Mapping[str, Sequence[SpaceEntry]],
    ) -> Space:
        """The space of a sweep.

        variants : the network families that the sweep lists, with their knobs
        entries : what the sweep says of the knobs, each entry for other families. A knob of which
            it says nothing, or nothing for this family, keeps its default
        """
        domains = {
            variant: {knob.name: _domain(knob, variant, entries) for knob in knobs}
            for variant, knobs in variants.items()
        }
        return cls(architecture, variants, domains)

    @property
    def variants(self) -> tuple[str, ...]:
        """The network families."""
        return tuple(self.domains)

    def size(self) -> int | None:
        """How many designs there are; None = a continuum."""
        sizes = self.sizes()
        finite = [size for size in sizes.values() if size is not None]
        return sum(finite) if len(finite) == len(sizes) else None

    def sizes(self) -> dict[str, int | None]:
        """Network family -> how many designs it has; None = a continuum."""
        return {variant: _product(domains.values()) for variant, domains in self.domains.items()}

    def nth(self, index: int) -> dict[str, KnobValue]:
        """The parameters of the design with this index, of a space with so many designs.

        Families come in their order; within one, the last knob changes fastest.

        Raises IndexError beyond `size()`, or beyond a family that has a continuum.
        """
        for variant, size in self.sizes().items():
            if size is None or index < 0:
                break
            if index < size:
                return self._nth_of(variant, index)
            index -= size
        raise IndexError("there is no such design in the space")

    def all_of(self, variant: str) -> Iterator[dict[str, KnobValue]]:
        """The parameters of every design of a family, one after another; none of a continuum."""
        return (self._nth_of(variant, index) for index in range(self.sizes()[variant] or 0))

    def _nth_of(self, variant: str, index: int) -> dict[str, KnobValue]:
        values: dict[str, KnobValue] = {}
        for parameter, domain in reversed(self.searched(variant).values()):
            index, place = divmod(index, domain.size or 1)
            values[parameter] = domain.nth(place)
        chosen: dict[str, KnobValue] = {"variant": variant} if len(self.variants) > 1 else {}
        return chosen | dict(reversed(values.items()))

    def describe(self) -> list[dict[str, str]]:
        """One row for each domain of a knob, in words: knob, domain, variants."""
        variants = ", ".join(self.variants)
        rows = [{"knob": "variant", "domain": variants, "variants": variants}]
        for knob in dict.fromkeys(knob for domains in self.domains.values() for knob in domains):
            families: dict[Domain, list[str]] = {}
            for variant, domain in self._domains_of(knob).items():
                families.setdefault(domain, []).append(variant)
            for domain, having in families.items():
                rows.append({"knob": knob, "domain": domain.text, "variants": ", ".join(having)})
        return rows

    def searched(self, variant: str) -> dict[str, tuple[str, Domain]]:
        """The knobs of a network family that are not fixed: name -> (name of parameter, domain)."""
        return {
            knob: (self._parameter(variant, knob), domain)
            for knob, domain in self.domains[variant].items()
            if not isinstance(domain, Fixed)
        }

    def default(self, variant: str) -> dict[str, KnobValue]:
        """The parameters of a first trial: each knob's default, or the middle of its domain."""
        defaults = {knob.name: knob.default for knob in self.knobs[variant]}
        chosen: dict[str, KnobValue] = {"variant": variant} if len(self.variants) > 1 else {}
        for knob, (parameter, domain) in self.searched(variant).items():
            default = defaults[knob]
            chosen[parameter] = default if domain.contains(default) else domain.middle()
        return chosen

    def parameters(self, design: Design) -> dict[str, KnobValue] | None:
        """The parameters by which a design is suggested; None if it is none of this space."""
        values = design.values
        if design.variant not in self.domains or design.architecture != self.architecture:
            return None
        chosen: dict[str, KnobValue] = {"variant": design.variant} if len(self.variants) > 1 else {}
        for knob, domain in self.domains[design.variant].items():
            value = values.pop(knob, None)
            if value is None or not domain.contains(value):
                return None
            if not isinstance(domain, Fixed):
                chosen[self._parameter(design.variant, knob)] = value
        return None if values else chosen

    def _domains_of(self, knob: str) -> dict[str, Domain]:
        return {
            variant: domains[knob] for variant, domains in self.domains.items() if knob in domains
        }

    def _parameter(self, variant: str, knob: str) -> str:
        # a sampler must not see two distributions under one name
        return knob if len(set(self._domains_of(knob).values())) == 1 else f"{variant}.{knob}"


def suggest(trial: Suggesting, space: Space) -> Design:
    """A design of the space; the trial is asked only for what can be searched."""
    variant = space.variants[0]
    if len(space.variants) > 1:
        variant = trial.suggest_categorical("variant", space.variants)
    values = {
        knob: domain.value
        for knob, domain in space.domains[variant].items()
        if isinstance(domain, Fixed)
    }
    for knob, (parameter, domain) in space.searched(variant).items():
        values[knob] = _suggest_value(trial, parameter, domain)
    return Design.of(variant, space.architecture, values)


def _suggest_value(trial: Suggesting, name: str, domain: Domain) -> KnobValue:
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, Choice):
        value: KnobValue = trial.suggest_categorical(name, domain.values)
        return value
    low, high, step = domain.low, domain.high, domain.step
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, step=int(step or 1), log=domain.log)
    return trial.suggest_float(name, low, high, step=step, log=domain.log)


def _domain(knob: Knob, variant: str, entries: Mapping[str, Sequence[SpaceEntry]]) -> Domain:
    for entry in entries.get(knob.name, ()):
        if entry.admits(variant):
            return settle(entry.domain, knob)
    return Fixed(knob.default)


def _product(domains: Iterable[Domain]) -> int | None:
    sizes = [domain.size for domain in domains]
    finite = [size for size in sizes if size is not None]
    return math.prod(finite) if len(finite) == len(sizes) else None
