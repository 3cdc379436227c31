"""Families that must count alike: one step is one step, and T steps are T times one."""

import pytest
import torch

from dse.architectures import positions as architectures
from dse.architectures.shapes import dense_products
from dse.counting.count import count
from dse.design import Design
from dse.variants import family
from energy_models import estimate, load_profile
from energy_models.counts import ModelCounts
from energy_models.layers import LayerCounts, OpCounts

SHAPE = (1, 8, 8)


def images(samples=6):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(samples, *SHAPE, generator=generator)


def build(variant, architecture, **knobs):
    torch.manual_seed(0)
    design = Design.of(variant, architecture, {"depth": 2, "width": 0.5, **knobs})
    model = family.load(variant).build(design, SHAPE, 10)
    with torch.no_grad():
        model.train()
        for _ in range(50):  # until the running statistics are those of the data
            model(images(64))
    return model.eval()


@pytest.mark.parametrize("architecture", ["mlp", "convnet"])
@pytest.mark.parametrize("threshold", [0.3, 1.0])
def test_one_step_without_leak_from_zero_is_a_single_step_network(architecture, threshold):
    snn = build("snn", architecture, time_steps=1, leak=1.0, threshold=threshold)
    s2nn = build("s2nn", architecture, threshold=threshold)
    s2nn.load_state_dict(snn.state_dict())
    spikes: dict[str, list[torch.Tensor]] = {"snn": [], "s2nn": []}
    for name, model in (("snn", snn), ("s2nn", s2nn)):
        for module in model.modules():
            if hasattr(module, "neuron_events"):
                module.register_forward_hook(
                    lambda _m, _i, out, name=name: spikes[name].append(out)
                )
    counts = count(snn, images()), count(s2nn, images())
    assert len(spikes["snn"]) == 2
    for ours, theirs in zip(spikes["snn"], spikes["s2nn"], strict=True):
        assert torch.equal(ours.flatten(), theirs.flatten())
        assert ours.any()
    assert counts[0].layers == counts[1].layers
    assert counts[0].ops.ac > 0
    assert counts[0].updates.state_read == counts[0].updates.state_write == 0


def test_accumulates_are_linear_in_the_steps_at_a_fixed_rate():
    # without memory (leak 0) and with a constant input every step fires alike
    single = count(build("snn", "convnet", time_steps=1, leak=0.0), images())
    for steps in (2, 3, 8):
        model = build("snn", "convnet", time_steps=steps, leak=0.0)
        counts = count(model, images())
        assert counts.time_steps == steps
        assert round(counts.ops.ac * 6) == steps * round(single.ops.ac * 6)
        assert counts.ops.mac == single.ops.mac  # the first layer is computed once
        assert counts.layers[0].reused_steps == steps
        assert round(counts.spikes * 6) == steps * round(single.spikes * 6)


def test_a_single_step_network_has_no_multiplications_after_the_first_layer():
    counts = count(build("s2nn", "convnet"), images())
    first, *others = [layer for layer in counts.layers if layer.operator != "neuron"]
    assert first.ops.mac > 0
    assert others
    for layer in others:
        assert layer.input_kind == "unit"
        assert layer.ops.mac == layer.ops.dense_mac == 0
        assert layer.ops.ac > 0


def test_a_binary_network_multiplies_one_bit_by_one_bit():
    counts = count(build("bnn", "convnet"), images())
    first, *others = [layer for layer in counts.layers if layer.operator != "neuron"]
    assert (first.input_kind, first.weight_kind) == ("real", "real")
    assert others
    for layer in others:
        assert (layer.input_kind, layer.weight_kind) == ("unit", "binary")
        assert layer.ops.binary > 0
        assert layer.ops.effective == layer.ops.binary
        assert (layer.weight_bits, layer.activation_bits) == (1, 1)


def test_a_real_network_is_all_multiplications():
    counts = count(build("ann", "mlp"), images())
    assert counts.ops.mac == counts.ops.effective
    assert counts.ops.dense == counts.ops.dense_mac


def test_the_worked_energies_of_the_plif_topology():
    # 0.1 spikes by neuron and step everywhere, fp32 at 45 nm; neurons and memory left out
    shape = (1, 28, 28)
    places = architectures.load("plif-fashion-mnist")(shape, 10, 1.0, 0)
    first, *rest = dense_products(places, shape)
    hidden = sum(rest)

    def energy_uj(mac, ac):
        ops = OpCounts(mac=mac, ac=ac, dense_mac=mac, dense_ac=ac)
        row = LayerCounts("all", "linear", ops=ops)
        counts = ModelCounts(samples=1, time_steps=1, layers=(row,))
        return estimate(counts, load_profile("cmos45-fp32")).total_pj / 1e6

    assert energy_uj(first + hidden, 0) == pytest.approx(197.13, abs=0.005)  # ANN
    assert energy_uj(first, 0.1 * hidden) == pytest.approx(7.930, abs=0.0005)  # S2NN
    assert energy_uj(first, 8 * 0.1 * hidden) == pytest.approx(34.36, abs=0.005)  # T = 8, cached
    assert energy_uj(8 * first, 8 * 0.1 * hidden) == pytest.approx(63.44, abs=0.005)  # recomputed
