import pytest

from dse.design import Design, Knob
from dse.errors import BuildFailure, ConfigError
from dse.variants import family
from dse.variants.family import knob_values

KNOBS = (
    Knob("steps", "int", 4, "", 1, 64),
    Knob("leak", "float", 0.9, "", 0.0, 1.0),
    Knob("reset", "choice", "soft", "", choices=("soft", "hard")),
)


def test_defaults_are_filled_in() -> None:
    design = Design.of("x", "mlp", {"leak": 1})
    assert knob_values(design, KNOBS) == {"steps": 4, "leak": 1, "reset": "soft"}


def test_every_mistake_is_named() -> None:
    design = Design.of("x", "mlp", {"laek": 1.0, "leak": 1.5, "reset": "sotf", "steps": 2.5})
    with pytest.raises(BuildFailure) as refusal:
        knob_values(design, KNOBS)
    assert str(refusal.value).splitlines() == [
        'x: laek: unknown knob. Did you mean "leak"?',
        "x: leak: 1.5: must be between 0.0 and 1.0",
        'x: reset: "sotf": must be soft or hard',
        "x: steps: 2.5: must be a number of kind int",
    ]


@pytest.mark.parametrize("value", [float("nan"), "4", True])
def test_what_is_no_number_is_refused(value: float | str) -> None:
    for name in ("steps", "leak"):
        with pytest.raises(BuildFailure, match=f"x: {name}: {value}: must be"):
            knob_values(Design.of("x", "mlp", {name: value}), KNOBS)


def test_names_are_the_files() -> None:
    assert {"ann", "bnn", "qann", "s2nn", "snn"} <= set(family.names())
    with pytest.raises(ConfigError, match=r'variants: "sn" is unknown\. Did you mean "snn"'):
        family.load("sn")


def test_each_file_says_its_own_name_and_sensible_defaults() -> None:
    assert family.names()
    for name in family.names():
        variant = family.load(name)
        assert variant.name == name
        assert {"width", "depth", "learning_rate"} <= {knob.name for knob in variant.knobs}
        assert len({knob.name for knob in variant.knobs}) == len(variant.knobs)
        defaults = {knob.name: knob.default for knob in variant.knobs}
        assert knob_values(Design.of(name, "mlp", defaults), variant.knobs) == defaults
        assert variant.knob("width") == family.WIDTH
        assert variant.knob("nothing") is None


@pytest.mark.parametrize("architecture", ["mlp", "convnet"])
def test_the_depth_of_an_architecture_is_its_own_unless_a_design_says(architecture: str) -> None:
    silent, spoken = (
        family.positions(design, knob_values(design, family.COMMON_KNOBS), (1, 8, 8), 10)
        for design in (Design.of("x", architecture, knobs) for knobs in ({}, {"depth": 2}))
    )
    assert silent == spoken
    with pytest.raises(BuildFailure, match="x: depth: -1: must be between 0 and 8"):
        knob_values(Design.of("x", architecture, {"depth": -1}), family.COMMON_KNOBS)
