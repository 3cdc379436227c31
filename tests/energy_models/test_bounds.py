"""The bounds of what a network can cost, by pencil and by law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_models import LayerCounts, ModelCounts, NeuronUpdates, OpCounts, load_profile
from energy_models.bounds import Kinds, bounds_pj, spikes, working
from energy_models.estimate import estimate
from energy_models.layers import OperandCounts, StepCounts

FC = LayerCounts(
    name="fc",
    operator="linear",
    ops=OpCounts(dense_ac=200),
    input_kind="unit",
    weight_kind="real",
    weights=100,
    nonzero_weights=100,
    outputs=20,
    operands=(OperandCounts("unit", 20, 0, (1.0,)),),
    steps=(StepCounts(), StepCounts()),
    calls=(StepCounts(),),
)
LIF = LayerCounts(
    name="lif",
    operator="neuron",
    neurons=10,
    outputs=20,
    updates=NeuronUpdates(state_read=10, leak=10, integrate=10, compare=20, state_write=10),
    spikes_out=0.0,
    fed_by=("fc",),
    steps=(StepCounts(spikes_out=0.0), StepCounts(spikes_out=0.0)),
)
COUNTS = ModelCounts(samples=1, layers=(FC, LIF), time_steps=2)
ARITHMETIC = "cmos45-fp32+neuron_updates=excluded"
SPIKES = {"fc": Kinds(("unit",))}


def test_a_layer_of_spikes_costs_nothing_at_least_and_every_accumulate_at_most() -> None:
    # 200 products at 0.9 pJ
    profile = load_profile(ARITHMETIC)
    assert bounds_pj(COUNTS, SPIKES, profile) == pytest.approx((0.0, 200 * 0.9))


def test_a_layer_of_real_values_that_is_paid_dense_has_one_price() -> None:
    low, high = bounds_pj(COUNTS, {"fc": Kinds(("real",))}, load_profile(ARITHMETIC)) or (0, 0)
    assert low == high == pytest.approx(200 * 4.6)


def test_a_layer_whose_class_is_open_has_the_bounds_of_all_of_them() -> None:
    open_kinds = {"fc": Kinds(("unit", "real"))}
    found = bounds_pj(COUNTS, open_kinds, load_profile(ARITHMETIC))
    assert found == pytest.approx((0.0, 200 * 4.6))


def test_a_chip_has_no_bounds_where_a_class_is_open() -> None:
    profile = load_profile("truenorth+host=cmos45-int8")
    assert bounds_pj(COUNTS, {"fc": Kinds(("unit", "real"))}, profile) is None
    assert bounds_pj(COUNTS, SPIKES, profile) is not None


def test_what_has_no_price_has_no_bounds() -> None:
    counts = ModelCounts(samples=1, layers=(FC,), time_steps=2)
    profile = load_profile("truenorth")  # without a host, real values have no price there
    assert bounds_pj(counts, {"fc": Kinds(("real",))}, profile) is None


def test_all_neurons_spike_at_every_step_at_most() -> None:
    assert spikes(COUNTS) == (0.0, 20.0)


@given(
    pairs=st.floats(0, 200),
    more=st.floats(0, 1),
    sent=st.floats(0, 20),
    name=st.sampled_from(
        (
            "cmos45-fp32",
            "cmos45-int8",
            "cmos45-sram-fp32",
            "lemaire-qualia",
            "lemaire-spikingjelly",
            "truenorth+host=cmos45-int8",
        )
    ),
)
def test_a_price_never_falls_where_a_count_rises(
    pairs: float, more: float, sent: float, name: str
) -> None:
    def price(pairs: float, sent: float) -> float | None:
        layer = working(FC, "unit", "real", pairs=pairs, nonzero=pairs / 10)
        neurons = LayerCounts(
            **{
                **{slot: getattr(LIF, slot) for slot in LIF.__dataclass_fields__},
                "spikes_out": sent,
            }
        )
        counts = ModelCounts(samples=1, layers=(layer, neurons), time_steps=2)
        return estimate(counts, load_profile(name)).total_pj

    low, high = price(pairs, sent), price(pairs + more * (200 - pairs), sent + more * (20 - sent))
    ends = bounds_pj(COUNTS, SPIKES, load_profile(name))
    if low is not None and high is not None and ends is not None:
        assert low <= high * (1 + 1e-9)
        assert ends[0] * (1 - 1e-9) <= low
        assert high <= ends[1] * (1 + 1e-9)
