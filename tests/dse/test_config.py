"""Sweep files: defaults, every mistake at once, and the round trip."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.config import SweepConfig, Vocabulary, dump_sweep, load_sweep
from dse.design import Knob
from dse.domain import Choice, Fixed, Range, SpaceEntry
from dse.errors import ConfigError
from dse.sweepfile import write
from energy_models.errors import ProfileError, nearest

WIDTH = Knob("width", "float", 1.0, "", 0.05, 16.0)
STEPS = Knob("time_steps", "int", 4, "", 1, 64)
THRESHOLD = Knob("threshold", "float", 1.0, "", 0.01, 16.0)
RESET = Knob("reset", "choice", "soft", "", choices=("soft", "hard"))
PROFILES = ("cmos-a", "cmos-b")


def _check(name: str) -> None:
    if name not in PROFILES:
        raise ProfileError(f'profile "{name}": unknown profile.{nearest(name, PROFILES)}')


VOCABULARY = Vocabulary(
    variants={"ann": (WIDTH,), "snn": (WIDTH, STEPS, THRESHOLD, RESET)},
    architectures=("convnet", "mlp"),
    data=("digits",),
    hardware=_check,
)
MINIMAL = """\
name: mine
data: digits
variants: [ann, snn]
architecture: convnet
objectives: [accuracy, energy_pj]
hardware: [cmos-a]
budget: {trials: 24}
"""


def _load(text: str, folder: Path, *overrides: str) -> SweepConfig:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_sweep(file, VOCABULARY, overrides)


def _problems(text: str, folder: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(text, folder, *overrides)
    return [problem.replace(str(folder / "mine.yaml"), "F") for problem in caught.value.problems]


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    assert dump_sweep(_load(MINIMAL, tmp_path)) == (
        "name: mine\n"
        "question: ''\n"
        "data: {name: digits, validation: 0.2}\n"
        "variants: [ann, snn]\n"
        "architecture: convnet\n"
        "space: {}\n"
        "objectives:\n"
        "- {name: accuracy, goal: max}\n"
        "- {name: energy_pj, goal: min, hardware: cmos-a}\n"
        "hardware: [cmos-a]\n"
        "budget: {trials: 24}\n"
        "training:\n"
        "  epochs: 12\n"
        "  batch_size: 32\n"
        "  weight_decay: 0.001\n"
        "  label_smoothing: 0.0\n"
        "  grad_clip: 5.0\n"
        "  optimizer: adamw\n"
        "  momentum: 0.9\n"
        "  nesterov: true\n"
        "  schedule: one-cycle\n"
        "  warmup: 0.0\n"
        "  mixup: 0.0\n"
        "  augment: []\n"
        "  shift_pixels: 2\n"
        "  cutout_pixels: 8\n"
        "  precision: float32\n"
        "  deterministic: false\n"
        "evaluate: {}\n"
        "share_widths: []\n"
        "search: {sampler: tpe, told: 8, deterministic: false, batch: 4}\n"
        "confirm: {epochs: 0, alone: false, seeds: 1}\n"
        "warm_start: []\n"
        "allow_uncounted: []\n"
        "workers: 1\n"
        "seed: 0\n"
    )


def test_the_space_is_read(tmp_path: Path) -> None:
    space = "space: {width: 2, time_steps: {range: [1, 8], when: {variant: [snn]}}}\n"
    assert _load(MINIMAL + space, tmp_path).entries() == {
        "width": (SpaceEntry(Fixed(2)),),
        "time_steps": (SpaceEntry(Range(1, 8), ("snn",)),),
    }


def test_a_design_of_shared_widths_has_the_largest(tmp_path: Path) -> None:
    config = _load(MINIMAL + "share_widths: [0.25, 0.5, 2]\n", tmp_path)
    assert config.share_widths == (0.25, 0.5, 2.0)
    assert config.entries() == {"width": (SpaceEntry(Fixed(2.0)),)}
    assert _load(dump_sweep(config), tmp_path) == config


@pytest.mark.parametrize(
    ("widths", "cause"), [("[1, 0.5]", "must rise"), ("[1]", "shares nothing")]
)
def test_shared_widths_rise_and_are_several(tmp_path: Path, widths: str, cause: str) -> None:
    with pytest.raises(ConfigError, match=f"share_widths: .*{cause}"):
        _load(MINIMAL + f"share_widths: {widths}\n", tmp_path)


LISTED = """\
space:
  width:
  - {fixed: 2, when: {variant: [ann]}}
  - {choice: [1, 3], when: {variant: [snn]}}
"""


def test_a_knob_may_have_an_entry_for_each_family(tmp_path: Path) -> None:
    config = _load(MINIMAL + LISTED, tmp_path)
    assert config.entries() == {
        "width": (SpaceEntry(Fixed(2), ("ann",)), SpaceEntry(Choice((1, 3)), ("snn",)))
    }
    again = _load(dump_sweep(config), tmp_path)
    assert again == config
    changed = _load(MINIMAL + LISTED, tmp_path, "space.width.0.fixed=4")
    assert changed.entries()["width"][0].domain == Fixed(4)


def test_mistakes_in_a_list_of_entries_have_their_lines(tmp_path: Path) -> None:
    text = (
        MINIMAL
        + """\
space:
  width:
  - {fixed: 2, when: {variant: [ann]}}
  - {fxed: 3, when: {variant: [snn, ann]}}
  - {fixed: 99, when: {variants: [snn]}}
  - 0.3
"""
    )
    assert _problems(text, tmp_path) == [
        'F:11:6: space.width.1.fxed: unknown key. Did you mean "fixed"?',
        "F:11:37: space.width.1.when.variant.1: ann has entry 0 of the list already. Keep one",
        "F:12:17: space.width.2.when.variant: missing. It must be given",
        'F:12:24: space.width.2.when.variants: unknown key. Did you mean "variant"?',
        "F:13:5: space.width.3: is for all families, and stands beside another entry. "
        "Give it a when",
    ]


def test_repeats_need_a_number_of_designs(tmp_path: Path) -> None:
    text = MINIMAL.replace("{trials: 24}", "{repeats: 3}")
    finite = "space: {width: {range: [1, 2], step: 0.5}, time_steps: {log_range: [1, 8]}}\n"
    assert _load(text + finite, tmp_path).budget.repeats == 3
    endless = """\
space:
  width: {range: [1, 2]}
  threshold: [{log_range: [0.5, 2], when: {variant: [snn]}}]
"""
    cause = "has endlessly many values, and repeats trains each. Write choice, or range with step"
    assert _problems(text + endless, tmp_path) == [
        f"F:9:11: space.width.range: {cause}",
        f"F:10:16: space.threshold.0.log_range: {cause}",
    ]
    assert _load(MINIMAL + endless, tmp_path).budget.trials == 24


def test_the_hardware_of_an_objective_is_priced_too(tmp_path: Path) -> None:
    text = MINIMAL.replace("energy_pj", "{name: energy_pj, hardware: cmos-b, limit: 1e6}")
    config = _load(text, tmp_path)
    assert config.hardware == ("cmos-a", "cmos-b")
    assert config.objectives[1].hardware == "cmos-b"
    assert config.objectives[1].limit == 1e6


def test_every_mistake_is_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = """\
name: mine
data: digts
variants: [ann, snm]
architecture: convnet
spcae: {}
space:
  width: {range: [2.0, 0.25]}
  time_step: {range: [1, 8]}
  threshold: {log_range: [0, 3.0]}
  reset: {choice: [soft, hrad]}
objectives: [accuracy, enrgy_pj]
hardware: [cmos-c]
budget: {trials: 0}
training: {epochs: two, grad_clp: 3}
"""
    assert _problems(text, tmp_path, "worker=3", "data.samples=1", "seed=-1") == [
        'F:2:1: data.name: unknown data "digts". Did you mean "digits"?',
        'F:3:17: variants.1: unknown variant "snm". Did you mean "snn"?',
        'F:5:1: spcae: unknown key. Did you mean "space"?',
        "F:7:11: space.width.range: low 2.0 is above high 0.25. Write [0.25, 2.0]",
        'F:8:3: space.time_step: unknown knob. Did you mean "time_steps"?',
        "F:9:15: space.threshold.log_range: low 0 has no logarithm. It must be above 0, "
        "or write range",
        'F:10:11: space.reset.choice: unknown word "hrad". Did you mean "hard"?',
        'F:11:24: objectives.1: unknown objective "enrgy_pj". Did you mean "energy_pj"?',
        'F:12:12: hardware.0: profile "cmos-c": unknown profile. Did you mean "cmos-b"?',
        "F:13:10: budget.trials: Input should be greater than or equal to 1 (got 0)",
        "F:14:12: training.epochs: Input should be a valid integer (got 'two')",
        'F:14:25: training.grad_clp: unknown key. Did you mean "grad_clip"?',
        '--set worker=3: worker: unknown key. Did you mean "workers"?',
        "--set data.samples=1: data.samples: Input should be greater than or equal to 2 (got 1)",
        "--set seed=-1: seed: Input should be greater than or equal to 0 (got -1)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: mine\n", "", "F: name: missing. It must be given"),
        ("mine", "../mine", "F:1:1: name: String should match pattern "
         "'^[A-Za-z0-9][A-Za-z0-9._-]*$' (got '../mine')"),
        ("{trials: 24}", "{}", "F:7:1: budget: must give one of trials, cpu_hours and repeats"),
        ("{trials: 24}", "{trials: 1, cpu_hours: 2}",
         "F:7:1: budget: must give one of trials, cpu_hours and repeats"),
        ("{trials: 24}", "{trials: 1, repeats: 2}",
         "F:7:1: budget: must give one of trials, cpu_hours and repeats"),
        ("{trials: 24}", "{repeats: 0}",
         "F:7:10: budget.repeats: Input should be greater than or equal to 1 (got 0)"),
        ("{trials: 24}", "{cpu_hours: .nan}",
         "F:7:10: budget.cpu_hours: must be a finite number (got nan)"),
        ("{trials: 24}", "{trials: true}",
         "F:7:10: budget.trials: Input should be a valid integer (got True)"),
        ("[accuracy, energy_pj]", "[]",
         "F:5:1: objectives: is empty. List at least one"),
        ("[accuracy, energy_pj]", "[{name: spikes, goal: up}]",
         "F:5:29: objectives.0.goal: Input should be 'max' or 'min' (got 'up')"),
        ("digits", "{name: digits, validation: 1.5}", "F:2:22: data.validation: must be a share "
         "between 0 and 1, or a whole number of samples (got 1.5)"),
        ("digits", "{name: digits, validation: 0}", "F:2:22: data.validation: must be a share "
         "between 0 and 1, or a whole number of samples (got 0)"),
        ("[cmos-a]", "[cmos-a, 3]", "F:6:20: hardware.1: Input should be a valid string (got 3)"),
    ],
)  # fmt: skip
def test_each_wrong_shape_has_its_message(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in MINIMAL
    assert _problems(MINIMAL.replace(old, new, 1), tmp_path) == [problem]


TRICKS = {
    "optimizer": "sgd",
    "momentum": 0.8,
    "nesterov": False,
    "schedule": "cosine",
    "warmup": 0.1,
    "mixup": 0.2,
    "augment": ["flip", "shift", "cutout"],
    "shift_pixels": 4,
    "cutout_pixels": 16,
    "precision": "bfloat16",
    "deterministic": True,
}


def test_every_trick_of_the_training_is_read_and_written(tmp_path: Path) -> None:
    config = _load(MINIMAL + write({"training": TRICKS}), tmp_path)
    found = config.training.model_dump()
    assert {name: found[name] for name in TRICKS} == {**TRICKS, "augment": (*TRICKS["augment"],)}
    assert _load(dump_sweep(config), tmp_path) == config


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        ("{optimizer: adam}", "training.optimizer: Input should be 'adamw' or 'sgd' (got 'adam')"),
        ("{schedule: step}", "training.schedule: Input should be 'one-cycle', 'cosine' or "
         "'constant' (got 'step')"),
        ("{augment: [flop]}", "training.augment.0: Input should be 'flip', 'shift' or 'cutout' "
         "(got 'flop')"),
        ("{augment: [flip, flip]}", "training.augment: lists one twice. Keep one"),
        ("{precision: float16}",
         "training.precision: Input should be 'float32' or 'bfloat16' (got 'float16')"),
        ("{mixup: -1}", "training.mixup: Input should be greater than or equal to 0 (got -1)"),
        ("{schedule: cosine, warmup: 1}", "training.warmup: Input should be less than 1 (got 1)"),
        ("{deterministic: 1}",
         "training.deterministic: Input should be a valid boolean (got 1)"),
        ("{momentum: 0.5}", "training.momentum: changes nothing without optimizer: sgd. "
         "Leave it out, or add that"),
        ("{nesterov: false}", "training.nesterov: changes nothing without optimizer: sgd. "
         "Leave it out, or add that"),
        ("{warmup: 0.1}", "training.warmup: changes nothing without schedule: cosine or constant. "
         "Leave it out, or add that"),
        ("{shift_pixels: 3}", "training.shift_pixels: changes nothing without augment: [shift]. "
         "Leave it out, or add that"),
        ("{augment: [shift], cutout_pixels: 3}", "training.cutout_pixels: changes nothing without "
         "augment: [cutout]. Leave it out, or add that"),
        ("{optimizer: sgd, momentum: 0}",
         "training.nesterov: needs a momentum above 0. Write nesterov: false"),
    ],
)  # fmt: skip
def test_a_training_that_cannot_be_is_refused(tmp_path: Path, training: str, problem: str) -> None:
    [found] = _problems(f"{MINIMAL}training: {training}\n", tmp_path)
    assert found.split(": ", 1)[1] == problem


def test_a_config_does_not_change(tmp_path: Path) -> None:
    config = _load(MINIMAL, tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


WIDTHS = st.floats(0.05, 16.0)
TIMES = st.integers(1, 64)


def _ends(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(numbers, min_size=2, max_size=2).map(sorted)


def _entries(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        numbers,
        st.fixed_dictionaries({"range": _ends(numbers)}, optional={"when": SNN}),
        st.fixed_dictionaries({"log_range": _ends(numbers)}),
        st.fixed_dictionaries({"choice": st.lists(numbers, min_size=1, max_size=3, unique=True)}),
        st.fixed_dictionaries({"fixed": numbers}),
    )


SNN = st.just({"variant": ["snn"]})
LETTERS = st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Z"))
SWEEPS = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        "data": st.one_of(
            st.just("digits"),
            st.fixed_dictionaries(
                {"name": st.just("digits")},
                optional={
                    "validation": st.one_of(
                        st.integers(1, 99), st.floats(0, 1, exclude_min=True, exclude_max=True)
                    ),
                    "samples": st.integers(2, 999),
                },
            ),
        ),
        "variants": st.sampled_from([["snn"], ["snn", "ann"]]),
        "architecture": st.just("mlp"),
        "objectives": st.lists(
            st.one_of(
                st.sampled_from(["accuracy", "parameters", "latency_steps"]),
                st.fixed_dictionaries(
                    {"name": st.just("energy_pj")},
                    optional={
                        "limit": st.floats(0, 1e300),
                        "hardware": st.sampled_from(PROFILES),
                        "goal": st.sampled_from(["max", "min"]),
                    },
                ),
            ),
            min_size=1,
            unique_by=lambda entry: entry if isinstance(entry, str) else entry["name"],
        ),
        "hardware": st.sampled_from([["cmos-a"], ["cmos-b", "cmos-a"]]),
        "budget": st.one_of(
            st.fixed_dictionaries({"trials": st.integers(1, 10**6)}),
            st.fixed_dictionaries({"cpu_hours": st.floats(1e-300, 1e300)}),
        ),
    },
    optional={
        "question": st.text(LETTERS),
        "space": st.fixed_dictionaries(
            {},
            optional={
                "width": _entries(WIDTHS),
                "time_steps": _entries(TIMES),
                "reset": st.sampled_from(["soft", {"choice": ["hard", "soft"]}]),
            },
        ),
        "training": st.fixed_dictionaries(
            {}, optional={"epochs": st.integers(1, 99), "weight_decay": st.floats(0, 1e9)}
        ),
        "allow_uncounted": st.lists(st.text(LETTERS, min_size=1)),
        "workers": st.integers(1, 1024),
        "seed": st.integers(0, 2**32 - 1),
    },
)


@pytest.mark.slow
@given(data=SWEEPS)
@settings(deadline=None)  # the first example pays for all that is set up once
def test_a_written_sweep_loads_to_an_equal_one(data: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = _load(write(data), Path(folder))
        text = dump_sweep(config)
        again = _load(text, Path(folder))
    assert again == config
    assert dump_sweep(again) == text
