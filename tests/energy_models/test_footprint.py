"""Footprint: bits by pencil, what is refused and why, and real networks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dse import count
from dse.design import Design
from dse.variants import family
from energy_models import (
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    footprint,
    load_profile,
)

CHIP = """
name: small
title: a chip of 8 neurons
kind: chip
node_nm: 28
voltage_v: 0.9
number_format: unpublished
reference: made up
energy:
  ac: {value_pj: 1, bits: BITS, scope: all-in, basis: assumption, source: made up}
capacity:
  neurons: {value_count: 8, basis: assumption, source: made up}
area: {value_mm2: 0.5, basis: assumption, source: made up}
"""


def chip(folder: Path, bits: str) -> HardwareProfile:
    path = folder / "small.yaml"
    path.write_text(CHIP.replace("BITS", bits))
    return load_profile(str(path))


def spiking() -> ModelCounts:
    """6 real inputs to 5 neurons with a state, their spikes to 3 outputs; 4 steps."""
    first = LayerCounts(
        "first",
        "linear",
        ops=OpCounts(mac=30, dense_mac=30),
        weight_kind="real",
        weights=30,
        outputs=5,
        reused_steps=4,
        operands=(OperandCounts("real", 6, 6),),
        calls=(StepCounts(),),
    )
    updates = NeuronUpdates(state_read=15, compare=20, state_write=15)
    lif = LayerCounts(
        "lif", "neuron", neurons=5, outputs=20, spikes_out=4, fed_by=("first",), updates=updates
    )
    second = LayerCounts(
        "second",
        "linear",
        ops=OpCounts(ac=12, dense_ac=60),
        weight_kind="real",
        weights=15,
        outputs=12,
        spikes_in=4,
        operands=(OperandCounts("unit", 20, 4),),
        steps=(StepCounts(),) * 4,
        calls=(StepCounts(),),
    )
    return ModelCounts(1, (first, lif, second), time_steps=4)


@pytest.mark.parametrize(
    ("profile", "weights", "states", "activations"),
    [
        # 45 weights; 5 states; 6 values in and 5 spikes out, or 5 spikes in and 3 values out
        ("cmos45-fp32", 45 * 32, 5 * 32, 6 * 32 + 5),
        ("cmos45-fp16", 45 * 16, 5 * 16, 6 * 16 + 5),
        ("cmos45-int8", 45 * 8, 5 * 8, 6 * 8 + 5),
        # neurons integrate in 32 bits
        ("cmos45-int8+accumulator=32-bit", 45 * 8, 5 * 32, 6 * 8 + 5),
        # as the memory says
        ("cmos45-sram-int8", 45 * 8, 5 * 16, 6 * 8 + 5),
        ("cmos45-bits+bits=3", 45 * 3, 5 * 3, 6 * 3 + 5),
    ],
)
def test_bits_by_pencil(profile: str, weights: int, states: int, activations: int) -> None:
    found = footprint(spiking(), load_profile(profile))
    assert (found.weight_bits, found.state_bits, found.activation_bits) == (
        weights,
        states,
        activations,
    )
    has_area = profile == "cmos45-sram-int8"  # that of its memories
    assert list(found.refusals) == ([] if has_area else ["area_mm2"])
    assert (found.area_mm2 is not None) == has_area


def test_binary_weights_have_the_bits_that_tell_them_apart() -> None:
    first, lif, second = spiking().layers
    one = replace(second, weight_kind="binary", weight_bits=1)
    with_zeros = replace(second, weight_kind="binary", weight_bits=2)
    counts = ModelCounts(1, (first, lif, one, replace(with_zeros, name="third")), 4)
    # 30 x 32 + 15 x 1 + 15 x 2
    assert footprint(counts, load_profile("cmos45-fp32")).weight_bits == 960 + 15 + 30


def test_a_single_step_keeps_no_state() -> None:
    assert footprint(
        replace(spiking(), time_steps=1), load_profile("cmos45-fp32")
    ).state_bits == pytest.approx(0)
    # nor does a neuron that writes none
    first, lif, second = spiking().layers
    quiet = replace(lif, updates=NeuronUpdates(compare=20))
    found = footprint(
        replace(spiking(), layers=(first, quiet, second)), load_profile("cmos45-fp32")
    )
    assert found.state_bits == 0


def test_the_largest_layer_counts_one_step_and_one_call() -> None:
    second = spiking().layers[2]
    # 20 spikes and 12 values of 4 steps: 5 x 1 + 3 x 32
    profile = load_profile("cmos45-fp32")
    assert footprint(ModelCounts(1, (second,), 4), profile).activation_bits == 101
    # the same layer four times at a single step
    shared = replace(second, steps=(), calls=(StepCounts(),) * 4)
    assert footprint(ModelCounts(1, (shared,), 1), profile).activation_bits == 101


def test_what_the_counts_do_not_tell_is_refused() -> None:
    first, lif, second = spiking().layers
    profile = load_profile("cmos45-fp32")
    cases = {
        "first: the counts do not record what flowed in: count it again": (
            "activation_bits",
            (replace(first, operands=()), lif, second),
        ),
        "the counts hold no neurons, in a network of several time steps": (
            "state_bits",
            (first, second),
        ),
        "lif: nobody counted what these neurons do": (
            "state_bits",
            (first, replace(lif, updates=NeuronUpdates()), second),
        ),
    }
    for reason, (name, rows) in cases.items():
        found = footprint(replace(spiking(), layers=rows), profile)
        assert getattr(found, name) is None
        assert found.refusals[name] == reason
    wrong = replace(second, steps=(), calls=(StepCounts(),) * 3)
    found = footprint(ModelCounts(1, (wrong,), 4), profile)
    assert "second: called 3 times in 4 time steps" in found.refusals["activation_bits"]


def test_a_chip_has_the_widths_that_were_published(tmp_path: Path) -> None:
    known, unknown = chip(tmp_path, "9"), chip(tmp_path, "unpublished")
    found = footprint(spiking(), known)
    assert found.weight_bits == 45 * 9
    assert found.refusals["state_bits"].endswith("the width of one state is not published")
    assert found.refusals["activation_bits"].endswith(
        "the width of one activation is not published"
    )
    assert footprint(spiking(), unknown).weight_bits is None
    # spikes in, spikes out: one bit each, whatever the width
    second, lif = spiking().layers[2], spiking().layers[1]
    spikes = ModelCounts(1, (second, replace(lif, fed_by=("second",))), 4)
    assert footprint(spikes, unknown).activation_bits == 5 + 3


def test_area_of_as_many_chips_as_hold_the_network(tmp_path: Path) -> None:
    profile = chip(tmp_path, "8")
    assert footprint(spiking(), profile).area_mm2 == 0.5
    first, lif, second = spiking().layers
    # 9 neurons on chips of 8
    nine = replace(spiking(), layers=(first, replace(lif, neurons=9), second))
    assert footprint(nine, profile).area_mm2 == 1.0


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ("cmos45-fp32", "cmos45-fp32: operations only: their units have no area here"),
        ("cmos45-cache-int8", "the SRAM curve has no area for one of the memories"),
    ],
)
def test_no_area_has_a_reason(profile: str, reason: str) -> None:
    assert reason in footprint(spiking(), load_profile(profile)).refusals["area_mm2"]


def test_a_format_without_a_width_is_refused() -> None:
    profile = load_profile("cmos45-fp32")
    energy = {name: one for name, one in profile.energy.items() if name != "integrate"}
    found = footprint(
        spiking(), profile.model_copy(update={"number_format": "posit", "energy": energy})
    )
    text = 'cmos45-fp32: numbers of format "posit" have no known width'
    assert found.refusals["weight_bits"] == found.refusals["state_bits"] == text


def test_document() -> None:
    document = footprint(spiking(), load_profile("cmos45-int8")).to_dict()
    assert set(document) == {
        *("profile", "weight_bits", "state_bits", "activation_bits", "area_mm2"),
        *("refusals", "notes"),
    }
    assert document["weight_bits"] == 360


@pytest.mark.parametrize("variant", ["snn", "s2nn", "bnn", "ann"])
def test_real_networks(variant: str) -> None:
    torch.manual_seed(0)
    model = family.load(variant).build(Design.of(variant, "mlp", {}), (1, 8, 8), 10)
    counts = count(model, torch.rand(3, 1, 8, 8))
    found = footprint(counts, load_profile("cmos45-int8"))
    # 64 x 128, 128 x 128, 128 x 10
    first, rest = 64 * 128, 128 * 128 + 128 * 10
    assert found.weight_bits == 8 * first + (1 if variant == "bnn" else 8) * rest
    # 2 layers of 128 neurons
    assert found.state_bits == (2 * 128 * 8 if variant == "snn" else 0)
    assert found.activation_bits is not None
    if variant in ("snn", "s2nn"):
        # 64 values in and 128 spikes out; 128 and 128 spikes; 128 spikes and 10 values
        assert found.activation_bits == 64 * 8 + 128
