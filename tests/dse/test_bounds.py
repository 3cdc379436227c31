"""What a design can cost, before any training, encloses what trained networks do cost."""

from pathlib import Path

import pytest
import torch

from dse import inventory
from dse.architectures import positions
from dse.bounds import bounds, refusal, refused_record
from dse.counting.count import count
from dse.design import Design
from dse.errors import TrialFailure
from dse.pricing import price
from dse.recipe import Recipe, build, finished
from dse.trial import COUNT_SAMPLES, run_trial
from dse.variants import family
from reports.record import TrialRecord

PROFILES = (
    "cmos45-fp32",
    "cmos45-fp32+charge.mac=effective",
    "cmos45-sram-fp32",
    "lemaire-qualia",
    "lemaire-spikingjelly",
    "truenorth+host=cmos45-int8",
)
MANY = {
    "ann": ({}, {"shortcut": "add"}),
    "qann": ({}, {"weight_bits": 2, "activation_bits": 3}, {"weight_bits": 1, "edge": "real"}),
    "bnn": (
        {},
        {"activations": "step"},
        {"activations": "real"},
        {"weights": "real"},
        {"edge": "8-bit"},
    ),
    "snn": (
        {"time_steps": 3},
        {"time_steps": 2, "shortcut": "add", "leak": 1.0},
        {"time_steps": 2, "encoding": "poisson", "reset": "hard", "shortcut": "and"},
        {"time_steps": 2, "encoding": "binary", "output": "mean-spikes"},
        {"time_steps": 1, "initial_potential": 0.5, "pool": "currents"},
    ),
    "s2nn": ({}, {"shortcut": "add"}, {"threshold": 0.1, "pool": "currents"}),
    "converted": (
        {"time_steps": 4},
        {"time_steps": 2, "activation": "relu", "pooling": "max"},
        {"time_steps": 1, "activation": "clipped"},
    ),
}
SLACK = 1e-9


def recipe(*overrides: str) -> Recipe:
    hardware = f"hardware=[{', '.join(PROFILES)}]"
    return Recipe(inventory.load_sweep("smoke", [hardware, "data.samples=120", *overrides]))


def assert_inside(design: Design, energy: dict[str, float | None], given: Recipe) -> None:
    found = bounds(design, given)
    for name, total_pj in energy.items():
        interval = found.energy_pj[name]
        if interval is not None and total_pj is not None:
            low, high = interval
            assert low * (1 - SLACK) <= total_pj <= high * (1 + SLACK), (design, name)


@pytest.mark.parametrize("variant", MANY)
@pytest.mark.parametrize("architecture", ["mlp", "convnet", "resnet20"])
@pytest.mark.slow
def test_networks_of_random_weights_cost_what_the_bounds_say(
    variant: str, architecture: str
) -> None:
    assert set(MANY) == set(family.names())
    assert architecture in positions.names()
    given = recipe()
    data = given.data()
    images = torch.from_numpy(data.validation.images[:COUNT_SAMPLES])
    torch.manual_seed(0)
    for knobs in MANY[variant]:
        design = Design.of(variant, architecture, {"width": 0.2, **knobs})
        model = build(design, data)
        with torch.no_grad():
            for _ in range(20):  # norms are those of the data
                model.train()(images)
        model, _ = finished(model.eval(), design, given, 0)
        counts = count(model, images)
        layers = [row for row in counts.layers if row.operands]
        assert all(row.operands[0].nonzero > 0 or row.input_kind == "unit" for row in layers)
        priced = price(counts, PROFILES)
        assert_inside(design, {name: one["total_pj"] for name, one in priced.items()}, given)
        found = bounds(design, given)
        assert found.spikes[0] <= counts.spikes <= found.spikes[1]
        assert found.latency_steps == counts.time_steps
        assert found.parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["ann", "bnn", "snn", "s2nn", "qann", "converted"])
def test_trained_networks_cost_what_the_bounds_say(variant: str, tmp_path: Path) -> None:
    given = recipe()
    design = Design.of(variant, "convnet", {"width": 0.2, "learning_rate": 0.01})
    record = run_trial(design, 0, given, tmp_path, worker="here")
    assert record.state == "complete"
    assert_inside(design, {name: record.energy_pj(name) for name in PROFILES}, given)


@pytest.mark.parametrize("variant", ["ann", "bnn"])
@pytest.mark.parametrize("profile", ["cmos45-fp32", "cmos45-sram-fp32"])
def test_the_energy_of_real_and_binary_networks_is_known_exactly(
    variant: str, profile: str
) -> None:
    found = bounds(Design.of(variant, "convnet", {"width": 0.3}), recipe())
    interval = found.energy_pj[profile]
    assert interval is not None
    assert interval[0] == pytest.approx(interval[1], rel=1e-12)


def test_a_spiking_network_pays_its_first_layer_at_least() -> None:
    # 4 channels of 3x3 on 8x8 real pixels: 4 x 9 x 64 MAC at 4.6 pJ, once for all steps
    design = Design.of("snn", "convnet", {"width": 0.25, "time_steps": 5})
    name = "cmos45-fp32+neuron_updates=excluded"
    interval = bounds(design, recipe(f"hardware=[cmos45-fp32, {name}]")).energy_pj[name]
    assert interval is not None
    assert interval[0] == pytest.approx(4 * 9 * 64 * 4.6)
    assert interval[1] > interval[0]


def limited(limit: float, *overrides: str) -> Recipe:
    return recipe(f"objectives=[accuracy, {{name: energy_pj, limit: {limit}}}]", *overrides)


def test_a_design_that_breaks_a_limit_is_refused_with_the_reason() -> None:
    design = Design.of("ann", "convnet", {"width": 1.0})
    reason = refusal(design, limited(300_000))
    assert reason == "energy_pj on cmos45-fp32 is at least 387 nJ, above the limit of 300 nJ"
    assert refusal(design, limited(400_000)) is None
    assert refusal(design, recipe()) is None


def test_other_objectives_have_limits_too() -> None:
    design = Design.of("snn", "convnet", {"width": 1.0, "time_steps": 3})
    steps = recipe("objectives=[accuracy, {name: latency_steps, limit: 2}]")
    assert refusal(design, steps) == "latency_steps is at least 3, above the limit of 2"
    spikes = recipe("objectives=[accuracy, {name: spikes, limit: 0}]")
    assert refusal(design, spikes) is None  # it may stay silent


def test_a_training_that_is_read_at_fewer_steps_is_judged_by_the_cheapest() -> None:
    design = Design.of("snn", "convnet", {"width": 1.0, "time_steps": 3})
    steps = ("objectives=[accuracy, {name: latency_steps, limit: 2}]", "evaluate={time_steps: all}")
    assert refusal(design, recipe(*steps)) is None


def test_a_network_that_cannot_be_built_is_left_to_its_trial() -> None:
    design = Design.of("snn", "convnet", {"width": 1.0, "time_steps": 0})
    with pytest.raises(TrialFailure):
        bounds(design, limited(1))
    assert refusal(design, limited(1)) is None


def test_the_record_of_a_refused_design_can_be_written_and_read() -> None:
    design = Design.of("ann", "convnet", {"width": 1.0})
    record = refused_record(design, 7, "too dear", recipe(), worker="here", optuna_number=9)
    assert (record.state, record.reason, record.energy, record.metrics) == (
        "refused",
        "too dear",
        {},
        {},
    )
    assert TrialRecord.from_dict(record.to_dict()) == record


def test_looking_at_bounds_leaves_the_random_generator_as_it_was() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    bounds(Design.of("snn", "convnet", {"width": 0.3, "encoding": "poisson"}), recipe())
    assert torch.equal(before, torch.get_rng_state())
