"""The price lists of operations: 45 and 7 nm units, binary accelerators, CPUs and GPUs."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_models import (
    EnergyBreakdown,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    ProfileError,
    estimate,
    list_profiles,
    load_profile,
)
from energy_models.units import PJ_PER_J, PJ_PER_MJ, PJ_PER_UJ

CMOS45 = ["cmos45-fp16", "cmos45-fp32", "cmos45-int16", "cmos45-int32", "cmos45-int8"]
CMOS7 = ["cmos7-bf16", "cmos7-fp32", "cmos7-int8"]
BNN = ["bnn-binareye", "bnn-braintta", "bnn-xne", "bnn-xnorbin"]
PRESETS = ["arm-cortex-a", "cpu-i7-4960x", "gpu-titan-black"]
MEASURED = ["cpu-xeon-e5-2630", "gpu-jetson-tx1", "gpu-quadro-k4000", "movidius-ncs"]
ADDITIONS = ("ac", "add", "integrate", "compare", "reset")


def prices(name: str) -> dict[str, float]:
    return {event: one.value for event, one in load_profile(name).prices.items()}


def priced(name: str, updates: NeuronUpdates | None = None, **ops: float) -> EnergyBreakdown:
    row = LayerCounts("layer", "linear", ops=OpCounts(**ops), updates=updates or NeuronUpdates())
    return estimate(ModelCounts(samples=1, layers=(row,)), load_profile(name))


def test_all_of_them_ship() -> None:
    assert {*CMOS45, *CMOS7, *BNN, *PRESETS, *MEASURED, "cmos45-bits"} <= set(list_profiles())


@pytest.mark.parametrize(
    ("name", "mac_pj", "addition_pj", "leak_pj"),
    [
        # 1.0 multiplication + 0.05 addition
        ("cmos45-int16", 1.05, 0.05, 1.0),
        # 1.31 + 0.38
        ("cmos7-fp32", 1.69, 0.38, 1.31),
        # 0.21 bf16 multiplication + 0.38 fp32 addition
        ("cmos7-bf16", 0.59, 0.38, 0.21),
        # 0.07 multiplication of 8 bits + 0.03 addition of 32 bits
        ("cmos7-int8", 0.10, 0.03, 0.07),
    ],
)
def test_prices_follow_from_two_units(
    name: str, mac_pj: float, addition_pj: float, leak_pj: float
) -> None:
    expected = {"mac": mac_pj, "leak": leak_pj, "binary": 0.03}
    assert prices(name) == pytest.approx({**expected, **dict.fromkeys(ADDITIONS, addition_pj)})
    assert prices(f"{name}+binary=bops-64")["binary"] == pytest.approx(mac_pj / 64)


@pytest.mark.parametrize("name", CMOS7)
def test_seven_nanometres_hold_no_cell_that_nobody_quotes(name: str) -> None:
    profile = load_profile(name)
    assert (profile.node_nm, profile.voltage_v) == (7, "unpublished")
    summands = {0.07, 0.03, 0.21, 0.38, 1.31}
    for event, one in profile.prices.items():
        if event != "mac":
            assert one.value in summands
    told = [float(number) for number in re.findall(r"\d+\.\d+", profile.prices["mac"].note)]
    assert set(told) <= summands
    assert sum(told) == pytest.approx(profile.prices["mac"].value)


@pytest.mark.parametrize("name", CMOS45)
def test_ranges_at_45_nm(name: str) -> None:
    profile = load_profile(name)
    ranges = {event: one.range_given for event, one in profile.prices.items()}
    multiplication_pj, addition_pj = prices(name)["leak"], prices(name)["add"]
    # a comparator is 0.013 of a multiplication of its width; at most it is an addition
    assert ranges["compare"] == (pytest.approx(0.013 * multiplication_pj), addition_pj)
    # a binary product has none: the low end that is published is of another node
    assert [event for event, ends in ranges.items() if ends != (None, None)] == ["compare"]


@pytest.mark.parametrize(
    ("operations", "memories"),
    [
        ("cmos45-int8+accumulator=32-bit", "cmos45-sram-int8"),
        ("cmos45-int8+accumulator=32-bit", "cmos45-cache-int8"),
        ("cmos45-fp32", "cmos45-sram-fp32"),
    ],
)
def test_a_comparison_is_as_sure_with_memories_as_without(operations: str, memories: str) -> None:
    alone, beside = (load_profile(name).prices["compare"] for name in (operations, memories))
    assert alone.range_given != (None, None)
    assert beside == alone


def test_a_range_reaches_the_interval_of_a_network() -> None:
    neurons = LayerCounts("lif", "neuron", neurons=1000, updates=NeuronUpdates(compare=1000))
    counts = ModelCounts(samples=1, layers=(neurons,))
    intervals = estimate(counts, load_profile("cmos45-fp32"), uncertainty=True).intervals
    assert intervals is not None
    # 1000 comparisons of 0.0481 to 0.9 pJ
    assert 48.1 <= intervals.total.low_pj < 60 < 800 < intervals.total.high_pj <= 900
    assert list(intervals.drawn) == ["energy.compare"]


@pytest.mark.parametrize(
    ("bits", "multiplication_pj", "addition_pj"),
    [
        # 0.001041666667 b + 0.002994791667 b^2, and 0.003125 b
        (1, 0.00404, 0.003125),
        (4, 0.0520833, 0.0125),
        (7, 0.1540365, 0.021875),
    ],
)
def test_few_bits(bits: int, multiplication_pj: float, addition_pj: float) -> None:
    name = f"cmos45-bits+bits={bits}"
    profile = load_profile(name)
    assert profile.number_format == f"int{bits}"
    assert profile.prices["mac"].bits == bits
    expected = {"mac": multiplication_pj + addition_pj, "leak": multiplication_pj, "binary": 0.03}
    assert prices(name) == pytest.approx(
        {**expected, **dict.fromkeys(ADDITIONS, addition_pj)}, rel=1e-3
    )
    wide = {"mac": multiplication_pj + 0.1, "leak": multiplication_pj, "binary": 0.03}
    assert prices(f"{name}+accumulator=32-bit") == pytest.approx(
        {**wide, **dict.fromkeys(ADDITIONS, 0.1)}, rel=1e-3
    )


def test_the_fit_at_the_widths_that_it_was_made_from() -> None:
    # the profile stops at 7 bits, its polynomials do not: a b + c b^2 from two widths
    def at(bits: int, event: str) -> float:
        one, two = (prices(f"cmos45-bits+bits={width}")[event] for width in (1, 2))
        square = (two - 2 * one) / 2
        return (one - square) * bits + square * bits**2

    assert at(8, "leak") == pytest.approx(0.2, rel=1e-6)
    assert at(32, "leak") == pytest.approx(3.1, rel=1e-6)
    assert at(32, "add") == pytest.approx(0.1, rel=1e-6)
    # and it misses two cells: 0.025 against 0.03, 0.783 against 1.0
    assert at(8, "add") == pytest.approx(0.025, rel=1e-6)
    assert at(16, "leak") == pytest.approx(0.78333, rel=1e-4)


@given(bits=st.integers(1, 6))
def test_a_wider_product_never_costs_less(bits: int) -> None:
    narrow, wide = (prices(f"cmos45-bits+bits={width}") for width in (bits, bits + 1))
    assert all(wide[event] >= narrow[event] for event in narrow)
    assert narrow["mac"] == pytest.approx(narrow["leak"] + narrow["add"], rel=1e-6)
    assert wide["mac"] < prices("cmos45-int8")["mac"]


def test_binary_products_among_few_bits() -> None:
    # at one bit the fit says 0.00404 + 0.003125
    fit = prices("cmos45-bits+bits=1+binary=fit")
    assert fit["binary"] == pytest.approx(fit["mac"], rel=1e-3)
    # so the 8-bit addition of the other profiles costs more than a MAC of two bits
    assert prices("cmos45-bits+bits=2")["mac"] < prices("cmos45-bits")["binary"]


def test_eight_bits_have_a_profile_of_their_own() -> None:
    with pytest.raises(ProfileError, match=r'option "bits": unknown value "8"'):
        load_profile("cmos45-bits+bits=8")


def test_bops_are_called_a_convention() -> None:
    binary = load_profile("cmos45-fp32+binary=bops-64").prices["binary"]
    assert binary.basis == "assumption"
    assert binary.note.startswith("a convention")


@pytest.mark.parametrize(
    ("name", "product_pj", "node_nm"),
    [
        # two operations a product: 2 x 21.6 fJ, 2 x 10.53 fJ, 2 x 4.35 fJ, 2 x 35 fJ
        ("bnn-xne", 0.0432, 22),
        ("bnn-xnorbin", 0.02106, 65),
        ("bnn-binareye", 0.0087, 28),
        ("bnn-braintta", 0.07, "unpublished"),
    ],
)
def test_binary_accelerators(name: str, product_pj: float, node_nm: float | str) -> None:
    assert load_profile(name).node_nm == node_nm
    energy = priced(name, NeuronUpdates(compare=7), dense_binary=1000, binary=400)
    # the threshold is inside
    assert energy.total_pj == pytest.approx(1000 * product_pj)
    assert priced(name, dense_ac=10, ac=3).missing == ("layer: no energy for ac",)


def test_efficiencies_as_published() -> None:
    # 95 and 230 operations per pJ, two of them a product
    assert prices("bnn-xnorbin")["binary"] == pytest.approx(2 / 95, rel=1e-3)
    assert prices("bnn-binareye")["binary"] == pytest.approx(2 / 230, rel=1e-3)
    # 405 fJ against 35 fJ
    braintta = prices("bnn-braintta")
    assert braintta["mac"] / braintta["binary"] == pytest.approx(11.57, rel=1e-3)


def test_energy_of_an_operation_is_not_energy_of_a_frame() -> None:
    # ResNet-34: 3.6 G products x 0.0432 pJ = 0.1555 mJ; the same source says 2.2 mJ
    energy = priced("bnn-xne", dense_binary=3_600_000_000)
    assert energy.total_pj == pytest.approx(0.15552 * PJ_PER_MJ)
    assert 2.2 * PJ_PER_MJ / energy.total_pj == pytest.approx(14.1, rel=1e-2)
    assert any("14 times" in text for text in energy.assumptions)


def test_a_host_prices_what_the_accelerator_cannot() -> None:
    first = LayerCounts("first", "convolution", ops=OpCounts(dense_mac=10))
    second = LayerCounts(
        "second", "linear", ops=OpCounts(dense_binary=100), updates=NeuronUpdates(compare=4)
    )
    counts = ModelCounts(samples=1, layers=(first, second))
    alone = estimate(counts, load_profile("bnn-xne"))
    assert (alone.total_pj, alone.missing) == (None, ("first: no energy for mac",))
    hosted = estimate(counts, load_profile("bnn-xne+host=cmos45-int8"))
    # 10 x 0.23 on the host, 100 x 0.0432 here
    assert hosted.rows() == [
        {"layer": "first", "component": "host", "energy_pj": pytest.approx(2.3)},
        {"layer": "second", "component": "synaptic_compute", "energy_pj": pytest.approx(4.32)},
    ]


def test_the_example_of_keras_spiking() -> None:
    # 784 x 128 = 100,352 connections, and 128 neurons, 8.6 nJ each: 0.000864 J
    energy = priced("cpu-i7-4960x", NeuronUpdates(compare=128), dense_mac=100_352)
    assert energy.total_pj == pytest.approx((100_352 + 128) * 8600)
    assert energy.total_pj / PJ_PER_J == pytest.approx(0.000864, rel=2e-3)


def test_a_network_of_a_paper_in_fp32() -> None:
    # 18.39 M MAC x 4.6 pJ = 84.594 uJ
    energy = priced("cmos45-fp32", dense_mac=18_390_000)
    assert energy.total_pj == pytest.approx(84.594 * PJ_PER_UJ, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "price_pj"), [("arm-cortex-a", 900), ("cpu-i7-4960x", 8600), ("gpu-titan-black", 300)]
)
def test_presets_have_one_price(name: str, price_pj: float) -> None:
    # a spike costs what a zero costs: 50 positions each, whatever the 3 that are not zero
    for event in ("mac", "ac", "graded", "binary"):
        energy = priced(name, **{event: 3, f"dense_{event}": 50})
        assert energy.total_pj == 50 * price_pj
    # a neuron update is one price, whatever happens in it
    updates = NeuronUpdates(leak=5, integrate=5, compare=5, reset=2, state_read=4, state_write=4)
    assert priced(name, updates).total_pj == 5 * price_pj


@pytest.mark.parametrize(
    ("name", "price_pj", "energy_uj"),
    [
        # one more copy of the network: 720,896 MAC
        ("cpu-xeon-e5-2630", 7730, 5572.5),
        ("gpu-quadro-k4000", 32250, 23248.9),
        ("movidius-ncs", 963, 694.2),
        ("gpu-jetson-tx1", 32300, 23284.9),
    ],
)
def test_measured_machines(name: str, price_pj: float, energy_uj: float) -> None:
    # neurons are inside
    energy = priced(name, NeuronUpdates(compare=2560), dense_mac=720_896, mac=1)
    assert energy.total_pj == pytest.approx(720_896 * price_pj)
    assert energy.total_pj == pytest.approx(energy_uj * PJ_PER_UJ, rel=1e-4)
    assert priced(name, dense_ac=10, ac=1).total_pj == 10 * price_pj


@pytest.mark.parametrize(
    ("name", "energy_uj"),
    [("cpu-xeon-e5-2630", 348.27), ("gpu-quadro-k4000", 726.92), ("gpu-jetson-tx1", 101.15)],
)
def test_sixty_four_at_once(name: str, energy_uj: float) -> None:
    # published raw logs: energy of one inference of 172,800 MAC
    energy = priced(f"{name}+batch=64", dense_mac=172_800)
    assert energy.total_pj == pytest.approx(energy_uj * PJ_PER_UJ, rel=2e-3)
    one = load_profile(name).prices["mac"]
    assert one.range_given == (prices(f"{name}+batch=64")["mac"], one.value)


# J per inference, idle power taken off, from the raw power logs of Blouw et al. 2019
LOGGED_J = {
    "cpu-xeon-e5-2630": (1.411681e-2, 2.622266e-2, 3.457402e-2, 4.527657e-2, 6.031400e-2),
    "gpu-quadro-k4000": (9.181932e-2, 1.410716e-1, 1.885323e-1, 2.351944e-1, 2.772731e-1),
    "movidius-ncs": (2.824955e-3, 3.999029e-3, 5.527085e-3, 7.163948e-3, 8.185603e-3),
}


@pytest.mark.parametrize("name", LOGGED_J)
def test_slopes_are_those_of_the_logs(name: str) -> None:
    # 2, 4, 6, 8 and 10 copies of 720,896 MAC beside a network of 107,264
    macs = np.array([107_264 + copies * 720_896 for copies in (2, 4, 6, 8, 10)])
    slope_j, at_no_mac_j = np.polyfit(macs, np.array(LOGGED_J[name]), 1)
    assert slope_j * PJ_PER_J == pytest.approx(prices(name)["mac"], rel=1e-3)
    # what the profile leaves out is told with its size
    told = load_profile(name).excludes["fixed"]
    without, at_none = (float(found) for found in re.findall(r"([\d.]+) mJ", told))
    assert at_no_mac_j * PJ_PER_J / PJ_PER_MJ == pytest.approx(at_none, rel=3e-3)
    assert (at_no_mac_j + 107_264 * slope_j) * PJ_PER_J / PJ_PER_MJ == pytest.approx(
        without, rel=6e-3
    )


@pytest.mark.parametrize("name", [*BNN, *PRESETS, *MEASURED, "cmos45-bits"])
def test_what_a_reader_must_know_is_said(name: str) -> None:
    caution = load_profile(name).caution
    assert caution
    assert f"caution: {caution}" in priced(name, dense_binary=1).assumptions


def test_nobody_published_the_numbers_of_a_machine() -> None:
    row = LayerCounts("fc", "linear", weight_kind="real", weight_bits=32, ops=OpCounts(dense_mac=1))
    counts = ModelCounts(samples=1, layers=(row,))
    assumptions = estimate(counts, load_profile("gpu-titan-black")).assumptions
    assert (
        "the network ran in 32-bit floating point: of gpu-titan-black, nobody published in which "
        "numbers"
    ) in assumptions
