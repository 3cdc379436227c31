"""Operations and memories: every kind of traffic with a pencil."""

from dataclasses import replace

import numpy as np
import pytest

from energy_models import (
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    estimate,
    load_profile,
)
from energy_models.columns import Columns
from energy_models.curves import curve_of
from energy_models.models import sram
from energy_models.profile import Sram, SramPoint

# an access of 64 bits costs 2 pJ in a memory of any size up to 1 KiB
FLAT = Sram(
    curve="points",
    access_bits=64,
    points=(SramPoint(capacity_bytes=1, access_pj=2), SramPoint(capacity_bytes=1024, access_pj=2)),
    basis="assumption",
    source="a test",
)
TWO = (StepCounts(), StepCounts())


def flat(name: str = "cmos45-sram-int8", *, dram: bool = False) -> HardwareProfile:
    """8-bit weights and activations, 16-bit states, 2 pJ an access, and no DRAM."""
    profile = load_profile(name)
    assert profile.memory is not None
    memory = profile.memory.model_copy(
        update={"sram": FLAT, "dram": profile.memory.dram if dram else None}
    )
    excludes = profile.excludes if dram else {**profile.excludes, "input_output": "a test"}
    return profile.model_copy(update={"memory": memory, "excludes": excludes})


def priced(*rows: LayerCounts, profile: HardwareProfile | None = None, steps: int = 1):
    energy = estimate(ModelCounts(samples=1, layers=rows, time_steps=steps), profile or flat())
    return energy


def real_layer(**changes: object) -> LayerCounts:
    """3 x 4 weights, each used at 5 positions."""
    return replace(
        LayerCounts(
            "conv",
            "convolution",
            ops=OpCounts(mac=60, dense_mac=60),
            weights=12,
            weight_kind="real",
            outputs=20,
            operands=(OperandCounts("real", 16, 16, bits=32),),
        ),
        **changes,
    )


def spiking_layer(**changes: object) -> LayerCounts:
    """10 spikes among 2 x 100 positions reach 40 products with weights."""
    return replace(
        LayerCounts(
            "conv",
            "convolution",
            ops=OpCounts(ac=40, dense_ac=600),
            weights=12,
            weight_kind="real",
            outputs=50,
            operands=(OperandCounts("unit", 200, 10, bits=32),),
            spikes_in=10,
            steps=TWO,
        ),
        **changes,
    )


def neurons(**updates: float) -> LayerCounts:
    return LayerCounts(
        "lif",
        "neuron",
        neurons=25,
        updates=NeuronUpdates(**updates),
        spikes_out=5,
        fed_by=("conv",),
    )


def test_a_dense_layer_fetches_what_it_holds_once() -> None:
    (layer,) = priced(real_layer()).layers
    # 60 * 0.3
    assert layer.energy_pj["synaptic_compute"] == pytest.approx(18.0)
    # 12 weights of 8 bits are 1.5 accesses * 2 pJ
    assert layer.energy_pj["weight_memory"] == pytest.approx(3.0)
    # 16 values in, 20 values out, 8 bits each: 4.5 accesses * 2 pJ
    assert layer.energy_pj["activation_memory"] == pytest.approx(9.0)


def test_without_reuse_every_product_fetches_both_operands() -> None:
    (layer,) = priced(real_layer(), profile=flat("cmos45-sram-int8+reuse=none")).layers
    # 60 weights of 8 bits: 7.5 accesses * 2 pJ
    assert layer.energy_pj["weight_memory"] == pytest.approx(15.0)
    # 60 values in, 20 out: 10 accesses * 2 pJ
    assert layer.energy_pj["activation_memory"] == pytest.approx(20.0)


def test_one_access_per_datum() -> None:
    profile = flat("cmos45-sram-int8+fetch=one-access-per-datum")
    profile = profile.model_copy(
        update={"memory": profile.memory.model_copy(update={"fetch": "one-access-per-datum"})}
    )
    (layer,) = priced(real_layer(), profile=profile).layers
    # 12 * 2 pJ, although 8 of them fit into one access
    assert layer.energy_pj["weight_memory"] == pytest.approx(24.0)


def test_spikes_fetch_one_weight_a_product_and_scan_one_bit_a_position() -> None:
    (layer, lif) = priced(spiking_layer(), neurons(compare=50, integrate=50), steps=2).layers
    # 40 * 0.1
    assert layer.energy_pj["synaptic_compute"] == pytest.approx(4.0)
    # 40 products would fetch as many weights, but 12 weights at 2 steps are all there are: 24 of
    # 8 bits are 3 accesses * 2 pJ
    assert layer.energy_pj["weight_memory"] == pytest.approx(6.0)
    each = priced(spiking_layer(), profile=flat("cmos45-sram-int8+reuse=none"), steps=2).layers[0]
    # 40 weights of 8 bits: 5 accesses * 2 pJ
    assert each.energy_pj["weight_memory"] == pytest.approx(10.0)
    # 200 positions of 1 bit: 3.125 accesses * 2 pJ; the neurons take the output at once
    assert layer.energy_pj["activation_memory"] == pytest.approx(6.25)
    # 50 bits of spikes are written: 0.78125 accesses * 2 pJ
    assert lif.energy_pj["activation_memory"] == pytest.approx(1.5625)


def test_states_are_read_and_written_as_counted() -> None:
    updates = {"compare": 50, "integrate": 50, "state_read": 25, "state_write": 25}
    (_, lif) = priced(spiking_layer(), neurons(**updates), steps=2).layers
    # (25 + 25) states of 16 bits: 12.5 accesses * 2 pJ
    assert lif.energy_pj["state_memory"] == pytest.approx(25.0)


def test_a_single_step_keeps_no_state() -> None:
    (_, lif) = priced(spiking_layer(steps=()), neurons(compare=25)).layers
    assert "state_memory" not in lif.energy_pj


def test_binary_weights_have_one_bit() -> None:
    layer = real_layer(ops=OpCounts(binary=60, dense_binary=60), weight_kind="binary")
    (priced_layer,) = priced(layer).layers
    # 12 weights of 1 bit: 0.1875 accesses * 2 pJ
    assert priced_layer.energy_pj["weight_memory"] == pytest.approx(0.375)


def test_a_product_of_two_activations_reads_both() -> None:
    layer = LayerCounts(
        "attention/matmul#0",
        "matmul",
        ops=OpCounts(mac=60, dense_mac=60),
        weight_kind="activation",
        outputs=20,
        operands=(OperandCounts("real", 16, 16, bits=32), OperandCounts("real", 24, 24, bits=32)),
    )
    (found,) = priced(layer).layers
    assert "weight_memory" not in found.energy_pj
    # (16 + 24 + 20) * 8 bits: 7.5 accesses * 2 pJ
    assert found.energy_pj["activation_memory"] == pytest.approx(15.0)


def test_a_recomputed_first_layer_fetches_at_every_step() -> None:
    profile = flat("cmos45-sram-int8+first_layer=every-step")
    (layer,) = priced(real_layer(reused_steps=4), profile=profile, steps=4).layers
    # 4 steps * 3 pJ, and 4 * 9 pJ
    assert layer.energy_pj["weight_memory"] == pytest.approx(12.0)
    assert layer.energy_pj["activation_memory"] == pytest.approx(36.0)


def test_zero_skipping_fetches_only_what_it_multiplies() -> None:
    row = real_layer(ops=OpCounts(mac=6, dense_mac=60))
    (layer,) = priced(row, profile=flat("cmos45-sram-int8+charge.mac=effective")).layers
    # 6 weights of 8 bits: 0.75 accesses * 2 pJ
    assert layer.energy_pj["weight_memory"] == pytest.approx(1.5)


def test_a_memory_that_the_curve_does_not_span_is_missing_or_lies_in_the_dram() -> None:
    # 4096 weights of 8 bits are 4 KiB; the curve ends at 1 KiB
    row = real_layer(weights=4096, ops=OpCounts(mac=4096, dense_mac=4096))
    energy = priced(row)
    assert energy.missing == (
        "conv: 4 KiB of weights: the SRAM curve goes from 0.0001221 to 1 KiB, and the profile has "
        "no memory.dram",
    )
    assert energy.total_pj is None
    with_dram = priced(row, profile=flat(dram=True))
    assert with_dram.complete
    # 4096 * 8 bits / 64 bits * 1300 pJ
    assert with_dram.layers[0].energy_pj["weight_memory"] == pytest.approx(512 * 1300)
    # the sample enters from there: 16 values of 8 bits are 2 accesses
    assert with_dram.network == {"input_output": pytest.approx(2600.0)}


def test_counts_without_operands_are_refused_by_name() -> None:
    energy = priced(real_layer(operands=()))
    assert energy.missing == ("conv: what flowed in is not recorded: count it again",)


def test_ternary_weights_have_two_bits() -> None:
    ternary = OpCounts(binary=60, dense_binary=60)
    layer = real_layer(ops=ternary, weight_kind="binary", weight_bits=2)
    (priced_layer,) = priced(layer).layers
    # 12 weights of 2 bits: 0.375 accesses * 2 pJ
    assert priced_layer.energy_pj["weight_memory"] == pytest.approx(0.75)


def test_a_module_called_twice_fetches_twice() -> None:
    row = real_layer(ops=OpCounts(mac=120, dense_mac=120), calls=TWO)
    (layer,) = priced(row).layers
    # 2 * 12 weights of 8 bits: 3 accesses * 2 pJ
    assert layer.energy_pj["weight_memory"] == pytest.approx(6.0)


def test_the_area_is_that_of_the_memories() -> None:
    updates = {"compare": 50, "integrate": 50, "state_read": 25, "state_write": 25}
    columns = Columns.side_by_side(
        [ModelCounts(samples=1, layers=(spiking_layer(), neurons(**updates)), time_steps=2)]
    )
    profile = load_profile("cmos45-sram-int8")
    curve = curve_of(profile.memory.sram)
    # 12 weights and 200 / 2 input bits; 25 bits of spikes, 25 states of 16 bits: four memories,
    # each below 1 KiB, so each as large as one of 1 KiB
    [one] = curve.area_mm2(np.array([1024.0]))
    assert sram.areas_mm2(columns, profile)[0] == pytest.approx(4 * one)
    # Horowitz's points have no area
    assert np.isnan(sram.areas_mm2(columns, load_profile("cmos45-cache-int8"))[0])


def test_a_cached_first_layer_is_written_once_and_read_at_every_step() -> None:
    first = real_layer(reused_steps=4, outputs=25)
    (layer, _) = priced(first, neurons(compare=100, integrate=100), steps=4).layers
    # 16 values in, 25 out and 4 times 25 read again: 141 values of 8 bits, 17.625 accesses * 2 pJ
    assert layer.energy_pj["activation_memory"] == pytest.approx(35.25)
    again = flat("cmos45-sram-int8+first_layer=every-step")
    (layer, _) = priced(first, neurons(compare=100), profile=again, steps=4).layers
    # made anew at each step, it goes into the neurons at once: 4 * 16 values, 8 accesses * 2 pJ
    assert layer.energy_pj["activation_memory"] == pytest.approx(16.0)


def test_the_sample_is_read_from_the_dram_once() -> None:
    # 16 values of 8 bits are 2 accesses * 1300 pJ, also where they enter at each of 2 steps
    static = real_layer(operands=(OperandCounts("real", 32, 32, bits=32),), steps=TWO)
    for row, steps in ((real_layer(), 1), (static, 2)):
        energy = priced(row, profile=flat(dram=True), steps=steps)
        assert energy.network == {"input_output": pytest.approx(2600.0)}
    # events of both steps are data: 200 bits are 3.125 accesses
    energy = priced(spiking_layer(), profile=flat(dram=True), steps=2)
    assert energy.network == {"input_output": pytest.approx(3.125 * 1300)}


def test_without_a_dram_the_sample_has_no_price() -> None:
    profile = flat()
    profile = profile.model_copy(
        update={"excludes": {k: v for k, v in profile.excludes.items() if k != "input_output"}}
    )
    assert priced(real_layer(), profile=profile).missing == (
        "no memory.dram: nothing brings the sample in (or leave out input_output)",
    )


@pytest.mark.parametrize(
    ("steps", "calls", "evaluations"),
    [(0, 0, 1), (4, 1, 4), (4, 4, 4), (4, 2, 8), (0, 8, 8), (1, 1, 1), (4, 8, 8)],
)
def test_how_often_a_layer_is_evaluated(steps: int, calls: int, evaluations: int) -> None:
    row = real_layer(steps=(StepCounts(),) * steps, calls=(StepCounts(),) * calls)
    columns = Columns.side_by_side([ModelCounts(samples=1, layers=(row,))])
    assert columns["evaluations"].tolist() == [evaluations]


def test_a_step_fetches_each_weight_at_most_once() -> None:
    # 40 products, all of them in the second step: 12 weights of 8 bits are 1.5 accesses * 2 pJ
    late = spiking_layer(steps=(StepCounts(), StepCounts(ac=40)))
    assert priced(late, steps=2).layers[0].energy_pj["weight_memory"] == pytest.approx(3.0)
    # 4 in the first, 36 in the second: 16 weights
    uneven = spiking_layer(steps=(StepCounts(ac=4), StepCounts(ac=36)))
    assert priced(uneven, steps=2).layers[0].energy_pj["weight_memory"] == pytest.approx(4.0)


def test_frames_of_small_integers_are_data_at_every_step() -> None:
    frames = spiking_layer(
        operands=(OperandCounts("small-integers", 200, 10, bits=32),),
        ops=OpCounts(graded=40, graded_accumulates=80, dense_graded=600),
    )
    energy = priced(frames, profile=flat(dram=True), steps=2)
    # 200 values of 8 bits: 25 accesses * 1300 pJ
    assert energy.network == {"input_output": pytest.approx(25 * 1300)}


def test_without_a_zero_skipping_zeros_saves_nothing() -> None:
    row = real_layer()  # not one zero among 60 products
    dense = priced(row, profile=flat("cmos45-sram-int8+reuse=none"))
    skipping = priced(row, profile=flat("cmos45-sram-int8+reuse=none+charge.mac=effective"))
    assert skipping.total_pj == pytest.approx(dense.total_pj)
