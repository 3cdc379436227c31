"""What the readout says, at every step and in the end."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from built_networks import CLASSES, FAMILIES, composed, images, labels, network, stages

OUTPUTS = ["mean-potential", "mean-spikes", "every-step"]


@pytest.mark.parametrize("architecture", ["lenet", "plif-fashion-mnist", "resnet20"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("coding", ["direct", "poisson"])
def test_means_of_the_first_steps_are_the_logits_of_fewer_steps(architecture, output, coding):
    built = network(architecture, output=output, coding=coding, time_steps=4)
    with torch.no_grad():
        by_step = built.logits_by_step(images())
        assert by_step.shape == (4, 4, CLASSES)
        for fewer in range(1, 5):
            built.time_steps = fewer
            torch.testing.assert_close(built(images()), by_step[:fewer].mean(0))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_logits_by_step(family):
    built = network("lenet", family)
    assert built.logits_by_step(images()).shape == (built.time_steps, 4, CLASSES)


def test_the_readout_on_the_sum_of_spikes_is_the_mean_of_its_potentials():
    built = network("lenet")
    with torch.no_grad():
        quick = built(images())
        torch.testing.assert_close(quick, built.logits_by_step(images()).mean(0))
        calls = []
        hook = built.readout.synapse.register_forward_hook(lambda m, a, out: calls.append(len(out)))
        torch.testing.assert_close(quick, built(images()))
        hook.remove()
    assert calls == [12]  # who listens hears every step


def test_potentials_that_are_exact_are_exact_in_the_mean():
    built = network("lenet")
    with torch.no_grad():
        for parameter in built.readout.synapse.parameters():
            parameter.mul_(2**10).round_().div_(2**10)
        assert torch.equal(built(images()), built.logits_by_step(images()).mean(0))


def test_the_mean_of_potentials_has_the_gradients_of_every_step():
    gradients = []
    for listens in (False, True):
        built = network("plif-fashion-mnist").double().train()
        if listens:
            built.readout.synapse.register_forward_hook(lambda *seen: None)
        torch.manual_seed(1)
        built.training_loss(images().double(), labels(), 0.0).backward()
        gradients.append([p.grad for p in built.parameters()])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


def test_spikes_of_the_readout_are_averaged():
    built = network("lenet", output="mean-spikes")
    logits = built(images())
    by_step = built.logits_by_step(images())
    assert set(by_step.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(logits, by_step.mean(0))
    spikes, places = built.readout.spiking.activity
    assert places == 3 * 4 * CLASSES
    assert spikes == by_step.sum()
    assert len([stage for stage in stages(built) if stage.activity is not None]) == 4
    with composed(built):
        assert torch.equal(built(images()), logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_every_step_is_the_mean_of_the_losses_of_the_steps(smoothing):
    built = network("lenet", output="every-step")
    loss = built.training_loss(images(), labels(), smoothing)
    losses = [
        F.cross_entropy(logits, labels(), label_smoothing=smoothing)
        for logits in built.logits_by_step(images())
    ]
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    # convex: the mean of the losses is no smaller than the loss of the mean
    mean = F.cross_entropy(built(images()), labels(), label_smoothing=smoothing)
    assert loss >= mean


@pytest.mark.parametrize("output", ["mean-potential", "mean-spikes"])
def test_any_other_loss_is_that_of_the_logits(output):
    built = network("lenet", output=output)
    loss = built.training_loss(images(), labels(), 0.1)
    torch.testing.assert_close(
        loss, F.cross_entropy(built(images()), labels(), label_smoothing=0.1)
    )


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_trains_all_parameters(output):
    built = network("lenet", output=output).train()
    built.training_loss(images(), labels(), 0.0).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in built.parameters())


@pytest.mark.parametrize("output", OUTPUTS)
def test_ten_neighbouring_outputs_vote_for_a_class(output):
    built = network("plif-fashion-mnist", output=output)
    assert built.readout.synapse.out_features == 10 * CLASSES
    silent = copy.deepcopy(built)
    silent.readout.inflow.place = replace(silent.readout.inflow.place, vote=1)
    with torch.no_grad():
        votes = silent(images())
        torch.testing.assert_close(built(images()), votes.view(4, CLASSES, 10).mean(2))
