"""Training in bfloat16, and models that are copied and stored."""

import copy

import pytest
import torch
from built_networks import FAMILIES, arrivals, images, labels, network, stages

from dse.networks.network import Penalties


@pytest.mark.parametrize("architecture", ["lenet", "plif-fashion-mnist", "resnet20"])
@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_trains_and_evaluates_in_float32_afterwards(architecture, family):
    spikes = "snn" in family or family == "s2nn"
    penalties = Penalties(0.01, 0.01, 0.9) if spikes else None
    built = network(architecture, family, penalties=penalties).train()
    optimizer = torch.optim.SGD(built.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            loss = built.training_loss(images(8), labels(8), 0.0)
        assert loss.dtype is torch.float32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad.isfinite().all() for p in built.parameters())
    assert all(buffer.isfinite().all() for buffer in built.buffers())
    assert sum(losses[-3:]) < sum(losses[:3])
    logits = built.eval()(images())
    assert logits.dtype is torch.float32
    assert logits.isfinite().all()


@pytest.mark.parametrize("family", ["s2nn", "snn, 3 steps"])
def test_spikes_are_exact_in_bfloat16(family):
    built = network("lenet", family)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, *hidden = arrivals(built, images())
    assert {spikes.dtype for spikes in hidden} == {torch.bfloat16}
    assert {value for spikes in hidden for value in spikes.unique().tolist()} == {0.0, 1.0}
    assert {stage.activity[0].dtype for stage in stages(built)} == {torch.float64}


@pytest.mark.parametrize("architecture", ["lenet", "resnet20"])
def test_a_model_can_be_copied_after_training_and_after_evaluation(architecture):
    built = network(architecture, penalties=Penalties(0.1, 0.1, 0.9)).train()
    loss = built.training_loss(images(), labels(), 0.0)
    assert not any(s.activity[0].requires_grad for s in stages(built) if s.activity)
    twin = copy.deepcopy(built)
    loss.backward()
    assert all(p.grad is None for p in twin.parameters())
    with torch.inference_mode():
        wanted = built.eval()(images())
        twin = copy.deepcopy(built)
    assert torch.equal(copy.deepcopy(twin)(images()), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_state_holds_all_there_is(family):
    built = network("resnet20", family)
    wanted = built(images())
    state = {name: value.clone() for name, value in built.state_dict().items()}
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    torch.manual_seed(99)
    other = network("resnet20", family)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    other.load_state_dict(state)
    assert torch.equal(other(images()), wanted)


def test_a_network_says_what_it_is():
    words = repr(network("plif-fashion-mnist", penalties=Penalties(0.1), coding="poisson"))
    assert "time_steps=3, output=mean-potential, Penalties(spike_rate=0.1" in words
    assert "Encoding(poisson)" in words
    assert "Inflow(flatten, dropout=0.5)" in words
    assert "IntegrateFire(threshold=0.5" in words
    assert "keeps_spikes_binary=True" in repr(network("resnet20", shortcut="and"))
