"""Baselines: the ANN by pencil, beside a real ANN, and the opponents of every kind of profile."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dse import count
from dse.design import Design
from dse.neurons.spiking import IntegrateFire
from dse.neurons.surrogates import Arctan
from dse.variants import family
from energy_models import (
    Baseline,
    CountsError,
    Geometry,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    ann_of,
    baselines,
    estimate,
    is_baseline_due,
    load_profile,
)


def direct_coded(spikes: float = 3) -> ModelCounts:
    """6 real inputs, half of them zero, to 5 neurons, and their spikes to 3 outputs; 4 steps."""
    first = LayerCounts(
        "first",
        "linear",
        ops=OpCounts(mac=15, dense_mac=30),
        geometry=Geometry(6, 5),
        weight_kind="real",
        input_kind="real",
        weight_bits=32,
        weights=30,
        outputs=5,
        reused_steps=4,
        operands=(OperandCounts("real", 6, 3, is_signed=True, bits=32),),
        calls=(StepCounts(mac=15),),
    )
    neurons = LayerCounts(
        "lif",
        "neuron",
        neurons=5,
        outputs=20,
        spikes_out=spikes,
        fed_by=("first",),
        updates=NeuronUpdates(state_read=15, integrate=15, compare=20, state_write=15),
    )
    second = LayerCounts(
        "second",
        "linear",
        ops=OpCounts(ac=3 * spikes, dense_ac=60),
        geometry=Geometry(5, 3),
        weight_kind="real",
        input_kind="unit",
        weight_bits=32,
        weights=15,
        outputs=12,
        spikes_in=spikes,
        operands=(OperandCounts("unit", 20, spikes, bits=1),),
        steps=(StepCounts(),) * 4,
        calls=(StepCounts(),) * 4,
    )
    return ModelCounts(samples=1, layers=(first, neurons, second), time_steps=4)


def by_name(counts: ModelCounts, profile: str) -> dict[str, Baseline]:
    found = baselines(counts, load_profile(profile))
    assert found
    return {one.name: one for one in found}


def test_ann_by_pencil() -> None:
    ann = ann_of(direct_coded())
    first, second = ann.layers
    assert (ann.time_steps, ann.has_neurons) == (1, False)
    # 6 x 5, and 60 / 4 steps
    assert (first.ops.dense, second.ops.dense) == (30, 15)
    # measured; 3 spikes on 3 of 5 elements x 3 outputs
    assert (first.ops, second.ops) == (
        OpCounts(mac=15, dense_mac=30),
        OpCounts(mac=9, dense_mac=15),
    )
    assert (second.outputs, second.reused_steps, first.reused_steps) == (3, 1, 1)
    assert second.operands == (OperandCounts("real", elements=5, nonzero=3),)
    assert (second.input_kind, second.weight_kind, second.spikes_in) == ("real", "real", None)
    assert (len(second.calls), second.steps) == (1, ())


def test_an_element_is_non_zero_once() -> None:
    # 12 spikes on 5 elements: all 5 of them at most
    second = ann_of(direct_coded(spikes=12)).layers[1]
    assert second.ops == OpCounts(mac=15, dense_mac=15)
    assert second.operands[0].nonzero == 5
    # no spike: nothing is left to multiply
    # not one spike came: nobody knows which activations would be zero, so none is
    assert ann_of(direct_coded(spikes=0)).layers[1].ops == OpCounts(mac=15, dense_mac=15)


def test_both_sides_of_attention_fill_up() -> None:
    side = OperandCounts("unit", elements=40, nonzero=5)
    [row] = ann_of(
        ModelCounts(
            1,
            (
                LayerCounts(
                    "attention",
                    "matmul",
                    ops=OpCounts(ac=5, dense_ac=320),
                    weight_kind="activation",
                    operands=(side, replace(side, nonzero=20)),
                    steps=(StepCounts(),) * 4,
                    calls=(StepCounts(),),
                ),
            ),
            time_steps=4,
        )
    ).layers
    # 5 / 4 products a step; 4 steps of 1/8 make 1/2, of 1/2 no more than 1: x 4 x 2
    assert row.ops == OpCounts(mac=10, dense_mac=80)
    assert row.weight_kind == "activation"


def test_every_layer_that_does_not_follow_is_named() -> None:
    counts = direct_coded()
    first, neurons, second = counts.layers
    wrong = replace(
        counts,
        layers=(
            replace(first, reused_steps=2, calls=()),
            neurons,
            replace(second, steps=(), calls=(StepCounts(),) * 3),
        ),
    )
    with pytest.raises(CountsError) as caught:
        ann_of(wrong)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == [" first", " second"]
    fp32 = by_name(wrong, "cmos45-fp32")["ANN fp32"]
    assert fp32.total_pj is None
    assert fp32.missing == tuple(lines)
    assert fp32.same_numbers_pj is not None


def test_opponents_by_their_operations() -> None:
    found = by_name(direct_coded(), "cmos45-fp32+neuron_updates=excluded")
    assert list(found) == ["ANN fp32", "ANN int8", "ANN 3-bit", "ANN int8, zero-skipping"]
    fp32 = found["ANN fp32"]
    # 45 x 4.6; 30 x 4.6 + 9 x 0.9
    assert (fp32.total_pj, fp32.same_numbers_pj) == pytest.approx((207, 146.1))
    assert fp32.ratio == pytest.approx(207 / 146.1)
    # 45 x 0.23; 30 x 0.23 + 9 x 0.03
    int8 = found["ANN int8"]
    assert (int8.total_pj, int8.same_numbers_pj) == pytest.approx((10.35, 7.17))
    # (15 + 9) x 0.23; 15 x 0.23 + 9 x 0.03
    skipping = found["ANN int8, zero-skipping"]
    assert (skipping.total_pj, skipping.same_numbers_pj) == pytest.approx((5.52, 3.72))
    bits = load_profile("cmos45-bits+bits=3")
    assert found["ANN 3-bit"].total_pj == pytest.approx(45 * bits.prices["mac"].value)
    assert {one.accuracy_note for one in found.values()} == {"nobody measured its accuracy"}
    assert not any(one.missing for one in found.values())


@pytest.mark.parametrize(
    ("steps", "bits"), [(1, 1), (3, 2), (4, 3), (7, 3), (8, 4), (127, 7), (128, 8), (255, 8)]
)
def test_bits_that_tell_the_spike_counts_apart(steps: int, bits: int) -> None:
    # ceil(log2(T + 1))
    second = replace(direct_coded().layers[2], steps=(StepCounts(),) * steps)
    neurons = direct_coded().layers[1]
    found = by_name(ModelCounts(1, (neurons, second), time_steps=steps), "cmos45-fp32")
    wanted = "cmos45-int8" if bits == 8 else f"cmos45-bits+bits={bits}"
    assert found[f"ANN {bits}-bit"].profile == wanted


def test_more_bits_than_anybody_prices() -> None:
    second = replace(direct_coded().layers[2], steps=(StepCounts(),) * 256)
    found = by_name(ModelCounts(1, (*direct_coded().layers[1:2], second), 256), "cmos45-fp32")
    wide = found["ANN 9-bit"]
    assert (wide.total_pj, wide.ratio, wide.hardware) == (None, None, None)
    assert wide.missing == ("no profile of so many bits: from 1 to 8 are priced",)


def test_conventions_of_the_user_hold_for_the_opponents() -> None:
    asked = "cmos45-int8+charge.mac=effective+accumulator=32-bit+bias=add+charge.ac=dense"
    profiles = [one.profile for one in baselines(direct_coded(), load_profile(asked))]
    kept = "+bias=add+charge.ac=dense"
    assert profiles[0] == f"cmos45-fp32{kept}"
    assert profiles[1] == f"cmos45-int8{kept}+accumulator=32-bit"
    assert profiles[2].startswith(f"cmos45-bits+bits=3{kept}")
    assert profiles[3] == f"cmos45-int8{kept}+accumulator=32-bit+charge.mac=effective"
    assert load_profile(profiles[3]).charge.mac == "effective"


def test_memory_is_priced_on_both_sides() -> None:
    found = by_name(direct_coded(), "cmos45-sram-int8")
    assert list(found) == [
        *("ANN, same hardware", "ANN, same hardware, zero-skipping"),
        *("ANN fp32", "ANN 3-bit"),
    ]
    # 45 MAC of 4.6 pJ between memories of 32 bits
    wide, narrow = found["ANN fp32"], found["ANN 3-bit"]
    assert wide.hardware is not None
    assert wide.hardware.memory is not None
    assert wide.hardware.memory.weight_bits == 32
    layers = estimate(ann_of(direct_coded()), wide.hardware).layers
    assert sum(one.energy_pj["synaptic_compute"] for one in layers) == pytest.approx(207)
    plain = found["ANN, same hardware"]
    assert plain.total_pj is not None
    assert wide.total_pj is not None
    assert narrow.total_pj is not None
    assert narrow.total_pj < plain.total_pj < wide.total_pj
    profile = load_profile("cmos45-sram-int8")
    ann = estimate(ann_of(direct_coded()), profile)
    assert plain.total_pj == ann.total_pj
    components = {name for layer in ann.layers for name in layer.energy_pj}
    assert {"weight_memory", "activation_memory", "synaptic_compute"} <= components
    # 45 MAC x 0.3: the rest is memory
    assert plain.total_pj is not None
    assert plain.total_pj > 13.5
    assert plain.same_numbers_pj == estimate(direct_coded(), profile).total_pj
    skipping = found["ANN, same hardware, zero-skipping"]
    assert skipping.profile == "cmos45-sram-int8+charge.mac=effective"
    dense = by_name(direct_coded(), "cmos45-sram-int8+charge.mac=effective")
    assert dense["ANN, same hardware"].profile == "cmos45-sram-int8+charge.mac=dense"
    assert dense["ANN, same hardware"].total_pj == plain.total_pj


def test_a_profile_of_operations_is_an_opponent_too() -> None:
    found = baselines(direct_coded(), load_profile("cmos45-int32+charge.mac=effective"))
    assert [one.name for one in found][:2] == ["ANN, same hardware", "ANN fp32"]
    assert found[0].profile == "cmos45-int32+charge.mac=dense"
    # 45 x 3.2
    assert found[0].total_pj == pytest.approx(144)


def test_a_chip_against_operations_is_said_to_be_unlike() -> None:
    plain = load_profile("cmos45-fp32")
    energy = {name: one for name, one in plain.energy.items() if name != "mac"}
    update = {"kind": "chip", "name": "chip", "energy": energy}
    chip = plain.model_copy(update=update)
    found = baselines(direct_coded(), chip)
    assert [one.profile for one in found][:2] == ["cmos45-fp32", "cmos45-int8"]
    assert all(any("not like against like" in note for note in one.notes) for one in found)
    multiplying = plain.model_copy(update={**update, "energy": plain.energy})
    first, *others = baselines(direct_coded(), multiplying)
    assert (first.name, first.profile) == ("ANN, same hardware", "chip")
    assert not any("not like against like" in note for note in first.notes)
    assert len(others) == len(found)
    others = baselines(direct_coded(), load_profile("cmos45-fp32"))
    assert not any("not like against like" in note for one in others for note in one.notes)


def test_what_has_no_price_leaves_no_total() -> None:
    profile = load_profile("cmos45-sram-int8")
    blind = replace(direct_coded(), layers=tuple(_without_operands(direct_coded())))
    found = baselines(blind, profile)[0]
    assert (found.total_pj, found.same_numbers_pj, found.ratio) == (None, None, None)
    assert "first: what flowed in is not recorded: count it again" in found.missing
    assert "this network: first: what flowed in is not recorded: count it again" in found.missing


def _without_operands(counts: ModelCounts) -> list[LayerCounts]:
    return [replace(row, operands=()) for row in counts.layers]


def test_accuracy_is_told_by_name() -> None:
    profile = load_profile("cmos45-fp32")
    found = baselines(direct_coded(), profile, {"ANN int8": "91.2 % after training"})
    notes = {one.name: one.accuracy_note for one in found}
    assert notes["ANN int8"] == "91.2 % after training"
    assert notes["ANN fp32"] == "nobody measured its accuracy"


def test_a_binary_network_beside_narrow_numbers_is_priced_by_the_same_fit() -> None:
    binary = LayerCounts(
        "fc",
        "linear",
        ops=OpCounts(binary=10, dense_binary=10),
        weight_kind="binary",
        operands=(OperandCounts("unit", 10, 10, is_signed=True),),
    )
    found = by_name(ModelCounts(1, (binary,)), "cmos45-fp32")["ANN 1-bit"]
    assert found.profile == "cmos45-bits+bits=1+binary=fit"
    # 10 products of 1 bit, each 0.003125 + 0.0029948 + 0.0010417: a binary network and an ANN of
    # one bit do the same; an upper estimate of another origin would say 10 * 0.03
    assert found.same_numbers_pj == pytest.approx(0.0716, rel=1e-3)
    assert found.ratio == pytest.approx(1, rel=1e-3)


def test_a_plain_ann_has_no_opponent() -> None:
    first = direct_coded().layers[0]
    plain = ModelCounts(1, (replace(first, reused_steps=1),))
    assert not is_baseline_due(plain)
    assert baselines(plain, load_profile("cmos45-fp32")) == ()
    assert is_baseline_due(direct_coded())
    assert is_baseline_due(replace(plain, layers=(replace(first, weight_kind="binary"),)))


def built(variant: str, architecture: str) -> ModelCounts:
    """Counts of a small network of ours on random images."""
    torch.manual_seed(0)
    knobs = {"threshold": 0.3} if variant in ("snn", "s2nn") else {}
    design = Design.of(variant, architecture, knobs)
    model = family.load(variant).build(design, (1, 8, 8), 10)
    return count(model, torch.rand(3, 1, 8, 8))


@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
@pytest.mark.parametrize("variant", ["snn", "s2nn", "bnn"])
def test_ann_of_a_network_is_our_ann(variant: str, architecture: str) -> None:
    derived, real = ann_of(built(variant, architecture)), built("ann", architecture)
    assert is_baseline_due(built(variant, architecture))
    assert not is_baseline_due(real)
    # real inputs, weights and ReLU: the same layers, multiplied once
    found = [(row.name, row.ops.dense_mac, row.weights, row.outputs) for row in derived.layers]
    assert found == [(row.name, row.ops.dense, row.weights, row.outputs) for row in real.layers]
    for name in ("cmos45-fp32", "cmos45-sram-int8"):
        profile = load_profile(name)
        assert estimate(derived, profile).total_pj == pytest.approx(
            estimate(real, profile).total_pj
        )


class Stepping(nn.Module):
    """6 inputs, 5 neurons, 3 outputs over 4 steps; the first layer runs once, or at each step."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Linear(6, 5, bias=False), nn.Linear(5, 3)
        self.neurons = IntegrateFire(0.2, 0.9, "soft", Arctan(2.0))
        self.how = how
        self.time_steps = 4
        self.spikes = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 6) to (B, 3)."""
        if self.how == "once":
            currents = self.first(x).expand(4, -1, -1)
        elif self.how == "folded":
            currents = self.first(x.expand(4, *x.shape))
        else:
            currents = torch.stack([self.first(x) for _ in range(4)])
        self.spikes = spikes = self.neurons(currents)
        if self.how == "averaged":
            return self.second(spikes.mean(0))
        if self.how == "hidden":  # (B, T, N): time is not in the leading dimension
            return self.second(spikes.transpose(0, 1)).mean(1)
        return self.second(spikes).mean(0)


def test_the_ann_does_not_depend_on_how_the_network_steps() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 6)
    for how in ("once", "folded", "called", "averaged"):
        ann = ann_of(count(Stepping(how), x))
        assert [row.ops.dense_mac for row in ann.layers] == [30, 15], how
        assert [row.outputs for row in ann.layers] == [5, 3], how
    with pytest.raises(CountsError, match="second: called 1 times in 4 time steps"):
        ann_of(count(Stepping("hidden"), x))


@pytest.mark.parametrize(("threshold", "most"), [(0.2, 4), (5.0, 1)])
def test_non_zero_elements_are_bounded_by_those_that_spiked(threshold: float, most: int) -> None:
    torch.manual_seed(0)
    model, x = Stepping("once"), torch.randn(500, 6)
    model.neurons.threshold = threshold
    model(x)
    spiked = (model.spikes != 0).sum(0)  # (B, N): how often each neuron did
    assert int(spiked.max()) == most
    union = 3 * int((spiked > 0).sum()) / 500  # products of the elements that are not zero
    mac = ann_of(count(model, x)).layers[1].ops.mac
    assert mac == pytest.approx(min(15, 3 * int(spiked.sum()) / 500))
    if most == 1:  # each neuron at most once: exact
        assert mac == pytest.approx(union)
    else:
        assert 0 < union < mac


@st.composite
def networks(draw: st.DrawFn) -> ModelCounts:
    """Spiking layers over T steps, of random sizes and rates."""
    steps = draw(st.integers(1, 16))
    rows: list[LayerCounts] = []
    for index in range(draw(st.integers(1, 4))):
        n_in, n_out = draw(st.integers(1, 50)), draw(st.integers(1, 50))
        spikes = draw(st.integers(0, n_in * steps))
        rows.append(
            LayerCounts(
                f"fc{index}",
                "linear",
                ops=OpCounts(ac=spikes * n_out, dense_ac=n_in * n_out * steps),
                weights=n_in * n_out,
                weight_kind="real",
                outputs=n_out * steps,
                spikes_in=spikes,
                operands=(OperandCounts("unit", n_in * steps, spikes),),
                steps=(StepCounts(),) * steps if steps > 1 else (),
                calls=(StepCounts(),),
            )
        )
        rows.append(LayerCounts(f"lif{index}", "neuron", neurons=n_out, spikes_out=1))
    return ModelCounts(1, tuple(rows), time_steps=steps)


@settings(max_examples=50, deadline=None)
@given(counts=networks())
def test_laws_of_the_ann(counts: ModelCounts) -> None:
    ann = ann_of(counts)
    assert ann.ops.dense * counts.time_steps == pytest.approx(counts.ops.dense)
    assert all(row.ops.mac <= row.ops.dense_mac for row in ann.layers)
    assert ann_of(ann).ops == ann.ops
    found = by_name(counts, "cmos45-int8")
    dense, skipping = found["ANN int8"].total_pj, found["ANN int8, zero-skipping"].total_pj
    assert dense is not None
    assert skipping is not None
    assert skipping <= dense
    assert math.isclose(dense, ann.ops.dense * 0.23)


@settings(max_examples=25, deadline=None)
@given(counts=networks())
def test_one_step_is_the_shape_of_its_ann(counts: ModelCounts) -> None:
    single = replace(counts, time_steps=1)
    assert ann_of(single).ops.dense == single.ops.dense
    is_silent = any(one.nonzero == 0 for row in single.layers for one in row.operands)
    assert is_silent or ann_of(single).ops.mac == single.ops.effective
