"""The space: what is suggested lies in it; sizes by pencil; first trials."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.design import Design, Knob
from dse.domain import Choice, Domain, Fixed, Range, SpaceEntry
from dse.space import Space, suggest

WIDTH = Knob("width", "float", 1.0, "", 0.05, 16.0)
STEPS = Knob("time_steps", "int", 4, "", 1, 64)
RESET = Knob("reset", "choice", "soft", "", choices=("soft", "hard"))
VARIANTS = {"ann": (WIDTH,), "snn": (WIDTH, STEPS, RESET), "s2nn": (WIDTH, STEPS)}


class FakeTrial:
    """Draws at random, and notes what it was asked."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.asked: dict[str, tuple[object, ...]] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        assert isinstance(low, float)
        assert isinstance(high, float)
        assert step is None or not log
        self.asked[name] = (low, high, step, log)
        if step is None:
            return self._random.uniform(low, high)
        return min(low + step * self._random.randint(0, round((high - low) / step)), high)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        assert isinstance(low, int)
        assert isinstance(high, int)
        self.asked[name] = (low, high, step, log)
        return self._random.randrange(low, high + 1, step)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked[name] = tuple(choices)
        return self._random.choice(choices)


def _space(entries: dict[str, SpaceEntry], *variants: str) -> Space:
    families = {name: VARIANTS[name] for name in variants or VARIANTS}
    return Space.of("mlp", families, {knob: (entry,) for knob, entry in entries.items()})


def test_a_knob_that_is_not_named_keeps_its_default() -> None:
    trial = FakeTrial(0)
    design = suggest(trial, _space({}, "snn"))
    assert design == Design.of("snn", "mlp", {"width": 1.0, "time_steps": 4, "reset": "soft"})
    assert trial.asked == {}  # a single variant and fixed knobs leave nothing to ask


def test_only_what_can_be_searched_is_asked() -> None:
    entries = {
        "width": SpaceEntry(Range(1, 2)),
        "time_steps": SpaceEntry(Range(2, 8, step=2)),
        "reset": SpaceEntry(Fixed("hard")),
    }
    trial = FakeTrial(0)
    design = suggest(trial, _space(entries, "snn"))
    assert trial.asked == {"width": (1.0, 2.0, None, False), "time_steps": (2, 8, 2, False)}
    assert design.values["reset"] == "hard"


def test_several_variants_are_a_choice_and_lack_what_they_lack() -> None:
    trial = FakeTrial(0)
    space = _space({"time_steps": SpaceEntry(Range(1, 8))}, "ann", "snn")
    designs = {suggest(trial, space).variant: suggest(FakeTrial(1), space) for _ in range(20)}
    assert trial.asked["variant"] == ("ann", "snn")
    assert set(designs) == {"ann", "snn"}
    assert all(
        set(design.values) == {knob.name for knob in VARIANTS[design.variant]}
        for design in designs.values()
    )


def test_when_gives_the_parameter_the_name_of_its_variant() -> None:
    space = _space({"time_steps": SpaceEntry(Range(1, 8), ("snn",))})
    assert space.domains["s2nn"]["time_steps"] == Fixed(4)
    assert space.searched("snn") == {"time_steps": ("snn.time_steps", Range(1, 8))}
    assert space.default("snn") == {"variant": "snn", "snn.time_steps": 4}
    shared = _space({"time_steps": SpaceEntry(Range(1, 8))})
    assert shared.searched("snn") == shared.searched("s2nn")
    assert shared.searched("snn") == {"time_steps": ("time_steps", Range(1, 8))}


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (Range(1, 8), 4),  # the default is inside
        (Range(5, 8), 6),  # 6.5, rounded to even
        (Range(9, 64, log=True), 24),  # sqrt(9 x 64)
        (Choice((1, 2, 3)), 2),
    ],
)
def test_the_first_trial_takes_the_default_or_the_middle(domain: Domain, value: int) -> None:
    space = _space({"time_steps": SpaceEntry(domain)}, "snn")
    assert space.default("snn") == {"time_steps": value}


def test_size() -> None:
    finite = {
        "width": SpaceEntry(Choice((1, 2, 4))),
        "time_steps": SpaceEntry(Range(1, 8)),
        "reset": SpaceEntry(Choice(("soft", "hard"))),
    }
    # ann: 3 widths; snn: 3 x 8 steps x 2 resets; s2nn: 3 x 8 steps
    assert _space(finite).size() == 3 + 3 * 8 * 2 + 3 * 8
    assert _space({}).size() == 3
    assert _space({"width": SpaceEntry(Range(0.5, 2.0))}).size() is None


def test_a_list_of_entries_says_something_else_to_each_family() -> None:
    entries = {"width": (SpaceEntry(Fixed(2), ("ann",)), SpaceEntry(Choice((3, 4)), ("snn",)))}
    space = Space.of("mlp", VARIANTS, entries)
    assert [space.domains[variant]["width"] for variant in VARIANTS] == [
        Fixed(2.0),
        Choice((3.0, 4.0)),
        Fixed(1.0),  # nobody speaks of s2nn: the default
    ]


def test_designs_are_numbered_families_in_order_and_the_last_knob_fastest() -> None:
    entries = {
        "width": SpaceEntry(Range(0.1, 0.3, step=0.1)),
        "time_steps": SpaceEntry(Choice((2, 8)), ("snn",)),
    }
    space = _space(entries)
    assert [space.nth(index) for index in range(5)] == [
        {"variant": "ann", "width": 0.1},
        {"variant": "ann", "width": 0.2},
        {"variant": "ann", "width": 0.3},  # in decimals, not 0.30000000000000004
        {"variant": "snn", "width": 0.1, "snn.time_steps": 2},
        {"variant": "snn", "width": 0.1, "snn.time_steps": 8},
    ]
    assert space.nth(11) == {"variant": "s2nn", "width": 0.3}
    for beyond in (-1, 12):
        with pytest.raises(IndexError):
            space.nth(beyond)
    assert _space({}, "ann").nth(0) == {}


def test_a_continuum_has_no_numbered_designs() -> None:
    with pytest.raises(IndexError):
        _space({"width": SpaceEntry(Range(0.5, 2.0))}).nth(0)


def test_describe() -> None:
    entries = {
        "width": SpaceEntry(Range(0.25, 2.0, log=True)),
        "time_steps": SpaceEntry(Range(1, 8), ("snn",)),
    }
    assert [tuple(row.values()) for row in _space(entries).describe()] == [
        ("variant", "ann, snn, s2nn", "ann, snn, s2nn"),
        ("width", "0.25 to 2.0, log scale", "ann, snn, s2nn"),
        ("time_steps", "1 to 8", "snn"),
        ("time_steps", "4", "s2nn"),
        ("reset", "soft", "snn"),
    ]


WIDTHS = st.one_of(
    st.tuples(st.floats(0.05, 1), st.floats(1, 16), st.booleans()).map(
        lambda ends: Range(ends[0], ends[1], log=ends[2])
    ),
    st.integers(1, 7).map(lambda steps: Range(0.1, round(0.1 + 0.2 * steps, 1), step=0.2)),
    st.lists(st.integers(1, 16), min_size=1, max_size=4, unique=True).map(
        lambda values: Choice(tuple(values))
    ),
    st.integers(1, 16).map(Fixed),
)
TIMES = st.one_of(
    st.tuples(st.integers(1, 8), st.integers(8, 64), st.booleans()).map(
        lambda ends: Range(ends[0], ends[1], log=ends[2])
    ),
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(0, 6)).map(
        lambda walk: Range(walk[0], walk[0] + walk[1] * walk[2], step=walk[1])
    ),
)
FAMILIES = st.one_of(st.none(), st.just(("snn",)), st.just(("snn", "s2nn")))


@given(width=WIDTHS, times=TIMES, families=FAMILIES, seed=st.integers(0, 2**32))
def test_every_suggested_design_lies_in_the_space(
    width: Domain, times: Domain, families: tuple[str, ...] | None, seed: int
) -> None:
    space = _space({"width": SpaceEntry(width), "time_steps": SpaceEntry(times, families)})
    trial = FakeTrial(seed)
    design = suggest(trial, space)
    domains = space.domains[design.variant]
    assert set(design.values) == set(domains)
    assert all(domains[knob].contains(value) for knob, value in design.values.items())
    assert isinstance(design.values["width"], float)
    assert Design.from_dict(design.to_dict()) == design
    asked = set(trial.asked)
    assert asked == set(space.default(design.variant))
    for knob, (parameter, domain) in space.searched(design.variant).items():
        assert domain.contains(space.default(design.variant)[parameter]), knob


@given(
    times=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(0, 6)).map(
        lambda walk: Range(walk[0], walk[0] + walk[1] * walk[2], step=walk[1])
    ),
    width=WIDTHS.filter(lambda domain: domain.size is not None),
    families=FAMILIES,
)
def test_every_design_has_one_number(
    times: Domain, width: Domain, families: tuple[str, ...] | None
) -> None:
    optuna = pytest.importorskip("optuna")
    space = _space({"width": SpaceEntry(width), "time_steps": SpaceEntry(times, families)})
    size = space.size()
    assert size is not None
    designs = [suggest(optuna.trial.FixedTrial(space.nth(index)), space) for index in range(size)]
    assert len(set(designs)) == size
    assert all(
        space.domains[design.variant][knob].contains(value)
        for design in designs
        for knob, value in design.values.items()
    )


def test_optuna_takes_every_parameter_as_it_is() -> None:
    optuna = pytest.importorskip("optuna")
    entries = {
        "width": SpaceEntry(Range(0.1, 0.7, step=0.2)),
        "time_steps": SpaceEntry(Range(2, 8, step=2), ("snn",)),
        "reset": SpaceEntry(Choice(("soft", "hard"))),
    }
    space = _space(entries)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for variant in space.variants:
        study.enqueue_trial(space.default(variant))
    for variant in space.variants:
        trial = study.ask()
        assert suggest(trial, space).variant == variant
        assert trial.params == space.default(variant)
    for _ in range(30):
        design = suggest(study.ask(), space)
        domains = space.domains[design.variant]
        assert all(domains[knob].contains(value) for knob, value in design.values.items())
