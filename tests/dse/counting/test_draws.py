"""Random operators on random data: every class, and every time step, equals the witness.

`python tests/witnesses/draws.py 10000 --seed 1` draws as many as wanted.
"""

import pytest
import torch
from contexts import Call
from drawn_operators import OPERATORS, PER_HEAD, draw_convolution
from draws import Folding, check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dse.counting.count import count


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("draw_one", OPERATORS, ids=lambda draw_one: draw_one.__name__)
def test_draws_equal_the_witness(draw_one):
    @settings(
        max_examples=100 if draw_one is draw_convolution else 25,  # 300 in all
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(st.composite(draw_one)())
    def draws_equal(one):
        check(one)

    draws_equal()


def test_heads_are_not_time():
    """A product with a weight for each of 2 heads, over 2 steps of which the second is silent.

    torch makes it as a batch of heads: 2 matrices, neither of which is a step.
    """
    x = torch.zeros(2, 1, 3, 2, 4)  # T, B, tokens, heads, features
    x[0] = 1
    call = Call(lambda x, w: torch.einsum(PER_HEAD, x, w), torch.randn(2, 4, 5))
    counts = count(Folding(call, 1), x, time_steps=2, batch_dim=1)
    [layer] = counts.layers
    # 3 tokens x 2 heads x 4 x 5, all in the first step, if the steps are told
    assert counts.ops.ac == 3 * 2 * 4 * 5
    assert [step.ac for step in layer.steps] in ([], [120], [120, 0])


@pytest.mark.parametrize(
    ("function", "weight", "tokens"),
    [
        # (B, 2 heads, 3, 4) by one matrix a head
        (torch.matmul, (2, 4, 5), (2, 3, 4)),
        # an inner size of 1: made element by element
        (lambda x, w: torch.einsum("bik,kj->bij", x, w), (1, 20), (6, 1)),
    ],
    ids=["heads", "elements"],
)
def test_steps_of_products_that_torch_rearranges(function, weight, tokens):
    """Two steps of one sample, of which the second is silent."""
    x = torch.stack([torch.ones(1, *tokens), torch.zeros(1, *tokens)])
    call = Call(function, torch.randn(weight))
    counts = count(Folding(call, 1), x, time_steps=2, batch_dim=1)
    [layer] = counts.layers
    # 2 heads x 3 x 4 x 5, or 6 x 1 x 20; with one weight a channel it is binary by definition
    assert counts.ops.ac + counts.ops.binary == 120
    assert [step.ac + step.binary for step in layer.steps] == [120, 0]


def test_steps_beside_a_kernel_that_is_data():
    x = torch.stack([torch.ones(1, 1, 5), torch.zeros(1, 1, 5)])
    call = Call(torch.nn.functional.conv1d)
    # 3 weights: no multiple of 2 steps
    counts = count(Folding(call, 1), (x, torch.randn(3, 1, 1)), time_steps=2, batch_dim=1)
    [layer] = counts.layers
    # 5 places x 3 channels
    assert [step.ac for step in layer.steps] == [15, 0]
