"""Hardware profiles: what ships, what a user's file may say, and how mistakes are told."""

import json
from pathlib import Path

import pytest

from energy_models import (
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    OpCounts,
    ProfileError,
    estimate,
    list_profiles,
    load_profile,
)

GOOD = """\
name: mine
title: my chip
kind: op-only
node_nm: 28
voltage_v: 0.8
number_format: int4
reference: my thesis, table 2
energy:
  mac: {value_pj: 2, bits: 4, basis: silicon, source: "my thesis, table 2"}
  ac: {value_pj: 0.5, low_pj: 0.4, high_pj: 0.6, range_source: x, bits: 4, basis: fit, source: f3}
"""


def written(tmp_path: Path, text: str, name: str = "mine.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems_of(name: str) -> tuple[str, ...]:
    with pytest.raises(ProfileError) as refusal:
        load_profile(name)
    assert str(refusal.value) == "\n".join(refusal.value.problems)
    return refusal.value.problems


def prices(name: str) -> dict[str, float]:
    return {event: entry.value_pj for event, entry in load_profile(name).energy.items()}


def test_shipped_profiles() -> None:
    shipped = ["cmos45-fp16", "cmos45-fp32", "cmos45-int32", "cmos45-int8"]
    assert set(shipped) <= set(list_profiles())


@pytest.mark.parametrize("name", [name for name in list_profiles() if name.startswith("cmos45")])
def test_every_shipped_number_has_a_source_and_a_basis(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.rows()
    overlays = [o for values in profile.options.values() for o in values.values()]
    for entry in [*profile.energy.values(), *(e for o in overlays for e in o.values())]:
        assert any(mark in entry.source for mark in ("doi 10.", "arXiv ", "repository "))
        assert entry.basis in {"silicon", "fit", "estimate", "derived", "assumption"}
        assert entry.note


@pytest.mark.parametrize(
    ("name", "multiplication_pj", "addition_pj"),
    [
        ("cmos45-fp32", 3.7, 0.9),
        ("cmos45-fp16", 1.1, 0.4),
        ("cmos45-int32", 3.1, 0.1),
        ("cmos45-int8", 0.2, 0.03),
    ],
)
def test_shipped_prices_follow_from_two_units(
    name: str, multiplication_pj: float, addition_pj: float
) -> None:
    additions = ("ac", "add", "integrate", "compare", "reset")
    assert prices(name) == pytest.approx(
        {
            "mac": multiplication_pj + addition_pj,
            "leak": multiplication_pj,
            "binary": 0.03,
            **dict.fromkeys(additions, addition_pj),
        }
    )
    rows = {row["quantity"]: row for row in load_profile(name).rows()}
    assert rows["energy.mac"]["basis"] == "derived"
    assert rows["energy.compare"]["basis"] == rows["energy.binary"]["basis"] == "assumption"


def test_wide_accumulator() -> None:
    additions = ("ac", "add", "integrate", "compare", "reset")
    # 0.2 + 0.1; the leak stays one 8-bit multiplication
    expected = {"mac": 0.3, "leak": 0.2, "binary": 0.03, **dict.fromkeys(additions, 0.1)}
    profile = load_profile("cmos45-int8+accumulator=32-bit")
    assert prices(profile.name) == pytest.approx(expected)
    assert profile.energy["leak"].basis == "assumption"
    assert profile.energy["ac"].bits == 32


@pytest.mark.parametrize(
    ("name", "binary_pj"),
    [
        ("cmos45-fp32+binary=bops-64", 4.6 / 64),  # 0.071875
        ("cmos45-fp16+binary=bops-64", 1.5 / 64),
        ("cmos45-int32+binary=bops-64", 3.2 / 64),  # 0.05
        ("cmos45-int8+binary=bops-64", 0.23 / 64),
        # a share of what the other option makes of the MAC, in either order
        ("cmos45-int8+binary=bops-64+accumulator=32-bit", 0.3 / 64),
        ("cmos45-int8+accumulator=32-bit+binary=bops-64", 0.3 / 64),
    ],
)
def test_binary_operations_as_shares_of_a_mac(name: str, binary_pj: float) -> None:
    binary = load_profile(name).energy["binary"]
    assert binary.value_pj == pytest.approx(binary_pj)
    assert binary.basis == "assumption"


def test_options_change_the_energy_of_a_network() -> None:
    first = LayerCounts("conv1", "convolution", ops=OpCounts(mac=5, dense_mac=10), reused_steps=4)
    counts = ModelCounts(samples=1, layers=(first,), time_steps=4)
    expected_pj = {
        "cmos45-fp32": 10 * 4.6,
        "cmos45-fp32+charge.mac=effective": 5 * 4.6,
        "cmos45-fp32+first_layer=every-step": 4 * 10 * 4.6,
        "cmos45-fp32+first_layer=every-step+charge.mac=effective": 4 * 5 * 4.6,
        "cmos45-int8+accumulator=32-bit": 10 * 0.3,
    }
    for name, energy_pj in expected_pj.items():
        breakdown = estimate(counts, load_profile(name))
        assert breakdown.profile == name
        assert breakdown.total_pj == pytest.approx(energy_pj)


def test_choices_are_what_load_profile_takes() -> None:
    choices = load_profile("cmos45-int8").choices()
    assert choices["accumulator"] == ("32-bit",)
    assert choices["first_layer"] == ("once", "every-step")
    assert choices["charge.mac"] == ("dense", "effective")
    for option, values in choices.items():
        for value in values:
            name = f"cmos45-int8+{option}={value}"
            assert load_profile(name).name == name


def test_unknown_names_and_options() -> None:
    assert problems_of("cmos45-fp23") == (
        'profile "cmos45-fp23": unknown profile. Did you mean "cmos45-fp32"?',
    )
    name = "cmos45-int8+acumulator=32-bit+bias=ad+charge.mac=efective+accumulator"
    assert problems_of(name) == (
        f'profile "{name}": option "acumulator": unknown option. Did you mean "accumulator"?',
        f'profile "{name}": option "bias": unknown value "ad". Did you mean "add"?',
        f'profile "{name}": option "charge.mac": unknown value "efective". '
        'Did you mean "effective"?',
        f'profile "{name}": option "accumulator": unknown value "". It has: 32-bit',
    )
    name = "cmos45-fp32+bias=add+bias=excluded"
    assert problems_of(name) == (f'profile "{name}": option "bias": is given twice. Keep one',)


def test_a_file_of_the_user(tmp_path: Path) -> None:
    name = written(tmp_path, GOOD)
    profile = load_profile(name)
    assert profile.name == name
    assert (profile.title, profile.node_nm) == ("my chip", 28)
    assert profile.switches.first_layer == "once"
    assert profile.charge.mac == "dense"
    common = {"unit": "pj", "scope": None, "node_nm": 28, "voltage_v": 0.8, "bits": 4, "note": ""}
    assert profile.rows() == [
        {
            **common,
            "quantity": "energy.mac",
            "value": 2.0,
            "low": None,
            "high": None,
            "basis": "silicon",
            "source": "my thesis, table 2",
            "range_source": "",
        },
        {
            **common,
            "quantity": "energy.ac",
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
            "basis": "fit",
            "source": "f3",
            "range_source": "x",
        },
    ]


def test_a_path_may_hold_a_plus_and_carry_options(tmp_path: Path) -> None:
    folder = tmp_path / "c++ work"
    folder.mkdir()
    name = written(folder, GOOD, "mine.yml") + "+bias=add+charge.mac=effective"
    profile = load_profile(name)
    assert profile.name == name
    assert (profile.switches.bias, profile.charge.mac) == ("add", "effective")
    # the file ends where its first suffix does
    other = written(folder, GOOD) + "+bias=add.yaml"
    assert problems_of(other) == (
        f'profile "{other}": option "bias": unknown value "add.yaml". Did you mean "add"?',
    )


def test_document_round_trip() -> None:
    profile = load_profile("cmos45-int8+accumulator=32-bit+bias=add")
    document = json.loads(json.dumps(profile.to_dict(), allow_nan=False))
    assert document.pop("choices")["bias"] == ["excluded", "add"]
    assert document["energy"]["ac"]["value_pj"] == 0.1
    assert document["switches"]["bias"] == "add"
    assert HardwareProfile.model_validate(document) == profile


def test_every_mistake_of_a_file_at_once(tmp_path: Path) -> None:
    text = """\
name: mine
title: my chip
kind: op-only
node_nm: 28
voltage_v: 0.8
number_format: int4
swiches: {bias: add}
switches:
  graded: macs
  first_layr: once
charge: {mac: efective}
energy:
  mac: {value_pj: -2, bits: 4, basis: silicon, source: x}
  ac: {value_pj: .nan, bits: 4, basis: silicon, source: x}
  add: {value_pj: .inf, bits: 4, basis: silicon, source: "  "}
  leak: {value_pj: 1, bits: 4, basis: silicon}
  intergate: {value_pj: 1, bits: 4, basis: silicon, source: x}
  reset: {value: 1, bits: 0, basis: guess, source: x}
  compare: {value_pj: yes, bits: 4, basis: fit, source: x}
  binary: {value_pj: 2, low_pj: 3, high_pj: 4, bits: 4, basis: fit, source: x}
excludes: {state_raed: memory, memory: ""}
options:
  lean: {"yes": {mac: {share_of: macc, divided_by: 0, bits: 1, basis: fit, source: x}}}
  "a+b": {c: {mac: {value_pj: 1, bits: 1, basis: fit}}}
"""
    name = written(tmp_path, text)
    assert problems_of(name) == (
        f"{name}: reference: missing. It must be given",
        f"{name}:9:3: switches.graded: Input should be 'accumulates' or 'mac' (got 'macs')",
        f'{name}:10:3: switches.first_layr: unknown key. Did you mean "first_layer"?',
        f"{name}:11:10: charge.mac: Input should be 'dense' or 'effective' (got 'efective')",
        f"{name}:13:9: energy.mac.value_pj: Input should be greater than or equal to 0 (got -2)",
        f"{name}:14:8: energy.ac.value_pj: Input should be a finite number (got nan)",
        f"{name}:15:50: energy.add.source: String should have at least 1 character (got '  ')",
        f"{name}:15:9: energy.add.value_pj: Input should be a finite number (got inf)",
        f"{name}:16:3: energy.leak.source: missing. It must be given",
        f'{name}:17:3: energy.intergate: unknown key. Did you mean "integrate"?',
        f"{name}:18:30: energy.reset.basis: Input should be "
        "'silicon', 'fit', 'estimate', 'derived' or 'assumption' (got 'guess')",
        f"{name}:18:3: energy.reset.value_pj: missing. It must be given",
        f"{name}:18:21: energy.reset.bits: must be a whole number of bits, 1 or more, or "
        "unpublished (got 0)",
        f'{name}:18:11: energy.reset.value: unknown key. Did you mean "value_pj"?',
        f"{name}:19:13: energy.compare.value_pj: Input should be a valid number (got True)",
        f"{name}:20:3: energy.binary: low_pj 3 is above value_pj 2",
        f'{name}:21:12: excludes.state_raed: unknown key. Did you mean "state_read"?',
        f"{name}:21:32: excludes.memory: String should have at least 1 character (got '')",
        f'{name}:23:24: options.lean.yes.mac.share_of: unknown key. Did you mean "mac"? '
        "(got 'macc')",
        f"{name}:23:40: options.lean.yes.mac.divided_by: Input should be greater than 0 (got 0)",
        f"{name}:24:3: options.a+b: String should match pattern '^[^+=\\s]+$'",
        f"{name}:24:15: options.a+b.c.mac.source: missing. It must be given",
        f'{name}:7:1: swiches: unknown key. Did you mean "switches"?',
    )


def test_contradictions_of_a_file_at_once(tmp_path: Path) -> None:
    text = f"""{GOOD}\
  graded: {{value_pj: 1, bits: 4, basis: fit, source: x}}
switches: {{graded: mac}}
excludes: {{mac: "the host multiplies", leak: "no leak"}}
options:
  bias: {{none: {{}}}}
  lean: {{half: {{leak: {{share_of: reset, divided_by: 2, bits: 4, basis: fit, source: x}}}}}}
"""
    name = written(tmp_path, text)
    assert problems_of(name) == (
        f"{name}:12:12: switches.graded: has no effect beside energy.graded. Keep one of the two",
        f"{name}:13:12: excludes.mac: is left out, but energy.mac prices it. Keep one",
        f"{name}:15:3: options.bias: is the name of a switch. Choose another name",
        f"{name}:16:17: options.lean.half.leak: is priced here, but left out by "
        "excludes.leak. Keep one",
        f"{name}:16:17: options.lean.half.leak: no energy.reset to take a share of",
    )


def test_a_polynomial_among_the_options_needs_widths(tmp_path: Path) -> None:
    polynomial = "{polynomial_pj: [0, 1], basis: fit, source: x}"
    name = written(tmp_path, f"{GOOD}options: {{lean: {{half: {{mac: {polynomial}}}}}}}\n")
    assert problems_of(name) == (
        f"{name}:11:25: options.lean.half.mac: is a polynomial in bits, and there are no widths. "
        "Give widths",
    )


def test_options_that_contradict_the_file_or_one_another(tmp_path: Path) -> None:
    constant = "{value_pj: 1, bits: 4, basis: fit, source: x}"
    own = written(tmp_path, f"{GOOD}  graded: {constant}\n") + "+graded=mac"
    assert problems_of(own) == (
        f'profile "{own}": option "graded": has no effect beside energy.graded. Leave it out',
    )
    options = f"options: {{a: {{b: {{mac: {constant}}}}}, c: {{d: {{mac: {constant}}}}}}}\n"
    both = written(tmp_path, GOOD + options) + "+a=b+c=d"
    assert problems_of(both) == (
        f'profile "{both}": options "a" and "c" both price mac. Keep one of the two',
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must give keys, as in `key: value`"),
        ("name: a\nname: b\n", "2:1: name: the key is given twice. Keep one"),
    ],
)
def test_files_that_are_no_profile(tmp_path: Path, text: str, problem: str) -> None:
    (told,) = problems_of(written(tmp_path, text))
    assert told.endswith(problem)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (told,) = problems_of(str(tmp_path / "none.yaml"))
    assert told.startswith(f"{tmp_path / 'none.yaml'}: cannot be read: ")
