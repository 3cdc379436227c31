"""Laws of pricing that hold for every shipped profile, whatever its kind."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_models import (
    Geometry,
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    estimate,
    list_profiles,
    load_profile,
)
from energy_models.columns import Columns
from energy_models.constants import Constant, Power
from energy_models.models import kinds
from energy_models.values import values_of

HOSTED = {
    name: load_profile(name if load_profile(name).kind != "chip" else f"{name}+host=cmos45-int8")
    for name in list_profiles()
}
names = st.sampled_from(sorted(HOSTED))
small = st.integers(1, 6)


@st.composite
def networks(draw: st.DrawFn) -> ModelCounts:
    """A direct-coded convolution, neurons, and a layer that their spikes drive, over T steps."""
    steps = draw(st.integers(2, 4))
    c_in, c_out, size = draw(small), draw(small), draw(st.integers(3, 5))
    taps, positions = 9, size * size
    weights = c_out * c_in * taps
    dense = weights * positions
    mac = draw(st.integers(0, dense))
    geometry = Geometry(c_in, c_out, (3, 3), (1, 1), (1, 1), (1, 1), 1, (size, size), (size, size))
    conv = LayerCounts(
        "conv",
        "convolution",
        ops=OpCounts(mac=mac, dense_mac=dense),
        geometry=geometry,
        has_bias=draw(st.booleans()),
        weight_bits=32,
        activation_bits=32,
        input_kind="real",
        weight_kind="real",
        weights=weights,
        nonzero_weights=weights,
        outputs=c_out * positions,
        reused_steps=steps,
        operands=(OperandCounts("real", c_in * positions, c_in * positions, bits=32),),
    )
    neurons = c_out * positions
    spikes = draw(st.integers(0, neurons * steps))
    is_leaky = draw(st.booleans())
    lif = LayerCounts(
        "lif",
        "neuron",
        neurons=neurons,
        updates=NeuronUpdates(
            state_read=neurons * (steps - 1),
            leak=neurons * (steps - 1) if is_leaky else 0,
            integrate=neurons * steps,
            compare=neurons * steps,
            reset=spikes,
            state_write=neurons * (steps - 1),
        ),
        outputs=neurons * steps,
        spikes_out=spikes,
        fed_by=("conv",),
    )
    classes = draw(st.integers(1, 4))
    fc = LayerCounts(
        "fc",
        "linear",
        ops=OpCounts(ac=spikes * classes, dense_ac=neurons * classes * steps),
        geometry=Geometry(neurons, classes),
        has_bias=draw(st.booleans()),
        weight_bits=32,
        activation_bits=32,
        input_kind="unit",
        weight_kind="real",
        weights=neurons * classes,
        nonzero_weights=neurons * classes,
        outputs=classes * steps,
        spikes_in=spikes,
        operands=(OperandCounts("unit", neurons * steps, spikes, (1.0,), bits=32),),
        steps=(StepCounts(ac=spikes * classes / steps),) * steps,
    )
    out = LayerCounts(
        "out",
        "neuron",
        neurons=classes,
        updates=NeuronUpdates(
            state_read=classes * (steps - 1),
            integrate=classes * steps,
            compare=classes * steps,
            state_write=classes * (steps - 1),
        ),
        outputs=classes * steps,
        spikes_out=0,
        fed_by=("fc",),
    )
    return ModelCounts(samples=1, layers=(conv, lif, fc, out), time_steps=steps)


def repeated(row: LayerCounts, times: int) -> LayerCounts:
    """The same layer, run so many times as often on the same memories."""

    def more(value: float | None) -> float | None:
        return None if value is None else value * times

    ops = OpCounts(**{k: v * times for k, v in row.ops.to_dict().items() if k != "dense"})
    updates = NeuronUpdates(**{k: v * times for k, v in row.updates.to_dict().items()})
    return replace(
        row,
        ops=ops,
        updates=updates,
        outputs=row.outputs * times,
        spikes_in=more(row.spikes_in),
        spikes_out=more(row.spikes_out),
        operands=tuple(
            replace(one, elements=one.elements * times, nonzero=one.nonzero * times)
            for one in row.operands
        ),
        steps=(row.steps or (StepCounts(),)) * times,
    )


def layers_pj(counts: ModelCounts, profile: HardwareProfile) -> dict[str, float]:
    columns = Columns.side_by_side([counts])
    by_component = kinds.bill(columns, profile).layers_pj(values_of(profile))
    return {name: float(pj.sum()) for name, pj in by_component.items()}


# the formulas of the lemaire kind take T and the geometry: they are linear in spikes, which its own
# tests draw; running a layer more often than T steps is not a network that they know
not_lemaire = names.filter(lambda name: HOSTED[name].kind != "lemaire")


@given(counts=networks(), name=not_lemaire, times=st.integers(2, 5))
def test_dynamic_energy_is_linear_in_counts(counts: ModelCounts, name: str, times: int) -> None:
    more = replace(counts, layers=tuple(repeated(row, times) for row in counts.layers))
    once = layers_pj(counts, HOSTED[name])
    assert once
    for component, energy_pj in layers_pj(more, HOSTED[name]).items():
        assert energy_pj == pytest.approx(once[component] * times, rel=1e-9, abs=1e-9)


@given(counts=networks(), name=names)
def test_a_total_is_its_layers_and_its_network(counts: ModelCounts, name: str) -> None:
    energy = estimate(counts, HOSTED[name])
    parts = [*energy.by_layer().values(), *energy.network.values()]
    assert energy.partial_pj == pytest.approx(math.fsum(parts), rel=1e-12)
    assert energy.partial_pj == pytest.approx(sum(row["energy_pj"] for row in energy.rows()))


@given(counts=networks(), name=names)
def test_layers_cost_the_same_one_by_one(counts: ModelCounts, name: str) -> None:
    # neurons belong to the layer that feeds them: a pair keeps its memories; without a host, since
    # a part of a network of which nothing runs on a chip is the host's whole
    profile = load_profile(name)
    pairs = (counts.layers[:2], counts.layers[2:])
    apart = [layers_pj(replace(counts, layers=pair), profile) for pair in pairs]
    together = layers_pj(counts, profile)
    for component, energy_pj in together.items():
        parts = sum(one.get(component, 0.0) for one in apart)
        assert energy_pj == pytest.approx(parts, rel=1e-9, abs=1e-9)


@given(counts=networks(), name=names, data=st.data())
def test_energy_grows_with_every_energy_and_power(
    counts: ModelCounts, name: str, data: st.DataObject
) -> None:
    profile = HOSTED[name]
    columns = Columns.side_by_side([counts])
    bill = kinds.bill(columns, profile)
    constants = {
        key: one for key, one in profile.constants().items() if isinstance(one, Constant | Power)
    }
    key = data.draw(st.sampled_from(sorted(constants)))
    values = values_of(profile)
    dearer = {**values, key: values[key] * 2 + 1}
    before = sum(float(pj[0]) for pj in bill.totals_pj(columns, values).values())
    after = sum(float(pj[0]) for pj in bill.totals_pj(columns, dearer).values())
    assert after >= before
    # a chip whose time is that of its events needs none, and no power, where not one came
    flows = bill.duration is not None and float(bill.duration.seconds(values)[0]) > 0
    if key in bill.constants_used() and (flows or not key.startswith("power.")):
        assert after > before


@pytest.mark.parametrize("name", sorted(HOSTED))
@given(counts=networks())
def test_a_single_step_from_zero_has_no_state_traffic(name: str, counts: ModelCounts) -> None:
    def single(row: LayerCounts) -> LayerCounts:
        kept = NeuronUpdates(compare=row.neurons)
        return replace(row, updates=kept, reused_steps=1, steps=())

    once = replace(counts, time_steps=1, layers=tuple(single(row) for row in counts.layers))
    energy = estimate(once, HOSTED[name])
    assert energy.layers
    for layer in energy.layers:
        assert layer.energy_pj.get("state_memory", 0.0) == 0.0
    if HOSTED[name].memory is not None:
        # several steps of the same network keep their states, all of their neurons
        several = estimate(counts, HOSTED[name])
        kept = [layer for layer in several.layers if layer.operator == "neuron"]
        assert kept
        assert all(layer.energy_pj["state_memory"] > 0 for layer in kept)
