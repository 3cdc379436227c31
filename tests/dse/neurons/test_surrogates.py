import pytest
import torch
from torch import Tensor

from dse.errors import BuildFailure
from dse.neurons.surrogates import Arctan, S2nn, Sigmoid, Surrogate, spike

ALL = [Arctan(2.0), Arctan(0.5), Sigmoid(4.0), S2nn(4.0, 1.0, 1.0), S2nn(7.0, 0.3, 0.25)]


def gradient(x: Tensor, surrogate: Surrogate) -> Tensor:
    leaf = x.clone().requires_grad_()
    spike(leaf, surrogate).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def test_s2nn_has_the_published_values_at_threshold_1() -> None:
    x = torch.tensor([-2, -1, -0.5, -0.1, -1e-12, 0, 0.25, 0.5, 1, 3, 9], dtype=torch.float64)
    expected = torch.tensor(
        [0.001341, 0.070651, 0.419974, 0.961043, 1, 1, 0.8, 0.666667, 0.5, 0.25, 0.1],
        dtype=torch.float64,
    )
    torch.testing.assert_close(gradient(x, S2nn(4.0, 1.0, 1.0)), expected, atol=1e-6, rtol=0)


def test_s2nn_divides_by_the_potential_at_any_threshold() -> None:
    x = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    # beta / (x + threshold) = 3 / 0.5, 3 / 0.75, 3 / 1.5
    expected = torch.tensor([6.0, 4.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(gradient(x, S2nn(4.0, 3.0, 0.5)), expected)


@pytest.mark.parametrize(
    ("alpha", "beta", "threshold", "is_continuous"),
    [(4.0, 1.0, 1.0, True), (2.0, 1.0, 2.0, True), (4.0, 2.0, 1.0, False), (4.0, 1.0, 0.5, False)],
)
def test_s2nn_is_continuous_where_a_quarter_of_alpha_is_beta_over_threshold(
    alpha: float, beta: float, threshold: float, is_continuous: bool
) -> None:
    x = torch.tensor([-1e-9, 0.0], dtype=torch.float64)
    below, at = gradient(x, S2nn(alpha, beta, threshold)).tolist()
    assert (abs(below - at) < 1e-6) == is_continuous


def test_peaks_and_a_pencil_value() -> None:
    x = torch.tensor([0.0, 1.0 / torch.pi], dtype=torch.float64)
    # alpha 2: 2 / (2 (1 + (pi x)^2)) = 1 at 0, 1 / 2 where pi x = 1
    torch.testing.assert_close(
        gradient(x, Arctan(2.0)), torch.tensor([1.0, 0.5], dtype=torch.float64)
    )
    # alpha / 4 at 0
    assert gradient(x[:1], Sigmoid(6.0)).item() == 1.5


@pytest.mark.parametrize(
    ("surrogate", "primitive"),
    [
        (Arctan(3.0), lambda x: torch.atan(torch.pi * 3.0 * x / 2) / torch.pi),
        (Sigmoid(3.0), lambda x: torch.sigmoid(3.0 * x)),
        (
            S2nn(3.0, 0.7, 0.6),
            lambda x: torch.where(
                x < 0, torch.sigmoid(3.0 * x), 0.7 * torch.log(x.clamp(min=0) / 0.6 + 1)
            ),
        ),
    ],
)
def test_derivative_is_that_of_its_primitive(surrogate: Surrogate, primitive) -> None:
    x = torch.linspace(-3, 3, 601, dtype=torch.float64) + 1e-3  # no point at the kink
    step = 1e-6
    numeric = (primitive(x + step) - primitive(x - step)) / (2 * step)
    torch.testing.assert_close(gradient(x, surrogate), numeric, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("surrogate", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_but_numbers_for_any_input(surrogate: Surrogate, dtype: torch.dtype) -> None:
    big = torch.finfo(dtype).max
    tiny = torch.finfo(dtype).tiny
    x = torch.tensor(
        [-1.0, -0.25, 0.0, -0.0, tiny, -tiny, 1e30, -1e30, big, -big, torch.inf, -torch.inf],
        dtype=dtype,
    )
    leaf = x.clone().requires_grad_()
    spikes = spike(leaf, surrogate)
    spikes.sum().backward()
    assert spikes.tolist() == [0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0]
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()
    assert (leaf.grad >= 0).all()
    assert leaf.grad.dtype == spikes.dtype == dtype


def test_the_gradient_that_arrives_is_multiplied_by_the_slope() -> None:
    x = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    (spike(x, Arctan(2.0)) * torch.tensor([3.0, -5.0], dtype=torch.float64)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, -5.0]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_parameters_are_refused(value: float) -> None:
    for make in (Arctan, Sigmoid, S2nn):
        with pytest.raises(BuildFailure, match=r"alpha .*: must be finite and above 0"):
            make(value)
    with pytest.raises(BuildFailure, match='surrogate "s2nn": threshold'):
        S2nn(4.0, 1.0, value)
