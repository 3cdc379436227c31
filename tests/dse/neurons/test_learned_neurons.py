"""Neurons that learn their numbers, and where potentials start."""

import copy
import math

import pytest
import torch
from neuron_stages import assert_near, random_currents

from dse.errors import BuildFailure
from dse.neurons.spiking import IntegrateFire, leak_of
from dse.neurons.surrogates import Arctan, spike

SURROGATE = Arctan(2.0)


def plif(tau: float, initial: float = 0.0) -> IntegrateFire:
    return IntegrateFire(
        1.0, leak_of(tau), "hard", SURROGATE, learns_leak=True, scales_input=True,
        initial_potential=initial,
    )  # fmt: skip


@pytest.mark.parametrize("tau", [1.5, 2.0, 8.0])
def test_plif_is_the_equation_of_its_paper(tau: float) -> None:
    # v += (x - v) sigmoid(w), sigmoid(w) = 1 / tau (Fang et al., ICCV 2021)
    neuron = plif(tau).double()
    w = torch.tensor(-math.log(tau - 1.0), dtype=torch.float64, requires_grad=True)
    neuron.leak_logit.data.copy_(w.detach())
    ours = (random_currents((6, 4, 5), 2, torch.float64) * tau).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    spikes, potential, expected = neuron(ours), torch.zeros(4, 5, dtype=torch.float64), []
    for x in theirs:
        potential = potential + (x - potential) * w.sigmoid()
        fired = spike(potential - 1.0, SURROGATE)
        expected.append(fired)
        potential = potential * (1 - fired.detach())
    assert torch.equal(spikes, torch.stack(expected))
    assert 0 < spikes.mean() < 1
    weights = random_currents((6, 4, 5), 3, torch.float64)
    (spikes * weights).sum().backward()
    (torch.stack(expected) * weights).sum().backward()
    assert_near(ours.grad, theirs.grad, 1e-12)
    assert_near(neuron.leak_logit.grad, w.grad, 1e-12)


def test_the_leak_of_a_time_constant() -> None:
    assert [leak_of(tau) for tau in (1.0, 2.0, 4.0, math.inf)] == [0.0, 0.5, 0.75, 1.0]
    for tau in (0.5, -2.0, math.nan):
        with pytest.raises(BuildFailure, match=r"time constant .*: must be at least 1 step"):
            leak_of(tau)


def test_a_learned_leak_starts_where_it_was_put_and_stays_a_share() -> None:
    neuron = plif(2.0)
    assert float(neuron.leak.detach()) == pytest.approx(0.5)
    for logit in (-80.0, 80.0):
        neuron.leak_logit.data.fill_(logit)
        assert 0.0 <= float(neuron.leak.detach()) <= 1.0


def test_a_learned_threshold_stays_above_zero() -> None:
    neuron = IntegrateFire(0.5, 0.9, "soft", SURROGATE, learns_threshold=True)
    assert float(neuron.threshold.detach()) == pytest.approx(0.5)
    optimizer = torch.optim.SGD(neuron.parameters(), lr=5.0)
    for _ in range(20):
        optimizer.zero_grad()
        # few spikes are wanted least: the threshold falls
        (-neuron(torch.full((3, 2, 4), 0.2)).sum()).backward()
        optimizer.step()
        assert 0.0 < float(neuron.threshold.detach()) < math.inf
    assert float(neuron.threshold.detach()) < 0.5


@pytest.mark.parametrize("options", [{}, {"learns_leak": True}, {"learns_threshold": True}])
def test_parameters_are_only_what_learns(options: dict[str, bool]) -> None:
    neuron = IntegrateFire(0.5, 0.9, "soft", SURROGATE, **options)
    assert len(list(neuron.parameters())) == len(options)
    assert all(parameter.shape == () for parameter in neuron.parameters())


def test_a_state_and_a_copy_give_the_same_spikes() -> None:
    neuron = IntegrateFire(
        0.5, 0.9, "soft", SURROGATE, learns_leak=True, learns_threshold=True, scales_input=True
    )
    currents = random_currents((4, 2, 8), 1, torch.float32) * 8
    neuron(currents).sum().backward()
    twin = copy.deepcopy(neuron)
    for parameter in neuron.parameters():
        parameter.data.add_(0.3)
    other = IntegrateFire(
        1.0, 0.5, "soft", SURROGATE, learns_leak=True, learns_threshold=True, scales_input=True
    )
    other.load_state_dict(neuron.state_dict())
    assert torch.equal(other(currents), neuron(currents))
    assert float(twin.threshold.detach()) == pytest.approx(0.5)
    assert not torch.equal(twin(currents), neuron(currents))


def test_it_says_its_numbers_without_a_warning() -> None:
    neuron = IntegrateFire(0.5, 0.75, "soft", SURROGATE, learns_leak=True, learns_threshold=True)
    assert repr(neuron) == "IntegrateFire(threshold=0.5, leak=0.75, reset=soft)"


@pytest.mark.parametrize("initial", [0.5, -0.5])
def test_potentials_start_where_they_are_told(initial: float) -> None:
    # u = 0.9 * initial + 0.6 at step 0
    neuron = IntegrateFire(1.0, 0.9, "soft", SURROGATE, initial_potential=initial)
    spikes = neuron(torch.full((1, 1, 1), 0.6))
    assert spikes.item() == (1.0 if initial > 0 else 0.0)


def test_a_first_potential_is_added_once_for_each_neuron() -> None:
    currents = torch.zeros(4, 2, 3)
    currents[0] = 1.0
    neuron = IntegrateFire(1.0, 1.0, "soft", SURROGATE, initial_potential=0.5)
    spikes = neuron(currents)
    assert spikes.sum() == 6
    assert neuron.neuron_events(currents, spikes) == {
        "neurons": 6,
        "state_read": 18,
        "leak": 0,
        "integrate": 24,  # 18, and the first step as well
        "compare": 24,
        "reset": 6,
        "state_write": 18,
    }


def test_a_leak_that_learns_is_a_multiplication_wherever_it_stands() -> None:
    currents = torch.zeros(4, 2, 3)
    neuron = plif(2.0)
    assert neuron.neuron_events(currents, neuron(currents))["leak"] == 18


def test_a_threshold_can_be_moved_after_the_training() -> None:
    for learns in (False, True):
        neuron = IntegrateFire(1.0, 0.9, "soft", Arctan(2.0), learns_threshold=learns)
        neuron.threshold = 0.25
        assert torch.as_tensor(neuron.threshold).item() == pytest.approx(0.25)
        assert neuron(torch.full((1, 2, 3), 0.3)).all()
        with pytest.raises(BuildFailure, match="must be finite and above 0"):
            neuron.threshold = 0.0
