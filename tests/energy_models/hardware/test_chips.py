"""The shipped chips: published figures with a pencil, sources, and what each of them lacks."""

import re

import pytest

from energy_models import (
    EnergyBreakdown,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    StepCounts,
    estimate,
    list_profiles,
    load_profile,
)

PJ_PER_UJ, PJ_PER_J = 1e6, 1e12
CHIPS = [name for name in list_profiles() if load_profile(name).kind == "chip"]
FIGURES = ("pj", "mw", "ns", "mm2", "count")

# what the tables hold from memory alone: profile, quantity, values in the unit of a constant
RECALLED = [
    ("loihi-spec", "time of a neuron update", (8.4, 5.3)),
    ("loihi-spec", "pairwise learning", (120.0,)),
    ("loihi-spec", "barrier", (113.0, 465.0)),
    ("spinnaker1", "whole system per event", (5.9e6, 5.8e6)),
    ("morphic", "all-in energy per event", (30.0,)),
    ("tianjic", "1.28 TOPS/W", (0.78125, 1.5625)),
]
# printed somewhere, and wrong or of another kind
TRAPS = [
    ("spinnaker1", 45.0),  # nJ printed as pJ
    ("spinnaker2-prototype", 10.0),  # another operation on another chip
    ("truenorth", 26.0),  # all-in
    ("truenorth", 2.5),  # all-in at 200 Hz
    ("truenorth-all-in", 2.5),
    ("odin", 12.7),  # the whole power at the highest rate, divided by it
    ("odin-biological", 54.0),
]
NEURONS = 100
STEPS = 10
SPIKES = 50


def layer(events: float, name: str = "fc", operator: str = "linear") -> LayerCounts:
    return LayerCounts(name, operator, ops=OpCounts(ac=events), weight_kind="real", weights=1)


def neurons(number: int, updates: float, spikes: float) -> LayerCounts:
    compared = NeuronUpdates(compare=updates, integrate=updates)
    return LayerCounts("lif", "neuron", neurons=number, updates=compared, spikes_out=spikes)


def priced(profile: str, *rows: LayerCounts, time_steps: int = 1) -> EnergyBreakdown:
    counts = ModelCounts(samples=1, layers=rows, time_steps=time_steps)
    return estimate(counts, load_profile(profile))


def component(energy: EnergyBreakdown, name: str) -> float:
    return sum(row["energy_pj"] for row in energy.rows() if row["component"] == name)


@pytest.mark.parametrize(("rate_hz", "published_mw"), [(11.58, 68), (95.93, 94)])
def test_truenorth_at_its_calibration_points(rate_hz: float, published_mw: float) -> None:
    # calibration: slope and intercept are made of these two points, which validates nothing else
    synapses = 2**20 * 128
    energy = priced(
        "truenorth",
        layer(rate_hz * synapses),  # events of one second
        neurons(2**20, 2**20 * 1000, rate_hz * 2**20),
        time_steps=1000,
    )
    assert energy.latency_s == pytest.approx(1.0)
    # 64.4 mW + rate x 2^20 x 128 x 2.297 pJ
    assert energy.total_pj is not None
    power_mw = energy.total_pj / PJ_PER_J * 1000 / energy.latency_s
    assert power_mw == pytest.approx(published_mw, rel=1e-3)


def test_two_truenorths_hold_twice_the_neurons_and_burn_twice_the_static_power() -> None:
    one = priced("truenorth", neurons(2**20, 2**20, 0))
    two = priced("truenorth", neurons(2**20 + 1, 2**20, 0))
    # 64.4 mW x 1 ms = 64.4 uJ
    assert one.network["static"] / PJ_PER_UJ == pytest.approx(64.4)
    assert two.network["static"] / PJ_PER_UJ == pytest.approx(2 * 64.4)
    [warning] = two.warnings
    assert "2 chips hold the network" in warning
    # the tick sets the time, not the events: it is exact
    assert "upper bound" not in warning


def test_truenorth_all_in_leaves_no_room_for_another_term() -> None:
    energy = priced("truenorth-all-in", layer(1000), neurons(NEURONS, 1000, SPIKES), time_steps=10)
    # 1000 x 26
    assert energy.total_pj == pytest.approx(26_000)
    assert energy.network == {}
    assert energy.latency_s == pytest.approx(0.010)


@pytest.mark.parametrize(
    ("profile", "rate_hz", "published_pj", "rel"),
    [
        # 8.43 + (27.3 uW + 1.78 uW/MHz x 75 MHz) / 37.5 MHz = 12.718
        ("odin", 37.5e6, 12.7, 0.01),
        # 8.43 + (27.3 uW + 1.78 uW/MHz x 1.3 MHz) / 0.65 MHz = 53.99, 13.6 times less power
        ("odin-biological", 0.65e6, 54, 0.01),
    ],
)
def test_odin_at_two_rates(profile: str, rate_hz: float, published_pj: float, rel: float) -> None:
    events = 1000
    energy = priced(profile, layer(events), neurons(10, 100, 5))
    assert energy.total_pj is not None
    assert energy.total_pj / events == pytest.approx(published_pj, rel=rel)
    assert energy.latency_s == pytest.approx(events / rate_hz, rel=1e-3)


def test_odin_of_several_cores_says_what_it_assumes() -> None:
    energy = priced("odin", layer(1000), neurons(300, 100, 5))
    # ceil(300 / 256) = 2 cores x (0.0273 + 0.1335) mW x 1000 x 26.667 ns
    assert energy.network["static"] == pytest.approx(2 * 0.1608 * 26_667)
    assert "time and static are upper bounds" in energy.warnings[0]


def keyword_net(*, rate: float) -> tuple[LayerCounts, ...]:
    """390-256-256-29, 10 steps; every synapse spikes at a rate."""
    synapses = 390 * 256 + 256 * 256 + 256 * 29  # 172,800
    count = 256 + 256 + 29  # 541
    return layer(synapses * 10 * rate), neurons(count, count * 10, count * 10 * rate)


def test_the_ceiling_of_loihi_on_keywords_lies_far_below_the_silicon() -> None:
    energy = priced("loihi-spec", *keyword_net(rate=1), time_steps=10)
    # 172,800 x 10 x 23.6 pJ + 541 x 10 x 81 pJ
    ceiling_uj = (1_728_000 * 23.6 + 5410 * 81) / PJ_PER_UJ
    assert ceiling_uj == pytest.approx(41.2, abs=0.05)
    found_pj = component(energy, "synaptic_compute") + component(energy, "neuron_updates")
    assert found_pj / PJ_PER_UJ == pytest.approx(ceiling_uj)
    # 5410 spikes x 1.7 pJ within their tile
    assert component(energy, "routing") == pytest.approx(5410 * 1.7)
    assert energy.total_pj is None
    # measured: 271.6 uJ, dynamic
    assert 271.6 / (energy.partial_pj / PJ_PER_UJ) == pytest.approx(6.6, abs=0.05)


def test_a_further_copy_of_the_keyword_net_on_loihi() -> None:
    # consistency, no validation: the rate was fitted to this slope
    def copies(number: int) -> float:
        synapses = number * 720_896 * 10 * 0.0918
        rows = layer(synapses), neurons(number * 2560, number * 25_600, 0)
        return priced("loihi-spec", *rows, time_steps=10).partial_pj

    # 720,896 x 10 x 0.0918 x 23.6 pJ + 2560 x 10 x 52 pJ
    assert (copies(2) - copies(1)) / PJ_PER_UJ == pytest.approx(16.95, rel=1e-3)


def test_loihi_as_specified_has_no_total_even_without_static_power() -> None:
    fixed = (
        "no energy for inference (the fixed part)",
        "no energy for input_bit (input and output)",
    )
    assert priced("loihi-spec", layer(1)).missing == ("no static power", *fixed)
    assert priced("loihi-spec+static=excluded", layer(1)).missing == fixed


def test_loihi_as_keras_spiking_prices_it() -> None:
    rows = layer(1000), neurons(10, 100, 20)
    energy = priced("loihi-spec+preset=keras-spiking", *rows)
    # 1000 x (23.6 + 3.5) + 100 x 81, spiking or not
    assert energy.partial_pj == pytest.approx(27_100 + 8_100)
    # a quiet update: 81 / 52 - 1 = 56 % too much
    assert 81 / 52 == pytest.approx(1.56, abs=0.005)


def test_loihi_as_fitted_prices_a_convolution_apart() -> None:
    steps = (StepCounts(ac=400), StepCounts(ac=600))
    conv = LayerCounts(
        "conv", "convolution", ops=OpCounts(ac=1000), weight_kind="real", steps=steps
    )
    rows = conv, neurons(NEURONS, NEURONS * STEPS, SPIKES), layer(200)
    energy = priced("loihi-fit+fixed=kws-board", *rows, time_steps=STEPS)
    # stored once, 24.0; dense, 35.5
    assert energy.by_layer()["conv"] == pytest.approx(1000 * 24.0)
    assert energy.layers[0].steps == pytest.approx((400 * 24.0, 600 * 24.0))
    assert energy.by_layer()["fc"] == pytest.approx(200 * 35.5)
    # access + update for each, spike and message for each spike
    assert component(energy, "neuron_updates") == pytest.approx(1000 * (51.2 + 21.6))
    assert component(energy, "routing") == pytest.approx(50 * (69.3 + 111))
    # 29.5 mW x 10 x 1.8 us
    assert energy.network["static"] == pytest.approx(29.5 * 18_000)
    assert energy.network["fixed"] == pytest.approx(667 * PJ_PER_UJ)
    assert energy.complete
    assert any(text.startswith("one message is paid per spike") for text in energy.assumptions)


def test_ranges_of_loihi_as_fitted() -> None:
    profile = load_profile("loihi-fit+fixed=kws-board")
    conv = LayerCounts("conv", "convolution", ops=OpCounts(ac=1000), weight_kind="real")
    counts = ModelCounts(samples=1, layers=(conv,), time_steps=10)
    intervals = estimate(counts, profile, uncertainty=True, draws=400).intervals
    assert intervals is not None
    # another way to store the layer is another draw
    assert intervals.drawn["energy.ac_convolution"] == (24.0, 35.5)
    assert "energy.ac" not in intervals.drawn  # no layer of that kind
    compute = intervals.components["synaptic_compute"]
    assert 24_000 <= compute.low_pj < compute.high_pj <= 35_500


def test_spinnakers() -> None:
    rows = layer(100), neurons(10, 50, 5)
    # 100 x 13.3 nJ + 50 x 26 nJ
    assert priced("spinnaker1", *rows).partial_pj == pytest.approx(1_330_000 + 1_300_000)
    # 100 x 450 pJ + 50 x 2.19 nJ
    assert priced("spinnaker2-prototype", *rows).partial_pj == pytest.approx(45_000 + 109_500)


@pytest.mark.parametrize(
    ("mac_per_frame", "published_pj"),
    [(666e6, 278e-3 / 34.7 * PJ_PER_J), (15.3e9, 236e-3 / 0.7 * PJ_PER_J)],
    ids=["alexnet", "vgg-16"],
)
def test_eyeriss_between_its_two_networks(mac_per_frame: float, published_pj: float) -> None:
    mac = load_profile("eyeriss").prices["mac"]
    assert mac.low_pj is not None
    assert mac.high_pj is not None
    # 8.01 mJ / 666 M = 12.03 pJ, 337 mJ / 15.3 G = 22.04 pJ
    low_pj, high_pj = mac.low_pj * mac_per_frame, mac.high_pj * mac_per_frame
    assert low_pj * 0.99 <= published_pj <= high_pj * 1.01
    row = LayerCounts("conv", "convolution", ops=OpCounts(mac=1, dense_mac=mac_per_frame))
    assert priced("eyeriss", row).total_pj == pytest.approx(low_pj)


_STATIC = "no static power"
_FIXED = "no energy for inference (the fixed part)"
_INPUT = "no energy for input_bit (input and output)"
_NETWORK = (_STATIC, _FIXED, _INPUT)
_REPORTED = (
    *("lif: no energy for neuron", "lif: no energy for spike", "lif: no energy for message"),
    *("energy.ac is as reported: what it holds is not published", *_NETWORK),
)
LACKING = {
    "truenorth": (),
    "truenorth-all-in": (),
    "odin": (),
    "odin-biological": (),
    "morphic": (),
    "loihi-fit": (f"{_FIXED}. An option prices it: loihi-fit+fixed=kws-board",),
    "loihi-fit+fixed=kws-board": (),
    "loihi-spec": _NETWORK,
    "spinnaker1": _NETWORK,
    "spinnaker2-prototype": ("lif: no energy for message", *_NETWORK),
    "darwin3": (
        "lif: no energy for neuron",
        "lif: no energy for spike",
        "lif: no energy for message",
        *_NETWORK,
    ),
    "reckon": _REPORTED,
    "ubrain": _REPORTED,
    "tianjic": _REPORTED,
    "neuronflow": _REPORTED,
    "seneca": _REPORTED,
    "eyeriss": ("fc: no energy for ac",),
}


def test_every_chip_says_what_it_lacks() -> None:
    assert {name.partition("+")[0] for name in LACKING} == set(CHIPS)


@pytest.mark.parametrize("name", LACKING)
def test_what_a_plain_spiking_network_lacks(name: str) -> None:
    rows = layer(1000), neurons(NEURONS, NEURONS * STEPS, SPIKES)
    energy = priced(name, *rows, time_steps=STEPS)
    assert sorted(energy.missing) == sorted(LACKING[name])
    assert (energy.total_pj is None) == bool(LACKING[name])


@pytest.mark.parametrize("name", CHIPS)
def test_a_real_first_layer_is_a_gap_or_the_host_s(name: str) -> None:
    real = LayerCounts(
        "conv1", "convolution", ops=OpCounts(mac=7, dense_mac=10), weight_kind="real"
    )
    if name == "eyeriss":
        # 10 x 12.0
        assert priced(name, real).total_pj == pytest.approx(120.0)
        return
    missing = f"conv1: no energy for mac: this is a spiking chip. A host can price it: {name}"
    assert f"{missing}+host=cmos45-int8" in priced(name, real).missing
    hosted = priced(f"{name}+host=cmos45-int8", real)
    # 10 x 0.23
    assert hosted.layers[0].energy_pj == {"host": pytest.approx(2.3)}
    assert not any("conv1" in text for text in hosted.missing)


_NAMED = re.compile(
    r"doi 10\.\d{4,9}/\S+|arXiv \d{4}\.\d{4,5}|repository \w[\w.-]*/\w[\w.-]*"
    r"|CACTI 7|IEEE Xplore \d+"
)


_ENDS = ("low", "value", "high")


def every_constant(name: str):
    """Constants of a profile and of its options."""
    profile = load_profile(name)
    rows = list(profile.constants().items())
    rows += [(f"energy.{event}", one) for event, one in profile.energy.items()]
    for option, values in profile.options.items():
        for value, overlay in values.items():
            rows += [(f"{option}={value}.{event}", one) for event, one in overlay.items()]
    assert rows
    return rows


def with_each_option(name: str) -> list[str]:
    """A shipped name alone, and with each value of each option that replaces constants."""
    options = load_profile(name).options.items()
    return [name, *(f"{name}+{option}={value}" for option, values in options for value in values)]


@pytest.mark.parametrize("name", list_profiles())
def test_every_source_can_be_looked_up(name: str) -> None:
    for asked in with_each_option(name):
        rows = load_profile(asked).rows()
        assert rows
        for row in rows:
            where = f"{asked}: {row['quantity']}"
            assert _NAMED.search(row["source"]), f"{where}: {row['source']}"
            if row["low"] is not None:
                assert row["range_source"], where
            if row["basis"] == "assumption":
                assert row["note"], f"{where}: an assumption says what was assumed"


def test_the_walk_over_sources_sees_memories_and_options() -> None:
    for name in ("cmos45-sram-int8", "cmos45-cache-int8", "lemaire-qualia"):
        quantities = [row["quantity"] for row in load_profile(name).rows()]
        assert "memory.sram" in quantities
    walked = [asked for name in list_profiles() for asked in with_each_option(name)]
    assert {"cmos45-int8+accumulator=32-bit", "loihi-fit+fixed=kws-board"} <= set(walked)
    # options change what is walked, they do not repeat it
    for asked in walked:
        plain = load_profile(asked.partition("+")[0]).rows()
        assert ("+" in asked) == (load_profile(asked).rows() != plain), asked


@pytest.mark.parametrize(("name", "quantity", "values"), RECALLED)
def test_what_was_not_re_read_ships_as_an_assumption_or_not_at_all(
    name: str, quantity: str, values: tuple[float, ...]
) -> None:
    assert name in CHIPS
    for where, one in every_constant(name):
        figures = {getattr(one, f"{end}_{unit}", None) for end in _ENDS for unit in FIGURES}
        if figures & set(values):
            assert one.basis == "assumption", f"{name}: {where}: {quantity}"
            assert "not re-read" in one.note


@pytest.mark.parametrize(("name", "figure"), TRAPS)
def test_figures_of_another_kind_are_no_constants(name: str, figure: float) -> None:
    for where, one in every_constant(name):
        if where.startswith("energy.input_bit"):
            continue
        figures = {getattr(one, f"{end}_{unit}", None) for end in _ENDS for unit in FIGURES}
        assert figure not in figures, f"{name}: {where}"


@pytest.mark.parametrize("name", CHIPS)
def test_no_number_of_the_first_loihi_is_called_measured(name: str) -> None:
    for _, one in every_constant(name):
        if "10.1109/MM.2018.112130359" in one.source:
            assert one.basis in ("estimate", "derived")


@pytest.mark.parametrize("name", ["reckon", "ubrain", "tianjic", "neuronflow", "seneca"])
def test_mixed_definitions_are_said_in_the_title_and_in_the_note(name: str) -> None:
    profile = load_profile(name)
    assert "as reported, mixed definitions" in profile.title
    assert "definitions are mixed" in profile.prices["ac"].note
