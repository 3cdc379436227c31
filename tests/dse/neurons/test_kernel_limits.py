"""The compiled pass with bfloat16, NaN, more threads, and odd layouts."""

import pytest
import torch
from neuron_stages import (
    Case,
    assert_near,
    by_kernel,
    by_operators,
    pooled,
    random_currents,
    random_norm,
)
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from dse.neurons import fused, kernel
from dse.neurons.dynamics import Dynamics
from dse.neurons.fused import Form
from dse.neurons.surrogates import Arctan, Rectangular, Sigmoid

pytestmark = pytest.mark.skipif(not kernel.available(), reason="no kernel was compiled")
NAN = float("nan")
RELU, SAME = Form(kernel.RELU, kernel.POSITIVE), Form(kernel.SAME, kernel.ONE)
SIGN = Form(kernel.SIGN, Rectangular.code, (2.0, 1.0, 0.0))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("channels", [1, 16, 19, 40])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("current_steps", [1, 4])
def test_bfloat16_is_only_how_currents_and_spikes_are_kept(
    channels: int, pool: int, current_steps: int
) -> None:
    case = Case(Dynamics("soft", Sigmoid(4.0)), 0.7, 0.9, 0.3, 0.1, current_steps, 4, pool)
    short = random_currents((2 * current_steps, channels, 4, 5), 3, torch.bfloat16)
    short, full = short.requires_grad_(), short.float().requires_grad_()
    outputs, number = by_kernel(short, case)
    expected, total = by_operators(full, case)  # potentials are single ones
    assert outputs.dtype == torch.bfloat16
    assert torch.equal(outputs.float(), expected)
    assert number == total
    weights = random_currents(tuple(outputs.shape), 4, torch.bfloat16)
    (found,) = torch.autograd.grad((outputs * weights).sum(), short)
    (exact,) = torch.autograd.grad((expected * weights.float()).sum(), full)
    # eight bits of a mantissa, rounded once
    torch.testing.assert_close(found.float(), exact, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("form", [RELU, SAME])
def test_bfloat16_behind_a_norm_finds_the_largest_of_a_window(form: Form) -> None:
    norm = random_norm(5, 1, torch.float32, is_training=False)
    currents = random_currents((3, 5, 4, 4), 2, torch.bfloat16).requires_grad_()
    outputs, _ = fused.stage(currents, form, norm, current_steps=1, steps=1, pool=2)
    (grad,) = torch.autograd.grad(outputs.sum(), currents)
    windows = grad.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4) != 0
    assert torch.equal(windows.sum(-1) == 1, outputs != 0 if form is RELU else outputs == outputs)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("form", [RELU, SAME])
def test_a_nan_outlives_relu_and_pool(form: Form, place: int) -> None:
    currents = torch.tensor([3.0, -1.0, 5.0, 2.0])
    currents[place] = NAN
    currents = currents.view(1, 1, 2, 2).requires_grad_()
    for pool in (1, 2):
        found, _ = fused.stage(currents, form, None, current_steps=1, steps=1, pool=pool)
        expected = pooled(currents.relu() if form is RELU else currents, pool)
        assert torch.equal(found.isnan(), expected.isnan())
        assert torch.equal(found.nan_to_num(9.0), expected.nan_to_num(9.0))
        (grad,) = torch.autograd.grad(found.sum() * NAN, currents)
        assert grad.isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_a_nan_never_spikes_as_it_does_not_compare(dtype: torch.dtype, reset) -> None:
    currents = torch.tensor([[2.0, NAN], [NAN, 2.0], [2.0, 2.0]], dtype=dtype)
    case = Case(Dynamics(reset, Arctan(2.0)), 1.0, 0.5, current_steps=3, steps=3)
    outputs, number = by_kernel(currents, case)
    expected, total = by_operators(currents, case)
    assert torch.equal(outputs, expected)
    assert outputs.tolist() == [[1, 0], [0, 0], [0, 0]]  # a potential that is NaN stays one
    assert number == total == 1
    signs, _ = fused.stage(currents, SIGN, None, current_steps=3, steps=3, pool=1)
    assert signs.tolist() == [[1, -1], [-1, 1], [1, 1]]


def test_a_nan_arrives_in_the_gradient() -> None:
    currents = torch.tensor([[0.5], [NAN], [0.5]]).requires_grad_()
    case = Case(Dynamics("soft", Arctan(2.0)), 1.0, 0.5, current_steps=3, steps=3)
    (grad,) = torch.autograd.grad(by_kernel(currents, case)[0].sum(), currents)
    assert grad.isnan().all()  # step 0 through the potential that was kept


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("shape", [(6, 17, 5, 4), (2, 3, 1, 1), (14, 40)])
def test_two_threads_make_the_same_spikes(
    is_training: bool, shape: tuple[int, ...], two_threads: None
) -> None:
    # Only sums over all places may differ, as each thread adds up its own.
    pool = 2 if len(shape) == 4 and shape[2] > 1 else 1
    case = Case(Dynamics("soft", Arctan(2.0)), 0.4, 0.6, 1.0, 0.1, 2, 2, pool)
    case = case.learning(torch.float32)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        norm = random_norm(shape[1], 5, torch.float32, is_training=is_training)
        currents = random_currents(shape, 6, torch.float32).requires_grad_()
        outputs, number = by_kernel(currents, case, norm)
        leaves = [currents, norm.weight, norm.bias, *case.numbers.values()]
        loss = outputs.square().sum() + number
        found.append((outputs, number, *torch.autograd.grad(loss, leaves)))
    (outputs, number, grad, *sums), (again, number_again, grad_again, *sums_again) = found
    assert torch.equal(outputs, again)
    assert number == number_again
    if is_training:  # the norm's own gradient holds such sums
        assert_near(grad, grad_again, 1e-6)
    else:
        assert torch.equal(grad, grad_again)
    for one, two in zip(sums, sums_again, strict=True):
        assert_near(one, two, 1e-6)


def test_more_threads_than_rows_are_idle(two_threads: None) -> None:
    currents = random_currents((1, 5), 1, torch.float32)
    case = Case(Dynamics("soft", Arctan(2.0)), steps=3)
    assert torch.equal(by_kernel(currents, case)[0], by_operators(currents, case)[0])


@pytest.mark.parametrize("layout", ["channels first", "a slice", "expanded", "transposed"])
def test_any_layout_gives_the_same(layout: str) -> None:
    currents = random_currents((4, 6, 4, 4), 2, torch.float32)
    currents = {
        "channels first": currents,
        "a slice": random_currents((4, 9, 5, 7), 2, torch.float32)[:, 2:8, 1:, :4],
        "expanded": currents[:1].expand(4, -1, -1, -1),
        "transposed": currents.transpose(2, 3),
    }[layout]
    ours = currents.detach().requires_grad_()
    theirs = currents.detach().clone().requires_grad_()
    case = Case(Dynamics("hard", Arctan(2.0)), 0.4, current_steps=2, steps=2, pool=2)
    outputs, _ = by_kernel(ours, case)
    expected, _ = by_operators(theirs, case)
    assert torch.equal(outputs, expected)
    (found,) = torch.autograd.grad(outputs.sum(), ours)
    (grad,) = torch.autograd.grad(expected.sum(), theirs)
    assert_near(found, grad, 2e-6)


def test_only_what_the_kernel_can_read_is_taken() -> None:
    assert kernel.takes(torch.zeros(2, 3))
    assert not kernel.takes(torch.zeros(0, 3))
    assert not kernel.takes(torch.zeros(2, 3, dtype=torch.float16))
    assert not kernel.takes(torch.zeros(2, 3, device="meta"))
    assert not kernel.takes(torch.zeros(2, 3).to_sparse())
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(torch.zeros(2, 3))
    assert not kernel.takes(fake)


def test_nobody_who_watches_operators_is_passed_by() -> None:
    seen = torch.zeros(2, 3)
    with FlopCounterMode(display=False):
        assert not kernel.takes(seen)
    assert kernel.takes(seen)


@pytest.mark.parametrize(("steps", "pool"), [(kernel.LONGEST + 1, 1), (0, 1), (1, 3)])
def test_an_impossible_task_is_an_error(steps: int, pool: int) -> None:
    case = Case(Dynamics("hard", Arctan(2.0)), steps=steps, pool=pool)
    with pytest.raises(
        ValueError, match=f"neuron kernel: {steps} steps, pool {pool}, slope 0: must be"
    ):
        by_kernel(torch.zeros(1, 3, 6, 6), case)


@pytest.mark.parametrize(("rows", "current_steps"), [(6, 2), (4, 3)])
def test_currents_of_other_steps_are_an_error(rows: int, current_steps: int) -> None:
    case = Case(Dynamics("hard", Arctan(2.0)), current_steps=current_steps, steps=3)
    with pytest.raises(ValueError, match=f"{rows} rows of {current_steps} steps: must be those"):
        by_kernel(torch.zeros(rows, 3), case)


def test_a_form_of_numbers_that_learn_warns_of_nothing() -> None:
    case = Case(Dynamics("hard", Arctan(2.0)), steps=2).learning(torch.float32)
    outputs, _ = by_kernel(torch.ones(2, 3).requires_grad_(), case)
    outputs.sum().backward()
    assert all(number.grad is not None for number in case.numbers.values())
