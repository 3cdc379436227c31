import pytest
import torch
from torch import Tensor

from dse.errors import BuildFailure
from dse.neurons.surrogates import (
    Arctan,
    Piecewise,
    Rectangular,
    S2nn,
    Sigmoid,
    Surrogate,
    Triangular,
    spike,
)

ALL = [
    Arctan(2.0),
    Arctan(0.5),
    Sigmoid(4.0),
    S2nn(4.0, 1.0, 1.0),
    S2nn(7.0, 0.3, 0.25),
    Rectangular(1.0, 1.0),
    Rectangular(0.3, 2.0),
    Triangular(1.0, 2.0),
    Triangular(0.4, 0.7),
    Piecewise(2.0, 0.5, 0.01),
]


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
def test_derivative_is_that_of_the_primitive_it_names(surrogate: Surrogate) -> None:
    x = torch.linspace(-3, 3, 601, dtype=torch.float64) + 1e-3  # no point at a kink
    leaf = x.clone().requires_grad_()
    (exact,) = torch.autograd.grad(surrogate.primitive(leaf).sum(), leaf)
    torch.testing.assert_close(surrogate.derivative(x), exact, atol=1e-12, rtol=1e-12)
    step = 1e-6
    numeric = (surrogate.primitive(x + step) - surrogate.primitive(x - step)) / (2 * step)
    torch.testing.assert_close(surrogate.derivative(x), numeric, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("surrogate", ALL)
def test_a_primitive_is_continuous_and_half_at_the_threshold(surrogate: Surrogate) -> None:
    x = torch.tensor([-1e-12, 0.0, 1e-12], dtype=torch.float64)
    assert surrogate.primitive(x).tolist() == pytest.approx([0.5] * 3, abs=1e-10)


@pytest.mark.parametrize(
    ("surrogate", "x", "expected"),
    [
        # sigma(1) sigma(-1) = 0.19661193; times alpha 4
        (Sigmoid(4.0), [-0.25, 0.0, 0.25], [0.78644773, 1.0, 0.78644773]),
        (Rectangular(1.0, 0.9), [-0.51, -0.5, 0.0, 0.5, 0.51], [0, 0.9, 0.9, 0.9, 0]),
        (Triangular(2.0, 3.0), [-2.5, -1.0, 0.0, 0.5, 2.0], [0, 1.5, 3, 2.25, 0]),
        (Piecewise(2.0, 0.5, 0.01), [-1.1, -1.0, 0.0, 1.0, 1.1], [0.01, 0.5, 0.5, 0.5, 0.01]),
    ],
)
def test_values_with_a_pencil(surrogate: Surrogate, x: list, expected: list) -> None:
    found = surrogate.derivative(torch.tensor(x, dtype=torch.float64))
    assert found.tolist() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("surrogate", "area"),
    # height 1 / width is a slope of area 1; the area under arctan and logistic is 1 as well
    [(Rectangular(0.5, 2.0), 1.0), (Triangular(0.5, 2.0), 1.0), (Sigmoid(3.0), 1.0)],
)
def test_the_area_under_a_slope(surrogate: Surrogate, area: float) -> None:
    ends = surrogate.primitive(torch.tensor([-50.0, 50.0], dtype=torch.float64))
    assert (ends[1] - ends[0]).item() == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize("threshold", [1.0, 0.5, 0.25])
def test_s2nn_has_no_pole_where_the_potential_is_zero(threshold: float) -> None:
    x = torch.tensor([-2.0, -1.0, -threshold, -threshold / 2], dtype=torch.float64)
    found = S2nn(4.0, 1.0, threshold).derivative(x)
    # below the threshold it is the logistic slope, whatever stands above
    assert torch.equal(found, Sigmoid(4.0).derivative(x))
    assert torch.isfinite(gradient(x, S2nn(4.0, 1.0, threshold))).all()


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
    assert leaf.grad[2] > 0
    assert leaf.grad.dtype == spikes.dtype == dtype


def test_the_gradient_that_arrives_is_multiplied_by_the_slope() -> None:
    x = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    (spike(x, Arctan(2.0)) * torch.tensor([3.0, -5.0], dtype=torch.float64)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, -5.0]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_parameters_are_refused(value: float) -> None:
    for make in (Rectangular, Triangular, Piecewise):
        name = make.__name__.lower()
        with pytest.raises(BuildFailure, match=f'surrogate "{name}": width .*: must be finite'):
            make(value)
        with pytest.raises(BuildFailure, match=f'surrogate "{name}": height'):
            make(1.0, value)
    with pytest.raises(BuildFailure, match='surrogate "piecewise": tail'):
        Piecewise(1.0, 1.0, value)
    for make in (Arctan, Sigmoid, S2nn):
        with pytest.raises(BuildFailure, match=r"alpha .*: must be finite and above 0"):
            make(value)
    with pytest.raises(BuildFailure, match='surrogate "s2nn": threshold'):
        S2nn(4.0, 1.0, value)
