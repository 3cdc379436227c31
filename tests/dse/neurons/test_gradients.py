"""Gradients derived by hand, beside PyTorch's of the equations step by step."""

from functools import partial

import pytest
import torch
from neuron_stages import (
    SURROGATES,
    Case,
    assert_near,
    by_kernel,
    by_operators,
    random_currents,
)

from dse.neurons import reference, through_time
from dse.neurons.dynamics import Dynamics, Reset
from dse.neurons.surrogates import Arctan, Surrogate

EVERY_SURROGATE = pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: type(s).__name__)
EVERY_RESET = pytest.mark.parametrize(
    ("reset", "is_detached"), [("soft", True), ("soft", False), ("hard", True), ("hard", False)]
)
PATHS = {"torch": partial(by_operators, integrate_fire=through_time.integrate_fire)}
PATHS["kernel"] = by_kernel


def gradients(path, case: Case, shape: tuple[int, ...], seed: int) -> list[torch.Tensor]:
    """Of outputs with random weights, and of the number of spikes, by everything that learns."""
    case = case.learning(torch.float64)
    currents = random_currents((case.current_steps * shape[0], *shape[1:]), seed, torch.float64)
    currents.requires_grad_()
    outputs, spikes = path(currents, case)
    weights = random_currents(tuple(outputs.shape), seed + 1, torch.float64)
    loss = (outputs * weights).sum() + 0.3 * spikes
    return [outputs, spikes, *torch.autograd.grad(loss, [currents, *case.numbers.values()])]


@EVERY_SURROGATE
@EVERY_RESET
@pytest.mark.parametrize("path", PATHS)
def test_gradients_are_those_of_the_steps_one_by_one(
    path: str, surrogate: Surrogate, reset: Reset, is_detached: bool
) -> None:
    dynamics = Dynamics(reset, surrogate, is_detached)
    for leak in (0.0, 0.5, 1.0):
        for steps, current_steps in ((1, 1), (2, 1), (2, 2), (3, 3), (7, 1), (8, 1), (8, 8)):
            for initial in (0.0, 0.3):
                case = Case(dynamics, 0.7, leak, 0.9, initial, current_steps, steps)
                found = gradients(PATHS[path], case, (3, 5), seed=17)
                expected = gradients(by_operators, case, (3, 5), seed=17)
                for mine, theirs in zip(found, expected, strict=True):
                    assert_near(mine, theirs, 1e-10)
                assert torch.equal(found[0], expected[0])
                assert 0 < found[0].mean() < 1


@EVERY_SURROGATE
@EVERY_RESET
@pytest.mark.parametrize("learns", [False, True])
def test_gradients_through_a_pool_are_those_of_the_operators(
    surrogate: Surrogate, reset: Reset, is_detached: bool, learns: bool
) -> None:
    dynamics = Dynamics(reset, surrogate, is_detached)
    for steps, current_steps, shape in (
        (1, 1, (2, 5, 4, 5)),
        (4, 4, (1, 17, 3, 2)),
        (3, 1, (2, 1, 6, 4)),
    ):
        case = Case(dynamics, 0.9, 0.6, 1.1, 0.2, current_steps, steps, 2)
        for mine, theirs in zip(
            gradients(by_kernel, case, shape, seed=5),
            gradients(by_operators, case, shape, seed=5),
            strict=True,
        ):
            assert_near(mine, theirs, 1e-10)


@EVERY_SURROGATE
@EVERY_RESET
@pytest.mark.parametrize("wanted", ["currents", "threshold", "leak", "gain", "initial"])
def test_each_gradient_alone_is_the_same(
    surrogate: Surrogate, reset: Reset, is_detached: bool, wanted: str
) -> None:
    plain = Case(Dynamics(reset, surrogate, is_detached), initial=0.25, current_steps=3, steps=3)
    weights = random_currents((6, 4), 2, torch.float64)
    found = []
    for path in (*PATHS.values(), by_operators):
        currents = random_currents((6, 4), 1, torch.float64)
        numbers = plain.numbers
        if wanted == "currents":
            leaf = currents.requires_grad_()
        else:
            leaf = plain.learning(torch.float64).numbers[wanted]
            numbers[wanted] = leaf
        case = Case(plain.dynamics, **numbers, current_steps=3, steps=3)
        found += torch.autograd.grad((path(currents, case)[0] * weights).sum(), leaf)
    assert_near(found[0], found[2], 1e-10)
    assert_near(found[1], found[2], 1e-10)


@EVERY_SURROGATE
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("leak", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("equations", [through_time.integrate_fire, reference.integrate_fire])
def test_finite_differences_see_the_gradient(
    surrogate: Surrogate, reset: Reset, leak: float, equations
) -> None:
    # The primitive takes the place of the step. With the spike in the reset held constant no
    # differences can agree: they move it.
    dynamics = Dynamics(reset, surrogate, is_detached=False)
    numbers = [
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.7, leak, 0.9, 0.2)
    ]
    currents = random_currents((3, 2, 3), 3, torch.float64).requires_grad_()

    def smooth(currents, threshold, leak, gain, initial):
        return equations(
            currents, dynamics, threshold=threshold, leak=leak, gain=gain, initial=initial,
            is_smooth=True,
        )  # fmt: skip

    assert torch.autograd.gradcheck(smooth, (currents, *numbers))


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_a_constant_in_the_reset_is_what_differences_see_if_it_is_kept_constant(reset) -> None:
    surrogate = Arctan(2.0)
    currents = random_currents((3, 4), 9, torch.float64).requires_grad_()
    kept = through_time.integrate_fire(
        currents, Dynamics(reset, surrogate, is_detached=False), threshold=0.7, leak=0.5,
        is_smooth=True,
    ).detach()  # fmt: skip

    def with_known_resets(currents):
        potential, spikes = torch.zeros_like(currents[0]), []
        for current, known in zip(currents, kept, strict=True):
            potential = 0.5 * potential + current
            spikes.append(surrogate.primitive(potential - 0.7))
            potential = potential - 0.7 * known if reset == "soft" else potential * (1 - known)
        return torch.stack(spikes)

    assert torch.autograd.gradcheck(with_known_resets, (currents,))
    detached = through_time.integrate_fire(
        currents, Dynamics(reset, surrogate), threshold=0.7, leak=0.5, is_smooth=True
    )
    weights = random_currents((3, 4), 10, torch.float64)
    (found,) = torch.autograd.grad((detached * weights).sum(), currents)
    (expected,) = torch.autograd.grad((with_known_resets(currents) * weights).sum(), currents)
    assert_near(found, expected, 1e-12)


@pytest.mark.parametrize("path", [*PATHS.values(), by_operators])
def test_a_penalty_on_spikes_reaches_every_neuron(path) -> None:
    # 5 x 5 with a pool of 2: the last row and column are in no window
    case = Case(Dynamics("soft", Arctan(2.0)), steps=3, pool=2)
    currents = random_currents((2, 3, 5, 5), 4, torch.float32).requires_grad_()
    (grad,) = torch.autograd.grad(path(currents, case)[1], currents)
    assert (grad > 0).all()
