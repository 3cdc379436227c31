"""Rates: evaluations of a layer, spikes per input element, and counts at another rate."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_models import (
    CountsError,
    Geometry,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    load_profile,
)
from energy_models.rates import at_scale, evaluations, is_spiking_side, spike_rate

FP32 = load_profile("cmos45-fp32")
SPIKES = OperandCounts("unit", elements=20, nonzero=5, levels=(1.0,))


def row(**changes: object) -> LayerCounts:
    """A linear layer of 5 inputs and 3 outputs, at 4 steps, with 5 spikes among its 20 inputs."""
    plain = LayerCounts(
        "fc",
        "linear",
        ops=OpCounts(ac=15, dense_ac=60),
        geometry=Geometry(5, 3),
        input_kind="unit",
        weight_kind="real",
        weights=15,
        outputs=12,
        spikes_in=5,
        operands=(SPIKES,),
        steps=(StepCounts(ac=3), StepCounts(ac=6), StepCounts(ac=6), StepCounts()),
        calls=(StepCounts(ac=15),),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_evaluations_of_every_way_to_step() -> None:
    called = (StepCounts(),) * 4
    single = OperandCounts("small-integers", elements=5, nonzero=2)
    assert evaluations(row(), 1) == 1
    assert evaluations(row(), 4) == 4  # one call, time folded into it
    assert evaluations(row(steps=(), calls=called), 4) == 4
    assert evaluations(row(steps=(), reused_steps=4), 4) == 1
    # after the steps were averaged: one call on one input of the layer's shape
    after = row(steps=(), operands=(single,), outputs=3)
    assert evaluations(after, 4) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": (), "calls": (StepCounts(),) * 3}, "fc: called 3 times in 4 time steps"),
        ({"steps": (), "calls": (StepCounts(),) * 8}, "fc: called 8 times in 4 time steps"),
        ({"steps": (), "reused_steps": 2}, "one evaluation serves 2"),
        # one call on 20 values of a layer of 5: time may hide in any dimension
        ({"steps": ()}, "fc: called 1 times in 4 time steps"),
        ({"steps": (), "geometry": None}, "fc: called 1 times in 4 time steps"),
    ],
)
def test_evaluations_that_do_not_follow_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(CountsError, match=said) as caught:
        evaluations(row(**changes), 4)
    assert "A layer is called once, once per step" in str(caught.value)


def test_signs_are_no_spikes() -> None:
    assert is_spiking_side(SPIKES)
    assert is_spiking_side(OperandCounts("unit", 4, 4))  # every neuron spiked
    assert is_spiking_side(OperandCounts("unit", 4, 3, is_signed=True))  # spikes of two signs
    assert not is_spiking_side(OperandCounts("unit", 4, 4, is_signed=True))
    assert not is_spiking_side(OperandCounts("real", 4, 2))


def test_rate_is_spikes_per_element() -> None:
    other = row(operands=(OperandCounts("unit", elements=30, nonzero=25),))
    assert spike_rate(row()) == 0.25
    # (5 + 25) / (20 + 30): by element, not the mean of 0.25 and 0.83
    assert spike_rate(row(), other) == 0.6
    assert spike_rate(row(operands=(OperandCounts("real", 4, 2),))) is None
    assert spike_rate(row(operands=())) is None


def test_only_what_spikes_cause_follows_the_rate() -> None:
    updates = NeuronUpdates(3, 4, 5, 6, reset=7, state_write=8)
    neuron = LayerCounts("lif", "neuron", neurons=5, spikes_out=7, updates=updates)
    real = LayerCounts(
        "stem",
        "linear",
        ops=OpCounts(mac=8, dense_mac=10),
        operands=(OperandCounts("real", 6, 4),),
        spikes_out=7,
    )
    counts = ModelCounts(samples=1, layers=(real, neuron, row()), time_steps=4)
    stem, lif, fc = at_scale(counts, 3, FP32).layers
    assert (stem.ops, stem.operands, stem.spikes_out) == (real.ops, real.operands, 21)
    assert lif.spikes_out == 21
    assert lif.updates == replace(updates, reset=21)
    assert (fc.ops.ac, fc.ops.dense_ac, fc.spikes_in) == (45, 60, 15)
    assert fc.operands[0].nonzero == 15
    assert [step.ac for step in fc.steps] == [9, 18, 18, 0]
    assert fc.calls[0].ac == 45


def test_spikes_that_meet_spikes_follow_the_square() -> None:
    attention = row(operands=(SPIKES, SPIKES), weight_kind="activation")
    [found] = at_scale(ModelCounts(1, (attention,), 4), 3, FP32).layers
    assert found.ops.ac == 9 * 15
    # spikes times real values: one side of the two
    half = row(operands=(SPIKES, OperandCounts("real", 20, 20)), weight_kind="activation")
    [found] = at_scale(ModelCounts(1, (half,), 4), 3, FP32).layers
    assert found.ops.ac == 3 * 15


def test_what_is_charged_dense_stays() -> None:
    dense = load_profile("cmos45-fp32+charge.ac=dense")
    [found] = at_scale(ModelCounts(1, (row(),), 4), 100, dense).layers
    assert found.ops == row().ops
    assert found.operands[0].nonzero == 500


@given(first=st.floats(0, 10), second=st.floats(0, 10))
def test_scales_multiply(first: float, second: float) -> None:
    counts = ModelCounts(1, (row(),), 4)
    assert at_scale(counts, 1, FP32) == counts
    twice = at_scale(at_scale(counts, first, FP32), second, FP32).layers[0]
    once = at_scale(counts, first * second, FP32).layers[0]
    assert twice.ops.ac == pytest.approx(once.ops.ac)
    assert twice.spikes_in == pytest.approx(once.spikes_in)
