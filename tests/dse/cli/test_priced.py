"""Intervals and baselines as they are printed: notes and columns that only some of them have."""

from dataclasses import dataclass
from types import SimpleNamespace

from dse.cli import priced
from energy_models import LayerCounts, ModelCounts, OpCounts, estimate, load_profile

COUNTS = ModelCounts(
    samples=1, layers=(LayerCounts("fc", "linear", ops=OpCounts(ac=60, dense_ac=400)),)
)


@dataclass(frozen=True)
class Breakdown:
    """What `print_intervals` asks of an energy."""

    intervals: object
    partial_pj: float = 12.0
    complete: bool = True

    def by_component(self):
        return {"synaptic_compute": self.partial_pj}


def intervals(**more):
    one = SimpleNamespace(low_pj=10.0, median_pj=14.0, high_pj=20.0)
    return SimpleNamespace(
        components={"synaptic_compute": one},
        total=one,
        drawn={"energy.ac": (0.1, 0.2)},
        fixed=(),
        draws=7,
        seed=3,
        **more,
    )


def test_a_total_at_an_end_of_its_interval_is_told(capsys):
    profile = load_profile("truenorth")
    priced.print_intervals(Breakdown(intervals(at_an_end=("one", "two"))), profile)
    told = capsys.readouterr().out
    assert "the total as priced lies at an end of it, or outside: one; two" in told
    assert "total" in told and "10 pJ" in told and "14 pJ" in told and "20 pJ" in told
    priced.print_intervals(Breakdown(intervals(at_an_end=())), profile)
    assert "lies at an end" not in capsys.readouterr().out


def test_nothing_is_printed_of_intervals_that_nobody_asked_for(capsys):
    priced.print_intervals(Breakdown(None), load_profile("truenorth"))
    assert capsys.readouterr().out == ""


def test_units_stand_beside_what_was_drawn_and_what_was_not(capsys):
    profile = load_profile("truenorth")
    priced.print_intervals(estimate(COUNTS, profile, uncertainty=True, seed=4), profile)
    told = capsys.readouterr().out
    assert "drawn 1000 times, seed 4: energy.ac: 2.208 to 2.385 pJ; " in told
    assert "power.static: 63.8 to 65.1 mW" in told
