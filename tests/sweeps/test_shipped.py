"""Shipped sweeps: each loads with the real families, and stands in the table."""

from pathlib import Path

import pytest

from dse.config import SweepConfig, Vocabulary, dump_sweep, load_sweep
from dse.selection import planned
from dse.space import Space
from dse.sweepfile import shipped
from energy_models.shelf import load_profile

README = Path(__file__).parents[2] / "sweeps" / "README.md"


def _vocabulary() -> Vocabulary:
    from dse.architectures import positions
    from dse.data import splits
    from dse.variants import family

    return Vocabulary(
        variants={name: family.load(name).knobs for name in family.names()},
        architectures=tuple(positions.names()),
        data=tuple(splits.names()),
        hardware=load_profile,
    )


def _load(source: str | Path) -> SweepConfig:
    return load_sweep(source, _vocabulary())


def test_some_are_shipped() -> None:
    assert {"quickstart", "smoke"} <= set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_it_loads_and_loads_again_as_it_was(name: str, tmp_path: Path) -> None:
    config = _load(name)
    assert config.name == name
    assert config.question
    copy = tmp_path / "sweep.yaml"
    copy.write_text(dump_sweep(config), encoding="utf-8")
    assert _load(copy) == config


@pytest.mark.parametrize("name", shipped())
def test_the_defaults_of_each_family_lie_in_its_space(name: str) -> None:
    config = _load(name)
    variants = _vocabulary().variants
    knobs = {variant: variants[variant] for variant in config.variants}
    space = Space.of(config.architecture, knobs, config.entries())
    for variant in config.variants:
        searched = dict(space.searched(variant).values())
        assert searched or config.budget.repeats, f"{variant} has nothing to search"
        first = space.default(variant)
        assert all(domain.contains(first[parameter]) for parameter, domain in searched.items())


@pytest.mark.parametrize("name", shipped())
def test_it_stands_in_the_table(name: str) -> None:
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if f"[{name}." in line]
    assert len(rows) == 1
    _, _, _, trials, time, _ = (cell.strip() for cell in rows[0].split("|"))
    config = _load(name)
    known = _vocabulary().variants
    knobs = {variant: known[variant] for variant in config.variants}
    assert trials == str(planned(config, Space.of("", knobs, config.entries())))
    assert time
