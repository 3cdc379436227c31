import pytest
import torch
from torch import Tensor

from dse.errors import BuildFailure
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import Arctan, S2nn, Sigmoid

SURROGATE = Arctan(2.0)


def random_currents(shape: tuple[int, ...], seed: int) -> Tensor:
    print(f"seed {seed}")
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 0.5


def by_autograd(currents: Tensor, neuron: IntegrateFire) -> Tensor:
    """The equations, one step and one operator at a time, differentiated by PyTorch."""
    single = SingleStep(neuron.threshold, neuron.surrogate)
    potential = torch.zeros_like(currents[0])
    spikes = []
    for current in currents:
        potential = neuron.leak * potential + current
        fired = single(potential)
        spikes.append(fired)
        constant = fired.detach()
        if neuron.reset == "soft":
            potential = potential - neuron.threshold * constant
        else:
            potential = potential * (1 - constant)
    return torch.stack(spikes)


def test_soft_reset_keeps_what_is_above_the_threshold() -> None:
    currents = torch.tensor([0.75, 0.75, 0.75, 0.0]).view(4, 1, 1)
    # u = 0.75, 1.5 -> 0.5, 1.25 -> 0.25, 0.25
    spikes = IntegrateFire(1.0, 1.0, "soft", SURROGATE)(currents)
    assert spikes.flatten().tolist() == [0, 1, 1, 0]


def test_hard_reset_forgets_it() -> None:
    currents = torch.tensor([0.75, 0.75, 0.75, 0.25]).view(4, 1, 1)
    # u = 0.75, 1.5 -> 0, 0.75, 1.0: a potential equal to the threshold fires
    spikes = IntegrateFire(1.0, 1.0, "hard", SURROGATE)(currents)
    assert spikes.flatten().tolist() == [0, 1, 0, 1]


def test_leak_is_the_share_that_is_kept() -> None:
    currents = torch.tensor([0.5, 0.5, 0.5]).view(3, 1, 1)
    # u = 0.5, 0.75, 0.875: never 0.9; kept whole it is 0.5, 1.0
    assert IntegrateFire(0.9, 0.5, "soft", SURROGATE)(currents).sum() == 0
    assert IntegrateFire(0.9, 1.0, "soft", SURROGATE)(currents).flatten().tolist() == [0, 1, 0]


@pytest.mark.parametrize(("reset", "rate"), [("hard", 0.500), ("soft", 0.599)])
def test_rate_of_a_constant_drive(reset: str, rate: float) -> None:
    # drive 0.6, threshold 1: hard fires every second step; soft 600 times less one, as the
    # float64 next to 0.6 and the sums are a little below
    currents = torch.full((1000, 1, 1), 0.6, dtype=torch.float64)
    spikes = IntegrateFire(1.0, 1.0, reset, SURROGATE)(currents)
    assert spikes.mean().item() == pytest.approx(rate, abs=1e-9)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("leak", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("surrogate", [Arctan(2.0), Sigmoid(4.0), S2nn(4.0, 0.7, 0.7)])
@pytest.mark.parametrize("time_steps", [1, 2, 7])
def test_spikes_and_gradients_are_those_of_the_equations(
    reset: str, leak: float, surrogate, time_steps: int
) -> None:
    neuron = IntegrateFire(0.7, leak, reset, surrogate)
    currents = random_currents((time_steps, 3, 4, 5), seed=11)
    weights = random_currents((time_steps, 3, 4, 5), seed=12)
    ours, theirs = currents.clone().requires_grad_(), currents.clone().requires_grad_()
    spikes, expected = neuron(ours), by_autograd(theirs, neuron)
    assert torch.equal(spikes, expected)
    assert 0 < spikes.mean() < 1
    (spikes * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_reset_is_a_constant_in_the_backward_pass() -> None:
    # both steps fire; u = 1.5 -> 0.5, then 2.0. With alpha 2 the slope is 1 / (1 + (pi x)^2).
    slope = [1 / (1 + (torch.pi * x) ** 2) for x in (0.5, 1.0)]
    currents = torch.tensor([1.5, 1.5], dtype=torch.float64).view(2, 1).requires_grad_()
    IntegrateFire(1.0, 1.0, "soft", SURROGATE)(currents).sum().backward()
    assert currents.grad is not None
    # were the reset differentiated, the first would lose slope[1] * slope[0]
    assert currents.grad.flatten().tolist() == pytest.approx([slope[0] + slope[1], slope[1]])


def test_a_hard_reset_cuts_the_gradient_through_time() -> None:
    currents = torch.tensor([1.5, 0.5], dtype=torch.float64).view(2, 1).requires_grad_()
    IntegrateFire(1.0, 1.0, "hard", SURROGATE)(currents)[1].sum().backward()
    assert currents.grad is not None
    assert currents.grad[0].item() == 0.0
    assert currents.grad[1].item() > 0.0


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_one_step_of_if_is_the_single_step_neuron(reset: str) -> None:
    surrogate = S2nn(4.0, 1.0, 0.5)
    many, single = IntegrateFire(0.5, 1.0, reset, surrogate), SingleStep(0.5, surrogate)
    currents = random_currents((1, 8, 3, 4, 4), seed=3)
    currents[0, 0, 0, 0, 0] = 0.5  # at the threshold
    ours, theirs = currents.clone().requires_grad_(), currents.clone().requires_grad_()
    spikes, expected = many(ours), single(theirs)
    assert torch.equal(spikes, expected)
    assert many.neuron_events(currents, spikes) == single.neuron_events(currents, expected)
    spikes.sum().backward()
    expected.sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_events_with_a_pencil() -> None:
    # 2 samples x 3 neurons, T = 4; all current at step 0 and 3: 6 spikes each, soft reset to 0
    currents = torch.zeros(4, 2, 3)
    currents[0] = currents[3] = 1.0
    neuron = IntegrateFire(1.0, 0.9, "soft", SURROGATE)
    spikes = neuron(currents)
    assert spikes.sum() == 12
    assert neuron.neuron_events(currents, spikes) == {
        "neurons": 6,
        "state_read": 18,  # 3 of 4 steps
        "leak": 18,
        "integrate": 18,
        "compare": 24,
        "reset": 6,  # the spikes of the last step reset nothing that is kept
        "state_write": 18,
    }


def test_a_leak_of_1_is_no_multiplication() -> None:
    currents = torch.zeros(4, 2, 3)
    neuron = IntegrateFire(1.0, 1.0, "soft", SURROGATE)
    events = neuron.neuron_events(currents, neuron(currents))
    assert (events["leak"], events["integrate"]) == (0, 18)


def test_a_single_step_only_compares() -> None:
    neuron = SingleStep(1.0, S2nn())
    currents = random_currents((1, 2, 3), seed=5)
    events = neuron.neuron_events(currents, neuron(currents))
    assert {name: n for name, n in events.items() if n} == {"neurons": 6, "compare": 6}


def test_expanded_and_channels_last_currents_give_the_same_spikes() -> None:
    neuron = IntegrateFire(0.7, 0.9, "soft", SURROGATE)
    once = random_currents((1, 2, 3, 4, 4), seed=7)
    repeated = neuron(once.repeat(3, 1, 1, 1, 1))
    assert torch.equal(neuron(once.expand(3, -1, -1, -1, -1)), repeated)
    last = once[0].contiguous(memory_format=torch.channels_last).unsqueeze(0)
    spikes = neuron(last.expand(3, -1, -1, -1, -1))
    assert torch.equal(spikes, repeated)
    assert spikes[0].is_contiguous(memory_format=torch.channels_last)


def test_impossible_neurons_are_refused() -> None:
    with pytest.raises(BuildFailure, match=r"threshold 0.0: must be finite and above 0"):
        IntegrateFire(0.0, 1.0, "soft", SURROGATE)
    with pytest.raises(BuildFailure, match=r"leak 1.5: must be between 0 and 1"):
        IntegrateFire(1.0, 1.5, "soft", SURROGATE)
    with pytest.raises(BuildFailure, match='reset "none": must be "soft" or "hard"'):
        IntegrateFire(1.0, 1.0, "none", SURROGATE)
    with pytest.raises(BuildFailure, match="threshold nan"):
        SingleStep(float("nan"), SURROGATE)
    with pytest.raises(BuildFailure, match=r"leak nan: must be between 0 and 1"):
        IntegrateFire(1.0, float("nan"), "soft", SURROGATE)
    with pytest.raises(BuildFailure, match=r"initial potential inf: must be finite"):
        IntegrateFire(1.0, 1.0, "soft", SURROGATE, initial_potential=float("inf"))
    with pytest.raises(BuildFailure, match=r"leak 1.0: an input scaled by 1 - leak would be 0"):
        IntegrateFire(1.0, 1.0, "soft", SURROGATE, scales_input=True)


@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_a_leak_at_an_end_cannot_be_learned(leak: float) -> None:
    with pytest.raises(BuildFailure, match=r"must be strictly between 0 and 1 to be learned"):
        IntegrateFire(1.0, leak, "soft", SURROGATE, learns_leak=True)
