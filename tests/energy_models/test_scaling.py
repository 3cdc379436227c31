"""Node scaling: factors at the rows, what is refused, and how far it is from reported units."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_models import (
    LayerCounts,
    ModelCounts,
    OpCounts,
    ProfileError,
    estimate,
    list_profiles,
    load_profile,
)
from energy_models.constants import Area, Constant, Number, Power, Sourced, Time
from energy_models.scaling import REPORTED_SAVING, Node, node_at, nodes, scaled, targets

TOLD = {"basis": "silicon", "source": "my thesis"}


def energy(value_pj: float = 2.0, **other: object) -> Constant:
    return Constant.model_validate({"value_pj": value_pj, "bits": 8, **TOLD, **other})


@pytest.mark.parametrize(
    ("node_nm", "voltage_v", "energy_factor", "delay_factor", "area_factor"),
    [
        (90, 1.2, 4.5962, 1.8719, 2.8571),
        (65, 1.0, 1.906, 1.7297, 1.5152),
        (45, 0.9, 1, 1, 1),
        (45, 1.0, 1.2323, 0.9918, 1),
        (32, 0.9, 0.6541, 0.6631, 0.4545),
        (20, 0.9, 0.2873, 0.7512, 0.2128),
        (16, 0.8, 0.1721, 0.5337, 0.1887),
        (14, 0.8, 0.1377, 0.3578, 0.1724),
        (10, 0.75, 0.1005, 0.3048, 0.102),
        (7, 0.7, 0.0684, 0.257, 0.0588),
    ],
)
def test_factors_at_the_rows(
    node_nm: float, voltage_v: float, energy_factor: float, delay_factor: float, area_factor: float
) -> None:
    origin, target = node_at(45, 0.9), node_at(node_nm, voltage_v)
    assert scaled(energy(2), "energy.mac", origin, target).value == pytest.approx(2 * energy_factor)
    time = Time.model_validate({"value_ns": 5.0, **TOLD})
    assert scaled(time, "time.step", origin, target).value == pytest.approx(5 * delay_factor)
    area = Area.model_validate({"value_mm2": 3.0, **TOLD})
    assert scaled(area, "area", origin, target).value == pytest.approx(3 * area_factor)


def test_there_are_ten_rows_and_the_voltage_chooses() -> None:
    assert len(nodes()) == 10
    assert node_at(45) == node_at(45, 0.9)
    assert node_at(45, 1.0).energy_factor == 1.2323


rows = st.sampled_from(nodes())


@given(one=rows, other=rows, third=rows, value_pj=st.floats(0.001, 1000))
def test_going_round_changes_nothing(one: Node, other: Node, third: Node, value_pj: float) -> None:
    there = scaled(energy(value_pj), "energy.mac", one, other)
    assert scaled(there, "energy.mac", other, one).value == pytest.approx(value_pj)
    direct = scaled(energy(value_pj), "energy.mac", one, third)
    assert scaled(there, "energy.mac", other, third).value == pytest.approx(direct.value)


def test_a_scaled_constant_says_what_was_done() -> None:
    constant = energy(2, low_pj=1.0, high_pj=4.0, range_source="fig. 3", note="one addition")
    found = scaled(constant, "energy.add", node_at(65), node_at(14))
    factor = 0.1377 / 1.906
    assert found.range_given == (pytest.approx(factor), pytest.approx(4 * factor))
    assert (found.basis, found.node_nm, found.voltage_v) == ("estimate", 14, 0.8)
    assert found.source == "my thesis"
    assert found.note.startswith(
        "one addition; 2 at 65 nm, 1 V, x 0.07225 for the energy of logic (A. Stillmaker"
    )
    assert found.note.endswith(
        "cost 2.4 to 3.3 times less than at 45 nm, where this trend says 14.6"
    )
    guessed = constant.model_copy(update={"basis": "assumption"})
    assert scaled(guessed, "energy.add", node_at(65), node_at(14)).basis == "assumption"


@pytest.mark.parametrize(
    ("name", "constant", "problem"),
    [
        (
            "memory.dram",
            energy(),
            "memory.dram: does not follow the logic node: a DRAM has a technology of its own. "
            "Give the energy of the DRAM that stands beside the chip",
        ),
        (
            "memory.sram",
            energy(),
            "memory.sram: does not follow the logic node. Take the CACTI table at the node that "
            "you mean: curve: cacti, node_nm: 22",
        ),
        (
            "power.static",
            Power.model_validate({"value_mw": 1.0, **TOLD}),
            "power.static: does not follow the energy of a switching gate: it is leakage and "
            "clock. Give the power at the node that you mean",
        ),
        (
            "parallelism",
            Number.model_validate({"value_count": 4.0, **TOLD}),
            "parallelism: is a count and has no node. Leave it as it is",
        ),
    ],
)
def test_what_does_not_follow_the_logic(name: str, constant: Sourced, problem: str) -> None:
    with pytest.raises(ProfileError) as refusal:
        scaled(constant, name, node_at(45), node_at(7))
    assert str(refusal.value) == problem


@pytest.mark.parametrize(
    ("node_nm", "voltage_v", "asked"),
    [
        (28, None, "28 nm"),
        (5, 0.6, "5 nm"),
        (65, 0.8, "65 nm at 0.8 V"),
        (7, "unpublished", "7 nm at an unpublished voltage"),
        ("unpublished", "unpublished", "an unpublished node"),
    ],
)
def test_nothing_is_read_between_the_rows(
    node_nm: float | str, voltage_v: float | str | None, asked: str
) -> None:
    with pytest.raises(ProfileError) as refusal:
        node_at(node_nm, voltage_v)
    told = str(refusal.value)
    assert told.startswith(f"node scaling: {asked} has no row. It has: 90 nm, 1.2 V; 65 nm, 1 V;")
    assert told.endswith("7 nm, 0.7 V")


def test_a_whole_profile_moves() -> None:
    there, here = load_profile("cmos45-fp32+node=7nm"), load_profile("cmos45-fp32")
    # 4.6 x 0.0684
    assert there.prices["mac"].value == pytest.approx(0.31464)
    for event, one in there.prices.items():
        assert one.value == pytest.approx(here.prices[event].value * 0.0684)
        assert (one.node_nm, one.voltage_v) == (7, 0.7)
        assert one.basis == (
            "assumption" if here.prices[event].basis == "assumption" else "estimate"
        )
    assert (there.node, there.voltage) == ("7 nm", "0.7 V")
    row = LayerCounts("fc", "linear", ops=OpCounts(dense_mac=1000))
    breakdown = estimate(ModelCounts(samples=1, layers=(row,)), there)
    assert breakdown.total_pj == pytest.approx(314.64)
    assert f"caution: {there.caution}" in breakdown.assumptions


def test_options_are_applied_before_the_move() -> None:
    moved = load_profile("cmos45-int8+node=16nm+accumulator=32-bit+binary=bops-64")
    # (0.2 + 0.1) x 0.1721, and a 64th of it
    assert moved.prices["mac"].value == pytest.approx(0.3 * 0.1721)
    assert moved.prices["binary"].value == pytest.approx(0.3 * 0.1721 / 64)
    few = load_profile("cmos45-bits+bits=2+node=32nm").prices["mac"].value
    assert few == pytest.approx(load_profile("cmos45-bits+bits=2").prices["mac"].value * 0.6541)


def test_a_trend_beside_what_was_reported() -> None:
    pairs = {
        # 45 nm over 7 nm, by one unit each
        "int8 multiplication": ("cmos45-int8", "cmos7-int8", "leak"),  # 0.2 / 0.07 = 2.86
        "int32 addition": ("cmos45-int32", "cmos7-int8", "add"),  # 0.1 / 0.03 = 3.33
        "fp32 addition": ("cmos45-fp32", "cmos7-fp32", "add"),  # 0.9 / 0.38 = 2.37
        "fp32 multiplication": ("cmos45-fp32", "cmos7-fp32", "leak"),  # 3.7 / 1.31 = 2.82
    }
    savings = [
        load_profile(old).prices[event].value / load_profile(new).prices[event].value
        for old, new, event in pairs.values()
    ]
    assert (round(min(savings), 1), round(max(savings), 1)) == REPORTED_SAVING
    moved = load_profile("cmos45-fp32+node=7nm")
    assert "saves 14.6 times" in moved.caution  # 1 / 0.0684
    assert "save 2.4 to 3.3 times. Set it beside cmos7-fp32" in moved.caution
    # so the trend makes a MAC 5.4 times cheaper than the reported units: 1.69 against 0.31464
    reported_pj = load_profile("cmos7-fp32").prices["mac"].value
    assert reported_pj / moved.prices["mac"].value == pytest.approx(5.37, rel=1e-3)


def test_which_profiles_can_move() -> None:
    movable = {name for name in list_profiles() if "node" in load_profile(name).choices()}
    assert movable >= {"cmos45-bits", "cmos45-fp16", "cmos45-fp32", "cmos45-int16", "cmos45-int8"}
    assert not movable & {"cmos7-fp32", "bnn-xne", "bnn-xnorbin", "cpu-i7-4960x"}
    assert all(load_profile(name).kind == "op-only" for name in movable)
    assert load_profile("cmos45-fp32").choices()["node"] == targets(45, 0.9)
    assert targets(45, 0.9) == ("90nm", "65nm", "32nm", "20nm", "16nm", "14nm", "10nm", "7nm")
    for name, node in itertools.product(sorted(movable), targets(45, 0.9)):
        assert load_profile(f"{name}+node={node}").name == f"{name}+node={node}"


def test_the_ratio_of_two_rows_serves_other_origins(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        """\
name: mine
title: my units
kind: op-only
node_nm: 65
voltage_v: 1.0
number_format: int8
caution: "my own"
reference: my thesis
energy:
  mac: {value_pj: 10, bits: 8, basis: silicon, source: "my thesis, table 2"}
""",
        encoding="utf-8",
    )
    moved = load_profile(f"{path}+node=45nm")
    # from 65 nm at 1.0 V to 45 nm at 0.9 V: 10 / 1.906
    assert moved.prices["mac"].value == pytest.approx(10 / 1.906)
    assert moved.caution.startswith("my own. moved from 65 nm, 1 V to 45 nm, 0.9 V")


def test_a_constant_may_be_of_another_node_than_its_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    entry = 'bits: 8, basis: silicon, source: "my thesis", node_nm'
    text = f"""\
name: mine
title: my units
kind: op-only
node_nm: 45
voltage_v: 0.9
number_format: int8
reference: my thesis
energy:
  mac: {{value_pj: 10, {entry}: 65, voltage_v: 1.0}}
"""
    path.write_text(text, encoding="utf-8")
    # from its own 65 nm: 10 x 0.0684 / 1.906
    moved = load_profile(f"{path}+node=7nm")
    assert moved.prices["mac"].value == pytest.approx(10 * 0.0684 / 1.906)
    path.write_text(f"{text}  ac: {{value_pj: 1, {entry}: 28}}\n", encoding="utf-8")
    with pytest.raises(ProfileError) as refusal:
        load_profile(f"{path}+node=7nm")
    assert str(refusal.value).startswith(
        f'profile "{path}+node=7nm": option "node": energy.ac: node scaling: 28 nm has no row'
    )


def test_memories_refuse_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        """\
name: mine
title: my chip
kind: sram
node_nm: 45
voltage_v: 0.9
number_format: int8
reference: my thesis
energy:
  mac: {value_pj: 2, bits: 8, basis: silicon, source: "my thesis, table 2"}
memory:
  sram: {curve: cacti, node_nm: 45, cell: itrs-hp, access_bits: 8, basis: estimate, source: CACTI}
  fetch: packed
  weight_bits: 8
  state_bits: 8
  activation_bits: 8
  dram: {value_pj: 1300, bits: 64, basis: estimate, source: "my thesis, table 3"}
""",
        encoding="utf-8",
    )
    name = f"{path}+node=7nm"
    with pytest.raises(ProfileError) as refusal:
        load_profile(name)
    where = f'profile "{name}": option "node"'
    assert refusal.value.problems == (
        f"{where}: memory.dram: does not follow the logic node: a DRAM has a technology of its "
        "own. Give the energy of the DRAM that stands beside the chip",
        f"{where}: memory.sram: does not follow the logic node. Take the CACTI table at the node "
        "that you mean: curve: cacti, node_nm: 22",
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("bnn-xnorbin", "node scaling: 65 nm at 0.8 V has no row. It has: "),
        ("bnn-xne", "node scaling: 22 nm has no row. It has: "),
        ("cmos7-fp32", "node scaling: 7 nm at an unpublished voltage has no row. It has: "),
        ("cpu-i7-4960x", "node scaling: an unpublished node has no row. It has: "),
    ],
)
def test_origins_without_a_row(name: str, problem: str) -> None:
    with pytest.raises(ProfileError) as refusal:
        load_profile(f"{name}+node=7nm")
    assert str(refusal.value).startswith(f'profile "{name}+node=7nm": option "node": {problem}')


def test_a_node_that_is_no_row() -> None:
    with pytest.raises(ProfileError, match=r'unknown value "8nm"\. Did you mean "7nm"'):
        load_profile("cmos45-fp32+node=8nm")
