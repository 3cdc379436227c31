"""Presets: changes that a sweep file lists under a name, and every mistake in them."""

from pathlib import Path

import pytest

from dse.config import SweepConfig, Vocabulary, dump_sweep, load_sweep
from dse.design import Knob
from dse.errors import ConfigError
from dse.sweepfile import presets

WIDTH = Knob("width", "float", 1.0, "", 0.05, 16.0)
STEPS = Knob("time_steps", "int", 4, "", 1, 64)
VOCABULARY = Vocabulary(
    variants={"ann": (WIDTH,), "snn": (WIDTH, STEPS)},
    architectures=("convnet",),
    data=("digits",),
    hardware=lambda name: None,
)
BASE = """\
name: mine
data: digits
variants: [ann, snn]
architecture: convnet
space: {width: {choice: [0.5, 1.0]}, time_steps: 2}
objectives: [accuracy, energy_pj]
hardware: [cmos-a]
budget: {trials: 24}
training: {epochs: 9, batch_size: 64}
"""
SMALL = """\
presets:
  small:
    data.samples: 300
    training.epochs: 2
    space.width.choice: [0.25]
    budget: {repeats: 1}
  tiny: {training.epochs: 1}
"""


def _load(text: str, folder: Path, *overrides: str, preset: str | None = None) -> SweepConfig:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_sweep(file, VOCABULARY, overrides, preset)


def _problems(text: str, folder: Path, *overrides: str, preset: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(text, folder, *overrides, preset=preset)
    return [problem.replace(str(folder / "mine.yaml"), "F") for problem in caught.value.problems]


def test_without_its_name_a_preset_changes_nothing(tmp_path: Path) -> None:
    assert _load(BASE + SMALL, tmp_path) == _load(BASE, tmp_path)


def test_a_preset_changes_the_entries_that_it_names(tmp_path: Path) -> None:
    config = _load(BASE + SMALL, tmp_path, preset="small")
    assert config.name == "mine-small"
    assert (config.data.name, config.data.samples) == ("digits", 300)
    assert (config.training.epochs, config.training.batch_size) == (2, 64)
    assert config.model_dump()["space"]["width"]["choice"] == (0.25,)
    # a key without a dot replaces the whole entry, as with --set
    assert (config.budget.repeats, config.budget.trials) == (1, None)


def test_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    given = ("training.epochs=3", "name=ours")
    config = _load(BASE + SMALL, tmp_path, *given, preset="small")
    assert (config.training.epochs, config.data.samples) == (3, 300)
    assert config.name == "ours-small"


def test_what_was_written_loads_without_the_preset(tmp_path: Path) -> None:
    config = _load(BASE + SMALL, tmp_path, preset="small")
    text = dump_sweep(config)
    assert "presets" not in text
    assert _load(text, tmp_path) == config


def test_the_names_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(BASE + SMALL, encoding="utf-8")
    assert presets(file) == ("small", "tiny")
    file.write_text(BASE, encoding="utf-8")
    assert presets(file) == ()


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (BASE + SMALL, "smal", 'has no preset "smal". Did you mean "small"? It has: small, tiny'),
        (BASE + SMALL, "xyz", 'has no preset "xyz". It has: small, tiny'),
        (BASE, "small", 'has no preset "small". It has none'),
    ],
)
def test_an_unknown_preset_gets_the_nearest_and_the_list(
    tmp_path: Path, text: str, name: str, problem: str
) -> None:
    assert _problems(text, tmp_path, preset=name) == [f"F: {problem}"]


WRONG = """\
presets:
  small:
    training.epoch: 2
    space.widht: 0.5
    data.samples: few
    space.width.choice.7: 0.5
    budget: {trials: 3, repeats: 1}
    variant: [ann]
"""


@pytest.mark.parametrize("preset", [None, "small"])
def test_a_key_that_a_sweep_has_not_is_refused_with_its_line(
    tmp_path: Path, preset: str | None
) -> None:
    place = "F:13:5: presets.small: "
    assert _problems(BASE + WRONG.replace("    space.width.choice.7: 0.5\n", ""), tmp_path,
                     preset=preset) == [
        'F:12:5: presets.small: training.epoch: unknown key. Did you mean "epochs"?',
        f'{place}space.widht: unknown knob. Did you mean "width"?',
        "F:14:5: presets.small: data.samples: Input should be a valid integer (got 'few')",
        "F:15:5: presets.small: budget: must give one of trials, cpu_hours and repeats",
        'F:16:5: presets.small: variant: unknown key. Did you mean "variants"?',
    ]  # fmt: skip


def test_a_place_that_is_not_there_is_refused_with_its_line(tmp_path: Path) -> None:
    assert _problems(BASE + WRONG, tmp_path) == [
        "F:15:5: presets.small: there is no entry 7 in a list of 2. It starts at 0"
    ]


def test_what_a_preset_breaks_elsewhere_names_the_preset(tmp_path: Path) -> None:
    text = BASE + "presets: {bare: {variants: [ann]}}\n"
    assert _problems(text, tmp_path) == [
        "F:5:38: space.time_steps: none of ann has this knob, but snn has it (with presets.bare)"
    ]


def test_a_mistake_of_the_file_is_not_told_again_for_each_preset(tmp_path: Path) -> None:
    text = BASE.replace("convnet", "convet") + SMALL
    [problem] = _problems(text, tmp_path, preset="tiny")
    assert problem == 'F:4:1: architecture: unknown architecture "convet". Did you mean "convnet"?'


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("presets:", "F:10:1: presets: must give names, as in `small: {training.epochs: 3}`"),
        ("presets: [small]", "F:10:1: presets: must give names, as in `small: "
         "{training.epochs: 3}`"),
        ("presets: {small: 3}", "F:10:11: presets.small: must give entries to change, as in "
         "`training.epochs: 3`"),
        ("presets: {small: {}}", "F:10:11: presets.small: must give entries to change, as in "
         "`training.epochs: 3`"),
        ("presets: {../x: {seed: 1}}", "F:10:11: presets.../x: cannot end the name of a folder. "
         "Use letters, digits, `.`, `_` and `-`"),
        ("presets: {a: {presets.b: 1}}", "F:10:1: presets: unknown key."),
    ],
)  # fmt: skip
def test_presets_of_another_shape_are_refused(tmp_path: Path, said: str, problem: str) -> None:
    [found] = _problems(f"{BASE}{said}\n", tmp_path)
    assert found.startswith(problem)
