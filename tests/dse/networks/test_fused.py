"""The compiled pass and the operators one after another are the same network."""

import copy

import pytest
import torch
from built_networks import FAMILIES, arrivals, composed, images, labels, network, stages
from torch.utils._python_dispatch import TorchDispatchMode

from dse.architectures import positions as architectures
from dse.neurons import kernel

CASES = [
    (architecture, family)
    for architecture in architectures.names()
    for family in FAMILIES
    # one of the deep ones is enough
    if architecture not in ("resnet18", "vgg9") or family == "snn, 3 steps"
]
needs_kernel = pytest.mark.skipif(not kernel.available(), reason="the kernel is not compiled")


class Watching(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@needs_kernel
@pytest.mark.parametrize(("architecture", "family"), CASES)
def test_in_evaluation_both_give_the_same_spikes_and_activity(architecture, family):
    built = network(architecture, family)
    with torch.no_grad():
        fused = arrivals(built, images())
        activity = [stage.activity for stage in stages(built)]
        with composed(built):
            apart = arrivals(built, images())
            assert [stage.activity for stage in stages(built)] == activity
        with Watching():
            watched = arrivals(built, images())
            assert {stage.activity for stage in stages(built)} == {None}
    assert len(fused) == len(apart) == len(watched) > 2
    is_real = family == "ann"  # rounding may differ where nothing is compared
    for one, two, three in zip(fused, apart, watched, strict=True):
        if is_real:
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(one, two)
        assert torch.equal(two, three)


@needs_kernel
@pytest.mark.parametrize(("architecture", "family"), CASES)
def test_in_training_both_give_the_same_gradients(architecture, family):
    built = network(architecture, family).double().train()
    other = copy.deepcopy(built)
    torch.manual_seed(3)
    loss = built.training_loss(images().double(), labels(), 0.1)
    loss.backward()
    torch.manual_seed(3)
    with composed(other):
        loss_apart = other.training_loss(images().double(), labels(), 0.1)
    loss_apart.backward()
    torch.testing.assert_close(loss, loss_apart)
    assert [s.activity for s in stages(built)] == [s.activity for s in stages(other)]
    for (name, one), two in zip(built.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-6, atol=1e-9, msg=name)
    for (name, one), two in zip(built.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(one, two, msg=name)


@pytest.mark.parametrize("architecture", ["lenet", "resnet20"])
@pytest.mark.parametrize("family", ["s2nn", "snn, 3 steps"])
def test_activity_counts_every_spike_and_every_neuron(architecture, family):
    built = network(architecture, family)
    wanted = {}
    for stage in stages(built):
        if stage.neuron is not None:
            stage.neuron.register_forward_hook(
                lambda m, args, out, stage=stage: wanted.update(
                    {stage: (int(out.count_nonzero()), out.numel())}
                )
            )
    built(images())
    found = {stage: stage.activity for stage in wanted}
    assert found == wanted
    assert all(stage.activity is None for stage in stages(built) if stage not in wanted)
    assert sum(spikes for spikes, _ in wanted.values()) > 0
    fresh = network(architecture, family)  # nobody listens
    fresh(images())
    assert [stage.activity for stage in stages(fresh)] == [s.activity for s in stages(built)]


@pytest.mark.parametrize("family", ["ann", "bnn"])
def test_what_does_not_spike_has_no_activity(family):
    built = network("lenet", family)
    built(images())
    with composed(built):
        built(images())
    assert {stage.activity for stage in stages(built)} == {None}
