"""Designs spread evenly over a space, without a search."""

from dse import inventory
from dse.sampling import default_design, sample
from dse.space import Space


def space(*overrides: str) -> Space:
    return inventory.space(inventory.load_sweep("smoke", list(overrides)))


def test_the_default_design_has_all_defaults() -> None:
    found = default_design(space(), "snn")
    assert (found.variant, found.values["threshold"], found.values["leak"]) == ("snn", 1.0, 0.9)


def test_designs_are_spread_over_the_space() -> None:
    wide = space("space.width={log_range: [0.1, 1.6]}")
    designs = sample(wide, "snn", 16)
    assert len(set(designs)) == 16
    widths = sorted(float(one.values["width"]) for one in designs)
    # as many in each of four octaves, up to one
    octaves = [
        sum(0.1 * 2**low <= width < 0.1 * 2 ** (low + 1) for width in widths) for low in range(4)
    ]
    assert all(3 <= one <= 5 for one in octaves)
    assert {one.values["time_steps"] for one in designs} == {1, 2, 3}
    assert designs == sample(wide, "snn", 16)


def test_a_family_without_choice_has_one_design() -> None:
    assert len(sample(space("space.learning_rate=0.01"), "ann", 16)) == 1
