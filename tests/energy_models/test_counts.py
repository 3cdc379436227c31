"""The count document: round trip through JSON, sums, and refusals."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
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
    Uncounted,
)

amount = st.floats(min_value=0, max_value=1e15, allow_nan=False)
sizes = st.lists(st.integers(0, 99), max_size=2).map(tuple)
strides = st.lists(st.integers(1, 99), max_size=2).map(tuple)  # 0 is refused
geometry = st.builds(
    Geometry,
    c_in=st.integers(1, 9),
    c_out=st.integers(1, 9),
    kernel=sizes,
    stride=strides,
    padding=sizes,
    dilation=sizes,
    in_size=sizes,
    out_size=sizes,
)
step = st.builds(StepCounts, mac=amount, ac=amount, spikes_in=st.none() | amount)
layer = st.builds(
    LayerCounts,
    name=st.text(max_size=5),
    operator=st.sampled_from(["linear", "neuron"]),
    ops=st.builds(OpCounts, mac=amount, ac=amount, graded=amount, dense_binary=amount).map(
        lambda ops: replace(ops, dense_binary=ops.dense_binary + 2 * ops.effective)
    ),
    geometry=st.none() | geometry,
    has_bias=st.booleans(),
    weight_bits=st.none() | st.just(8),
    unit_share=st.none() | st.floats(0, 1),
    outputs=amount,
    reused_steps=st.integers(1, 8),
    spikes_out=st.none() | amount,
    updates=st.builds(NeuronUpdates, leak=amount, state_write=amount),
    fed_by=st.just(("conv1",)),
    steps=st.lists(step, max_size=2).map(tuple),
    calls=st.lists(step, max_size=2).map(tuple),
    folded=st.just(("bn1",)),
)
model = st.builds(
    ModelCounts,
    samples=st.integers(1, 9),
    layers=st.lists(layer, max_size=3).map(tuple),
    time_steps=st.integers(1, 9),
    coverage=st.floats(0, 1),
    uncounted=st.just({"aten.foo": Uncounted(2, (((1, 2), (3,)),), ("fc",))}),
    not_priced=st.just({"relu": {"calls": 1, "elements": 2.5}}),
    assumptions=st.just(("folded",)),
)


@settings(max_examples=30, deadline=None)
@given(counts=model)
def test_json_round_trip(counts: ModelCounts) -> None:
    text = json.dumps(counts.to_dict(), allow_nan=False)
    assert ModelCounts.from_dict(json.loads(text)) == counts


def test_totals_of_a_network() -> None:
    counts = ModelCounts(
        samples=1,
        layers=(
            LayerCounts("fc1", "linear", ops=OpCounts(mac=2, dense_mac=3), weights=3),
            LayerCounts("lif", "neuron", spikes_out=5, neurons=4, updates=NeuronUpdates(compare=4)),
            LayerCounts("fc2", "linear", ops=OpCounts(ac=7, dense_ac=8), spikes_out=9, weights=8),
        ),
    )
    total = counts.to_dict()["total"]
    # 3 + 8 positions, 3 + 8 weights; only neurons emit spikes
    assert (total["mac"], total["ac"], total["dense"]) == (2, 7, 11)
    assert (total["spikes"], total["neurons"], total["weights"]) == (5, 4, 11)
    assert counts.ops.effective == 9
    assert counts.updates == NeuronUpdates(compare=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "counts: samples is 0; it must be at least 1"),
        ({"time_steps": 0}, "counts: time_steps is 0; it must be at least 1"),
        (
            {"layers": (LayerCounts("fc", "linear", ops=OpCounts(mac=-1)),)},
            "counts: layer 'fc': mac is -1; a count is a finite number and not negative",
        ),
        (
            {"layers": (LayerCounts("n", "neuron", updates=NeuronUpdates(leak=math.nan)),)},
            "counts: layer 'n': leak is nan; a count is a finite number and not negative",
        ),
    ],
)
def test_impossible_counts_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CountsError) as refusal:
        ModelCounts(**{"samples": 1, "layers": (), **arguments})
    assert str(refusal.value) == message


def test_other_documents_are_refused() -> None:
    with pytest.raises(CountsError) as refusal:
        ModelCounts.from_dict({"schema": 99})
    assert str(refusal.value) == "count document: schema is 99; this version reads 1"
    with pytest.raises(CountsError) as refusal:
        ModelCounts.from_dict({"schema": 1})
    assert str(refusal.value) == "count document: missing or misshapen entry: 'samples'"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"outputs": float("nan")}, "outputs is nan"),
        ({"weights": -5}, "weights is -5"),
        ({"neurons": -8}, "neurons is -8"),
        ({"spikes_out": -100.0}, "spikes_out is -100.0"),
        ({"reused_steps": 0}, "reused_steps is 0; it must be at least 1"),
        ({"reused_steps": float("nan")}, "reused_steps is nan; it must be at least 1"),
        ({"weights": 10**400}, "weights is"),
        ({"geometry": Geometry(1, 1, groups=0)}, "groups 0 and stride [] must be at least 1"),
        ({"operands": (OperandCounts("unit", 3, float("inf")),)}, "operand nonzero is inf"),
        ({"steps": (StepCounts(ac=-1.0),)}, "step ac is -1.0"),
    ],
)
def test_impossible_numbers_are_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(CountsError, match=re.escape(problem)):
        ModelCounts(samples=1, layers=(replace(LayerCounts("fc", "linear"), **change),))


def test_a_document_with_more_effective_products_than_positions_is_refused() -> None:
    row = LayerCounts("fc", "linear", ops=OpCounts(ac=3, dense_ac=2))
    document = ModelCounts(samples=1, layers=(row,)).to_dict()
    with pytest.raises(CountsError, match="3 effective products are more than the 2 dense ones"):
        ModelCounts.from_dict(document)


def test_a_document_with_more_values_than_elements_is_refused() -> None:
    row = LayerCounts("fc", "linear", operands=(OperandCounts("unit", 3, 4),))
    document = ModelCounts(samples=1, layers=(row,)).to_dict()
    with pytest.raises(CountsError, match="4 values that are not zero of 3"):
        ModelCounts.from_dict(document)
