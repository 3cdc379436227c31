"""What a tensor holds: by the compiled pass, by PyTorch, and by a look at each element."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.counting import activity, kernel
from dse.counting.activity import LARGEST_LEVEL, look
from dse.errors import NotFiniteError

needs_kernel = pytest.mark.skipif(not kernel.available(), reason="built without a C compiler")


@st.composite
def tensors(draw):
    """A tensor (N, C, P) of one class of values, in one layout, with fans."""
    seed = draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    shape = tuple(draw(st.integers(1, 6)) for _ in range(3))
    whole = torch.randint(-LARGEST_LEVEL, LARGEST_LEVEL + 1, shape, generator=generator).float()
    kind = draw(
        st.sampled_from(["levels", "spikes", "scaled", "signs", "quarters", "zero", "real"])
    )
    x = {
        "levels": whole * 0.375,
        "spikes": (whole > 3).float(),
        "scaled": (whole > 3) * 0.7,
        "signs": whole.clamp(-1, 1),
        "quarters": whole.abs().clamp(0, 3) / 4,
        "zero": torch.zeros(shape),
        "real": torch.randn(shape, generator=generator) * (whole > 0),
    }[kind]
    x = x.to(draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])))
    order = draw(st.permutations([0, 1, 2]))
    x = x.permute(order)
    if draw(st.booleans()):
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    channels = draw(st.sampled_from([1, x.shape[1]]))
    fans = torch.randint(0, 9, (draw(st.integers(1, 2)), channels, x.shape[2]), generator=generator)
    return x, fans.int(), draw(st.booleans())


@needs_kernel
@settings(max_examples=300, deadline=None, derandomize=True)
@given(tensors())
def test_the_compiled_pass_and_pytorch_find_the_same(case):
    x, fans, by_element = case
    ours = activity._by_kernel(x, fans, True, by_element)
    theirs = activity._by_torch(x, fans, True, by_element)
    (facts, planes), (witness, witness_planes) = ours.facts_of(), theirs.facts_of()
    assert len(facts.levels) == len(witness.levels)
    for value, other in zip(facts.levels, witness.levels, strict=True):
        # the step is taken from the smallest value in one, and from each value in the other
        assert (value is None) == (other is None)
        assert value is None or value == pytest.approx(other, rel=0.01)
    assert facts._replace(levels=()) == witness._replace(levels=())
    assert (ours.marks[planes] == theirs.marks[witness_planes].numpy()).all()
    assert (ours.totals[planes] == theirs.totals[witness_planes].numpy()).all()
    assert torch.equal(ours.counts[planes].long(), theirs.counts[witness_planes])


@pytest.mark.parametrize("path", [pytest.param("kernel", marks=needs_kernel), "torch"])
def test_a_pencil_case(path, monkeypatch):
    monkeypatch.setattr(kernel, "takes", lambda _: path == "kernel")
    # two samples, two channels, two places; the second place counts 3
    x = torch.tensor([[[0.5, 0.0], [0.0, -1.0]], [[0.5, 0.5], [0.0, 0.0]]])
    fans = torch.tensor([[[1, 3]]], dtype=torch.int32)
    marks = look(x, fans, wants_counts=True)
    facts, planes = marks.facts_of()
    assert facts.levels == (0.5, 1.0)
    assert (facts.elements, facts.nonzero, facts.units, facts.is_signed) == (8, 4, 1, True)
    # level 0.5: one at place 0; then one at place 0 and one at place 1: 1, 1 + 3
    assert torch.as_tensor(marks.totals)[planes, 0].tolist() == [[1, 4], [3, 0]]
    assert torch.as_tensor(marks.marks)[planes].tolist() == [[1, 2], [1, 0]]
    assert marks.counts[planes].tolist() == [[[1, 0], [1, 1]], [[0, 1], [0, 0]]]


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_smallest_and_the_largest_numbers_have_their_magnitude(dtype):
    finite = torch.finfo(dtype)
    values = torch.tensor([[[finite.smallest_normal, -finite.max, 0.0, -0.0]]], dtype=dtype)
    found = kernel.scan(values)
    assert (found.smallest, found.largest) == (finite.smallest_normal, finite.max)
    assert (found.marked, found.is_negative) == (2, True)
    subnormal = torch.tensor([[[math.ldexp(finite.smallest_normal, -2)]]], dtype=torch.float64)
    assert kernel.scan(subnormal.to(dtype)).smallest == float(subnormal.to(dtype))


@needs_kernel
def test_minus_zero_is_no_negative_value():
    assert not kernel.scan(torch.tensor([[[-0.0, 1.0]]])).is_negative


@needs_kernel
def test_fans_of_any_size_stay_exact():
    # 3000 elements x (2**31 - 1): far above 32 bits
    fan = torch.full((2, 3000), 2**31 - 1, dtype=torch.int32)
    assert kernel.scan(torch.ones(1, 2, 3000), fan).totals.tolist() == [2 * 3000 * (2**31 - 1)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", [pytest.param("kernel", marks=needs_kernel), "torch"])
def test_what_is_not_finite_is_refused(value, path, monkeypatch):
    monkeypatch.setattr(kernel, "takes", lambda _: path == "kernel")
    with pytest.raises(NotFiniteError, match="holds NaN or infinite"):
        look(torch.tensor([[[1.0, value, 0.0]]])).facts_of()


@pytest.mark.parametrize("path", [pytest.param("kernel", marks=needs_kernel), "torch"])
def test_an_element_by_itself(path, monkeypatch):
    monkeypatch.setattr(kernel, "takes", lambda _: path == "kernel")
    x = torch.tensor([[[0.3, 1.0, -2.0, 9.0, 0.0]]])
    facts, _ = look(x).facts_of()
    assert facts.levels == (None,)
    marks = look(x, by_element=True)
    facts, planes = marks.facts_of()
    assert facts.levels == (1.0, 2.0, None)
    assert torch.as_tensor(marks.marks)[planes].flatten().tolist() == [1, 1, 2]
