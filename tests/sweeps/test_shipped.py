"""Shipped sweeps: each loads with the real families, and stands in the table."""

from pathlib import Path

import pytest

from dse.config import SweepConfig, Vocabulary, dump_sweep, load_sweep
from dse.selection import planned
from dse.space import Space
from dse.sweepfile import presets, shipped
from energy_models.shelf import load_profile

AT_ONCE = ("quickstart", "smoke")
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
        readings={name: family.load(name).readings for name in family.names()},
    )


def _load(source: str | Path, preset: str | None = None) -> SweepConfig:
    return load_sweep(source, _vocabulary(), preset=preset)


def test_some_are_shipped() -> None:
    assert {"quickstart", "smoke", "s2nn_fashion_mnist", "s2nn_cifar10"} <= set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_it_loads_and_loads_again_as_it_was(name: str, tmp_path: Path) -> None:
    config = _load(name)
    assert config.name == name
    assert config.question
    copy = tmp_path / "sweep.yaml"
    copy.write_text(dump_sweep(config), encoding="utf-8")
    assert _load(copy) == config


@pytest.mark.parametrize(
    ("name", "preset"), [(name, preset) for name in shipped() for preset in presets(name)]
)
def test_a_preset_of_it_is_its_question_with_less_work(
    name: str, preset: str, tmp_path: Path
) -> None:
    whole, part = _load(name), _load(name, preset)
    assert part.name == f"{name}-{preset}"
    same = ("question", "variants", "architecture", "objectives", "hardware")
    assert all(getattr(part, key) == getattr(whole, key) for key in same)
    assert part.data.name == whole.data.name
    copy = tmp_path / "sweep.yaml"
    copy.write_text(dump_sweep(part), encoding="utf-8")
    assert _load(copy) == part


@pytest.mark.parametrize("name", [name for name in shipped() if name not in AT_ONCE])
def test_what_takes_hours_has_a_small_preset_and_says_what_was_not_measured(name: str) -> None:
    assert "small" in presets(name)
    header = (
        (README.parent / f"{name}.yaml").read_text(encoding="utf-8").split("\nname:")[0].strip()
    )
    assert all(line.startswith("#") for line in header.splitlines())
    assert "GPU" in header
    assert "2 cores" in header


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
