"""Layers over time: what is shared by all steps, and how currents are normalised."""

import pytest
import torch
from built_networks import SHAPE, composed, images, labels, lif, network, stages
from torch import Tensor, nn

from dse.architectures.positions import Position
from dse.networks.layer import Inflow, Layer, ScaledBatchNorm1d, ScaledBatchNorm2d, make_norm
from dse.networks.network import biased_synapse, real_synapse
from dse.neurons.dynamics import Dynamics
from dse.neurons.reference import integrate_fire
from dse.neurons.surrogates import Arctan

CONV = Position("conv", "hidden", 2, 6, kernel=3, padding=1, pool=2)
LINEAR = Position("linear", "hidden", 7, 5)


def layer(place: Position, **options: bool) -> Layer:
    torch.manual_seed(0)
    norm = make_norm(place, "batch", 1.0)
    assert norm is not None
    nn.init.uniform_(norm.running_mean, -0.2, 0.2)
    nn.init.uniform_(norm.running_var, 0.1, 0.3)
    return Layer(place, real_synapse(place), norm, lif(place), **options).eval()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("pool_first", [False, True])
def test_a_layer_is_its_parts_one_step_after_another(steps: int, pool_first: bool) -> None:
    one, batch = layer(CONV, pool_first=pool_first), 4
    values = torch.rand(steps * batch, *SHAPE).round()
    by_step = [one.synapse(v) for v in values.unflatten(0, (steps, batch)).expand(3, *[-1] * 4)]
    if pool_first:
        by_step = [one.pool(current) for current in by_step]
    currents = torch.stack([one.norm(current) for current in by_step])
    spikes = integrate_fire(currents, Dynamics("soft", Arctan(2.0)), threshold=0.5, leak=0.9)
    wanted = spikes if pool_first else torch.stack([one.pool(step) for step in spikes])
    with torch.no_grad():
        assert torch.equal(one(values, steps, 3).unflatten(0, (3, batch)), wanted)
    assert one.activity == (spikes.sum().double(), spikes.numel())
    assert 0 < spikes.mean() < 1


def test_currents_that_stay_are_made_once_and_give_changing_spikes() -> None:
    built = network("lenet")
    calls: list[int] = []
    built.layers[0].synapse.register_forward_hook(lambda m, a, out: calls.append(len(out)))
    first = built.layers[0](images(), 1, 3).unflatten(0, (3, -1))
    assert calls == [4]
    assert not torch.equal(first[0], first[1])


def test_dropout_drops_the_same_inputs_at_every_step_and_none_in_evaluation() -> None:
    place = Position("linear", "hidden", 50, 5, dropout=0.3)
    inflow = Inflow(place)
    values = torch.ones(3 * 40, 50)
    torch.manual_seed(0)
    kept = inflow(values, 3).unflatten(0, (3, 40))
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[0], kept[2])
    assert not torch.equal(kept[0][0], kept[0][1])  # each sample has its own
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert kept.mean() == pytest.approx(1.0, abs=0.05)
    assert inflow.eval()(values, 3) is values


def test_dropout_keeps_the_dtype_it_gets() -> None:
    inflow = Inflow(Position("linear", "hidden", 50, 5, dropout=0.3))
    for dtype in (torch.bfloat16, torch.float64):
        assert inflow(torch.ones(6, 50, dtype=dtype), 3).dtype is dtype


def test_dropout_of_a_network_differs_from_batch_to_batch() -> None:
    built = network("plif-fashion-mnist").train()
    torch.manual_seed(0)
    assert not torch.equal(built(images()), built(images()))


@pytest.mark.parametrize("place", [CONV, LINEAR])
def test_the_threshold_norm_is_gamma_times_threshold_times_the_normalised(place: Position) -> None:
    norm = make_norm(place, "threshold", 0.7)
    assert isinstance(norm, ScaledBatchNorm1d | ScaledBatchNorm2d)
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    nn.init.uniform_(norm.bias)
    shape = (8, place.c_out, 4, 4) if place.kind == "conv" else (8, place.c_out)
    currents, dims = torch.randn(shape), [i for i in range(len(shape)) if i != 1]

    def by_channel(x: Tensor) -> Tensor:
        return x.view(-1, *[1] * (len(shape) - 2))

    mean = currents.mean(dims, keepdim=True)
    variance = currents.var(dims, correction=0, keepdim=True)
    normalised = (currents - mean) / (variance + norm.eps).sqrt()
    wanted = by_channel(norm.weight) * 0.7 * normalised + by_channel(norm.bias)
    torch.testing.assert_close(norm(currents), wanted)
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(norm.running_mean, 0.1 * mean.flatten())
    currents = torch.randn(shape)
    plain = (nn.BatchNorm2d if place.kind == "conv" else nn.BatchNorm1d)(place.c_out).eval()
    plain.running_mean, plain.running_var = norm.running_mean, norm.running_var
    wanted = by_channel(norm.weight) * 0.7 * plain(currents) + by_channel(norm.bias)
    torch.testing.assert_close(norm.eval()(currents), wanted)


@pytest.mark.parametrize("architecture", ["mlp", "lenet"])
def test_the_threshold_norm_is_the_same_fused(architecture: str) -> None:
    built = network(architecture, norm="threshold", threshold=0.5)
    assert isinstance(built.layers[-1].norm, ScaledBatchNorm1d)
    with torch.no_grad():
        built(images())
        fused = [stage.activity for stage in stages(built)]
        with composed(built):
            built(images())
    assert [stage.activity for stage in stages(built)] == fused
    gradients = []
    for listens in (False, True):
        torch.manual_seed(0)
        double = network(architecture, norm="threshold", threshold=0.5).double().train()
        if listens:
            with composed(double):
                loss = double.training_loss(images().double(), labels(), 0.0)
        else:
            loss = double.training_loss(images().double(), labels(), 0.0)
        loss.backward()
        gradients.append([p.grad for p in double.parameters()])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-9)


def test_a_new_threshold_norm_makes_currents_as_wide_as_the_threshold() -> None:
    norm = make_norm(CONV, "threshold", 3.0)
    assert norm is not None
    currents = norm(torch.randn(64, 6, 8, 8) * 5 + 1)
    assert currents.std().item() == pytest.approx(3.0, rel=0.01)


@pytest.mark.parametrize("architecture", ["mlp", "lenet", "resnet20"])
def test_without_a_norm_there_is_none_and_synapses_have_a_bias(architecture: str) -> None:
    built = network(architecture, norm="none", make_synapse=biased_synapse)
    assert not [m for m in built.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    synapses = [m for m in built.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert all(synapse.bias is not None for synapse in synapses)
    built.train().training_loss(images(), labels(), 0.0).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.parameters())
    with torch.no_grad():
        fused = built.eval()(images())
        with composed(built):
            assert torch.equal(built(images()), fused)


def test_with_a_norm_only_the_readout_has_a_bias() -> None:
    built = network("lenet")
    assert [
        m.bias is not None for m in built.modules() if isinstance(m, nn.Linear | nn.Conv2d)
    ] == [
        False,
        False,
        False,
        True,
    ]


def test_averages_of_maps_come_before_the_synapses() -> None:
    inflow = Inflow(Position("linear", "readout", 2, 5, average=True))
    assert torch.equal(inflow(images(), 1), images().mean((2, 3)))
    assert repr(inflow) == "Inflow(average)"
