"""Misused words: each with its message, whatever the shape of the rest."""

from typing import Any

import pytest

from dse.design import Knob
from dse.vocabulary import Vocabulary, is_priced, misused_words
from energy_models.errors import ProfileError

WIDTH = Knob("width", "float", 1.0, "", 0.05, 16.0)
STEPS = Knob("time_steps", "int", 4, "", 1, 64)
SCALE = Knob("threshold_scale", "float", 1.0, "", 0.05, 20.0)
RESET = Knob("reset", "choice", "soft", "", choices=("soft", "hard"))


def _check(name: str) -> None:
    if name != "cmos":
        raise ProfileError([f'profile "{name}": unknown profile', "and more"])


VOCABULARY = Vocabulary(
    variants={"ann": (WIDTH,), "snn": (WIDTH, STEPS, RESET), "s2nn": (WIDTH,), "rigid": ()},
    architectures=("convnet", "mlp"),
    data=("digits",),
    hardware=_check,
    readings={"ann": (), "snn": (STEPS, SCALE), "s2nn": (SCALE,)},
)


@pytest.mark.parametrize(
    ("data", "mistakes"),
    [
        (
            {"variants": ["ann", "rigid"], "share_widths": [0.01, 0.5, 20]},
            [
                ("share_widths", "rigid has no knob width. Leave one of the two out"),
                ("share_widths.0", "0.01 is below 0.05. Write a number from 0.05 up to 16"),
                ("share_widths.2", "20 is above 16. Write a number from 0.05 up to 16"),
            ],
        ),
        (
            {"variants": ["ann"], "share_widths": [0.5, 1], "space": {"width": 1}},
            [("space.width", "the widths are those of share_widths. Leave one of the two out")],
        ),
        ({"variants": ["ann"], "share_widths": [], "space": {"width": 1}}, []),
        ({"share_widths": "all"}, []),
        ({"data": "digts"}, [("data", 'unknown data "digts". Did you mean "digits"?')]),
        (
            {
                "variants": ["snn"],
                "evaluate": {
                    "treshold_scale": [1],
                    "reset": ["hard"],
                    "time_steps": [2, 99, 1.5],
                    "threshold_scale": "all",
                },
            },
            [
                ("evaluate.treshold_scale", 'unknown knob. Did you mean "threshold_scale"?'),
                (
                    "evaluate.reset",
                    "matters in training, and cannot be turned after it. "
                    "It has: threshold_scale, time_steps. The space says it",
                ),
                ("evaluate.time_steps.1", "99 is above 64. Write a number from 1 up to 64"),
                ("evaluate.time_steps.2", "1.5 is not a whole number. Write 2"),
                ("evaluate.threshold_scale", "all is for time_steps alone. List the values"),
            ],
        ),
        (
            {"variants": ["ann"], "evaluate": {"threshold_scale": [1]}},
            [
                (
                    "evaluate.threshold_scale",
                    "none of ann has this knob, but snn, s2nn have it",
                )
            ],
        ),
        (
            {"variants": ["ann"], "evaluate": {"nothing": [1]}},
            [
                (
                    "evaluate.nothing",
                    "unknown knob. Nothing can be turned after the training of ann",
                )
            ],
        ),
        ({"variants": ["snn", "ann"], "evaluate": {"time_steps": "all"}}, []),
        ({"data": {"name": "x"}}, [("data.name", 'unknown data "x". It has: digits')]),
        (
            {"architecture": "conv"},
            [("architecture", 'unknown architecture "conv". Did you mean "convnet"?')],
        ),
        (
            {"variants": ["ann", "ann", "sn"]},
            [
                ("variants.2", 'unknown variant "sn". Did you mean "snn"?'),
                ("variants.1", '"ann" is listed twice. Keep one'),
            ],
        ),
        (
            {"hardware": ["cmos", "cmso", "cmos"]},
            [
                ("hardware.1", 'profile "cmso": unknown profile'),
                ("hardware.1", "and more"),
                ("hardware.2", '"cmos" is listed twice. Keep one'),
            ],
        ),
        (
            {"objectives": ["accuracy", {"name": "accuracy"}, "energy"]},
            [
                ("objectives.2", 'unknown objective "energy". Did you mean "energy_pj"?'),
                ("objectives.1.name", '"accuracy" is listed twice. Keep one'),
            ],
        ),
        (
            {"objectives": [{"name": "accuracy", "hardware": "cmos", "limit": 90}]},
            [
                ("objectives.0.hardware", "no profile prices accuracy. Leave it out"),
                ("objectives.0.limit", "90 is no accuracy. It goes from 0 to 1: 90 % is 0.9"),
            ],
        ),
        (
            {"objectives": [{"name": "energy_pj", "hardware": "x", "limit": 90}]},
            [
                ("objectives.0.hardware", 'profile "x": unknown profile'),
                ("objectives.0.hardware", "and more"),
            ],
        ),
        (
            {"space": {"widht": 1}, "variants": ["ann"]},
            [("space.widht", 'unknown knob. Did you mean "width"?')],
        ),
        (
            {"space": {"time_steps": 1}, "variants": ["ann", "s2nn"]},
            [("space.time_steps", "none of ann, s2nn has this knob, but snn has it")],
        ),
        # beside a misspelt family nobody can say that no family has the knob
        (
            {"space": {"time_steps": 1}, "variants": ["ann", "snm"]},
            [("variants.1", 'unknown variant "snm". Did you mean "snn"?')],
        ),
        (
            {"space": {"time_steps": 2.5}, "variants": ["snn"]},
            [("space.time_steps", "2.5 is not a whole number. Write 2")],
        ),
        (
            {"space": {"width": {"range": [0, 2]}}, "variants": ["ann", "snn"]},
            [("space.width.range", "0 is below 0.05. Write a number from 0.05 up to 16")],
        ),
        (
            {
                "space": {
                    "width": [
                        {"fixed": 1, "when": {"variant": ["ann"]}},
                        {"fixed": 99, "when": {"variant": ["snn", "ann"]}},
                        {"fixed": 2},
                    ]
                },
                "variants": ["ann", "snn"],
            },
            [
                ("space.width.1.fixed", "99 is above 16. Write a number from 0.05 up to 16"),
                ("space.width.1.when.variant.1", "ann has entry 0 of the list already. Keep one"),
                (
                    "space.width.2",
                    "is for all families, and stands beside another entry. Give it a when",
                ),
            ],
        ),
        # a range of whole numbers is a continuum to a knob of kind float
        (
            {"space": {"width": {"range": [1, 2]}}, "variants": ["ann"], "budget": {"repeats": 2}},
            [
                (
                    "space.width.range",
                    "has endlessly many values, and repeats trains each. "
                    "Write choice, or range with step",
                )
            ],
        ),
        (
            {
                "space": {"width": {"range": [1, 1]}, "time_steps": {"log_range": [1, 9]}},
                "variants": ["snn"],
                "budget": {"repeats": 2},
            },
            [],
        ),
        (
            {
                "space": {"time_steps": {"fixed": 2, "when": {"variant": ["ann", "s2nn", "x"]}}},
                "variants": ["ann", "snn"],
            },
            [
                ("space.time_steps.when.variant.0", "ann has no such knob. It belongs to snn"),
                (
                    "space.time_steps.when.variant.1",
                    '"s2nn" is no variant of this sweep. Did you mean "snn"?',
                ),
                (
                    "space.time_steps.when.variant.2",
                    '"x" is no variant of this sweep. It has: ann, snn',
                ),
            ],
        ),
    ],
)
def test_each_misused_word_has_its_message(
    data: dict[str, Any], mistakes: list[tuple[str, str]]
) -> None:
    found = [(".".join(map(str, place)), text) for place, text in misused_words(data, VOCABULARY)]
    assert found == mistakes


SHAPES: list[Any] = [None, 3, "x", [], {}, [[1]], [{}], {"a": 1}, {"variant": 3}, [None, 2.5]]
KEYS = ("data", "variants", "architecture", "space", "objectives", "hardware")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", KEYS)
def test_wrong_shapes_are_passed_over(key: str, shape: Any) -> None:
    assert all(place[0] == key for place, _ in misused_words({key: shape}, VOCABULARY))


@pytest.mark.parametrize("shape", SHAPES)
def test_wrong_shapes_in_the_space_are_passed_over(shape: Any) -> None:
    data = {"space": {"width": shape, "reset": {"when": shape}}}
    assert all(place[0] == "space" for place, _ in misused_words(data, VOCABULARY))


def test_energies_are_priced() -> None:
    assert is_priced("energy_pj")
    assert not is_priced("accuracy")
    assert not is_priced(None)
