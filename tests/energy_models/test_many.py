"""Many designs at once cost what each of them costs alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from energy_models import (
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    Uncounted,
    draw_many,
    estimate,
    list_profiles,
    load_profile,
    price_many,
)


def design(scale: float, steps: int = 2, **changes: object) -> ModelCounts:
    conv = LayerCounts(
        "conv",
        "convolution",
        ops=OpCounts(mac=40 * scale, dense_mac=60 * scale),
        weights=12,
        outputs=20,
        operands=(OperandCounts("real", 16, 16, bits=32),),
    )
    lif = LayerCounts(
        "lif",
        "neuron",
        neurons=20,
        updates=NeuronUpdates(compare=20 * steps, integrate=20 * steps, reset=4),
        spikes_out=4 * scale,
        fed_by=("conv",),
    )
    fc = LayerCounts(
        "fc",
        "linear",
        ops=OpCounts(ac=40 * scale, dense_ac=400),
        weights=200,
        outputs=10 * steps,
        operands=(OperandCounts("unit", 40, 4 * scale, bits=32),),
        spikes_in=4 * scale,
    )
    return ModelCounts(samples=1, layers=(conv, lif, fc), time_steps=steps, **changes)


def test_the_table_holds_what_estimate_gives() -> None:
    designs = [design(1), design(2.5, steps=4), design(0)]
    profiles = [load_profile(name) for name in list_profiles()]
    assert len(profiles) > 4
    table = price_many(designs, profiles)
    for row, counts in enumerate(designs):
        for column, profile in enumerate(profiles):
            alone = estimate(counts, profile)
            assert table.partial_pj[row, column] == pytest.approx(alone.partial_pj, rel=1e-12)
            assert table.complete[row, column] == alone.complete
            assert np.isnan(table.total_pj[row, column]) == (alone.total_pj is None)
            if alone.latency_s is None:
                assert np.isnan(table.latency_s[row, column])
            else:
                assert table.latency_s[row, column] == pytest.approx(alone.latency_s)


def test_one_incomplete_design_does_not_spoil_the_others() -> None:
    unknown = design(1, uncounted={"aten::strange": Uncounted(calls=1)})
    table = price_many([design(1), unknown], [load_profile("cmos45-fp32")])
    assert table.complete[:, 0].tolist() == [True, False]
    assert np.isfinite(table.total_pj[0, 0])
    assert np.isnan(table.total_pj[1, 0])


def test_draws_are_shared_by_all_designs() -> None:
    profile = load_profile("cmos45-sram-int8")
    drawn = draw_many([design(1), design(1), design(2)], profile, draws=50, seed=3)
    assert drawn.shape == (50, 3)
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    # a design that does more costs more in every draw: they met the same hardware
    assert (drawn[:, 2] > drawn[:, 0]).all()
    # alone it meets the same draws, and another seed gives others
    assert np.array_equal(draw_many([design(2)], profile, draws=50, seed=3)[:, 0], drawn[:, 2])
    assert not np.array_equal(draw_many([design(2)], profile, draws=50, seed=4)[:, 0], drawn[:, 2])


def test_stored_counts_are_priced_without_torch() -> None:
    document = json.dumps(design(1).to_dict())
    code = (
        "import json, sys\n"
        "from energy_models import ModelCounts, load_profile, price_many\n"
        "counts = ModelCounts.from_dict(json.loads(sys.stdin.read()))\n"
        "table = price_many([counts], [load_profile('cmos45-fp32')])\n"
        "print(table.total_pj[0, 0])\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input=document, capture_output=True, text=True, check=True
    )
    expected = estimate(design(1), load_profile("cmos45-fp32")).total_pj
    assert float(run.stdout) == pytest.approx(expected)
